"""Overlapping windows of a table of rows as one array of examples, without a copy of the rows."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.io.memory_limit import check_memory

__all__ = ["WindowArray", "windows_of"]

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]


class WindowArray:
    """Windows (n, length, channels) of rows (rows, channels). It offers what is asked of an array of examples.

    Selecting windows gives a WindowArray of the same rows. ``np.asarray`` cuts the windows: at equal distances they are a view of the
    rows, otherwise a copy. A single window is always a view.

    Attributes:
        rows: (rows, channels), in memory or a memory map.
        begins: (n,) the first row of each window.
        length: the rows of a window.
        groups: (n,) the number of the machine that each window belongs to. The rows of a machine are one run, in the order of time.
    """

    ndim = 3

    def __init__(self, rows: Array, begins: Rows, length: int, groups: Rows) -> None:
        self.rows, self.begins, self.length, self.groups = rows, begins, length, groups

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, length, channels)."""
        return len(self.begins), self.length, self.rows.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the rows."""
        return self.rows.dtype

    @property
    def size(self) -> int:
        """The number of values of all windows."""
        n, length, channels = self.shape
        return n * length * channels

    @property
    def nbytes(self) -> int:
        """The bytes of all windows if they were cut."""
        return self.size * self.dtype.itemsize

    @property
    def strides(self) -> tuple[int, int, int]:
        """The steps in bytes. The first is 0, since windows need not be at equal distances."""
        return 0, self.rows.strides[0], self.rows.strides[1]

    @property
    def _mmap(self) -> mmap.mmap | None:
        """The memory map of the rows, by NumPy's name for it; None in memory."""
        return getattr(self.rows, "_mmap", None)

    @property
    def mode(self) -> str | None:
        """The mode of the memory map; None in memory."""
        return getattr(self.rows, "mode", None)

    def __len__(self) -> int:
        return len(self.begins)

    def __getitem__(self, key: Any) -> Any:
        """One window by its number, a view (length, channels); several by a slice, numbers or a mask, as a WindowArray."""
        if isinstance(key, tuple):
            first = self[key[0]]
            return first[key[1:]] if isinstance(first, np.ndarray) else np.asarray(first)[(slice(None), *key[1:])]
        if isinstance(key, int | np.integer):
            begin = int(self.begins[key])
            return np.asarray(self.rows[begin : begin + self.length])
        return WindowArray(self.rows, self.begins[key], self.length, self.groups[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        step = self._step()
        if step == 0 and copy is False:
            raise ValueError("windows at unequal distances cannot be an array without a copy")
        if step == 0:
            check_memory(self.nbytes, f"{len(self):,} windows in one array")
        cut = self._cut(step)
        if dtype is not None and cut.dtype != dtype:
            return cut.astype(dtype)
        return cut.copy() if copy else cut

    def _step(self) -> int:
        """The distance in rows of neighboring windows; 0 if it varies."""
        steps = np.diff(self.begins)
        if not steps.size:
            return 1
        return int(steps[0]) if steps[0] > 0 and bool((steps == steps[0]).all()) else 0

    def _cut(self, step: int) -> Array:
        """The windows as an array: a view if they are at equal distances."""
        if not len(self):
            return np.empty(self.shape, self.dtype)
        every = np.lib.stride_tricks.sliding_window_view(np.asarray(self.rows), self.length, axis=0).swapaxes(1, 2)
        return every[self.begins[0] : self.begins[-1] + 1 : step] if step else every[self.begins]

    def every(self) -> WindowArray:
        """All windows of this length, one at each row, across gaps and machines too."""
        begins = np.arange(max(0, len(self.rows) - self.length + 1))
        return WindowArray(self.rows, begins, self.length, np.zeros(len(begins), np.int64))

    def within(self) -> WindowArray:
        """All windows of this length, one at each row, whose rows are all in these windows."""
        before = np.r_[0, np.cumsum(self.covered(self.begins))]
        begins = np.flatnonzero(before[self.length :] - before[: -self.length] == self.length)
        return WindowArray(self.rows, begins, self.length, np.zeros(len(begins), np.int64))

    def varying(self) -> npt.NDArray[np.bool_]:
        """Which windows (n,) have rows that differ from each other."""
        changes = np.zeros(len(self.rows), bool)
        for channel in range(self.shape[2]):
            changes[1:] |= self.rows[1:, channel] != self.rows[:-1, channel]
        before = np.r_[0, np.cumsum(changes)]
        varies: npt.NDArray[np.bool_] = before[self.begins + self.length] > before[self.begins + 1]
        return varies

    def covered(self, begins: Rows) -> npt.NDArray[np.bool_]:
        """Which rows (rows,) are in one of the windows of this length that begin at these rows."""
        changes = np.zeros(len(self.rows) + 1, np.int64)
        np.add.at(changes, begins, 1)
        np.add.at(changes, begins + self.length, -1)
        return np.cumsum(changes[:-1]) > 0

    def sharing(self, begins: Rows) -> npt.NDArray[np.bool_]:
        """Which windows (n,) share a row with the windows of this length that begin at these rows."""
        before = np.r_[0, np.cumsum(self.covered(begins))]
        shares: npt.NDArray[np.bool_] = before[self.begins + self.length] > before[self.begins]
        return shares

    def row_means(self, values: Array) -> npt.NDArray[np.float64]:
        """For each row the mean, over the windows that contain it, of the value of the window (n,), or of the row in it (n, length, ...).

        Returns (rows, ...). NaN for rows in no window.
        """
        sums, counts = np.zeros((len(self.rows), *values.shape[2:])), np.zeros(len(self.rows), np.int64)
        for place in range(self.length):
            at = self.begins + place
            np.add.at(sums, at, values if values.ndim == 1 else values[:, place])
            np.add.at(counts, at, 1)
        with np.errstate(invalid="ignore"):
            means: npt.NDArray[np.float64] = sums / counts.reshape(-1, *[1] * (sums.ndim - 1))
        return means

    def astype(self, dtype: Any, copy: bool = True) -> Array:
        """The windows in one array of a dtype."""
        return np.asarray(self).astype(dtype, copy=copy)

    def reshape(self, *shape: Any) -> Array:
        """The windows in one array of another shape."""
        return np.asarray(self).reshape(*shape)


def windows_of(values: Any) -> WindowArray | None:
    """The windows, if examples are windows of a series; else None."""
    return values if isinstance(values, WindowArray) else None
