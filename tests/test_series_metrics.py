"""Metrics of time steps: values by hand, scikit-learn's as special cases, and what they must not depend on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from isthmus import Autoencoder, OutlierDetector
from isthmus.architectures import MLP
from isthmus.data import Windows
from isthmus.errors import DataError, RecordError
from isthmus.evaluation import detect_series, range_precision_recall, series_metrics, volume_under_surface
from isthmus.evaluation.series_metrics import anomaly_labels

Array = NDArray[Any]


def random_case(state: int, intervals: int = 3, rows: int = 200) -> tuple[Array, Array]:
    """Labels of some intervals, and scores that see them late, with ties."""
    rng = np.random.default_rng(state)
    y_true = np.zeros(rows, int)
    for begin in rng.choice(np.arange(20, rows - 30, 40), intervals, replace=False):
        y_true[begin : begin + rng.integers(3, 12)] = 1
    return y_true, np.round(np.roll(y_true, 2) + rng.normal(size=rows), 1)


@pytest.mark.parametrize("state", range(4))
def test_without_buffer_one_interval_gives_the_areas_of_scikit_learn(state: int) -> None:
    y_true, score = random_case(state, 1)
    found = volume_under_surface(y_true, score, 0)
    assert found.roc == pytest.approx(roc_auc_score(y_true, score))
    assert found.pr == pytest.approx(average_precision_score(y_true, score))


def test_the_volume_of_five_steps_by_hand() -> None:
    """A step that is found exactly: with a buffer of 2 its neighbors have the label √½, and are not found."""
    side = math.sqrt(1 / 2)
    recall, false = 1 / (1 + side), (4 - 2 * side) / (4 - side)
    roc, pr = false * (recall + 1) / 2 + 1 - false, recall + (1 - recall) * (1 + 2 * side) / 5
    found = volume_under_surface([0, 0, 1, 0, 0], [0, 0, 1, 0, 0], 2)
    assert found.roc == pytest.approx((1 + 1 + roc) / 3)  # buffers of 0 and 1 step have no neighbors
    assert found.pr == pytest.approx((1 + 1 + pr) / 3)


def test_recall_counts_how_many_intervals_are_found() -> None:
    """The first interval alone is found above a threshold, and half of the anomalous steps: a recall of 1/2 x 1/2."""
    y_true, score = [1, 1, 0, 1, 1], [2, 2, 0, 1, 1]
    assert volume_under_surface(y_true, score, 0).pr == pytest.approx(1)
    worse = volume_under_surface(y_true, [2, 2, 1, 0, 0], 0)
    assert worse.pr == pytest.approx(1 / 4 + (1 - 1 / 4) * 4 / 5)
    assert worse.roc == pytest.approx(1 / 4)


def test_a_buffer_forgives_what_is_late() -> None:
    y_true = np.zeros(300, int)
    y_true[100:110] = 1
    late, far = np.roll(y_true, 5), np.roll(y_true, 60)
    plain, buffered = (volume_under_surface(y_true, late, buffer) for buffer in (0, 20))
    assert buffered.pr > plain.pr + 0.2
    assert buffered.roc > plain.roc
    assert volume_under_surface(y_true, far, 20).pr < 0.2


@pytest.mark.parametrize("state", range(3))
def test_volumes_depend_on_the_order_of_scores_alone_and_not_on_the_direction_of_time(state: int) -> None:
    y_true, score = random_case(state)
    begins = (0, 70, 130)
    found = volume_under_surface(y_true, score, 16, begins)
    assert volume_under_surface(y_true, np.exp(score / 3), 16, begins) == pytest.approx(found)
    mirrored = (0, 70, 130)  # 200 - 130, 200 - 70
    assert volume_under_surface(y_true[::-1], score[::-1], 16, mirrored) == pytest.approx(found)


def test_no_buffer_continues_across_a_gap() -> None:
    y_true, score = [0, 0, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0]
    joined, apart = (volume_under_surface(y_true, score, 2, begins) for begins in ((0,), (0, 3)))
    assert apart.pr < joined.pr
    two = volume_under_surface([0, 1, 1, 0], [0, 1, 1, 0], 0, (0, 2))
    assert two == pytest.approx((1, 1))


def test_buffers_that_meet_are_added_up_to_one() -> None:
    """The step between two others has √½ of each buffer of 2: with their sum, 1, it is found rightly."""
    found = volume_under_surface([1, 0, 1, 0, 0], [1, 1, 1, 0, 0], 2)
    assert found.pr == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)  # buffers of 0 and 1 step have no neighbors


@pytest.mark.parametrize("choice", [{"existence": "a"}, {"existence": None}, {"bias": ["flat"]}, {"cardinality": {}}])
def test_choices_of_other_types_are_refused(choice: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match=r"invalid bias=.*: expected one of flat"):
        range_precision_recall([0, 1], [0, 1], **choice)


@pytest.mark.parametrize("y_pred", [[1, -1], [0.3, 0.7], [2, 0]])
def test_predictions_are_zero_or_one(y_pred: list[float]) -> None:
    """Those of a detector are 1 for normal steps."""
    with pytest.raises(DataError, match=r"predict\(\.\.\.\) < 0"):
        range_precision_recall([0, 1], y_pred)


def test_random_scores_are_no_better_than_the_rate_of_anomalies() -> None:
    y_true, _ = random_case(0, 4, 5000)
    found = volume_under_surface(y_true, np.random.default_rng(1).normal(size=5000), 20)
    assert found.pr < 3 * y_true.mean()


def test_a_long_buffer_averages_lengths_at_equal_distances() -> None:
    y_true, score = random_case(0, 1)
    exact = np.mean([_area(y_true, score, length) for length in range(0, 201, 2)])
    assert volume_under_surface(y_true, score, 200).pr == pytest.approx(exact)


def _area(y_true: Array, score: Array, length: int) -> float:
    """The area under the precision-recall curve of one interval with a buffer, threshold by threshold."""
    distance = np.abs(np.arange(len(y_true))[:, None] - np.flatnonzero(y_true)).min(1)
    labels = np.where(distance <= length // 2, np.sqrt(np.maximum(0, 1 - distance / max(length, 1))), 0)
    positives, area, before = (y_true.sum() + labels.sum()) / 2, 0.0, 0.0
    for threshold in np.unique(score)[::-1]:
        above = score >= threshold
        recall = min(1, labels[above].sum() / positives) * bool((labels[above] > 0).any())
        area, before = area + (recall - before) * labels[above].sum() / above.sum(), recall
    return area


@pytest.mark.parametrize("state", range(3))
def test_intervals_of_one_step_give_the_usual_precision_and_recall(state: int) -> None:
    rng = np.random.default_rng(state)
    y_true, y_pred = np.zeros((2, 400), int)
    y_true[::2], y_pred[::2] = rng.random((2, 200)) < 0.3
    found = range_precision_recall(y_true, y_pred)
    wanted = precision_recall_fscore_support(y_true, y_pred, average="binary")[:3]
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("choices", "recall"),
    [
        ({"cardinality": "one"}, 2 / 4),
        ({}, 2 / 4 / 2),
        ({"existence": 0.5}, 0.5 + 0.5 * 2 / 4 / 2),
        ({"bias": "front", "cardinality": "one"}, (4 + 2) / 10),
        ({"bias": "back", "cardinality": "one"}, (1 + 3) / 10),
        ({"bias": "middle", "cardinality": "one"}, (1 + 2) / 6),
    ],
)
def test_range_based_recall_by_hand(choices: dict[str, Any], recall: float) -> None:
    """An interval of four steps, of which two that do not touch are predicted."""
    y_true, y_pred = [0, 1, 1, 1, 1, 0, 0], [0, 1, 0, 1, 0, 0, 1]
    found = range_precision_recall(y_true, y_pred, **choices)
    assert found.recall == pytest.approx(recall)
    assert found.precision == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(2 * recall * 2 / 3 / (recall + 2 / 3))
    assert range_precision_recall(y_true, np.zeros(7)) == (0, 0, 0)


def test_range_based_intervals_end_at_gaps() -> None:
    y_true, y_pred = [0, 1, 1, 1, 1, 0], [0, 1, 1, 0, 0, 0]
    assert range_precision_recall(y_true, y_pred).recall == pytest.approx(1 / 2)
    assert range_precision_recall(y_true, y_pred, begins=(0, 2)).recall == pytest.approx((1 + 1 / 3) / 2)


@pytest.mark.parametrize(
    ("y_true", "score", "buffer", "error", "match"),
    [
        ([0, 1], [0, 1, 2], 1, DataError, r"labels have shape \(2,\)"),
        ([0, 2], [0, 1], 1, DataError, "labels must be 1"),
        ([0, 0], [0, 1], 1, DataError, "all 2 time steps are normal"),
        ([1, 1], [0, 1], 1, DataError, "all 2 time steps are anomalous"),
        ([0, 1], [0, np.nan], 1, DataError, "time step 1 has no score"),
        ([0, 1], [0, np.inf], 1, DataError, "time step 1 has the score inf"),
        ([0, 1], [-np.inf, 1], 1, DataError, "time step 0 has the score -inf"),
        ([0, 1], [0, 1], -1, RecordError, "invalid buffer=-1"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    y_true: Any, score: Any, buffer: int, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        volume_under_surface(y_true, score, buffer)


def test_labels_may_be_words_for_true_and_false() -> None:
    assert anomaly_labels(["0", " TRUE", "false"]).tolist() == [0, 1, 0]
    assert anomaly_labels([True, False]).tolist() == [1, 0]
    with pytest.raises(DataError, match=r"y_true is .*maybe.* in row 1: expected 1"):
        anomaly_labels(["0", "maybe"])
    with pytest.raises(RecordError, match="invalid bias='up'"):
        range_precision_recall([0, 1], [0, 1], bias="up")  # type: ignore[arg-type]


def test_the_order_of_the_rows_in_the_data_is_irrelevant() -> None:
    """Rows of two machines one after the other, and interleaved: intervals are those of a machine in time."""
    rng, n = np.random.default_rng(0), 200
    time = np.tile(np.arange(n), 2)
    frame = pd.DataFrame(
        {"t": time, "m": np.repeat(["a", "b"], n), "x": np.sin(time / 5) + 0.1 * rng.normal(size=2 * n)}
    )
    y_true = ((frame.m == "b") & frame.t.between(100, 109)).to_numpy().astype(int)
    frame.loc[y_true == 1, "x"] += 3
    given = {"length": 8, "time": "t", "by": "m", "gap": 1.5}
    small = Autoencoder(2, architecture=MLP((8,)), epochs=10, random_state=0)
    detector = OutlierDetector(small, false_alarm_rate=0.1, random_state=0).fit(Windows(frame, **given))
    order = np.argsort(time, kind="stable")
    whole = series_metrics(detect_series(detector, Windows(frame, **given)), y_true)
    mixed = series_metrics(detect_series(detector, Windows(frame.iloc[order], **given)), y_true[order])
    assert mixed.to_dict() == whole.to_dict()
    assert (whole.range_recall, whole.vus_roc > 0.9) == (1, True)
