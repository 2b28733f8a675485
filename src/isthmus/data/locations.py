"""The location of a value, for messages: line and column name in a file, row and column number in an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.text import printable

__all__ = ["FileRows", "Positions", "position"]

Array = npt.NDArray[Any]
_EACH = 1 << 13  # bytes of a mask for each count of the rows before


class FileRows(NamedTuple):
    """Which rows of a data set are from which of its files.

    Attributes:
        names: of the files, safe to print.
        begins: (files,), the number of the first row of each file.
        rows: (n,) the number of each row of the data set among the rows of all files, if some are left out.
    """

    names: tuple[str, ...]
    begins: Array
    rows: Array | None = None

    @classmethod
    def of(cls, names: tuple[str, ...], counts: Sequence[int]) -> FileRows | None:
        """The rows of several files; None for a single one.

        Args:
            names: of the files, safe to print.
            counts: the number of rows of each file.
        """
        return cls(names, np.cumsum([0, *counts[:-1]], dtype=np.int64)) if len(names) > 1 else None

    def some(self, rows: Array) -> FileRows:
        """Those of a data set with some of the rows.

        Args:
            rows: (n,), their numbers in this one.
        """
        return self._replace(rows=rows if self.rows is None else self.rows[rows])

    def place(self, row: int) -> tuple[int, str]:
        """The number of a row within its file, from 0, and the name of the file."""
        row = row if self.rows is None else int(self.rows[row])
        file = int(self.begins.searchsorted(row, side="right")) - 1  # the last one of those that begin there has rows
        return row - int(self.begins[file]), self.names[file]


class _MaskedRows:
    """The row numbers of a mask (n,), which is all that is stored of them."""

    def __init__(self, mask: Array) -> None:
        self.mask = np.packbits(mask)
        self.before = np.concatenate(
            [np.zeros(1, np.int64), np.cumsum(np.bitwise_count(self.mask), dtype=np.int64)[_EACH - 1 :: _EACH]]
        )

    def __getitem__(self, key: Any) -> Any:
        """The row number in a place, or an array of those in several places."""
        if not isinstance(key, int | np.integer):
            return np.flatnonzero(np.unpackbits(self.mask))[key]
        part = int(self.before.searchsorted(key, side="right")) - 1
        rows = np.flatnonzero(np.unpackbits(self.mask[part * _EACH : (part + 1) * _EACH]))
        return part * _EACH * 8 + int(rows[key - self.before[part]])


@dataclass(frozen=True, eq=False)
class Positions:
    """The locations of examples and their values.

    Attributes:
        columns: the column names, if there are any.
        file: the file of the examples; "" for examples in memory.
        lines: (n,) the line number of each example, from 1, if the file has lines.
        rows: (n,) the row number of each example, from 0, if the examples are a subset.
        part: a prefix that names the part of the file, such as "the test examples of ".
        row_name: what a message calls an example: row, code.
        files: the rows of each file, if there are several.
    """

    columns: tuple[str, ...] | None = None
    file: str = ""
    lines: Array | None = None
    rows: Array | _MaskedRows | None = None
    part: str = ""
    row_name: str = "row"
    files: FileRows | None = None

    def some(self, rows: Any) -> Positions:
        """The locations of a subset: a slice, row numbers, or a mask (n,); None means all."""
        if rows is None:
            return self
        if isinstance(rows, np.ndarray) and rows.dtype == bool and self.rows is None:
            return replace(self, rows=_MaskedRows(rows))
        if self.rows is not None:
            return replace(self, rows=self.rows[rows])
        if not isinstance(rows, slice):
            return replace(self, rows=np.asarray(rows))
        return self if not rows.start and rows.step in {None, 1} else replace(self, rows=np.arange(rows.stop)[rows])

    def __call__(self, index: tuple[int, ...]) -> str:
        """The location of the value with an index (row, *rest)."""
        if not self.file:
            row = int(index[0]) if self.rows is None or not index else int(self.rows[index[0]])
            return position((row, *index[1:]) if index else (), self.columns).replace("row", self.row_name, 1)
        feature = self.feature(index[1:])
        return self._row(int(index[0])) + (f", {feature}" if feature else "")

    def feature(self, rest: tuple[int, ...]) -> str:
        """The location within an example."""
        if not self.file or len(rest) != 1:
            return position((0, *rest), self.columns).partition(", ")[2]
        column = int(rest[0])
        if self.columns is None:
            return f"column '{column}'" if self.lines is not None else f"column {column}"
        return f"column '{printable(self.columns[column])}'"

    def _row(self, row: int) -> str:
        """The location of an example in the file."""
        row = row if self.rows is None else int(self.rows[row])
        if self.lines is not None:
            return f"line {self.lines[row]} of {self.file}"
        row, file = (row, self.file) if self.files is None else self.files.place(row)
        return f"{self.row_name} {row} (the first is 0) of {self.part}{file}"


def position(index: tuple[int, ...], columns: tuple[str, ...] | None) -> str:
    """The location of a value in memory, counted from 0: row 17, column 3 (feature 'age')."""
    if not index:
        return "the only value"
    row, *rest = (int(each) for each in index)
    if len(rest) != 1:
        return f"row {row}" + (f", position {tuple(rest)}" if rest else "")
    return f"row {row}, column {rest[0]}" + (f" (feature {columns[rest[0]]!r})" if columns else "")
