"""A pasted row of a table, with or without a header."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import Any

from isthmus.errors import DataError
from isthmus.explorer.view import Column
from isthmus.text import printable

__all__ = ["pasted_row"]

_LISTED = 5
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+")


def pasted_row(text: str, columns: Sequence[Column]) -> tuple[list[Any], list[str]]:
    """The values of a row, and notes.

    Args:
        text: a line of values, or a line of names and one of values; separated by tabs, semicolons, commas or line ends.
        columns: of the model.

    Returns:
        A value for each column, None where it is not given; and a sentence for each thing that was guessed or left out.

    Raises:
        DataError: there is no row, or it has another number of values.
    """
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    if not lines:
        raise DataError("there is no row: paste a line of values")
    if len(lines) == len(columns) > 2 and not any(mark in line for line in lines for mark in "\t;,"):
        lines = ["\t".join(lines)]
    names, notes = [column.name for column in columns], list[str]()
    mark = _mark(lines[0], names)
    rows = _cells(lines, mark)
    if len(rows) > 1 and set(rows[0]) & set(names):
        values, notes = _by_name(rows[0], rows[1], names)
    else:
        if len(rows[0]) != len(columns):
            raise DataError(
                f"the row has {len(rows[0])} values, and the model has {len(columns)} columns: paste one value for each, "
                "or a line with the names of the columns before it"
            )
        values, notes = (
            list(rows[0]),
            ["The values are taken in the order of the columns, as there is no line of names."],
        )
    extra = len(rows) - (2 if len(rows) > 1 and set(rows[0]) & set(names) else 1)
    if extra:
        notes.append(f"{extra} more line{'s' if extra > 1 else ''} of values: not used, as one row is shown at a time.")
    return _numbers(values, columns, mark, notes), notes


def _mark(line: str, names: list[str]) -> str:
    """What separates the cells of a line: the mark that gives a cell for each column, or names of columns; else the first one."""
    marks = [mark for mark in "\t;," if mark in line] or [","]
    cells = {mark: _cells([line], mark)[0] for mark in marks}
    fits = (mark for mark in marks if len(cells[mark]) == len(names) or set(cells[mark]) <= set(names))
    return next(fits, marks[0])


def _cells(lines: list[str], mark: str) -> list[list[str]]:
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark, skipinitialspace=True)]
    except csv.Error as error:
        raise DataError(f"the text cannot be read as a row ({error}): paste a line of values") from None


def _by_name(header: list[str], row: list[str], names: list[str]) -> tuple[list[Any], list[str]]:
    if len(row) != len(header):
        raise DataError(
            f"the line of names has {len(header)} cells and the row {len(row)}: give one value for each name"
        )
    twice = [name for i, name in enumerate(header) if name in names and name in header[:i]]
    if twice:
        raise DataError(f"the line of names has {printable(repr(twice[0]), 60)} more than once: give each column once")
    given = dict(zip(header, row, strict=True))
    notes = ["The first line is taken as the names of the columns."]
    others = [name for name in header if name not in names]
    lacking = [name for name in names if name not in given]
    if others:
        notes.append(f"Not a column of the model, and left out: {_listed(others)}.")
    if lacking:
        notes.append(f"Not given, and so missing: {_listed(lacking)}.")
    return [given.get(name) for name in names], notes


def _listed(names: list[str]) -> str:
    return ", ".join(printable(name, 60) for name in names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


def _numbers(values: list[Any], columns: Sequence[Column], mark: str, notes: list[str]) -> list[Any]:
    """The values; decimal commas become points where the separator allows them."""
    changed = [
        value.replace(",", ".")
        if value and mark != "," and column.kind in {"number", "integer"} and _COMMA_NUMBER.fullmatch(value)
        else value or None
        for value, column in zip(values, columns, strict=True)
    ]
    if changed != [value or None for value in values]:
        notes.append("Decimal commas are read as points.")
    return changed
