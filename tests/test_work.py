"""How much a model computes, and on how many threads it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import InstanceOf
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from isthmus import Autoencoder, AutoencoderClassifier, load
from isthmus.architectures import MLP, Conv, Modules
from isthmus.architectures.base import Architecture
from isthmus.bottlenecks import Bottleneck, Gaussian, Identity, TopK, VectorQuantized
from isthmus.corruptions import Corruption
from isthmus.estimators.memory_estimate import footprint
from isthmus.estimators.training_defaults import threads_for
from isthmus.records import record

SMALL, LARGE = np.random.default_rng(0).normal(size=(40, 8)), np.random.default_rng(0).normal(size=(40, 900))


@pytest.fixture
def two_threads() -> Iterator[None]:
    """The processor may have one alone; PyTorch begins a second all the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("architecture", "shape", "bottleneck"),
    [
        (MLP((30, 20)), (17,), VectorQuantized(4, codebook_size=11)),
        (Conv(), (13, 7, 3), VectorQuantized(4, codebook_size=11)),
        (Conv((8,), code="map"), (12, 20, 1), VectorQuantized(4, codebook_size=300)),
        (MLP((30, 20)), (17,), Gaussian(4)),
        (MLP((30, 20)), (17,), TopK(4, k=2)),
        (MLP((30, 20)), (17,), Identity(4)),
        (MLP((30, 20), tied=True), (17,), Identity(4)),
        (MLP((30,)), (9, 5, 2), Identity(4)),
        (Conv(), (28, 28, 1), Identity(4)),
        (Conv(), (13, 7, 3), Identity(4)),
        (Conv(), (40, 2), Identity(4)),
        (Conv((8,), up="transpose"), (16, 16, 3), Identity(4)),
        (Conv((8,), up="double", kernel=5), (12, 20, 1), Identity(4)),
        (Conv((8, 4), down="stride"), (9, 8, 8, 1), Identity(4)),
    ],
)
def test_the_multiplications_of_a_model_are_those_that_pytorch_counts(
    architecture: Architecture, shape: tuple[int, ...], bottleneck: Bottleneck
) -> None:
    model = Autoencoder(bottleneck, architecture=architecture).initialize(np.random.rand(8, *shape)).model_

    def counted(examples: int) -> int:
        x = torch.zeros(examples, *shape, dtype=model.dtype)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.decode(model.encode(x))
        return counter.get_total_flops()

    of_one = counted(3) - counted(2)  # what is done once for all of them does not count
    assert 2 * footprint(model).multiplications == of_one


def test_small_products_use_one_thread_and_large_ones_all(two_threads: None) -> None:
    small, large = (Autoencoder(architecture=MLP((512,))).initialize(X).model_ for X in (SMALL, LARGE))
    assert threads_for(small, 100) == 1
    assert threads_for(large, 100) == 2
    assert threads_for(small, 10_000) == 2
    torch.set_num_threads(1)  # what the user sets is never exceeded
    assert threads_for(large, 100) == 1


def test_custom_modules_use_all_threads(two_threads: None) -> None:
    own = Modules(nn.Linear(8, 2), nn.Linear(2, 8))
    model = Autoencoder(Identity(2), architecture=own).initialize(SMALL).model_
    assert threads_for(model, 1) == 2


@record
class Counts(Corruption):
    """Spoils nothing, and notes on how many threads a step is computed."""

    seen: InstanceOf[list]  # type: ignore[type-arg]

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        self.seen.append(torch.get_num_threads())
        return x.clone()


@pytest.mark.parametrize(("X", "count"), [(SMALL, 1), (LARGE, 2)])
def test_steps_and_validation_set_and_restore_the_number_of_threads(two_threads: None, X: Any, count: int) -> None:
    seen = list[int]()
    ae = Autoencoder(Identity(4), architecture=MLP((1024,)), corruption=Counts(seen), epochs=2, batch_size=40)
    for _ in ae.iter_fit(X, validation_data=X):
        assert torch.get_num_threads() == 2  # between reports all is as it was
    assert set(seen) == {count}
    assert len(seen) == 4
    assert torch.get_num_threads() == 2


def test_layerwise_training_and_classifiers_set_the_number_of_threads(two_threads: None) -> None:
    seen = list[int]()
    ae = Autoencoder(Identity(4), architecture=MLP((6,)), corruption=Counts(seen), epochs=1, batch_size=40)
    ae.fit(SMALL, layerwise=True)
    taken = list[int]()
    small = torch.nn.functional.cross_entropy

    def noting(*args: Any, **kwargs: Any) -> Tensor:
        taken.append(torch.get_num_threads())
        return small(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "cross_entropy", noting)
        AutoencoderClassifier(ae, epochs=1).fit(SMALL, np.arange(40) % 2)
    assert set(seen) == {1}
    assert set(taken) == {1}


def test_a_training_on_one_thread_resumes_bit_identically_with_any_thread_setting(
    two_threads: None, tmp_path: Path
) -> None:
    """No warning: with more threads set, it goes on with one all the same."""
    ae = Autoencoder(Identity(2), epochs=2, batch_size=10, random_state=0)
    for report in ae.iter_fit(SMALL, every=1):
        if report.step == 3:
            ae.checkpoint(tmp_path / "x")
    torch.set_num_threads(3)
    np.testing.assert_array_equal(load(tmp_path / "x").resume(SMALL).encode(SMALL), ae.encode(SMALL))
