"""Conversions of numbers that tell which values they change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["exactly", "inexact_integer"]

Array = NDArray[Any]


def exactly(values: Array, dtype: np.dtype[Any]) -> tuple[Array, NDArray[np.bool_]]:
    """Numbers in another dtype, and whether each is the same number in it.

    Args:
        values: numbers or truth values.
        dtype: of numbers or truth values.
    """
    if dtype.kind == "b":
        return values.astype(dtype), (values == 0) | (values == 1)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            converted = values.astype(dtype)
        if values.dtype.kind == "f":
            return converted, (converted.astype(values.dtype) == values) | np.isnan(values)
        same = np.ones(values.shape, bool)
        for place in _wide(converted):
            same.ravel()[place] = int(converted.ravel()[place]) == int(values.ravel()[place])
        return converted, same
    limits = np.iinfo(dtype)
    if values.dtype.kind == "f":
        inside = (values >= float(limits.min)) & (values < float(limits.max + 1)) & (values == np.floor(values))
        return np.where(inside, values, 0).astype(dtype), inside
    if values.dtype.kind == "b":
        return values.astype(dtype), np.ones(values.shape, bool)
    own = np.iinfo(values.dtype)
    low, high = max(own.min, limits.min), min(own.max, limits.max)
    return values.astype(dtype), (values >= values.dtype.type(low)) & (values <= values.dtype.type(high))


def inexact_integer(plain: Sequence[Any], values: Array) -> int | None:
    """The first integer of a list that floating-point values are not equal to; None: there is none.

    Args:
        plain: numbers of Python.
        values: the same as floating-point values (n,).
    """
    for place in _wide(values):
        number = plain[place]
        if type(number) is int and int(values[place]) != number:
            return number
    return None


def _wide(values: Array) -> list[int]:
    """The places of values that are so large that integers beside them are not representable."""
    most = 2.0 ** (np.finfo(values.dtype).nmant + 1)
    with np.errstate(invalid="ignore"):
        places: list[int] = np.flatnonzero((np.abs(values) >= most) & np.isfinite(values)).tolist()
    return places
