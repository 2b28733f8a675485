"""Anomaly detection in a series whose rows arrive in parts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isthmus.data.series.stretches import Gap, checked_gap, repeated_note
from isthmus.data.series.window_array import WindowArray
from isthmus.data.series.window_positions import WindowPositions
from isthmus.data.validation import Examples
from isthmus.errors import DataError, IsthmusWarning, NotPossibleError, RecordError
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation.series_alarms import Alarm, Rows, alarm_of
from isthmus.evaluation.series_arrivals import Form, by_machine, continued, read_part
from isthmus.evaluation.series_track import Settled, Track
from isthmus.evaluation.streamed_steps import OpenAlarm, StreamedSteps
from isthmus.text import printable, quoted

__all__ = ["SeriesStream"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]


class SeriesStream:
    """Detects anomalies in a series whose rows arrive in parts of any size, with the results of `detect_series` on all rows at once.

    A time step is final when no later window can contain it, a window after it arrived; an alarm when a final step after it is normal,
    or its stretch ends. Final scores and alarms are bit-identical for any parts. For each machine the stream keeps the rows that later
    windows can contain, and the rows of an open alarm. Memory is bounded, since a very long alarm is divided (`Alarm`).
    Rows of a machine arrive in the order of time. After an error the stream is unchanged.

    Args:
        detector: a detector that was fitted on windows.
        step: the rows from one window to the next; None: an eighth of the length of a window.
        time, by: the columns of frames with the time and the machine of each row, if there are such columns.
        gap: the longest interval between neighboring rows that is no gap: seconds, a timedelta, or a number in the unit of the time. Rows
            with times require it, since the median interval of rows to come is unknown.
        pad: pad stretches that are shorter than a window with missing values, as `isthmus.data.Windows` does.
        known: says which windows (n, length, channels) are known, (n,), such as those of training. It is asked about the windows at all
            rows, and `StreamedSteps.known` says which time steps are in one.

    Attributes:
        channels: the names of the channels, once rows have arrived.

    Raises:
        RecordError: an argument is invalid.

    Examples:
        >>> series = np.sin(np.arange(1000) / 5) + 0.1 * np.random.default_rng(0).normal(size=1000)
        >>> small = Autoencoder(4, architecture=MLP((16,)), epochs=20, random_state=0)
        >>> detector = OutlierDetector(small, false_alarm_rate=0.01).fit(isthmus.data.Windows(series, length=16))
        >>> stream = isthmus.evaluation.SeriesStream(detector)
        >>> final = [stream.update(series[:700]), stream.update(series[700:]), stream.finish()]
        >>> in_one_go = isthmus.evaluation.detect_series(detector, isthmus.data.Windows(series, length=16))
        >>> bool((np.concatenate([each.scores for each in final]) == in_one_go.scores).all())
        True
    """

    def __init__(
        self,
        detector: OutlierDetector,
        step: int | None = None,
        *,
        time: str | None = None,
        by: str | None = None,
        gap: Gap = None,
        pad: bool = False,
        known: Callable[[Array], NDArray[np.bool_]] | None = None,
    ) -> None:
        if not isinstance(detector, OutlierDetector):
            raise RecordError(
                f"SeriesStream expects an OutlierDetector, not a value of type {type(detector).__name__}: fit one on windows"
            )
        check_is_fitted(detector)
        shape = detector.autoencoder_.shape_
        if len(shape) != 2:
            raise RecordError(f"the detector was fitted on examples of shape {shape}: fit one on windows of a series")
        self._detector, self._length = detector, shape[0]
        self._step = max(1, self._length // 8) if step is None else _checked_step(step)
        self._time, self._by = time, by
        self._gap, self._pad = None if gap is None else checked_gap(gap, True), pad
        self._known = known
        if pad and detector.autoencoder_.missing != "allow":
            raise RecordError(
                "pad=True (--pad) pads with missing values, and the detector takes none: train with missing='allow', or leave it out"
            )
        self._form: Form | None = None  # of the rows so far
        self._none: tuple[Array | None, Array | None] = None, None  # the times and machines of no rows
        self._count, self._finished = 0, False
        self._tracks: dict[Any, Track] = {}
        self.channels = tuple[str, ...]()

    @property
    def rows_kept(self) -> int:
        """The number of rows in memory."""
        return sum(len(track.rows.numbers) for track in self._tracks.values())

    @check_units_once()
    def update(self, rows: Any, *, time: Any = None, by: Any = None) -> StreamedSteps:
        """Takes the next rows.

        Args:
            rows: (n, channels) or (n,), an array; or a frame with the same columns each time.
            time, by: the time and the machine of each row: arrays (n,) instead of columns.

        Returns:
            The time steps and alarms that are final now.

        Raises:
            DataError: a row is older than one before it of its machine, the columns have changed, or a value cannot be used.
            RecordError: rows have times, and no gap is set, or the other way round.
            NotPossibleError: the stream is finished.
        """
        if self._finished:
            raise NotPossibleError("the stream is finished: make a new one for further rows")
        if not _has_rows(rows):
            return self._settled([], ())
        ae = self._detector.autoencoder_
        time, by = self._time if time is None else time, self._by if by is None else by
        read, form = read_part(rows, time, by, self._form, ae, self._count)
        if read.time is not None and self._gap is None:
            raise RecordError(
                "rows with times require gap=, the longest interval that is no gap, such as gap=15 for 15 seconds"
            )
        if read.time is None and self._gap is not None:
            checked_gap(self._gap, False)
        if self._form is None:
            machines = np.asarray(read.labels)[:0] if read.labels else None
            self._none = None if read.time is None else read.time[:0], machines
        self.channels = read.channels or tuple(getattr(ae, "_features", ())) or _unnamed(read.values)
        notes, tracks, repeated = list[str](), list[tuple[Any, Track]](), 0
        for label, new in by_machine(read, self._count):
            stretches, gaps, same = continued(self._tracks.get(label), new, self._gap, label)
            tracks += [(label, each) for each in stretches]
            notes, repeated = [*notes, *gaps], repeated + same
        result = self._settled(tracks, notes)
        self._form, self._count = form, self._count + len(read.values)
        if repeated:
            warnings.warn(repeated_note(repeated), IsthmusWarning, stacklevel=2)
        return result

    @check_units_once()
    def finish(self) -> StreamedSteps:
        """Ends the stream.

        Returns:
            All other time steps and alarms.
        """
        result = self._settled([(label, track.closed()) for label, track in self._tracks.items()], ())
        self._finished, self._tracks = True, {}
        return result

    def _settled(self, tracks: list[tuple[Any, Track]], notes: Sequence[str]) -> StreamedSteps:
        """What is final in stretches, which are the open ones from now on. Those of a machine follow each other."""
        tracks = [(label, replace(track, pad=self._pad)) for label, track in tracks]
        due = [track.due(self._length, self._step) for _, track in tracks]
        scores = np.split(self._scores([track for _, track in tracks], due), np.cumsum([len(each) for each in due]))
        parts, states = list[tuple[Any, Settled]](), dict[Any, Track]()
        known = self._known_begins([track for _, track in tracks])
        for (label, track), own, seen in zip(
            tracks, scores, known, strict=False
        ):  # an empty part is behind the last cut
            track = replace(track, alarms=states[label].alarms) if label in states else track
            parts.append((label, track.settled(own, seen, self._length, self._step, self._detector.offset_)))
            states[label] = parts[-1][1].track
        result = self._result(parts, tuple(notes))
        self._tracks |= states
        return result

    def _scores(self, tracks: list[Track], due: list[NDArray[np.int64]]) -> Doubles:
        """The scores of the windows that are due in each stretch, one after the other."""
        if (found := self._windows(tracks, due)) is None:
            return np.empty(0)
        windows, order = found
        where = WindowPositions(self.channels, begins=windows.begins, order=order)
        return self._detector.score_samples(Examples(cast(Array, windows), None, "series", where))

    def _known_begins(self, tracks: list[Track]) -> list[NDArray[np.int64]]:
        """The first rows of the known windows of each stretch, among all windows that are new."""
        new = [track.new(self._length) if self._known is not None else np.empty(0, np.int64) for track in tracks]
        if self._known is None or (found := self._windows(tracks, new)) is None:
            return new
        windows, answer = cast(Array, found[0]), np.asarray(self._known(cast(Array, found[0])))
        if answer.dtype != bool or answer.shape != (len(windows),):
            raise RecordError(
                f"known gives {answer.dtype} of shape {answer.shape} for {len(windows)} windows: expected bool of shape ({len(windows)},)"
            )
        known = np.split(answer, np.cumsum([len(each) for each in new]))
        return [begins[own] for begins, own in zip(new, known, strict=False)]

    def _windows(
        self, tracks: list[Track], begins: list[NDArray[np.int64]]
    ) -> tuple[WindowArray, NDArray[np.int64]] | None:
        """The windows of each stretch that begin at these rows, one after the other, and the number of each row; None without windows."""
        wanted = [(track, own) for track, own in zip(tracks, begins, strict=True) if len(own)]
        if not wanted:
            return None
        values = [track.values(self._length) for track, _ in wanted]
        before = np.cumsum([0, *map(len, values)])
        first = np.concatenate([own - track.first + n for (track, own), n in zip(wanted, before, strict=False)])
        numbers = [track.rows.numbers for track, _ in wanted]
        order = [np.pad(own, (0, len(each) - len(own)), "edge") for own, each in zip(numbers, values, strict=True)]
        return WindowArray(np.concatenate(values), first, self._length, np.zeros_like(first)), np.concatenate(order)

    def _result(self, parts: list[tuple[Any, Settled]], notes: tuple[str, ...]) -> StreamedSteps:
        """What became final, in the order of the rows of the stream."""
        alarms = [pair for label, part in parts for pair in self._alarms(label, part)]
        alarms.sort(key=lambda pair: pair[1].rows)
        steps = [
            part.rows.part(slice(part.begin + len(part.scores) - part.new, part.begin + len(part.scores)))
            for _, part in parts
        ]
        numbers = np.concatenate([np.empty(0, np.int64), *(each.numbers for each in steps)])
        order = np.argsort(numbers)
        labels = np.asarray([label for label, part in parts for _ in range(part.new)])
        times = [each.times for each in steps if each.times is not None]
        no_times, no_machines = self._none
        self._warn_of_short(parts)
        return StreamedSteps(
            numbers[order],
            None if no_times is None else np.concatenate([no_times, *times])[order],
            no_machines if no_machines is None or not len(order) else labels[order],
            np.concatenate([np.empty(0), *(part.scores[len(part.scores) - part.new :] for _, part in parts)])[order],
            np.concatenate([np.empty(0, np.int64), *(part.labels for _, part in parts)])[order],
            tuple(alarm for _, alarm in alarms),
            tuple(number for number, _ in alarms),
            notes,
            tuple(alarm for label, part in parts for alarm in _opened(label, part)),
            None if self._known is None else np.concatenate([np.empty(0, bool), *(p.known for _, p in parts)])[order],
        )

    def _alarms(self, label: Any, part: Settled) -> list[tuple[int, Alarm]]:
        """The alarms of a stretch that ended, with their numbers."""
        found = []
        for number, (begin, end) in enumerate(part.ended, part.first_alarm):
            first = part.begin + begin
            rows = part.rows.part(slice(first, part.begin + end))
            known = Rows(rows.numbers, rows.times, label)
            scores = part.scores[begin:end]
            alarm = alarm_of(self._detector, part.windows, part.of_windows, scores, first, known, self.channels)
            found.append((number, alarm))
        return found

    def _warn_of_short(self, parts: list[tuple[Any, Settled]]) -> None:
        """Warns of stretches that ended and are too short for a window."""
        for label, part in parts:
            count = part.track.end
            if part.track.ended and 0 < count < self._length and not self._pad:
                of = "" if label is None else f" of {printable(label)}"
                first, last = part.rows.numbers[[0, -1]].tolist()
                note = f"{count:,} rows are in no window, in a stretch of fewer than {self._length} rows: rows {first:,} to {last:,}{of}"
                warnings.warn(note, IsthmusWarning, stacklevel=4)


def _opened(label: Any, part: Settled) -> list[OpenAlarm]:
    """The alarm of a stretch that began among its new rows, and is open."""
    at = len(part.scores) - len(part.track.kept)
    if at == len(part.scores) or at < len(part.scores) - part.new:
        return []
    rows = part.rows.part(slice(part.begin + at, part.begin + at + 1))
    row = int(rows.numbers[0])
    return [OpenAlarm(part.track.alarms, row if rows.times is None else rows.times[0], row, label)]


def _has_rows(rows: Any) -> bool:
    try:
        if not isinstance(rows, str | bytes | dict):
            return len(rows) > 0
    except TypeError:  # a number, or a sparse array
        pass
    raise DataError(f"update expects rows, an array or a frame, not a value of type {type(rows).__name__}")


def _checked_step(step: Any) -> int:
    if not isinstance(step, Integral) or isinstance(step, bool) or step < 1:
        raise RecordError(f"invalid step={quoted(step, 20)}: expected a positive number of rows")
    return int(step)


def _unnamed(values: Array) -> tuple[str, ...]:
    return tuple(f"channel {number}" for number in range(values.shape[1]))
