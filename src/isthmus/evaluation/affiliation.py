"""Affiliation precision and recall of alarms, given labels: how near they are, compared with alarms at random."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.evaluation.interval_metrics import RangeScores, checked_predictions, scores_of
from isthmus.evaluation.series_alarms import runs

__all__ = ["affiliation_precision_recall"]

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
_PARTS = 4  # of a step: all functions are linear between multiples of 1/4 step, so that values in the middle give exact integrals


def affiliation_precision_recall(y_true: Any, y_pred: Any, begins: Any = (0,)) -> RangeScores:
    """Affiliation precision and recall (Huet, Navarro & Rossi 2022, "Local evaluation of time series anomaly detection algorithms", KDD).

    The zone of an anomalous interval are the times that are nearer to it than to other intervals. In each zone, precision is about the
    distances from the predicted times to the interval, and recall about the distances from the times of the interval to the nearest
    predicted time. Each distance counts as the probability that a time drawn at random from the zone is at least as far away: 1 at a
    distance of 0. Precision is the mean over the zones with predictions, recall over all zones, 0 for one without.

    A prediction at random in a zone has a recall of 1/2 on average, and a precision of little more: (1 + p²) / 2 for an interval that
    takes up a part p of its zone. Near misses are better than that, and values below 1/2 worse than chance. Recall alone says little:
    predicting everything has a recall of 1.

    In the paper there is one stretch. Here no zone continues across the begin of a stretch, and a stretch with predictions and without
    an anomalous step is a zone with a precision of 0.

    Args:
        y_true, y_pred: (n,) 1 for anomalous steps, 0 for others. A step is an interval of length 1.
        begins: the first steps of stretches. Always with 0.

    Returns:
        Precision, recall and F1; 0 without a predicted step.

    Raises:
        DataError: lengths differ, there are no steps of both labels, or a value is neither 0 nor 1.

    Examples:
        >>> y_true = np.repeat([0, 1, 0], [20, 5, 20])
        >>> [round(each, 2) for each in isthmus.evaluation.affiliation_precision_recall(y_true, np.roll(y_true, 5))]
        [0.78, 0.89, 0.83]
    """
    truth, predicted = checked_predictions(y_true, y_pred, begins)
    precisions, recalls = list[float](), list[float]()
    for begin, end in zip(begins, [*begins[1:], len(truth)], strict=True):
        events = runs(truth[begin:end])
        if not events and predicted[begin:end].any():
            precisions.append(0.0)
        middles = [(left[1] + right[0]) / 2 for left, right in pairwise(events)]
        zones = pairwise([0.0, *middles, float(end - begin)])
        for event, zone in zip(events, zones, strict=False):
            precision, recall = _in_zone(event, *zone, predicted[begin:end])
            recalls.append(recall)
            precisions += [] if precision is None else [precision]
    return scores_of(float(np.mean(precisions)) if precisions else 0.0, float(np.mean(recalls)))


def _in_zone(event: tuple[int, int], low: float, high: float, predicted: Bools) -> tuple[float | None, float]:
    """Precision, None without predictions, and recall in the zone from `low` to `high` of an event from its begin to its end."""
    times = (np.arange(round(low * _PARTS), round(high * _PARTS)) + 0.5) / _PARTS
    found = predicted[times.astype(int)]
    if not found.any():
        return None, 0.0
    begin, end = event
    distance = np.maximum(np.maximum(begin - times, times - end), 0)[found]
    farther = np.maximum(begin - low - distance, 0) + np.maximum(high - end - distance, 0)
    precision = np.where(distance > 0, farther / (high - low), 1).mean()
    inside = times[(times > begin) & (times < end)]
    distance = _to_nearest(inside, found, low)
    farther = np.maximum(inside - low - distance, 0) + np.maximum(high - inside - distance, 0)
    return float(precision), float((farther / (high - low)).mean())


def _to_nearest(times: Doubles, found: Bools, low: float) -> Doubles:
    """The distances from times to the nearest found part of a zone that begins at `low`; 0 within one."""
    spans = np.array(runs(found)) / _PARTS + low
    after = np.searchsorted(spans[:, 0], times)
    next_begin = np.append(spans[:, 0], np.inf)[after]
    last_end = np.insert(spans[:, 1], 0, -np.inf)[after]
    distances: Doubles = np.maximum(np.minimum(next_begin - times, times - last_end), 0)
    return distances
