"""Labels that mean the same are one class, whatever their type or unit; others are refused, and messages show dates as dates."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isthmus import Autoencoder, AutoencoderClassifier
from isthmus.architectures import MLP, Conditional
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.data.label_values import label_text
from isthmus.data.labels import class_labels, numbered
from isthmus.data.parts import of_trained_classes
from isthmus.errors import DataError
from isthmus.estimators.context import ContextEncoding
from isthmus.estimators.given import with_unlabeled
from isthmus.penalties import Supervised

DAYS = np.array(["2020-01-01", "2021-05-06"], "M8[D]")
SPANS = np.array([1, 2], "m8[D]")


def encoded(trained: Any, y: Any) -> list[list[float]]:
    return ContextEncoding.fit(trained, len(trained)).encode(y, 2).tolist()


@pytest.mark.parametrize(
    ("trained", "given", "message"),
    [
        ([0, 1, 2], [True, False], "the label False, which .* use one of 0, 1, 2"),
        (np.arange(3), np.array([True, False]), "the label False, which .* use one of 0, 1, 2"),
        ([0, 1, 2], True, "the label True"),
        ([0, 1, 2], np.True_, "the label True"),
        ([False, True], [1, 0], "the label 0, which .* use one of False, True"),
        (np.array([False, True]), 1, "the label 1"),
        (["a", True, 2], [1, "a"], "the label 1"),
        (DAYS, DAYS + 1, "the label 2020-01-02, which .* use one of 2020-01-01, 2021-05-06$"),
        (DAYS.astype("M8[ns]"), DAYS.astype("M8[ns]") + 1, "2020-01-01T00:00:00.000000001, .* 2020-01-01, 2021-05-06$"),
        (SPANS, SPANS.astype("m8[h]") + 1, "the label 25 hours, which .* use one of 1 days, 2 days$"),
        ([0.25, 1.5], DAYS, "y holds other values than numbers"),
        ([0.25, 1.5], ["3", "4"], "y holds other values than numbers"),
    ],
)
def test_a_label_of_another_type_is_unknown(trained: Any, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encoded(trained, given)


@pytest.mark.parametrize("unit", ["D", "h", "s", "ms", "ns"])
def test_dates_of_one_instant_are_one_label_whatever_their_unit(unit: str) -> None:
    other = DAYS.astype(f"M8[{unit}]")
    for trained, given in ((DAYS, other), (other, DAYS), (DAYS, pd.Series(other)), (list(pd.Series(other)), DAYS)):
        assert encoded(trained, given) == [[1, 0], [0, 1]]
    assert encoded(other, [datetime.date(2020, 1, 1), datetime.datetime.fromisoformat("2021-05-06")]) == [
        [1, 0],
        [0, 1],
    ]
    assert encoded(other, np.datetime64("2021-05-06T00:00")) == [[0, 1], [0, 1]]
    assert encoded(SPANS, SPANS.astype("m8[s]")) == [[1, 0], [0, 1]]
    assert encoded(SPANS.astype("m8[ns]"), [datetime.timedelta(1), datetime.timedelta(hours=48)]) == [[1, 0], [0, 1]]
    first, second = numbered([class_labels(DAYS, 2), class_labels(other[::-1], 2)])
    assert first.tolist() == second[::-1].tolist()
    kept, others = of_trained_classes(np.arange(2), other, DAYS[:1])
    assert (kept.tolist(), others) == ([0], "2021-05-06")
    assert label_text(other[0]) == "2020-01-01"


def test_true_and_1_are_two_classes_in_any_order() -> None:
    for y in ([True, 1, "a"], ["a", 1, True], np.array([1, True, "a"], object)):
        labels = class_labels(y, 3)
        assert [(type(each), each) for each in labels.classes] == [(bool, True), (int, 1), (str, "a")]
        assert [labels.label_of(row) for row in range(3)] == list(y)
    mixed = class_labels([1, True, 0], 3)
    assert [(type(each), each) for each in mixed.classes] == [(int, 0), (bool, True), (int, 1)]


def test_scores_of_booleans_against_numbers_are_refused() -> None:
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(int)
    classifier = AutoencoderClassifier(Autoencoder(2, epochs=1), epochs=1, random_state=0).fit(X, y)
    assert 0 <= classifier.score(X, y.astype(float)) <= 1
    with pytest.raises(DataError, match="booleans and others numbers"):
        classifier.score(X, y.astype(bool))


@pytest.mark.parametrize(
    ("y", "missing"),
    [
        ([1.5, None, 2.5], [1]),
        (np.array([1.5, None, 2.5], object), [1]),
        (np.ma.MaskedArray([1.5, 9.0, 2.5], [False, True, False]), [1]),
        (pd.Series([1.5, None, 2.5], dtype="Float64"), [1]),
        (with_unlabeled([1.5], 3), [1, 2]),
    ],
    ids=["list", "objects", "masked", "pandas", "unlabeled"],
)
def test_floats_stay_covariates_where_some_are_missing(y: Any, missing: list[int]) -> None:
    context = ContextEncoding.fit(y, 3)
    assert context.classes is None
    assert np.flatnonzero(np.isnan(context.encode(y, 3, complete=False))).tolist() == missing


def test_whole_numbers_in_several_columns_are_covariates_where_rows_are_missing() -> None:
    y = with_unlabeled(np.array([[1, 2], [3, 5]]), 3)
    context = ContextEncoding.fit(y, 3)
    assert (context.classes, context.center.tolist()) == (None, [2, 3.5])
    assert np.isnan(context.encode(y, 3, complete=False)).tolist() == [[False] * 2] * 2 + [[True] * 2]
    assert with_unlabeled(np.array([0, 1]), 3).tolist() == [0, 1, None]


def test_a_classifier_with_unlabeled_examples_keeps_covariates_of_a_regression() -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = np.repeat([0.0, 1.0], 20)
    ae = Autoencoder(Identity(2), architecture=MLP((4,)), penalty=Supervised(1, task="regression"), epochs=1)
    with pytest.warns(UserWarning, match="floats are covariates"):
        fitted = AutoencoderClassifier(ae, epochs=1, random_state=0).fit(X[:40], y, unlabeled=X[40:])
    context = fitted.autoencoder_._require_fitted().context
    assert context is not None
    assert context.classes is None
    np.testing.assert_allclose(context.center, [0.5])


def test_a_conditional_autoencoder_finds_dates_of_another_unit() -> None:
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.tile(DAYS, 20)
    ae = Autoencoder(Gaussian(2), architecture=Conditional(MLP((4,))), epochs=1, random_state=0).fit(X, y)
    np.testing.assert_array_equal(ae.encode(X, y.astype("M8[s]")), ae.encode(X, y))
    with pytest.raises(DataError, match="the label 1999-01-01, which"):
        ae.sample(2, y=np.datetime64("1999-01-01", "s"))
