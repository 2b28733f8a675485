"""The safetensors file, read with suspicion. Nothing in it can run.

Eight bytes hold the length of the header; the header, in JSON, names each tensor with its type, shape and place; then come the numbers.
A reader asks for nothing that the file has not shown to hold: the header is short, its places fill the rest of the file exactly, and
only then is memory taken. The text "sha256" in the header is of everything else, so that not one bit can turn unseen.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple, Never

import torch
from torch import Tensor

from isthmus.errors import ModelFileError
from isthmus.io.atomic import Bytes
from isthmus.io.files import regular, shown

__all__ = ["CHECKSUM", "SafetensorsFile", "opened", "serialize", "unique_json"]

_MAX_HEADER = 2 << 20  # bytes; what JSON makes of them in memory is thirty times as much at worst
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool}
_DTYPES |= {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8}
CHECKSUM = "sha256"
_MAX_NAME = 60  # characters of a foreign name in a sentence


class TensorEntry(NamedTuple):
    """A tensor in a file: its type, its shape, and where its bytes lie."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsFile:
    """An open file whose header is sound: the texts in it, and tensors by name."""

    def __init__(
        self, path: Path, file: FileIO, metadata: Mapping[str, str], tensors: Mapping[str, TensorEntry]
    ) -> None:
        self.path, self.metadata, self._file, self._tensor_entry = path, metadata, file, tensors

    def meta_tensors(self) -> dict[str, Tensor]:
        """All tensors as shapes and types, without memory for their numbers."""
        return {name: torch.empty(h.shape, dtype=h.dtype, device="meta") for name, h in self._tensor_entry.items()}

    def all_tensors(self, checked: bool = True) -> dict[str, Tensor]:
        """All tensors; `ModelFileError` unless the file is what was written, as far as its checksum tells."""
        tensors = {name: self.tensor(name) for name in self._tensor_entry}
        if checked and self.metadata.get(CHECKSUM) != checksum(self.metadata, tensors):
            reject(self.path, "its checksum is not that of its content")
        return tensors

    def tensor(self, name: str) -> Tensor:
        """The numbers of one tensor."""
        tensors = self._tensor_entry[name]
        content = torch.empty(tensors.end - tensors.begin, dtype=torch.uint8)
        self._file.seek(tensors.begin)
        if _read_into(self._file, content.numpy().data) < len(content):
            reject(self.path, f"its end is missing: {name} cannot be read")
        if tensors.dtype == torch.bool and (content > 1).any():
            reject(self.path, f"{name} holds bytes that are neither true nor false")
        return content.view(tensors.dtype).reshape(tensors.shape)


def reject(path: Path, reason: str) -> Never:
    """`ModelFileError` for a file that is not what it ought to be."""
    raise ModelFileError(f"{shown(path)} is damaged or is no model file: {shown(reason)}")


@contextmanager
def opened(path: Path) -> Iterator[SafetensorsFile]:
    """The contents of a safetensors file.

    Raises:
        FileNotFoundError, PermissionError: as the system says.
        ModelFileError: it is a link, a pipe, a device; or it is damaged, in which way ever.
    """
    with _regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = bytearray(8)
        if _read_into(file, memoryview(start)) < 8:
            reject(path, f"it is {size} bytes long")
        length = struct.unpack("<Q", start)[0]
        if length > min(_MAX_HEADER, size - 8):
            reject(path, f"its header would be {length:,} bytes long")
        content = bytearray(length)
        if _read_into(file, memoryview(content)) < length:
            reject(path, "its header is cut short")
        metadata, tensors = _header(path, content, 8 + length, size)
        yield SafetensorsFile(path, file, metadata, tensors)


def _read_into(file: FileIO, buffer: memoryview) -> int:
    """How many bytes could be read; the system hands out less than 2 GiB at a time."""
    filled = 0
    while filled < len(buffer) and (more := file.readinto(buffer[filled:])):
        filled += more
    return filled


def _regular(path: Path) -> FileIO:
    file = regular(path)
    if file == "link":
        raise ModelFileError(f"{shown(path)} is a symbolic link; give the file it points to")
    if isinstance(file, str):
        raise ModelFileError(f"{shown(path)} is not a file")
    return file


def _header(path: Path, content: bytearray, begin: int, size: int) -> tuple[dict[str, str], dict[str, TensorEntry]]:
    """The texts and the tensors that the header names; together these fill the file from ``begin`` to its end."""
    entries = _json(path, content)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        reject(path, "the texts of its header are none")
    tensors = {name: _tensor_entry(path, name, entry, begin) for name, entry in entries.items()}
    position = begin
    for name, one in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if one.begin != position:
            reject(path, f"{name[:_MAX_NAME]!r} does not begin where the tensor before it ends")
        position = one.end
    if position != size:
        reject(path, f"its header promises {position:,} bytes and {size:,} are there")
    return metadata, tensors


def unique_json(text: str) -> Any:
    """What JSON says; ValueError where an object says the same twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        digest = dict(pairs)
        if len(digest) < len(pairs):
            raise ValueError("it says the same twice")
        return digest

    return json.loads(text, object_pairs_hook=unique)


def _json(path: Path, content: bytearray) -> dict[str, Any]:
    try:
        entries = unique_json(content.decode("utf-8"))
    except UnicodeDecodeError:
        reject(path, "its header is not UTF-8")
    except RecursionError:
        reject(path, "its header is nested too deep")
    except ValueError as error:
        reject(path, f"its header cannot be read: {str(error).splitlines()[0]}")
    if not isinstance(entries, dict):
        reject(path, "its header names no tensors")
    return entries


def _tensor_entry(path: Path, name: str, entry: Any, begin: int) -> TensorEntry:
    """One tensor of the header, checked by itself."""
    what = f"its tensor {name[:_MAX_NAME]!r}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        reject(path, f"{what} has not dtype, shape and data_offsets alone")
    kind, shape, positions = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _DTYPES:
        reject(path, f"{what} has the type {str(kind)[:_MAX_NAME]!r}")
    if not (_are_sizes(shape) and _are_sizes(positions) and len(positions) == 2 and len(shape) <= 32):
        reject(path, f"{what} has a shape or a place that cannot be")
    if math.prod(max(side, 1) for side in shape) >= 2**60:
        reject(path, f"{what} has a shape that cannot be")
    if math.prod(shape) * _DTYPES[kind].itemsize != positions[1] - positions[0]:
        reject(path, f"{what} has not as many bytes as its shape asks for")
    return TensorEntry(_DTYPES[kind], tuple(shape), begin + positions[0], begin + positions[1])


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def checksum(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all texts but itself, and of the names, types, shapes and bytes of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    described = [(name, text) for name, text in sorted(metadata.items()) if name != CHECKSUM]
    described += [(name, f"{t.dtype} {tuple(t.shape)}") for name, t in sorted(tensors.items())]
    digest.update(json.dumps(described).encode())
    for _, tensor in sorted(tensors.items()):
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def serialize(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> list[Bytes]:
    """A safetensors file in parts; the same contents are the same bytes.

    Raises:
        ModelFileError: there is a type that files do not hold, or the header would be larger than what is read again.
    """
    kinds = {dtype: kind for kind, dtype in _DTYPES.items()}
    unsupported = next((name for name, t in tensors.items() if t.dtype not in kinds), None)
    if unsupported is not None:
        raise ModelFileError(
            f"the model cannot be written: {unsupported} has the type {tensors[unsupported].dtype}, which files do not hold"
        )
    own = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    ordered = sorted(
        own.items(), key=lambda item: (-item[1].element_size(), item[0])
    )  # so that each lies on a multiple of its size
    entries: dict[str, Any] = {"__metadata__": dict(metadata) | {CHECKSUM: checksum(metadata, own)}}
    position = 0
    for name, tensor in ordered:
        end = position + tensor.nbytes
        entries[name] = {"dtype": kinds[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    header += b" " * (-len(header) % 8)
    if len(header) > _MAX_HEADER:
        raise ModelFileError(
            f"the model cannot be written: its description is larger than {_MAX_HEADER >> 20} MiB; take fewer layers"
        )
    return [struct.pack("<Q", len(header)), header, *(_bytes(tensor) for _, tensor in ordered)]


def _bytes(tensor: Tensor) -> memoryview:
    """The numbers of a tensor as they lie in memory."""
    content: memoryview = tensor.reshape(-1).view(torch.uint8).numpy().data
    return content
