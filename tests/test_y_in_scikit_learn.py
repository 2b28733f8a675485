"""y in scikit-learn's tools: searches and pipelines pass it, copies keep what it means, and streams know all classes."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_context_rows import Shifting

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.errors import DataError
from isthmus.penalties import Supervised

RNG = np.random.default_rng(0)
Y = RNG.choice(["ash", "elm", "oak"], 200)
X = RNG.normal(size=(200, 4)) + 3 * (Y == "elm")[:, None]


def conditional(**parameters: Any) -> Autoencoder:
    return Autoencoder(Identity(1), architecture=Shifting(), random_state=0, **{"epochs": 2} | parameters)


def supervised(weight: float = 1.0) -> Autoencoder:
    return Autoencoder(Identity(2), penalty=Supervised(weight=weight), architecture=MLP((8,)), epochs=2, random_state=0)


@pytest.fixture(scope="module")
def ae() -> Autoencoder:
    return conditional().fit(X, Y)


def test_a_grid_search_fits_and_scores_with_y() -> None:
    search = GridSearchCV(conditional(), {"bottleneck__size": [1, 2]}, cv=2).fit(X, Y)
    halves = [slice(100), slice(100, 200)]
    expected = [conditional().fit(X[a], Y[a]).score(X[b], Y[b]) for a, b in (halves, halves[::-1])]
    assert search.cv_results_["mean_test_score"][0] == pytest.approx(np.mean(expected))
    best = search.best_estimator_
    assert search.score(X, Y) == best.score(X, Y) != best.score(X, Y[::-1])


def test_a_pipeline_passes_y_to_fit_and_says_what_to_do_where_it_passes_none() -> None:
    pipeline = make_pipeline(StandardScaler(), conditional()).fit(X, Y)
    scaled = StandardScaler().fit_transform(X)
    direct = conditional().fit(scaled, Y)
    assert pipeline.score(X, Y) == direct.score(scaled, Y)
    np.testing.assert_array_equal(pipeline.fit_transform(X, Y), direct.transform(scaled, Y))
    with pytest.raises(DataError, match="passes none to transform: use the autoencoder outside"):
        pipeline.transform(X)
    probe = make_pipeline(conditional(), LogisticRegression()).fit(X, Y)
    with pytest.raises(DataError, match="pass y"):
        probe.predict(X)


def test_copies_keep_the_classes(ae: Autoencoder) -> None:
    expected = ae.encode(X, Y)
    for copied in (deepcopy(ae), pickle.loads(pickle.dumps(ae))):  # our own bytes
        assert copied.classes_.tolist() == ["ash", "elm", "oak"]
        np.testing.assert_array_equal(copied.encode(X, Y), expected)
    assert clone(ae).architecture == Shifting()  # the parameter as given, without the number of classes
    np.testing.assert_array_equal(clone(ae).fit(X, Y).encode(X, Y), expected)


def test_a_stream_knows_classes_that_come_later() -> None:
    first, later = Y == "ash", Y != "ash"
    stream = conditional().partial_fit(X[first], Y[first], classes=["oak", "ash", "elm"])
    assert stream.classes_.tolist() == ["ash", "elm", "oak"]
    stream.partial_fit(X[later], Y[later])
    assert np.isfinite(stream.score_samples(X, Y)).all()
    with pytest.raises(DataError, match="label 'oak', which the training data did not have"):
        conditional().partial_fit(X[Y != "oak"], Y[Y != "oak"]).partial_fit(X, Y)


def test_the_scaling_sample_of_a_stream_needs_no_labels() -> None:
    stream = conditional().partial_fit(X[:50], Y[:50], scaling_sample=X)
    np.testing.assert_allclose(stream.model_.shift.numpy(), X.mean(0), rtol=1e-5)
    assert len(stream.classes_) == 3


def test_parameters_of_penalties_in_a_sum_are_set_by_path() -> None:
    ae = Autoencoder(2, penalty=Supervised(weight=1) + Supervised(weight=2))
    ae.set_params(penalty__penalties__1__weight=5)
    assert [term.weight for term in ae.penalty.terms] == [1, 5]
    search = GridSearchCV(ae.set_params(epochs=1, random_state=0), {"penalty__penalties__0__weight": [0.1, 3]}, cv=2)
    assert search.fit(X, Y).best_params_["penalty__penalties__0__weight"] in {0.1, 3}


def test_the_notebook_table_says_what_y_was(ae: Autoencoder) -> None:
    html = ae._repr_html_()
    assert "3 classes" in html
    assert "Shifting" in html
    assert "covariates" in conditional(epochs=1).fit(X, RNG.normal(size=(200, 2)))._repr_html_()


def test_detectors_and_classifiers_pass_y_to_a_supervised_penalty() -> None:
    detector = OutlierDetector(supervised(), random_state=0).fit(X, Y)
    n_calibration = round(len(X) * detector.calibration_fraction)
    training = np.sort(np.random.default_rng(0).permutation(len(X))[n_calibration + n_calibration // 4 :])
    expected = supervised().fit(X[training], Y[training])
    assert detector.autoencoder_.history_[-1].loss == expected.history_[-1].loss
    with pytest.raises(DataError, match="requires y"):
        OutlierDetector(supervised(), random_state=0).fit(X)
    classifier = AutoencoderClassifier(supervised(), epochs=1, random_state=0).fit(X[:100], Y[:100], unlabeled=X[100:])
    assert classifier.autoencoder_.classes_.tolist() == ["ash", "elm", "oak"]
    expected = supervised().fit(X, np.where(np.arange(200) < 100, Y.astype(object), None))
    assert classifier.autoencoder_.history_[-1].loss == expected.history_[-1].loss
