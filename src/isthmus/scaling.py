"""Raw units <-> model units: an affine map per number, found once on the training data, that travels with the model.

model units = (raw - shift) / scale
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.examples import blocks
from isthmus.data.observed import count, largest, least, total
from isthmus.records import Record, record

__all__ = ["Bytes", "MinMax", "Standard", "Unscaled"]


class Affine(NamedTuple):
    """The two sides of the map, each broadcastable to (b, *shape)."""

    shift: NDArray[Any]
    scale: NDArray[Any]

    def astype(self, dtype: np.dtype[Any]) -> Affine:
        """The same map in another type of number."""
        return Affine(self.shift.astype(dtype), self.scale.astype(dtype))


class Range(NamedTuple):
    """The least and the largest number of some examples, and whether all are whole."""

    low: float
    high: float
    whole: bool


@record
class Scaling(Record):
    """A way to find shift and scale."""

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        """Shift and scale for examples (n, *shape)."""
        raise NotImplementedError


@record
class Unscaled(Scaling):
    """The numbers are right as they are."""

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        return Affine(np.zeros(()), np.ones(()))


@record
class Bytes(Scaling):
    """0 ... 255 becomes 0 ... 1."""

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        return Affine(np.zeros(()), np.full((), 255.0))


@record
class MinMax(Scaling):
    """The least and the largest number become 0 and 1: over all numbers, or for each feature."""

    per: Literal["all", "feature"] = "all"

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        axis = 0 if self.per == "feature" else None
        lows, highs = zip(*((least(b, axis), largest(b, axis)) for _, b in blocks(examples)), strict=True)
        low, high = (side.astype(np.float64) for side in (least(np.stack(lows), 0), largest(np.stack(highs), 0)))
        return Affine(low, np.where(high > low, high - low, 1.0))


@record
class Standard(Scaling):
    """Mean 0, standard deviation 1: for each feature, each channel (the last axis) or over all numbers; constant ones are only shifted."""

    per: Literal["feature", "channel", "all"] = "feature"

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        axes = {
            "feature": (0,),
            "channel": tuple(range(max(1, examples.ndim - 1))),
            "all": tuple(range(examples.ndim)),
        }[self.per]
        n = sum(count(b, axes) for _, b in blocks(examples))
        mean = sum((total(b, axes) for _, b in blocks(examples)), np.zeros(())) / n
        squares = sum((total(np.square(b.astype(np.float64) - mean), axes) for _, b in blocks(examples)), np.zeros(()))
        deviation = np.sqrt(squares / n)
        tiny = 10 * np.finfo(np.float64).eps * np.abs(mean)  # what rounding alone makes of a constant
        return Affine(mean, np.where(deviation > tiny, deviation, 1.0))


def range_of(examples: NDArray[np.generic]) -> Range:
    """The range of examples, in one pass."""
    low, high, whole = np.inf, -np.inf, True
    for _, block in blocks(examples):
        low, high = min(low, float(least(block))), max(high, float(largest(block)))
        if whole and block.dtype.kind == "f":
            floor = np.floor(block)
            whole = not bool((floor < block).any())  # what is missing is neither whole nor not
    return Range(low, high, whole)


def choose(examples: NDArray[np.generic]) -> Scaling:
    """The scaling that ``scaling="auto"`` means.

    Numbers within [0, 1] that use the half of it stay. Whole numbers from 0 to 255 exactly, or bytes, are pictures: `Bytes`.
    Anything else is standardized, for each column of a table and each channel of pictures.
    """
    low, high, whole = range_of(examples)
    if low >= 0 and 0.5 <= high <= 1:
        return Unscaled()
    if low >= 0 and high <= 255 and (examples.dtype == np.uint8 or (whole and low == 0 and high == 255)):
        return Bytes()
    return Standard(per="feature" if examples.ndim == 2 else "channel" if examples.ndim == 4 else "all")


def wide_enough(examples: NDArray[np.generic]) -> np.dtype[Any]:
    """The narrowest type, float32 or float64, that holds every number of the examples exactly."""
    dtype = np.promote_types(examples.dtype, np.float32)
    if examples.dtype.kind in "iu" and dtype == np.float64:
        low, high, _ = range_of(examples)
        return np.dtype(np.float32 if low >= -(2**24) and high <= 2**24 else np.float64)
    return dtype


def within_unit(examples: NDArray[np.generic], affine: Affine) -> bool:
    """Whether scaled examples lie in [0, 1], as a Bernoulli likelihood wants them."""
    for _, block in blocks(examples):
        low, high = (
            (side.astype(np.float64) - affine.shift) / affine.scale for side in (least(block, 0), largest(block, 0))
        )
        if (low < -1e-9).any() or (high > 1 + 1e-9).any():
            return False
    return True
