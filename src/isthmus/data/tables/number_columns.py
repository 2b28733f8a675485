"""Columns of numbers: those that mean a missing value, such as -999, their decimals and their range."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.cells import value_of
from isthmus.data.tables.column_kinds import EXACT

__all__ = ["MOST_DECIMALS", "decimals_of", "is_inexact", "number_marks", "range_of", "without_marks"]

Doubles = NDArray[np.float64]

_MIN_ROWS = 10  # in fewer values, few decimals are no evidence
MOST_DECIMALS = 4  # more are the digits of a measurement, not of a price


def number_marks(na_values: Iterable[str]) -> tuple[float, ...]:
    """The marks that are numbers."""
    values = map(value_of, na_values)
    return tuple(value for value in values if value is not None)


def without_marks(column: Any, marks: Sequence[float]) -> Any:
    """A column (n,), null where it holds a number that is a mark; columns of other types unchanged."""
    arrow, kind = pyarrow(), column.type
    if not marks or not (arrow.types.is_integer(kind) or arrow.types.is_floating(kind)):
        return column
    marked = arrow.compute.is_in(
        column.cast(arrow.float64(), safe=False), value_set=arrow.array(marks, arrow.float64())
    )
    return arrow.compute.if_else(marked, arrow.scalar(None, kind), column)


def decimals_of(values: Doubles) -> int | None:
    """The decimals that all known values have at most; None for many, as of measurements, and for none, as whole numbers may be chance."""
    known = values[~np.isnan(values)]
    if len(known) < _MIN_ROWS or not np.isfinite(known).all():
        return None
    digits = next((digits for digits in range(MOST_DECIMALS + 1) if (np.round(known, digits) == known).all()), 0)
    return digits or None


def range_of(values: Doubles) -> tuple[float, float]:
    """The smallest and the largest known value."""
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 0.0
    return float(known.min()), float(known.max())


def is_inexact(column: Any) -> bool:
    """Whether a column of pyarrow holds a whole number or a decimal number beyond 2^53, which float64 rounds."""
    types, kind = pyarrow().types, column.type
    if not (types.is_decimal(kind) or (types.is_integer(kind) and kind.bit_width == 64)):
        return False
    ends = pyarrow().compute.min_max(column).as_py()
    return bool(ends["max"] is not None and max(-ends["min"], ends["max"]) > EXACT)
