"""What the nats of a normal likelihood mean: its learned scale is that of the errors, at any point of any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.likelihoods import Normal
from isthmus.optimizers import Adam

FILES = Path(__file__).parent / "files"


def plane(n: int = 1000, noise: float = 0.02) -> np.ndarray:
    """Six columns of which two numbers decide, and a little noise."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, 6)) + noise * rng.normal(size=(n, 6))


def quick(bottleneck: Any = "auto", **choices: Any) -> Autoencoder:
    fixed = {"architecture": MLP(()), "optimizer": Adam(0.02), "likelihood": Normal("learned"), "epochs": 10}
    return Autoencoder(
        Identity(2) if bottleneck == "auto" else bottleneck, **fixed | {"batch_size": 50, "random_state": 0} | choices
    )


def learned(ae: Autoencoder) -> float:
    """The scale that was learned, in model units."""
    return ae.model_.likelihood_memory["log_scale"].exp().item()


def errors(ae: Autoencoder, X: np.ndarray) -> float:
    """The root of the mean squared error in model units, of what was observed."""
    squares = ae.reconstruction_error(X, per_feature=True) / np.square(ae.model_.scale.numpy())
    return float(np.sqrt(np.nanmean(squares)))


@pytest.mark.parametrize("way", ["fit", "warm", "partial", "layerwise", "missing"])
def test_the_learned_scale_is_that_of_the_errors_after_ten_epochs(way: str) -> None:
    X = plane()
    ae = quick(warm_start=way == "warm", missing="mask" if way == "missing" else "refuse")
    if way == "missing":
        X[np.arange(1000), np.arange(1000) % 6] = np.nan
        ae.set_params(epochs=40)
    if way == "partial":
        for _ in range(10):
            ae.partial_fit(X)
    else:
        for _ in range(2 if way == "warm" else 1):
            ae.fit(X, layerwise=way == "layerwise")
    bound = 3 if way == "missing" else 1.2  # three tenths more are hidden while it learns
    assert errors(ae, X) < (0.7 if way == "missing" else 0.1)
    assert errors(ae, X) / bound < learned(ae) < errors(ae, X) * bound


def test_a_file_of_an_older_version_answers_as_it_did_and_learns_the_new_way(tmp_path: Path) -> None:
    """Its scale was a parameter; tests of storage show that an interrupted round goes on with that."""
    table = np.sin(np.arange(60)[:, None] * np.array([0.1, 0.7, 1.3, 2.9, 0.01, 5.1])).astype(np.float32)
    for number in (1, 2, 3):
        ae = load(FILES / f"format-{number}-table.safetensors")
        scale = learned(ae)
        assert isinstance(ae.model_.likelihood_memory["log_scale"], torch.nn.Parameter)
        nll = 0.5 * np.square(errors(ae, table) / scale) * 6 + 6 * (np.log(scale) + 0.5 * np.log(2 * np.pi))
        assert -ae.score(table) - nll == pytest.approx(0, abs=1e-4)
        ae.set_params(warm_start=True, epochs=20).fit(table)
        assert learned(ae) == pytest.approx(errors(ae, table), rel=0.2)
        assert not isinstance(ae.model_.likelihood_memory["log_scale"], torch.nn.Parameter)
        ae.save(tmp_path / "x")
        np.testing.assert_array_equal(load(tmp_path / "x").score_samples(table), ae.score_samples(table))
