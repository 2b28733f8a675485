"""Penalties: each equals what theory or another computation says, none enters a score, and they add up."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from cases import required as fields_for
from scipy import integrate, spatial, special, stats
from sklearn.linear_model import LogisticRegression
from test_steps import MadeUp
from torch import Tensor, nn

from isthmus import Autoencoder, bottlenecks, data, likelihoods, load, penalties, records
from isthmus.architectures import MLP, Conv
from isthmus.architectures.base import Architecture
from isthmus.bottlenecks import Bottleneck, Code, Gaussian, Identity, Posterior, TopK
from isthmus.corruptions import Clean
from isthmus.errors import NotPossibleError, RecordError
from isthmus.estimators.named_records import record_types
from isthmus.experiments.run_folder import history_csv
from isthmus.likelihoods import Bernoulli, Likelihood, Normal
from isthmus.model import Model
from isthmus.nn import layers
from isthmus.nn.variables import Variables
from isthmus.optimizers import Adam
from isthmus.penalties import (
    DIP,
    MMD,
    ActivationKL,
    Adversarial,
    Contractive,
    NoPenalty,
    Pass,
    Penalty,
    Shapes,
    SmoothDecoder,
    Sum,
    Supervised,
    TotalCorrelation,
    TotalCorrelationCritic,
)
from isthmus.penalties.disentanglement import log_shares
from isthmus.penalties.nets import apply_net, net_variables
from isthmus.record_overrides import override
from isthmus.scaling import Affine
from isthmus.schedules import OneCycle
from isthmus.trainable import Batch
from isthmus.training import cuda_graph
from isthmus.training.batches import ContextSource, InMemorySource
from isthmus.training.config import TrainingConfig
from isthmus.training.loop import train
from isthmus.training.state import Report

FAMILIES = [name for name in penalties.__all__ if name not in {"NoPenalty", "Sum"}]
every = pytest.mark.parametrize("name", FAMILIES)
NOTHING, GAUSSIAN, SMALL, BERNOULLI = NoPenalty(), Gaussian(3), MLP((8,), "tanh"), Bernoulli()


@records.record
class Twice(Gaussian):
    """Two draws of each example."""

    @property
    def draws(self) -> int:
        return 2

    def __call__(self, h: Tensor, variables: Variables, generator: torch.Generator) -> Code:
        return super().__call__(h.repeat(2, *[1] * (h.ndim - 1)), variables, generator)


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def normal(*shape: int, state: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(state), dtype=torch.float64)


def made(name: str) -> Penalty:
    penalty: Penalty = getattr(penalties, name)(0.7)
    return penalty


def model(
    penalty: Penalty = NOTHING,
    bottleneck: Bottleneck = GAUSSIAN,
    architecture: Architecture = SMALL,
    likelihood: Likelihood = BERNOULLI,
    dtype: torch.dtype = torch.float64,
    **choices: Any,
) -> Model:
    """A model of digits. Batches have three classes as context."""
    units = Affine(np.zeros(1, np.float32), np.ones(1, np.float32))
    choices = {"dtype": dtype, "penalty": penalty, "context": 3} | choices
    return Model((8, 8), architecture, bottleneck, likelihood, units, generator(), **choices)


def batch(b: int = 12, dtype: torch.dtype = torch.float64) -> Batch:
    x = torch.rand(b, 8, 8, generator=generator(1), dtype=dtype)
    return Batch(x, x, context=torch.eye(3, dtype=dtype)[torch.arange(b) % 3])


def seen(z: Tensor, posterior: Posterior | None = None, context: Tensor | None = None, b: int | None = None) -> Pass:
    """A forward pass of which only the code is known."""
    x = z.new_zeros(b or len(z), 1)

    def unknown(*_: Any) -> Any:
        raise AssertionError

    h = z[: len(x)]
    return Pass(x, x, context, h, Code(z, z.new_zeros(len(z))), z, posterior, *[unknown] * 5)


def fitted(
    penalty: Penalty, X: np.ndarray, epochs: float, bottleneck: Bottleneck, lr: float = 5e-3, **choices: Any
) -> tuple[Model, Report]:
    """A model that was trained as adversarial nets are, and the last report."""
    net = model(penalty, bottleneck, MLP((32,)), dtype=torch.float32, **choices)
    plan = TrainingConfig(Clean(), Adam(lr, betas=(0.5, 0.9)), epochs, 128, 0)
    reports = list(train(net, InMemorySource(X, torch.device("cpu")), plan))
    return net.eval(), reports[-1]


@torch.inference_mode()
def encoded(net: Model, X: np.ndarray) -> np.ndarray:
    return net.encode(torch.from_numpy(X)).numpy()


def gradients(net: Model, losses: Tensor) -> dict[str, Tensor]:
    net.zero_grad()
    losses.sum().backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


# Sums


def test_penalties_add_up_and_no_penalty_adds_nothing() -> None:
    a, b, c = MMD(1), Contractive(2), MMD(3)
    assert a + b + c == a + (b + c) == Sum((a, b, c)) == Sum((Sum((a, NoPenalty())), b + c))
    assert NoPenalty() + a is a
    assert a + NoPenalty() is a
    assert NoPenalty() + NoPenalty() == NoPenalty()
    with pytest.raises(TypeError):
        a + 1  # type: ignore[operator]
    assert not (a + b).needs_context
    assert (a + Supervised(1)).needs_context


def test_a_sum_survives_json_repr_and_other_values_by_position() -> None:
    total = MMD(10, scales=(0.5, 1)) + Contractive(0.1, schedule=OneCycle(0.3))
    assert records.read(json.loads(json.dumps(records.describe(total))), record_types()) == total
    for each in (total, Sum(()), Sum((MMD(1),)), NoPenalty()):
        assert eval(repr(each), record_types()) == each
    changed = override(total, {"penalties__1__weight": 3, "penalties__1__schedule__warmup": 0.4})
    assert changed == MMD(10, scales=(0.5, 1)) + Contractive(3, schedule=OneCycle(0.4))
    assert total.get_params()["penalties__0__weight"] == 10
    with pytest.raises(RecordError, match="has 2 records, counted from 0, and no '2'"):
        override(total, {"penalties__2__weight": 3})


def test_a_sum_costs_the_sum_and_reports_each() -> None:
    x = batch()
    none, first, second = (model(penalty)(x, generator()) for penalty in (NoPenalty(), Contractive(2), ActivationKL(3)))
    total = model(Contractive(2) + ActivationKL(3) + Contractive(2))(x, generator())
    torch.testing.assert_close(total.penalty - none.penalty, 2 * first.penalty + second.penalty - 3 * none.penalty)
    assert torch.equal(total.nll, none.nll)
    names = set(total.stats) - set(none.stats)
    assert len(names) == 3
    assert sum(name.startswith("Contractive") for name in names) == 2
    assert total.stats["ActivationKL"] == second.stats["ActivationKL"]


# Every penalty


@every
def test_a_penalty_is_in_no_score(name: str) -> None:
    x = batch()
    plain, net = model().eval(), model(made(name)).eval()
    net.load_state_dict(plain.state_dict(), strict=False)
    for with_penalty, without in ((net.score(x), plain.score(x)), (net(x, generator()), plain(x, generator()))):
        assert torch.equal(with_penalty.total, without.total)
        assert with_penalty.stats.keys() == without.stats.keys()
    assert not torch.equal(net.train()(x, generator()).penalty, plain.train()(x, generator()).penalty)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("b", [1, 12])
def test_losses_and_gradients_are_finite(name: str, dtype: torch.dtype, b: int) -> None:
    x = batch(b, dtype)
    for bottleneck in (Gaussian(3), Twice(3)):
        for architecture in (MLP((8,)), Conv((4,), code="map")):
            net = model(made(name), bottleneck, architecture, dtype=dtype)
            losses = net(x, generator())
            assert losses.penalty.shape == (b,)
            assert losses.penalty.dtype == dtype
            found = gradients(net, losses.total)
            assert all(p.isfinite().all() for p in [losses.total, *losses.stats.values(), *found.values()])
            assert {key for key in found if "penalty" in key} == {
                key for key, _ in net.named_parameters() if "penalty" in key
            }


@every
def test_missing_values_give_no_missing_losses(name: str) -> None:
    x = batch()
    hidden = torch.where(torch.rand(x.x.shape, generator=generator(2)) < 0.3, math.nan, x.x)
    net = model(made(name), fill=np.full((8, 8), 0.5))
    losses = net(x._replace(x=hidden, target=hidden), generator())
    assert losses.total.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients(net, losses.total).values())


@every
def test_weight_and_schedule_are_factors(name: str) -> None:
    """The plan of a warm-up is a factor on the whole penalty."""
    x, penalty = batch(), made(name)
    plain = model(NoPenalty())(x, generator()).penalty
    costs = [
        model(each)(x._replace(factors=factors), generator()).penalty - plain
        for each, factors in ((penalty, None), (penalty.replace(weight=1.4), None), (penalty, (1.0, 0.5)))
    ]
    torch.testing.assert_close(costs[1], 2 * costs[0])
    torch.testing.assert_close(costs[2], 0.5 * costs[0])
    net = model(penalty.replace(schedule=OneCycle(0.5, start=0.2)))
    assert net.factors(0.0) == pytest.approx((1.0, 0.2))


def required(module: ModuleType, name: str) -> Any:
    """The record of a name, with the fields that it requires."""
    kind = getattr(module, name)
    return kind(**fields_for(kind))


def all_finite_or_refused(net: Model, x: Batch) -> bool:
    """Whether the penalties of a model have finite gradients; False if one refuses it."""
    try:
        losses = net(x, generator())
    except NotPossibleError as error:
        assert "requires" in str(error)  # noqa: PT017  # a sentence that says what to do
        return False
    assert all(gradient.isfinite().all() for gradient in gradients(net, losses.penalty.sum()).values())
    return True


@pytest.mark.parametrize("bottleneck", bottlenecks.__all__)
def test_every_bottleneck_fits_or_is_refused_in_one_sentence(bottleneck: str) -> None:
    record = required(bottlenecks, bottleneck)
    fits = {name for name in FAMILIES if all_finite_or_refused(model(made(name), record), batch())}
    posterior = record.posterior(torch.zeros(1, record.encoder_outputs)) is not None
    assert fits == set(FAMILIES) - (set() if posterior else {"DIP", "TotalCorrelation"})


@pytest.mark.parametrize("likelihood", likelihoods.__all__)
def test_every_likelihood_has_jacobians_or_is_refused_in_one_sentence(likelihood: str) -> None:
    record, x = required(likelihoods, likelihood), batch()
    whole = x.x.round() if record.support.integers else x.x
    for penalty in (Contractive(1), SmoothDecoder(1), SmoothDecoder(1, exact=False)):
        fits = all_finite_or_refused(model(penalty, likelihood=record), x._replace(x=whole, target=whole))
        assert fits or likelihood in {"Categorical", "Mixed"}


OTHERS = {
    "Contractive": [Contractive(0.7, exact=False)],
    "SmoothDecoder": [SmoothDecoder(0.7, exact=False)],
    "MMD": [MMD(0.7, kernel="rbf")],
    "DIP": [DIP(0.7, version="I")],
}


@records.record
class Still(Gaussian):
    """A posterior without a draw."""

    @property
    def stochastic(self) -> bool:
        return False

    def __call__(self, h: Tensor, variables: Variables, generator: torch.Generator) -> Code:
        return self.deterministic(h, variables)


@every
def test_what_draws_nothing_says_so(name: str) -> None:
    for penalty in (made(name), *OTHERS.get(name, ())):
        posterior = name == "TotalCorrelation" or penalty == DIP(0.7)
        net = model(penalty, Still(3) if posterior else Identity(3))
        first, other = (net(batch(), generator(state)).penalty for state in (0, 1))
        assert torch.equal(first, other) == (not penalty.stochastic) == (not net.stochastic)


@every
def test_a_replayed_step_equals_the_step(name: str, digits: data.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    X, made_up = digits.train[:200], list[MadeUp]()  # the last batch of an epoch is smaller

    def trained() -> tuple[Tensor, Report]:
        source = ContextSource(InMemorySource(X, torch.device("cpu")), torch.eye(3)[torch.arange(200) % 3])
        net = model(made(name).replace(schedule=OneCycle()), dtype=torch.float32)
        plan = TrainingConfig(Clean(), Adam(3e-3, betas=(0.5, 0.9)), 2, 16, 0)
        (*_, report) = train(net, source, plan)
        return torch.cat([p.detach().flatten() for p in net.parameters()]), report

    def capture(*given: Any) -> MadeUp:
        made_up.append(MadeUp(*given))
        return made_up[-1]

    with monkeypatch.context() as patch:
        patch.setattr(cuda_graph, "can_capture", lambda _: True)
        patch.setattr(cuda_graph, "CapturedStep", capture)
        replayed = trained()
    assert len(made_up) == 1
    anew = trained()
    torch.testing.assert_close(replayed[0], anew[0], rtol=1e-4, atol=1e-6)
    assert replayed[1].stats[name] == pytest.approx(anew[1].stats[name], rel=1e-4, abs=1e-5)


@every
def test_a_training_resumes_in_the_middle_of_an_epoch_to_the_last_bit(
    name: str, digits: data.Dataset, tmp_path: Path
) -> None:
    X, y = digits.train[:100], np.arange(100) % 3
    penalty = made(name).replace(schedule=OneCycle(0.5)) + made(name)

    def autoencoder() -> Autoencoder:
        return Autoencoder(GAUSSIAN, architecture=SMALL, penalty=penalty, epochs=2, batch_size=16, random_state=0)

    whole, stopped = autoencoder().fit(X, y), autoencoder()
    for report in stopped.iter_fit(X, y, every=5):
        if report.step == 10:
            stopped.checkpoint(tmp_path / "c")
            break
    resumed = load(tmp_path / "c").resume(X, y)
    expected, found = whole.model_.state_dict(), resumed.model_.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert resumed.history_[-1].stats == whole.history_[-1].stats
    whole.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.penalty == penalty
    assert np.array_equal(again.score_samples(X), whole.score_samples(X))


def test_reports_and_the_history_name_each_penalty(digits: data.Dataset) -> None:
    _, report = fitted(MMD(2) + Contractive(0.1) + MMD(3), digits.train[:200], 1, Identity(2))
    named = [name for name in report.stats if name.startswith(("MMD", "Contractive"))]
    assert len(named) == 3
    assert all(math.isfinite(report.stats[name]) for name in named)
    header, row = history_csv([report]).splitlines()
    assert set(named) < set(header.split(","))
    assert len(row.split(",")) == len(header.split(","))
    assert report.penalty == pytest.approx(sum(report.stats[name] for name in named), rel=0.05)


# The distribution of codes


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_the_discrepancy_is_zero_on_average_where_the_distributions_agree(kernel: Any) -> None:
    penalty, draws = MMD(1, kernel=kernel), generator()
    found = torch.stack([penalty(seen(normal(10, 3, state=state)), Variables(), draws) for state in range(500)])
    error = found.std() / math.sqrt(len(found))
    assert found.mean().abs() < 4 * error
    assert error < 0.02
    shifted = penalty(seen(normal(20, 3) + 0.5), Variables(), draws)
    assert shifted > 10 * error


def squared_discrepancy(shift: float, units: int, c: float) -> float:
    """The squared discrepancy between N(shift, 1) and N(0, 1) with the kernel exp(-distance² / c)."""
    width = c / 2
    return 2 * (width / (width + 2)) ** (units / 2) * (1 - math.exp(-units * shift**2 / (2 * (width + 2))))


def test_the_discrepancy_of_shifted_codes_is_the_closed_form() -> None:
    z, units = normal(1500, 2) + 0.8, 2
    rbf = MMD(1, scales=(0.5, 2), kernel="rbf")(seen(z), Variables(), generator())
    expected = sum(squared_discrepancy(0.8, units, 2 * units * scale) for scale in (0.5, 2))
    assert float(rbf) == pytest.approx(expected, rel=0.05)
    # c / (c + r²) is the mean of exp(-t r² / c) over an exponential t
    imq = MMD(1, scales=(0.5, 2))(seen(z), Variables(), generator())
    mixed = [
        integrate.quad(lambda t, c=2 * units * scale: math.exp(-t) * squared_discrepancy(0.8, units, c / t), 0, 50)[0]
        for scale in (0.5, 2)
    ]
    assert float(imq) == pytest.approx(sum(mixed), rel=0.05)


def test_the_exact_mean_over_the_prior_is_that_of_draws() -> None:
    z, prior, c = normal(200, 3) * 0.7 + 0.3, normal(2000, 3, state=1), 2 * 3 * 0.4
    exact = MMD(1, scales=(0.4,), kernel="rbf")(seen(z), Variables(), generator())

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(x, y).square() / c)

    within = [(kernel(x, x).sum() - len(x)) / (len(x) * (len(x) - 1)) for x in (z, prior)]
    torch.testing.assert_close(exact, within[0] + within[1] - 2 * kernel(z, prior).mean(), atol=5e-3, rtol=0)


def test_draws_of_an_example_are_not_compared_with_each_other() -> None:
    first, second = normal(50, 2), normal(50, 2, state=1)
    for penalty in (MMD(1, kernel="rbf"), TotalCorrelation(1)):
        posterior = Posterior(first, torch.zeros_like(first))
        both = penalty(seen(torch.cat([first, second]), posterior, b=50), Variables(), generator())
        apart = [penalty(seen(z, posterior), Variables(), generator()) for z in (first, second)]
        torch.testing.assert_close(both, (apart[0] + apart[1]) / 2)


def test_the_divergence_of_mean_activations() -> None:
    z = torch.rand(40, 5, generator=generator(), dtype=torch.float64)
    found = ActivationKL(2, target=0.3)(seen(z), Variables(), generator())
    mean = z.mean(0).numpy()
    assert float(found) == pytest.approx(2 * (special.rel_entr(0.3, mean) + special.rel_entr(0.7, 1 - mean)).sum())
    positions = ActivationKL(2, target=0.3)(seen(z.reshape(8, 5, 5)), Variables(), generator())
    torch.testing.assert_close(positions, found)
    assert ActivationKL(2, target=0.3)(seen(torch.full((4, 3), 0.3)), Variables(), generator()) == pytest.approx(
        0, abs=1e-6
    )


def test_units_outside_of_the_unit_interval_are_pulled_to_the_target() -> None:
    z = torch.tensor([[-2.0, 0.0, 1.0, 5.0], [-2.0, 0.0, 1.0, 5.0]], requires_grad=True)
    ActivationKL(1, target=0.2)(seen(z), Variables(), generator()).backward()
    assert z.grad is not None
    assert (z.grad[:, :2] < 0).all()
    assert (z.grad[:, 2:] > 0).all()
    assert z.grad.isfinite().all()


# Dependence of units


def dependent(n: int, r: float, state: int = 0) -> Tensor:
    """Normal codes of variance 1, with the correlation r of two of three units."""
    z = normal(n, 3, state=state)
    return torch.stack([z[:, 0], r * z[:, 0] + math.sqrt(1 - r**2) * z[:, 1], z[:, 2]], 1)


def test_the_total_correlation_is_that_of_a_normal_aggregate_posterior() -> None:
    means, variance = math.sqrt(0.7) * dependent(700, 0.9), 0.3
    posterior = Posterior(means, torch.full_like(means, math.log(variance)))
    z = means + math.sqrt(variance) * normal(700, 3, state=1)
    exact = -0.5 * math.log(1 - (0.7 * 0.9) ** 2)
    found = TotalCorrelation(2)(seen(z, posterior), Variables(), generator())
    assert float(found.mean()) == pytest.approx(2 * exact, rel=0.1)
    independent = Posterior(*(torch.stack([each[:, 0], each[:, 1].roll(7), each[:, 2]], 1) for each in posterior))
    z = torch.stack([z[:, 0], z[:, 1].roll(7), z[:, 2]], 1)
    assert abs(float(TotalCorrelation(2)(seen(z, independent), Variables(), generator()).mean())) < 0.1


def test_stratified_sampling_is_unbiased() -> None:
    """Over all batches with an example, the mean weight of each posterior is that of all examples: 1 / n."""
    n, b = 12, 4
    logs = log_shares(b, n, torch.zeros(1, dtype=torch.float64))
    weights = torch.zeros(n, dtype=torch.float64)
    batches = [(0, *others) for others in itertools.combinations(range(1, n), b - 1)]
    for each in batches:
        weights[list(each)] += logs[0].exp()
    torch.testing.assert_close(weights / len(batches), torch.full((n,), 1 / n, dtype=torch.float64))
    torch.testing.assert_close(logs.exp(), logs.exp().T)
    uniform = log_shares(b, b, torch.zeros(1))
    torch.testing.assert_close(uniform, torch.full((b, b), -math.log(b)))


def test_dip_is_the_distance_of_the_covariance_from_one() -> None:
    means, log_variance = dependent(200, 0.9), normal(200, 3, state=1)
    posterior = Posterior(means, log_variance)
    covariance = np.cov(means.numpy().T)
    off = np.square(covariance).sum() - np.square(np.diag(covariance)).sum()
    first = DIP(2, diagonal=10, version="I")(seen(means, posterior), Variables(), generator())
    assert float(first) == pytest.approx(2 * (off + 10 * np.square(np.diag(covariance) - 1).sum()))
    total = np.diag(covariance) + log_variance.exp().mean(0).numpy()
    second = DIP(2, diagonal=10)(seen(means, posterior), Variables(), generator())
    assert float(second) == pytest.approx(2 * (off + 10 * np.square(total - 1).sum()))
    plain = DIP(2, diagonal=10, version="I")(seen(means), Variables(), generator())
    torch.testing.assert_close(plain, first)


@pytest.mark.thorough
def test_training_makes_the_units_of_unseen_digits_less_dependent(digits: data.Dataset) -> None:
    assert digits.test is not None
    x, bottleneck, dependence = torch.from_numpy(digits.test), Gaussian(4, beta=0.1), []
    for penalty in (NoPenalty(), TotalCorrelation(5), TotalCorrelation(5, 1437), TotalCorrelationCritic(5), DIP(10)):
        net, _ = fitted(penalty, digits.train, 15, bottleneck, lr=3e-3)
        with torch.inference_mode():
            z = bottleneck(net.hidden(x), Variables(), generator()).z
        dependence.append(-0.5 * np.linalg.slogdet(np.corrcoef(z.T))[1])
    assert max(dependence[1:]) < 0.5 * dependence[0]


@pytest.mark.parametrize(
    ("penalty", "sentence"),
    [(TotalCorrelation(1), "TotalCorrelation requires a normal posterior"), (DIP(1), 'version="I"')],
)
def test_a_code_without_posterior_is_refused(penalty: Penalty, sentence: str) -> None:
    with pytest.raises(NotPossibleError, match=sentence):
        model(penalty, Identity(3))(batch(), generator())


# Critics


def trained_critic(penalty: Penalty, sample: Callable[[int], Tensor], steps: int = 300) -> Variables:
    """The critic alone, on other codes at each step."""
    variables = penalty.variables(Shapes((1,), (3,), None), generator()).double()
    optimizer, draws = torch.optim.Adam(variables.parameters(), 5e-3, betas=(0.5, 0.9)), generator()
    for state in range(steps):
        optimizer.zero_grad()
        penalty(seen(sample(state)), variables, draws).mean().backward()
        optimizer.step()
    return variables


def test_a_critic_estimates_the_total_correlation() -> None:
    penalty = TotalCorrelationCritic(1, (32,))
    variables = trained_critic(penalty, lambda state: dependent(256, 0.8, state))
    found = penalty(seen(dependent(4000, 0.8, 1000)), variables, generator()).mean()
    assert float(found.detach()) == pytest.approx(-0.5 * math.log(1 - 0.8**2), rel=0.15)


def test_a_critic_estimates_the_density_ratio() -> None:
    penalty = Adversarial(1, (32,))
    variables = trained_critic(penalty, lambda state: normal(256, 3, state=2 * state + 1) + 0.7)
    z = normal(1000, 3) * 1.2 + 0.3
    ratio = stats.norm(0).logpdf(z.numpy()).sum(1) - stats.norm(0.7).logpdf(z.numpy()).sum(1)
    assert np.abs(apply_net(z, variables)[:, 0].detach().numpy() - ratio).mean() < 0.3
    cost = penalty(seen(z), variables, generator())
    torch.testing.assert_close(cost, -torch.nn.functional.logsigmoid(apply_net(z, variables))[:, 0])


@pytest.mark.parametrize("kind", [Adversarial, TotalCorrelationCritic])
def test_encoder_and_critic_learn_from_their_own_losses(kind: type[Penalty]) -> None:
    """The weight is one of the encoder's gradient alone, and without it the encoder does not hear of the critic."""
    x = batch()
    found = []
    for weight in (0, 1, 2):
        net = model(kind(weight))
        losses = net(x, generator())
        found.append(gradients(net, losses.penalty))
    quiet, once, twice = found
    net = model()
    kl = gradients(net, net(x, generator()).penalty)
    for name in quiet:
        if name.startswith("penalty"):
            assert quiet[name].abs().sum() > 0
            torch.testing.assert_close(twice[name], quiet[name])
        elif name.startswith("encoder"):
            assert not torch.equal(once[name], quiet[name])
            torch.testing.assert_close(twice[name] - once[name], once[name] - quiet[name])
            torch.testing.assert_close(quiet[name], kl[name])


def worst_fit(codes: np.ndarray) -> float:
    """The largest Kolmogorov-Smirnov distance from N(0, 1) of any unit, and of the squared norm from its distribution."""
    norm = stats.kstest(np.square(codes).sum(1), stats.chi2(codes.shape[1]).cdf).statistic
    return max(norm, *(stats.kstest(unit, "norm").statistic for unit in codes.T))


@pytest.mark.parametrize("penalty", [Adversarial(5), pytest.param(MMD(50), marks=pytest.mark.thorough)], ids=str)
def test_codes_of_a_plain_autoencoder_become_normal(penalty: Penalty, digits: data.Dataset) -> None:
    assert digits.test is not None
    free, _ = fitted(NoPenalty(), digits.train, 5, Identity(2))
    bound, _ = fitted(penalty, digits.train, 15, Identity(2), lr=1e-2)
    assert worst_fit(encoded(free, digits.test)) > 0.6
    assert worst_fit(encoded(bound, digits.test)) < 0.3


def test_codes_that_are_made_normal_are_sampled(digits: data.Dataset) -> None:
    choices = {"architecture": SMALL, "epochs": 1, "random_state": 0}
    plain = Autoencoder(Identity(3), **choices).fit(digits.train[:50])
    normal_codes = Autoencoder(Identity(3), penalty=Contractive(0.1) + MMD(1), **choices).fit(digits.train[:50])
    with pytest.raises(NotPossibleError, match="Identity has no prior"):
        plain.sample(3)
    with pytest.raises(NotPossibleError, match="TopK has no prior"):
        Autoencoder(TopK(3, k=1), penalty=MMD(1), **choices).fit(digits.train[:50]).sample(3)
    z = normal_codes.model_.sample_codes((5000, 3), generator()).numpy()
    assert worst_fit(z) < 0.03
    assert normal_codes.sample(4, random_state=0).shape == (4, 8, 8)


def two_samples(first: np.ndarray, second: np.ndarray, permutations: int = 200) -> float:
    """The p-value of the energy distance between two samples of vectors, by permutations (Székely & Rizzo 2004)."""
    both, n, rng = np.concatenate([first, second]), len(first), np.random.default_rng(0)
    distances = spatial.distance_matrix(both, both)

    def energy(order: np.ndarray) -> float:
        a, b = order[:n], order[n:]
        between, within = distances[np.ix_(a, b)].mean(), [distances[np.ix_(each, each)].mean() for each in (a, b)]
        return float(2 * between - sum(within))

    found = energy(np.arange(len(both)))
    larger = sum(energy(rng.permutation(len(both))) >= found for _ in range(permutations))
    return (1 + larger) / (1 + permutations)


@pytest.mark.thorough
@pytest.mark.parametrize("penalty", [Adversarial(5), MMD(50), MMD(50, kernel="rbf")], ids=str)
def test_units_of_codes_of_unseen_digits_pass_a_test_of_normality(penalty: Penalty, digits: data.Dataset) -> None:
    assert digits.test is not None
    net, _ = fitted(penalty, digits.train, 60, Identity(2), lr=3e-3)
    codes = encoded(net, digits.test)
    assert min(stats.kstest(unit, "norm").pvalue for unit in codes.T) > 0.01


@pytest.mark.thorough
@pytest.mark.parametrize("penalty", [Adversarial(5), MMD(50)], ids=str)
def test_codes_of_unseen_digits_pass_a_two_sample_test(penalty: Penalty, digits: data.Dataset) -> None:
    """Beside as many draws from N(0, 1), both units together."""
    assert digits.test is not None
    net, _ = fitted(penalty, digits.train, 60, Identity(2), lr=3e-3)
    codes, draws = encoded(net, digits.test), normal(len(digits.test), 2, state=5).numpy()
    assert two_samples(codes, draws) > 0.05
    dependent_codes = codes @ np.array([[1, 0.8], [0, 0.6]])  # each unit is normal, both together are not
    for no_normal in (codes + 0.3, dependent_codes):
        assert two_samples(no_normal, draws) < 0.01


def test_the_default_optimizer_forgets_quickly_where_there_is_a_critic(digits: data.Dataset) -> None:
    def optimizer(penalty: Penalty, **choices: Any) -> Any:
        ae = Autoencoder(2, architecture=SMALL, penalty=penalty, epochs=1, random_state=0, **choices)
        return ae.fit(digits.train[:50]).optimizer_

    assert optimizer(MMD(1)).betas == (0.9, 0.999)
    assert optimizer(MMD(1) + Adversarial(1)).betas == optimizer(TotalCorrelationCritic(1)).betas == (0.5, 0.9)
    assert optimizer(Adversarial(1), optimizer=Adam()).betas == (0.9, 0.999)
    ae = Autoencoder(2, architecture=SMALL, epochs=1, random_state=0, warm_start=True).fit(digits.train[:50])
    assert ae.set_params(penalty=Adversarial(1)).fit(digits.train[:50]).optimizer_.betas == (0.5, 0.9)


# Derivatives


def jacobian(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The squared norm of the Jacobian at each row, by PyTorch's own functions."""
    rows = [torch.func.jacrev(lambda row: function(row[None])[0])(row) for row in at]
    return torch.stack(rows).square().flatten(1).sum(1)


SMOOTH = [MLP((6,), activation) for activation in ("relu", "elu", "gelu", "silu", "sigmoid", "tanh")]


@pytest.mark.parametrize("architecture", SMOOTH, ids=str)
def test_penalties_are_squared_norms_of_jacobians(architecture: Architecture) -> None:
    net, x = model(Contractive(2), Gaussian(2), architecture), batch(4)
    contractive = net(x, generator()).penalty - model(NoPenalty(), Gaussian(2), architecture)(x, generator()).penalty
    torch.testing.assert_close(contractive, 2 * jacobian(net.encode, x.x))
    smooth = model(SmoothDecoder(2), Gaussian(2), architecture)
    plain = model(NoPenalty(), Gaussian(2), architecture)(x, generator()).penalty
    z = Gaussian(2)(net.encoder(x.x), Variables(), generator()).z
    torch.testing.assert_close(smooth(x, generator()).penalty - plain, 2 * jacobian(net.decode, z.detach()))


def test_an_example_costs_the_mean_of_its_own_draws() -> None:
    x, net = batch(3), model(SmoothDecoder(1), Twice(2))
    found = net(x, generator()).penalty - model(NoPenalty(), Twice(2))(x, generator()).penalty
    z = Twice(2)(net.encoder(x.x), Variables(), generator()).z.detach()
    torch.testing.assert_close(found, (jacobian(net.decode, z[:3]) + jacobian(net.decode, z[3:])) / 2)


@pytest.mark.parametrize("kind", [Contractive, SmoothDecoder])
def test_a_random_direction_is_unbiased(kind: Any) -> None:
    x = batch(1)
    net = model(kind(1), Identity(3))
    exact = float(net(x, generator()).penalty.detach())
    guess = model(kind(1, exact=False), Identity(3))
    many = Batch(x.x.expand(2000, 8, 8), x.target.expand(2000, 8, 8))
    drawn = guess(many, generator()).penalty.detach()
    error = float(drawn.std()) / math.sqrt(len(drawn))
    assert float(drawn.mean()) == pytest.approx(exact, abs=4 * error)
    assert 0 < error < 0.05 * exact


DOUBLE = [*SMOOTH, MLP((6,), tied=True), Conv((3,), code="map"), Conv((3, 4)), Conv((3,), kernel=5)]


@pytest.mark.parametrize("architecture", DOUBLE, ids=str)
@pytest.mark.parametrize("penalty", [Contractive(1), SmoothDecoder(1)], ids=str)
def test_gradients_of_jacobian_penalties_are_right(penalty: Penalty, architecture: Architecture) -> None:
    """A step along a direction changes the penalty as its gradient says, for layers with derivatives of their own too."""
    x, part = batch(3), "decoder" if penalty == SmoothDecoder(1) else "encoder"
    net = model(penalty, Identity(2, "tanh"), architecture)
    weights = {name: p for name, p in net.named_parameters() if name.startswith(part)}
    found = gradients(net, net(x, generator()).penalty)
    direction = {name: normal(*p.shape, state=number) for number, (name, p) in enumerate(weights.items())}

    def cost(step: float) -> float:
        with torch.no_grad():
            for name, p in weights.items():
                p.add_(direction[name], alpha=step)
        value = float(net(x, generator()).penalty.sum().detach())
        with torch.no_grad():
            for name, p in weights.items():
                p.add_(direction[name], alpha=-step)
        return value

    slope = sum(float((found[name] * direction[name]).sum()) for name in weights)
    assert (cost(1e-6) - cost(-1e-6)) / 2e-6 == pytest.approx(slope, rel=1e-5)


def test_layers_of_our_own_have_second_derivatives() -> None:
    few = layers.FewChannelConv2d(2, 1, 3, padding=1).double()
    up = [layers.UpsampleConv2d(1, 2, 3, padding=padding).double() for padding in (0, 1)]
    for layer, channels in ((few, 2), *((each, 1) for each in up)):
        x = normal(1, channels, 3, 3).requires_grad_()
        assert torch.autograd.gradgradcheck(layer, (x,), check_batched_grad=False)
        weights = normal(*layer.weight.shape, state=1).requires_grad_()

        def of_weights(w: Tensor, layer: nn.Module = layer, x: Tensor = x) -> Any:
            return torch.func.functional_call(layer, {"weight": w}, (x.detach(),))

        assert torch.autograd.gradgradcheck(of_weights, (weights,))
    a, b = normal(3, 2).requires_grad_(), normal(4, 2, state=1).requires_grad_()
    assert torch.autograd.gradgradcheck(layers.MatmulTransposed.apply, (a, b))


def test_the_hand_written_cross_entropy_refuses_a_second_derivative() -> None:
    y = normal(2, 3).requires_grad_()
    nll = Bernoulli().nll(y, torch.rand(2, 3, generator=generator()).double())
    with pytest.raises(NotPossibleError, match="has no second derivative"):
        torch.autograd.grad(nll.sum(), y, create_graph=True)


@records.record
class Certain(Normal):
    """A mean without a derivative."""

    def mean(self, y: Tensor) -> Tensor:
        return y.detach().round()


@records.record
class Classes(Normal):
    """The encoder sees indicators of large values."""

    def encoder_input(self, x: Tensor) -> Tensor:
        return (x > 0.5).to(x.dtype)


@records.record
class Binary(Identity):
    """A code without a derivative."""

    def deterministic(self, h: Tensor, variables: Variables) -> Code:
        return Code((h > 0).to(h.dtype), h.new_zeros(len(h)))


def test_what_has_no_derivative_is_refused() -> None:
    with pytest.raises(NotPossibleError, match="SmoothDecoder requires a mean with a derivative"):
        model(SmoothDecoder(1), likelihood=Certain())(batch(), generator())
    with pytest.raises(NotPossibleError, match="Contractive requires a code with a derivative"):
        model(Contractive(1), Binary(3))(batch(), generator())
    with pytest.raises(NotPossibleError, match="Contractive requires examples of real numbers"):
        model(Contractive(1), likelihood=Classes())(batch(), generator())


def test_only_the_decoder_learns_to_be_smooth() -> None:
    net = model(SmoothDecoder(1), Identity(3))
    found = gradients(net, net(batch(), generator()).penalty)
    assert not any(name.startswith("encoder") and p.abs().sum() for name, p in found.items())
    assert any(name.startswith("decoder") and p.abs().sum() for name, p in found.items())


# Labels


def test_a_head_costs_the_cross_entropy_of_known_labels() -> None:
    z, labels = normal(6, 4), torch.tensor([0, 2, 1, 1, 0, 2])
    context = torch.eye(3, dtype=torch.float64)[labels]
    context[3:5] = math.nan
    penalty = Supervised(2, hidden=(5,))
    variables = penalty.variables(Shapes((1,), (4,), 3), generator()).double()
    cost = penalty(seen(z, context=context), variables, generator())
    expected = 2 * torch.nn.functional.cross_entropy(apply_net(z, variables), labels, reduction="none")
    expected[3:5] = 0
    torch.testing.assert_close(cost, expected)
    values = penalty.replace(task="regression")(seen(z, context=context), variables, generator())
    torch.testing.assert_close(values[:3], (apply_net(z, variables) - context).square().sum(1)[:3])
    assert not values[3:5].any()


def test_labels_are_required() -> None:
    with pytest.raises(RecordError, match=r"Supervised requires labels: fit\(X, y\)"):
        model(Supervised(1), context=None)
    with pytest.raises(NotPossibleError, match="Supervised requires labels"):
        model(Supervised(1))(batch()._replace(context=None), generator())
    with pytest.raises(RecordError, match='task="regression"'):
        model(Supervised(1), context=1)


def test_few_labels_separate_the_classes_of_codes(digits: data.Dataset) -> None:
    """Codes of unseen digits are classified better where a hundred labels were known in training."""
    assert digits.train_labels is not None
    assert digits.test is not None
    context = torch.full((len(digits.train), 10), math.nan)
    context[:100] = torch.eye(10)[torch.from_numpy(digits.train_labels[:100])]
    accuracy = []
    for penalty in (NoPenalty(), Supervised(100)):
        net = model(penalty, Identity(2), MLP((32,)), dtype=torch.float32, context=10)
        source = ContextSource(InMemorySource(digits.train, torch.device("cpu")), context)
        list(train(net, source, TrainingConfig(Clean(), Adam(5e-3), 12, 128, 0)))
        z, known = encoded(net.eval(), digits.test), encoded(net, digits.train[:100])
        probe = LogisticRegression(max_iter=1000).fit(known, digits.train_labels[:100])
        accuracy.append(probe.score(z, digits.test_labels))
    assert accuracy[1] > accuracy[0] + 0.1


def test_nets_start_with_the_variance_of_their_input() -> None:
    variables = net_variables(200, (300,), 2, generator())
    assert float(variables["weight_0"].detach().var()) == pytest.approx(2 / 200, rel=0.02)
    assert not variables["bias_1"].any()
    assert apply_net(torch.ones(3, 4, 200), variables).shape == (3, 4, 2)
