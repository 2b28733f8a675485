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
from isthmus.data.tables.workbooks import out_of_proportion
from isthmus.errors import DataError
from isthmus.io.files import open_regular, shown
from isthmus.io.memory_limit import check_memory
from isthmus.text import printable

__all__ = ["Sheet"]

_SAMPLE, _ROWS, _CELLS = 200, 10_000, 1 << 20  # rows of the look at the beginning; rows and cells of a block at most
_UNPACKED, _GROWTH = 1 << 28, 100  # bytes that any file may become; times its size, to which a larger one may grow
_LINES = 1 << 20  # of a sheet
_REACH, _REACH_GROWTH = (
    1 << 25,
    128,
)  # cells of any file, those that are empty before a row's last too; and for each byte of it


class Sheet:
    """The rows of a sheet, as text; a context that closes the file."""

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
        self._skipped, self._last = options.skipped(), 0
        self._check_size()
        try:
            self._book = openpyxl.load_workbook(self._file, read_only=True, data_only=True)
        except Exception as error:  # whatever a damaged file makes of the library
            raise self._damaged(error) from error
        sheets = self._book.sheetnames
        if options.sheet is not None and options.sheet not in sheets:
            raise DataError(f"{self.name} has no sheet '{printable(options.sheet)}'; it has {listed(sheets)}")
        self._sheet = self._book[options.sheet or sheets[0]]
        self._begin(options, sheets)

    def _begin(self, options: ReadOptions, sheets: list[str]) -> None:
        """Names, width and notes, from the first rows."""
        rows = [(line, row) for line, row in islice(self._rows(), _SAMPLE) if any(row)]
        if not rows:
            raise DataError(f"{self.name} has no rows of data: give at least one")
        self.width = max(len(row) for _, row in rows)
        self.line, first = rows[0]
        body = [self._padded(row) for _, row in rows[1:]]
        first = self._padded(first)
        marks = MARKS | {mark.strip() for mark in options.na_values}
        named, why = (options.header, "as requested") if options.header is not None else header_of(first, body, marks)
        self.names = tuple(cell.strip() for cell in first) if named else None
        numbered = [(line, self._padded(row)) for line, row in rows]
        self.title = NO_TITLE if options.header is False else title_of(numbered, marks)
        self.sample = body if named else [first, *body]
        others = [each for each in sheets if each != self._sheet.title]
        sheet = f"sheet '{printable(self._sheet.title)}'" + (
            f" alone, not {listed(others)} (--sheet, sheet=)" if others else ""
        )
        self.notes = (
            f"{self.name} is read as a table: {sheet}",
            names_note(self.name, self.names, bool(named), why, self.line, skip_lines_value(self.title, options)),
        )

    def blocks(self, count: RowCount) -> Iterator[Block]:
        """The rows below the names, without those in which all cells are empty."""
        count.__init__()  # type: ignore[misc]  # a sheet may be read twice
        cells = 0
        rows = ((line, row) for line, row in self._rows() if line > self.line or self.names is None)
        while some := list(islice(rows, max(1, min(_ROWS, _CELLS // self.width)))):
            kept = [(line, row) for line, row in some if any(row)]
            if kept:
                last = max(place for place, (_, row) in enumerate(some) if any(row)) + 1
                count.empty += count.later_empty + sum(not any(row) for _, row in some[:last])
                count.later_empty = len(some) - last
                # The library fills a row up to its last cell, wherever the file says that is.
                cells += self.width * len(kept)
                check_memory(8 * cells, f"the table of {self.name}", given=self._size)
                arrow = pyarrow()
                turned = zip(*(self._checked(line, row) for line, row in kept), strict=True)
                columns = [arrow.array(column, arrow.string()) for column in turned]
                yield Block(columns, np.array([line for line, _ in kept], np.int64))
            else:
                count.later_empty += len(some)
        check_skipped(self._skipped, self._last, self.name)
        count.skipped = [line for each in self._skipped for line in each]

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row with its number, its cells as text, without those that are empty at its end."""
        self._sheet.reset_dimensions()
        reach = 0
        try:
            for line, row in enumerate(self._sheet.iter_rows(values_only=True), 1):
                self._last = line
                reach += len(row)
                # The library makes up what is missing, up to the number that a row or a cell says that it has.
                if line > _LINES or reach > max(_REACH, _REACH_GROWTH * self._size):
                    raise DataError(
                        f"{self.name} has too many empty rows or cells, before line {line}: save it as .csv, if you trust it"
                    )
                if any(line in each for each in self._skipped):
                    continue
                cells = [_text(value) for value in row]
                while cells and not cells[-1]:
                    cells.pop()
                yield line, cells
        except Exception as error:  # whatever a damaged file makes of the library
            raise self._damaged(error) from error

    def _padded(self, row: list[str]) -> list[str]:
        return row + [""] * (self.width - len(row))

    def _checked(self, line: int, row: list[str]) -> list[str]:
        if len(row) > self.width:
            raise DataError(
                f"line {line} of {self.name} has {len(row)} cells and the first rows {self.width}: even them"
            )
        return self._padded(row)

    def _check_size(self) -> None:
        """An archive says how large its parts are; one that is out of proportion is refused before it is unpacked."""
        self._size = self._file.seek(0, 2)
        limit = max(_UNPACKED, _GROWTH * self._size)
        try:
            archive = zipfile.ZipFile(self._file)
            size = sum(each.file_size for each in archive.infolist())
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise self._damaged(error) from error
        if size > limit:
            raise DataError(
                f"{self.name} unpacks to more than {limit:,} bytes, which is out of proportion: save it as .csv, if you trust it"
            )
        try:
            much = out_of_proportion(archive)
        except Exception as error:  # whatever a damaged archive makes of the library
            raise self._damaged(error) from error
        if much:
            raise DataError(f"{self.name} {much}, more than a sheet may have: save it as .csv, if you trust it")
        self._file.seek(0)

    def _damaged(self, error: Exception) -> DataError:
        if isinstance(error, DataError):
            return error
        return DataError(f"{self.name} is a damaged Excel file ({printable(error)}): save it again as .xlsx")


def _text(value: Any) -> str:
    """A cell as text that says the same."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value).strip()
