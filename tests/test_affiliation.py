"""Affiliation precision and recall: values by hand, the definition by counting, and predictions at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.evaluation import affiliation_precision_recall

Array = NDArray[Any]


def at(rows: int, *steps: int) -> Array:
    return np.isin(np.arange(rows), steps).astype(int)


def test_two_intervals_by_hand() -> None:
    """The zones are (0, 5.5) of the interval (3, 4), predicted a step late, and (5.5, 10) of (7, 10), predicted in part."""
    found = affiliation_precision_recall(at(10, 3, 7, 8, 9), at(10, 4, 8))
    late = (5.5 - 1) / 5.5, (3 + 1.5 - 1) / 5.5  # recall and precision of the first
    part = (3.5 / 4.5 + 1 + 3.75 / 4.5) / 3
    assert found.precision == pytest.approx((late[1] + 1) / 2)
    assert found.recall == pytest.approx((late[0] + part) / 2)
    assert found.f1 == pytest.approx(2 * found.precision * found.recall / (found.precision + found.recall))


def by_counting(y_true: Array, y_pred: Array, fine: int = 40) -> tuple[float, float]:
    """The definition: all distances of fine points, and the fractions of all points of a zone that are as far away."""
    time = (np.arange(len(y_true) * fine) + 0.5) / fine
    truth, found = np.repeat(y_true, fine) > 0, np.repeat(y_pred, fine) > 0
    number = np.cumsum(np.diff(y_true, prepend=0) > 0)  # of the interval of a step
    points = [time[truth & (np.repeat(number, fine) == each)] for each in range(1, number[-1] + 1)]
    away = np.stack([np.abs(time[:, None] - own).min(1) for own in points])
    nearest, precisions, recalls = away.argmin(0), [], []
    for number, own in enumerate(points):
        zone = nearest == number
        guesses = time[zone & found]
        if not len(guesses):
            recalls.append(0.0)
            continue
        edges = own.min() - 0.5 / fine, own.max() + 0.5 / fine
        inside = (time > edges[0]) & (time < edges[1])
        distance = np.where(inside, 0, np.minimum(np.abs(time - edges[0]), np.abs(time - edges[1])))
        precisions.append(np.mean([(distance[zone] >= each).mean() for each in distance[zone & found]]))
        reach = np.abs(own[:, None] - guesses).min(1)
        reach[reach < 0.75 / fine] = 0  # within a prediction, or next to it
        recalls.append(np.mean([(np.abs(time[zone] - y) >= d).mean() for y, d in zip(own, reach, strict=True)]))
    return float(np.mean(precisions)), float(np.mean(recalls))


@pytest.mark.parametrize("state", range(4))
def test_exact_integrals_agree_with_counting(state: int) -> None:
    rng = np.random.default_rng(state)
    y_true, y_pred = (rng.random((2, 30)) < [[0.15], [0.2]]).astype(int)
    y_true[rng.integers(0, 30)], y_pred[rng.integers(0, 30)] = 1, 1
    found = affiliation_precision_recall(y_true, y_pred)
    assert found[:2] == pytest.approx(by_counting(y_true, y_pred), abs=0.02)


@pytest.mark.parametrize("state", range(4))
def test_integrals_are_exact(state: int) -> None:
    """Steps that are each cut into four change no interval, and so neither precision nor recall."""
    y_true, y_pred = (np.random.default_rng(state).random((2, 30)) < 0.3).astype(int)
    fine = affiliation_precision_recall(np.repeat(y_true, 4), np.repeat(y_pred, 4))
    assert affiliation_precision_recall(y_true, y_pred) == pytest.approx(fine, abs=1e-12)


def test_what_is_found_exactly_is_perfect_and_nothing_is_nothing() -> None:
    y_true = at(50, 3, 4, 20, 21, 22, 49)
    assert affiliation_precision_recall(y_true, y_true) == pytest.approx((1, 1, 1))
    assert affiliation_precision_recall(y_true, np.zeros(50)) == (0, 0, 0)


def test_predictions_at_random_are_near_one_half() -> None:
    """One step at random: recall 1/2, precision (1 + p²) / 2. Everything: recall 1, the same precision."""
    rows, p = 400, 20 / 400
    y_true = at(rows, *range(150, 170))
    single = np.array([affiliation_precision_recall(y_true, at(rows, step))[:2] for step in range(rows)]).mean(0)
    assert single == pytest.approx([(1 + p**2) / 2, 0.5], abs=0.01)
    assert affiliation_precision_recall(y_true, np.ones(rows))[:2] == pytest.approx([(1 + p**2) / 2, 1])


def test_nearer_is_better_and_far_is_worse_than_chance() -> None:
    y_true = at(400, *range(150, 170))
    near, far, opposite = (affiliation_precision_recall(y_true, np.roll(y_true, by)) for by in (5, 60, 200))
    assert near.precision > far.precision > 0.5 > opposite.precision
    assert near.recall > far.recall > 0.5 > opposite.recall


def test_an_interval_counts_once_however_long_it_is() -> None:
    """Half of the intervals found exactly, of very different length."""
    y_true = at(300, *range(50, 150), 280)
    found = [affiliation_precision_recall(y_true, each) for each in (at(300, *range(50, 150)), at(300, 280))]
    assert [each[:2] for each in found] == [(1.0, 0.5)] * 2


def test_stretches_are_apart() -> None:
    """A prediction in the next stretch finds nothing, and is a false alarm there."""
    y_true, y_pred = at(20, 9), at(20, 10)
    assert affiliation_precision_recall(y_true, y_pred).recall > 0.8
    assert affiliation_precision_recall(y_true, y_pred, (0, 10)) == (0, 0, 0)
    assert affiliation_precision_recall(y_true, at(20, 9, 15), (0, 10))[:2] == (0.5, 1)
    assert affiliation_precision_recall(at(20, 9, 10), at(20, 9, 10), (0, 10)) == (1, 1, 1)


def test_predictions_are_zero_or_one() -> None:
    with pytest.raises(DataError, match=r"predict\(\.\.\.\) < 0"):
        affiliation_precision_recall([0, 1], [0.3, 0.7])
