"""The latest rows of a stretch of a stream, and what becomes final as rows arrive."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from isthmus.data.series.padding import padded
from isthmus.data.series.window_array import WindowArray
from isthmus.evaluation.series_alarms import divided, longest_alarm, runs

__all__ = ["Arrived", "Settled", "Track"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Whole = NDArray[np.int64]


class Arrived(NamedTuple):
    """Rows of one machine: their values (n, channels), their numbers in the stream (n,), and their times (n,) or None."""

    values: Array
    numbers: Whole
    times: Array | None

    def part(self, part: Any) -> Arrived:
        """Some of the rows: a slice, or their numbers."""
        return Arrived(self.values[part], self.numbers[part], None if self.times is None else self.times[part])

    def followed_by(self, others: Arrived) -> Arrived:
        """These rows and others."""
        times = None
        if self.times is not None and others.times is not None:
            times = np.concatenate([self.times, others.times])
        values, numbers = np.concatenate([self.values, others.values]), np.concatenate([self.numbers, others.numbers])
        return Arrived(values, numbers, times)


class Settled(NamedTuple):
    """What became final in a stretch.

    Attributes:
        rows: its latest rows, up to the last one.
        windows, of_windows: the windows that contain a row of a run, and their scores.
        scores, begin: the scores of final rows, from that of the row `begin`; those of an open alarm are here again.
        new: how many of the last of them became final now.
        labels: (new,) the number of the alarm of each of these rows; 0 for none.
        first_alarm: the number of the first run.
        ended: the runs of anomalous rows that have ended, as positions in `scores`.
        track: the stretch from now on.
        known: (new,) whether each of these rows is in a known window.
    """

    rows: Arrived
    windows: WindowArray
    of_windows: Doubles
    scores: Doubles
    begin: int
    new: int
    labels: Whole
    first_alarm: int
    ended: list[tuple[int, int]]
    track: Track
    known: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Track:
    """The latest rows of a stretch without a gap: those that later windows can contain, and those of an open alarm. It does not change.

    Rows and windows are counted from the first row of the stretch, so that windows begin at multiples of the step.

    Attributes:
        rows: the latest rows.
        first: the position of the first of them.
        seen: the number of rows whose windows have scores.
        ended: whether no more rows follow.
        begins, scores: the windows that are still needed, and their scores.
        final: the rows before it have their final score.
        kept: the scores of the last of these, if they belong to an open alarm.
        alarms: how many alarms of the machine have begun.
        pad: whether a stretch that ends shorter than a window is padded with missing values.
        known: the first rows of the known windows that are still needed.
    """

    rows: Arrived
    first: int = 0
    seen: int = 0
    ended: bool = False
    begins: Whole = field(default_factory=lambda: np.empty(0, np.int64))
    scores: Doubles = field(default_factory=lambda: np.empty(0))
    final: int = 0
    kept: Doubles = field(default_factory=lambda: np.empty(0))
    alarms: int = 0
    pad: bool = False
    known: Whole = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def end(self) -> int:
        """The number of rows of the stretch so far."""
        return self.first + len(self.rows.numbers)

    def grown(self, rows: Arrived) -> Self:
        """The stretch with further rows."""
        return replace(self, rows=self.rows.followed_by(rows))

    def closed(self) -> Self:
        """The stretch with its last row."""
        return replace(self, ended=True)

    def due(self, length: int, step: int) -> Whole:
        """The first rows of the windows that are complete and have no score. The last one of a stretch ends with its last row."""
        if self._is_padded(length):
            return np.zeros(1, np.int64)
        first = max(0, -((length - self.seen - 1) // step) * step)
        regular = np.arange(first, self.end - length + 1, step, dtype=np.int64)
        last = self.end - length
        return np.append(regular, last) if self.ended and last >= 0 and last % step else regular

    def new(self, length: int) -> Whole:
        """The first rows of all windows, one at each row, that are complete since the last time."""
        if self._is_padded(length):
            return np.zeros(1, np.int64)
        return np.arange(max(0, self.seen - length + 1), self.end - length + 1, dtype=np.int64)

    def values(self, length: int) -> Array:
        """The values of the rows, with the padding of a stretch that is shorter than a window."""
        return padded(self.rows.values, length) if self._is_padded(length) else self.rows.values

    def _is_padded(self, length: int) -> bool:
        return self.pad and self.ended and 0 < self.end < length

    def settled(self, scores: Doubles, known: Whole, length: int, step: int, threshold: float) -> Settled:
        """What is final, given the scores of the windows that were due, and the first rows of those of `new` that are known."""
        begins = np.concatenate([self.begins, self.due(length, step)])
        of_windows = np.concatenate([self.scores, scores])
        windows = WindowArray(self.values(length), begins - self.first, length, np.zeros_like(begins))
        # if the stretch ends now, one more window ends with its last row, unless a regular one does
        last = self.end - length
        final = self.end if self.ended else max(self.final, last + (last >= 0 and last % step == 0))
        new = windows.row_means(of_windows)[self.final - self.first : final - self.first]
        known, places = np.concatenate([self.known, known]), np.arange(self.final, final)
        is_known = known.searchsorted(places, "right") > known.searchsorted(places - length, "right")
        all_scores = np.concatenate([self.kept, new])
        longest = longest_alarm(length, self.rows.values.shape[1])
        found, labels = divided(runs(all_scores < threshold), longest), np.zeros(len(all_scores), np.int64)
        begun = self.alarms - (len(self.kept) > 0)
        for number, (begin, end) in enumerate(found, begun + 1):
            labels[begin:end] = number
        is_open = bool(found) and found[-1][1] == len(all_scores) and not self.ended
        kept = all_scores[found[-1][0] :] if is_open else np.empty(0)
        track = replace(self, final=final, kept=kept, alarms=begun + len(found), seen=self.end)
        track = replace(track, known=known[known + length > final])
        return Settled(
            self.rows,
            windows,
            of_windows,
            all_scores,
            final - len(all_scores) - self.first,
            len(new),
            labels[len(self.kept) :],
            begun + 1,
            found[:-1] if is_open else found,
            track._without_old(begins, of_windows, length),
            is_known,
        )

    def _without_old(self, begins: Whole, scores: Doubles, length: int) -> Self:
        """The stretch without rows and windows that nothing needs."""
        keep = self.final - len(self.kept)
        needed = begins + length > keep
        begins, scores = begins[needed], scores[needed]
        first = min(keep, max(self.first, self.end - length), *begins.tolist())
        return replace(
            self, rows=self.rows.part(slice(first - self.first, None)), first=first, begins=begins, scores=scores
        )
