"""Where a number stands, as the person who gave it finds it: by line and name in a file, by row and column in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.text import printable

__all__ = ["Positions", "position"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Positions:
    """Where the numbers of some examples stand.

    Attributes:
        columns: the names of the columns, where they have any.
        file: that they were read from; "" where they came in memory.
        lines: (n,) the line of each example, counted from 1, where the file has lines.
        rows: (n,) which examples these are, where they are some of more; counted from 0.
        part: of the file that they are, such as its test examples.
        what: an example is called: row, code.
    """

    columns: tuple[str, ...] | None = None
    file: str = ""
    lines: Array | None = None
    rows: Array | None = None
    part: str = ""
    what: str = "row"

    def some(self, rows: Any) -> Positions:
        """Those of some examples: a slice, or the numbers of rows; None stands for all."""
        if rows is None:
            return self
        if self.rows is not None:
            return replace(self, rows=self.rows[rows])
        if not isinstance(rows, slice):
            return replace(self, rows=np.asarray(rows))
        return self if not rows.start and rows.step in {None, 1} else replace(self, rows=np.arange(rows.stop)[rows])

    def __call__(self, index: tuple[int, ...]) -> str:
        """Where the number with an index (row, *rest) stands."""
        if not self.file:
            row = int(index[0]) if self.rows is None or not index else int(self.rows[index[0]])
            return position((row, *index[1:]) if index else (), self.columns).replace("row", self.what, 1)
        feature = self.feature(index[1:])
        return self._row(int(index[0])) + (f", {feature}" if feature else "")

    def feature(self, rest: tuple[int, ...]) -> str:
        """Which number of an example it is."""
        if not self.file or len(rest) != 1:
            return position((0, *rest), self.columns).partition(", ")[2]
        place = int(rest[0])
        if self.columns is None:
            return f"column '{place}'" if self.lines is not None else f"column {place}"
        return f"column '{printable(self.columns[place])}'"

    def _row(self, row: int) -> str:
        """Which example of the file it is."""
        row = row if self.rows is None else int(self.rows[row])
        if self.lines is not None:
            return f"line {self.lines[row]} of {self.file}"
        return f"{self.what} {row} (the first is 0) of {self.part}{self.file}"


def position(index: tuple[int, ...], columns: tuple[str, ...] | None) -> str:
    """Where a value stands in memory, as a person counts from zero: row 17, column 3 (feature 'age')."""
    if not index:
        return "the only value"
    row, *rest = (int(each) for each in index)
    if len(rest) != 1:
        return f"row {row}" + (f", position {tuple(rest)}" if rest else "")
    return f"row {row}, column {rest[0]}" + (f" (feature {columns[rest[0]]!r})" if columns else "")
