"""Whether new examples are in the units that were fitted: one sentence of warning where most of them cannot be.

It is judged by the bulk, since a few anomalous rows are no other unit: of at most 256 rows, evenly spread, at least 3; of fewer where
each has many numbers of a unit, as an image. A unit (a column
of a table, a channel of windows, all pixels of images) is doubted where more than half of the rows hold a number beyond what was fitted
by more than three times its whole range, or twenty times where anomalies are looked for; one that never varied where it is more than
fifty of its scales away. All are where everything that varied when it was fitted is less than a hundredth as large now, as bytes are
that became numbers in [0, 1]. A unit that was fitted on numbers of one sign is doubted too where its largest number now is less than a
tenth of the least that was fitted, and all of them are a hundredth as large in the geometric middle of their range, as kilograms are
that became tons. On scikit-learn's data sets and on numbers with heavy tails, split at random, by class and along each column, the
least that was fitted was at most 5 times the largest of the others.
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
from isthmus.errors import IsthmusWarning
from isthmus.scaling import Extent
from isthmus.text import printable

__all__ = ["check_units", "once"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]

_ROWS, _LEAST = 256, 3  # looked at, and wanted
_NUMBERS = 2**20  # ends of units to remember: of very wide tables fewer rows are looked at
_BEYOND, _ANOMALOUS = 3.0, 20.0  # ranges; and where anomalies are looked for
_STILL = 50.0  # scales of what never varied
_NUMEROUS, _MANY = (
    16,
    0.05,
)  # numbers of a unit in one example that tell as much as rows; and their share that is outside
_MOST = 0.5  # of the rows
_VANISHING = 0.01
_GAP, _SHRUNK = 10.0, 100.0  # between the ends of what was fitted and of what is given; between the middles
_OFTEN = 0.05  # of the rows, in which what never varied may be another number


class _Said:
    """What was said within `once`.

    Attributes:
        judging: each model is judged once, also where that leaves nothing to be said.
        judged, doubted: the models of which that is so.
        sentences: that were said.
    """

    def __init__(self, judging: bool, outer: _Said | None = None) -> None:
        self.judging = judging
        self.judged: weakref.WeakSet[object] = weakref.WeakSet()
        self.doubted: weakref.WeakSet[object] = weakref.WeakSet() if outer is None else outer.doubted
        self.sentences: set[str] = set() if outer is None else outer.sentences

    def settled(self, model: object) -> bool:
        """Whether nothing more is to be said of a model."""
        return model in self.doubted or (self.judging and model in self.judged)


_NOW: ContextVar[weakref.ref[_Said] | None] = ContextVar("_NOW", default=None)


@contextmanager
def once(judging: bool = True) -> Iterator[None]:
    """Within, a model's units are judged once, by the examples that it is given first: what follows may be spoilt on purpose.

    With `judging` False they are judged each time, and doubted once.
    """
    outer = _said()
    if outer is not None and (outer.judging or not judging):
        yield
        return
    said = _Said(
        judging, outer
    )  # held here alone: also where an interrupt comes in the way of leaving, it ends with this frame
    token = _NOW.set(weakref.ref(said))
    try:
        yield
    finally:
        _NOW.reset(token)


def _said() -> _Said | None:
    """What was said within `once`; None outside of it."""
    now = _NOW.get()
    return None if now is None else now()


def check_units(
    values: Array,
    extent: Extent | None,
    positions: Positions,
    of: object,
    still: bool = False,
    anomalous: bool = False,
) -> None:
    """`IsthmusWarning` if examples (n, *shape) seem to be in other units than those of some extent.

    Args:
        extent: None where it is not known, as in old files: nothing is said.
        places: where the examples stand.
        of: the model.
        still: say also where what never varied does now.
        anomalous: anomalies are looked for among them.
    """
    said = _said()
    few = len(values) < _LEAST
    if extent is None or (few and (anomalous or not _many(values, extent))) or (said is not None and said.settled(of)):
        return
    if said is not None:
        said.judged.add(of)
    sentence = _doubt(
        values,
        Extent(*(np.asarray(side, np.float64) for side in extent)),
        positions,
        still,
        _ANOMALOUS if anomalous or few else _BEYOND,  # one image may be odd
    )
    if sentence is None:
        return
    known = said is not None and sentence in said.sentences
    if said is not None:
        said.doubted.add(of)
        said.sentences.add(sentence)
    if not known:
        warnings.warn(sentence, IsthmusWarning, stacklevel=4)


def _many(values: Array, extent: Extent) -> bool:
    """Whether one example has many numbers of each unit, as an image has and a window of a long series."""
    return len(values) > 0 and values[0].size >= _NUMEROUS * max(1, extent.least.size)


def _doubt(values: Array, extent: Extent, where: Positions, still: bool, most: float) -> str | None:
    """What speaks for other units, in a sentence."""
    low, high = (np.asarray(side).reshape(-1) for side in extent)
    middle, span, varies = low + (high - low) / 2, high - low, high > low
    count = min(len(values), _ROWS, max(_LEAST, _NUMBERS // low.size))
    positions = np.unique(np.linspace(0, len(values) - 1, count).astype(np.int64))
    runs = (
        np.asarray(values[place]).reshape(-1, low.size) for place in positions
    )  # one row at a time: one may be large
    ends = np.array([(np.fmin.reduce(run, 0), np.fmax.reduce(run, 0)) for run in runs], np.float64)
    bottom, top = np.where(np.isnan(ends), middle, ends).swapaxes(
        0, 1
    )  # (rows, units); what is missing speaks for nothing
    outside = (top > high + most * span) | (bottom < low - most * span)
    beyond = varies & (outside.mean(0) > _MOST)
    if len(values) < _LEAST:  # of a single image many numbers are outside, not one that is spoilt
        numbers = np.asarray(values, np.float64).reshape(-1, low.size)
        beyond &= ((numbers > high + most * span) | (numbers < low - most * span)).mean(0) > _MANY
    least, largest = np.quantile(bottom, 0.1, axis=0), np.quantile(top, 0.9, axis=0)
    steps = _STILL * np.asarray(extent.scale(np.ones(extent.least.shape))).reshape(-1)
    away = np.maximum(np.abs(top - low), np.abs(bottom - low)) > steps
    beyond |= ~varies & (away.mean(0) > _MOST)
    if still:
        beyond |= ~varies & (((bottom != low) | (top != low)).mean(0) > _OFTEN)
    if beyond.any():
        return _sentence(
            np.flatnonzero(beyond),
            (least, largest),
            (low, high),
            (values.shape[1:], extent.least.shape),
            where,
            still,
        )
    before = np.maximum(np.abs(low), np.abs(high))[varies]
    now = np.maximum(np.abs(bottom), np.abs(top)).max(0)[varies]
    whole = len(values) < _LEAST and bool((np.asarray(values) % 1 == 0).all())  # a single dark image
    if varies.any() and not whole and now.max() > 0 and (now < _VANISHING * before).all():
        bytes_ = (
            " (were bytes divided by 255, when it was fitted on bytes?)" if high.max() == 255 and now.max() <= 1 else ""
        )
        return (
            f"these examples fill less than a hundredth of the range that was fitted: they reach to {now.max():g}, and it was fitted to "
            f"{before.max():g}; they seem to be in another unit{bytes_}"
        )
    found = np.fmin.reduce(ends[:, 0], 0), np.fmax.reduce(ends[:, 1], 0)
    shrunk = (~np.isnan(ends[:, 0])).sum(0) >= _LEAST
    shrunk &= _shrunk(found, (low, high)) | _shrunk((-found[1], -found[0]), (-high, -low))
    if shrunk.any():
        return _sentence(
            np.flatnonzero(shrunk), found, (low, high), (values.shape[1:], extent.least.shape), where, still, "all"
        )
    return None


def _shrunk(found: tuple[Doubles, Doubles], fitted: tuple[Doubles, Doubles]) -> NDArray[np.bool_]:
    """Which units of positive numbers are far smaller than what was fitted, and still vary."""
    (least, largest), (low, high) = found, fitted
    positive = (low > 0) & (least > 0) & (largest > least) & (high > low)
    middles = np.sqrt(np.abs(low)) * np.sqrt(np.abs(high)), np.sqrt(np.abs(least)) * np.sqrt(np.abs(largest))
    return np.asarray(positive & (low > _GAP * largest) & (middles[0] > _SHRUNK * middles[1]))


def _sentence(
    beyond: NDArray[np.intp],
    found: tuple[Doubles, Doubles],
    fitted: tuple[Doubles, Doubles],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    where: Positions,
    still: bool,
    rows: str = "most",
) -> str:
    """Which unit lies beyond what was fitted, and the likely reason."""
    unit, count = int(beyond[0]), len(fitted[0])
    shape, own = shapes
    low, high = (float(side[unit]) for side in fitted)
    least, largest = (float(side[unit]) for side in found)
    if not own or own == (1,):
        what = "these examples"
    elif own == shape and len(own) == 1 and where.columns is not None:
        what = f"column '{printable(where.columns[unit])}'"
    elif own == shape:
        what = where.feature(tuple(map(int, np.unravel_index(unit, own))))
    else:
        what = f"channel {unit}"
    more = f" and {len(beyond) - 1:,} more" if len(beyond) > 1 else ""
    if still and low == high:
        reason = "partial_fit(X, scaling_sample=) takes at first a sample of all that will come"
    elif low == high:
        reason = "a model learns nothing of what never varies"
    elif high <= 1 and low >= 0 and least >= 0 and 1 < largest <= 255:
        reason = "they seem to be bytes, and it was fitted on numbers in [0, 1]: divide by 255"
    elif own == shape and count > 1:
        reason = "is it in another unit, or are the columns in another order?"
    else:
        reason = "it seems to be in another unit"
    between = f"it never varied from {low:g} when it was fitted" if low == high else f"fitted were {low:g} to {high:g}"
    middle = f"{least:g}" if least == largest else f"{least:g} to {largest:g}"
    return (
        f"{what}{more} {'lie' if what == 'these examples' or more else 'lies'} far outside of the range that was fitted: {middle} in "
        f"{rows} rows, and {between}; {reason}"
    )
