"""Metrics of anomaly scores of time steps, given labels: volume under the surface, range-based precision and recall.

Point-adjusted F1, in which one step that is found counts as a whole interval, is not offered: random scores reach high values
(Kim et al. 2022, "Towards a rigorous evaluation of time-series anomaly detection").
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, RecordError
from isthmus.evaluation.series_alarms import runs
from isthmus.text import quoted

__all__ = [
    "RangeScores",
    "VolumeUnderSurface",
    "check_both",
    "checked_predictions",
    "range_precision_recall",
    "scores_of",
    "volume_under_surface",
]

Array = NDArray[Any]
Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]
_MAX_BUFFERS = 101  # buffer lengths that are averaged; of a longer buffer, as many at equal distances


class VolumeUnderSurface(NamedTuple):
    """The mean areas under both curves over all lengths of the buffer, between 0 and 1."""

    roc: float
    pr: float


class RangeScores(NamedTuple):
    """Precision, recall and their harmonic mean, between 0 and 1."""

    precision: float
    recall: float
    f1: float


def volume_under_surface(y_true: Any, y_score: Any, buffer: int, begins: Any = (0,)) -> VolumeUnderSurface:
    """VUS-ROC and VUS-PR of anomaly scores (Paparrizos et al. 2022, "Volume under the surface", VLDB 15).

    Labels of intervals are never exact to a step, and a detector with windows is early or late by a part of a window. A buffer of ℓ steps
    around each interval therefore counts in part: a step at distance d ≤ ℓ/2 has the label √(1 - d/ℓ); where buffers meet, their sum, at
    most 1. With TP and FP the sums of these labels, and of 1 minus them, over the steps above a threshold, and P the mean of the sums of
    the labels without and with buffer: precision is TP / (TP + FP), the false-positive rate FP / (n - P), and the true-positive rate, or
    recall, min(1, TP / P) times the fraction of intervals with a step above the threshold. The area under the ROC curve is that of the
    trapezoids, the one under the precision-recall curve the sum of precision x rise in recall, over all distinct scores as thresholds.
    The volume is their mean over ℓ = 0, 1, ..., buffer; of a buffer above 100, over 101 lengths at equal distances.
    With a buffer of 0 and one interval these are scikit-learn's roc_auc_score and average_precision_score.

    Args:
        y_true: (n,) 1 for anomalous steps, 0 for others.
        y_score: (n,) higher is more anomalous: minus the scores of `detect_series`.
        buffer: the largest ℓ, in steps; usually the length of a window, or the period of the series.
        begins: the first steps of stretches: no interval and no buffer continues across one. Always with 0.

    Returns:
        Both volumes.

    Raises:
        DataError: lengths differ, a score is not finite, or there is no step of one of both labels.
        RecordError: buffer is negative.

    Examples:
        >>> y_true = np.repeat([0, 1, 0], [20, 5, 20])
        >>> late = np.roll(y_true, 2)
        >>> [round(each, 2) for each in isthmus.evaluation.volume_under_surface(y_true, late, buffer=0)]
        [0.78, 0.4]
        >>> [round(each, 2) for each in isthmus.evaluation.volume_under_surface(y_true, late, buffer=10)]
        [0.81, 0.6]
    """
    truth, score = _checked(y_true, y_score, begins)
    if isinstance(buffer, bool) or not isinstance(buffer, int | np.integer) or buffer < 0:
        raise RecordError(f"invalid buffer={quoted(buffer, 20)}: expected a number of steps, 0 or more")
    starts = np.asarray(begins, np.int64)
    order = np.argsort(-score, kind="stable")
    ranks = np.flatnonzero(np.diff(score[order], append=-np.inf))  # the last step of each distinct score
    lengths = np.unique(np.linspace(0, buffer, min(buffer + 1, _MAX_BUFFERS)).round().astype(int))
    areas = [_areas(_buffered(truth, int(length), starts), truth, score, order, ranks, starts) for length in lengths]
    roc, pr = np.mean(areas, 0).tolist()
    return VolumeUnderSurface(roc, pr)


def _areas(
    labels: Doubles, truth: Bools, score: Doubles, order: Array, ranks: Array, begins: Array
) -> tuple[float, float]:
    """The areas under the ROC and the precision-recall curve of labels with a buffer."""
    positives = (truth.sum() + labels.sum()) / 2
    hits = np.cumsum(labels[order])[ranks]
    above = ranks + 1.0
    peaks = np.sort([score[begin:end].max() for begin, end in runs(labels > 0, begins)])
    found = len(peaks) - np.searchsorted(peaks, score[order][ranks])
    recall = np.minimum(hits / positives, 1) * found / len(peaks)
    precision, false = hits / above, (above - hits) / (len(labels) - positives)
    roc = np.trapezoid(np.r_[0, recall, 1], np.r_[0, false, 1])
    return float(roc), float((np.diff(recall, prepend=0) * precision).sum())


def _buffered(truth: Bools, length: int, begins: Array) -> Doubles:
    """Labels (n,) with a buffer of this length around each interval."""
    labels, half = truth.astype(np.float64), length // 2
    if not half:
        return labels
    ends = np.r_[begins[1:], len(truth)]
    slope = np.sqrt(1 - np.arange(1, half + 1) / length)
    for begin, end in runs(truth, begins):
        stretch = int(np.searchsorted(begins, begin, side="right")) - 1
        before, after = min(half, begin - int(begins[stretch])), min(half, int(ends[stretch]) - end)
        labels[end : end + after] += slope[:after]
        labels[begin - before : begin] += slope[:before][::-1]
    return np.minimum(labels, 1)


def range_precision_recall(
    y_true: Any,
    y_pred: Any,
    *,
    existence: float = 0.0,
    bias: Literal["flat", "front", "middle", "back"] = "flat",
    cardinality: Literal["reciprocal", "one"] = "reciprocal",
    begins: Any = (0,),
) -> RangeScores:
    """Range-based precision and recall (Tatbul et al. 2018, "Precision and recall for time series", NeurIPS).

    Precision and recall are means over intervals: how much of a predicted interval is anomalous, and how much of an anomalous one is
    predicted. With intervals of one step both are the usual ones.

    Args:
        y_true, y_pred: (n,) 1 for anomalous steps, 0 for others.
        existence: the weight of finding an interval at all in its recall, α of the paper; the rest is the weight of how much is found.
        bias: which steps of an interval count more, δ of the paper: "flat": all alike; "front", "middle", "back": those there.
        cardinality: the factor for an interval that meets k others, γ of the paper: "reciprocal": 1/k; "one": 1.
        begins: the first steps of stretches: no interval continues across one. Always with 0.

    Returns:
        Precision, recall and F1; 0 without a predicted interval.

    Raises:
        DataError: lengths differ, there are no steps of both labels, or a value is neither 0 nor 1.
        RecordError: an argument is invalid.

    Examples:
        >>> y_true, y_pred = [0, 1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 0]
        >>> found = isthmus.evaluation.range_precision_recall(y_true, y_pred)
        >>> round(found.precision, 2), found.recall
        (0.67, 0.5)
        >>> isthmus.evaluation.range_precision_recall(y_true, y_pred, existence=0.5).recall
        0.75
    """
    number = isinstance(existence, int | float | np.number) and not isinstance(existence, bool)
    if (
        str(bias) not in _WEIGHTS
        or str(cardinality) not in {"reciprocal", "one"}
        or not (number and 0 <= existence <= 1)
    ):
        raise RecordError(
            f"invalid bias={quoted(bias, 20)}, cardinality={quoted(cardinality, 20)} or existence={quoted(existence, 20)}: "
            f"expected one of {', '.join(_WEIGHTS)}; "
            "reciprocal or one; and a number from 0 to 1"
        )
    truth, predicted = checked_predictions(y_true, y_pred, begins)
    real, guessed = runs(truth, begins), runs(predicted, begins)
    recalls = [_overlap(each, predicted, bias, cardinality) for each in real]
    recall = float(np.mean([existence * (part > 0) + (1 - existence) * part for part in recalls]))
    precision = float(np.mean([_overlap(each, truth, bias, cardinality) for each in guessed])) if guessed else 0.0
    return scores_of(precision, recall)


def scores_of(precision: float, recall: float) -> RangeScores:
    """Precision and recall with their harmonic mean; 0 if both are 0."""
    both = precision + recall
    return RangeScores(precision, recall, 2 * precision * recall / both if both else 0.0)


_WEIGHTS: dict[str, Any] = {
    "flat": np.ones_like,
    "front": lambda at: at[::-1],
    "middle": lambda at: np.minimum(at, at[::-1]),
    "back": lambda at: at,
}  # of the steps 1, 2, ... of an interval


def _overlap(interval: tuple[int, int], others: Bools, bias: str, cardinality: str) -> float:
    """How much of an interval others cover, weighted by position, times the factor for how many they are."""
    begin, end = interval
    weights = _WEIGHTS[bias](np.arange(1.0, end - begin + 1))
    covered = others[begin:end]
    count = len(runs(covered))
    share = float((weights * covered).sum() / weights.sum())
    return share / count if count and cardinality == "reciprocal" else share


def checked_predictions(y_true: Any, y_pred: Any, begins: Any) -> tuple[Bools, Bools]:
    """Labels and predictions of the same length; `DataError` if a prediction is neither 0 nor 1."""
    truth, found = _checked(y_true, y_pred, begins)
    if not np.isin(found, (0, 1)).all():
        raise DataError(
            "predictions must be 1 for anomalous time steps and 0 for others: of a detector, predict(...) < 0"
        )
    return truth, found > 0


def _checked(y_true: Any, y_score: Any, begins: Any) -> tuple[Bools, Doubles]:
    """Labels and scores of the same length."""
    truth, score = np.asarray(y_true), np.asarray(y_score, np.float64)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise DataError(
            f"labels have shape {truth.shape} and scores {score.shape}: give one of each for each time step"
        )
    if not np.isin(truth, (0, 1)).all():
        raise DataError("labels must be 1 for anomalous time steps and 0 for others")
    if not np.isfinite(score).all():
        step = int((~np.isfinite(score)).argmax())
        what = "no score" if np.isnan(score[step]) else f"the score {score[step]}"
        raise DataError(f"time step {step:,} has {what}: leave it out, or give it a finite one")
    check_both(truth)
    starts = np.asarray(begins)
    if not len(starts) or starts[0] != 0 or (np.diff(starts) <= 0).any() or starts[-1] >= len(truth):
        raise DataError("begins must be ascending numbers of time steps, the first one 0")
    return truth.astype(bool), score


def check_both(truth: Array) -> None:
    """`DataError` unless there are both anomalous and normal time steps."""
    if not truth.any() or truth.all():
        raise DataError(
            f"all {len(truth):,} time steps are {'anomalous' if truth.any() else 'normal'}: give steps of both labels"
        )
