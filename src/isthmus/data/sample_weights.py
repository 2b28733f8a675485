"""Weights of examples: how often each one counts in the loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.text import quoted

__all__ = ["mean_one", "sample_weights", "weights_of"]

Weights = NDArray[np.float64]
_LARGEST = float(np.finfo(np.float32).max)


def sample_weights(weights: Any, count: int, name: str = "sample_weight") -> Weights:
    """Validates the weights of examples.

    Args:
        weights: the weights (n,) of any library.
        count: the number n of examples.
        name: of the weights, for messages.

    Returns:
        (n,), a copy in double precision.

    Raises:
        DataError: there is not one weight for each example, a weight is no number, negative, NaN or infinite, or all are zero.
    """
    try:
        given = np.asarray(weights)
        if given.dtype.kind in "cmMSU":  # NumPy would take the real part, or the number in a text
            raise TypeError(given.dtype)
        values = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{name} holds values that are not numbers ({quoted(weights, 40)}): pass a number for each example"
        ) from None
    if values.shape != (count,):
        raise DataError(f"{name} has shape {values.shape}, but there are {count:,} examples: pass one weight for each")
    invalid = np.flatnonzero(~((values >= 0) & (values <= _LARGEST)))
    if len(invalid):
        row = int(invalid[0])
        raise DataError(
            f"{name} is {values[row]:g} in example {row}, counted from 0: pass finite weights of at least 0; 0 leaves an example out of "
            "the loss"
        )
    if not values.any():
        raise DataError(f"{name} is zero for all examples: give at least one a positive weight")
    return values


def mean_one(weights: Weights) -> Weights | None:
    """The weights divided by their mean, so that a weighted mean is the mean of weight times value; None if all are the same.

    Args:
        weights: (n,), not all zero.

    Returns:
        (n,), with mean 1.
    """
    if weights.min() == weights.max():
        return None
    scaled: Weights = weights / weights.max()  # the sum of large weights would overflow
    scaled /= scaled.mean()
    return scaled


def weights_of(weights: Weights, rows: NDArray[Any]) -> Weights | None:
    """The weights of some examples with mean 1 over these; None if all are the same.

    Args:
        weights: (n,), not all zero for these examples.
        rows: indices of examples, or a mask (n,).

    Returns:
        One weight for each index; for a mask (n,), as the examples keep their indices.
    """
    scaled = mean_one(weights[rows])
    if scaled is None or rows.dtype != bool:
        return scaled
    every = weights.copy()
    every[rows] = scaled
    return every
