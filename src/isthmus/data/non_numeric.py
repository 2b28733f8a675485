"""Errors about values that are not numeric: their location, their type, and how to leave out their column."""

from __future__ import annotations

import datetime
from typing import Any, Literal

import numpy as np

from isthmus.data.labels import is_a
from isthmus.data.locations import position
from isthmus.errors import DataError

__all__ = ["NonNumeric", "non_numeric_error", "non_numeric_type"]

NonNumeric = Literal["text", "dates", "times", "durations"]


def non_numeric_type(value: Any) -> NonNumeric | None:
    """The type of a text, date, time or duration, in the plural; None for any other value."""
    if isinstance(value, str | bytes | bytearray):
        return "text"
    if isinstance(value, datetime.date | np.datetime64) or is_a(value, "pandas", "Period"):
        return "dates"
    if isinstance(value, datetime.time):
        return "times"
    return "durations" if isinstance(value, datetime.timedelta | np.timedelta64) else None


def non_numeric_error(index: tuple[int, ...], value: Any, columns: tuple[str, ...] | None) -> DataError:
    """The error for a value for which `non_numeric_type` is not None.

    Args:
        index: the index of the value.
        value: the value.
        columns: the column names, if there are any.
    """
    kind = non_numeric_type(value)
    quoted = repr(str(value) if isinstance(value, str) else value) if kind == "text" else str(value)
    return DataError(
        f"X holds {kind}: {position(index, columns)} is {quoted}; convert them to numbers or leave the column out"
    )
