"""Columns of dates as days since 1970."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.column_kinds import have_zone, is_text
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = [
    "DAYS",
    "MICROSECONDS",
    "PHASE_DECIMALS",
    "SECONDS",
    "Cycle",
    "Unit",
    "days_of",
    "is_zone",
    "phases_of",
    "unit_of",
    "zone_of",
]

Doubles = NDArray[np.float64]
Unit = Literal["D", "s", "ms", "us"]
Cycle = Literal["year", "week", "day"]

MICROSECONDS = 86_400e6  # of a day
PHASE_DECIMALS = 12
DAYS: dict[Cycle, float] = {"year": 365.2425, "week": 7.0, "day": 1.0}
SECONDS: dict[Unit, float] = {"D": 86_400.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}


def zone_of(name: str, column: Any) -> str | None:
    """The time zone of a column of dates: of texts that state their zones UTC, as they are moments on one scale; None without.

    Raises:
        DataError: some texts have a zone, and others have none.
    """
    zone: str | None = getattr(column.type, "tz", None)
    if not is_text(column.type):
        return zone
    known = column.drop_null()
    zoned = have_zone(known)
    with_zone, without = known.filter(zoned), known.filter(pyarrow().compute.invert(zoned))
    if len(with_zone) and len(without):
        first, other = (printable(each[0].as_py(), 40) for each in (with_zone, without))
        raise DataError(
            f"column {printable(name)!r} has times with a zone ({first}) and times without ({other}): write all in one way"
        )
    return "UTC" if len(with_zone) else None


def days_of(name: str, column: Any) -> Doubles:
    """Dates as days since 1970, of UTC if they have a zone; NaN for missing ones."""
    arrow, kind = pyarrow(), column.type
    types = arrow.types
    if not (is_text(kind) or types.is_date(kind) or types.is_timestamp(kind) or types.is_null(kind)):
        raise DataError(
            f"column {printable(name)!r} holds {kind}, which are no dates: convert them to dates, or give it another kind"
        )
    finer = arrow.types.is_timestamp(kind) and kind.unit == "ns"  # cut to microseconds
    zone = zone_of(name, column)
    try:
        moments = column.cast(arrow.timestamp("us", tz=zone), safe=not finer)
    except (arrow.ArrowException, ValueError) as error:
        raise DataError(
            f"column {printable(name)!r} holds values that are no dates ({printable(str(error), 80)}): correct them"
        ) from None
    ticks = np.asarray(moments.cast(arrow.int64()).to_numpy(zero_copy_only=False), np.float64)
    return ticks / MICROSECONDS


def phases_of(days: Doubles, cycles: Sequence[Cycle]) -> list[Doubles]:
    """Sine and cosine of the phase of each cycle, (n,) each.

    They are computed from whole microseconds, so that the same weekday or hour has the same phase to the last bit, and is a constant; and
    rounded, so that every program that computes sines finds the same numbers.
    """
    ticks, lengths = np.round(days * MICROSECONDS), [DAYS[cycle] * MICROSECONDS for cycle in cycles]
    angles = [2 * math.pi * (np.mod(ticks, length) / length) for length in lengths]
    return [wave(angle).round(PHASE_DECIMALS) for angle in angles for wave in (np.sin, np.cos)]


def unit_of(days: Doubles) -> Unit:
    """The coarsest unit of which all dates are multiples."""
    microseconds = np.round(days * MICROSECONDS)
    return next((unit for unit, seconds in SECONDS.items() if not (microseconds % (seconds * 1e6)).any()), "us")


def is_zone(zone: str) -> bool:
    """Whether pyarrow has a time zone."""
    arrow = pyarrow()
    try:
        arrow.compute.local_timestamp(arrow.array([0], arrow.timestamp("us", tz=zone or "UTC")))
    except arrow.ArrowException:
        return False
    return True
