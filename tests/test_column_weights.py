"""Columns that count more than others in the loss, and scores that say so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from isthmus import Autoencoder, OutlierDetector, evaluate, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.data import as_examples
from isthmus.errors import NotPossibleError, RecordError
from isthmus.likelihoods import Bernoulli, Laplace, Likelihood, Mixed, Normal, StudentT, Weighted
from isthmus.scaling import Standard

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)) * [1, 10, 0.1, 3]
FRAME = pd.DataFrame({"size": X[:, 0], "region": pd.Categorical(RNG.choice(["N", "S", "W"], 60)), "age": X[:, 1]})


def quick(likelihood: Any, **choices: Any) -> Autoencoder:
    return Autoencoder(
        **{"bottleneck": 2, "architecture": MLP((8,)), "epochs": 2, "random_state": 0, "likelihood": likelihood}
        | choices
    )


def same(a: Autoencoder, b: Autoencoder) -> bool:
    one, two = a.model_.state_dict(), b.model_.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    "of", [Normal("learned"), Normal(), Laplace("learned"), StudentT(), Normal("predicted")], ids=repr
)
def test_weights_of_1_are_the_likelihood_itself(of: Likelihood) -> None:
    ones = quick(Weighted(of, (1, 1, 1, 1))).fit(X)
    plain = quick(of).fit(X)
    np.testing.assert_allclose(ones.score_samples(X), plain.score_samples(X), rtol=1e-4)
    assert same(quick(Weighted(of)).fit(X), plain)
    assert not Weighted(of, (1, 1)).weighted


def test_a_score_is_the_weighted_sum_of_the_nats_of_columns() -> None:
    """In the units of the data: the weights multiply the density of a column in its own unit."""
    plain = quick(Normal("learned"), epochs=1).fit(X)
    weights = np.array([3.0, 1.0, 0.0, 0.5])
    weighted = clone(plain).set_params(likelihood=Weighted(Normal("learned"), tuple(weights))).fit(X)
    scale = np.exp(float(weighted.model_.likelihood_memory["log_scale"])) * weighted.model_.scale.numpy()
    errors = (weighted.reconstruct(X) - X) / scale
    nats = 0.5 * errors**2 + np.log(scale) + 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(-weighted.score_samples(X), nats @ weights, rtol=1e-4)


def test_a_weight_of_0_leaves_a_column_out_of_the_loss() -> None:
    likelihood = Weighted(Normal("learned"), (1, 1, 1, 0))
    ae = quick(likelihood).fit(X)
    other = X.copy()
    other[:, 3] = RNG.permutation(X[:, 3])
    target = quick(likelihood).fit(X, target=other)  # the same inputs, another last column to reconstruct
    assert same(ae, target)


def test_a_heavy_column_is_reconstructed_best() -> None:
    for favorite in range(4):
        weights = tuple(20.0 if column == favorite else 1.0 for column in range(4))
        ae = quick(Weighted(Normal("learned"), weights), bottleneck=1, epochs=40).fit(X)
        errors = ae.reconstruction_error(X, per_feature=True).mean(0) / X.var(0)
        assert errors.argmin() == favorite


def test_the_weight_of_a_category_is_that_of_its_column() -> None:
    ae = quick(Weighted(Normal("learned"), (1, 5, 2))).fit(FRAME)
    assert ae.likelihood_ == Weighted(Mixed((0, 3, 0), numbers=Normal("learned")), (1, 5, 2))
    model = ae.model_
    x = model.normalize(torch.from_numpy(as_examples(FRAME).values))
    y = model.decoder(model.encode(x))
    plain = Mixed((0, 3, 0), numbers=Normal("learned")).costs(y, x, model.likelihood_memory)
    torch.testing.assert_close(
        ae.likelihood_.costs(y, x, model.likelihood_memory), plain * torch.tensor([1, 5, 5, 5, 2])
    )
    ae.warm_start = True
    assert ae.fit(FRAME).likelihood_.inner == Mixed((0, 3, 0), numbers=Normal("learned"))


def test_channels_have_weights_too() -> None:
    windows = RNG.normal(size=(20, 6, 2))
    ae = quick(Weighted(Normal("learned"), (30, 1)), epochs=20).fit(windows)
    errors = ae.reconstruction_error(windows, per_feature=True).mean((0, 1))
    assert errors[0] < errors[1]


def test_scores_say_that_they_are_weighted(tmp_path: Any) -> None:
    ae = quick(Weighted(Normal("learned"), (1, 2, 1, 1))).fit(X)
    assert "nats per example (columns weighted), of the deterministic code" in str(evaluate(ae, X).table())
    assert "weighted" not in str(evaluate(quick(Normal("learned")).fit(X), X).table())
    assert evaluate(ae, X).to_dict()["nats"]["weighted"] is True
    assert "weighted" in ae.likelihood_.measure  # so that comparisons do not rank its loss
    assert ae.likelihood_.measure != Normal("learned").measure
    ae.save(tmp_path / "weighted.safetensors")
    assert (load(tmp_path / "weighted.safetensors").score_samples(X) == ae.score_samples(X)).all()


def test_absurd_weights_are_refused_where_they_are_given() -> None:
    assert Weighted(Normal(), (1e6, 1)).weights == (1e6, 1)
    for weight in (-1, 1.1e6, 1e300):
        with pytest.raises(RecordError, match="weights"):
            Weighted(Normal(), (weight, 1))


def test_a_weighted_likelihood_is_no_probability() -> None:
    with pytest.raises(NotPossibleError, match="weighs columns"):
        quick(Weighted(Normal("learned"), (1, 2, 1, 1)), bottleneck=Gaussian(2)).fit(X).log_likelihood(X)


def test_scores_of_a_detector_do_not_depend_on_the_units_of_columns() -> None:
    choices = {"missing": "allow", "scaling": Standard(), "bottleneck": Identity(2)}
    found = []
    for factor in (1.0, 1024.0):
        ae = quick(Weighted(Normal("learned"), (1, 2, 1, 3)), **choices)
        found.append(
            OutlierDetector(ae, anomaly_score="nats", false_alarm_rate=0.2, random_state=0)
            .fit(X * factor)
            .score_samples(X * factor)
        )
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.parametrize(
    ("likelihood", "message"),
    [
        (Weighted(Normal(), (1, 2)), "Weighted has 2 weights, and the examples have 4 columns"),
        (Weighted(Normal(), (0, 0, 0, 0)), "all weights are zero"),
    ],
)
def test_weights_that_do_not_fit_raise_one_sentence(likelihood: Weighted, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        quick(likelihood).fit(X)


def test_invalid_weights_are_no_record() -> None:
    for wrong in ((-1, 1), (float("nan"), 1), (float("inf"), 1)):
        with pytest.raises(RecordError):
            Weighted(Bernoulli(), wrong)
