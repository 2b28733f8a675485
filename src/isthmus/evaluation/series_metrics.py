"""Metrics of a detection in a series whose time steps have labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.locations import Positions
from isthmus.errors import DataError
from isthmus.evaluation.affiliation import affiliation_precision_recall
from isthmus.evaluation.interval_metrics import range_precision_recall, volume_under_surface
from isthmus.evaluation.series_alarms import runs
from isthmus.evaluation.series_detection import SeriesDetection
from isthmus.results import Result, plain
from isthmus.text import quoted

__all__ = ["SeriesMetrics", "anomaly_labels", "series_metrics"]

_TRUTHS = {"1": 1, "true": 1, "0": 0, "false": 0}


@dataclass(frozen=True, repr=False)
class SeriesMetrics(Result):
    """Metrics of a detection, given labels of time steps. All are between 0 and 1, and none is point-adjusted (`interval_metrics`).

    Attributes:
        steps, anomalous_steps, intervals: the labeled time steps with a score, those that are anomalous, and their intervals.
        without_score: the time steps without a score, which are left out.
        vus_pr, vus_roc: `volume_under_surface`, with buffers up to `buffer` steps.
        buffer: the length of a window.
        auroc, average_precision: of single time steps.
        range_precision, range_recall, range_f1: of the alarms, `range_precision_recall`; None without a threshold.
        affiliation_precision, affiliation_recall, affiliation_f1: of the alarms, `affiliation_precision_recall`; None without a threshold.
    """

    steps: int
    anomalous_steps: int
    intervals: int
    without_score: int
    vus_pr: float
    vus_roc: float
    buffer: int
    auroc: float
    average_precision: float
    range_precision: float | None
    range_recall: float | None
    range_f1: float | None
    affiliation_precision: float | None
    affiliation_recall: float | None
    affiliation_f1: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values: dict[str, Any] = plain(asdict(self))
        return values

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The metrics, for display."""
        intervals = f"{self.intervals:,} interval{'' if self.intervals == 1 else 's'}"
        header = [f"{self.anomalous_steps:,} of {self.steps:,} time steps anomalous, {intervals}", "value"]
        named = {
            f"VUS-PR, buffers up to {self.buffer} steps": self.vus_pr,
            f"VUS-ROC, buffers up to {self.buffer} steps": self.vus_roc,
            "AUROC of time steps": self.auroc,
            "average precision of time steps": self.average_precision,
            "range-based precision of alarms": self.range_precision,
            "range-based recall of alarms": self.range_recall,
            "range-based F1 of alarms": self.range_f1,
            "affiliation precision of alarms": self.affiliation_precision,
            "affiliation recall of alarms": self.affiliation_recall,
            "affiliation F1 of alarms": self.affiliation_f1,
        }
        return header, [[name, f"{value:.3f}"] for name, value in named.items() if value is not None]

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [self.to_dict()]


def series_metrics(found: SeriesDetection, y_true: Any) -> SeriesMetrics:
    """Measures a detection by labels of its time steps.

    No interval and no buffer continues across a gap or to another machine.

    Args:
        found: the result of `detect_series`.
        y_true: (rows,) 1 for anomalous time steps, 0 for others, in the order of the data.

    Returns:
        The metrics.

    Raises:
        DataError: there is not one label for each row, or no step of one of both labels has a score.

    Examples:
        >>> series = np.sin(np.arange(1000) / 5) + 0.1 * np.random.default_rng(0).normal(size=1000)
        >>> small = Autoencoder(4, architecture=MLP((16,)), epochs=20, random_state=0)
        >>> detector = OutlierDetector(small, false_alarm_rate=0.01).fit(isthmus.data.Windows(series, length=16))
        >>> y_true = np.zeros(1000)
        >>> y_true[500:510], series[500:510] = 1, series[500:510] + 3
        >>> found = isthmus.evaluation.detect_series(detector, isthmus.data.Windows(series, length=16))
        >>> isthmus.evaluation.series_metrics(found, y_true).vus_roc > 0.9
        True
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    windows = found.windows
    truth: NDArray[Any] = anomaly_labels(y_true)
    if truth.shape != found.scores.shape:
        raise DataError(
            f"labels have shape {truth.shape}, and there are {len(found.scores):,} rows: give one for each row"
        )
    order = windows.rows.order
    truth, scores, alarms = (
        np.asarray(each if order is None else each[order], np.float64)
        for each in (truth, found.scores, found.labels > 0)
    )
    kept = ~np.isnan(scores)
    first = np.zeros(len(scores), bool)
    first[windows.stretch_begins] = True
    first |= ~np.r_[True, kept[:-1]]  # the rows before it are in no window
    begins = np.flatnonzero(first[kept])
    y_true, scores, alarms = truth[kept], -scores[kept], alarms[kept]
    volume = volume_under_surface(y_true, scores, windows.length, begins)
    ranges: tuple[float | None, ...] = (None,) * 6
    if found.decided:
        ranges = (
            *range_precision_recall(y_true, alarms, begins=begins),
            *affiliation_precision_recall(y_true, alarms, begins),
        )
    points = float(roc_auc_score(y_true, scores)), float(average_precision_score(y_true, scores))
    counts = int(kept.sum()), int(y_true.sum()), len(runs(y_true > 0, begins)), int((~kept).sum())
    return SeriesMetrics(*counts, volume.pr, volume.roc, windows.length, *points, *ranges)


def anomaly_labels(values: Any, name: str = "y_true", where: Positions | None = None) -> NDArray[np.int64]:
    """Labels of time steps as 0 and 1.

    Args:
        values: (rows,) of 0 and 1, or true and false, as numbers or text.
        name: of their column, for messages.
        where: the locations of the rows in their file.

    Raises:
        DataError: another value, or no value.
    """
    given = np.asarray(values)
    if given.dtype.kind in "biuf":
        invalid = ~np.isin(given, (0, 1))
        labels = np.where(invalid, 0, given).astype(np.int64)
    else:
        known = [_TRUTHS.get(str(each).strip().lower()) for each in given.reshape(-1).tolist()]
        invalid = np.array([each is None for each in known], bool)
        labels = np.array([each or 0 for each in known], np.int64)
    if invalid.any():
        row = int(invalid.argmax())
        value, at = given.reshape(-1)[row], (where or Positions())((row,))
        what = "empty" if value is None or value != value else quoted(str(value), 20)
        raise DataError(f"{name} is {what} in {at}: expected 1 for anomalous time steps and 0 for others")
    return labels
