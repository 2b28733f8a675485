"""The rows of a text file as blocks of columns, split into cells by pyarrow, each with its line in the file."""

from __future__ import annotations

import atexit
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.dialect import Dialect
from isthmus.data.tables.textfile import LONGEST, Stream, TextFile
from isthmus.errors import DataError, MemoryLimitError
from isthmus.io.memory_limit import available_memory, check_memory, shown_size
from isthmus.text import printable

__all__ = ["Block", "RowCount", "check_skipped", "filled", "text_blocks"]

Array = npt.NDArray[Any]

_NAMED = 10  # lines in a note
_BYTES = 4 << 20  # of text in a block, at least
_COLUMN = 8_500  # bytes that pyarrow and what is made of it take for a column, however short it is
_ROOM = 1 << 25  # bytes without which pyarrow's thread does not start, and pyarrow waits for it for ever
_ODD = 1_000  # rows of another width, after which no more are read


class Block(NamedTuple):
    """Some rows of a table: its columns as text, and the line of each row, counted from 1."""

    columns: list[Any]
    lines: Array


class RowCount:
    """What was left out of a table while its rows were read."""

    def __init__(self) -> None:
        self.skipped = list[int]()
        self.comments = self.first_comment = self.empty = self.later_empty = self.long = self.first_long = 0

    def notes(self, name: str) -> list[str]:
        """What a user should hear of it."""
        notes = []
        if self.skipped:
            lines = ", ".join(map(str, self.skipped[:_NAMED])) + ", ..." * (len(self.skipped) > _NAMED)
            notes.append(f"left out of {name}, as requested: line{'s' * (len(self.skipped) > 1)} {lines}")
        if self.empty:
            notes.append(f"left out of {name}: {_counted(self.empty, 'empty row')}")
        if self.comments:
            count = _counted(self.comments, "comment")
            notes.append(
                f"left out of {name}: {count}, the first in line {self.first_comment} (else --comment none, comment='none')"
            )
        if self.long:
            notes.append(
                f"{_counted(self.long, 'row')} of {name} with a cell of several lines, the first in line {self.first_long}"
            )
        return notes


def text_blocks(file: TextFile, dialect: Dialect, rows: RowCount) -> Iterator[Block]:
    """The rows below the names, without those in which all cells are empty.

    Raises:
        DataError: a row has too few or too many cells, or a quotation mark is not closed.
        MemoryLimitError: so many columns are out of proportion to the file, or more than there is memory for.
    """
    check_memory(dialect.width * _COLUMN, f"reading {dialect.width:,} columns of {file.name}", given=file.size)
    size = max(_BYTES, 8 * dialect.longest)
    try:
        yield from _blocks(file, dialect, rows, min(size, LONGEST))
    except _TooLongError:
        yield from _blocks(file, dialect, rows, 4 * LONGEST)


class _TooLongError(Exception):
    """A row is longer than a block."""


def _blocks(file: TextFile, dialect: Dialect, rows: RowCount, size: int) -> Iterator[Block]:
    rows.__init__()  # type: ignore[misc]  # a file may be read twice
    stream, lines = file.stream(), _Lines(file, dialect)
    head = dialect.line > 0
    for batch in _batches(file, stream, dialect, lines, size):
        columns, positions = batch.columns, lines.of(batch, stream)
        if head and len(positions):  # the row of names
            columns, positions, head = [column.slice(1) for column in columns], positions[1:], False
        kept = filled(columns)
        if not kept.all():
            some = pyarrow().array(kept)
            comments = np.isin(positions, stream.comment_lines + stream.skipped_lines)
            _count_empty(kept[~comments], rows)
            columns, positions = [column.filter(some) for column in columns], positions[kept]
        elif len(positions):
            rows.empty, rows.later_empty = rows.empty + rows.later_empty, 0
        rows.comments, rows.first_comment = stream.commented, next(iter(stream.comment_lines), 0)
        rows.long, rows.first_long = lines.long, lines.first_long
        if len(positions):
            yield Block(columns, positions)
    lines.check(stream)
    check_skipped(file.skipped, stream.line, file.name)
    rows.skipped = stream.skipped_lines
    rows.comments, rows.first_comment = stream.commented, next(iter(stream.comment_lines), 0)


def check_skipped(skipped: tuple[range, ...], lines: int, name: str) -> None:
    """`DataError` where a line is to be left out that there is not."""
    last = max((each.stop - 1 for each in skipped), default=0)
    if last > lines:
        raise DataError(f"{name} has {lines:,} lines, and line {last:,} cannot be left out (--skip-lines, skip_lines=)")


def _count_empty(kept: Array, rows: RowCount) -> None:
    """Counts the rows that are left out, but for those at the very end."""
    last = int(np.flatnonzero(kept)[-1]) + 1 if kept.any() else 0
    before = int((~kept[:last]).sum())
    if last:
        rows.empty, rows.later_empty = rows.empty + rows.later_empty + before, 0
    rows.later_empty += len(kept) - last


def filled(columns: list[Any]) -> Array:
    """Which rows have any cell that is not empty."""
    compute = pyarrow().compute
    found = np.zeros(len(columns[0]), bool)
    left = np.arange(len(found))
    for column in columns:  # nearly always the first one tells it for all rows
        some = column if len(left) == len(found) else column.take(pyarrow().array(left))
        length = compute.binary_length(compute.utf8_trim_whitespace(some)).to_numpy(zero_copy_only=False)
        found[left[length > 0]] = True
        left = left[length == 0]
        if not len(left):
            break
    return found


def _batches(file: TextFile, stream: Stream, dialect: Dialect, lines: _Lines, size: int) -> Iterator[Any]:
    """What pyarrow makes of the text; rows of another width are set aside, in their order."""
    arrow = pyarrow()
    if (left := available_memory()) < _ROOM:
        raise MemoryLimitError(
            f"reading a table needs {shown_size(_ROOM)} of memory, and {shown_size(left)} are left: close other programs or raise the limit"
        )
    names = [str(place) for place in range(dialect.width)]

    def aside(row: Any) -> str:
        lines.odd.append(row)
        return "skip" if len(lines.odd) < _ODD else "error"

    _READING.add(stream)
    try:
        reader = arrow.csv.open_csv(
            stream,
            arrow.csv.ReadOptions(use_threads=False, column_names=names, block_size=size, skip_rows=dialect.skipped),
            arrow.csv.ParseOptions(
                delimiter=dialect.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=aside,
            ),
            arrow.csv.ConvertOptions(strings_can_be_null=False, column_types=dict.fromkeys(names, arrow.string())),
        )
        yield from reader
        _READING.discard(stream)
    except arrow.ArrowInvalid as error:
        lines.check_width()
        if "straddl" in str(error) and size < LONGEST:
            raise _TooLongError from None
        if "mpty CSV" in str(error):
            raise DataError(f"{file.name} has no rows of data: give at least one") from None
        hint = "a quotation mark may not be closed" if "straddl" in str(error) else printable(error)
        raise DataError(f"{file.name} cannot be read as a table ({hint}): save it as plain CSV") from error


_READING: WeakSet[Stream] = WeakSet()  # what may be read ahead yet
_LEFT = 0.2  # seconds at the end of a program


@atexit.register
def _end_all() -> None:
    """Lets threads that read ahead come to their end: one that asks for Python when Python ends aborts the process.

    An error leaves them behind, and its traceback holds what they read. They see its end, and get Python for a moment.
    """
    left = list(_READING)
    for stream in left:
        stream.end()
    if left:
        time.sleep(_LEFT)


_NONE = np.empty(0, np.int64)


class _Lines:
    """The line of each row: rows are counted by pyarrow, those with line feeds in cells take several lines."""

    def __init__(self, file: TextFile, dialect: Dialect) -> None:
        self.file, self.dialect, self.odd = file, dialect, list[Any]()
        self.row, self.more, self.marks = dialect.skipped, 0, 0
        self.long, self.first_long, self.last_long = 0, 0, False

    def of(self, batch: Any, stream: Stream) -> Array:
        """The lines of the rows of a batch."""
        skipped, numbers = {row.number for row in self.odd}, np.arange(self.row + 1, self.row + 1 + batch.num_rows)
        for number in sorted(skipped):
            if number > self.row and len(numbers) and number <= numbers[-1] + 1:
                numbers[numbers >= number] += 1
        if len(numbers):
            self.row = int(numbers[-1])
        feeds = self._feeds(batch, "\n") if stream.quotes else None
        if feeds is None or not batch.num_rows:
            lines = numbers + self.more
            self.last_long = False
        else:
            self.marks += int(self._feeds(batch, '"').sum())
            lines = numbers + self.more + np.concatenate([[0], np.cumsum(feeds)[:-1]]).astype(np.int64)
            if feeds.any():
                self.first_long = self.first_long or int(lines[np.flatnonzero(feeds)[0]])
                self.long += int((feeds > 0).sum())
            self.more, self.last_long = self.more + int(feeds.sum()), bool(feeds[-1])
        self.check_width(self.row, lines, numbers)
        return lines

    def check(self, stream: Stream) -> None:
        """At the end of the file: no row of another width, and no quotation mark open."""
        if stream.quotes % 2 and (self.last_long or not self.marks):
            raise DataError(
                f"{self.file.name} cannot be read as a table: a quotation mark is not closed; close it, or double it within a cell"
            )
        self.check_width()

    def _feeds(self, batch: Any, what: str) -> Array:
        count = pyarrow().compute.count_substring
        return np.asarray(
            np.sum([count(column, what).to_numpy(zero_copy_only=False) for column in batch.columns], axis=0)
        )

    def check_width(self, last: int | None = None, lines: Array = _NONE, numbers: Array = _NONE) -> None:
        """The first row of another width up to the last one seen is an error, unless all its cells are empty."""
        for row in self.odd:
            if last is not None and row.number > last:
                break
            if row.text.strip(f" \t\r\n{self.dialect.delimiter}"):
                before = int(np.searchsorted(numbers, row.number))
                offset = int(lines[before] - numbers[before]) if before < len(numbers) else self.more
                count = _counted(row.actual_columns, "cell")
                raise DataError(
                    f"line {row.number + offset} of {self.file.name} has {count} and the first row {row.expected_columns}: even them, "
                    "or leave out what is no row (--skip-lines, skip_lines=)"
                )


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
