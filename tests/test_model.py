"""The module that joins the four choices: its losses are per example, and its gradient does not know of batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.architectures import MLP, Conv
from isthmus.architectures.base import Architecture
from isthmus.bottlenecks import L1, Gaussian, Identity, TopK
from isthmus.bottlenecks.base import Bottleneck
from isthmus.likelihoods import Bernoulli, Likelihood, Normal
from isthmus.model import Model
from isthmus.scaling import Affine
from isthmus.trainable import Batch


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def model(
    bottleneck: Bottleneck, likelihood: Likelihood, architecture: Architecture | None = None, scale: float = 1.0
) -> Model:
    affine = Affine(np.full((), 10 * (scale - 1)), np.full((), scale))
    return Model((4, 6), architecture or MLP((8,)), bottleneck, likelihood, affine, generator()).double()


CASES = [
    (Identity(3), Normal(0.5), MLP((8,))),
    (L1(5, weight=0.7), Bernoulli(), MLP((8,), tied=True)),
    (TopK(5, k=2), Normal("learned"), Conv((3,))),
    (Identity(2, "tanh"), Bernoulli(), Conv((3,), code="map")),
]


@pytest.mark.parametrize(("bottleneck", "likelihood", "architecture"), CASES)
def test_one_large_batch_is_the_sum_of_many_small_ones(
    bottleneck: Bottleneck, likelihood: Likelihood, architecture: Architecture
) -> None:
    net = model(bottleneck, likelihood, architecture)
    net.likelihood_memory.eval()  # a learned scale follows the batches
    x = torch.rand(12, 4, 6, generator=generator(1), dtype=torch.float64)

    def gradients(size: int) -> list[torch.Tensor]:
        net.zero_grad()
        for part in x.split(size):
            net(Batch(part, part), generator()).total.sum().backward()
        return [p.grad.clone() for p in net.parameters() if p.grad is not None]

    whole, parts = gradients(12), gradients(5)
    assert len(whole) == len(list(net.parameters()))
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other)


def test_the_loss_is_likelihood_plus_penalty_with_the_clean_example_as_target() -> None:
    net = model(L1(5, weight=0.7, activation="linear"), Normal(0.5))
    x, corrupted = (torch.rand(7, 4, 6, generator=generator(state), dtype=torch.float64) for state in (1, 2))
    losses = net(Batch(corrupted, x), generator())
    z = net.encoder(corrupted)
    nll = -torch.distributions.Normal(net.decoder(z), 0.5).log_prob(x).sum((1, 2))
    torch.testing.assert_close(losses.nll, nll)
    torch.testing.assert_close(losses.penalty, 0.7 * z.abs().sum(1))
    torch.testing.assert_close(losses.total, losses.nll + losses.penalty)


def test_inputs_and_outputs_are_in_data_units() -> None:
    net = model(Identity(2), Normal(), scale=4.0)
    raw = torch.tensor([30.0, 34.0], dtype=torch.float64)
    assert net.normalize(raw).tolist() == [0, 1]
    assert net.denormalize(net.normalize(raw)).tolist() == [30, 34]
    assert net.normalize(torch.tensor([38], dtype=torch.uint8)).tolist() == [2]


def test_the_deterministic_code_draws_nothing_and_training_uses_its_own_generator() -> None:
    net = model(Gaussian(3), Normal())
    x = torch.rand(7, 4, 6, generator=generator(1), dtype=torch.float64)
    before = torch.get_rng_state()
    assert torch.equal(net.score(Batch(x, x)).total, net.score(Batch(x, x)).total)
    first, same, other = (net(Batch(x, x), generator(state)).total for state in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
