"""What a caller switched in PyTorch around a call changes no result: gradients, inference mode, autocast, default device and type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import required

from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    OutlierDetector,
    architectures,
    bottlenecks,
    corruptions,
    evaluate,
    load,
)
from isthmus.architectures import MLP, TCN, Attention, Conv, Recurrent
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.corruptions import GaussianNoise
from isthmus.nn.device import grad_mode, with_grad_mode

X = np.random.default_rng(0).normal(size=(48, 6)).astype(np.float32)
MAPS = np.random.default_rng(1).normal(size=(24, 8, 8, 1)).astype(np.float32)
Y = np.arange(48) % 3
Numbers = dict[str, np.ndarray]


@contextmanager
def doubles() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SWITCHES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast that is off": lambda: torch.autocast("cpu", enabled=False),
    "default type": doubles,
    "default device": lambda: torch.device("meta"),
    "deterministic": deterministic,
}


def numbers(name: str, ae: Autoencoder, rows: np.ndarray) -> Numbers:
    """The weights, and what is made of rows."""
    found = {f"{name}: {key}": value.numpy(force=True).copy() for key, value in ae.model_.state_dict().items()}
    methods = [ae.encode, ae.reconstruct, ae.score_samples, ae.corrupt]
    return found | {f"{name}: {method.__name__}": method(rows) for method in methods}


def life(folder: Path) -> tuple[Numbers, list[Autoencoder]]:
    """All ways to learn, and to use what was learned; and two autoencoders, one read from a file and one a copy."""
    new = Autoencoder(Gaussian(2), architecture=MLP((5,)), epochs=2, batch_size=16, random_state=0)
    layered = deepcopy(new).fit(X, layerwise=True)
    found = numbers("fit", layered, X) | {"sample": layered.sample(3, random_state=0)}
    found |= numbers("partial_fit", deepcopy(new).partial_fit(X).partial_fit(X), X)
    cut = deepcopy(new)
    for _ in cut.iter_fit(X):
        cut.checkpoint(folder / "cut.safetensors")
        break
    read = load(folder / "cut.safetensors")
    found |= numbers("resume", deepcopy(read).resume(X), X)
    found |= numbers("warm start", deepcopy(layered).set_params(warm_start=True).fit(X), X)
    stopping = {"early_stopping": True, "precision": "bfloat16", "epochs": 1}
    maps = Autoencoder(Identity(2), architecture=Conv((4,)), corruption=GaussianNoise(0.1), random_state=0, **stopping)
    found |= numbers("bfloat16", maps.fit(MAPS), MAPS)
    found["valid"] = np.asarray([report.val_loss for report in maps.history_])
    classifier = AutoencoderClassifier(layered, epochs=2, random_state=0).fit(X, Y)
    found["predict_proba"] = classifier.predict_proba(X)
    detector = OutlierDetector(layered, anomaly_score="combined", false_alarm_rate=0.2, random_state=0).fit(X)
    found["detector"] = detector.score_samples(X)
    measured = evaluate(layered, X, Y, train=X)
    found["evaluate"] = np.asarray([measured.errors.mse, measured.nats.nll, measured.pca.mse])
    return found, [read, deepcopy(layered)]


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    return life(tmp_path_factory.mktemp("ordinary"))[0]


@pytest.mark.parametrize("switch", SWITCHES)
def test_global_settings_of_pytorch_change_no_result(switch: str, ordinary: Numbers, tmp_path: Path) -> None:
    with SWITCHES[switch]():
        found, kept = life(tmp_path)
    assert found.keys() == ordinary.keys()
    assert [name for name, value in ordinary.items() if not np.array_equal(found[name], value)] == []
    for ae in kept:  # what was made within learns without
        before = ae.encode(X)
        assert not np.array_equal(ae.set_params(warm_start=True).fit(X).encode(X), before)


def made(module: Any, name: str) -> Any:
    kind = getattr(module, name)
    return kind(**required(kind))


CHOICES = [
    *[
        ("architecture", made(architectures, name))
        for name in architectures.__all__
        if name not in {"Modules", "Conditional"}
    ],
    *[("bottleneck", made(bottlenecks, name)) for name in bottlenecks.__all__],
    *[("corruption", made(corruptions, name)) for name in corruptions.__all__],
    ("corruption", corruptions.Occlusion(keep="window")),
]


@pytest.mark.parametrize(("slot", "choice"), CHOICES, ids=repr)
def test_no_component_depends_on_the_default_dtype(slot: str, choice: Any) -> None:
    """Everybody's default type of numbers changes neither what is drawn nor in which type it is computed."""
    choices = {"bottleneck": Identity(4), "architecture": MLP((5,)), "epochs": 1, "random_state": 0} | {slot: choice}
    series = isinstance(choice, TCN | Recurrent | Attention)  # which take (n, time, channels)
    ae, maps = Autoencoder(**choices, **({"kind": "series"} if series else {})), MAPS[..., 0] if series else MAPS
    with doubles():
        found = numbers("", deepcopy(ae).fit(maps), maps)
    for name, value in numbers("", ae.fit(maps), maps).items():
        assert found[name].dtype == value.dtype, name
        assert np.array_equal(found[name], value), name


def test_between_reports_global_settings_are_those_of_the_caller() -> None:
    ae, seen = Autoencoder(Identity(2), epochs=2, random_state=0), list[tuple[bool, bool]]()
    with torch.inference_mode(), torch.autocast("cpu"):
        for _ in ae.iter_fit(X):
            seen.append((torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")))
        assert torch.is_inference_mode_enabled()
    assert seen == [(True, True)] * 2
    assert not torch.is_autocast_enabled("cpu")


def test_an_abandoned_generator_ends_in_training_mode() -> None:
    ends = list[bool]()

    @with_grad_mode
    def counted() -> Any:
        try:
            yield from (1, 2, 3)
        finally:
            ends.append(torch.is_grad_enabled())

    with torch.no_grad():
        items = counted()
        assert next(items) == 1
        items.close()
        assert not torch.is_grad_enabled()
    assert ends == [True]


def test_the_gradient_mode_context_changes_no_other_setting() -> None:
    with grad_mode():
        assert torch.is_grad_enabled()
        assert torch.ones(1).dtype == torch.float32
        assert torch.ones(1).device.type == "cpu"
