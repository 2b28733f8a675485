"""Blocks of rows as one array: in memory, or in a temporary file if it is large."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import DataError

__all__ = ["MAX_IN_MEMORY", "array_in_file", "concatenated"]

Array = npt.NDArray[Any]

MAX_IN_MEMORY = 256 << 20  # bytes of values; larger arrays go to a temporary file


def concatenated(blocks: Iterator[Array], width: int, name: str) -> Array:
    """Blocks (n, width) of one dtype as one array. Above 256 MiB it is mapped from a temporary file."""
    collected, size = list[Array](), 0
    for block in blocks:
        collected.append(block)
        size += block.nbytes
        if size > MAX_IN_MEMORY:
            return array_in_file(chain(collected, blocks), block.dtype, width, name)
    return np.concatenate(collected) if collected else np.empty((0, width))


def array_in_file(blocks: Iterator[Array], dtype: np.dtype[Any], width: int, name: str) -> Array:
    """Blocks (n, width) as one array that is mapped from a temporary file.

    The file has no name. It is deleted together with the array.

    Args:
        blocks: rows, in their order.
        dtype: of the result.
        width: the number of columns.
        name: the table's name, for messages.

    Raises:
        DataError: the temporary file cannot be written.
    """
    rows = 0
    with tempfile.TemporaryFile(prefix="isthmus-") as file:
        for block in blocks:
            rows += len(block)
            try:
                file.write(np.ascontiguousarray(block, dtype).data)
                file.flush()
            except OSError as error:
                raise DataError(
                    f"{name} is read through a temporary file in {tempfile.gettempdir()}, which failed ({error}); "
                    "set TMPDIR to another folder"
                ) from error
        if not rows:
            return np.empty((0, width), dtype)
        values: Any = np.memmap(file, dtype, "r", shape=(rows, width))
        descriptor = os.dup(file.fileno())  # rows can be read through it until the array is deleted
        weakref.finalize(values._mmap, os.close, descriptor)
        values.filename = f"/dev/fd/{descriptor}"
        return np.asanyarray(values)
