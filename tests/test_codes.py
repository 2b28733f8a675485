"""The diagnostics of codes are held against its definitions, on codes that are known beforehand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from isthmus import Autoencoder, evaluate
from isthmus.architectures import MLP, Conv, Modules
from isthmus.bottlenecks import L1, Gaussian, Identity, TopK, VectorQuantized
from isthmus.errors import NotPossibleError
from isthmus.evaluation import Codes
from isthmus.evaluation.latent_traversal import interpolate, traverse
from isthmus.likelihoods import Normal
from isthmus.optimizers import SGD
from isthmus.priors import Mixture, VampPrior
from isthmus.scaling import NoScaling

Array = NDArray[Any]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 6)) * [3, 1, 1, 0.5, 0.01, 0] + [0, 5, -1, 0, 0, 1000]


def passed(width: int = 6) -> nn.Linear:
    """A layer that passes its numbers on, as far as there is room."""
    layer = nn.Linear(6, width) if width != 6 else nn.Linear(6, 6)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(width, 6))
        layer.bias.zero_()
    return layer


def system(bottleneck: Any, encoder: nn.Module, values: Array = X) -> Autoencoder:
    """An autoencoder whose weights stay as they are."""
    choices = {"scaling": NoScaling(), "likelihood": Normal(), "optimizer": SGD(1e-30), "epochs": 1}
    decoder = nn.Linear(bottleneck.size, 6)
    return Autoencoder(bottleneck, architecture=Modules(encoder, decoder), random_state=0, **choices).fit(values)


def codes_of(ae: Autoencoder, values: Array = X) -> Codes:
    return evaluate(ae, values).codes


def test_the_effective_rank_is_that_of_the_singular_values() -> None:
    ae = system(Identity(6), passed())
    z = ae.encode(X).astype(np.float64)
    s = np.linalg.svd(z - z.mean(0), compute_uv=False)
    share = s[s > 1e-6 * s[0]] / s.sum()
    rank = codes_of(ae).effective_rank
    assert rank == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-4)
    assert 1 < (rank or 0) < 5  # the last number never differs, far from zero as it is


@pytest.mark.parametrize("directions", [1, 2, 3])
def test_the_effective_rank_of_equal_singular_values_is_their_number(directions: int) -> None:
    values = np.zeros((400, 6))
    values[:, :directions] = np.linalg.qr(np.random.default_rng(1).normal(size=(400, directions)))[0]
    values -= values.mean(0)
    values[:, :directions] = np.linalg.svd(values[:, :directions], full_matrices=False)[0]
    found = codes_of(system(Identity(6), passed(), values), values)
    assert found.effective_rank == pytest.approx(directions, rel=1e-4)
    assert found.n_components == directions
    assert found.mse_projected == pytest.approx(found.mse_unprojected, rel=1e-3)


def test_constant_codes_have_no_rank() -> None:
    layer = nn.Linear(6, 6)
    nn.init.zeros_(layer.weight)
    found = codes_of(system(Identity(6), layer))
    assert (found.effective_rank, found.dead, found.n_components) == (0, 6, 1)


def test_constant_units_are_dead_for_every_value() -> None:
    assert codes_of(system(Identity(6), passed())).dead == 1


@pytest.mark.parametrize("bottleneck", [L1(6), TopK(6, k=2)], ids=str)
def test_the_frequency_is_the_share_of_examples_that_activate_a_unit(bottleneck: Any) -> None:
    ae = system(bottleneck, passed())
    active = ae.encode(X) != 0
    found = codes_of(ae)
    assert found.frequency == pytest.approx(active.mean(0))
    assert found.active_per_example == pytest.approx(active.mean())
    assert found.dead == sum(len(np.unique(column)) == 1 for column in ae.encode(X).T)
    shown = {name: (value, unit) for name, value, unit in found.rows()}
    assert shown["Active per example"][0] == f"{active.mean():.1%}"
    assert f"maximum {active.mean(0).max():.0%}" in shown["Active per example"][1]


class Halves(nn.Module):
    """Means and logarithms of variances for a Gaussian of 6 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.log_variance = passed(), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.mean(x), 0.1 * self.log_variance(x)[..., :6].clamp(-5, 5)], dim=-1)


def test_active_units_and_divergence_are_those_of_the_posterior() -> None:
    values = X * [1, 1, 1, 1, 1, 0]
    encoder = Halves()
    ae = system(Gaussian(6, beta=3), encoder, values)
    with torch.no_grad():
        h = ae.model_.encoder(torch.from_numpy(values).float()).double().numpy()
    mean, log_variance = h[:, :6], h[:, 6:]
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).mean(0)
    result = evaluate(ae, values)
    assert result.codes.kl == pytest.approx(kl, rel=1e-4)
    assert sum(result.codes.kl or ()) * 3 == pytest.approx(result.nats.penalty, rel=1e-4)
    assert result.codes.active_units == (mean.var(0) > 0.01).sum() == 4  # one deviates by 0.01, one not at all
    assert codes_of(system(Identity(6), passed())).kl is None


@pytest.mark.parametrize("prior", [Mixture(3), VampPrior(4)], ids=repr)
def test_units_of_a_learned_prior_are_active_but_have_no_divergence_of_their_own(prior: Any) -> None:
    ae = Autoencoder(Gaussian(2, prior=prior), architecture=MLP((8,)), epochs=2, random_state=0).fit(X)
    result = evaluate(ae, X)
    assert result.codes.active_units == (ae.encode(X).var(0) > 0.01).sum()
    assert result.codes.kl is None
    assert any(name == "Active units" for name, *_ in result.codes.rows())
    with pytest.raises(NotPossibleError, match="normal prior, and that of this Gaussian is another one"):
        interpolate(ae, X[:1], X[1:2], method="slerp")
    values = traverse(ae, X, steps=3, units=[0]).values
    np.testing.assert_allclose(values[0][[0, -1]], np.quantile(ae.encode(X)[:, 0], [0.05, 0.95]), rtol=1e-5)


def test_the_perplexity_of_a_codebook_is_that_of_its_entries_frequencies() -> None:
    ae = Autoencoder(VectorQuantized(2, codebook_size=16), architecture=MLP((8,)), epochs=2, random_state=0).fit(X)
    codebook = ae.model_.code_memory["codebook"].numpy()
    chosen = np.square(ae.encode(X)[:, None] - codebook).sum(2).argmin(1)  # codes are entries, but for rounding
    _, counts = np.unique(chosen, return_counts=True)
    share = counts / counts.sum()
    found = codes_of(ae)
    assert found.perplexity == pytest.approx(np.exp(-(share * np.log(share)).sum()))
    assert (found.codebook_size, found.unused_entries) == (16, 16 - len(counts))
    assert found.mse_projected is None


def test_a_unit_of_a_code_map_is_one_feature_at_all_positions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(0).random((200, 8, 8, 1), dtype=np.float32)
    ae = Autoencoder(L1(3), architecture=Conv((4, 4), code="map"), epochs=1, random_state=0).fit(pictures)
    z = ae.encode(pictures)
    found = codes_of(ae, pictures)
    assert (found.size, found.positions) == (3, math.prod(z.shape[1:-1]))
    assert found.frequency == pytest.approx((z != 0).mean((0, 1, 2)))
    flat = z.reshape(-1, 3).astype(np.float64)
    s = np.linalg.svd(flat - flat.mean(0), compute_uv=False)
    share = s[s > 1e-6 * s[0]] / s.sum()
    assert found.effective_rank == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-4)
    np.save(tmp_path / "x.npy", pictures)
    monkeypatch.setattr("isthmus.data.validation.BLOCK", 1)
    again = codes_of(ae, np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert again.effective_rank == pytest.approx(found.effective_rank, rel=1e-9)
    assert (again.frequency, again.dead) == (pytest.approx(found.frequency), found.dead)


def test_codes_are_projected_on_directions_of_the_training_codes() -> None:
    ae, train = system(Identity(6), passed()), X[:200]
    found = evaluate(ae, X[200:], train=train).codes
    assert found.n_components is not None
    z, basis = (ae.encode(part).astype(np.float64) for part in (X[200:], train))
    axes = np.linalg.svd(basis - basis.mean(0), full_matrices=False)[2][: found.n_components]
    flat = basis.mean(0) + (z - basis.mean(0)) @ axes.T @ axes
    wanted = np.square(ae.decode(flat) - X[200:]).mean()
    assert found.mse_projected == pytest.approx(wanted, rel=1e-3)
    assert found.mse_unprojected == pytest.approx(ae.reconstruction_error(X[200:]).mean(), rel=1e-4)


def test_one_unit_and_one_example_are_valid() -> None:
    ae = Autoencoder(Identity(1), architecture=MLP(()), epochs=1, random_state=0).fit(X)
    assert codes_of(ae).size == 1
    assert codes_of(ae, X[:1]).effective_rank == 0
