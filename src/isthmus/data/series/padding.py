"""Stretches that are shorter than a window, padded with missing values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.series.rows import SeriesRows
from isthmus.data.series.stretches import Stretches
from isthmus.io.memory_limit import check_memory

__all__ = ["WindowRows", "padded", "window_rows"]

Array = npt.NDArray[Any]
Whole = npt.NDArray[np.int64]


class WindowRows(NamedTuple):
    """The rows that windows are cut from: those of a series, and perhaps rows of missing values after short stretches.

    Attributes:
        values: (rows, channels).
        machines: (rows,) the number of each row's machine.
        begins, ends: (s,) the first row of each stretch, and the row after its last.
        places: the place of each row of the series among these rows; None without padding: its own number.
        order: (rows,) the number of each row in the given data, for padding -1 minus that of the last row before it; None if that is its
            own number.
    """

    values: Array
    machines: Whole
    begins: Whole
    ends: Whole
    places: Whole | None
    order: Whole | None


def window_rows(rows: SeriesRows, found: Stretches, length: int, pad: bool) -> WindowRows:
    """The rows of a series, in a copy with padding if a stretch is shorter than a window and these are padded.

    Args:
        rows: the rows.
        found: their stretches.
        length: the rows of a window.
        pad: whether to pad.
    """
    sizes = found.ends - found.begins
    lacking = np.maximum(length - sizes, 0) if pad else np.zeros_like(sizes)
    if not lacking.any():
        return WindowRows(rows.values, rows.machines, found.begins, found.ends, None, rows.order)
    after = np.cumsum(lacking)
    before = after - lacking
    n, channels = len(rows.values) + int(after[-1]), rows.values.shape[1]
    places = np.arange(len(rows.values)) + np.repeat(before, sizes)
    dtype = _floating(rows.values.dtype)
    check_memory(n * channels * dtype.itemsize, f"{n:,} rows with padding")
    values = np.full((n, channels), np.nan, dtype)
    values[places] = rows.values
    last = np.repeat(found.ends - 1, sizes + lacking)
    order = -1 - (last if rows.order is None else rows.order[last])
    order[places] = np.arange(len(places)) if rows.order is None else rows.order
    machines = np.repeat(rows.machines[found.begins], sizes + lacking)
    return WindowRows(values, machines, found.begins + before, found.ends + after, places, order)


def padded(values: Array, length: int) -> Array:
    """Rows (n, channels), followed by missing values up to this number of rows.

    Args:
        values: the rows.
        length: the number of rows with padding.
    """
    dtype = _floating(values.dtype)
    filled = np.full((length, values.shape[1]), np.nan, dtype)
    filled[: len(values)] = values
    return filled


def _floating(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype, or for integers one that represents them and missing values."""
    return dtype if dtype.kind == "f" else np.result_type(dtype, np.float32)
