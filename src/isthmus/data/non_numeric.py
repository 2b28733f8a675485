"""Errors about values that are not numeric: their location, their type, and how to leave out their column."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from isthmus.data.labels import is_a
from isthmus.data.locations import position
from isthmus.errors import DataError

__all__ = ["NonNumeric", "non_numeric_error", "non_numeric_type"]

NonNumeric = Literal["text", "dates", "times", "durations"]

_LISTED = 10  # columns in a message


def non_numeric_type(value: Any) -> NonNumeric | None:
    """The type of a text, date, time or duration, in the plural; None for any other value."""
    if isinstance(value, str | bytes | bytearray):
        return "text"
    if isinstance(value, datetime.date | np.datetime64) or is_a(value, "pandas", "Period"):
        return "dates"
    if isinstance(value, datetime.time):
        return "times"
    return "durations" if isinstance(value, datetime.timedelta | np.timedelta64) else None


def non_numeric_error(
    index: tuple[int, ...], value: Any, columns: tuple[str, ...] | None, row: Sequence[Any] = (), leave_out: str = ""
) -> DataError:
    """The error for a value for which `non_numeric_type` is not None.

    Args:
        index: the index of the value.
        value: the value.
        columns: the column names, if there are any.
        row: the row of the value, if it is in a table; the message also names its other columns that are not numeric.
        leave_out: the code that leaves columns out of the frame, such as X.drop({names}).
    """
    kind = non_numeric_type(value)
    quoted = repr(str(value) if isinstance(value, str) else value) if kind == "text" else str(value)
    types = {number: each for number, cell in enumerate(row) if (each := non_numeric_type(cell))} if columns else {}
    others = (
        [f"column {columns[number]!r} holds {each}" for number, each in types.items() if number != index[-1]]
        if columns
        else []
    )
    also = "".join(f", {each}" for each in others[:_LISTED]) + (", ..." if len(others) > _LISTED else "")
    remedy = f"leave the column{'s' if others else ''} out"
    if columns and leave_out and len(types) <= _LISTED:
        remedy += f", {leave_out.format(names=[columns[number] for number in types or (index[-1],)])}"
    return DataError(
        f"X holds {kind}: {position(index, columns)} is {quoted}{also}; convert them to numbers or {remedy}"
    )
