"""Each rule of advice speaks where what it is about really happened in training, and is silent where it did not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isthmus import Autoencoder, evaluate
from isthmus.architectures import MLP
from isthmus.bottlenecks import L1, Gaussian, Identity, TopK, VectorQuantized
from isthmus.corruptions import GaussianNoise
from isthmus.evaluation import Evaluation, advice
from isthmus.likelihoods import Normal
from isthmus.optimizers import Adam
from isthmus.scaling import Standard

Array = NDArray[Any]


def rows(n: int, directions: int, seed: int = 0) -> Array:
    """A table (n, 12) of so many directions."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, directions)) @ np.random.default_rng(9).normal(size=(directions, 12))


@cache
def found(bottleneck: Any, n: int = 200, directions: int = 4, noise: float = 0.05, **choices: Any) -> Evaluation:
    """An autoencoder really trained, and looked at on 200 other examples."""
    X, new = (rows(count, directions, seed) for count, seed in ((n, 0), (200, 1)))
    X, new = (part + noise * np.random.default_rng(7).normal(size=part.shape) for part in (X, new))
    choices = {"architecture": MLP((32,)), "epochs": 40, "batch_size": 32, "optimizer": Adam(3e-3), **choices}
    settings = {"scaling": Standard(), "likelihood": Normal(), "random_state": 0, "device": "cpu", **choices}
    return evaluate(Autoencoder(bottleneck, **settings).fit(X, validation_data=new), new, train=X)


def said(result: Evaluation) -> dict[str, str]:
    return {each.rule: each.text for each in result.advice}


LINEAR = {"architecture": MLP(()), "optimizer": Adam(1e-2)}
LARGE = {"architecture": MLP((128, 128)), "optimizer": Adam(1e-2), "likelihood": Normal("learned")}
BY_HEART = {"n": 30, "noise": 1.0, "epochs": 120, **LARGE}


@pytest.mark.parametrize(
    ("rule", "ill", "words", "well"),
    [
        ("unused units", (Gaussian(8, beta=50), {}), ("all units", "beta=50"), (Gaussian(4, beta=0.05), {})),
        (
            "dead units",
            (L1(16, weight=30), {}),
            ("16 of 16", "weight=30"),
            (L1(8, weight=1e-3, activation="linear"), {"epochs": 20}),
        ),
        ("dead units", (TopK(64, k=1), {}), ("of 64", "k=1"), (TopK(6, k=4), {})),
        (
            "codebook collapse",
            (VectorQuantized(12, codebook_size=64, dead_threshold=0, commitment=25), {"epochs": 5}),
            ("of 64 entries", "dead_threshold"),
            (VectorQuantized(2, codebook_size=8), {"epochs": 20}),
        ),
        (
            "worse than PCA",
            (Identity(4), {"epochs": 1}),
            ("PCA of equal width", "epochs", "LinearSkip"),
            (Identity(4), {**LINEAR, "n": 400, "noise": 0.3, "epochs": 80}),
        ),
        (
            "overfitting",
            (Identity(8), BY_HEART),
            ("early_stopping",),
            (Identity(4), {"n": 1000, "epochs": 10}),
        ),
        (
            "worse than in training",
            (Identity(8), BY_HEART),
            ("times as large", "corruption"),
            (Identity(4), {"n": 1000, "epochs": 10}),
        ),
        (
            "code larger than needed",
            (Identity(10), {"directions": 2, "noise": 0.0, **LINEAR}),
            ("2 of 10 dimensions",),
            (Identity(2), {"directions": 2, "noise": 0.0, **LINEAR}),
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_each_rule_gives_advice_only_in_its_own_case(rule: str, ill: Any, words: Any, well: Any) -> None:
    bottleneck, choices = ill
    text = said(found(bottleneck, **choices)).get(rule, "")
    assert all(word in text for word in words), text or f"{rule} is silent"
    bottleneck, choices = well
    assert rule not in said(found(bottleneck, **choices))


def test_unused_units_are_reported_from_a_quarter_on() -> None:
    result = found(Gaussian(8, beta=0.05), epochs=2)
    ae = Autoencoder(Gaussian(8), epochs=1, random_state=0).fit(rows(100, 4))
    for active, speaks in ((6, True), (7, False), (8, False)):
        again = replace(result, codes=replace(result.codes, active_units=active))
        assert bool(advice.RULES["unused units"](ae, again)) is speaks


def test_a_smaller_code_is_advised_only_where_it_suffices() -> None:
    """The spectrum alone does not decide: a direction of little variance may matter to the decoder."""
    result = found(Identity(10), directions=2, noise=0.0, epochs=60, **LINEAR)
    ae = Autoencoder(Identity(10), epochs=1, random_state=0).fit(rows(100, 2))
    codes = result.codes
    assert codes.mse_unprojected is not None
    worse = replace(codes, mse_projected=codes.mse_unprojected * (advice.SIMILAR_ERROR_RATIO + 0.01))
    assert advice.RULES["code larger than needed"](ae, result)
    assert not advice.RULES["code larger than needed"](ae, replace(result, codes=worse))
    constant = replace(codes, dead=codes.size, effective_rank=0.0)
    assert not advice.RULES["code larger than needed"](ae, replace(result, codes=constant))


def test_early_stopping_gives_no_advice_on_overfitting() -> None:
    kept = {"early_stopping": True, "n_iter_no_change": 200}
    assert "overfitting" not in said(found(Identity(8), **BY_HEART, **kept))


def test_without_training_examples_there_is_no_advice_on_them() -> None:
    X = rows(30, 4) + np.random.default_rng(0).normal(size=(30, 12))
    ae = Autoencoder(Identity(11), architecture=MLP((64,)), epochs=100, random_state=0).fit(X)
    assert evaluate(ae, X).training is None
    assert "worse than in training" not in said(evaluate(ae, rows(200, 4, 1)))


def test_the_error_in_training_is_that_of_the_training_examples() -> None:
    X, new = rows(100, 4), rows(50, 4, 1)
    ae = Autoencoder(Identity(3), architecture=MLP((8,)), epochs=3, random_state=0, scaling=Standard()).fit(X)
    result = evaluate(ae, new, train=X)
    assert result.training.mse == pytest.approx(ae.reconstruction_error(X).mean(), rel=1e-6)
    assert result.training.mse_scaled == pytest.approx(np.square((ae.reconstruct(X) - X) / X.std(0)).mean(), rel=1e-5)


def test_no_advice_contradicts_another() -> None:
    """Where an autoencoder overfits, no rule advises longer training beside the one that advises fewer epochs."""
    clean, new = rows(30, 4), rows(200, 4, seed=1)
    noisy, noisy_new = (part + np.random.default_rng(7).normal(size=part.shape) for part in (clean, new))
    settings = {key: value for key, value in BY_HEART.items() if key not in {"n", "noise"}}
    ae = Autoencoder(Identity(8), scaling=Standard(), batch_size=32, random_state=0, device="cpu", **settings)
    ae.fit(noisy, target=clean, validation_data=(noisy_new, new))
    texts = said(evaluate(ae, noisy_new, target=new, train=noisy, train_target=clean))
    assert "fewer epochs" in texts["overfitting"]
    assert "worse than ridge regression" in texts
    assert not any("train longer" in text for text in texts.values())


def test_a_corruption_is_advised_only_where_there_is_none() -> None:
    text = said(found(Identity(8), corruption=GaussianNoise(0.01), **BY_HEART))["worse than in training"]
    assert text.endswith("use more examples, a smaller bottleneck.size, or fewer epochs.")
