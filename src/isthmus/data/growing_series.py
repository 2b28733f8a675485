"""A series in a text file that another program appends to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from isthmus.data.file_formats import format_of
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.readers import read_appended
from isthmus.data.tables.growing import GrowingFile
from isthmus.data.validation import Missing, blocks, check_finite
from isthmus.errors import DataError, RecordError
from isthmus.io.files import shown

__all__ = ["GrowingSeries", "SeriesPart"]


class SeriesPart(NamedTuple):
    """Rows of a series.

    Attributes:
        values: (n, channels).
        time, by: (n,) the time and the machine of each row; None without.
        notes: of the reading.
    """

    values: npt.NDArray[Any]
    time: Any
    by: Any
    notes: tuple[str, ...]


class GrowingSeries:
    """The rows of a series in a text file that another program appends to. Its format is that of the lines that are there first.

    Args:
        path: the file.
        options: how to read it.
        reused: the run for which it is read.

    Raises:
        DataError: the file is no text file.
        RecordError: an option cannot be used.
    """

    def __init__(self, path: str, options: ReadOptions, reused: Reused) -> None:
        if format_of(Path(path)) != "text":
            raise DataError(
                f"{shown(Path(path))} cannot be followed, only a text file can: leave out --follow, or give a .csv file"
            )
        if options.labels is not None:
            raise RecordError("labels are for a series that is complete: leave out --labels or --follow")
        self._path, self._options, self._reused = path, options, reused
        self._zone: str | None = None
        self._file, self._begun = GrowingFile(Path(path), options.comment, options.delimiter), False

    def read(self) -> SeriesPart | None:
        """The rows that were appended; None if there are none.

        Returns:
            The rows, or some of them: the next call has others.

        Raises:
            DataError: the file was replaced, or it holds a value that cannot be used.
        """
        part = self._file.read()
        while (
            part is not None and self._begun and not part.has_rows(self._options.skipped(), self._options.comment or "")
        ):
            part = self._file.read()
        if part is None:
            return None
        rows = read_appended(self._path, self._options, self._reused, part)
        table, known = rows.table, rows.read_as
        if not self._begun and known is not None:
            self._file.begin(part, known.head, known.options["comment"], known.options["delimiter"])
            self._zone = rows.zone
            self._options, self._begun = self._options.replace(**known.options), True
        if rows.zone != self._zone:
            has, had = ("no time zone", "one") if rows.zone is None else ("a time zone", "none")
            raise DataError(
                f"the times from line {part.first:,} of {shown(Path(self._path))} on have {has}, and those before {had}: "
                "write all in one way"
            )
        missing: Missing = "allow" if self._reused.missing else "error"
        for begin, block in blocks(table.train):
            check_finite(block, begin, table.positions(), missing)
        return SeriesPart(table.train, rows.time, rows.by, table.notes)

    def rest(self) -> str:
        """What is not read yet, and why, for a message; "" for nothing."""
        return self._file.rest()
