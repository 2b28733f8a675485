"""What must hold for every likelihood: it is a distribution, its costs add up, its mean is that of its draws, its gradients are finite."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import torch
from suitable import EVERY_LIKELIHOOD, outputs_for, values_for, variables_for
from torch import Tensor

from isthmus.errors import NotPossibleError, RecordError
from isthmus.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Laplace,
    Likelihood,
    Mixed,
    Multinomial,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    ZeroInflated,
)

every = pytest.mark.parametrize("likelihood", EVERY_LIKELIHOOD, ids=repr)


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def points(likelihood: Likelihood) -> tuple[Tensor, Tensor]:
    """Examples of one value that cover the support (of three values, for a multinomial one), and the weight of each in a sum."""
    support = likelihood.support
    if isinstance(likelihood, Multinomial):
        each = [counts for counts in itertools.product(range(8), repeat=3) if sum(counts) == 7]
        return torch.tensor(each, dtype=torch.float64), torch.ones(len(each), dtype=torch.float64)
    if support.step or isinstance(likelihood, Bernoulli):
        step = support.step or 1.0
        last = round((support.high - support.low) / step) if math.isfinite(support.high) else 20_000
        x = support.low + step * torch.arange(last + 1, dtype=torch.float64)
        return x[:, None], torch.ones_like(x)
    if math.isfinite(support.high):
        nodes, weights = np.polynomial.legendre.leggauss(100)
        return torch.tensor(0.5 + 0.5 * nodes)[:, None], torch.tensor(0.5 * weights)
    t = torch.linspace(-40, 40, 80_001, dtype=torch.float64)  # x = sinh(t): far into heavy tails
    return torch.sinh(t)[:, None], torch.cosh(t) * (t[1] - t[0])


def expanded(likelihood: Likelihood, state: int = 0) -> tuple[Tensor, Tensor, Tensor, Any]:
    """One random output for all points of the support, the points, their weights, and variables."""
    x, weights = points(likelihood)
    y = outputs_for(likelihood, (1, x.shape[1]), state)
    return y.expand(len(x), *y.shape[1:]), x, weights, variables_for(likelihood, tuple(x.shape))


@every
@pytest.mark.parametrize("state", [0, pytest.param(1, marks=pytest.mark.thorough)])
def test_a_likelihood_adds_up_to_one(likelihood: Likelihood, state: int) -> None:
    y, x, weights, variables = expanded(likelihood, state)
    total = (torch.exp(-likelihood.nll(y, x, variables)) * weights).sum()
    kink = isinstance(likelihood, Laplace)  # where the trapezoid rule loses digits
    assert total.item() == pytest.approx(1, abs=2e-6 if kink else 1e-9)


@every
def test_costs_add_up_to_the_negative_log_likelihood(likelihood: Likelihood) -> None:
    shape = (7, 3, 4)
    x, y = torch.from_numpy(values_for(likelihood, shape)).double(), outputs_for(likelihood, shape)
    variables = variables_for(likelihood, shape)
    costs = likelihood.costs(y, x, variables)
    assert costs.shape == shape
    torch.testing.assert_close(costs.flatten(1).sum(1), likelihood.nll(y, x, variables), rtol=1e-12, atol=1e-12)


def predicted_scale(y: Tensor) -> Tensor:
    return torch.exp(y[..., 1]) + 1e-3


def rounded_logistic(y: Tensor, x: Tensor, mixtures: int, levels: int) -> Any:
    """The mass of each level by differences of the distribution function, computed by SciPy."""
    logits, location, raw = (part.numpy() for part in y.unflatten(-1, (3, mixtures)).unbind(-2))
    scale, x = np.exp(raw) + np.exp(-7), 2 * x.numpy()[..., None] - 1
    half = 1 / (levels - 1)
    upper = np.where(x > 1 - half, np.inf, x + half)
    lower = np.where(x < half - 1, -np.inf, x - half)
    cdf = scipy.stats.logistic(location, scale).cdf
    return np.log((scipy.special.softmax(logits, -1) * (cdf(upper) - cdf(lower))).sum(-1))


def zero_inflated(y: Tensor, x: Tensor, log_mass: Any) -> Any:
    zero = torch.sigmoid(y[..., 0]).numpy()
    return np.log(np.where(x == 0, zero, 0) + (1 - zero) * np.exp(log_mass))


def negative_binomial(log_mean: Tensor, x: Tensor, dispersion: Any) -> Any:
    return scipy.stats.nbinom(1 / dispersion, 1 / (1 + dispersion * log_mean.exp())).logpmf(x)


REFERENCES: list[tuple[Likelihood, Any]] = [
    (Bernoulli(), lambda y, x: torch.distributions.Bernoulli(logits=y).log_prob(x)),
    (Normal(0.3), lambda y, x: scipy.stats.norm(y, 0.3).logpdf(x)),
    (Normal("predicted"), lambda y, x: scipy.stats.norm(y[..., 0], predicted_scale(y)).logpdf(x)),
    (Laplace(0.3), lambda y, x: scipy.stats.laplace(y, 0.3).logpdf(x)),
    (Laplace("predicted"), lambda y, x: scipy.stats.laplace(y[..., 0], predicted_scale(y)).logpdf(x)),
    (StudentT(3.0, 0.3), lambda y, x: scipy.stats.t(3.0, y, 0.3).logpdf(x)),
    (StudentT(5.0, "predicted"), lambda y, x: scipy.stats.t(5.0, y[..., 0], predicted_scale(y)).logpdf(x)),
    (ContinuousBernoulli(), lambda y, x: torch.distributions.ContinuousBernoulli(logits=y).log_prob(x)),
    (Categorical(5), lambda y, x: torch.distributions.Categorical(logits=y).log_prob(x)),
    (DiscretizedLogistic(3, 16), lambda y, x: rounded_logistic(y, x, 3, 16)),
    (Poisson(), lambda y, x: scipy.stats.poisson(y.exp()).logpmf(x)),
    (NegativeBinomial(0.7), lambda y, x: negative_binomial(y, x, 0.7)),
    (NegativeBinomial(), lambda y, x: negative_binomial(y, x, 1 + 1e-6)),
    (NegativeBinomial("predicted"), lambda y, x: negative_binomial(y[..., 0], x, y[..., 1].exp() + 1e-6)),
    (ZeroInflated(), lambda y, x: zero_inflated(y, x, scipy.stats.poisson(y[..., 1].exp()).logpmf(x))),
    (ZeroInflated(NegativeBinomial(0.7)), lambda y, x: zero_inflated(y, x, negative_binomial(y[..., 1], x, 0.7))),
    (
        ZeroInflated(NegativeBinomial("predicted")),
        lambda y, x: zero_inflated(y, x, negative_binomial(y[..., 1], x, y[..., 2].exp() + 1e-6)),
    ),
]


@pytest.mark.parametrize(("likelihood", "reference"), REFERENCES, ids=[repr(case[0]) for case in REFERENCES])
def test_costs_equal_those_of_other_libraries(likelihood: Likelihood, reference: Any) -> None:
    shape = (50, 4)
    x, y = torch.from_numpy(values_for(likelihood, shape)).double(), outputs_for(likelihood, shape)
    x = x.round() if isinstance(likelihood, Bernoulli) else x
    found = -likelihood.costs(y, x, variables_for(likelihood, shape))
    expected = torch.as_tensor(np.asarray(reference(y, x)))
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def test_a_multinomial_likelihood_equals_that_of_scipy_given_the_total() -> None:
    x, y = torch.from_numpy(values_for(Multinomial(), (50, 4))).double(), outputs_for(Multinomial(), (50, 4))
    x[0] = 0
    expected = [scipy.stats.multinomial(int(n.sum()), p).logpmf(n) for n, p in zip(x.numpy(), y.softmax(1).numpy())]  # noqa: B905
    np.testing.assert_allclose(-Multinomial().nll(y, x), expected, rtol=1e-9, atol=1e-9)
    assert (Multinomial().costs(y, x)[x == 0] == 0).all()


DRAWABLE = [likelihood for likelihood in EVERY_LIKELIHOOD if not isinstance(likelihood, Multinomial)]


@pytest.mark.parametrize("likelihood", DRAWABLE, ids=repr)
def test_draws_follow_the_distribution(likelihood: Likelihood) -> None:
    """The mean of many draws is `mean` (for classes the shares are the probabilities), and they have the values of the support."""
    n, shape = 40_000, (1, 3)
    y, variables = outputs_for(likelihood, shape).expand(n, *likelihood.outputs((3,))), variables_for(likelihood, shape)
    drawn = likelihood.draw(y, variables, generator())
    assert drawn.shape == (n, 3)
    assert drawn.dtype == torch.float64
    assert torch.equal(drawn, likelihood.draw(y, variables, generator()))
    low, high, *_ = support = likelihood.support
    assert ((drawn >= low) & (drawn <= high)).all()
    if support.step:
        steps = (drawn - low) / support.step
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-6)
    if likelihood.nominal:
        classes = torch.arange(int(high) + 1, dtype=torch.float64).expand(3, -1).T
        shares = torch.stack([(drawn == k).double().mean(0) for k in range(int(high) + 1)])
        p = torch.exp(-likelihood.costs(y[: len(classes)], classes, variables))
        assert ((shares - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all()
        assert torch.equal(likelihood.mean(y[:1])[0], p.argmax(0).double())
    else:
        few_levels = isinstance(likelihood, DiscretizedLogistic) and likelihood.levels < 256
        tolerance = 5 * drawn.std(0) / math.sqrt(n) + (0.05 * support.step if few_levels else 0)
        assert ((drawn.mean(0) - likelihood.mean(y[:1])[0]).abs() < tolerance).all()


def test_draws_have_the_spread_of_the_distribution() -> None:
    y, n = torch.tensor([[0.4, -0.3]], dtype=torch.float64).expand(200_000, 2), 200_000
    scale = math.exp(-0.3) + 1e-3
    for likelihood, variance in (
        (Normal("predicted"), scale**2),
        (Laplace("predicted"), 2 * scale**2),
        (StudentT(12.0, "predicted"), scale**2 * 12 / 10),
        (NegativeBinomial("predicted"), math.exp(0.4) + (math.exp(-0.3) + 1e-6) * math.exp(0.8)),
    ):
        drawn = likelihood.draw(y[:, None], variables_for(likelihood, (n, 1)), generator())
        assert drawn.var().item() == pytest.approx(variance, rel=0.03)


def test_a_multinomial_likelihood_reconstructs_totals_and_draws_none() -> None:
    x, y = torch.from_numpy(values_for(Multinomial(), (6, 2, 3))).double(), outputs_for(Multinomial(), (6, 2, 3))
    made, shares = Multinomial().reconstruction(y, x), Multinomial().mean(y)
    torch.testing.assert_close(made.flatten(1).sum(1), x.flatten(1).sum(1))
    torch.testing.assert_close(shares.flatten(1).sum(1), torch.ones(6, dtype=torch.float64))
    counted = torch.ones(6, 2, 3, dtype=torch.bool)
    counted[:, 0, 0] = False
    made = Multinomial().reconstruction(y, torch.where(counted, x, 1e6), counted)
    torch.testing.assert_close(made[counted].reshape(6, -1).sum(1), x[counted].reshape(6, -1).sum(1))
    with pytest.raises(NotPossibleError, match=r"^Multinomial cannot draw examples, whose totals it takes as given"):
        Multinomial().draw(y, Multinomial().variables((2, 3)), generator())


@every
def test_gradients_are_finite_for_extreme_outputs(likelihood: Likelihood) -> None:
    shape = (64, 3, 4)
    x = torch.from_numpy(values_for(likelihood, shape)).float()
    signs = torch.rand(64, *likelihood.outputs((3, 4)), generator=generator())
    for size in (0.0, 1e-4, 50.0):
        y = torch.where(signs < 1 / 3, -size, torch.where(signs < 2 / 3, 0.0, size)).requires_grad_()
        variables = likelihood.variables((3, 4)).eval()
        nll = likelihood.nll(y, x, variables)
        gradients = torch.autograd.grad(nll.sum(), [y, *variables.parameters()])
        assert nll.dtype == torch.float32
        assert nll.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert likelihood.mean(y).isfinite().all()


@every
def test_gradients_equal_finite_differences(likelihood: Likelihood) -> None:
    shape = (3, 4)
    x, y = torch.from_numpy(values_for(likelihood, shape)).double(), outputs_for(likelihood, shape).requires_grad_()
    variables = variables_for(likelihood, shape)
    assert torch.autograd.gradcheck(lambda y: likelihood.nll(y, x, variables), y, atol=1e-5)


@every
def test_the_best_output_reconstructs_the_example(likelihood: Likelihood) -> None:
    """Gradient descent on the decoder's output alone ends at a reconstruction that is the example."""
    shape = (5, 6)
    x = torch.from_numpy(values_for(likelihood, shape)).double()
    x = x.round() if isinstance(likelihood, Bernoulli) else 0.1 + 0.8 * x if likelihood.support.unit_interval else x
    if isinstance(likelihood, DiscretizedLogistic):
        x = (x * (likelihood.levels - 1)).round() / (likelihood.levels - 1)
    y, variables = outputs_for(likelihood, shape).requires_grad_(), variables_for(likelihood, shape)
    optimizer, bound = torch.optim.Adam([y], 0.1), 0.1 * max(1.0, float(x.max()))

    def error() -> float:
        return float((likelihood.reconstruction(y.detach(), x) - x).abs().max())

    for step in range(300):
        if step % 30 == 0 and error() < bound / 4:
            break
        optimizer.zero_grad()
        loss = likelihood.nll(y, x, variables).sum()
        loss.backward()
        optimizer.step()
    assert error() < bound


@pytest.mark.parametrize("logit", [0.0, 1e-9, 1e-5, -1e-3, 0.01, 0.499999, 0.500001, -0.6, 3.0, -20.0, 60.0])
def test_the_continuous_bernoulli_is_exact_around_one_half(logit: float) -> None:
    """Its constant, its gradient and its mean against sums over the unit interval."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    x, w = 0.5 + 0.5 * nodes, 0.5 * weights
    mass = np.exp(x * logit - max(logit, 0)) * w
    mean, log_constant = (mass * x).sum() / mass.sum(), -np.log(mass.sum()) - max(logit, 0)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        y = torch.tensor([[logit]], dtype=dtype, requires_grad=True)
        cost = ContinuousBernoulli().costs(y, torch.full_like(y, 0.3))
        (slope,) = torch.autograd.grad(cost.sum(), y)
        assert cost.item() == pytest.approx(-0.3 * logit - log_constant, rel=tolerance, abs=tolerance)
        assert slope.item() == pytest.approx(mean - 0.3, rel=tolerance, abs=tolerance)
        assert ContinuousBernoulli().mean(y).item() == pytest.approx(mean, rel=tolerance)
        (curvature,) = torch.autograd.grad(ContinuousBernoulli().mean(y).sum(), y)
        variance = (mass * (x - mean) ** 2).sum() / mass.sum()
        assert curvature.item() == pytest.approx(variance, abs=100 * tolerance)


def test_a_predicted_scale_does_not_collapse() -> None:
    y, x = torch.tensor([[[0.0, -1e4]]]), torch.zeros(1, 1)
    for likelihood in (Normal("predicted"), Laplace("predicted"), StudentT(4.0, "predicted")):
        assert likelihood.log_scale(y, likelihood.variables((1,))).exp().item() == pytest.approx(1e-3)
        assert likelihood.nll(y, x).item() > math.log(1e-3)


def test_a_predicted_scale_learns_noise_that_depends_on_the_example() -> None:
    draw = generator()
    x = torch.randn(4000, 2, generator=draw) * torch.tensor([0.1, 3.0])
    for likelihood, expected in (
        (Normal("predicted"), lambda e: e.square().mean(0).sqrt()),
        (Laplace("predicted"), lambda e: e.abs().mean(0)),
    ):
        y = torch.zeros(1, 2, 2, requires_grad=True)
        optimizer = torch.optim.Adam([y], 0.1)
        for _ in range(150):
            optimizer.zero_grad()
            likelihood.nll(y.expand(len(x), 2, 2), x).mean().backward()
            optimizer.step()
        scale = likelihood.log_scale(y, likelihood.variables((2,))).exp()[0]
        torch.testing.assert_close(scale.detach(), expected(x), rtol=0.02, atol=0)


def test_learned_scales_are_the_maximum_likelihood_ones() -> None:
    errors = torch.from_numpy(np.random.default_rng(0).standard_t(3.0, (500, 4)) * 0.2)
    laplace, student, zeros = Laplace(), StudentT(3.0), torch.zeros(500, 4, dtype=torch.float64)
    variables = laplace.variables((4,)).double()
    laplace.nll(zeros, errors, variables)
    assert variables["log_scale"].exp().item() == pytest.approx(errors.abs().mean().item(), rel=1e-6)
    variables = student.variables((4,)).double()
    for _ in range(500):
        student.nll(zeros, errors, variables)
    best = scipy.optimize.minimize_scalar(
        lambda scale: -scipy.stats.t(3.0, 0, scale).logpdf(errors).sum(), bounds=(0.01, 1), options={"xatol": 1e-7}
    )
    assert variables["log_scale"].exp().item() == pytest.approx(best.x, rel=1e-4)
    variables.eval()
    before = variables["log_scale"].clone()
    student.nll(zeros, 9 * errors, variables)
    assert torch.equal(variables["log_scale"], before), "it changes in training only"


def test_a_learned_dispersion_finds_that_of_the_counts() -> None:
    likelihood, n = NegativeBinomial(), 4000
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.poisson(rng.gamma([4.0, 0.5], [1.0, 8.0], (n, 2)))).float()
    y, variables = torch.full((1, 2), math.log(4.0)), likelihood.variables((2,))
    optimizer = torch.optim.Adam(variables.parameters(), 0.1)
    for _ in range(100):
        optimizer.zero_grad()
        likelihood.nll(y.expand(n, 2), x, variables).mean().backward()
        optimizer.step()
    torch.testing.assert_close(variables["log_dispersion"].exp().detach(), torch.tensor([0.25, 2.0]), rtol=0.15, atol=0)


@pytest.mark.parametrize("dispersion", [1e-5, 1e-3, 0.05, 0.0999, 0.1001, 0.5, 20.0, 1e4])
def test_a_negative_binomial_likelihood_keeps_its_digits_in_single_precision(dispersion: float) -> None:
    x, y = torch.tensor([[0.0, 1.0, 17.0, 400.0]]), torch.tensor([[-1.0, 0.5, 3.0, 6.0]])
    single = NegativeBinomial(dispersion).costs(y, x)
    double = NegativeBinomial(dispersion).costs(y.double(), x.double())
    torch.testing.assert_close(single.double(), double, rtol=2e-5, atol=5e-4)
    expected = scipy.stats.nbinom(1 / dispersion, 1 / (1 + dispersion * y.double().exp())).logpmf(x)
    np.testing.assert_allclose(-double, expected, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("r", [9.9, 10.0, 10.5, 14.0, 40.0, 1e4])
def test_a_negative_binomial_likelihood_has_all_digits_in_double_precision(r: float) -> None:
    """gamma(x + r) / gamma(r) is the product of r, r + 1, ..., r + x - 1. Around r = 10 another formula begins."""
    mean, counts = 3.0, torch.arange(12.0, dtype=torch.float64)
    rising = [math.fsum(math.log(r + i) for i in range(int(x))) for x in counts]
    expected = [
        math.lgamma(x + 1) - up - r * math.log(r / (r + mean)) - x * math.log(mean / (r + mean))
        for x, up in zip(counts.tolist(), rising, strict=True)
    ]
    found = NegativeBinomial(1 / r).costs(torch.full_like(counts, math.log(mean))[None], counts[None])[0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-13 * max(1, r / 100))


def test_probabilities_of_counts_are_comparable_and_no_densities() -> None:
    """Their losses do not depend on the unit of other columns; those given the total are another measure."""
    of_counts = (Poisson(), NegativeBinomial(), ZeroInflated(), ZeroInflated(NegativeBinomial("predicted")))
    assert len({each.measure for each in of_counts}) == 1
    assert Multinomial().measure != Poisson().measure != Normal().measure
    mixed = Mixed((0, 0, 2, 0), numbers=(Normal(), Poisson(), NegativeBinomial()))
    np.testing.assert_array_equal(mixed.densities((5,)), [True, False, False, False, False])
    assert not any(each.densities((3,)) for each in (*of_counts, Multinomial()))


def test_a_rate_is_the_exponential_function_until_it_would_overflow() -> None:
    y = torch.tensor([[-3.0, 0.0, 19.9, 20.0, 20.1, 50.0, 1e4]], dtype=torch.float64)
    rate = Poisson().mean(y)
    torch.testing.assert_close(rate[:, :4], y[:, :4].exp())
    assert (rate.diff() > 0).all()
    costs = Poisson().costs(y, torch.full_like(y, 3.0))
    torch.testing.assert_close(-costs, torch.distributions.Poisson(rate).log_prob(torch.full_like(y, 3.0)))


def test_the_levels_of_a_discretized_mixture_have_the_mean_of_the_reconstruction() -> None:
    """Within half a level for the narrowest components, and a hundredth of one for wide ones."""
    likelihood = DiscretizedLogistic(2, 32)
    x = torch.arange(32, dtype=torch.float64)[:, None] / 31
    for log_scale, tolerance in ((-20.0, 0.5 / 31), (-2.0, 0.01 / 31), (0.0, 0.01 / 31), (8.0, 1e-9), (45.0, 1e-9)):
        for seed in range(20):
            y = torch.randn(1, 1, 6, generator=generator(seed), dtype=torch.float64) * 0.5
            y[..., 4:] = log_scale
            exact = (torch.exp(-likelihood.costs(y.expand(32, 1, 6), x)) * x).sum()
            assert (likelihood.mean(y)[0, 0] - exact).abs() <= tolerance
            assert (likelihood.mean(y.float())[0, 0] - exact).abs() <= tolerance + 1e-5


@pytest.mark.parametrize("classes", [0, 1, -3, 2.5])
def test_a_categorical_likelihood_has_at_least_two_classes(classes: Any) -> None:
    with pytest.raises(RecordError, match=r"^Categorical: invalid classes="):
        Categorical(classes)


def test_the_encoder_sees_classes_as_zeros_and_ones_and_counts_as_logarithms() -> None:
    likelihood = Categorical(3)
    assert likelihood.encoder_shape((4,)) == (4, 3)
    assert likelihood.encoder_shape((8, 8)) == (8, 8, 3)
    assert likelihood.encoder_shape((8, 8, 3)) == (8, 8, 9), "more channels, not a volume"
    x = torch.from_numpy(values_for(likelihood, (5, 8, 8, 3))).double()
    seen = likelihood.encoder_input(x)
    assert seen.shape == (5, 8, 8, 9)
    assert torch.equal(seen.unflatten(-1, (3, 3)).argmax(-1).double(), x)
    assert (seen.unflatten(-1, (3, 3)).sum(-1) == 1).all()
    counts = torch.tensor([[0.0, 1.0, 99.0, -2.0]])
    torch.testing.assert_close(Poisson().encoder_input(counts), torch.tensor([[1.0, 2.0, 100.0, 1.0]]).log())
