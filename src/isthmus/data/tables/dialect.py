"""The format of a text file: delimiter, comments, header. It is detected from the beginning of the file."""

from __future__ import annotations

import csv
import re
from collections import Counter
from typing import NamedTuple

from isthmus.data.options import ReadOptions
from isthmus.data.tables.cells import MARKS, kind_of
from isthmus.data.tables.header import NO_TITLE, header_of, names_note, skip_lines_value, title_of
from isthmus.data.tables.textfile import TextFile
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["TITLE_ROWS", "Dialect", "sniff"]

_DELIMITERS = (",", ";", "\t", "|", "blanks")
_MARKS = ",;\t|"  # those of one character
_SAMPLE_ROWS, _SAMPLE_SIZE = 200, 1 << 20  # rows and characters that are read
_SPELLED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", "blanks": "blanks"}
_ONE_COLUMN = "\x1f"  # no delimiter: a comma in a single column may be a decimal comma
TITLE_ROWS = 10  # rows that a title may have above a table with another number of cells
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # str.splitlines also splits at a dozen other characters
_SEP = re.compile(r'^"?sep=(.)"?$')


class Dialect(NamedTuple):
    """The format of a text file with a table.

    Attributes:
        delimiter: between the cells; "\\t" if they are separated by blanks.
        names: the column names, if there are any.
        line: of the row of names; 0 if the names are in a comment, and no row is left out.
        skipped: the number of lines before the first row.
        width: the number of cells of a row.
        longest: characters of the longest line of the sample.
        sample: the first rows below the names.
        title: lines that may be a title above the names.
        notes: what was detected.
        left_out: lines between the names and the first row that are not read, since they were read before.
    """

    delimiter: str
    names: tuple[str, ...] | None
    line: int
    skipped: int
    width: int
    longest: int
    sample: list[list[str]]
    title: range
    notes: tuple[str, ...]
    left_out: int = 0


def sniff(file: TextFile, options: ReadOptions, expected: frozenset[str] = frozenset()) -> Dialect:
    """Detects the format of a file, and sets how the file treats comments and blanks.

    Args:
        file: the file.
        options: those that are given override what is detected.
        expected: column names from other sources; a first row that contains one of them holds names.

    Raises:
        DataError: the file has no rows, or the delimiter is invalid.
    """
    raw = _detect_comments(file, options)
    lines = _LINE.findall(file.sample())
    start, delimiter = _start(lines, options.delimiter)
    if start == len(lines):
        raise DataError(f"{file.name} has no rows of data: give at least one")
    delimiter = _delimiter(lines[start:], delimiter)
    file.blanks = delimiter == "blanks"
    numbered = [(start + line, cells) for line, cells in _numbered_rows(lines[start:], delimiter)]
    marks = MARKS | {mark.strip() for mark in options.na_values}
    line, rows = numbered[0][0], [cells for _, cells in numbered]
    first = rows[0]
    in_row, reason = header_of(first, rows[1:], marks) if options.header is None else (options.header, "")
    known = options.header is None and any(cell.strip() in expected for cell in first)
    if known:
        in_row, reason = True, ""
    title = NO_TITLE if known or options.header is False else _title(lines, numbered, delimiter, marks)
    names = tuple(cell.strip() for cell in first) if in_row else None
    if names is None and options.header is None:
        names = _names_in_comment(raw[:start], file.comment, delimiter, len(first), marks)
    short = in_row and _is_short(rows)
    if short:  # the row of names has another width than the table: it is skipped
        names = ("", *(names or ()))
    skip_title = skip_lines_value(title, options) if delimiter != _ONE_COLUMN else ""
    return Dialect(
        "\t" if file.blanks else delimiter,
        names,
        line if in_row and not short else 0,
        line - (not short) if in_row else start,  # a row of separators above data counts as an empty row
        len(first) + short,
        max(map(len, lines)),
        rows[1:] if in_row else rows,
        title,
        (
            _format_note(file, delimiter, len(first) + short),
            names_note(file.name, names, bool(in_row), reason, line, skip_title, short),
        ),
    )


def _detect_comments(file: TextFile, options: ReadOptions) -> list[str]:
    """Sets what the comments of a file begin with. Returns its first lines, with the comments."""
    file.comment = ""
    raw = [line.strip() for line in file.sample().split("\n")]
    filled = [line for line in raw if line]
    mostly = len(filled) > sum(line.startswith("#") for line in filled) > len(filled) / 2
    file.comment = ("" if mostly else "#") if options.comment is None else options.comment.replace("none", "")
    return raw


def _start(lines: list[str], delimiter: str | None) -> tuple[int, str | None]:
    """The index of the first line of the table, and the given delimiter, else that of a line sep=; for Excel."""
    start = _filled_from(lines, 0)
    if start < len(lines) and (match := _SEP.match(lines[start].strip())):
        return _filled_from(lines, start + 1), delimiter or match[1]
    return start, delimiter


def _filled_from(lines: list[str], start: int) -> int:
    """The index of the first line from `start` on that is not empty."""
    return next((index for index in range(start, len(lines)) if lines[index].strip()), len(lines))


def _format_note(file: TextFile, delimiter: str, width: int) -> str:
    cells = "" if width == 1 else f"cells between {_SPELLED.get(delimiter, printable(delimiter))}, "
    encoding = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "utf-16": "UTF-16"}.get(file.encoding, file.encoding)
    return f"{file.name} is read as a table: {cells}{encoding}" + (f", {file.packing}" if file.packing else "")


def _delimiter(lines: list[str], given: str | None) -> str:
    """The given delimiter, else the one with which all lines have the same number of cells, and cells contain no other delimiter."""
    if given is not None:
        spelled = {"tab": "\t", "\\t": "\t", "blank": "blanks", "space": "blanks", " ": "blanks"}.get(given, given)
        if spelled != "blanks" and (len(spelled) != 1 or spelled in '"\n\r'):
            raise DataError(f"invalid delimiter={given!r} (--delimiter): expected one character, tab or blanks")
        return spelled
    scores = {each: _score([cells for _, cells in _numbered_rows(lines, each)], each) for each in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda each: scores[each])
    return best if scores[best] > (0.0, 0.0) else _ONE_COLUMN


def _score(rows: list[list[str]], delimiter: str) -> tuple[float, float]:
    """How well a delimiter fits: the fraction of rows with the most frequent width, and of cells without other delimiters."""
    if not rows:
        return 0.0, 0.0
    width, n_rows = Counter(map(len, rows)).most_common(1)[0]
    if width < 2 or (len(rows) > 1 and len(rows[0]) == 1):  # 1,5 below a single name is one number
        return 0.0, 0.0
    n_rows += _is_short(rows)
    if n_rows < len(rows) and delimiter == "blanks":  # blanks also separate the words of a sentence
        return 0.0, 0.0
    others = "".join(each for each in _MARKS if each != delimiter)
    body = [cell for row in rows[1:] or rows for cell in row]
    clean = sum(kind_of(cell) != "word" or not any(each in cell for each in others) for cell in body)
    return round(n_rows / len(rows), 2), clean / len(body)


def _is_short(rows: list[list[str]]) -> bool:
    """Whether the first row holds names for all columns but the first one, as R writes tables: that column holds words or counts."""
    first, body = rows[0], rows[1:]
    if len(body) < 2 or any(len(row) != len(first) + 1 for row in body):
        return False
    row_names = [row[0].strip() for row in body]
    counts = row_names == [str(number) for number in range(1, len(body) + 1)]
    return all(kind_of(cell) == "word" for cell in first) and (
        counts or all(kind_of(cell) == "word" for cell in row_names)
    )


def _numbered_rows(lines: list[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """The first rows that are not empty, each with its line, counted from 1."""
    rows: list[tuple[int, list[str]]] = []
    if delimiter == "blanks":
        lines, delimiter = (
            [
                re.sub(r'("(?:[^"\n]|"")*")|[ \t]+', lambda m: m[1] or "\t", line.strip())
                for line in lines[:_SAMPLE_ROWS]
            ],
            "\t",
        )
    reader, size = csv.reader(lines, delimiter=delimiter), 0
    while len(rows) < 2 or (len(rows) < _SAMPLE_ROWS and size < _SAMPLE_SIZE):
        line = reader.line_num + 1
        try:
            row = next(reader)
        except (StopIteration, csv.Error):  # the latter for a cell above 128 KiB: the rows before it are enough
            break
        size += sum(map(len, row))
        if any(cell.strip() for cell in row):
            rows.append((line, row))
    return rows or [(line, [cell.strip() for cell in text.split(delimiter)]) for line, text in enumerate(lines[:2], 1)]


def _title(lines: list[str], rows: list[tuple[int, list[str]]], delimiter: str, marks: frozenset[str]) -> range:
    """The lines that may be a title: rows with one cell, above rows with several cells."""
    if delimiter != _ONE_COLUMN:
        return title_of(rows, marks)
    for line, cells in rows[1:TITLE_ROWS]:
        if any(mark in cells[0] for mark in _MARKS) and _delimiter(lines[line - 1 :], None) in _MARKS:
            return range(rows[0][0], line)
    return NO_TITLE


def _names_in_comment(
    comments: list[str], mark: str, delimiter: str, width: int, marks: frozenset[str]
) -> tuple[str, ...] | None:
    """The names in the last comment above the data, as NumPy's savetxt writes them."""
    last = next((line for line in reversed(comments) if line), "")
    if width < 2 or not mark or not last.startswith(mark):
        return None
    rows = _numbered_rows([last.removeprefix(mark).strip()], delimiter)
    if not rows or len(rows[0][1]) != width or any(kind_of(cell, marks) != "word" for cell in rows[0][1]):
        return None
    return tuple(cell.strip() for cell in rows[0][1])
