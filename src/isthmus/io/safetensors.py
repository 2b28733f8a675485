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

__all__ = ["CHECKSUM", "Contents", "opened", "packed", "unique_json"]

_MOST_HEADER = 2 << 20  # bytes; what JSON makes of them in memory is thirty times as much at worst
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool}
_DTYPES |= {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8}
CHECKSUM = "sha256"
_SHORT = 60  # characters of a foreign name in a sentence


class Held(NamedTuple):
    """A tensor in a file: its type, its shape, and where its bytes lie."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


class Contents:
    """An open file whose header is sound: the texts in it, and tensors by name."""

    def __init__(self, path: Path, file: FileIO, texts: Mapping[str, str], held: Mapping[str, Held]) -> None:
        self.path, self.texts, self._file, self._held = path, texts, file, held

    def sketches(self) -> dict[str, Tensor]:
        """All tensors as shapes and types, without memory for their numbers."""
        return {name: torch.empty(h.shape, dtype=h.dtype, device="meta") for name, h in self._held.items()}

    def everything(self, checked: bool = True) -> dict[str, Tensor]:
        """All tensors; `ModelFileError` unless the file is what was written, as far as its checksum tells."""
        tensors = {name: self.tensor(name) for name in self._held}
        if checked and self.texts.get(CHECKSUM) != checksum(self.texts, tensors):
            refuse(self.path, "its checksum is not that of its content")
        return tensors

    def tensor(self, name: str) -> Tensor:
        """The numbers of one tensor."""
        held = self._held[name]
        content = torch.empty(held.end - held.begin, dtype=torch.uint8)
        self._file.seek(held.begin)
        if _filled(self._file, content.numpy().data) < len(content):
            refuse(self.path, f"its end is missing: {name} cannot be read")
        if held.dtype == torch.bool and (content > 1).any():
            refuse(self.path, f"{name} holds bytes that are neither true nor false")
        return content.view(held.dtype).reshape(held.shape)


def refuse(path: Path, reason: str) -> Never:
    """`ModelFileError` for a file that is not what it ought to be."""
    raise ModelFileError(f"{shown(path)} is damaged or is no model file: {shown(reason)}")


@contextmanager
def opened(path: Path) -> Iterator[Contents]:
    """The contents of a safetensors file.

    Raises:
        FileNotFoundError, PermissionError: as the system says.
        ModelFileError: it is a link, a pipe, a device; or it is damaged, in which way ever.
    """
    with _regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = bytearray(8)
        if _filled(file, memoryview(start)) < 8:
            refuse(path, f"it is {size} bytes long")
        length = struct.unpack("<Q", start)[0]
        if length > min(_MOST_HEADER, size - 8):
            refuse(path, f"its header would be {length:,} bytes long")
        content = bytearray(length)
        if _filled(file, memoryview(content)) < length:
            refuse(path, "its header is cut short")
        texts, held = _header(path, content, 8 + length, size)
        yield Contents(path, file, texts, held)


def _filled(file: FileIO, room: memoryview) -> int:
    """How many bytes could be read; the system hands out less than 2 GiB at a time."""
    done = 0
    while done < len(room) and (more := file.readinto(room[done:])):
        done += more
    return done


def _regular(path: Path) -> FileIO:
    file = regular(path)
    if file == "link":
        raise ModelFileError(f"{shown(path)} is a symbolic link; give the file it points to")
    if isinstance(file, str):
        raise ModelFileError(f"{shown(path)} is not a file")
    return file


def _header(path: Path, content: bytearray, begin: int, size: int) -> tuple[dict[str, str], dict[str, Held]]:
    """The texts and the tensors that the header names; together these fill the file from ``begin`` to its end."""
    entries = _json(path, content)
    texts = entries.pop("__metadata__", {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        refuse(path, "the texts of its header are none")
    held = {name: _held(path, name, entry, begin) for name, entry in entries.items()}
    place = begin
    for name, one in sorted(held.items(), key=lambda item: item[1][2:]):
        if one.begin != place:
            refuse(path, f"{name[:_SHORT]!r} does not begin where the tensor before it ends")
        place = one.end
    if place != size:
        refuse(path, f"its header promises {place:,} bytes and {size:,} are there")
    return texts, held


def unique_json(text: str) -> Any:
    """What JSON says; ValueError where an object says the same twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("it says the same twice")
        return found

    return json.loads(text, object_pairs_hook=unique)


def _json(path: Path, content: bytearray) -> dict[str, Any]:
    try:
        entries = unique_json(content.decode("utf-8"))
    except UnicodeDecodeError:
        refuse(path, "its header is not UTF-8")
    except RecursionError:
        refuse(path, "its header is nested too deep")
    except ValueError as error:
        refuse(path, f"its header cannot be read: {str(error).splitlines()[0]}")
    if not isinstance(entries, dict):
        refuse(path, "its header names no tensors")
    return entries


def _held(path: Path, name: str, entry: Any, begin: int) -> Held:
    """One tensor of the header, checked by itself."""
    what = f"its tensor {name[:_SHORT]!r}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        refuse(path, f"{what} has not dtype, shape and data_offsets alone")
    kind, shape, positions = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _DTYPES:
        refuse(path, f"{what} has the type {str(kind)[:_SHORT]!r}")
    if not (_counts(shape) and _counts(positions) and len(positions) == 2 and len(shape) <= 32):
        refuse(path, f"{what} has a shape or a place that cannot be")
    if math.prod(max(side, 1) for side in shape) >= 2**60:
        refuse(path, f"{what} has a shape that cannot be")
    if math.prod(shape) * _DTYPES[kind].itemsize != positions[1] - positions[0]:
        refuse(path, f"{what} has not as many bytes as its shape asks for")
    return Held(_DTYPES[kind], tuple(shape), begin + positions[0], begin + positions[1])


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def checksum(texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all texts but itself, and of the names, types, shapes and bytes of all tensors, in the order of their names."""
    found = hashlib.sha256()
    said = [(name, text) for name, text in sorted(texts.items()) if name != CHECKSUM]
    said += [(name, f"{t.dtype} {tuple(t.shape)}") for name, t in sorted(tensors.items())]
    found.update(json.dumps(said).encode())
    for _, tensor in sorted(tensors.items()):
        found.update(_bytes(tensor))
    return found.hexdigest()


def packed(texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> list[Bytes]:
    """A safetensors file in parts; the same contents are the same bytes.

    Raises:
        ModelFileError: there is a type that files do not hold, or the header would be larger than what is read again.
    """
    kinds = {dtype: kind for kind, dtype in _DTYPES.items()}
    odd = next((name for name, t in tensors.items() if t.dtype not in kinds), None)
    if odd is not None:
        raise ModelFileError(
            f"the model cannot be written: {odd} has the type {tensors[odd].dtype}, which files do not hold"
        )
    own = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    ordered = sorted(
        own.items(), key=lambda item: (-item[1].element_size(), item[0])
    )  # so that each lies on a multiple of its size
    entries: dict[str, Any] = {"__metadata__": dict(texts) | {CHECKSUM: checksum(texts, own)}}
    place = 0
    for name, tensor in ordered:
        end = place + tensor.nbytes
        entries[name] = {"dtype": kinds[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [place, end]}
        place = end
    header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    header += b" " * (-len(header) % 8)
    if len(header) > _MOST_HEADER:
        raise ModelFileError(
            f"the model cannot be written: its description is larger than {_MOST_HEADER >> 20} MiB; take fewer layers"
        )
    return [struct.pack("<Q", len(header)), header, *(_bytes(tensor) for _, tensor in ordered)]


def _bytes(tensor: Tensor) -> memoryview:
    """The numbers of a tensor as they lie in memory."""
    content: memoryview = tensor.reshape(-1).view(torch.uint8).numpy().data
    return content
