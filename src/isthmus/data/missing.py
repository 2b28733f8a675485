"""Ranges and sums of the numbers that are there: NaN stands for one that is missing. Where none is, nothing is done twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.validation import blocks

__all__ = ["count", "gaps", "largest", "least", "row_means", "total"]

Array = npt.NDArray[Any]
Axes = int | tuple[int, ...] | None


def least(values: Array, axes: Axes = None) -> Array:
    """The least number along some axes, NaN where all are missing."""
    found: Array = values.min(axes)
    return np.asarray(np.fmin.reduce(values, axes)) if np.isnan(found).any() else found


def largest(values: Array, axes: Axes = None) -> Array:
    """The largest number along some axes, NaN where all are missing."""
    found: Array = values.max(axes)
    return np.asarray(np.fmax.reduce(values, axes)) if np.isnan(found).any() else found


def total(values: Array, axes: Axes = None) -> Array:
    """The sum along some axes, in double precision."""
    found: Array = values.sum(axes, dtype=np.float64)
    return np.asarray(np.nansum(values, axes, dtype=np.float64)) if np.isnan(found).any() else found


def count(values: Array, axes: Axes = None) -> Array:
    """How many numbers there are along some axes."""
    if values.dtype.kind != "f":
        values = np.broadcast_to(np.zeros((), np.float32), values.shape)
    return np.asarray(np.isfinite(values).sum(axes))


def gaps(values: Array) -> int:
    """How many numbers are missing."""
    return sum(block.size - int(count(block)) for _, block in blocks(values))


def row_means(values: Array) -> Array:
    """The mean of each row (n, d) over the numbers it has, (n,); NaN where it has none."""
    found: Array = values.mean(1)
    gaps = np.isnan(found)
    if gaps.any():
        counts = count(values[gaps], 1)
        found[gaps] = np.where(counts > 0, total(values[gaps], 1) / np.maximum(counts, 1), np.nan)
    return found
