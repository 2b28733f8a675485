"""Rows of a memory map by their places.

A row that is asked of a map brings pages of the file into the process, dozens around the one that is needed. Read from the file itself,
a row takes a quarter of the time, and nothing but the rows takes memory.
"""

from __future__ import annotations

import mmap
import os
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import DataError

__all__ = ["Rows", "random_subset", "release_pages", "some_rows"]

Array = npt.NDArray[Any]


class Rows:
    """The rows of an array (n, *row) by their places; of a read-only map from its file, where that can be found."""

    def __init__(self, values: Array) -> None:
        self.values, self.descriptor = values, -1
        self.start, self.step, self.size = 0, values.strides[0], values[:1].nbytes
        if _in_a_file(values):
            self._open()

    def _open(self) -> None:
        """Finds the file of the map, and makes sure that it is still that file."""
        values: Any = self.values
        mapping: mmap.mmap = values._mmap
        inside = values.ctypes.data - np.frombuffer(mapping, np.uint8).ctypes.data
        self.start = values.offset - values.offset % mmap.ALLOCATIONGRANULARITY + inside
        try:
            self.descriptor = os.open(values.filename, os.O_RDONLY)
        except (OSError, TypeError):  # it has no name any more
            return
        weakref.finalize(self, os.close, self.descriptor)
        ends = np.array([0, len(values) - 1])
        try:
            same = self(ends).tobytes() == np.asarray(values[ends]).tobytes()
        except DataError:
            same = False
        if not same:  # another file has its name
            self.descriptor = -1

    def __call__(self, positions: npt.NDArray[np.int64]) -> Array:
        """The rows at some places, (k, *row)."""
        if self.descriptor < 0:
            found = np.asarray(self.values[positions])
            release_pages(self.values)
            return found
        rows = np.empty((len(positions), *self.values.shape[1:]), self.values.dtype)
        room, size = memoryview(rows.reshape(-1).view(np.uint8).data), self.size
        for number, place in enumerate(positions.tolist()):
            part = room[number * size : (number + 1) * size]
            if os.preadv(self.descriptor, [part], self.start + place * self.step) < size:
                raise DataError(f"{self.values.filename} was cut while it was read: row {place} is not there")  # type: ignore[attr-defined]
        return rows


def _in_a_file(values: Array) -> bool:
    """Whether rows can be read from a file: it is mapped read-only, each row lies in one piece, and the system can."""
    mapping = getattr(values, "_mmap", None)
    if not isinstance(mapping, mmap.mmap) or getattr(values, "mode", None) != "r" or not hasattr(os, "preadv"):
        return False
    return len(values) > 0 and values.strides[0] > 0 and values[:1].flags.c_contiguous


def random_subset(count: int, most: int, random_state: int = 0) -> npt.NDArray[np.int64]:
    """The places of all of ``count`` rows, or where there are more than ``most``, of so many drawn at random, in their order: (n,)."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(random_state).permutation(count)[:most])


def some_rows(values: Array, most: int, random_state: int = 0) -> Array:
    """All rows of an array, or where there are more, ``most`` of them drawn at random, in their order."""
    if len(values) <= most:
        return np.asarray(values)
    return Rows(values)(random_subset(len(values), most, random_state))


def release_pages(values: Array) -> None:
    """Lets the system take back what was read of a read-only memory map: it stays in the file, and need not fill memory."""
    mapping = getattr(values, "_mmap", None)
    shared = getattr(values, "mode", None) == "r"  # of a copy-on-write map the changes would be lost
    if shared and isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
