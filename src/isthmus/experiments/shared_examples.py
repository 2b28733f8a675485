"""The examples of a sweep, shared with its worker processes: each array is written once and mapped into memory by all.

What is not an array is pickled in memory, from one process of ours to another. No pickle is ever written to a file or read from one.
"""

from __future__ import annotations

import io
import mmap
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import NotPossibleError

__all__ = ["check_packable", "pack", "shared_folder", "unpack"]

Array = NDArray[Any]
_FOLDER = ".isthmus-examples"  # in the folder of a sweep while it runs
_SMALL = 1 << 16  # bytes of an array that is copied rather than shared


@contextmanager
def shared_folder(folder: Path) -> Iterator[Path]:
    """A folder for shared arrays inside the locked folder of a sweep. It is removed at the end; that of a killed sweep is replaced."""
    shared = folder / _FOLDER
    if shared.is_symlink():
        shared.unlink()
    shutil.rmtree(shared, ignore_errors=True)
    shared.mkdir()
    try:
        yield shared
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def pack(content: Any, folder: Path, same_machine: bool = True) -> bytes:
    """Content as bytes for `unpack` in another process. Large arrays are files in the folder.

    Args:
        content: what the workers need.
        folder: from `shared_folder`.
        same_machine: whether the workers see the same files: then a memory map is not copied, but opened again by its path.
    """
    packed = io.BytesIO()
    _Pickler(packed, folder, same_machine).dump(content)
    return packed.getvalue()


def check_packable(parts: Any) -> None:
    """`NotPossibleError` where own components of a user cannot be sent to another process."""
    try:
        ForkingPickler.dumps(parts)
    except Exception as error:
        raise NotPossibleError(
            f"the autoencoder cannot be sent to another process ({error}): define its components in a module, or leave out jobs"
        ) from None


def unpack(packed: bytes) -> Any:
    """The content of `pack`. Its shared arrays are copy-on-write: nobody changes them for others."""
    return ForkingPickler.loads(packed)


class _Pickler(ForkingPickler):
    """Replaces large arrays by their files."""

    def __init__(self, file: io.BytesIO, folder: Path, same_machine: bool) -> None:
        super().__init__(file, 5)
        self.folder, self.same_machine, self.count = folder, same_machine, 0

    def reducer_override(self, thing: Any) -> Any:
        """How an array is rebuilt; NotImplemented for anything else."""
        if not isinstance(thing, np.ndarray) or thing.dtype.hasobject:
            return NotImplemented
        if isinstance(thing, np.memmap) and thing.size:
            place = _place(thing) if self.same_machine else None
            return (_opened, (*place, thing.dtype, thing.shape)) if place else (_loaded, (self._write(thing), "r"))
        if thing.nbytes < _SMALL:
            return NotImplemented
        if type(thing) is np.ndarray:
            return _loaded, (self._write(thing), "c")
        if (
            type(thing).__reduce__ is not np.ndarray.__reduce__
        ):  # a subclass with its own way, whose array comes here next
            return NotImplemented
        return _marked, (np.asarray(thing), type(thing), dict(vars(thing)))

    def _write(self, values: Array) -> str:
        path = self.folder.resolve() / f"{self.count}.npy"
        self.count += 1
        np.save(path, np.asarray(values), allow_pickle=False)
        return str(path)


def _place(values: np.memmap[Any, Any]) -> tuple[str, int] | None:
    """The path and first byte of a contiguous part of a file that other processes can map; None if it is none."""
    mapping: Any = values._mmap  # type: ignore[attr-defined]  # None in a copy
    if mapping is None or values.filename is None or values.mode == "c" or not values.flags.c_contiguous:
        return None
    inside = values.ctypes.data - np.frombuffer(mapping, np.uint8).ctypes.data
    place = str(Path(values.filename).resolve()), values.offset - values.offset % mmap.ALLOCATIONGRANULARITY + inside
    ends = [0, len(values) - 1]
    try:
        same = _opened(*place, values.dtype, values.shape)[ends].tobytes() == np.asarray(values[ends]).tobytes()
    except (OSError, ValueError):  # the file was removed or cut
        return None
    return place if same else None


def _opened(path: str, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    return np.memmap(path, dtype, "r", offset, shape)


def _loaded(path: str, mode: Any) -> Array:
    values: Array = np.load(path, mmap_mode=mode, allow_pickle=False)
    return values if mode == "r" else values.view(np.ndarray)


def _marked(values: Array, kind: type[Array], attributes: dict[str, Any]) -> Array:
    marked = values.view(kind)
    vars(marked).update(attributes)
    return marked
