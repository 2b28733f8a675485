"""The rows of a text file as blocks of columns. pyarrow splits them into cells; each row has its line in the file."""

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

_MAX_LISTED = 10  # lines in a note
_MIN_BLOCK = 4 << 20  # bytes of text in a block
_BYTES_PER_COLUMN = 8_500  # that a column takes in memory, even a short one
_MIN_MEMORY = 1 << 25  # bytes: with less, pyarrow's thread does not start, and pyarrow waits for it forever
_MAX_WRONG = 1_000  # rows of another width, after which reading ends


class Block(NamedTuple):
    """Some rows of a table: its columns as text, and the line of each row, counted from 1."""

    columns: list[Any]
    lines: Array


class RowCount:
    """Counts what is left out of a table while its rows are read.

    Attributes:
        skipped: the lines that the user leaves out.
        comments, first_comment: the number of comments, and the line of the first one.
        empty, later_empty: the number of empty rows before the last row, and of those since.
        long, first_long: the number of rows with a cell of several lines, and the line of the first one.
    """

    def __init__(self) -> None:
        self.skipped = list[int]()
        self.comments = self.first_comment = self.empty = self.later_empty = self.long = self.first_long = 0

    def notes(self, name: str) -> list[str]:
        """Notes for the user."""
        notes = []
        if self.skipped:
            lines = ", ".join(map(str, self.skipped[:_MAX_LISTED])) + ", ..." * (len(self.skipped) > _MAX_LISTED)
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
    """The rows below the names, without empty rows.

    Raises:
        DataError: a row has too few or too many cells, or a quotation mark is not closed.
        MemoryLimitError: the number of columns is out of proportion to the file or to the memory.
    """
    check_memory(
        dialect.width * _BYTES_PER_COLUMN, f"reading {dialect.width:,} columns of {file.name}", given=file.size
    )
    size = max(_MIN_BLOCK, 8 * dialect.longest)
    try:
        yield from _blocks(file, dialect, rows, min(size, LONGEST))
    except _TooLongError:
        yield from _blocks(file, dialect, rows, 4 * LONGEST)


class _TooLongError(Exception):
    """A row is longer than a block."""


def _blocks(file: TextFile, dialect: Dialect, rows: RowCount, size: int) -> Iterator[Block]:
    """As `text_blocks`, with blocks of `size` bytes."""
    rows.__init__()  # type: ignore[misc]  # a file may be read twice
    stream, lines = file.stream(), _Lines(file, dialect)
    has_names = dialect.line > 0
    for batch in _batches(file, stream, dialect, lines, size):
        columns, row_lines = batch.columns, lines.of(batch, stream)
        if has_names and len(row_lines):
            columns, row_lines, has_names = [column.slice(1) for column in columns], row_lines[1:], False
        mask = filled(columns)
        if not mask.all():
            comments = np.isin(row_lines - dialect.left_out, stream.comment_lines + stream.skipped_lines)
            _count_empty(mask[~comments], rows)
            columns, row_lines = [column.filter(pyarrow().array(mask)) for column in columns], row_lines[mask]
        elif len(row_lines):
            rows.empty, rows.later_empty = rows.empty + rows.later_empty, 0
        rows.comments, rows.first_comment = stream.commented, next(iter(stream.comment_lines), 0)
        rows.long, rows.first_long = lines.long, lines.first_long
        if len(row_lines):
            yield Block(columns, row_lines)
    lines.check(stream)
    check_skipped(file.skipped, stream.line, file.name)
    rows.skipped = stream.skipped_lines
    rows.comments, rows.first_comment = stream.commented, next(iter(stream.comment_lines), 0)


def check_skipped(skipped: tuple[range, ...], lines: int, name: str) -> None:
    """`DataError` if a line to leave out is beyond the end of the file."""
    last = max((each.stop - 1 for each in skipped), default=0)
    if last > lines:
        raise DataError(f"{name} has {lines:,} lines, and line {last:,} cannot be left out (--skip-lines, skip_lines=)")


def _count_empty(mask: Array, rows: RowCount) -> None:
    """Counts the empty rows, except those at the end of the file."""
    last = int(np.flatnonzero(mask)[-1]) + 1 if mask.any() else 0
    before = int((~mask[:last]).sum())
    if last:
        rows.empty, rows.later_empty = rows.empty + rows.later_empty + before, 0
    rows.later_empty += len(mask) - last


def filled(columns: list[Any]) -> Array:
    """(rows,), True where a cell is not empty."""
    compute = pyarrow().compute
    result = np.zeros(len(columns[0]), bool)
    undecided = np.arange(len(result))
    for column in columns:  # nearly always the first one decides it for all rows
        some = column if len(undecided) == len(result) else column.take(pyarrow().array(undecided))
        length = compute.binary_length(compute.utf8_trim_whitespace(some)).to_numpy(zero_copy_only=False)
        result[undecided[length > 0]] = True
        undecided = undecided[length == 0]
        if not len(undecided):
            break
    return result


def _batches(file: TextFile, stream: Stream, dialect: Dialect, lines: _Lines, size: int) -> Iterator[Any]:
    """The batches that pyarrow reads. Rows of another width are collected in `lines`."""
    arrow = pyarrow()
    if (available := available_memory()) < _MIN_MEMORY:
        raise MemoryLimitError(
            f"reading a table needs {shown_size(_MIN_MEMORY)} of memory, and {shown_size(available)} are available: "
            "close other programs or raise the limit"
        )
    names = [str(position) for position in range(dialect.width)]

    def collect(row: Any) -> str:
        lines.wrong.append(row)
        return "skip" if len(lines.wrong) < _MAX_WRONG else "error"

    _READING.add(stream)
    try:
        reader = arrow.csv.open_csv(
            stream,
            arrow.csv.ReadOptions(use_threads=False, column_names=names, block_size=size, skip_rows=dialect.skipped),
            arrow.csv.ParseOptions(
                delimiter=dialect.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=collect,
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


_READING: WeakSet[Stream] = WeakSet()  # streams from which a thread may read ahead
_GRACE = 0.2  # seconds that threads get at the end of the program


@atexit.register
def _end_all() -> None:
    """Ends the threads that read ahead: one that calls Python after Python has ended aborts the process.

    An error can leave such a thread behind. Its stream ends here, and the thread gets a moment to notice it.
    """
    streams = list(_READING)
    for stream in streams:
        stream.end()
    if streams:
        time.sleep(_GRACE)


_NONE = np.empty(0, np.int64)


class _Lines:
    """The line of each row. pyarrow counts rows, but a row with line feeds in its cells takes several lines.

    Attributes:
        wrong: rows of another width, in their order.
        row: the number of the last row that was read.
        extra_lines: lines so far in addition to one for each row.
        marks: quotation marks within cells so far.
        long, first_long: the number of rows of several lines, and the line of the first one.
        last_long: whether the last row has several lines.
    """

    def __init__(self, file: TextFile, dialect: Dialect) -> None:
        self.file, self.dialect, self.wrong = file, dialect, list[Any]()
        self.row, self.extra_lines, self.marks = dialect.skipped, dialect.left_out, 0
        self.long, self.first_long, self.last_long = 0, 0, False

    def of(self, batch: Any, stream: Stream) -> Array:
        """The lines of the rows of a batch."""
        wrong, numbers = {row.number for row in self.wrong}, np.arange(self.row + 1, self.row + 1 + batch.num_rows)
        for number in sorted(wrong):
            if number > self.row and len(numbers) and number <= numbers[-1] + 1:
                numbers[numbers >= number] += 1
        if len(numbers):
            self.row = int(numbers[-1])
        feeds = self._counts(batch, "\n") if stream.quotes else None
        if feeds is None or not batch.num_rows:
            lines = numbers + self.extra_lines
            self.last_long = False
        else:
            self.marks += int(self._counts(batch, '"').sum())
            lines = numbers + self.extra_lines + np.concatenate([[0], np.cumsum(feeds)[:-1]]).astype(np.int64)
            if feeds.any():
                self.first_long = self.first_long or int(lines[np.flatnonzero(feeds)[0]])
                self.long += int((feeds > 0).sum())
            self.extra_lines, self.last_long = self.extra_lines + int(feeds.sum()), bool(feeds[-1])
        self.check_width(self.row, lines, numbers)
        return lines

    def check(self, stream: Stream) -> None:
        """At the end of the file: `DataError` for a row of another width or an open quotation mark."""
        if stream.quotes % 2 and (self.last_long or not self.marks):
            raise DataError(
                f"{self.file.name} cannot be read as a table: a quotation mark is not closed; close it, or double it within a cell"
            )
        self.check_width()

    def _counts(self, batch: Any, what: str) -> Array:
        """(rows,), how often a text occurs in the cells of each row."""
        count = pyarrow().compute.count_substring
        return np.asarray(
            np.sum([count(column, what).to_numpy(zero_copy_only=False) for column in batch.columns], axis=0)
        )

    def check_width(self, last: int | None = None, lines: Array = _NONE, numbers: Array = _NONE) -> None:
        """`DataError` for the first row of another width, unless all its cells are empty.

        Args:
            last: the last row that was read; None for the end of the file.
            lines, numbers: of the rows of the last batch.
        """
        for row in self.wrong:
            if last is not None and row.number > last:
                break
            if row.text.strip(f" \t\r\n{self.dialect.delimiter}"):
                before = int(np.searchsorted(numbers, row.number))
                offset = int(lines[before] - numbers[before]) if before < len(numbers) else self.extra_lines
                count = _counted(row.actual_columns, "cell")
                raise DataError(
                    f"line {row.number + offset} of {self.file.name} has {count} and the first row {row.expected_columns}: "
                    "give all rows the same number of cells, or leave out lines that are not rows (--skip-lines, skip_lines=)"
                )


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
