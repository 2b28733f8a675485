"""Reading and writing safetensors files. Loading never executes code, and any corruption of a file raises `ModelFileError`.

The file starts with the length of the header in eight bytes. The header is JSON with the dtype, shape and offsets of each tensor. The
bytes of the tensors follow. Memory is allocated only after the header is checked: it must be short, and its offsets must cover the rest
of the file exactly. The entry "sha256" of the metadata is a checksum of everything else.
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
from pydantic_core import PydanticSerializationError, to_json
from torch import Tensor

from isthmus.errors import ModelFileError, UnsupportedFileError
from isthmus.io.atomic import Bytes
from isthmus.io.files import regular, shown

__all__ = ["CHECKSUM", "SafetensorsFile", "json_text", "opened", "serialize", "unique_json"]

_MAX_HEADER = 2 << 20  # bytes; the parsed JSON may need thirty times as much memory
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool}
_DTYPES |= {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8}
CHECKSUM = "sha256"
_MAX_NAME = 60  # characters of a name from the file in a message


class TensorEntry(NamedTuple):
    """A tensor in a file: its dtype, its shape, and the offsets of its first byte and of the byte after its last."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsFile:
    """An open file with a valid header: its metadata, and its tensors by name."""

    def __init__(
        self, path: Path, file: FileIO, metadata: Mapping[str, str], tensors: Mapping[str, TensorEntry]
    ) -> None:
        self.path, self.metadata, self._file, self._entries = path, metadata, file, tensors

    def meta_tensors(self) -> dict[str, Tensor]:
        """All tensors on PyTorch's meta device, with shape and dtype but without values."""
        return {name: torch.empty(h.shape, dtype=h.dtype, device="meta") for name, h in self._entries.items()}

    def all_tensors(self, checked: bool = True) -> dict[str, Tensor]:
        """All tensors; `ModelFileError` if the checksum does not match (unless ``checked`` is False)."""
        tensors = {name: self.tensor(name) for name in self._entries}
        if checked and self.metadata.get(CHECKSUM) != checksum(self.metadata, tensors):
            reject(self.path, "its checksum does not match its content")
        return tensors

    def tensor(self, name: str) -> Tensor:
        """One tensor with its values."""
        entry = self._entries[name]
        content = torch.empty(entry.end - entry.begin, dtype=torch.uint8)
        self._file.seek(entry.begin)
        if _read_into(self._file, content.numpy().data) < len(content):
            reject(self.path, f"it is truncated: {name} cannot be read")
        if entry.dtype == torch.bool and (content > 1).any():
            reject(self.path, f"{name} is boolean and has bytes other than 0 and 1")
        return content.view(entry.dtype).reshape(entry.shape)


def reject(path: Path, reason: str) -> Never:
    """Raises `ModelFileError` for an invalid file."""
    raise ModelFileError(f"{shown(path)} is damaged or not a model file: {shown(reason)}")


@contextmanager
def opened(path: Path) -> Iterator[SafetensorsFile]:
    """A context with an open safetensors file whose header is checked.

    Raises:
        FileNotFoundError, PermissionError: from the system.
        ModelFileError: the path is a symbolic link, pipe or device, or the file is damaged.
    """
    with _regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = bytearray(8)
        if _read_into(file, memoryview(start)) < 8:
            reject(path, f"it has only {size} bytes")
        length = struct.unpack("<Q", start)[0]
        if length > min(_MAX_HEADER, size - 8):
            reject(path, f"it states a header of {length:,} bytes")
        content = bytearray(length)
        if _read_into(file, memoryview(content)) < length:
            reject(path, "its header is truncated")
        metadata, tensors = _header(path, content, 8 + length, size)
        yield SafetensorsFile(path, file, metadata, tensors)


def _read_into(file: FileIO, buffer: memoryview) -> int:
    """Reads into a buffer until it is full or the file ends; returns the number of bytes. The system reads at most 2 GiB at once."""
    filled = 0
    while filled < len(buffer) and (more := file.readinto(buffer[filled:])):
        filled += more
    return filled


def _regular(path: Path) -> FileIO:
    file = regular(path)
    if file == "link":
        raise UnsupportedFileError(f"{shown(path)} is a symbolic link; give the path of the file itself")
    if isinstance(file, str):
        raise UnsupportedFileError(f"{shown(path)} is not a file; give the path of a model file")
    return file


def _header(path: Path, content: bytearray, begin: int, size: int) -> tuple[dict[str, str], dict[str, TensorEntry]]:
    """The metadata and the tensor entries of a header. The tensors must cover the file from ``begin`` to its end."""
    entries = _json(path, content)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        reject(path, "the metadata in its header is not text")
    tensors = {name: _tensor_entry(path, name, entry, begin) for name, entry in entries.items()}
    position = begin
    for name, one in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if one.begin != position:
            reject(path, f"{name[:_MAX_NAME]!r} does not start at the end of the tensor before it")
        position = one.end
    if position != size:
        reject(path, f"its header states {position:,} bytes, and it has {size:,}")
    return metadata, tensors


def unique_json(text: str) -> Any:
    """Parsed JSON; ValueError if an object has a key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        digest = dict(pairs)
        if len(digest) < len(pairs):
            raise ValueError("a key occurs twice")
        return digest

    return json.loads(text, object_pairs_hook=unique)


def json_text(value: Any) -> str | bytes:
    """A value as JSON, quick also for very many numbers."""
    try:
        return to_json(value, inf_nan_mode="constants")
    except PydanticSerializationError:  # half a character
        return json.dumps(value)


def _json(path: Path, content: bytearray) -> dict[str, Any]:
    try:
        entries = unique_json(content.decode("utf-8"))
    except UnicodeDecodeError:
        reject(path, "its header is not UTF-8")
    except RecursionError:
        reject(path, "its header is nested too deeply")
    except ValueError as error:
        reject(path, f"its header is not valid JSON: {str(error).splitlines()[0]}")
    if not isinstance(entries, dict):
        reject(path, "its header is not a JSON object")
    return entries


def _tensor_entry(path: Path, name: str, entry: Any, begin: int) -> TensorEntry:
    """The checked entry of one tensor."""
    what = f"its tensor {name[:_MAX_NAME]!r}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        reject(path, f"the entry of {what} must have exactly dtype, shape and data_offsets")
    kind, shape, positions = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _DTYPES:
        reject(path, f"{what} has the unknown dtype {str(kind)[:_MAX_NAME]!r}")
    if not (_are_sizes(shape) and _are_sizes(positions) and len(positions) == 2 and len(shape) <= 32):
        reject(path, f"{what} has an invalid shape or invalid offsets")
    if math.prod(max(side, 1) for side in shape) >= 2**60:
        reject(path, f"{what} has an invalid shape")
    if math.prod(shape) * _DTYPES[kind].itemsize != positions[1] - positions[0]:
        reject(path, f"the number of bytes of {what} does not match its shape")
    return TensorEntry(_DTYPES[kind], tuple(shape), begin + positions[0], begin + positions[1])


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def checksum(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all metadata except the checksum, and of the names, dtypes, shapes and bytes of all tensors, sorted by name."""
    digest = hashlib.sha256()
    described = [(name, text) for name, text in sorted(metadata.items()) if name != CHECKSUM]
    described += [(name, f"{t.dtype} {tuple(t.shape)}") for name, t in sorted(tensors.items())]
    digest.update(json.dumps(described).encode())
    for _, tensor in sorted(tensors.items()):
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def serialize(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> list[Bytes]:
    """The bytes of a safetensors file, in parts. Equal contents give equal bytes.

    Raises:
        ModelFileError: a tensor has an unsupported dtype, or the header is larger than the maximum.
    """
    kinds = {dtype: kind for kind, dtype in _DTYPES.items()}
    unsupported = next((name for name, t in tensors.items() if t.dtype not in kinds), None)
    if unsupported is not None:
        raise ModelFileError(
            f"the model cannot be written: {unsupported} has the dtype {tensors[unsupported].dtype}, which files do not support"
        )
    own = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    ordered = sorted(
        own.items(), key=lambda item: (-item[1].element_size(), item[0])
    )  # so that each tensor is aligned to its element size
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
            f"the model cannot be written: its header is larger than {_MAX_HEADER >> 20} MiB; use fewer layers"
        )
    return [struct.pack("<Q", len(header)), header, *(_bytes(tensor) for _, tensor in ordered)]


def _bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor in memory."""
    flat = tensor.reshape(-1) if tensor.numel() else torch.empty(0, dtype=tensor.dtype)  # one of NumPy has the stride 0
    content: memoryview = flat.view(torch.uint8).numpy().data
    return content
