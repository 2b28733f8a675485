"""How a text file is written: what stands between its cells, and whether its first row holds names. Told from its beginning."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from isthmus.data.options import ReadOptions
from isthmus.data.tables.cells import MARKS, kind_of, value_of
from isthmus.data.tables.textfile import TextFile
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["Dialect", "header_of", "said_of_names", "sniff"]

_DELIMITERS = (",", ";", "\t", "|", "blanks")
_ROWS, _SIZE = 200, 1 << 20  # rows and characters that are looked at
_SPELLED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", "blanks": "blanks"}
_ALONE = "\x1f"  # no delimiter at all: a single column, in which a comma may be a decimal one
_YEARS = (1500, 2200)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # str.splitlines ends lines at a dozen other signs too
_SEP = re.compile(r'^"?sep=(.)"?$')


class Dialect(NamedTuple):
    """How a table of text is written.

    Attributes:
        delimiter: what stands between the cells; "\\t" where they are blanks.
        names: what stands in the row of names, if there is one, else None.
        line: where that row is; 0 where the names stand in a comment, and no row is left out.
        skipped: the lines before the first row.
        width: how many cells a row has.
        longest: characters of the longest line that was seen.
        sample: the first rows below the names.
        notes: what was taken for what.
    """

    delimiter: str
    names: tuple[str, ...] | None
    line: int
    skipped: int
    width: int
    longest: int
    sample: list[list[str]]
    notes: tuple[str, ...]


def sniff(file: TextFile, options: ReadOptions, known: frozenset[str] = frozenset()) -> Dialect:
    """Tells how a file is written; settles how it treats comments and blanks.

    Args:
        known: names that columns of the table have, as somebody said: a first row that holds one holds names.

    Raises:
        DataError: there is nothing in it, or the delimiter is none.
    """
    file.comment = ""
    raw = [line.strip() for line in file.sample().split("\n")]
    filled = [line for line in raw if line]
    most = len(filled) > sum(line.startswith("#") for line in filled) > len(filled) / 2
    file.comment = ("" if most else "#") if options.comment is None else options.comment.replace("none", "")
    sample = file.sample()
    lines, skipped = _LINE.findall(sample), 0
    said = options.delimiter
    while skipped < len(lines) and not lines[skipped].strip():
        skipped += 1
    if skipped < len(lines) and (found := _SEP.match(lines[skipped].strip())):  # for Excel
        said, skipped = said or found[1], skipped + 1
    while skipped < len(lines) and not lines[skipped].strip():
        skipped += 1
    if skipped == len(lines):
        raise DataError(f"{file.name} has no rows of data: give at least one")
    delimiter = _delimiter(lines[skipped:], said)
    file.blanks = delimiter == "blanks"
    rows = _rows(lines[skipped:], delimiter)
    first, body = rows[0], rows[1:]
    marks = MARKS | {mark.strip() for mark in options.na_values}
    named, why = header_of(first, body, marks) if options.header is None else (options.header, "as asked")
    if options.header is None and any(cell.strip() in known for cell in first):
        named, why = True, ""
    comment = (
        None
        if named or options.header is False
        else _commented(raw[:skipped], file.comment, delimiter, len(first), marks)
    )
    names = tuple(cell.strip() for cell in first) if named else comment
    line = skipped + 1
    short = named and _is_short(rows)
    if short:  # the row of names is no row of the table: it is skipped as one
        first, names, skipped = ["", *first], ("", *(names or ())), skipped + 1
    what = "" if len(first) == 1 else f"cells between {_SPELLED.get(delimiter, printable(delimiter))}, "
    encoding = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "utf-16": "UTF-16"}.get(file.encoding, file.encoding)
    packing = f", {file.packing}" if file.packing else ""
    notes = [f"{file.name} is read as a table: {what}{encoding}{packing}"]
    return Dialect(
        "\t" if file.blanks else delimiter,
        names,
        line if named and not short else 0,
        skipped,
        len(first),
        max(map(len, lines)),
        body if named else rows,
        (*notes, said_of_names(file.name, names, bool(named), why, line, short)),
    )


def said_of_names(
    name: str, names: tuple[str, ...] | None, named: bool, why: str, line: int, short: bool = False
) -> str:
    """What was taken for the names of the columns."""
    if names is None:
        return f"{name} has no names of columns: they are numbered from 0, and line {line} is data (else --header yes, header=True)"
    shown = ", ".join(printable(each, 40) or "(none)" for each in names[:6]) + ", ..." * (len(names) > 6)
    if not named:
        return f"names of columns, from a comment: {shown}"
    if short:
        return f"names of columns, from line {line}, one fewer than the rows have cells, so that the first column has none: {shown}"
    return f"names of columns, from line {line}: {shown}" + (f" ({why}; else --header no, header=False)" if why else "")


def _delimiter(lines: list[str], said: str | None) -> str:
    """What stands between cells: the character by which all lines have as many cells, which hold no other such character."""
    if said is not None:
        spelled = {"tab": "\t", "\\t": "\t", "blank": "blanks", "space": "blanks", " ": "blanks"}.get(said, said)
        if spelled != "blanks" and (len(spelled) != 1 or spelled in '"\n\r'):
            raise DataError(f"invalid delimiter={said!r}: expected one character, tab or blanks")
        return spelled
    ranked = {each: _fit(_rows(lines, each), each) for each in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda each: ranked[each])
    return best if ranked[best] > (0.0, 0.0) else _ALONE


def _fit(rows: list[list[str]], delimiter: str) -> tuple[float, float]:
    """How well a delimiter explains rows: the share that has the most frequent number of cells, and the share of cells without others."""
    if not rows:
        return 0.0, 0.0
    width, often = Counter(map(len, rows)).most_common(1)[0]
    if width < 2 or (len(rows) > 1 and len(rows[0]) == 1):  # a name alone: 1,5 below it is one number
        return 0.0, 0.0
    often += _is_short(rows)
    if often < len(rows) and delimiter == "blanks":  # which words have between them, too
        return 0.0, 0.0
    others = "".join(each for each in ",;\t|" if each != delimiter)
    body = [cell for row in rows[1:] or rows for cell in row]
    clean = sum(kind_of(cell) != "word" or not any(each in cell for each in others) for cell in body)
    return round(often / len(rows), 2), clean / len(body)


def _is_short(rows: list[list[str]]) -> bool:
    """Whether the first row is one of names and lacks that of the first column, as R writes tables: words or a count name the rows."""
    first, body = rows[0], rows[1:]
    if len(body) < 2 or any(len(row) != len(first) + 1 for row in body):
        return False
    named = [row[0].strip() for row in body]
    counted = named == [str(number) for number in range(1, len(body) + 1)]
    return all(kind_of(cell) == "word" for cell in first) and (
        counted or all(kind_of(cell) == "word" for cell in named)
    )


def _rows(lines: list[str], delimiter: str) -> list[list[str]]:
    """The first rows with something in them."""
    found: list[list[str]] = []
    if delimiter == "blanks":
        lines, delimiter = (
            [re.sub(r'("(?:[^"\n]|"")*")|[ \t]+', lambda m: m[1] or "\t", line.strip()) for line in lines[:_ROWS]],
            "\t",
        )
    reader, size = csv.reader(lines, delimiter=delimiter), 0
    while len(found) < 2 or (len(found) < _ROWS and size < _SIZE):
        try:
            row = next(reader)
        except (StopIteration, csv.Error):  # a cell of more than 128 KiB: enough is known without it
            break
        size += sum(map(len, row))
        if any(cell.strip() for cell in row):
            found.append(row)
    return found or [[cell.strip() for cell in line.split(delimiter)] for line in lines[:2]]


def _commented(
    comments: list[str], mark: str, delimiter: str, width: int, marks: frozenset[str]
) -> tuple[str, ...] | None:
    """Names in the last comment before the data, as NumPy's savetxt writes them."""
    last = next((line for line in reversed(comments) if line), "")
    rows = _rows([last.removeprefix(mark).strip()], delimiter) if mark and last.startswith(mark) else []
    if width < 2 or not rows or len(rows[0]) != width or any(kind_of(cell, marks) != "word" for cell in rows[0]):
        return None
    return tuple(cell.strip() for cell in rows[0])


def header_of(first: list[str], body: list[list[str]], marks: frozenset[str] = MARKS) -> tuple[bool, str]:
    """Whether a first row holds names, and why where its cells are numbers.

    Words are names, unless they stand beside marks of missing values and above words alone. Numbers are names where they count, are
    years or wavelengths: they rise from cell to cell as no row below does.
    """
    kinds = [kind_of(cell, marks) for cell in first]
    below = [kind_of(cell, marks) for cell in body[0]] if body else []
    evidence = any(above == "word" and cell == "number" for above, cell in zip(kinds, below, strict=False))
    empty = [not cell.strip() for cell in first]
    if "number" not in kinds:
        marked = any(kind == "missing" and not bare for kind, bare in zip(kinds, empty, strict=True))
        return "word" in kinds and (evidence or not marked), ""
    if evidence:
        return True, ""
    start = next(index for index, kind in enumerate(kinds) if kind == "number")
    if start > 1 or any(kind != "number" for kind in kinds[start:]):
        return False, ""
    numbers = [number for cell in first[start:] if (number := value_of(cell)) is not None]
    rows = [[value_of(cell) for cell in row[start:]] for row in body[:_ROWS] if len(row) == len(first)]
    why = _names_of_numbers(first[start:], numbers, rows) if len(numbers) == len(first) - start else ""
    return bool(why), why


@np.errstate(invalid="ignore")  # infinite numbers
def _names_of_numbers(cells: list[str], numbers: list[float], rows: list[list[float | None]]) -> str:
    """Why numbers in a first row are names; nothing where they are data."""
    bare = all(cell.strip().isdecimal() for cell in cells)
    n, table = len(numbers), np.array([[np.nan if cell is None else cell for cell in row] for row in rows], float)
    if not len(table) or len(set(numbers)) < n:
        return ""
    low, high = _YEARS
    if (
        bare
        and all(low <= number <= high for number in numbers)
        and not ((table >= low) & (table <= high)).mean() > 0.1
    ):
        return "the numbers are years"
    fractions = bool((np.nan_to_num(table % 1) != 0).any(0).all())  # in every column below
    steps = {b - a for a, b in pairwise(numbers)}
    even = len(steps) == 1 and 0 not in steps
    if n > 1 and even and _goes_on(numbers, table[0]):
        return ""
    if bare and numbers == list(range(n)) and (n >= 3 or fractions):
        return "the numbers count from 0"
    if bare and numbers == list(range(1, n + 1)) and (n >= 4 or (fractions and n > 1)):
        return "the numbers count from 1"
    if n < 2 or not (min(steps) > 0 or max(steps) < 0):
        return ""
    rising = np.array([_monotone(row) for row in table])
    outside = _outside(numbers, table)
    if rising.mean() > 0.1:
        return ""
    if (even and bare and n >= 4) or (n >= 6 and outside > 0.9) or (even and n >= 3 and outside > 0.9):
        return "the numbers rise from column to column, as no row below does"
    return ""


def _goes_on(numbers: list[float], row: np.ndarray) -> bool:
    """Whether the row below is the first one, moved by one number: 0, 1, 2 above 3, 4, 5."""
    moved = row - np.array(numbers)
    return bool(np.isfinite(moved).all() and moved.min() == moved.max())


def _monotone(row: np.ndarray) -> bool:
    steps = np.diff(row)
    return bool((steps > 0).all() or (steps < 0).all())


def _outside(numbers: list[float], table: np.ndarray) -> float:
    """The share of numbers that lie outside what is below them."""
    known = np.where(np.isnan(table), np.inf, table).min(0), np.where(np.isnan(table), -np.inf, table).max(0)
    return sum(
        not low <= number <= high or math.isinf(low) for number, low, high in zip(numbers, *known, strict=True)
    ) / len(numbers)
