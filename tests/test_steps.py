"""A step that is recorded and replayed does what the same step does when it is done anew; on a GPU, and with a recording made up here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, data
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Bottleneck, Gaussian, Identity, ImportanceWeighted, Nested
from isthmus.corruptions import GaussianNoise
from isthmus.model import Model
from isthmus.optimizers import SGD, Adadelta, AdamW, OneCycle, Optimizer, RMSprop
from isthmus.priors import Mixture, VampPrior
from isthmus.scaling import Columns
from isthmus.schedules import Cyclic, Warmup
from isthmus.training import cuda_graph

OPTIMIZERS = [
    AdamW(3e-3, schedule=OneCycle()),
    SGD(1e-3, clip=1.0),
    RMSprop(1e-3),
    RMSprop(1e-3, momentum=0.5),
    Adadelta(0.5),
]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here: CUDA graphs are tested on one")


class MadeUp(cuda_graph.CapturedStep):
    """A recording as far as a processor can have one: the same fixed tensors, and the work done anew from them at each replay."""

    def __init__(
        self, work: Any, raw: torch.Tensor, index: torch.Tensor, generator: torch.Generator, count: int = 1
    ) -> None:
        self.raw, self.index = raw.clone(), index.clone()
        self.rates = tuple(torch.zeros((), dtype=torch.float64) for _ in range(count))
        self.work, self.graph = work, self

    def replay(self) -> None:
        self.losses = self.work(self.raw, self.index, self.rates)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[cuda_graph.CapturedStep]:
    """Steps are recorded though no GPU is here; the recordings that were made."""
    made: list[cuda_graph.CapturedStep] = []

    def record(*given: Any) -> cuda_graph.CapturedStep:
        made.append(MadeUp(*given))
        return made[-1]

    monkeypatch.setattr(cuda_graph, "can_capture", lambda _: True)
    monkeypatch.setattr(cuda_graph, "CapturedStep", record)
    return made


def trained(X: np.ndarray, optimizer: Optimizer, device: str = "cpu", **choices: Any) -> Autoencoder:
    choices = {"architecture": MLP((16,)), "epochs": 2, "batch_size": 32, "random_state": 0} | choices
    return Autoencoder(Gaussian(3), corruption=GaussianNoise(0.1), optimizer=optimizer, device=device, **choices).fit(X)


def weights(ae: Autoencoder) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1).cpu() for p in ae.model_.parameters()])


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_a_replayed_step_equals_the_step(
    optimizer: Optimizer, digits: data.Dataset, recorded: list[cuda_graph.CapturedStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    X = digits.train[:330]  # the last batch of an epoch is smaller, and is not replayed
    replayed = trained(X, optimizer)
    assert len(recorded) == 1
    monkeypatch.undo()
    anew = trained(X, optimizer)
    assert not torch.equal(weights(anew), weights(trained(X, optimizer.replace(lr=optimizer.lr * 1.01))))
    torch.testing.assert_close(weights(replayed), weights(anew), rtol=1e-5, atol=1e-7)
    assert replayed.history_[-1].loss == pytest.approx(anew.history_[-1].loss, rel=1e-6)


@pytest.mark.parametrize(
    "bottleneck",
    [
        Gaussian(3, schedule=Cyclic(2), free_bits=0.1),
        Gaussian(3, prior=VampPrior(4), schedule=Warmup(0.7)),
        ImportanceWeighted(3, 2, gradient="dreg", prior=Mixture(3)),
        Nested(3),
    ],
    ids=repr,
)
def test_a_replayed_step_has_the_schedule_and_the_draws_of_the_bottleneck(
    bottleneck: Bottleneck,
    digits: data.Dataset,
    recorded: list[cuda_graph.CapturedStep],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choices: dict[str, Any] = {"architecture": MLP((16,)), "epochs": 2, "batch_size": 32, "random_state": 0}
    X = digits.train[:330]
    replayed = Autoencoder(bottleneck, **choices).fit(X)
    assert len(recorded) == 1
    assert len(recorded[0].rates) == (2 if isinstance(bottleneck, Gaussian) else 1)
    monkeypatch.undo()
    anew = Autoencoder(bottleneck, **choices).fit(X)
    torch.testing.assert_close(weights(replayed), weights(anew), rtol=1e-5, atol=1e-6)
    assert replayed.history_[-1].penalty == pytest.approx(anew.history_[-1].penalty, rel=1e-5)


def test_fixed_noise_is_replayed_for_its_examples(
    digits: data.Dataset, recorded: list[cuda_graph.CapturedStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = {"architecture": MLP((16,)), "corruption": GaussianNoise(0.3, fixed=True), "epochs": 2, "batch_size": 32}
    replayed = Autoencoder(Identity(3), random_state=0, **choices).fit(digits.train[:320])
    assert len(recorded) == 1
    monkeypatch.undo()
    anew = Autoencoder(Identity(3), random_state=0, **choices).fit(digits.train[:320])
    torch.testing.assert_close(weights(replayed), weights(anew), rtol=1e-5, atol=1e-7)


def test_tables_with_categories_are_replayed(
    recorded: list[cuda_graph.CapturedStep], monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    X = np.stack([rng.normal(size=320), rng.integers(0, 3, 320), rng.normal(size=320)], 1)
    X[rng.random(X.shape) < 0.1] = np.nan
    choices: dict[str, Any] = {"scaling": Columns((0, 3, 0)), "missing": "allow", "epochs": 2, "batch_size": 32}
    replayed = Autoencoder(2, random_state=0, **choices).fit(X)
    assert len(recorded) == 1
    monkeypatch.undo()
    anew = Autoencoder(2, random_state=0, **choices).fit(X)
    torch.testing.assert_close(weights(replayed), weights(anew), rtol=1e-5, atol=1e-7)


def test_steps_that_cannot_be_recorded_are_computed_normally(
    digits: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Model, "kernel_pass", lambda *_: None)  # a GPU has none, and they round otherwise
    tried = []

    def refuse(*given: Any) -> cuda_graph.CapturedStep:
        tried.append(given)
        raise RuntimeError("operation not permitted when stream is capturing")

    X = digits.train[:320]
    normal = trained(X, OPTIMIZERS[0])
    monkeypatch.setattr(cuda_graph, "can_capture", lambda _: True)
    monkeypatch.setattr(cuda_graph, "CapturedStep", refuse)
    refused = trained(X, OPTIMIZERS[0])
    assert len(tried) == 1
    assert torch.equal(weights(refused), weights(normal))


def test_noise_is_a_function_of_the_random_state_and_the_step(
    digits: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[float] = []
    corrupt = GaussianNoise.__call__

    def watched(self: GaussianNoise, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        corrupted = corrupt(self, x, generator)
        drawn.append(float((corrupted - x).flatten()[0]))
        return corrupted

    monkeypatch.setattr(GaussianNoise, "__call__", watched)

    def noise(random_state: int, *rounds: float) -> list[float]:
        drawn.clear()
        ae = Autoencoder(
            Identity(3), architecture=MLP(()), corruption=GaussianNoise(0.1), batch_size=32, warm_start=True
        )
        for epochs in rounds:
            ae.set_params(random_state=random_state, epochs=epochs).fit(digits.train[:320])
        return list(drawn)

    whole = noise(0, 2)
    assert len(set(whole)) == 20
    assert noise(0, 1, 1) == whole  # what comes later does not begin anew
    assert not set(noise(1, 2)) & set(whole)


@gpu
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_on_a_gpu_a_replayed_step_equals_the_step(
    optimizer: Optimizer, digits: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = digits.train[:330]
    replayed = trained(X, optimizer, "cuda")
    monkeypatch.setattr(cuda_graph, "can_capture", lambda _: False)
    anew = trained(X, optimizer, "cuda")
    torch.testing.assert_close(weights(replayed), weights(anew), rtol=1e-4, atol=1e-5)


@gpu
@pytest.mark.parametrize("architecture", [MLP((64, 32)), Conv((8, 16)), Conv((8,), code="map")], ids=str)
def test_on_a_gpu_training_is_repeatable_and_as_good(architecture: Any, digits: data.Dataset) -> None:
    optimizer = AdamW(3e-3, schedule=OneCycle())
    there, again, here = (
        trained(digits.train, optimizer, device, architecture=architecture) for device in ("cuda", "cuda", "cpu")
    )
    torch.testing.assert_close(weights(there), weights(again), rtol=1e-3, atol=1e-4)
    assert there.score(digits.test) == pytest.approx(here.score(digits.test), rel=0.05)
    np.testing.assert_allclose(there.reconstruct(digits.test[:9]), here.reconstruct(digits.test[:9]), atol=12)
