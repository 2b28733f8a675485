"""Minima, maxima, sums and counts of values, without the missing ones, which are NaN.

NumPy's nan-functions are slower than the plain ones. They are only called for data that contain NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.validation import blocks

__all__ = ["count_missing", "count_observed", "nanmax", "nanmin", "nansum", "row_means"]

Array = npt.NDArray[Any]
Axes = int | tuple[int, ...] | None


def nanmin(values: Array, axes: Axes = None) -> Array:
    """The minimum along axes; NaN where all values are missing."""
    found: Array = values.min(axes)
    return np.asarray(np.fmin.reduce(values, axes)) if np.isnan(found).any() else found


def nanmax(values: Array, axes: Axes = None) -> Array:
    """The maximum along axes; NaN where all values are missing."""
    found: Array = values.max(axes)
    return np.asarray(np.fmax.reduce(values, axes)) if np.isnan(found).any() else found


def nansum(values: Array, axes: Axes = None) -> Array:
    """The sum along axes, in double precision."""
    found: Array = values.sum(axes, dtype=np.float64)
    return np.asarray(np.nansum(values, axes, dtype=np.float64)) if np.isnan(found).any() else found


def count_observed(values: Array, axes: Axes = None) -> Array:
    """The number of values along axes that are not missing."""
    if values.dtype.kind != "f":
        values = np.broadcast_to(np.zeros((), np.float32), values.shape)
    return np.asarray(np.isfinite(values).sum(axes))


def count_missing(values: Array) -> int:
    """The number of missing values."""
    if values.dtype.kind != "f":
        return 0
    return sum(block.size - int(count_observed(block)) for _, block in blocks(values))


def row_means(values: Array) -> Array:
    """The mean of each row (n, d) over its observed values, (n,); NaN for a row without any."""
    found: Array = values.mean(1)
    incomplete = np.isnan(found)
    if incomplete.any():
        rows = values[incomplete]
        counts = count_observed(rows, 1)
        found[incomplete] = np.where(counts > 0, nansum(rows, 1) / np.maximum(counts, 1), np.nan)
    return found
