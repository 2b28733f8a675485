"""The values that a likelihood accepts: the scaling that leads to them, and checks. Errors name the row and the column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.locations import Positions
from isthmus.data.statistics import DataStatistics
from isthmus.data.validation import blocks
from isthmus.errors import DataError
from isthmus.likelihoods import Likelihood, Support
from isthmus.scaling import Affine, MinMax, NoScaling, Scaling, UInt8, range_of, within

__all__ = ["check_steps", "check_support", "scaling_for"]

Place = Callable[[tuple[int, ...]], str]  # names the place of a value in messages

_ROUNDING = 1e-4  # of a step: what scaling in single precision may change


def check_support(
    likelihood: Likelihood, statistics: DataStatistics, affine: Affine, positions: Place | None = None
) -> None:
    """`DataError` unless examples are, in model units, values that the likelihood accepts.

    Args:
        likelihood: the likelihood.
        statistics: the statistics of the examples, in raw units.
        affine: the map from raw to model units.
        positions: names the place of a value in messages.
    """
    for part, values, own, place in _parts(likelihood, statistics.values, affine, positions):
        check_support(part, DataStatistics(values), own, place)
    support = likelihood.support
    if not support.step and not within(statistics, affine, support.low, support.high):
        where = (
            f"in [{support.low:g}, {support.high:g}]" if math.isfinite(support.high) else f"of at least {support.low:g}"
        )
        raise DataError(
            f"the {type(likelihood).__name__} likelihood requires examples {where} after scaling, and these are not; use "
            f"likelihood=Normal('learned'){', or scaling=MinMax()' if support.unit_interval else ''}"
        )
    if not likelihood.parts:
        check_steps(likelihood, statistics.values, affine, positions)


def check_steps(likelihood: Likelihood, values: NDArray[Any], affine: Affine, positions: Place | None = None) -> None:
    """`DataError` at the first value that is not a whole number, class or level, for a likelihood that accepts only those.

    Args:
        likelihood: the likelihood.
        values: the examples (n, *shape), in raw units. NaN is a missing value.
        affine: the map from raw to model units.
        positions: names the place of a value in messages.
    """
    for each in _parts(likelihood, values, affine, positions):
        check_steps(*each)
    support = likelihood.support
    if not support.step:
        return
    if support.integers and (affine.shift.any() or (affine.scale != 1).any()):
        raise DataError(
            f"the {type(likelihood).__name__} likelihood requires {_accepted(support)}, and the scaling would change them: use "
            "scaling=NoScaling()"
        )
    for begin, block in blocks(values):
        steps = ((block.astype(np.float64) - affine.shift) / affine.scale - support.low) / support.step
        last = (support.high - support.low) / support.step
        wrong = (np.abs(steps - steps.round()) > _ROUNDING) | (steps < -_ROUNDING) | (steps > last + _ROUNDING)
        if wrong.any():
            row, *rest = (int(each) for each in np.argwhere(wrong)[0])
            where = (positions or Positions())((begin + row, *rest))
            raise DataError(
                f"{where} is {float(block[(row, *rest)]):g}, but the {type(likelihood).__name__} likelihood requires {_accepted(support)}: "
                "correct it, or use likelihood=Normal('learned')"
            )


def _parts(
    likelihood: Likelihood, values: NDArray[Any], affine: Affine, positions: Place | None
) -> Iterator[tuple[Likelihood, NDArray[Any], Affine, Place]]:
    """The likelihoods of some columns of a table that do not accept all values, with a copy of these columns."""
    for part, columns in likelihood.parts:
        if part.support != Support() and columns:
            own = Affine(*(np.broadcast_to(side, values.shape[1:])[list(columns)] for side in affine))

            def place(at: tuple[int, ...], columns: tuple[int, ...] = columns) -> str:
                return (positions or Positions())((at[0], columns[at[1]]))

            yield part, values[:, list(columns)], own, place


def _accepted(support: Support) -> str:
    """What a likelihood requires, for messages."""
    if support.integers and math.isfinite(support.high):
        return f"the whole numbers {support.low:g} to {support.high:g}"
    if support.integers:
        return f"whole numbers of at least {support.low:g}"
    return f"values on {support.levels} levels from {support.low:g} to {support.high:g} after scaling"


def scaling_for(statistics: DataStatistics, support: Support) -> Scaling:
    """The scaling that ``scaling="auto"`` selects for a likelihood that accepts only some values.

    Whole numbers and values in [0, 1] are not scaled. Gray levels, which must become values in [0, 1], are divided by 255 if they are
    bytes or other whole numbers from 0 to 255, and else mapped from minimum and maximum over all values.

    Args:
        statistics: the statistics of the examples.
        support: the values that the likelihood accepts.
    """
    low, high, integers = range_of(statistics)
    if not support.unit_interval or (low >= 0 and high <= 1):
        return NoScaling()
    return UInt8() if statistics.values.dtype == np.uint8 or (integers and high > 127) else MinMax(per="all")
