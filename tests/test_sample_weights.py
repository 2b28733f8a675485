"""Weights of examples: what they mean in the loss, where they are passed on, and what cannot be a weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.validation import has_fit_parameter

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian, Identity, ImportanceWeighted, VectorQuantized
from isthmus.corruptions import GaussianNoise
from isthmus.errors import DataError, RecordError
from isthmus.likelihoods import Normal
from isthmus.optimizers import SGD
from isthmus.penalties import MMD, Contractive
from isthmus.scaling import NoScaling
from isthmus.trainable import Batch

X = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float64)
W = np.random.default_rng(1).integers(0, 4, 24).astype(np.float64)


def full_batch(**choices: Any) -> Autoencoder:
    """One that takes steps on all examples at once, in double precision, so that the order of examples hardly matters."""
    settings = {
        "architecture": MLP((8,)),
        "epochs": 3,
        "batch_size": 1000,
        "precision": "float64",
        "scaling": NoScaling(),
    }
    return Autoencoder(
        **settings | {"bottleneck": Identity(2), "random_state": 0, "optimizer": SGD(0.1, momentum=0)} | choices
    )


def weights_of(ae: Autoencoder) -> list[torch.Tensor]:
    """The learned tensors and the running state, whose counts are those of examples."""
    ranges = ("least", "largest", "squares", "counts")  # of all examples, and sums that a common factor may change
    return [value for name, value in ae.model_.state_dict().items() if not name.endswith(ranges)]


def same(first: Autoencoder, second: Autoencoder, tolerance: float = 0.0) -> bool:
    return all(
        torch.allclose(a, b, rtol=tolerance, atol=tolerance)
        for a, b in zip(weights_of(first), weights_of(second), strict=True)
    )


COMPONENTS = {
    "plain": {},
    "learned scale": {"likelihood": Normal("learned")},
    "penalty of examples": {"penalty": Contractive(0.1)},
    "layerwise": {},
}


@pytest.mark.parametrize("components", COMPONENTS)
def test_a_weight_counts_like_as_many_equal_examples(components: str) -> None:
    how: dict[str, Any] = {"layerwise": True} if components == "layerwise" else {}
    weighted = full_batch(**COMPONENTS[components]).fit(X, sample_weight=W, **how)
    repeated = full_batch(**COMPONENTS[components]).fit(X.repeat(W.astype(int), axis=0), **how)
    assert same(weighted, repeated, 1e-9)
    assert weighted.history_[-1].loss == pytest.approx(repeated.history_[-1].loss)
    assert not same(weighted, full_batch(**COMPONENTS[components]).fit(X, **how), 1e-4)


@pytest.mark.parametrize(
    "estimator",
    [full_batch(), AutoencoderClassifier(full_batch(), epochs=2, batch_size=1000)],
    ids=["ae", "classifier"],
)
def test_scikit_learns_check_that_weights_repeat_and_remove_examples(estimator: Any) -> None:
    """With batches that are drawn at random this is true in expectation only."""
    estimator_checks.check_sample_weight_equivalence_on_dense_data("estimator", estimator)


def test_only_ratios_of_weights_matter_in_fit() -> None:
    assert same(full_batch().fit(X, sample_weight=W), full_batch().fit(X, sample_weight=1e30 * W), 1e-12)


def test_equal_weights_change_no_bit() -> None:
    quick = Autoencoder(2, epochs=2, random_state=0, corruption=GaussianNoise(0.1), penalty=MMD(1), early_stopping=True)
    plain = sklearn.clone(quick).fit(X)
    for weights in (np.ones(24), np.full(24, 3, np.int8), pd.Series(np.full(24, 0.1))):
        assert same(plain, sklearn.clone(quick).fit(X, sample_weight=weights))


def test_mini_batches_minimize_the_weighted_mean() -> None:
    """With steps on single examples and a tiny rate, an epoch moves the weights as one step on the weighted mean does."""
    rate, tiny = 1e-6, {"epochs": 1, "likelihood": Normal()}
    start = full_batch(**tiny).initialize(X)
    one = full_batch(optimizer=SGD(rate * 24, momentum=0), **tiny).fit(X, sample_weight=W)
    many = full_batch(optimizer=SGD(rate, momentum=0), batch_size=1, **tiny).fit(X, sample_weight=W)
    for before, a, b in zip(weights_of(start), weights_of(one), weights_of(many), strict=True):
        torch.testing.assert_close(a - before, b - before, rtol=1e-2, atol=1e-10)


def test_the_cost_of_a_batch_as_a_whole_counts_once() -> None:
    """In a small batch the weights have another mean than 1, and MMD moves the encoder as without weights."""

    def moved(**given: Any) -> torch.Tensor:
        settings = {"batch_size": 4, "likelihood": Normal(1e3), "optimizer": SGD(1e-3), "penalty": MMD(1.0)}
        ae = full_batch(**settings)
        report = next(ae.iter_fit(X, every=1, **given))
        assert report.penalty == pytest.approx(report.stats["MMD"])
        return (
            ae.model_.encoder[1].weight.detach()
            - full_batch(**settings).initialize(X).model_.encoder[1].weight.detach()
        )

    torch.testing.assert_close(moved(sample_weight=np.r_[np.zeros(18), np.ones(6)]), moved(), rtol=1e-4, atol=1e-12)


def test_several_draws_of_an_example_have_its_weight() -> None:
    only_first = np.zeros(24)
    only_first[:4] = 1
    bottleneck = ImportanceWeighted(2, draws=3)
    fitted = full_batch(bottleneck=bottleneck).fit(X, sample_weight=only_first)
    assert not same(fitted, full_batch(bottleneck=bottleneck).fit(X), 1e-4)
    other = X.copy()
    other[4:] += 1.0  # examples of weight 0 change nothing
    assert same(fitted, full_batch(bottleneck=bottleneck).fit(other, sample_weight=only_first))


def test_examples_of_weight_0_do_not_count_in_the_validation_loss() -> None:
    weights = np.r_[np.ones(12), 2 * np.ones(12)]
    held = (X[:6], np.r_[3.0, 1.0, np.zeros(4)])
    weighted = full_batch().fit(X, sample_weight=weights, validation_data=held)
    alone = full_batch().fit(X, sample_weight=weights, validation_data=(X[:2].repeat([3, 1], axis=0), np.ones(4)))
    assert weighted.history_[-1].val_loss == pytest.approx(alone.history_[-1].val_loss)


def test_held_out_examples_of_early_stopping_keep_their_weights() -> None:
    halves = np.split(np.arange(24), 2)
    ae = full_batch(early_stopping=True, validation_fraction=0.5)
    fitted = sklearn.clone(ae).fit(X, sample_weight=W, groups=np.repeat(["a", "b"], 12))
    ways = [
        sklearn.clone(ae).fit(X[kept], sample_weight=W[kept], validation_data=(X[out], W[out]))
        for kept, out in (halves, halves[::-1])
    ]
    assert [same(fitted, each) and fitted.history_[-1].val_loss == each.history_[-1].val_loss for each in ways].count(
        True
    ) == 1
    with pytest.raises(DataError, match=r"zero for all examples of the (validation|training) part"):
        full_batch(early_stopping=True, validation_fraction=0.05).fit(X, sample_weight=np.eye(24)[3])


def test_a_score_is_the_weighted_mean_of_scores() -> None:
    ae = full_batch().fit(X)
    assert ae.score(X, sample_weight=W) == pytest.approx(np.average(ae.score_samples(X), weights=W))
    assert ae.score(X, sample_weight=np.full(24, 7)) == ae.score(X)


def test_partial_fit_multiplies_the_loss_by_the_weights_as_they_are() -> None:
    def trained(weights: Any, rate: float) -> Autoencoder:
        return full_batch(optimizer=SGD(rate, momentum=0)).partial_fit(X, sample_weight=weights)

    assert same(trained(np.full(24, 2.0), 0.05), trained(None, 0.1), 1e-12)


def test_training_resumes_with_the_same_weights_only(tmp_path: Path) -> None:
    ae, path = full_batch(batch_size=8), tmp_path / "interrupted.safetensors"
    whole = sklearn.clone(ae).fit(X, sample_weight=W)
    reports = ae.iter_fit(X, sample_weight=W)
    next(reports)
    ae.checkpoint(path)
    reports.close()
    assert same(load(path).resume(X, sample_weight=2 * W), whole)
    with pytest.raises(DataError, match="these differ"):
        load(path).resume(X, sample_weight=np.ones(24))  # as without weights
    with pytest.raises(DataError, match="these differ"):
        load(path).resume(X, sample_weight=W[::-1])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"shape \(3,\), but there are 24 examples"),
        (np.ones((24, 1)), r"shape \(24, 1\)"),
        (np.r_[1.0, -1.0, np.ones(22)], "sample_weight is -1 in example 1"),
        (np.r_[np.ones(23), np.nan], "sample_weight is nan in example 23"),
        (np.r_[np.ones(23), np.inf], "sample_weight is inf in example 23"),
        (np.zeros(24), "zero for all examples"),
        (["heavy"] * 24, "not numbers"),
        (np.ones(24) * 1j, "not numbers"),
    ],
)
def test_what_is_no_weight_raises_one_sentence(weights: Any, message: str) -> None:
    fitted = full_batch().fit(X)
    for use in (fitted.fit, fitted.partial_fit, fitted.score, OutlierDetector(full_batch()).fit):
        with pytest.raises(DataError, match=message):
            use(X, sample_weight=weights)
    with pytest.raises(DataError, match=message):
        AutoencoderClassifier(full_batch()).fit(X, np.arange(24) % 2, sample_weight=weights)


def test_scikit_learn_passes_weights_to_the_step_of_a_pipeline() -> None:
    assert all(
        has_fit_parameter(each, "sample_weight") for each in (Autoencoder(), OutlierDetector(), AutoencoderClassifier())
    )
    scaled = StandardScaler().fit_transform(X)
    pipeline = make_pipeline(StandardScaler(), full_batch()).fit(X, autoencoder__sample_weight=W)
    assert same(pipeline[-1], full_batch().fit(scaled, sample_weight=W))
    with sklearn.config_context(enable_metadata_routing=True):
        ae = full_batch().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(ae, {"epochs": [1]}, cv=2, refit=True).fit(X, sample_weight=W)
        assert same(search.best_estimator_, full_batch(epochs=1).fit(X, sample_weight=W))


def test_a_detector_trains_with_weights_and_calibrates_without() -> None:
    weights = np.r_[np.zeros(40), np.ones(60)]
    rows = np.random.default_rng(2).normal(size=(100, 3))
    other = rows.copy()
    detector = OutlierDetector(full_batch(), random_state=0).fit(rows, sample_weight=weights)
    plain = OutlierDetector(full_batch(), random_state=0).fit(other)
    assert len(detector.calibration_scores_) == len(plain.calibration_scores_)
    assert not same(detector.autoencoder_, plain.autoencoder_, 1e-4)
    assert (detector.predict(rows) == detector.fit_predict(rows, sample_weight=weights)).all()
    with pytest.raises(RecordError, match="not trained again"):
        OutlierDetector(FrozenEstimator(full_batch().fit(X))).fit(rows, sample_weight=weights)


def test_a_classifier_counts_labels_by_their_weights() -> None:
    rows = np.random.default_rng(3).normal(size=(60, 3))
    y = np.arange(60) % 2  # independent of the examples: the weights alone decide
    for favorite in (0, 1):
        weights = np.where(y == favorite, 10.0, 1.0)
        classifier = AutoencoderClassifier(full_batch(), epochs=20, random_state=0).fit(rows, y, sample_weight=weights)
        assert (classifier.predict(rows) == favorite).mean() > 0.9
    assert classifier.score(rows, y, sample_weight=y) == pytest.approx((classifier.predict(rows) == y)[y == 1].mean())


def test_weights_of_unlabeled_examples_do_not_reach_the_classifier() -> None:
    y = np.array(["a", "b", None] * 8, dtype=object)
    with pytest.warns(UserWarning, match="no label"):
        AutoencoderClassifier(full_batch().fit(X), epochs=1, random_state=0).fit(X, y, sample_weight=np.arange(24) + 1)


def test_a_variational_autoencoder_weighs_its_divergence_too() -> None:
    one = np.eye(24)[0]
    fitted = full_batch(bottleneck=Gaussian(2)).fit(X, sample_weight=one)
    other = np.where(one[:, None] > 0, X, X + 5)
    again = full_batch(bottleneck=Gaussian(2)).fit(other, sample_weight=one)
    assert fitted.history_[-1].penalty == again.history_[-1].penalty > 0


@pytest.mark.parametrize("bottleneck", [Identity(2), VectorQuantized(2, codebook_size=3, dead_threshold=0.0)], ids=repr)
def test_running_means_count_examples_by_their_weights(bottleneck: Any) -> None:
    """A learned scale and a codebook are those of the examples that count."""
    only_first = torch.tensor([4.0] * 6 + [0.0] * 18, dtype=torch.float64)
    found = []
    for rows in (X, np.where(np.arange(24)[:, None] < 6, X, 100.0)):
        model = full_batch(bottleneck=bottleneck).initialize(X).model_.train()
        if "counts" in model.code_memory:
            model.code_memory["counts"].fill_(1.0)  # no entry is dead, and so none drawn at random
        x = torch.from_numpy(rows)
        model(Batch(x, x, weights=only_first), torch.Generator())
        found.append([value.clone() for value in (model.likelihood_memory["log_scale"], *model.code_memory.buffers())])
        assert model.likelihood_memory.weights is None
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
