"""The values that a likelihood accepts: the scaling that leads to them, and checks. Errors name the row and the column."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.augmentations import Augmentation
from isthmus.data.locations import Positions
from isthmus.data.sparse_rows import SparseRows
from isthmus.data.statistics import DataStatistics
from isthmus.data.validation import blocks
from isthmus.errors import DataError, IsthmusWarning, RecordError
from isthmus.likelihoods import Likelihood, Support
from isthmus.scaling import Affine, Curves, MinMax, NoScaling, Scaling, UInt8, range_of, within

__all__ = [
    "accepts_made",
    "check_domain",
    "check_examples",
    "check_made",
    "check_steps",
    "check_validation",
    "scaling_for",
]

Place = Callable[[tuple[int, ...]], str]  # names the place of a value in messages

_ROUNDING = 1e-4  # of a step: what scaling in single precision may change


def check_examples(
    likelihood: Likelihood,
    augmentation: Augmentation,
    statistics: DataStatistics,
    affine: Affine,
    positions: Place | None = None,
    name: str = "",
    curves: Curves | None = None,
) -> None:
    """`DataError` unless the augmentation accepts examples, and the likelihood what the augmentation makes of them.

    Args:
        likelihood, augmentation: the components.
        statistics: the statistics of the examples, in raw units.
        affine: the map from raw to model units.
        positions: names the place of a value in messages.
        name: the name of the examples in messages; "" for those of the training.
        curves: the map from raw to model units where it is not affine.
    """
    with _named(name):
        check_domain(augmentation, statistics, affine, curves)
        check_made(likelihood, augmentation)
        if augmentation.made().kept:
            _check_support(likelihood, statistics, affine, positions, curves)


def check_validation(
    likelihood: Likelihood,
    augmentation: Augmentation,
    scaling: Scaling,
    statistics: DataStatistics,
    affine: Affine,
    curves: Curves | None = None,
) -> None:
    """`check_examples` for validation data. A warning is enough for values beyond those that the scaling was fitted to.

    Args:
        likelihood, augmentation, scaling: the components.
        statistics: the statistics of the validation examples, in raw units.
        affine: the map from raw to model units.
        curves: the map where it is not affine.
    """
    if augmentation.made().kept:
        with _named("validation_data"):
            check_steps(likelihood, statistics.values, affine)
    try:
        check_examples(likelihood, augmentation, statistics, affine, name="validation_data", curves=curves)
    except DataError as error:
        if scaling.axes(statistics.values.ndim) is None:  # it does not depend on the data
            raise
        warnings.warn(str(error), IsthmusWarning, stacklevel=5)


def check_domain(
    augmentation: Augmentation, statistics: DataStatistics, affine: Affine, curves: Curves | None = None
) -> None:
    """`DataError` unless examples are, in model units, values that the augmentation accepts.

    Args:
        augmentation: the augmentation.
        statistics: the statistics of the examples, in raw units.
        affine: the map from raw to model units.
        curves: the map where it is not affine.
    """
    low, high = augmentation.domain
    if not within(statistics, affine, low, high, curves):
        raise DataError(
            f"{augmentation!r} requires examples in [{low:g}, {high:g}] after scaling, and these are not; use scaling=MinMax(), or "
            "leave the augmentation out"
        )


def check_made(likelihood: Likelihood, augmentation: Augmentation) -> None:
    """`RecordError` if the augmentation makes values of its own that the likelihood does not accept.

    Args:
        likelihood, augmentation: the components.
    """
    made = augmentation.made()
    for each in (part for part, _ in likelihood.parts or ((likelihood, ()),)):
        support = each.support
        wrong = next((point for point in made.points if not _accepts(support, point)), None)
        if wrong is None and not (made.continuous and support.step):
            continue
        value = (
            f"the value {wrong:g}"
            if not made.continuous
            else "values between " + " and ".join(f"{end:.3g}" for end in (min(made.points), max(made.points)))
        )
        raise RecordError(
            f"{augmentation!r} makes {value}, and the {type(each).__name__} likelihood requires {_accepted(support)}: use "
            "likelihood=Normal('learned'), or another augmentation"
        )


def accepts_made(likelihood: Likelihood, augmentation: Augmentation) -> bool:
    """Whether the likelihood accepts all values that the augmentation makes of its own.

    Args:
        likelihood, augmentation: the components.
    """
    try:
        check_made(likelihood, augmentation)
    except RecordError:
        return False
    return True


def _accepts(support: Support, value: float) -> bool:
    """Whether a value in model units is one that a likelihood accepts."""
    steps = (value - support.low) / support.step if support.step else 0.0
    return support.low <= value <= support.high and abs(steps - round(steps)) <= _ROUNDING


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Puts the name of the examples before the message of a `DataError`, unless it is empty."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{name}: {error}" if name else str(error)) from None


def _check_support(
    likelihood: Likelihood,
    statistics: DataStatistics,
    affine: Affine,
    positions: Place | None,
    curves: Curves | None,
    remedy: str = "NoScaling()",
) -> None:
    """`DataError` unless examples are, in model units, values that the likelihood accepts."""
    for part, columns, values, own, place in _parts(likelihood, statistics.values, affine, positions):
        bent = None if curves is None else Curves(*(side[list(columns)] for side in curves))
        _check_support(part, DataStatistics(values), own, place, bent, "Columns(..., numbers=NoScaling())")
    support = likelihood.support
    if not support.step and not within(statistics, affine, support.low, support.high, curves):
        raise DataError(
            f"the {type(likelihood).__name__} likelihood requires examples {_accepted(support)}, and these are not; use "
            f"likelihood=Normal('learned'){', or scaling=MinMax()' if support.unit_interval else ''}"
        )
    if support.integers and (affine.shift.any() or (affine.scale != 1).any()):
        raise DataError(
            f"the {type(likelihood).__name__} likelihood requires {_accepted(support)}, and the scaling would change them: use "
            f"scaling={remedy}"
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
    for part, _, own, scaled, place in _parts(likelihood, values, affine, positions):
        check_steps(part, own, scaled, place)
    support = likelihood.support
    if not support.step or _seen_at_once(support, values, affine):
        return
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


def _seen_at_once(support: Support, values: NDArray[Any], affine: Affine) -> bool:
    """Whether a quick look shows only whole numbers within the support, as counts are. Of sparse rows it sees the stored values."""
    if not support.integers or affine.shift.any() or (affine.scale != 1).any() or not support.low <= 0 <= support.high:
        return False
    parts = [values.matrix.data] if isinstance(values, SparseRows) else (block for _, block in blocks(values))
    return all(
        bool((part >= support.low).all() and (part <= support.high).all() and (np.floor(part) == part).all())
        for part in parts
    )


def _parts(
    likelihood: Likelihood, values: NDArray[Any], affine: Affine, positions: Place | None
) -> Iterator[tuple[Likelihood, tuple[int, ...], NDArray[Any], Affine, Place]]:
    """The likelihoods of some columns of a table that do not accept all values, with these columns and a copy of their values."""
    for part, columns in likelihood.parts:
        if part.support != Support() and columns:
            own = Affine(*(np.broadcast_to(side, values.shape[1:])[list(columns)] for side in affine))

            def place(at: tuple[int, ...], columns: tuple[int, ...] = columns) -> str:
                return (positions or Positions())((at[0], columns[at[1]]))

            yield part, columns, values[:, list(columns)], own, place


def _accepted(support: Support) -> str:
    """What a likelihood requires, for messages."""
    if support.integers and math.isfinite(support.high):
        return f"the whole numbers {support.low:g} to {support.high:g}"
    if support.integers:
        return f"whole numbers of at least {support.low:g}"
    if not support.step:
        ends = (
            f"in [{support.low:g}, {support.high:g}]" if math.isfinite(support.high) else f"of at least {support.low:g}"
        )
        return f"{ends} after scaling"
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
