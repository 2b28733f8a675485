"""Stretches: runs of rows of one machine without a gap in time."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.series.rows import SeriesRows
from isthmus.errors import RecordError
from isthmus.text import printable

__all__ = ["Gap", "Stretches", "checked_gap", "intervals_of", "repeated_note", "seconds_of", "stretches", "usual_gap"]

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]
Gap = float | datetime.timedelta | np.timedelta64 | None

_GAP = 1.5  # median intervals: a row that is missing leaves an interval of 2
_OFF, _OFTEN = 0.1, 0.01  # an interval differs from the median by this fraction; so many of them are irregular sampling


class Stretches(NamedTuple):
    """Runs of rows: their first rows, the rows after their last, and what to say about them.

    Attributes:
        begins, ends: (s,) row numbers.
        notes: one sentence each.
        guesses: those notes that state a guess about the data, or irregular data.
    """

    begins: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    notes: tuple[str, ...]
    guesses: tuple[str, ...]


def stretches(rows: SeriesRows, gap: Gap) -> Stretches:
    """Divides rows at each new machine and at each gap.

    Args:
        rows: the rows.
        gap: the longest interval that is no gap, in the unit of the time (seconds for dates); None: 1.5 times the median interval of
            the machine.

    Raises:
        RecordError: a gap is given and there is no time, or it is not positive.
    """
    n, breaks = len(rows.values), np.flatnonzero(np.diff(rows.machines)) + 1
    limit = None if gap is None else checked_gap(gap, rows.time is not None)
    if rows.time is None:
        note = "no time is given: neighboring rows are taken as equally far apart"
        return Stretches(np.r_[0, breaks], np.r_[breaks, n], (note,), ())
    seconds, unit = seconds_of(rows.time), _unit(rows.time)
    gaps, intervals, limits, repeated = list[Array](), list[Doubles](), list[float](), 0
    for begin, end in zip(np.r_[0, breaks].tolist(), np.r_[breaks, n].tolist(), strict=True):
        steps = intervals_of(rows.time[begin:end])
        repeated += int((steps == 0).sum())
        positive = steps[steps > 0]
        usual = float(np.median(positive)) if positive.size else 1.0
        limits.append(_GAP * usual if limit is None else limit)
        gaps.append(begin + 1 + np.flatnonzero(steps > limits[-1]))
        intervals.append(positive[positive <= limits[-1]] / usual)
    at = np.concatenate(gaps)
    gap_note = _gap_note(rows, seconds, at, limits, unit, limit is not None)
    guesses = [*([] if limit is not None else gap_note)]
    guesses += _irregular(np.concatenate(intervals))
    guesses += [repeated_note(repeated)] if repeated else []
    inner = np.sort(np.concatenate([breaks, at]))
    notes = [*(gap_note if limit is not None else []), *guesses]
    return Stretches(np.r_[0, inner], np.r_[inner, n], tuple(notes), tuple(guesses))


def seconds_of(time: Array) -> Doubles:
    """Times as numbers in their unit, seconds for dates, whose differences are exact."""
    if time.dtype.kind == "f":
        return time.astype(np.float64)
    ticks = time.astype(np.int64)
    since: Doubles = (ticks - ticks.min(initial=np.iinfo(np.int64).max)) / (1e6 if time.dtype.kind == "M" else 1.0)
    return since


def intervals_of(time: Array) -> Doubles:
    """The intervals between neighboring times in their unit, seconds for dates. They do not depend on other times."""
    if time.dtype.kind == "f":
        return np.diff(time.astype(np.float64))
    steps: Doubles = np.diff(time.astype(np.int64)).astype(np.float64) / (1e6 if time.dtype.kind == "M" else 1.0)
    return steps


def usual_gap(time: Array, machines: Array | None) -> float | None:
    """The longest interval that is no gap, from some rows: 1.5 times the median interval, of the machine where it is largest.

    None without an interval.
    """
    labels = np.zeros(len(time)) if machines is None else machines
    steps = [intervals_of(time[labels == label]) for label in np.unique(labels)]
    medians = [float(np.median(each[each > 0])) for each in steps if (each > 0).any()]
    return _GAP * max(medians) if medians else None


def _unit(time: Array) -> Callable[[float], str]:
    """How a message writes a length of time."""
    unit = " s" if time.dtype.kind == "M" else ""
    return lambda length: f"{length:.6g}{unit}"


def checked_gap(gap: Any, timed: bool) -> float:
    """The given gap in the unit of the time. `timed` says whether there is a time."""
    if isinstance(gap, np.timedelta64):
        gap = gap / np.timedelta64(1, "s")
    if isinstance(gap, datetime.timedelta):
        gap = gap.total_seconds()
    if isinstance(gap, bool) or not isinstance(gap, int | float | np.number) or not gap > 0:
        raise RecordError(
            f"invalid gap={gap!r} (--gap): expected a positive length of time, in seconds or in the unit of the time"
        )
    if not timed:
        raise RecordError(f"gap={gap!r} (--gap) is a length of time, and no time is given: give time= (--time) too")
    return float(gap)


def repeated_note(count: int) -> str:
    """A note about rows with the time of the row before them.

    Args:
        count: how many.
    """
    many = f"{count:,} rows have the time of the row before them"
    return many if count > 1 else "1 row has the time of the row before it"


def _shown(time: Any) -> str:
    """A time for a message: a date without fractions of seconds that are 0."""
    if not isinstance(time, np.datetime64):
        return str(time)
    return str(np.datetime_as_string(time, unit="s" if time == time.astype("datetime64[s]") else "us"))


def _gap_note(
    rows: SeriesRows, seconds: Doubles, at: Array, limits: list[float], unit: Callable[[float], str], given: bool
) -> list[str]:
    """A note about gaps: how many, what counts as one, and the longest."""
    if not at.size:
        return []
    lengths = seconds[at] - seconds[at - 1]
    row = int(at[lengths.argmax()])
    machine = f" of {printable(rows.labels[rows.machines[row]])}" if rows.labels else ""
    low, high = min(limits), max(limits)
    limit = unit(low) if low == high else f"{unit(low)} to {unit(high)} by machine"
    why = "" if given else ", 1.5 times the median interval; else --gap, gap="
    many = f"{at.size:,} gaps" if at.size > 1 else "1 gap"
    return [
        f"{many} in time (intervals over {limit}{why}), the longest {unit(float(lengths.max()))} before {_shown(rows.time[row])}{machine}: "  # type: ignore[index]  # there is a time
        "no window crosses one"
    ]


def _irregular(relative: Doubles) -> list[str]:
    """A note about irregular sampling, from intervals relative to the median of their machine."""
    off = float((np.abs(relative - 1) > _OFF).mean()) if relative.size else 0.0
    if off < _OFTEN:
        return []
    return [
        f"sampling is irregular: {off:.0%} of the intervals differ by more than 10 % from the median, from {relative.min():.2g} to "
        f"{relative.max():.2g} times it; windows count rows, not time"
    ]
