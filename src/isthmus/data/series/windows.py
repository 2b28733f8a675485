"""The windows of a series as examples, and their results mapped back to its rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import copy
from numbers import Integral
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from isthmus.data.locations import Positions
from isthmus.data.series.padding import WindowRows, window_rows
from isthmus.data.series.rows import SeriesRows, read_rows
from isthmus.data.series.stretches import Gap, stretches
from isthmus.data.series.window_array import WindowArray
from isthmus.data.series.window_notes import padding_note, rows_in_no_window, summary
from isthmus.data.series.window_positions import WindowPositions
from isthmus.data.validation import Examples
from isthmus.errors import DataError, IsthmusWarning, RecordError
from isthmus.results import html_table
from isthmus.text import printable, quoted

__all__ = ["Windows"]

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]

_STEPS = 8  # windows that contain a row, if no step is given


class Windows(Examples):
    """Windows of a long series as examples (n, length, channels), for `fit` and all other methods that take examples.

    Windows share the memory of the rows: a memory map stays in its file. No window crosses a gap in time or contains rows of two machines.
    In each stretch without a gap the first window begins with the first row, each further one `step` rows later, and the last one
    ends with the last row. ``Windows[rows]`` selects windows. What was guessed or left out is in `notes`, and the guesses are warnings.

    Args:
        data: (rows, channels) or (rows,), an array, a memory map, a tensor; or a pandas, polars or pyarrow frame.
        length: the rows of a window.
        step: the rows from one window to the next; None: an eighth of the length. Training windows may be further apart than windows
            in which anomalies are to be found.
        time: the time of each row: a column of a frame, or an array (rows,), of dates or numbers; None: the index of a pandas frame if
            it holds dates; else neighboring rows are taken as equally far apart.
        by: the machine (sensor, patient, run) of each row: a column of a frame, or an array (rows,); None: one machine.
        channels: the columns of a frame that are channels; None: all but time and machine.
        gap: the longest interval between neighboring rows that is no gap: seconds, a timedelta, or a number in the unit of the time;
            None: 1.5 times the median interval of the machine.
        pad: pad stretches that are shorter than a window with missing values, in a copy of the rows, so that their rows are in a window
            too. Estimators take such windows with ``missing="allow"``.

    Attributes:
        values: the windows (n, length, channels), cut when they are read; ``np.asarray(windows.values)`` is an array.
        length, step: as given.
        time: (rows,) the time of each row, dates in UTC; None without.
        machines: (rows,) the machine of each row; None without.
        channels: the names of the channels; without names "channel 0", "channel 1", ...
        notes: what was found, guessed and left out, one sentence each.

    Raises:
        DataError: a column does not exist or cannot be used, or no window fits into a stretch without a gap.
        RecordError: length, step or gap is invalid.

    Examples:
        >>> seconds = np.r_[0:50, 80:130]  # a gap of 31 seconds
        >>> series = np.sin(seconds / 5)
        >>> windows = isthmus.data.Windows(series, length=16, step=4, time=seconds, gap=2)
        >>> len(windows), windows.shape
        (20, (20, 16, 1))
        >>> windows.average(np.ones(20)).shape  # a score of each window as one of each row
        (100,)
    """

    def __init__(
        self,
        data: Any,
        length: int = 64,
        step: int | None = None,
        *,
        time: Any = None,
        by: Any = None,
        channels: Sequence[str] | None = None,
        gap: Gap = None,
        pad: bool = False,
    ) -> None:
        self._set(
            length=_checked("length", length), step=_checked("step", max(1, length // _STEPS) if step is None else step)
        )
        rows = read_rows(data, time, by, channels)
        found = stretches(rows, gap)
        source = window_rows(rows, found, self.length, pad)
        begins, unused = _begins(source, self.length, self.step)
        if not begins.size:
            longest = int((found.ends - found.begins).max(initial=0))
            raise DataError(
                f"no window of {self.length:,} rows fits: the longest stretch without a gap has {longest:,} rows; "
                f"choose a smaller length= (--window){'' if rows.time is None else ' or a larger gap= (--gap)'}, or pad short stretches "
                "with missing values (pad=True, --pad)"
            )
        values = cast(Array, WindowArray(source.values, begins, self.length, source.machines[begins]))
        unnamed = tuple(f"channel {number}" for number in range(rows.values.shape[1]))
        where = WindowPositions(columns=rows.channels, begins=begins, order=source.order)
        super().__init__(values, rows.channels, "series", where)
        left_out = rows_in_no_window(rows, found, unused, self.length, self.step)
        counts = summary(rows, found, len(begins), self.length, self.step)
        notes = (counts, *rows.notes, *found.notes, *left_out, *padding_note(rows, source))
        self._set(rows=rows, channels=rows.channels or unnamed, notes=notes)
        self._set(stretch_begins=found.begins, places=source.places, spans=(source.begins, source.ends))
        for note in (*rows.guesses, *found.guesses, *left_out):
            warnings.warn(note, IsthmusWarning, stacklevel=2)

    rows: SeriesRows
    length: int
    step: int
    channels: tuple[str, ...]
    notes: tuple[str, ...]
    stretch_begins: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64] | None  # of the rows among those that windows are cut from; None without padding
    spans: tuple[
        npt.NDArray[np.int64], npt.NDArray[np.int64]
    ]  # of the stretches among these: first rows, and rows after the last

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def cut(self) -> WindowArray:
        """The windows, which `values` says are an array."""
        return cast(WindowArray, self.values)

    @property
    def every(self) -> WindowArray:
        """All windows of this length, one at each row, in their stretches."""
        begins = [
            np.arange(begin, end - self.length + 1)
            for begin, end in zip(*map(np.ndarray.tolist, self.spans), strict=True)
        ]
        cut = self.cut
        return WindowArray(cut.rows, np.concatenate(begins), self.length, np.zeros(sum(map(len, begins)), np.int64))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, length, channels)."""
        return self.values.shape

    def __getitem__(self, rows: Any) -> Self:
        """The windows with these numbers: a slice, an array or a mask."""
        return self.some([rows] if isinstance(rows, Integral) else rows)

    def some(self, rows: Any) -> Self:
        """The windows with these numbers: a slice, an array or a mask.

        Args:
            rows: numbers counted from 0.

        Returns:
            The windows, of the same rows.
        """
        selected = copy(self)
        selected._set(values=self.values[rows], positions=self.at.some(rows))
        return selected

    def named(self, channels: tuple[str, ...] | None, rows: Positions, notes: tuple[str, ...]) -> Self:
        """The windows of a file, for messages.

        Args:
            channels: the names of the channels, or None.
            rows: the locations of its rows.
            notes: about the reading of the file.
        """
        named = copy(self)
        where = cast(WindowPositions, self.at)
        positions = WindowPositions(
            channels, rows.file, rows.lines, files=rows.files, begins=where.begins, order=where.order
        )
        named._set(
            columns=channels, channels=channels or self.channels, positions=positions, notes=(*notes, *self.notes)
        )
        return named

    @property
    def time(self) -> Array | None:
        """The time of each row, in the order of the data; None without."""
        return None if self.rows.time is None else self.in_order(self.rows.time)

    @property
    def machines(self) -> Array | None:
        """The machine of each row, in the order of the data; None without."""
        labels = self.rows.labels
        return self.in_order(np.asarray(labels)[self.rows.machines]) if labels else None

    def in_order(self, values: Array) -> Array:
        """Values of rows in the order of machines and time, (rows, ...), in the order of the given data.

        Args:
            values: (rows, ...).
        """
        if self.rows.order is None:
            return values
        ordered = np.empty_like(values)
        ordered[self.rows.order] = values
        return ordered

    def average(self, values: Any) -> Doubles:
        """Results of windows as results of rows: for each row the mean over all windows that contain it.

        Args:
            values: (n,) one for each window, such as scores; or (n, length, ...) one for each row of each window, such as reconstructions.

        Returns:
            (rows, ...), in the order of the data. NaN for rows in no window.

        Raises:
            DataError: there is not one value for each window.
        """
        given = np.asarray(values)
        if given.shape[:1] != (len(self),) or (given.ndim > 1 and given.shape[1] != self.length):
            raise DataError(
                f"values have shape {given.shape}, and there are {len(self):,} windows of {self.length} rows: pass (n,) or (n, length, ...)"
            )
        return self.in_order(self.row_means(given))

    def rows_in(self, begins: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which rows (rows,), in the order of the data, are in a window that begins at one of these rows of `every`.

        Args:
            begins: as in `WindowArray.begins`.
        """
        covered = self.cut.covered(begins)
        return self.in_order(covered if self.places is None else covered[self.places])

    def row_means(self, values: Array) -> Doubles:
        """`average` in the order of machines and time.

        Args:
            values: one for each window, or for each row of each window.
        """
        means = self.cut.row_means(values)
        return means if self.places is None else means[self.places]

    def __repr__(self) -> str:
        return "\n".join(["Windows", *(f"  {printable(line[0], None)}" for line in self._table()[1])])

    def _repr_html_(self) -> str:
        return html_table(*self._table(), caption="Windows")

    def _table(self) -> tuple[list[str], list[list[str]]]:
        return ["notes"], [[f"shape {self.shape}, {self.values.dtype}"], *([note] for note in self.notes)]


def _checked(name: str, value: Any) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise RecordError(f"invalid {name}={quoted(value, 20)}: expected a positive number of rows")
    return int(value)


def _begins(found: WindowRows, length: int, step: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The first row of each window, and the numbers of the stretches that are too short for one."""
    begins, unused = list[Array](), list[int]()
    for number, (begin, end) in enumerate(zip(found.begins.tolist(), found.ends.tolist(), strict=True)):
        last = end - length
        if last < begin:
            unused.append(number)
            continue
        begins.append(np.arange(begin, last + 1, step, dtype=np.int64))
        if begins[-1][-1] < last:  # so that the latest rows have a score
            begins.append(np.array([last], np.int64))
    return np.concatenate(begins or [np.empty(0, np.int64)]), np.asarray(unused, np.int64)
