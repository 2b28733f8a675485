"""Variational codes: free bits, learned priors, several draws of importance-weighted autoencoders, and their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from isthmus import Autoencoder, data
from isthmus.architectures import MLP
from isthmus.bottlenecks import Bottleneck, Gaussian, ImportanceWeighted
from isthmus.errors import NotPossibleError, RecordError
from isthmus.likelihoods import Normal
from isthmus.model import Model
from isthmus.nn.variables import Variables
from isthmus.optimizers import Adam
from isthmus.penalties import MMD
from isthmus.priors import Mixture, StandardNormal, VampPrior
from isthmus.scaling import Affine
from isthmus.schedules import Cosine, Cyclic, Warmup

NOISE = 0.6  # of the linear models


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def linear(bottleneck: Bottleneck, *, exact: bool = False, scale: float = 1.0) -> Model:
    """A linear model of 3 features with codes of 2 units, in float64; its encoder may be the exact posterior."""
    affine = Affine(np.full((), 0.5 * (scale - 1)), np.full((), scale))
    model = Model((3,), MLP(()), bottleneck, Normal(NOISE), affine, generator(), dtype=torch.float64)
    layers = [
        next(m for m in part.modules() if isinstance(m, torch.nn.Linear)) for part in (model.encoder, model.decoder)
    ]
    V = torch.tensor([[1.0, 0.5], [-0.4, 0.8], [0.2, 0.3]], dtype=torch.float64)
    V[:, 1] -= V[:, 0] * (V[:, 0] @ V[:, 1]) / (V[:, 0] @ V[:, 0])  # so that the posterior of each unit is its own
    offset = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    precision = 1 + V.square().sum(0) / NOISE**2
    posterior = V.T / NOISE**2 / precision[:, None]
    with torch.no_grad():
        layers[1].weight.copy_(V)
        layers[1].bias.copy_(offset)
        layers[0].weight.copy_(torch.cat([posterior, torch.zeros(2, 3)]) if exact else torch.full((4, 3), 0.2))
        layers[0].bias.copy_(torch.cat([-posterior @ offset, -precision.log()]) if exact else torch.full((4,), -0.3))
    return model


def marginal(model: Model, mean: torch.Tensor, variance: torch.Tensor) -> MultivariateNormal:
    """The exact distribution of examples, in model units, if codes are normal."""
    layer = next(m for m in model.decoder.modules() if isinstance(m, torch.nn.Linear))
    V = layer.weight.detach()
    noise = NOISE**2 * torch.eye(len(V), dtype=V.dtype)
    return MultivariateNormal(V @ mean + layer.bias.detach(), V @ torch.diag(variance) @ V.T + noise)


X = torch.tensor([[0.9, -1.1, 0.4]], dtype=torch.float64)
ZEROS, ONES = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)


# The likelihood of linear models is known


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("bottleneck", [Gaussian(2), ImportanceWeighted(2)], ids=repr)
def test_the_weights_of_the_exact_posterior_are_the_likelihood(bottleneck: Bottleneck, scale: float) -> None:
    model = linear(bottleneck, exact=True, scale=scale)
    found = model.log_weights(X, 5, generator(1))
    expected = marginal(model, ZEROS, ONES).log_prob(X[0]) - 3 * math.log(scale)  # in raw units
    torch.testing.assert_close(found, expected.expand(5))


def test_the_mean_weight_is_the_likelihood() -> None:
    model = linear(Gaussian(2))
    weights = model.log_weights(X, 100_000, generator(1)).detach().exp()
    expected, error = marginal(model, ZEROS, ONES).log_prob(X[0]).exp(), weights.std() / math.sqrt(len(weights))
    assert error < 0.02 * expected
    assert (weights.mean() - expected).abs() < 4 * error


def test_the_mean_weight_is_the_likelihood_of_a_mixture_too() -> None:
    model = linear(Gaussian(2, prior=Mixture(3)))
    variables = model.code_memory
    with torch.no_grad():
        variables["logits"].copy_(torch.tensor([0.5, -0.5, 0.0]))
        variables["log_scales"].copy_(torch.tensor([[-0.5, 0.1], [0.2, -0.3], [0.0, 0.4]]))
    shares = variables["logits"].detach().softmax(0)
    parts = [
        marginal(model, mean, (2 * log_scale).exp()).log_prob(X[0]).exp()
        for mean, log_scale in zip(variables["means"].detach(), variables["log_scales"].detach(), strict=True)
    ]
    weights = model.log_weights(X, 100_000, generator(1)).detach().exp()
    error = weights.std() / math.sqrt(len(weights))
    assert (weights.mean() - (shares * torch.stack(parts)).sum()).abs() < 4 * error


# Importance-weighted autoencoders


def bounds(draws: int, rows: int = 4000) -> torch.Tensor:
    from isthmus.trainable import Batch

    x = X.expand(rows, 3)
    return -linear(ImportanceWeighted(2, draws))(Batch(x, x), generator(draws)).total.detach()


def test_the_bound_grows_with_the_draws_towards_the_likelihood() -> None:
    likelihood = marginal(linear(Gaussian(2)), ZEROS, ONES).log_prob(X[0])
    found = [bounds(draws).mean() for draws in (1, 2, 8, 64)]
    error = bounds(1).std() / math.sqrt(4000)
    assert found == sorted(found)
    assert found[1] - found[0] > 4 * error
    assert found[-1] < likelihood + 0.01
    assert likelihood - found[-1] < 0.1 * (likelihood - found[0])


def losses_by_hand(
    bottleneck: ImportanceWeighted, h: torch.Tensor, V: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """-log mean exp of log p(x | z) + log p(z) - log q(z | x), for the noise of each draw, (draws, b, size)."""
    mean, log_variance = h.chunk(2, dim=-1)
    z = mean + (0.5 * log_variance).exp() * noise
    log_q = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(z).sum(-1)
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_x = torch.distributions.Normal(z @ V, NOISE).log_prob(X).sum(-1)
    return -(torch.logsumexp(log_x + log_p - log_q, dim=0) - math.log(bottleneck.draws))


def losses(bottleneck: ImportanceWeighted, h: torch.Tensor, V: torch.Tensor, state: int = 1) -> torch.Tensor:
    """The losses of a linear decoder, from the bottleneck alone."""
    code = bottleneck(h, Variables(), generator(state))
    nll = -torch.distributions.Normal(code.z @ V, NOISE).log_prob(X).sum(-1)
    return sum(bottleneck.combine(nll.reshape(-1, len(h)), code.penalty.reshape(-1, len(h)), code.z))  # type: ignore[return-value]


def tensors(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The encoder's output of one example, for many rows, and the weights of a decoder."""
    h = torch.tensor([0.5, -0.5, -0.7, -0.2], dtype=torch.float64).repeat(rows, 1).requires_grad_()
    return h, torch.randn(2, 3, generator=generator(9), dtype=torch.float64, requires_grad=True)


def test_the_gradient_is_that_of_the_bound() -> None:
    bottleneck, (h, V) = ImportanceWeighted(2, 6), tensors(5)
    noise = torch.empty(30, 2, dtype=torch.float64).normal_(generator=generator(1)).reshape(6, 5, 2)
    ours, reference = losses(bottleneck, h, V), losses_by_hand(bottleneck, h, V, noise)
    torch.testing.assert_close(ours, reference)
    for one, other in zip(
        torch.autograd.grad(ours.sum(), (h, V)), torch.autograd.grad(reference.sum(), (h, V)), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_the_doubly_reparameterized_gradient_is_unbiased_and_less_variable() -> None:
    rows = 40_000
    by_gradient = []
    for number, gradient in enumerate(("total", "dreg")):
        h, V = tensors(rows)
        loss = losses(ImportanceWeighted(2, 5, gradient=gradient), h, V, state=number)  # type: ignore[arg-type]
        by_gradient.append(torch.autograd.grad(loss.sum(), h)[0])
    total, dreg = by_gradient
    error = ((total.var(0) + dreg.var(0)) / rows).sqrt()
    assert ((total.mean(0) - dreg.mean(0)).abs() < 4 * error).all()
    assert (total.mean(0).abs() > 10 * error).any()
    assert (dreg.var(0) < 0.8 * total.var(0)).all()


def test_both_gradients_have_the_same_loss_and_the_same_gradient_of_the_decoder() -> None:
    found = []
    for gradient in ("total", "dreg"):
        h, V = tensors(50)
        loss = losses(ImportanceWeighted(2, 5, gradient=gradient), h, V)  # type: ignore[arg-type]
        found.append((loss.detach(), torch.autograd.grad(loss.sum(), V)[0]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=0, atol=0)
    torch.testing.assert_close(found[0][1], found[1][1])


def trained(bottleneck: Bottleneck, **choices: Any) -> Autoencoder:
    choices = {"architecture": MLP((8,)), "epochs": 2, "batch_size": 32, "random_state": 0} | choices
    return Autoencoder(bottleneck, **choices).fit(data.digits().train[:100])


def weights(ae: Autoencoder) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in ae.model_.parameters()])


@pytest.mark.parametrize("prior", [StandardNormal(), Mixture(3)], ids=repr)
def test_one_draw_is_the_variational_autoencoder(prior: Any) -> None:
    one, other = trained(ImportanceWeighted(3, draws=1, prior=prior)), trained(Gaussian(3, prior=prior))
    assert torch.equal(weights(one), weights(other))
    assert [report.loss for report in one.history_] == [report.loss for report in other.history_]
    assert not torch.equal(weights(one), weights(trained(ImportanceWeighted(3, draws=2, prior=prior))))


def test_penalties_refuse_codes_whose_gradients_are_rescaled() -> None:
    from isthmus.penalties import Penalty
    from isthmus.records import record

    @record
    class Nothing(Penalty):
        pass

    affine = Affine(np.zeros(()), np.ones(()))
    with pytest.raises(RecordError, match="changes the gradients of its codes"):
        Model(
            (3,), MLP(()), ImportanceWeighted(2, gradient="dreg"), Normal(1.0), affine, generator(), penalty=Nothing()
        )


# Free bits and schedules


def test_free_bits_are_the_larger_of_the_mean_divergence_and_their_number() -> None:
    h = torch.randn(50, 3, 8, generator=generator(), dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        h[..., 0::4] *= 0.01
    bottleneck, variables = Gaussian(4, beta=0.5, free_bits=1.4), Variables()
    units = bottleneck.divergences(h, variables)
    assert units is not None
    units = units.sum(1).mean(0)  # of each unit, over its positions and the batch
    assert 0 < (units < 1.4).sum() < 4
    penalty = bottleneck(h, variables, generator()).penalty
    torch.testing.assert_close(penalty.mean(), 0.5 * units.clamp(min=1.4).sum())
    gradient, expected = (
        torch.autograd.grad(cost, h)[0] for cost in (penalty.mean(), 0.5 * units.clamp(min=1.4).sum())
    )
    torch.testing.assert_close(gradient, expected)
    plain = Gaussian(4, beta=0.5)(h, variables, generator()).penalty
    assert torch.equal(bottleneck(h, variables.eval(), generator()).penalty, plain)
    assert torch.equal(bottleneck.deterministic(h, variables.train()).penalty, plain)


def test_free_bits_require_a_divergence_of_each_unit() -> None:
    with pytest.raises(RecordError, match=r"^Gaussian: free_bits needs the divergence of each unit, .* Mixture"):
        Gaussian(2, prior=Mixture(), free_bits=0.1)
    with pytest.raises(RecordError, match="free_bits"):
        Gaussian(2, free_bits=0.1).replace(prior=VampPrior())


@pytest.mark.parametrize("schedule", [Warmup(0.5, start=0.1), Cyclic(2), Cosine(0.2)], ids=repr)
def test_a_schedule_is_a_factor_on_the_penalty(schedule: Any) -> None:
    """With one step an epoch the reported penalty is that of the factor at this step."""
    scheduled = trained(Gaussian(3, schedule=schedule), epochs=4, batch_size=100)
    for number, report in enumerate(scheduled.history_):
        assert report.penalty == pytest.approx(schedule(number / 4) * report.stats["kl"], rel=1e-5)
    first = trained(Gaussian(3, beta=schedule(0.0)), epochs=1, batch_size=100)
    assert scheduled.history_[0].loss == pytest.approx(first.history_[0].loss, rel=1e-6)


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.25, 0.4, 0.6, 0.99])
def test_schedules_rise_as_they_say(progress: float) -> None:
    assert Warmup(0.25, start=0.2)(progress) == pytest.approx(min(1, 0.2 + 0.8 * progress / 0.25))
    within = progress * 4 % 1
    assert Cyclic(4, rise=0.5)(progress) == pytest.approx(min(1, within / 0.5))
    assert Warmup(0.0)(progress) == Cyclic(rise=0.0)(progress) == 1


# Learned priors in use


LEARNED = [Gaussian(3, prior=Mixture(4)), Gaussian(3, prior=VampPrior(5)), ImportanceWeighted(3, 3, prior=VampPrior(4))]


def test_training_with_a_learned_prior_takes_the_densities_of_the_drawn_code() -> None:
    prior = Mixture(3)
    h, variables = (
        torch.randn(5, 6, generator=generator(), dtype=torch.float64),
        prior.variables(3, generator(1)).double(),
    )
    code = Gaussian(3, beta=0.5, prior=prior)(h, variables, generator(2))
    mean, log_variance = h.chunk(2, dim=-1)
    log_q = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(code.z).sum(1)
    torch.testing.assert_close(code.penalty, 0.5 * (log_q - prior.log_density(code.z, variables)))


@pytest.mark.parametrize("bottleneck", LEARNED, ids=repr)
def test_the_posterior_is_nearer_to_a_learned_prior_than_to_the_standard_one(bottleneck: Bottleneck) -> None:
    model = trained(bottleneck, epochs=30).model_.eval()
    with torch.no_grad():
        h = model.hidden(model.normalize(torch.from_numpy(data.digits().train[:100])))
        learned, standard = (
            model.deterministic(h).penalty.mean(),
            Gaussian(3).deterministic(h, Variables()).penalty.mean(),
        )
    assert learned < standard - 0.1


def test_divergences_of_units_are_none_without_a_closed_form() -> None:
    h = torch.randn(4, 6, generator=generator())
    assert Gaussian(3, prior=Mixture(2)).divergences(h, Mixture(2).variables(3, generator())) is None
    assert ImportanceWeighted(3).divergences(h, Variables()) is not None
    with pytest.raises(NotPossibleError, match="no posterior density"):
        Bottleneck(3).weighted(h, Variables(), generator())


def test_the_validation_loss_has_the_full_divergence_in_a_warm_up_and_no_penalty_of_training() -> None:
    """Early stopping then compares like with like; with a tiny learning rate nothing but the factors changes."""
    X = np.random.default_rng(0).normal(size=(64, 5))
    common: dict[str, Any] = {"likelihood": Normal(), "epochs": 4, "optimizer": Adam(1e-12), "random_state": 0}

    def history(bottleneck: Any, **choices: Any) -> Any:
        ae = Autoencoder(bottleneck, architecture=MLP((8,)), batch_size=32, **common | choices)
        return ae.fit(X, validation_data=X[:20]).history_

    plain, warm = history(Gaussian(2)), history(Gaussian(2, schedule=Warmup(1.0)))
    extra = history(Gaussian(2), penalty=MMD(10))
    for one, with_warmup, with_penalty in zip(plain, warm, extra, strict=True):
        assert one.val_loss == pytest.approx(with_warmup.val_loss, rel=1e-6)
        assert one.val_loss == pytest.approx(with_penalty.val_loss, rel=1e-6)
        assert abs(with_penalty.penalty - one.penalty) > 0.1
    factors = [each.penalty / full.penalty for each, full in zip(warm, plain, strict=True)]
    assert factors == pytest.approx([0.5 / 8, 2.5 / 8, 4.5 / 8, 6.5 / 8], abs=0.06)
