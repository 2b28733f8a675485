"""The location of a value in a window, for messages: the row of the series and the channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from isthmus.data.locations import Positions, position
from isthmus.text import printable

__all__ = ["WindowPositions"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class WindowPositions(Positions):
    """The locations of windows: a message names the row of the series and the channel.

    Attributes:
        begins: (n,) the first row of each window.
        order: (rows,) the number of each row in the given data, for padding -1 minus that of the last row before it; None if that is its
            own number.
    """

    begins: Array | None = None
    order: Array | None = None

    def some(self, rows: Any) -> WindowPositions:
        if rows is None or self.begins is None:
            return self
        return replace(self, begins=self.begins[rows])

    def __call__(self, index: tuple[int, ...]) -> str:
        if self.begins is None or len(index) != 3:
            return super().__call__(index)
        row = int(self.begins[index[0]]) + int(index[1])
        row = row if self.order is None else int(self.order[row])
        if row < 0:
            return f"the padding after {self._series_row(~row)}, of a stretch that is shorter than a window"
        if self.lines is not None or self.files is not None:
            return f"{self._series_row(row)}, {self.feature(index[1:])}"
        where = position((row, int(index[2])), self.columns)
        return f"{where} of {self.file}" if self.file else where

    def _series_row(self, row: int) -> str:
        """The location of a row of the series."""
        row, file = (row, self.file) if self.files is None else self.files.place(row)
        where = f"row {row}" if self.lines is None else f"line {self.lines[row]}"
        return f"{where} of {file}" if file else where

    def feature(self, rest: tuple[int, ...]) -> str:
        channel = int(rest[-1])
        return f"channel {channel}" if self.columns is None else f"channel '{printable(self.columns[channel])}'"
