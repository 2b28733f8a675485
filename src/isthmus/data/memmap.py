"""Reading rows of a memory map, of a sparse matrix, or of images in their files, by their row numbers.

Indexing a memory map loads dozens of pages around each row into the process. Reading the rows from the file takes a quarter of the time,
and memory for the rows only.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.context_array import without_subclass
from isthmus.data.lazy_rows import LazyRows
from isthmus.data.series.window_array import windows_of
from isthmus.errors import DataError

__all__ = [
    "Rows",
    "joined_rows",
    "random_parts",
    "random_subset",
    "release_pages",
    "selected_rows",
    "some_rows",
    "streamed",
]

Array = npt.NDArray[Any]

PERMUTED = 1 << 24  # largest number of rows that are permuted


class Rows:
    """Reads rows of an array (n, *row) by their row numbers. Rows of a read-only memory map are read from its file if possible."""

    def __init__(self, values: Array) -> None:
        self.values, self.descriptor = values, -1
        if _in_a_file(values):
            self._open()

    def _open(self) -> None:
        """Opens the file of the memory map, if its content is still the same."""
        values: Any = self.values
        self.step, self.size = values.strides[0], values[:1].nbytes
        mapping: mmap.mmap = values._mmap
        inside = values.ctypes.data - np.frombuffer(mapping, np.uint8).ctypes.data
        self.start = values.offset - values.offset % mmap.ALLOCATIONGRANULARITY + inside
        try:
            self.descriptor = os.open(values.filename, os.O_RDONLY)
        except (OSError, TypeError):  # the file was renamed or deleted, or has no name
            return
        weakref.finalize(self, os.close, self.descriptor)
        ends = np.array([0, len(values) - 1])
        try:
            same = self(ends).tobytes() == np.asarray(values[ends]).tobytes()
        except DataError:
            same = False
        if not same:  # another file now has this name
            self.descriptor = -1

    def __call__(self, positions: npt.NDArray[np.int64]) -> Array:
        """The rows (k, *row) with these row numbers, which count from 0."""
        if self.descriptor < 0:
            selected = without_subclass(self.values[positions])
            release_pages(self.values)
            return selected
        rows = np.empty((len(positions), *self.values.shape[1:]), self.values.dtype)
        buffer, size = memoryview(rows.reshape(-1).view(np.uint8).data), self.size
        for number, row in enumerate(positions.tolist()):
            part = buffer[number * size : (number + 1) * size]
            if os.preadv(self.descriptor, [part], self.start + row * self.step) < size:
                raise DataError(f"{self.values.filename} was truncated while it was read: row {row} is missing")  # type: ignore[attr-defined]
        return rows


def _in_a_file(values: Array) -> bool:
    """Whether rows can be read from a file: the memory map is read-only, rows are contiguous, and the system has preadv."""
    mapping = getattr(values, "_mmap", None)
    if not isinstance(mapping, mmap.mmap) or getattr(values, "mode", None) != "r" or not hasattr(os, "preadv"):
        return False
    return len(values) > 0 and values.strides[0] > 0 and values[:1].flags.c_contiguous


def random_subset(count: int, limit: int, random_state: int = 0) -> npt.NDArray[np.int64]:
    """The row numbers of a random subset, sorted.

    Args:
        count: the number of rows.
        limit: the maximum number of rows in the subset. If `count` is not larger, all rows are selected.
        random_state: the seed.

    Returns:
        Row numbers (n,), from 0, in ascending order.
    """
    if count <= limit:
        return np.arange(count)
    generator = np.random.default_rng(random_state)
    if count > PERMUTED:  # in memory for the subset only
        return np.sort(generator.choice(count, limit, replace=False, shuffle=False))
    return np.sort(generator.permutation(count)[:limit])


def random_parts(n: int, counts: Sequence[int], random_state: int, masks: bool = False) -> list[Any]:
    """A random split into parts: row numbers in ascending order, or masks (n,) of many rows.

    Args:
        n: the number of rows.
        counts: the numbers of rows of all parts but the last one; of masks about these numbers.
        random_state: the seed.
        masks: whether masks are given for more than `PERMUTED` rows.
    """
    ends, generator = np.cumsum(counts), np.random.default_rng(random_state)
    if masks and n > PERMUTED:
        drawn, limits = generator.random(n, np.float32), np.array([0, *ends / n, 2], np.float32)
        return [(low <= drawn) & (drawn < high) for low, high in pairwise(limits)]
    return [np.sort(part) for part in np.split(generator.permutation(n), ends)]


def joined_rows(*parts: Any) -> Any:
    """The rows of several parts, ascending: their row numbers, or a mask (n,) of masks."""
    return np.logical_or.reduce(parts) if parts[0].dtype == bool else np.sort(np.concatenate(parts))


def some_rows(values: Array, limit: int, random_state: int = 0) -> Array:
    """At most ``limit`` rows of an array, a random subset in their order."""
    if len(values) <= limit:
        return without_subclass(values)
    return Rows(values)(random_subset(len(values), limit, random_state))


def selected_rows(values: Array, positions: Any) -> Array:
    """The rows with these row numbers, in memory. Sparse rows stay sparse, images in their files; windows of a series share its rows."""
    selects = isinstance(values, LazyRows) or windows_of(values) is not None
    return values[positions] if selects else Rows(values)(positions)


def streamed(values: Array) -> bool:
    """Whether training reads rows a batch at a time, since the whole may not fit in memory: a memory map, sparse rows, or images."""
    return isinstance(values, np.memmap | LazyRows)


def release_pages(values: Array) -> None:
    """Releases the loaded pages of a read-only memory map from memory. The file still has them."""
    mapping = getattr(values, "_mmap", None)
    shared = getattr(values, "mode", None) == "r"  # a copy-on-write map would lose its changes
    if shared and isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
