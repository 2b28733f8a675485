"""Priors are densities: they integrate to 1, their samples follow them, and divergences from them are what they should be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, MixtureSameFamily, kl_divergence
from torch.distributions import Normal as TorchNormal

from isthmus.nn.variables import Variables, VariablesWith
from isthmus.priors import Mixture, Prior, StandardNormal, VampPrior
from isthmus.records import record

PRIORS = [StandardNormal(), Mixture(3), VampPrior(3)]
SHAPES = [(1,), (2,), (2, 1)]  # of a code: 2 units, and 2 positions of 1 unit


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def learned(prior: Prior, shape: tuple[int, ...]) -> Variables:
    """The variables of a prior as training may leave them, in float64."""
    variables, noise = prior.variables(shape[-1], generator()).double(), generator(5)
    with torch.no_grad():
        for parameter in variables.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise, dtype=torch.float64) * 0.4)
    if not prior.anchors:
        return variables
    h = torch.randn(prior.anchors, *shape[:-1], 2 * shape[-1], generator=noise, dtype=torch.float64)
    return VariablesWith(variables, anchors=h)


def grid(shape: tuple[int, ...], steps: int) -> tuple[torch.Tensor, float]:
    """Codes on a grid, and the volume of its cells."""
    axis, dimensions = torch.linspace(-14, 14, steps, dtype=torch.float64), math.prod(shape)
    codes = torch.cartesian_prod(*[axis] * dimensions).reshape(-1, *shape)
    return codes, (28 / (steps - 1)) ** dimensions


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_a_prior_integrates_to_one(prior: Prior, shape: tuple[int, ...]) -> None:
    codes, volume = grid(shape, 20_001 if shape == (1,) else 501)
    total = prior.log_density(codes, learned(prior, shape)).exp().sum() * volume
    assert total.item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_samples_follow_the_density(prior: Prior) -> None:
    variables = learned(prior, (1,))
    codes, volume = grid((1,), 20_001)
    cumulative = prior.log_density(codes, variables).detach().exp().cumsum(0) * volume
    samples = prior.sample((5000, 1), variables, generator(1)).flatten()
    assert not samples.requires_grad
    found = scipy.stats.kstest(samples.numpy(), lambda z: np.interp(z, codes.flatten().numpy(), cumulative.numpy()))
    assert found.pvalue > 0.01


@pytest.mark.parametrize("shape", [(2,), (2, 1)], ids=str)
@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_samples_have_the_second_moments_of_the_density(prior: Prior, shape: tuple[int, ...]) -> None:
    """Of all pairs of axes: two positions of a mixture are independent, those of a pseudo-input are not."""
    variables = learned(prior, shape)
    samples = prior.sample((20_000, *shape), variables, generator(1)).double().flatten(1)
    codes, volume = grid(shape, 501)
    weights = prior.log_density(codes, variables).exp() * volume
    for i, j in ((0, 0), (0, 1), (1, 1)):
        expected, products = (
            (weights * codes.flatten(1)[:, i] * codes.flatten(1)[:, j]).sum(),
            samples[:, i] * samples[:, j],
        )
        assert (products.mean() - expected).abs() < 4 * products.std() / math.sqrt(len(samples))


def test_a_mixture_is_that_of_torch_at_each_position() -> None:
    prior, shape = Mixture(4), (3, 2)
    variables = learned(prior, shape)
    parts = Independent(TorchNormal(variables["means"], variables["log_scales"].exp()), 1)
    reference = MixtureSameFamily(TorchCategorical(logits=variables["logits"]), parts)
    z = torch.randn(7, *shape, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(prior.log_density(z, variables), reference.log_prob(z).sum(1))


def test_a_vamp_prior_is_the_mean_of_the_posteriors_of_its_pseudo_inputs() -> None:
    prior, shape = VampPrior(4), (3, 2)
    variables = learned(prior, shape)
    mean, log_variance = variables["anchors"].chunk(2, dim=-1)
    reference = MixtureSameFamily(
        TorchCategorical(logits=torch.zeros(4)), Independent(TorchNormal(mean, (0.5 * log_variance).exp()), 2)
    )
    z = torch.randn(7, *shape, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(prior.log_density(z, variables), reference.log_prob(z))


@record
class OtherNormal(Prior):
    """N(0.5, 4) for each unit, with the defaults of the contract."""

    def log_density(self, z: torch.Tensor, variables: Variables) -> torch.Tensor:
        return TorchNormal(0.5, 2.0).log_prob(z).flatten(1).sum(1)


@pytest.mark.parametrize("shape", [(3,), (2, 3)], ids=str)
@pytest.mark.parametrize("prior", [OtherNormal(), StandardNormal(), Mixture(1), VampPrior(1)], ids=repr)
def test_sigma_points_are_exact_for_normal_priors(prior: Prior, shape: tuple[int, ...]) -> None:
    variables = learned(prior, shape)
    mean, log_variance = torch.randn(2, 5, *shape, generator=generator(3), dtype=torch.float64)
    posterior = TorchNormal(mean, (0.5 * log_variance).exp())
    other = {
        "OtherNormal": lambda: TorchNormal(torch.full_like(mean, 0.5), torch.full_like(mean, 2.0)),
        "StandardNormal": lambda: TorchNormal(torch.zeros_like(mean), torch.ones_like(mean)),
        "Mixture": lambda: TorchNormal(
            variables["means"].expand_as(mean), variables["log_scales"].exp().expand_as(mean)
        ),
        "VampPrior": lambda: TorchNormal(
            variables["anchors"][..., :3].expand_as(mean), (0.5 * variables["anchors"][..., 3:]).exp().expand_as(mean)
        ),
    }[type(prior).__name__]()
    divergence = -posterior.entropy().flatten(1).sum(1) - prior.mean_log_density(mean, log_variance, variables)
    torch.testing.assert_close(divergence, kl_divergence(posterior, other).flatten(1).sum(1))


@pytest.mark.parametrize("shape", [(3,), (2, 3)], ids=str)
@pytest.mark.parametrize("prior", [Mixture(4), VampPrior(4)], ids=repr)
def test_the_fast_mean_over_sigma_points_is_that_of_the_contract(prior: Prior, shape: tuple[int, ...]) -> None:
    variables = learned(prior, shape)
    mean, log_variance = torch.randn(2, 5, *shape, generator=generator(3), dtype=torch.float64)
    if (
        isinstance(prior, Mixture) and len(shape) > 1
    ):  # each position is independent: the points of one position at a time
        rows = Prior.mean_log_density(prior, mean.reshape(-1, 3), log_variance.reshape(-1, 3), variables)
        expected = rows.reshape(5, -1).sum(1)
    else:
        expected = Prior.mean_log_density(prior, mean, log_variance, variables)
    torch.testing.assert_close(prior.mean_log_density(mean, log_variance, variables), expected)


@pytest.mark.parametrize("prior", [Mixture(4), VampPrior(4)], ids=repr)
def test_values_far_from_all_components_have_a_finite_mean(prior: Prior) -> None:
    variables = learned(prior, (3,)).float()
    found: Any = prior.mean_log_density(torch.full((2, 3), 1e25), torch.full((2, 3), 200.0), variables)
    assert torch.isfinite(found).all()
    assert (found < -1e20).all()
