"""The from-scratch scripts in `examples/` and the tutorials' systems cost the same, epoch by epoch.

Both begin with the same weights, take the same batches in the same order and are given the same noise, in double precision. What differs
is whose layers, losses and optimizers compute, so each is held against the other.
"""

from __future__ import annotations

import ast
import importlib.util
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from isthmus import data, tutorials
from isthmus.estimators import Autoencoder
from isthmus.training.rng import RandomStream, seeded

FOLDER = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))
DIGITS, EPOCHS, BATCH, PIXELS = 70, 2, 20, 784


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def some(mnist: data.Dataset) -> np.ndarray:
    return mnist.train[:DIGITS]


@pytest.fixture(scope="module")
def x(some: np.ndarray) -> Tensor:
    """The digits as isthmus sees them: bytes over 255, in single precision, and then in double."""
    return torch.from_numpy(some).float().div(255).double()


def system(tutorial: str) -> Autoencoder:
    return (
        tutorials.find(tutorial)
        .systems[0]
        .build()
        .set_params(epochs=EPOCHS, batch_size=BATCH, precision="float64", device="cpu")
    )


def losses(tutorial: str, some: np.ndarray) -> list[float]:
    """What isthmus's system costs in each epoch, in nats per digit."""
    return [report.loss for report in system(tutorial).fit(some).history_]


def nets(module: Any, tutorial: str, some: np.ndarray) -> list[nn.Module]:
    """The script's encoder and decoder, with the weights that isthmus's begin with."""
    model = system(tutorial).initialize(some).model_
    built = [net.double() for net in module.build()]
    for theirs, ours in zip(built, (model.encoder, model.decoder), strict=True):
        for weight, first in zip(theirs.parameters(), ours.parameters(), strict=True):
            assert weight.shape == first.shape
            weight.data.copy_(first)
    return built


def orders() -> Iterator[Tensor]:
    """The order in which isthmus takes the examples of each epoch."""
    for epoch in range(EPOCHS):
        yield torch.randperm(DIGITS, generator=seeded("cpu", 0, RandomStream.ORDER, epoch))


def noise_of_steps() -> Callable[[torch.Size], Tensor]:
    """The noise that isthmus draws, step by step."""
    steps = itertools.count()
    return lambda shape: torch.empty(shape, dtype=torch.float64).normal_(
        generator=seeded("cpu", 0, RandomStream.NOISE, next(steps))
    )


def noise_of_examples(x: Tensor) -> Tensor:
    """The noise that isthmus draws for each example once and for all."""
    generators = (seeded("cpu", 0, RandomStream.FIXED_CORRUPTION, i) for i in range(len(x)))
    return torch.stack([torch.empty_like(x[0]).normal_(generator=generator) for generator in generators])


def test_the_dense_autoencoder_costs_the_same(some: np.ndarray, x: Tensor) -> None:
    module = script("dense_autoencoder")
    theirs = module.train(x.flatten(1), *nets(module, "keras-simple", some), orders(), BATCH)
    np.testing.assert_allclose(PIXELS * np.array([*theirs]), losses("keras-simple", some), rtol=1e-7)


def test_the_variational_autoencoder_costs_the_same(some: np.ndarray, x: Tensor) -> None:
    module = script("variational_autoencoder")
    theirs = module.train(x.flatten(1), *nets(module, "keras-vae", some), orders(), BATCH, noise_of_steps())
    np.testing.assert_allclose([*theirs], losses("keras-vae", some), rtol=1e-7)


def test_the_denoising_autoencoder_costs_the_same(some: np.ndarray, x: Tensor) -> None:
    module, clean = script("denoising_autoencoder"), x.unsqueeze(1)
    noisy = module.corrupt(clean, noise_of_examples(clean))
    theirs = module.train(noisy, clean, *nets(module, "keras-denoising", some), orders(), BATCH)
    np.testing.assert_allclose(PIXELS * np.array([*theirs]), losses("keras-denoising", some), rtol=1e-7)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_short_and_imports_only_data_from_isthmus(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    nodes = ast.walk(ast.parse(text))
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for alias in node.names}
    assert {name for name in names if name and name.split(".")[0] == "isthmus"} == {"isthmus.data"}
    before, _, after = text.partition('if __name__ == "__main__":')
    assert "from isthmus" not in before
    assert "from isthmus.data import mnist" in after


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_prints_its_test_loss(path: Path, x: Tensor, capsys: pytest.CaptureFixture[str]) -> None:
    module, digits = script(path.stem), x.float()
    digits = digits.unsqueeze(1) if path.stem.startswith("denoising") else digits.flatten(1)
    with torch.random.fork_rng(devices=[]):  # a script draws from the global generator, as scripts do
        module.main(digits[:60], digits[60:], 2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    for line in lines:
        trained, held_out = map(float, re.findall(r"\d+\.\d+", line))
        assert 0 < trained < 700
        assert 0 < held_out < 700
