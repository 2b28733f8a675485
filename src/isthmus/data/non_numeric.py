"""Sentences on values that are no numbers: where one stands, what it is, and how to leave its column out."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from isthmus.data.labels import is_a
from isthmus.data.locations import position
from isthmus.errors import DataError

__all__ = ["Held", "held", "no_numbers"]

Held = Literal["text", "dates", "times", "durations"]

_LISTED = 10  # columns in a message


def held(value: Any) -> Held | None:
    """What a value is that could be taken for a number and is none; None of anything else."""
    if isinstance(value, str | bytes | bytearray):
        return "text"
    if isinstance(value, datetime.date | np.datetime64) or is_a(value, "pandas", "Period"):
        return "dates"
    if isinstance(value, datetime.time):
        return "times"
    return "durations" if isinstance(value, datetime.timedelta | np.timedelta64) else None


def no_numbers(
    place: tuple[int, ...], value: Any, columns: tuple[str, ...] | None, row: Sequence[Any] = (), leave_out: str = ""
) -> DataError:
    """The error of a value that `held` knows.

    Args:
        place: where it stands.
        value: the value.
        columns: the names of the columns, where they have any.
        row: the whole row in which it stands, where it is one: other columns of it may hold no numbers either.
        leave_out: how a frame is written without some columns: X.drop({names}).
    """
    shown = repr(str(value) if isinstance(value, str) else value) if held(value) == "text" else str(value)
    found = {number: what for number, each in enumerate(row) if (what := held(each))} if columns else {}
    more = (
        [f"column {columns[number]!r} holds {what}" for number, what in found.items() if number != place[-1]]
        if columns
        else []
    )
    also = "".join(f", {each}" for each in more[:_LISTED]) + (", ..." if len(more) > _LISTED else "")
    out = f"leave the column{'s' if more else ''} out"
    if columns and leave_out and len(found) <= _LISTED:
        out += f", {leave_out.format(names=[columns[number] for number in found or (place[-1],)])}"
    return DataError(
        f"X holds {held(value)}: {position(place, columns)} is {shown}{also}; turn them into numbers or {out}"
    )
