"""Anomaly detection in a series: a score for each time step, and alarms as intervals with the channels to blame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isthmus.data.series.windows import Windows
from isthmus.errors import RecordError
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation.series_alarms import (
    ALARM_COLUMNS,
    Alarm,
    Rows,
    alarm_header,
    alarm_of,
    alarm_row,
    divided,
    longest_alarm,
    runs,
    step_columns,
)
from isthmus.results import Result, plain

__all__ = ["SeriesDetection", "detect_series"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]


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
        return [*machine, *ALARM_COLUMNS], [alarm.cells() for alarm in self.alarms]

    def alarm_lines(self) -> list[list[Any]]:
        """The alarms as rows of a CSV file: the names of the columns, then a row for each alarm."""
        channels = self.windows.channels
        lines = [alarm_row(number, alarm, channels) for number, alarm in enumerate(self.alarms, 1)]
        return [list[Any](alarm_header(channels, self.windows.machines is not None)), *lines]

    def columns(self) -> dict[str, Array]:
        """The columns of a table with a row for each time step: its machine and time if known, score, and the number of its alarm."""
        rows = np.arange(len(self.scores))
        return step_columns(rows, self.windows.machines, self.windows.time, self.scores, self.labels)

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
        >>> any(400 < alarm.begin <= 500 and 509 <= alarm.end < 600 for alarm in found.alarms)
        True
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
    scores = windows.row_means(of_windows)
    labels, alarms, rows = np.zeros(len(scores), np.int64), list[Alarm](), windows.rows
    numbers = np.arange(len(scores)) if rows.order is None else rows.order
    found = runs(scores < detector.offset_, windows.stretch_begins)  # False without a score
    for begin, end in divided(found, longest_alarm(windows.length, len(windows.channels))):
        machine = rows.labels[rows.machines[begin]] if rows.labels else None
        own = Rows(numbers[begin:end], None if rows.time is None else rows.time[begin:end], machine)
        place = begin if windows.places is None else int(windows.places[begin])
        alarms.append(alarm_of(detector, windows.cut, of_windows, scores[begin:end], place, own, windows.channels))
        labels[begin:end] = len(alarms)
    known = windows.in_order(scores), tuple(alarms), windows.in_order(labels)
    return SeriesDetection(windows, *known, detector.offset_, detector.guarantee())
