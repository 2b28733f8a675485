"""A sheet of an Excel file as a table of text."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.options import ReadOptions
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.cells import MARKS
from isthmus.data.tables.columns import listed
from isthmus.data.tables.header import NO_TITLE, header_of, names_note, skip_lines_value, title_of
from isthmus.data.tables.rows import Block, RowCount, check_skipped
from isthmus.data.tables.workbooks import excess_of
from isthmus.errors import DataError
from isthmus.io.files import open_regular, shown
from isthmus.io.memory_limit import check_memory
from isthmus.text import printable

__all__ = ["Sheet"]

_SAMPLE_ROWS = 200  # rows from which names and width are detected
_MAX_ROWS, _MAX_CELLS = 10_000, 1 << 20  # of a block
_MAX_UNPACKED, _MAX_RATIO = 1 << 28, 100  # bytes that any file may unpack to; and a larger one, for each of its bytes
_MAX_LINES = 1 << 20  # of a sheet
_MAX_REACH, _MAX_REACH_RATIO = 1 << 25, 128  # cells up to each row's last one: of any file; and for each of its bytes


class Sheet:
    """The rows of a sheet as text. As a context manager, it closes the file.

    Attributes:
        name: the path of the file, safe to print.
        width: the number of columns.
        names: the column names, if there are any.
        line: the first row that is not empty.
        sample: the first rows below the names.
        title: rows that may be a title above the names.
        notes: what was detected.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        try:
            import openpyxl
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("reading .xlsx needs openpyxl: pip install 'isthmus[excel]'") from error
        self.name = shown(path)
        self._file = open_regular(path)
        try:
            self._open(openpyxl, options)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Sheet:
        return self

    def __exit__(self, *_: object) -> None:
        self._book.close()
        self._file.close()

    def _open(self, openpyxl: Any, options: ReadOptions) -> None:
        self._skipped, self._last_line = options.skipped(), 0
        self._check_size()
        try:
            self._book = openpyxl.load_workbook(self._file, read_only=True, data_only=True)
        except Exception as error:  # the library raises errors of any kind for a damaged file
            raise self._damaged(error) from error
        sheets = self._book.sheetnames
        if options.sheet is not None and options.sheet not in sheets:
            raise DataError(f"{self.name} has no sheet '{printable(options.sheet)}'; it has {listed(sheets)}")
        self._sheet = self._book[options.sheet or sheets[0]]
        self._detect(options, sheets)

    def _detect(self, options: ReadOptions, sheets: list[str]) -> None:
        """Detects names, width and title from the first rows."""
        rows = [(line, row) for line, row in islice(self._rows(), _SAMPLE_ROWS) if any(row)]
        if not rows:
            raise DataError(f"{self.name} has no rows of data: give at least one")
        self.width = max(len(row) for _, row in rows)
        self.line, first = rows[0]
        body = [self._padded(row) for _, row in rows[1:]]
        first = self._padded(first)
        marks = MARKS | {mark.strip() for mark in options.na_values}
        named, reason = header_of(first, body, marks) if options.header is None else (options.header, "")
        self.names = tuple(cell.strip() for cell in first) if named else None
        numbered = [(line, self._padded(row)) for line, row in rows]
        self.title = NO_TITLE if options.header is False else title_of(numbered, marks)
        self.sample = body if named else [first, *body]
        others = [each for each in sheets if each != self._sheet.title]
        sheet = f"sheet '{printable(self._sheet.title)}'" + (
            f", without {listed(others)} (--sheet, sheet=)" if others else ""
        )
        self.notes = (
            f"{self.name} is read as a table: {sheet}",
            names_note(self.name, self.names, bool(named), reason, self.line, skip_lines_value(self.title, options)),
        )

    def blocks(self, count: RowCount) -> Iterator[Block]:
        """The rows below the names, without empty rows."""
        count.__init__()  # type: ignore[misc]  # a sheet may be read twice
        cells = 0
        rows = ((line, row) for line, row in self._rows() if line > self.line or self.names is None)
        while some := list(islice(rows, max(1, min(_MAX_ROWS, _MAX_CELLS // self.width)))):
            filled = [(line, row) for line, row in some if any(row)]
            if filled:
                last = max(index for index, (_, row) in enumerate(some) if any(row)) + 1
                count.empty += count.later_empty + sum(not any(row) for _, row in some[:last])
                count.later_empty = len(some) - last
                # The library fills a row with empty cells up to the last one that the file declares.
                cells += self.width * len(filled)
                check_memory(8 * cells, f"the table of {self.name}", given=self._size)
                arrow = pyarrow()
                transposed = zip(*(self._checked(line, row) for line, row in filled), strict=True)
                columns = [arrow.array(column, arrow.string()) for column in transposed]
                yield Block(columns, np.array([line for line, _ in filled], np.int64))
            else:
                count.later_empty += len(some)
        check_skipped(self._skipped, self._last_line, self.name)
        count.skipped = [line for each in self._skipped for line in each]

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row: its line, and its cells as text without the empty ones at its end."""
        self._sheet.reset_dimensions()
        reach = 0
        try:
            for line, row in enumerate(self._sheet.iter_rows(values_only=True), 1):
                self._last_line = line
                reach += len(row)
                # The library adds the rows and cells that are missing before one with a high number.
                if line > _MAX_LINES or reach > max(_MAX_REACH, _MAX_REACH_RATIO * self._size):
                    raise DataError(
                        f"{self.name} has too many empty rows or cells, before line {line}: if you trust it, save it as .csv"
                    )
                if any(line in each for each in self._skipped):
                    continue
                cells = [_text(value) for value in row]
                while cells and not cells[-1]:
                    cells.pop()
                yield line, cells
        except Exception as error:  # the library raises errors of any kind for a damaged file
            raise self._damaged(error) from error

    def _padded(self, row: list[str]) -> list[str]:
        return row + [""] * (self.width - len(row))

    def _checked(self, line: int, row: list[str]) -> list[str]:
        if len(row) > self.width:
            raise DataError(
                f"line {line} of {self.name} has {len(row)} cells and the first rows {self.width}: "
                "give all rows the same number of cells"
            )
        return self._padded(row)

    def _check_size(self) -> None:
        """`DataError` if the file unpacks to far more than its size. Only the sizes that the archive declares are read."""
        self._size = self._file.seek(0, 2)
        limit = max(_MAX_UNPACKED, _MAX_RATIO * self._size)
        try:
            archive = zipfile.ZipFile(self._file)
            size = sum(each.file_size for each in archive.infolist())
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise self._damaged(error) from error
        if size > limit:
            raise DataError(
                f"{self.name} unpacks to more than {limit:,} bytes, which is out of proportion: if you trust it, save it as .csv"
            )
        try:
            excess = excess_of(archive)
        except Exception as error:  # the library raises errors of any kind for a damaged archive
            raise self._damaged(error) from error
        if excess:
            raise DataError(f"{self.name} {excess}, more than a sheet may have: if you trust it, save it as .csv")
        self._file.seek(0)

    def _damaged(self, error: Exception) -> DataError:
        if isinstance(error, DataError):
            return error
        return DataError(f"{self.name} is a damaged Excel file ({printable(error)}): save it again as .xlsx")


def _text(value: Any) -> str:
    """The value of a cell as text."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value).strip()
