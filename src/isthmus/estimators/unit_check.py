"""Warns, in one sentence, if most new examples seem to be in other units than the training data.

A few anomalous rows must not trigger the warning, so the check looks at the majority: at most 256 evenly spaced rows, and at least 3, or
fewer if each example has many values, as an image has. A group is a column of a table, a channel of windows, or all pixels of images.

A group triggers the warning if more than half of the rows have a value outside the fitted range by more than 3 times its width (20 times
if the examples are expected to contain anomalies). A group that was constant triggers it at a distance of 50 scales. All groups together
trigger it if every group that varied is now less than a hundredth as large: bytes that were divided by 255, for example. A group fitted on
values of one sign also triggers it if its largest value is less than a tenth of the smallest fitted one, and the geometric centers of both
ranges differ by a factor of 100: kilograms that became tons, for example. On scikit-learn's data sets and on heavy-tailed data, split at
random, by class and along each column, the smallest fitted value was at most 5 times the largest value of the other part.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.locations import Positions
from isthmus.data.memmap import Rows
from isthmus.errors import IsthmusWarning
from isthmus.scaling import Extent
from isthmus.text import printable

__all__ = ["check_units", "check_units_once"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]

_MAX_ROWS, _MIN_ROWS = 256, 3
_MAX_MINIMA = 2**20  # minima to store; very wide tables are checked on fewer rows
_MAX_OUTSIDE, _MAX_OUTSIDE_ANOMALOUS = 3.0, 20.0  # distance in widths of the fitted range; with anomalies expected
_MAX_DISTANCE_CONSTANT = 50.0  # distance in scales, for a group that was constant
_MIN_VALUES = 16  # per group of one example, to check fewer rows than _MIN_ROWS
_MIN_VALUE_FRACTION = 0.05  # of these values outside the range, to warn
_MAX_ROW_FRACTION = 0.5
_TINY_FRACTION = 0.01
_GAP_FACTOR, _CENTER_FACTOR = 10.0, 100.0  # smallest fitted to largest new value; geometric centers
_MAX_CHANGED_FRACTION = 0.05  # of the rows, in which a group that was constant may have another value


class _WarningScope:
    """The checks and warnings within a block of `check_units_once`.

    Attributes:
        check_once: check each model only once, even without a warning.
        checked, warned: the models that were checked, and those that caused a warning.
        sentences: the warnings given.
    """

    def __init__(self, check_once: bool, outer: _WarningScope | None = None) -> None:
        self.check_once = check_once
        self.checked: weakref.WeakSet[object] = weakref.WeakSet()
        self.warned: weakref.WeakSet[object] = weakref.WeakSet() if outer is None else outer.warned
        self.sentences: set[str] = set() if outer is None else outer.sentences

    def is_settled(self, model: object) -> bool:
        """Whether a model needs no further check."""
        return model in self.warned or (self.check_once and model in self.checked)


_SCOPE: ContextVar[weakref.ref[_WarningScope] | None] = ContextVar("_SCOPE", default=None)


@contextmanager
def check_units_once(check_once: bool = True) -> Iterator[None]:
    """A context in which units are checked once per model, on the first examples: later ones may be corrupted on purpose.

    With `check_once` False they are checked each time, but each model warns only once.
    """
    outer = current_scope()
    if outer is not None and (outer.check_once or not check_once):
        yield
        return
    # this frame has the only reference: the scope ends with it, even if an interrupt prevents the reset
    scope = _WarningScope(check_once, outer)
    token = _SCOPE.set(weakref.ref(scope))
    try:
        yield
    finally:
        _SCOPE.reset(token)


def current_scope() -> _WarningScope | None:
    """The scope of the innermost `check_units_once`; None outside."""
    scope = _SCOPE.get()
    return None if scope is None else scope()


def check_units(
    values: Array,
    extent: Extent | None,
    positions: Positions,
    model: object,
    check_constant: bool = False,
    anomalous: bool = False,
) -> None:
    """`IsthmusWarning` if examples (n, *shape) seem to be in other units than the training data.

    Args:
        extent: the range of the training data. None (unknown, in old files) skips the check.
        positions: names the place of a value in messages.
        model: the model, which the context `check_units_once` remembers.
        check_constant: warn also if a group that was constant varies now.
        anomalous: the examples are expected to contain anomalies.
    """
    scope = current_scope()
    few = len(values) < _MIN_ROWS
    if extent is None or (few and (anomalous or not _has_many_values(values, extent))):
        return
    if scope is not None:
        if scope.is_settled(model):
            return
        scope.checked.add(model)
    sentence = _unit_warning(
        values,
        Extent(*(np.asarray(side, np.float64) for side in extent)),
        positions,
        check_constant,
        _MAX_OUTSIDE_ANOMALOUS if anomalous or few else _MAX_OUTSIDE,  # a single image may be unusual
    )
    if sentence is None:
        return
    repeated = scope is not None and sentence in scope.sentences
    if scope is not None:
        scope.warned.add(model)
        scope.sentences.add(sentence)
    if not repeated:
        warnings.warn(sentence, IsthmusWarning, stacklevel=4)


def _has_many_values(values: Array, extent: Extent) -> bool:
    """Whether one example has many values per group, as an image or a long window has."""
    return len(values) > 0 and values[0].size >= _MIN_VALUES * max(1, extent.least.size)


def _unit_warning(
    values: Array, extent: Extent, where: Positions, check_constant: bool, max_outside: float
) -> str | None:
    """The warning if the examples seem to be in other units, else None."""
    low, high = (np.asarray(side).reshape(-1) for side in extent)
    middle, span, varies = low + (high - low) / 2, high - low, high > low
    count = min(len(values), _MAX_ROWS, max(_MIN_ROWS, _MAX_MINIMA // low.size))
    positions = np.unique(np.linspace(0, len(values) - 1, count).astype(np.int64))
    read = Rows(values)
    runs = (read(row).reshape(-1, low.size) for row in positions[:, None])  # one row at a time: a row may be large
    ends = np.array([(np.fmin.reduce(run, 0), np.fmax.reduce(run, 0)) for run in runs], np.float64)
    bottom, top = np.where(np.isnan(ends), middle, ends).swapaxes(0, 1)  # (rows, groups); missing values do not count
    outside = (top > high + max_outside * span) | (bottom < low - max_outside * span)
    beyond = varies & (outside.mean(0) > _MAX_ROW_FRACTION)
    if len(values) < _MIN_ROWS:  # one corrupted pixel of a single image must not trigger the warning
        numbers = np.asarray(values, np.float64).reshape(-1, low.size)
        beyond &= ((numbers > high + max_outside * span) | (numbers < low - max_outside * span)).mean(
            0
        ) > _MIN_VALUE_FRACTION
    least, largest = np.quantile(bottom, 0.1, axis=0), np.quantile(top, 0.9, axis=0)
    max_distance = _MAX_DISTANCE_CONSTANT * np.asarray(extent.scale(np.ones(extent.least.shape))).reshape(-1)
    away = np.maximum(np.abs(top - low), np.abs(bottom - low)) > max_distance
    beyond |= ~varies & (away.mean(0) > _MAX_ROW_FRACTION)
    if check_constant:
        beyond |= ~varies & (((bottom != low) | (top != low)).mean(0) > _MAX_CHANGED_FRACTION)
    if beyond.any():
        return _sentence(
            np.flatnonzero(beyond),
            (least, largest),
            (low, high),
            (values.shape[1:], extent.least.shape),
            where,
            check_constant,
        )
    before = np.maximum(np.abs(low), np.abs(high))[varies]
    now = np.maximum(np.abs(bottom), np.abs(top)).max(0)[varies]
    whole = len(values) < _MIN_ROWS and bool((np.asarray(values) % 1 == 0).all())  # a single dark image
    if varies.any() and not whole and now.max() > 0 and (now < _TINY_FRACTION * before).all():
        bytes_ = (
            " (were bytes divided by 255, but not the training data?)" if high.max() == 255 and now.max() <= 1 else ""
        )
        return (
            f"these examples cover less than a hundredth of the training range: their maximum is {now.max():g}, that of the training data "
            f"{before.max():g}; they seem to be in another unit{bytes_}"
        )
    new = np.fmin.reduce(ends[:, 0], 0), np.fmax.reduce(ends[:, 1], 0)
    shrunk = (~np.isnan(ends[:, 0])).sum(0) >= _MIN_ROWS
    shrunk &= _shrunk(new, (low, high)) | _shrunk((-new[1], -new[0]), (-high, -low))
    if shrunk.any():
        return _sentence(
            np.flatnonzero(shrunk),
            new,
            (low, high),
            (values.shape[1:], extent.least.shape),
            where,
            check_constant,
            "all",
        )
    return None


def _shrunk(new: tuple[Doubles, Doubles], fitted: tuple[Doubles, Doubles]) -> NDArray[np.bool_]:
    """The groups of positive values that are far smaller than the training data and still vary."""
    (least, largest), (low, high) = new, fitted
    positive = (low > 0) & (least > 0) & (largest > least) & (high > low)
    centers = np.sqrt(np.abs(low)) * np.sqrt(np.abs(high)), np.sqrt(np.abs(least)) * np.sqrt(np.abs(largest))
    return np.asarray(positive & (low > _GAP_FACTOR * largest) & (centers[0] > _CENTER_FACTOR * centers[1]))


def _sentence(
    beyond: NDArray[np.intp],
    new: tuple[Doubles, Doubles],
    fitted: tuple[Doubles, Doubles],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    where: Positions,
    check_constant: bool,
    rows: str = "most",
) -> str:
    """The warning: which group is outside the training range, and the likely reason."""
    unit, count = int(beyond[0]), len(fitted[0])
    shape, group_shape = shapes
    low, high = (float(side[unit]) for side in fitted)
    least, largest = (float(side[unit]) for side in new)
    if not group_shape or group_shape == (1,):
        what = "these examples"
    elif group_shape == shape and len(group_shape) == 1 and where.columns is not None:
        what = f"column '{printable(where.columns[unit])}'"
    elif group_shape == shape:
        what = where.feature(tuple(map(int, np.unravel_index(unit, group_shape))))
    else:
        what = f"channel {unit}"
    more = f" and {len(beyond) - 1:,} more" if len(beyond) > 1 else ""
    several = what == "these examples" or more
    if check_constant and low == high:
        reason = "pass a sample of the whole stream as scaling_sample in the first partial_fit"
    elif low == high:
        reason = "a model learns nothing about a constant feature"
    elif high <= 1 and low >= 0 and least >= 0 and 1 < largest <= 255:
        reason = "they seem to be bytes, and the training data was in [0, 1]: divide by 255"
    elif group_shape == shape and count > 1:
        reason = "is it in another unit, or are the columns in another order?"
    else:
        reason = f"{'they seem' if several else 'it seems'} to be in another unit"
    between = f"always {low:g} in the training data" if low == high else f"{low:g} to {high:g} in the training data"
    middle = f"{least:g}" if least == largest else f"{least:g} to {largest:g}"
    return (
        f"{what}{more} {'lie' if several else 'lies'} far outside the training range: {middle} in "
        f"{rows} rows, {between}; {reason}"
    )
