"""Whether the first row of a table holds column names, and whether there is a title above them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from isthmus.data.options import ReadOptions
from isthmus.data.tables.cells import MARKS, kind_of, value_of
from isthmus.text import printable

__all__ = ["NO_TITLE", "header_of", "names_note", "skip_lines_value", "title_of"]

NO_TITLE = range(0)
_MAX_ROWS = 200  # rows below the first one that are compared with it
_MAX_SHOWN = 6  # names in a note
_YEARS = (1500, 2200)


def header_of(first: list[str], body: list[list[str]], marks: frozenset[str] = MARKS) -> tuple[bool, str]:
    """Whether a first row holds names, and the reason if its cells are numbers.

    Words are names, unless some cells of the row are marks of missing values and all cells below are words. Numbers are names if they
    count from 0 or 1, if they are years, or if they increase from column to column, as wavelengths do, and no row below does.
    """
    kinds = [kind_of(cell, marks) for cell in first]
    below = [kind_of(cell, marks) for cell in body[0]] if body else []
    word_above_number = any(above == "word" and cell == "number" for above, cell in zip(kinds, below, strict=False))
    empty = [not cell.strip() for cell in first]
    if "number" not in kinds:
        marked = any(kind == "missing" and not bare for kind, bare in zip(kinds, empty, strict=True))
        return "word" in kinds and (word_above_number or not marked), ""
    if word_above_number:
        return True, ""
    start = next(index for index, kind in enumerate(kinds) if kind == "number")
    if start > 1 or any(kind != "number" for kind in kinds[start:]):
        return False, ""
    numbers = [number for cell in first[start:] if (number := value_of(cell)) is not None]
    rows = [[value_of(cell) for cell in row[start:]] for row in body[:_MAX_ROWS] if len(row) == len(first)]
    reason = _reason_for_numbers(first[start:], numbers, rows) if len(numbers) == len(first) - start else ""
    return bool(reason), reason


def title_of(rows: Sequence[tuple[int, list[str]]], marks: frozenset[str] = MARKS) -> range:
    """The lines of a title above the names; empty if there is none.

    A spreadsheet exports a title as a row with one cell that is not empty. The row below all such rows must hold a name for each
    column that has cells.

    Args:
        rows: the first rows of a table, each with its line.
        marks: of missing values.
    """
    filled = [[bool(cell.strip()) for cell in cells] for _, cells in rows]
    n = next((index for index, each in enumerate(filled) if sum(each) != 1), len(rows))
    if n in (0, len(rows)) or (len(filled[0]) == 2 and not filled[0][0]):  # the latter: an index without a name
        return NO_TITLE
    line, names = rows[n]
    body = [cells for _, cells in rows[n + 1 :]]
    in_use = [
        any(column) for column in zip(*(each for each in filled[n + 1 :] if len(each) == len(names)), strict=True)
    ]
    complete = all(name or not used for name, used in zip(filled[n][1:], in_use[1:], strict=False))
    named = complete and sum(filled[n]) > 1 and header_of(names, body, marks)[0]
    return range(rows[0][0], line) if named else NO_TITLE


def names_note(
    table: str,
    names: tuple[str, ...] | None,
    in_row: bool,
    reason: str,
    line: int,
    skip_title: str = "",
    short: bool = False,
) -> str:
    """A note about where the column names come from.

    Args:
        table: its name.
        names: the column names, if there are any.
        in_row: whether they are in a row of the table, and not in a comment.
        reason: why numbers are taken for names.
        line: of the first row.
        skip_title: the value of --skip-lines that leaves out what may be a title; "" if there is none.
        short: whether the row of names has one cell fewer than the others.
    """
    if names is None:
        return f"{table} has no column names: columns are numbered from 0, and line {line} is data (else --header yes, header=True)"
    shown = ", ".join(printable(each, 40) or "(none)" for each in names[:_MAX_SHOWN]) + ", ..." * (
        len(names) > _MAX_SHOWN
    )
    if not in_row:
        return f"column names, from a comment: {shown}"
    if short:
        return f"column names, from line {line}, one fewer than the rows have cells, so that the first column has none: {shown}"
    if skip_title:
        return f"column names, from line {line}: {shown} (if this is a title: --skip-lines {skip_title}, skip_lines='{skip_title}')"
    return f"column names, from line {line}: {shown}" + (
        f" ({reason}; else --header no, header=False)" if reason else ""
    )


def skip_lines_value(lines: range, options: ReadOptions) -> str:
    """The value of --skip-lines that leaves out some lines, and those that the user leaves out already; "" for no lines."""
    if not lines:
        return ""
    earlier = [each for each in options.skipped() if each.start < lines.start or each.stop > lines.stop]
    return ",".join(
        str(each.start) if len(each) == 1 else f"{each.start}-{each.stop - 1}"
        for each in sorted([*earlier, lines], key=lambda each: each.start)
    )


@np.errstate(invalid="ignore")  # infinite numbers
def _reason_for_numbers(cells: list[str], numbers: list[float], rows: list[list[float | None]]) -> str:
    """Why numbers in a first row are names; "" if they are data."""
    digits = all(cell.strip().isdecimal() for cell in cells)
    n, table = len(numbers), np.array([[np.nan if cell is None else cell for cell in row] for row in rows], float)
    if not len(table) or len(set(numbers)) < n:
        return ""
    low, high = _YEARS
    if (
        digits
        and all(low <= number <= high for number in numbers)
        and not ((table >= low) & (table <= high)).mean() > 0.1
    ):
        return "the numbers are years"
    fractions = bool((np.nan_to_num(table % 1) != 0).any(0).all())  # in every column below
    steps = {b - a for a, b in pairwise(numbers)}
    even = len(steps) == 1 and 0 not in steps
    if n > 1 and even and _is_shifted(numbers, table[0]):
        return ""
    if digits and numbers == list(range(n)) and (n >= 3 or fractions):
        return "the numbers count from 0"
    if digits and numbers == list(range(1, n + 1)) and (n >= 4 or (fractions and n > 1)):
        return "the numbers count from 1"
    if n < 2 or not (min(steps) > 0 or max(steps) < 0):
        return ""
    monotone = np.array([_is_monotone(row) for row in table])
    outside = _outside_fraction(numbers, table)
    if monotone.mean() > 0.1:
        return ""
    if (even and digits and n >= 4) or (n >= 6 and outside > 0.9) or (even and n >= 3 and outside > 0.9):
        return "the numbers increase from column to column, as no row below does"
    return ""


def _is_shifted(numbers: list[float], row: np.ndarray) -> bool:
    """Whether the row below is the first one plus a constant: 3, 4, 5 below 0, 1, 2."""
    difference = row - np.array(numbers)
    return bool(np.isfinite(difference).all() and difference.min() == difference.max())


def _is_monotone(row: np.ndarray) -> bool:
    steps = np.diff(row)
    return bool((steps > 0).all() or (steps < 0).all())


def _outside_fraction(numbers: list[float], table: np.ndarray) -> float:
    """The fraction of numbers that are outside the range of their column."""
    ends = np.where(np.isnan(table), np.inf, table).min(0), np.where(np.isnan(table), -np.inf, table).max(0)
    return sum(
        not low <= number <= high or math.isinf(low) for number, low, high in zip(numbers, *ends, strict=True)
    ) / len(numbers)
