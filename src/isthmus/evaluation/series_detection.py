"""Anomaly detection in a series: a score for each time step, and alarms as intervals with the channels to blame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isthmus.data.series.windows import Windows
from isthmus.errors import RecordError
from isthmus.estimators.attribution import Attribution
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.estimators.outlier_scores import bounded_reconstructions
from isthmus.estimators.unit_check import check_units_once
from isthmus.results import Result, plain

__all__ = ["Alarm", "SeriesDetection", "detect_series"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
_BLOCK = 1 << 20  # values of windows whose errors are computed at once
_N_SHOWN = 5  # channels of an alarm in a table
_WORST, _CANDIDATES = 16, 16  # windows and channels for which the causes of an alarm are measured
_REPLACEMENTS = 2  # of a channel: the first reconstruction is distorted too


class Alarm(NamedTuple):
    """An interval of anomalous time steps, without a gap, of one machine.

    Attributes:
        begin, end: the first and the last time step, which belongs to it: times, or row numbers without times.
        peak: the time step with the largest error of the channels to blame.
        score: the lowest score in it.
        rows: the numbers of the first and the last row in the data, from 0.
        machine: its machine; None without machines.
        channels: all channels, the largest share first.
    """

    begin: Any
    end: Any
    peak: Any
    score: float
    rows: tuple[int, int]
    machine: Any
    channels: tuple[Attribution, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; times as text."""
        shares = {str(each.feature): each.share for each in self.channels}
        times = {name: plain_time(getattr(self, name)) for name in ("begin", "end", "peak")}
        machine = {} if self.machine is None else {"machine": plain(self.machine)}
        rows = {"first_row": self.rows[0], "last_row": self.rows[1]}
        return machine | times | rows | {"score": self.score, "channels": shares}


@dataclass(frozen=True, eq=False, repr=False)
class SeriesDetection(Result):
    """The result of `detect_series`. Time steps are the rows of the series, in the order of the data.

    Attributes:
        windows: the windows, with the time and the machine of each row.
        scores: (rows,) the mean score of the windows that contain each row; lower is more anomalous. NaN for rows in no window.
        alarms: the intervals of rows whose score is below the threshold, in the order of machines and time.
        labels: (rows,) the number of the alarm that each row belongs to, from 1; 0 for rows in none.
        threshold: of the scores; -inf if there were too few calibration windows.
        guarantee: what the threshold means, in a sentence.
    """

    _figure: ClassVar[str] = "series_alarms"

    windows: Windows
    scores: Doubles
    alarms: tuple[Alarm, ...]
    labels: NDArray[np.int64]
    threshold: float
    guarantee: str

    @property
    def decided(self) -> bool:
        """Whether there were enough calibration windows for a threshold."""
        return math.isfinite(self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the alarms, and counts of time steps."""
        return {
            "windows": len(self.windows),
            "steps": len(self.scores),
            "steps_without_score": int(np.isnan(self.scores).sum()),
            "anomalous_steps": int((self.labels > 0).sum()) if self.decided else None,
            "threshold": plain(self.threshold),
            "guarantee": self.guarantee,
            "alarms": [alarm.to_dict() for alarm in self.alarms] if self.decided else None,
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The alarms, for display."""
        machine = [] if self.windows.machines is None else ["machine"]
        header = [*machine, "begin", "end", "peak", "rows", "score", "channels (share)"]
        return header, [
            [
                *([] if alarm.machine is None else [str(alarm.machine)]),
                *(str(plain_time(each)) for each in (alarm.begin, alarm.end, alarm.peak)),
                f"{alarm.rows[0]}-{alarm.rows[1]}",
                f"{alarm.score:.6g}",
                ", ".join(f"{each.feature} {each.share:.0%}" for each in alarm.channels[:_N_SHOWN]),
            ]
            for alarm in self.alarms
        ]

    def alarm_lines(self) -> list[list[Any]]:
        """The alarms as rows of a CSV file: the names of the columns, then a row for each alarm."""
        channels = self.windows.channels
        machine = [] if self.windows.machines is None else ["machine"]
        lines: list[list[Any]] = [
            [
                "alarm",
                *machine,
                "begin",
                "end",
                "peak",
                "first_row",
                "last_row",
                "score",
                *(f"share_{c}" for c in channels),
            ]
        ]
        for number, alarm in enumerate(self.alarms, 1):
            shares = {each.feature: each.share for each in alarm.channels}
            own = [] if alarm.machine is None else [alarm.machine]
            lines.append(
                [
                    number,
                    *own,
                    alarm.begin,
                    alarm.end,
                    alarm.peak,
                    *alarm.rows,
                    alarm.score,
                    *(shares[c] for c in channels),
                ]
            )
        return lines

    def columns(self) -> dict[str, Array]:
        """The columns of a table with a row for each time step: its machine and time if known, score, and the number of its alarm."""
        known = {"machine": self.windows.machines, "time": self.windows.time}
        kept = {name: values for name, values in known.items() if values is not None}
        return {"row": np.arange(len(self.scores)), **kept, "score": self.scores, "alarm": self.labels}

    def _frame_rows(self) -> list[dict[str, Any]]:
        columns = self.columns()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@check_units_once()
def detect_series(detector: OutlierDetector, windows: Windows) -> SeriesDetection:
    """Detects anomalies in a series: a score for each time step, and alarms.

    The score of a step is the mean of `OutlierDetector.score_samples` over all windows that contain it. Neighboring steps with a score
    below the threshold of the detector are one alarm. An alarm never continues across a gap or to another machine. It may begin and end up
    to a window before and after the anomaly, since windows that contain a part of it are anomalous too.
    The share of a channel is the rise of the score where this channel is replaced by its reconstruction, relative to the sum of all rises:
    an extreme channel distorts the code and so the reconstruction of others, whose errors are large too. It is measured on the most
    anomalous windows of the alarm, for the channels with the largest errors (`OutlierDetector.contributions`).

    Args:
        detector: a detector that was fitted on windows of this length.
        windows: the windows of the series, best with a small step.

    Returns:
        Scores of all time steps, and the alarms.

    Raises:
        DataError: the windows do not have the shape or the channels of the training windows.
        RecordError: an argument has another type.

    Examples:
        >>> series = np.sin(np.arange(1000) / 5) + 0.1 * np.random.default_rng(0).normal(size=1000)
        >>> small = Autoencoder(4, architecture=MLP((16,)), epochs=20, random_state=0)
        >>> detector = OutlierDetector(small, false_alarm_rate=0.01).fit(isthmus.data.Windows(series, length=16))
        >>> series[500:510] += 3  # an anomaly
        >>> found = isthmus.evaluation.detect_series(detector, isthmus.data.Windows(series, length=16))
        >>> [400 < alarm.begin <= 500 and 509 <= alarm.end < 600 for alarm in found.alarms if alarm.begin > 300][:1]
        [True]
    """
    if not isinstance(detector, OutlierDetector):
        raise RecordError(
            f"detect_series expects an OutlierDetector, not a value of type {type(detector).__name__}: fit one on windows"
        )
    if not isinstance(windows, Windows):
        raise RecordError(
            f"detect_series expects the windows of a series, not a value of type {type(windows).__name__}: pass "
            "isthmus.data.Windows(series, length=...)"
        )
    check_is_fitted(detector)
    of_windows = detector.score_samples(windows)
    scores = windows.cut.row_means(of_windows)
    below = scores < detector.offset_  # False without a score
    runs = _runs(below, windows)
    labels = np.zeros(len(scores), np.int64)
    for number, (begin, end) in enumerate(runs, 1):
        labels[begin:end] = number
    errors = _errors(detector, windows, below)
    alarms = list[Alarm]()
    for begin, end in runs:
        touching = np.flatnonzero((windows.cut.begins < end) & (windows.cut.begins + windows.length > begin))
        worst = touching[np.argsort(of_windows[touching], kind="stable")[:_WORST]]
        shares = _shares(detector, np.asarray(windows.cut[np.sort(worst)]), errors[begin:end].mean(0))
        alarms.append(_alarm(windows, scores, errors, shares, begin, end))
    known = windows.in_order(scores), tuple(alarms), windows.in_order(labels)
    return SeriesDetection(windows, *known, detector.offset_, detector.guarantee())


def _runs(below: NDArray[np.bool_], windows: Windows) -> list[tuple[int, int]]:
    """The runs of anomalous rows, within stretches."""
    begins = windows.stretch_begins
    apart = np.zeros(len(below), bool)
    apart[begins] = True
    first = below & (apart | ~np.r_[False, below[:-1]])
    last = below & (np.r_[apart[1:], True] | ~np.r_[below[1:], False])
    return list(zip(np.flatnonzero(first).tolist(), (np.flatnonzero(last) + 1).tolist(), strict=True))


def _errors(detector: OutlierDetector, windows: Windows, wanted: NDArray[np.bool_]) -> Doubles:
    """The mean standardized squared errors (rows, channels) of the wanted rows; those of others are not complete."""
    before = np.r_[0, np.cumsum(wanted)]
    begins, length = windows.cut.begins, windows.length
    touching = np.flatnonzero(before[begins + length] > before[begins])
    sums, counts = np.zeros(windows.cut.rows.shape), np.zeros((len(wanted), 1))
    size = max(1, _BLOCK // (length * windows.shape[2]))
    for start in range(0, len(touching), size):
        part = windows[touching[start : start + size]]
        contributions = np.nan_to_num(detector.contributions(part).reshape(part.shape))
        for place in range(length):
            np.add.at(sums, part.cut.begins + place, contributions[:, place])
            np.add.at(counts, part.cut.begins + place, 1)
    return sums / np.maximum(counts, 1)


def _shares(detector: OutlierDetector, cut: Array, errors: Doubles) -> Doubles:
    """The share of each channel (channels,) in the anomaly of windows (n, length, channels), given its mean error."""
    candidates = np.argsort(-errors, kind="stable")[:_CANDIDATES]
    cut = cut.astype(np.result_type(cut, np.float32))
    replaced = np.repeat(cut[None], len(candidates), 0)
    for _ in range(_REPLACEMENTS):
        made = bounded_reconstructions(detector.autoencoder_, replaced.reshape(-1, *cut.shape[1:]))
        for number, channel in enumerate(candidates):
            replaced[number, ..., channel] = made.reshape(replaced.shape)[number, ..., channel]
    scores = detector.score_samples(replaced.reshape(-1, *cut.shape[1:])).reshape(len(candidates), -1)
    parts = np.zeros(len(errors))
    parts[candidates] = np.maximum(scores.mean(1) - detector.score_samples(cut).mean(), 0)
    if not parts.sum() > 0:  # no channel alone is the cause
        parts = np.maximum(errors, np.finfo(np.float64).tiny)
    shares: Doubles = parts / parts.sum()
    return shares


def _alarm(windows: Windows, scores: Doubles, errors: Doubles, shares: Doubles, begin: int, end: int) -> Alarm:
    """The alarm of a run of rows."""
    rows, order = windows.rows, np.argsort(-shares, kind="stable")
    peak = begin + int((errors[begin:end] @ shares).argmax())
    numbers = np.arange(begin, end) if rows.order is None else rows.order[begin:end]

    def when(row: int) -> Any:
        if rows.time is not None:
            return rows.time[row]
        return int(row if rows.order is None else rows.order[row])

    machine = rows.labels[rows.machines[begin]] if rows.labels else None
    channels = tuple(Attribution(windows.channels[each], float(shares[each])) for each in order)
    lowest = float(scores[begin:end].min())
    return Alarm(when(begin), when(end - 1), when(peak), lowest, (int(numbers[0]), int(numbers[-1])), machine, channels)


def plain_time(time: Any) -> Any:
    """A time as a plain JSON value: dates as text, with microseconds where they are not whole seconds."""
    if not isinstance(time, np.datetime64):
        return plain(time)
    whole = time == time.astype("datetime64[s]")
    return str(np.datetime_as_string(time, unit="s" if whole else "us"))
