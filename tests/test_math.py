"""The arithmetic of the choices against independent means: torch.distributions, closed forms, NumPy by hand, counting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Normal as TorchNormal
from torch.distributions import kl_divergence

from isthmus import Autoencoder, data
from isthmus.architectures import MLP, Conv
from isthmus.assignments import parse
from isthmus.bottlenecks import L1, Gaussian, Identity, TopK, VectorQuantized
from isthmus.corruptions import GaussianNoise, Masking, Occlusion, SaltAndPepper
from isthmus.errors import DivergenceError, NotPossibleError
from isthmus.estimators.named_records import record_types
from isthmus.likelihoods import Bernoulli, Normal
from isthmus.nn.variables import Variables
from isthmus.optimizers import SGD, Adadelta, Adam, AdamW, OneCycle, Optimizer, RMSprop
from isthmus.record_overrides import override

MANY = 200_000


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def test_bernoulli_is_a_mass() -> None:
    y = torch.randn(1, 6, generator=generator())
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)))
    nll = Bernoulli().nll(y.expand(64, 6), every)
    assert torch.exp(-nll).sum().item() == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(-nll, TorchBernoulli(logits=y).log_prob(every).sum(1))


@pytest.mark.parametrize("numbers", [1, 101, 784, 12_544, 100 * 199])
def test_bernoulli_accepts_examples_of_any_size(numbers: int) -> None:
    """Sigmoids are multiplied in runs, whose products have to stay within what a float holds."""
    y, x = torch.randn(3, numbers, generator=generator()), torch.rand(3, numbers, generator=generator(1))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(y.double(), x.double(), reduction="none").sum(1)
    torch.testing.assert_close(Bernoulli().nll(y, x).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [0.3, 1.0, "learned"])
def test_normal_is_a_density(scale: float) -> None:
    likelihood = Normal(scale)
    variables = likelihood.variables((1,)).eval()
    deviation = 1.0 if scale == "learned" else scale
    x = torch.linspace(-12, 12, 20_001)[:, None]
    y = torch.full_like(x, 0.7)
    nll = likelihood.nll(y, x, variables)
    assert torch.trapezoid(torch.exp(-nll), x[:, 0]).item() == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(-nll, TorchNormal(y, deviation).log_prob(x).sum(1))


def test_a_learned_scale_is_the_root_of_the_mean_squared_error_from_the_first_step() -> None:
    likelihood, residuals = Normal("learned"), 0.2 * torch.randn(1000, 3, generator=generator())
    variables, zeros = likelihood.variables((3,)), torch.zeros(1000, 3)
    nll = likelihood.nll(zeros, residuals, variables).mean().item()
    deviation = residuals.square().mean().sqrt().item()
    assert variables["log_scale"].exp().item() == pytest.approx(deviation, rel=1e-5)
    assert nll == pytest.approx(3 * (0.5 + math.log(deviation) + 0.5 * math.log(2 * math.pi)), rel=1e-5)
    for _ in range(200):
        likelihood.nll(zeros, 0.05 * residuals, variables)
    assert variables["log_scale"].exp().item() == pytest.approx(0.05 * deviation, rel=0.01)
    variables.eval()
    likelihood.nll(zeros, residuals, variables)
    assert variables["log_scale"].exp().item() == pytest.approx(0.05 * deviation, rel=0.01), (
        "it moves in training alone"
    )


def test_a_learned_scale_is_computed_from_observed_values() -> None:
    likelihood, variables = Normal("learned"), Normal("learned").variables((2,))
    x = torch.tensor([[3.0, 100.0], [100.0, 4.0], [100.0, 100.0]])
    observed = torch.tensor([[True, False], [False, True], [False, False]])
    for _ in range(3):
        likelihood.nll(torch.zeros(3, 2), x, variables, observed)
        assert variables["log_scale"].exp().item() == pytest.approx(math.sqrt(12.5), rel=1e-5)
        likelihood.nll(torch.zeros(3, 2), x, variables, torch.zeros(3, 2, dtype=torch.bool))
        assert variables["log_scale"].exp().item() == pytest.approx(math.sqrt(12.5), rel=1e-5), "nothing says nothing"


def test_the_gaussian_penalty_is_the_divergence() -> None:
    h = torch.randn(4, 6, generator=generator())
    mean, deviation = h[:, :3], torch.exp(0.5 * h[:, 3:])
    posterior, prior = TorchNormal(mean, deviation), TorchNormal(0.0, 1.0)
    analytic = kl_divergence(posterior, TorchNormal(torch.zeros_like(mean), torch.ones_like(mean))).sum(1)
    code = Gaussian(3, beta=2.5)(h, Variables(), generator(1))
    torch.testing.assert_close(code.penalty, 2.5 * analytic)
    z = Gaussian(3)(h.repeat(MANY // 4, 1), Variables(), generator(1)).z.reshape(-1, 4, 3)
    estimate = (posterior.log_prob(z) - prior.log_prob(z)).sum(-1).mean(0)
    torch.testing.assert_close(estimate, analytic, atol=0.03, rtol=0.01)
    torch.testing.assert_close(z.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(z.std(0), deviation, atol=0.03, rtol=0.01)
    assert torch.equal(Gaussian(3).deterministic(h, Variables()).z, mean)


@given(size=st.integers(1, 12), data=st.data())
@settings(max_examples=30, deadline=None)
def test_exactly_the_k_largest_pass(size: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, size))
    h = torch.randn(5, size, generator=generator(size * 100 + k))
    z = TopK(size, k=k).deterministic(h, Variables()).z
    assert ((z != 0).sum(1) == k).all()
    assert torch.equal(z[z != 0].sort().values, h.topk(k).values.flatten().sort().values)


def test_l1_costs_its_weight_per_unit() -> None:
    code = L1(3, weight=0.5)(torch.tensor([[1.0, -2.0, 3.0]]), Variables(), generator())
    assert code.z.tolist() == [[1, 0, 3]]
    assert code.penalty.tolist() == [2]


def test_straight_through_is_the_identity_backwards() -> None:
    vq = VectorQuantized(2, codebook_size=4, commitment=0)
    variables = vq.variables(generator()).eval()
    h = torch.randn(7, 2, generator=generator(1), requires_grad=True)
    weights = torch.randn(7, 2, generator=generator(2))
    (vq(h, variables, generator()).z * weights).sum().backward()
    torch.testing.assert_close(h.grad, weights)
    distances = torch.cdist(h.detach(), variables["codebook"])
    torch.testing.assert_close(vq.deterministic(h, variables).z, variables["codebook"][distances.argmin(1)])


def test_one_moving_average_step_without_memory_is_one_step_of_k_means() -> None:
    vq = VectorQuantized(2, codebook_size=3, decay=0, dead_threshold=0)
    variables = vq.variables(generator())
    h = torch.randn(50, 2, generator=generator(1))
    nearest = torch.cdist(h, variables["codebook"]).argmin(1)
    expected = torch.stack([h[nearest == i].mean(0) for i in range(3)])
    vq(h, variables, generator(2))
    torch.testing.assert_close(variables["codebook"], expected)


def test_codebook_entries_are_running_means_of_assigned_codes() -> None:
    """Sums and counts of each entry decay alike; few rows, so that counts are below 1 too."""
    vq = VectorQuantized(2, codebook_size=4, decay=0.8, dead_threshold=0)
    variables, steps = (
        vq.variables(generator()),
        [torch.randn(3, 2, generator=generator(state)) for state in range(1, 12)],
    )
    entries, counts, sums = variables["codebook"].numpy().copy(), np.zeros(4), np.zeros((4, 2))
    for h in steps:
        nearest = np.square(h.numpy()[:, None] - entries).sum(2).argmin(1)
        counts, sums = 0.8 * counts, 0.8 * sums
        np.add.at(counts, nearest, 0.2)
        np.add.at(sums, nearest, 0.2 * h.numpy())
        entries[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
        vq(h, variables, generator(2))
        np.testing.assert_allclose(variables["codebook"], entries, rtol=1e-4, atol=1e-6)
    assert 0 < counts.min() < 0.2 < counts.max()


def test_bottlenecks_report_their_statistics() -> None:
    """The share of numbers that are active, the perplexity of entries, nats to the prior."""
    h = torch.randn(40, 3, generator=generator())
    assert L1(3).deterministic(h, Variables()).stats["active"].item() == pytest.approx((h > 0).float().mean().item())
    vq = VectorQuantized(3, codebook_size=6)
    variables = vq.variables(generator()).eval()
    shares = np.unique(vq.deterministic(h, variables).z.numpy(), axis=0, return_counts=True)[1] / 40
    assert len(shares) > 3
    assert vq.deterministic(h, variables).stats["perplexity"].item() == pytest.approx(
        np.exp(scipy.stats.entropy(shares)), rel=1e-5
    )
    code = Gaussian(3, beta=0.5).deterministic(torch.randn(40, 6, generator=generator()), Variables())
    assert code.stats["kl"].item() == pytest.approx(2 * code.penalty.mean().item())


def test_the_lookup_of_indices_is_the_code() -> None:
    vq = VectorQuantized(3, codebook_size=6)
    variables = vq.variables(generator())
    for positions in ((), (2, 4)):
        h = torch.randn(10, *positions, 3, generator=generator(1))
        indices = vq.indices(h, variables)
        assert len(indices.unique()) > 2
        assert torch.equal(vq.lookup(indices, variables), vq.deterministic(h, variables).z)
    with pytest.raises(NotPossibleError, match="Identity has no codebook"):
        Identity(3).lookup(indices, Variables())


def test_dead_codebook_entries_restart_at_examples() -> None:
    vq = VectorQuantized(2, codebook_size=5)
    variables = vq.variables(generator())
    variables["codebook"].fill_(1e6)
    h = torch.randn(50, 2, generator=generator(1))
    for _ in range(20):
        vq(h, variables, generator(2))
    assert variables["codebook"].abs().max() < 10


def test_gaussian_noise_has_the_stated_mean_and_variance() -> None:
    x = torch.full((MANY, 1), 0.5)
    corrupted = GaussianNoise(0.3)(x, generator())
    assert corrupted.mean().item() == pytest.approx(0.5, abs=0.004)
    assert corrupted.std().item() == pytest.approx(0.3, rel=0.01)
    clipped = GaussianNoise(0.5, clip=True)(x, generator())
    assert (clipped.min().item(), clipped.max().item()) == (0, 1)
    torch.testing.assert_close(clipped, GaussianNoise(0.5)(x, generator()).clamp(0, 1))


def test_clipped_noise_of_std_one_half_has_the_known_mse_on_mnist(mnist: data.Dataset) -> None:
    assert mnist.test is not None
    x = torch.from_numpy(mnist.test / 255).float()
    assert (GaussianNoise(0.5, clip=True)(x, generator()) - x).square().mean().item() == pytest.approx(0.1156, abs=2e-4)


def test_masking_and_salt_and_pepper_have_the_stated_rates() -> None:
    x = torch.full((MANY, 1), 0.5)
    assert (Masking(0.3, value=0.1)(x, generator()) == 0.1).float().mean().item() == pytest.approx(0.3, abs=0.005)
    corrupted = SaltAndPepper(0.4)(x, generator())
    assert (corrupted == 1).float().mean().item() == pytest.approx(0.2, abs=0.005)
    assert (corrupted == 0).float().mean().item() == pytest.approx(0.2, abs=0.005)


@pytest.mark.parametrize("share", [1 / 3, 1 / 4])
def test_occlusion_shows_the_stated_fraction(share: float) -> None:
    x = torch.ones(200, 24, 12)
    top, left = Occlusion(share)(x, generator()), Occlusion(share, keep="left")(x, generator())
    assert top[:, : round(24 * share)].all()
    assert not top[:, round(24 * share) :].any()
    assert left.mean().item() == pytest.approx(share)
    window, around = (Occlusion(share, keep=keep)(x, generator()) for keep in ("window", "around"))
    assert window.mean().item() == pytest.approx(share, abs=0.05)
    assert around.mean().item() == pytest.approx(share, abs=0.05)
    assert window.std(0).max() > 0.3  # it moves about


@pytest.mark.parametrize("keep", ["window", "around"])
def test_every_position_of_a_window_is_equally_likely(keep: Literal["window", "around"]) -> None:
    """A quarter of 8 x 6 is a block of 4 x 3, at one of 5 x 4 places; none of the 20 is favored."""
    x = torch.ones(20_000, 8, 6, 2)
    seen = Occlusion(1 / 4 if keep == "window" else 3 / 4, keep=keep)(x, generator())[..., 0].bool()
    block = seen if keep == "window" else ~seen
    assert (block.sum((1, 2)) == 12).all()
    top, left = block.any(2).int().argmax(1), block.any(1).int().argmax(1)
    assert (block.any(2).sum(1) == 4).all()
    counts = torch.bincount(4 * top + left, minlength=20)
    assert len(counts) == 20
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_occlusion_of_a_table_row_shows_its_first_columns() -> None:
    x = torch.arange(1.0, 13.0).expand(3, 12)
    for keep in ("top", "left"):
        assert Occlusion(1 / 4, keep=keep, value=-1.0)(x, generator()).tolist() == [[1, 2, 3] + 9 * [-1]] * 3


def test_adadelta_is_zeilers() -> None:
    gradient, w, squares, steps = np.array([0.3, -2.0]), np.zeros(2), np.zeros(2), np.zeros(2)
    weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = Adadelta(1.0, rho=0.9, eps=1e-6).build([weight])
    for t in range(1, 6):
        g = gradient * t
        squares = 0.9 * squares + 0.1 * g**2
        move = np.sqrt(steps + 1e-6) / np.sqrt(squares + 1e-6) * g
        steps = 0.9 * steps + 0.1 * move**2
        w -= move
        weight.grad = torch.from_numpy(g)
        optimizer.step(1.0)
    np.testing.assert_allclose(weight.detach().numpy(), w, rtol=1e-10)


def test_loss_reduction_sets_the_unit_of_the_gradient(digits: data.Dataset) -> None:
    X = digits.train[:32]

    def weights(lr: float, per: str) -> np.ndarray:
        optimizer = SGD(lr, momentum=0, loss_reduction=per)
        choices = {"architecture": MLP(()), "optimizer": optimizer, "precision": "float64", "random_state": 0}
        ae = Autoencoder(Identity(2), epochs=1, batch_size=32, **choices).fit(X)
        return ae.model_.decoder[0].weight.detach().numpy()

    start = weights(1e-30, "example")
    example = weights(1e-4, "example") - start
    np.testing.assert_allclose((weights(1e-4, "feature") - start) * 64, example, rtol=1e-6)
    np.testing.assert_allclose((weights(1e-4, "batch") - start) / 32, example, rtol=1e-6)


def test_one_cycle_peaks_after_its_warmup() -> None:
    schedule = OneCycle(warmup=0.25, start=0.1, final=0.01)
    assert schedule(0) == pytest.approx(0.1)
    assert schedule(0.25) == pytest.approx(1)
    assert schedule(1 - 1e-9) == pytest.approx(0.01)


@given(
    sides=st.lists(st.integers(1, 20), min_size=2, max_size=2),
    colors=st.integers(1, 4),
    kernel=st.sampled_from([1, 3, 5]),
    stages=st.integers(1, 3),
    down=st.sampled_from(["pool", "stride"]),
    up=st.sampled_from(["resize", "double", "transpose"]),
    code=st.sampled_from(["vector", "map"]),
)
@settings(max_examples=60, deadline=None)
def test_images_of_any_size_round_trip(
    sides: list[int], colors: int, kernel: int, stages: int, down: str, up: str, code: str
) -> None:
    shape = (*sides, colors)
    pair = Conv((4,) * stages, kernel=kernel, down=down, up=up, code=code).build(shape, 6, 3, generator())
    h = pair.encoder(torch.rand(2, *shape))
    assert h.shape[-1] == 6
    assert pair.decoder(h[..., :3]).shape == (2, *shape)


@pytest.mark.parametrize("shape", [(17,), (6, 5, 4, 2)])
def test_sequences_and_volumes_round_trip(shape: tuple[int, ...]) -> None:
    pair = Conv((4, 6)).build(shape, 6, 3, generator())
    assert pair.decoder(pair.encoder(torch.rand(2, *shape))[:, :3]).shape == (2, *shape)


VARIANCES = [("glorot", 2 / 500), ("he", 2 / 300), ("lecun", 1 / 300), ("normal", 1.0)]


@pytest.mark.parametrize(("scheme", "variance"), VARIANCES)
def test_initial_weights_have_the_stated_variance(scheme: str, variance: float) -> None:
    layer = MLP((), initialization=scheme).build((300,), 200, 200, generator()).encoder[1]
    assert layer.weight.std().item() == pytest.approx(math.sqrt(variance), rel=0.02)
    assert not layer.bias.any()


@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
def test_divergence_is_an_error_that_advises(digits: data.Dataset) -> None:
    ae = Autoencoder(optimizer=SGD(1e12), likelihood=Normal(), epochs=5, random_state=0)
    with pytest.raises(DivergenceError, match=r"lower optimizer\.lr"):
        ae.fit(digits.train[:100])


def test_early_stopping_keeps_the_best_weights(digits: data.Dataset) -> None:
    ae = Autoencoder(early_stopping=True, n_iter_no_change=3, epochs=400, optimizer=Adam(3e-3), random_state=0)
    ae.fit(digits.train[:100], validation_data=digits.test)
    losses = [report.val_loss for report in ae.history_]
    assert len(losses) < 400
    assert min(losses) < losses[-1]
    assert -ae.score(digits.test) == pytest.approx(min(losses), rel=1e-5)


def test_equal_values_in_other_dtypes_and_containers_train_identically(
    digits: data.Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    X = (digits.train[:200] * 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("memmap") / "x.npy"
    np.save(path, X)
    codes = [
        Autoencoder(Identity(2), architecture=MLP(8), epochs=2, random_state=0).fit(x).encode(X)
        for x in (X, X.astype(np.float32), X.astype(np.float64), np.load(path, mmap_mode="r"))
    ]
    for other in codes[1:]:
        np.testing.assert_array_equal(codes[0], other)


def test_partial_fit_and_warm_start_continue_training(digits: data.Dataset) -> None:
    ae = Autoencoder(epochs=1, warm_start=True, random_state=0)
    scores = []
    for _ in range(4):
        ae.partial_fit(digits.train)
        scores.append(ae.score(digits.test))
    assert scores == sorted(scores)
    before = ae.score(digits.test)
    assert ae.fit(digits.train).score(digits.test) > before


def test_steps_follow_fractions_of_epochs(digits: data.Dataset) -> None:
    ae = Autoencoder(epochs=2.5, batch_size=100, random_state=0).fit(digits.train[:1000])
    assert [(report.epoch, report.step) for report in ae.history_] == [(1, 10), (2, 20), (3, 25)]


TYPED = {
    "3": 3,
    "1e-3": 1e-3,
    "64,32": (64, 32),
    "(64,)": (64,),
    "()": (),
    "[1,2]": [1, 2],
    "none": None,
    "True": True,
    "relu": "relu",
}


@pytest.mark.parametrize(("text", "value"), TYPED.items(), ids=TYPED)
def test_typed_text_becomes_a_value(text: str, value: object) -> None:
    assert parse(text) == value


def test_an_override_reaches_nested_records() -> None:
    changed = override(SGD(0.1, schedule=OneCycle()), {"schedule.warmup": 0.5}, record_types(), ".")
    assert changed == SGD(0.1, schedule=OneCycle(warmup=0.5))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (RMSprop(0.01, rho=0.8, eps=1e-6), partial(torch.optim.RMSprop, lr=0.01, alpha=0.8, eps=1e-6)),
        (RMSprop(0.01, momentum=0.9), partial(torch.optim.RMSprop, lr=0.01, alpha=0.9, eps=1e-7, momentum=0.9)),
        (Adadelta(1.0, rho=0.9, eps=1e-6), partial(torch.optim.Adadelta, lr=1.0, rho=0.9, eps=1e-6)),
        (Adam(0.01, betas=(0.8, 0.99), eps=1e-6), partial(torch.optim.Adam, lr=0.01, betas=(0.8, 0.99), eps=1e-6)),
        (AdamW(0.01, weight_decay=0.2), partial(torch.optim.AdamW, lr=0.01, weight_decay=0.2)),
        (SGD(0.01, momentum=0.0, weight_decay=0.1), partial(torch.optim.SGD, lr=0.01, weight_decay=0.1)),
        (SGD(0.01), partial(torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True)),
    ],
    ids=["RMSprop", "RMSprop with momentum", "Adadelta", "Adam", "AdamW", "SGD without momentum", "SGD"],
)
def test_our_optimizers_step_as_pytorchs_do(ours: Optimizer, theirs: Callable[..., torch.optim.Optimizer]) -> None:
    draw = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=draw) for shape in ((4, 3), (5,))]
    here, there = ([torch.nn.Parameter(w.clone()) for w in weights] for _ in range(2))
    mine, reference = ours.build(here), theirs(there)
    for step in range(20):
        for a, b in zip(here, there, strict=True):
            a.grad = torch.randn(a.shape, generator=draw) * 10.0 ** -(step % 4)
            b.grad = a.grad.clone()
        mine.step(ours.lr)
        reference.step()
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_rmsprop_state_has_no_denormal_values() -> None:
    """Their roots take thirty times as long; a pixel that is never lit has gradients that shrink without end."""
    weight = nn.Parameter(torch.zeros(3))
    optimizer = RMSprop(1e-3).build([weight])
    for step in range(1500):
        weight.grad = torch.full((3,), 0.9**step)
        optimizer.step(1e-3)
    assert (optimizer.buffers["squares"][0] > torch.finfo(torch.float32).tiny).all()
    assert weight.isfinite().all()


@pytest.mark.parametrize("numbers", [1, 2, 97, 101, 202])
def test_cross_entropy_equals_that_of_pytorch_for_every_size(numbers: int) -> None:
    """Also of a prime number of them, whose sigmoids cannot be multiplied in runs."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(5, numbers, generator=generator, dtype=torch.float64) * 4
    x = torch.rand(5, numbers, generator=generator, dtype=torch.float64)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(y, x, reduction="none").sum(1)
    torch.testing.assert_close(Bernoulli().nll(y, x), expected)
