"""Codes with learned priors, several draws or schedules: training resumes, files load, and rows are independent, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, data, load
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Bottleneck, Gaussian, ImportanceWeighted, Nested
from isthmus.priors import Mixture, VampPrior
from isthmus.schedules import Cyclic, Warmup

CODES = [
    Gaussian(3, schedule=Warmup(0.5), free_bits=0.2),
    Gaussian(3, prior=Mixture(4), schedule=Cyclic(2)),
    Gaussian(3, prior=VampPrior(5)),
    ImportanceWeighted(3, 3),
    ImportanceWeighted(3, 3, gradient="dreg", prior=VampPrior(4)),
    Nested(3, (1, 2)),
]
MISSING = [pytest.param("error", marks=pytest.mark.thorough), "allow"]
every_code = pytest.mark.parametrize("bottleneck", CODES, ids=repr)


def examples(missing: str = "error") -> np.ndarray[Any, Any]:
    X = data.digits().train[:90].copy()
    if missing == "allow":
        X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    return X


def untrained(bottleneck: Bottleneck, **choices: Any) -> Autoencoder:
    choices = {"architecture": MLP((8,)), "epochs": 3, "batch_size": 32, "random_state": 0} | choices
    return Autoencoder(bottleneck, **choices)


def assert_same(one: Autoencoder, other: Autoencoder) -> None:
    first, second = one.model_.state_dict(), other.model_.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [(report.loss, report.stats) for report in one.history_] == [
        (report.loss, report.stats) for report in other.history_
    ]


@pytest.mark.parametrize("missing", MISSING)
@every_code
def test_a_training_resumes_in_the_middle_of_an_epoch_and_its_file_loads(
    bottleneck: Bottleneck, missing: Any, tmp_path: Path
) -> None:
    X, path = examples(missing), tmp_path / "file"
    whole, cut = untrained(bottleneck, missing=missing).fit(X), untrained(bottleneck, missing=missing)
    for report in cut.iter_fit(X, every=1):
        if report.step == 4:  # of three steps an epoch
            cut.checkpoint(path)
    assert_same(load(path).resume(X), whole)
    whole.save(path)
    again = load(path)
    assert_same(again, whole)
    assert again.bottleneck == bottleneck
    uses = ["encode", "reconstruct", "score_samples", *(["impute"] if missing == "allow" else [])]
    for use in uses:
        result = getattr(whole, use)(X)
        assert np.isfinite(result).all()
        np.testing.assert_array_equal(getattr(again, use)(X), result)
    if bottleneck.has_prior:
        samples = whole.sample(4, random_state=0)
        assert samples.shape == (4, 8, 8)
        np.testing.assert_array_equal(again.sample(4, random_state=0), samples)


@every_code
def test_a_warm_start_continues(bottleneck: Bottleneck) -> None:
    X = examples()
    twice = untrained(bottleneck, warm_start=True).fit(X)
    anchors = getattr(twice.model_, "anchors", None)
    before = None if anchors is None else anchors.detach().clone()
    twice.set_params(epochs=1).fit(X)
    after = twice.model_.anchors
    if before is not None and after is not None:  # pseudo-inputs start as examples only once
        assert 0 < (after - before).abs().max() < 0.02
    assert len(twice.history_) == 4
    assert twice.history_[-1].nll < twice.history_[0].nll


@pytest.mark.parametrize(
    "architecture", [pytest.param(MLP((8,)), marks=pytest.mark.thorough), Conv((4,), code="map")], ids=repr
)
@every_code
def test_results_of_a_row_have_the_same_bits_in_any_batch(bottleneck: Bottleneck, architecture: Any) -> None:
    X = examples("allow")
    ae = untrained(bottleneck, architecture=architecture, missing="allow", epochs=1).fit(X)
    order = np.random.default_rng(0).permutation(len(X))
    for use in ("encode", "reconstruct", "score_samples", "impute"):
        method = getattr(ae, use)
        whole = method(X)
        np.testing.assert_array_equal(method(X[order]), whole[order])
        np.testing.assert_array_equal(np.concatenate([method(part) for part in np.split(X, [1, 8, 40])]), whole)


@pytest.mark.parametrize("precision", ["float64", pytest.param("bfloat16", marks=pytest.mark.thorough)])
@every_code
def test_every_precision_trains(bottleneck: Bottleneck, precision: Any) -> None:
    ae = untrained(bottleneck, precision=precision, epochs=1).fit(examples())
    assert np.isfinite(ae.history_[-1].loss)
    assert np.isfinite(ae.score(examples()))
