"""Cells of a table that mean a missing value, as the readers of files see them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.cells import MARKS
from isthmus.data.tables.column_kinds import is_text
from isthmus.data.tables.number_columns import number_marks, without_marks

__all__ = ["without_missing"]


def without_missing(table: Any, na_values: Sequence[str], dates: Collection[str] = ()) -> Any:
    """A table with null where a cell holds one of the user's marks, or in a column of dates any usual one.

    Args:
        table: a pyarrow table.
        na_values: the user's marks.
        dates: the columns of dates.
    """
    given = {mark.strip().lower() for mark in na_values}
    for place, name in enumerate(table.column_names):
        column = table.column(place)
        words = given | (MARKS - {"none"}) if name in dates else given
        if is_text(column.type) and words:
            table = table.set_column(place, name, _without_words(column, words))
        elif na_values:
            table = table.set_column(place, name, without_marks(column, number_marks(na_values)))
    return table


def _without_words(column: Any, words: Collection[str]) -> Any:
    compute = pyarrow().compute
    lower = compute.utf8_lower(column)
    return compute.if_else(compute.is_in(lower, value_set=pyarrow().array(sorted(words), lower.type)), None, column)
