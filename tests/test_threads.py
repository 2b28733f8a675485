"""Several threads in one process: each gets the right answers, and none changes what another learns."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from isthmus import Autoencoder
from isthmus.architectures import MLP, Modules
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.corruptions import GaussianNoise
from isthmus.errors import NotPossibleError
from isthmus.nn import device, module_rng
from isthmus.nn.module_rng import draw_from

X = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)


def own() -> Modules:
    """Modules that draw in training, and whose running statistics move."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 3))
    return Modules(encoder, nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 6)))


KINDS: dict[str, dict[str, Any]] = {
    "own modules": {"architecture": own(), "bottleneck": Identity(3)},
    "noise": {"architecture": MLP((8,)), "bottleneck": Gaussian(3), "corruption": GaussianNoise(0.2)},
}


def untrained(kind: str) -> Autoencoder:
    return Autoencoder(**KINDS[kind], epochs=4, batch_size=20, random_state=0)


def weights(ae: Autoencoder) -> list[np.ndarray]:
    return [tensor.numpy().copy() for tensor in ae.model_.state_dict().values()]


def same(ones: list[np.ndarray], others: list[np.ndarray]) -> None:
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle threads that other tests left behind, such as a writer's of events, do not count."""
    count, left = threading.active_count, threading.active_count() - 1
    monkeypatch.setattr(threading, "active_count", lambda: max(1, count() - left))


class Beside:
    """Runs something over and over in another thread, as long as it is within."""

    def __init__(self, act: Any) -> None:
        self.act, self.count, self.over = act, 0, threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            while not self.over.is_set() or not self.count:
                self.act()
                self.count += 1
        except BaseException as error:
            self.error = error

    def __enter__(self) -> Beside:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join(60)
        if self.error is not None:
            raise self.error


def idle() -> None:
    time.sleep(0.005)


@pytest.mark.parametrize("way", ["fit", "iter_fit", "partial_fit"])
@pytest.mark.parametrize("kind", KINDS)
def test_encoding_in_another_thread_changes_no_weight_and_uses_one_model(kind: str, way: str) -> None:
    def train(ae: Autoencoder) -> set[bytes]:
        """Trains further; the codes that there are on the way."""
        ae.set_params(warm_start=True)
        if way == "fit":
            ae.fit(X)
        elif way == "partial_fit":
            for _ in range(4):
                ae.partial_fit(X)
                known.add(ae.encode(X).tobytes())
        else:
            for _ in ae.iter_fit(X, every=1):
                known.add(ae.encode(X).tobytes())
        return known

    alone, beside = (untrained(kind).fit(X) for _ in range(2))
    known = {alone.encode(X).tobytes()}
    train(alone)
    known.add(alone.encode(X).tobytes())
    seen = set[bytes]()
    with Beside(lambda: seen.add(beside.encode(X).tobytes())) as other:
        train(beside)
    assert other.count
    same(weights(beside), weights(alone))
    assert seen <= known


@pytest.mark.parametrize("place", ["there", "here"])
def test_random_numbers_in_another_thread_change_no_weight_and_are_unchanged(place: str) -> None:
    """Own modules with dropout are trained, and the global generator is drawn from, one of both in another thread."""
    alone = untrained("own modules").fit(X)
    drawn, wanted, fitted = list[float](), list[float](), list[Autoencoder]()

    def draw() -> None:
        drawn.append(float(torch.rand(())))

    torch.manual_seed(5)
    if place == "there":
        with Beside(draw):
            fitted.append(untrained("own modules").fit(X))
    else:
        with Beside(lambda: fitted.append(untrained("own modules").fit(X))):
            for _ in range(3000):
                draw()
    torch.manual_seed(5)
    wanted = [float(torch.rand(())) for _ in drawn]
    assert drawn == wanted
    for ae in fitted:
        same(weights(ae), weights(alone))


DRAWS: dict[str, Any] = {
    "dropout": lambda: F.dropout(torch.ones(50), 0.5),
    "alpha_dropout": lambda: F.alpha_dropout(torch.ones(50), 0.5, training=True),
    "dropout2d": lambda: F.dropout2d(torch.ones(2, 9, 2, 2), 0.5),
    "rrelu": lambda: F.rrelu(-torch.ones(9), training=True),
    "gumbel_softmax": lambda: F.gumbel_softmax(torch.ones(9)),
    "rand": lambda: torch.rand(9),
    "randn": lambda: torch.randn(2, 3, dtype=torch.float64),
    "randint": lambda: torch.randint(9, (9,)),
    "randint from": lambda: torch.randint(4, 9, (9,)),
    "randperm": lambda: torch.randperm(9),
    "rand_like": lambda: torch.rand_like(torch.ones(9)),
    "randn_like": lambda: torch.randn_like(torch.ones(9)),
    "randint_like": lambda: torch.randint_like(torch.ones(9), 9),
    "normal": lambda: torch.normal(torch.zeros(3), torch.ones(3)),
    "multinomial": lambda: torch.multinomial(torch.ones(9), 4),
    "gamma": lambda: torch.distributions.Gamma(2.0, 1.0).sample((3,)),
    "recurrent": lambda: nn.LSTM(3, 4, 2, dropout=0.5)(torch.ones(2, 2, 3))[0].detach(),
    "attention": lambda: F.scaled_dot_product_attention(*[torch.ones(1, 2, 3, 4)] * 3, dropout_p=0.5),
}


@pytest.mark.parametrize("name", DRAWS)
def test_random_draws_are_equal_with_and_without_other_threads(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    before, found = torch.get_rng_state(), []
    for beside in (False, True):
        with Beside(idle) if beside else nullcontext():
            assert (threading.active_count() > 1) == beside
            with draw_from(generator, torch.device("cpu")):
                found.append(DRAWS[name]())
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found[0], found[1])


class Recomputed(nn.Module):
    """Layers that keep nothing for the backward, where they are computed again."""

    def __init__(self, *layers: nn.Module, reentrant: bool = False, preserve: bool = True) -> None:
        super().__init__()
        self.inner, self.how = nn.Sequential(*layers), {"use_reentrant": reentrant, "preserve_rng_state": preserve}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.inner, x, **self.how)  # type: ignore[no-any-return]


def block(**how: bool) -> Recomputed:
    return Recomputed(nn.Linear(6, 6), nn.Dropout(0.5), nn.Tanh(), nn.Dropout(0.2), **how)


SPARING: dict[str, Callable[[], nn.Module]] = {
    "one": block,
    "two and what is kept": lambda: nn.Sequential(block(), nn.Dropout(0.3), block()),
    "one in another": lambda: Recomputed(block(), nn.Dropout(0.4), block()),
    "the older way": lambda: nn.Sequential(
        nn.Linear(6, 6), block(reentrant=True), nn.Dropout(0.3), block(reentrant=True)
    ),
}


def plain(module: nn.Module) -> nn.Module:
    """The same layers without checkpoints."""
    if isinstance(module, Recomputed):
        return plain(module.inner)
    return nn.Sequential(*map(plain, module)) if isinstance(module, nn.Sequential) else module


@pytest.mark.filterwarnings(
    "ignore:None of the inputs have requires_grad"
)  # of the older way, which is tried without gradients
@pytest.mark.parametrize("kind", SPARING)
def test_recomputation_in_the_backward_pass_draws_the_same_numbers(kind: str) -> None:
    """Alone, beside a thread that draws, and without checkpoints: the same weights."""
    torch.manual_seed(0)
    sparing, decoder = SPARING[kind](), nn.Linear(6, 6)
    world = torch.get_rng_state()
    found = [
        Autoencoder(Identity(6), architecture=Modules(encoder, decoder), epochs=2, batch_size=20, random_state=0)
        for encoder in (plain(copy.deepcopy(sparing)), sparing, sparing)
    ]
    kept, alone = (weights(ae.fit(X)) for ae in found[:2])
    assert torch.equal(torch.get_rng_state(), world)
    with Beside(idle):
        beside = weights(found[2].fit(X))
    assert torch.equal(torch.get_rng_state(), world)
    same(alone, kept)
    same(beside, kept)


def test_additional_draws_in_the_backward_pass_use_the_same_generator() -> None:
    torch.manual_seed(0)
    encoder, decoder = block(preserve=False), nn.Linear(6, 6)
    world = torch.get_rng_state()
    ae = Autoencoder(Identity(6), architecture=Modules(encoder, decoder), epochs=1, random_state=0)
    alone = weights(ae.fit(X))
    assert torch.equal(torch.get_rng_state(), world)
    same(weights(ae.fit(X)), alone)


def test_an_unknown_activation_checkpointing_is_refused_with_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    ae = Autoencoder(Identity(6), architecture=Modules(block(), nn.Linear(6, 6)), epochs=1, random_state=0)
    alone = weights(ae.fit(X))
    monkeypatch.setitem(module_rng.CHECKPOINT_FRAMES, "checkpoint", lambda frame: frame.f_locals["of another version"])
    with Beside(idle), pytest.raises(NotPossibleError, match=r"torch\.utils\.checkpoint"):
        ae.fit(X)
    same(weights(ae), alone)


def test_onednn_matmul_stays_enabled_until_the_last_thread_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one setting for all threads: the first one out must not take it from the others."""
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    monkeypatch.setattr(device, "exact_in_onednn", lambda: True)
    assert products.fp32_precision == "none"
    first, second = device.onednn_matmul(), device.onednn_matmul()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert products.fp32_precision == "bf16"
    second.__exit__(None, None, None)
    assert products.fp32_precision == "none"
