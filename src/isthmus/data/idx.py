"""IDX, the file format of MNIST: a dtype, the sizes of the axes, then the values in big-endian order; plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import DataError
from isthmus.io.files import AXES, Readable, open_regular, read_exactly, shown

__all__ = ["read_idx", "read_idx_stream"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> npt.NDArray[Any]:
    """The array of an IDX file, plain or gzipped, in the machine's byte order.

    Raises:
        DataError: the file is not an IDX file, or has fewer or more bytes than its header states.
    """
    name = shown(path)
    with open_regular(path) as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not zipped:
            return read_idx_stream(file, name)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return read_idx_stream(stream, name)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{name} is a damaged gzip file ({error}); download it again") from error


def read_idx_stream(stream: Readable, name: str) -> npt.NDArray[Any]:
    """The array of an open IDX stream; see `read_idx`."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or magic[3] == 0:
        raise DataError(
            f"{name} is not an IDX file: its first bytes are {magic.hex(' ') or 'missing'}; replace the file"
        )
    if magic[3] > AXES:
        raise DataError(f"{name} has {magic[3]} axes; expected at most {AXES}, so it may be damaged; replace the file")
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{name} is truncated in its header; replace the file")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    dtype = np.dtype(_TYPES[magic[2]])
    content = read_exactly(stream, math.prod(shape) * dtype.itemsize, name)
    if not content:
        raise DataError(f"{name} is an empty array of shape {shape}; give an array with examples")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
