"""What must hold for every choice there is: each test runs over every name in every `__all__`, so that a new one is tested by existing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from cases import required, thorough_where
from sklearn.base import clone
from suitable import EVERY_LIKELIHOOD, values_for
from torch import nn

from isthmus import (
    Autoencoder,
    architectures,
    augmentations,
    bottlenecks,
    corruptions,
    data,
    likelihoods,
    load,
    optimizers,
    penalties,
    priors,
    recipes,
    records,
    scaling,
    schedules,
)
from isthmus.architectures import MLP, Conv, Modules
from isthmus.bottlenecks import Gaussian, Identity, TopK
from isthmus.errors import NotPossibleError, RecordError
from isthmus.estimators.named_records import record_types
from isthmus.estimators.overrides import overridden
from isthmus.experiments.tutorials import TUTORIALS

MODULES: tuple[ModuleType, ...] = (
    augmentations,
    corruptions,
    architectures,
    bottlenecks,
    likelihoods,
    penalties,
    priors,
    optimizers,
    scaling,
    schedules,
)
EVERY = [pytest.param(module, name, id=name) for module in MODULES for name in module.__all__]


def made(module: ModuleType, name: str) -> Any:
    """The record of a name, with what has no default filled in."""
    kind = getattr(module, name)
    if kind is Modules:
        encoder, decoder = (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 4)),
            nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (8, 8))),
        )
        return Modules(encoder, decoder)
    return kind(**required(kind))


def every(module: ModuleType, but: tuple[str, ...] = ()) -> Callable[..., Any]:
    """Parametrizes a test over a module's records."""
    return pytest.mark.parametrize("name", [name for name in module.__all__ if name not in but])


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


@pytest.mark.parametrize(("module", "name"), EVERY)
def test_a_record_is_a_value(module: ModuleType, name: str) -> None:
    record = made(module, name)
    assert clone(record) is record
    assert repr(record).startswith(f"{name}(") or any(sign in repr(record) for sign in (" >> ", " + "))  # chain or sum
    with pytest.raises(AttributeError):
        record.surely_new = 1
    with pytest.raises(RecordError, match="no field 'tpyo'"):
        record.replace(tpyo=1)
    if name != "Modules":
        again = records.read(json.loads(json.dumps(records.describe(record))), record_types())
        assert (again, hash(again)) == (record, hash(record))
        assert record == made(module, name)


@pytest.mark.parametrize(("module", "name"), EVERY)
def test_every_numeric_field_refuses_invalid_values(module: ModuleType, name: str) -> None:
    record = made(module, name)
    for field in records.field_names(record):
        if field not in {"encoder", "decoder"}:
            with pytest.raises(RecordError, match=name):
                record.replace(**{field: object()})
        if isinstance(getattr(record, field), float):
            with pytest.raises(RecordError, match="finite"):
                record.replace(**{field: float("nan")})


@every(corruptions)
def test_a_corruption_keeps_shape_and_input_and_is_a_function_of_its_generator(name: str) -> None:
    corruption = made(corruptions, name)
    for shape in ((20,), (8, 8), (7, 9, 3)):
        x = torch.rand(50, *shape, generator=generator(1))
        kept = x.clone()
        first, second = corruption(x, generator(2)), corruption(x, generator(2))
        assert first.shape == x.shape
        assert torch.equal(x, kept)
        assert torch.equal(first, second)
        assert name == "Clean" or not torch.equal(first, x)


@every(corruptions)
def test_stochastic_is_true_for_corruptions_that_draw_random_numbers(name: str) -> None:
    for corruption in [made(corruptions, name)] + [
        corruptions.Occlusion(keep=keep) for keep in ("left", "window", "around") if name == "Occlusion"
    ]:
        used = generator(2)
        corruption(torch.rand(50, 6, 6), used)
        assert corruption.stochastic == (not torch.equal(used.get_state(), generator(2).get_state()))


@every(bottlenecks)
def test_stochastic_is_true_for_bottlenecks_that_draw_random_numbers(name: str) -> None:
    bottleneck, used = made(bottlenecks, name), generator(2)
    bottleneck(torch.randn(50, bottleneck.encoder_outputs), bottleneck.variables(generator()).train(), used)
    assert bottleneck.stochastic == (not torch.equal(used.get_state(), generator(2).get_state()))


@every(bottlenecks)
def test_codes_of_discrete_bottlenecks_are_codebook_entries(name: str) -> None:
    bottleneck = made(bottlenecks, name)
    z = bottleneck.deterministic(
        torch.randn(5000, bottleneck.encoder_outputs), bottleneck.variables(generator()).eval()
    ).z
    assert bottleneck.discrete == (len(z.unique(dim=0)) <= 512)


@every(corruptions)
def test_fixed_corruption_of_an_example_is_equal_in_every_batch(name: str, digits: data.Dataset) -> None:
    from isthmus.training.batches import InMemorySource, MemmapSource
    from isthmus.training.config import TrainingConfig
    from isthmus.training.encoder_input import EncoderInput

    corruption = made(corruptions, name).replace(fixed=True)
    X = digits.train[:40]
    ae = Autoencoder(epochs=1).fit(X)
    plan = TrainingConfig(corruption, made(optimizers, "Adam"), 1, 16, 3)
    device = torch.device("cpu")
    resident, streamed = (EncoderInput(ae.model_, kind(X, device), plan) for kind in (InMemorySource, MemmapSource))
    x, order = torch.from_numpy(X), torch.randperm(40, generator=generator())
    first = resident(x, torch.arange(40), generator(1)).x
    assert torch.equal(first[order], resident(x[order], order, generator(2)).x)
    assert torch.equal(first[order], streamed(x[order], order, generator(2)).x)


@every(bottlenecks)
def test_a_bottleneck_keeps_its_contract(name: str) -> None:
    bottleneck = made(bottlenecks, name)
    variables = bottleneck.variables(generator())
    for positions in ((), (3, 2)):
        h = torch.randn(10, *positions, bottleneck.encoder_outputs, generator=generator(1), requires_grad=True)
        code = bottleneck(h, variables, generator(2))
        draws = bottleneck.draws
        assert code.z.shape == (draws * 10, *positions, bottleneck.size)
        assert code.penalty.shape == (draws * 10,)
        assert draws > 1 or (code.penalty >= 0).all()  # log q - log p of a draw may be negative
        losses = [torch.rand(draws, 10), code.penalty.reshape(draws, 10)]
        assert [part.shape for part in bottleneck.combine(*losses, code.z)] == [(10,), (10,)]
        (code.z.square().sum() + code.penalty.sum()).backward()
        assert h.grad is not None
        assert h.grad.abs().sum() > 0
        variables.eval()
        before = {key: value.clone() for key, value in variables.state_dict().items()}
        point, again = bottleneck.deterministic(h, variables), bottleneck.deterministic(h, variables)
        bottleneck(h, variables, generator(3))
        assert torch.equal(point.z, again.z)
        assert all(torch.equal(before[key], value) for key, value in variables.state_dict().items())
        variables.train()
    if bottleneck.has_prior:
        assert bottleneck.sample((5, 4), variables, generator()).shape == (5, 4)
    else:
        more = "$" if bottleneck.discrete else "; method='gmm'"
        with pytest.raises(NotPossibleError, match=f"^{name} has no prior to sample from; Gaussian has one{more}"):
            bottleneck.sample((5, 4), variables, generator())


@every(optimizers, but=("Constant", "Cosine", "OneCycle"))
def test_an_optimizer_descends(name: str) -> None:
    weight = nn.Parameter(torch.tensor([3.0, -2.0]))
    record = made(optimizers, name)
    optimizer = record.build([weight])
    for _ in range(300):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step(max(record.lr, 0.05))
    assert weight.square().sum() < 0.9 * 13


@every(schedules)
def test_schedules_are_fractions_with_the_stated_end(name: str) -> None:
    schedule = made(schedules, name)
    factors = [schedule(step / 1000) for step in range(1000)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) == pytest.approx(1)
    assert factors[-1] == pytest.approx(getattr(schedule, "final", 1.0), abs=1e-4)


@every(scaling)
@pytest.mark.parametrize("shape", [(6,), (5, 4), (5, 4, 3)])
def test_inverse_transform_undoes_transform_of_a_scaling(
    name: str, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    X = rng.gamma(2.0, 20.0, (300, *shape))
    X[:, 0] = 7.0  # constant
    shift, scale = made(scaling, name).fit(X)
    x = (X - shift) / scale
    assert np.isfinite(x).all()
    np.testing.assert_allclose(x * scale + shift, X, rtol=1e-9)
    if name == "Standard":
        np.testing.assert_allclose(x.mean(0), 0, atol=1e-9)
        np.testing.assert_allclose(x.std(0)[1:], 1)
    if name == "MinMax":
        assert (x.min(), x.max()) == (0, 1)


COMPONENTS = [
    *[("bottleneck", made(bottlenecks, name)) for name in bottlenecks.__all__],
    *[("corruption", made(corruptions, name)) for name in corruptions.__all__],
    *[("likelihood", likelihood) for likelihood in EVERY_LIKELIHOOD],
    *[("scaling", made(scaling, name)) for name in scaling.__all__ if name not in {"Logarithm", "PerColumn"}],
    ("scaling", scaling.Logarithm(shift=1)),  # PerColumn, for tables: tests/test_skewed.py
    *[
        ("optimizer", made(optimizers, name))
        for name in optimizers.__all__
        if name not in {"Constant", "Cosine", "OneCycle"}
    ],
    ("architecture", MLP(8)),
    ("architecture", Conv(4)),
    ("architecture", Conv(4, code="map", down="stride", up="transpose")),
    ("architecture", made(architectures, "Modules")),
]


@pytest.mark.parametrize(("slot", "record"), COMPONENTS, ids=repr)
def test_a_loaded_model_is_bit_identical_to_the_saved_one(
    slot: str, record: Any, digits: data.Dataset, tmp_path: Path
) -> None:
    X = digits.train[:64] if slot != "likelihood" else values_for(record, (64, 8, 8))
    choices: dict[str, Any] = {"bottleneck": Identity(4), "architecture": MLP(16), "kind": "images", slot: record}
    ae = Autoencoder(epochs=2, batch_size=16, random_state=0, **choices).fit(X)
    assert all(np.isfinite(report.loss) for report in ae.history_)
    ae.save(tmp_path / "model.safetensors")
    again = load(tmp_path, architecture=record if isinstance(record, Modules) else None)
    assert again.get_params() == ae.get_params() | {"device": "auto"}
    for method in ("encode", "reconstruct", "score_samples"):
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(ae, method)(X))
    assert again.history_ == ae.history_


@pytest.mark.parametrize("architecture", [MLP(16), Conv((4, 8)), Conv(4, code="map")], ids=repr)
@pytest.mark.parametrize("bottleneck", [Identity(3), Gaussian(3), TopK(4, k=2)], ids=repr)
def test_results_are_bit_identical_for_every_order_and_grouping_of_rows(
    architecture: Any, bottleneck: Any, digits: data.Dataset
) -> None:
    ae = Autoencoder(bottleneck, architecture=architecture, epochs=1, random_state=0).fit(digits.train[:64])
    X = digits.test[:150]
    whole, order = ae.transform(X), np.random.default_rng(0).permutation(150)
    np.testing.assert_array_equal(ae.transform(X[order]), whole[order])
    np.testing.assert_array_equal(np.concatenate([ae.transform(part) for part in np.array_split(X, 11)]), whole)


OF_COUNTS = {"counts", "recommender"}  # recipes for whole numbers from 0
OF_IMAGES = {"photos", "quantized"}


@pytest.mark.parametrize("name", thorough_where(recipes.__all__, lambda name: name != "deep"))
def test_a_recipe_learns_images(name: str, digits: data.Dataset) -> None:
    train, test = ((16 * part).round() if name in OF_COUNTS else part for part in (digits.train, digits.test))
    ae = getattr(recipes, name)().set_params(epochs=12, random_state=0).fit(train)
    X = test if name != "completing" else ae.corrupt(test)
    error = np.square(ae.reconstruct(X) - test).mean()
    assert error < 0.75 * test.var(axis=0).mean()


@pytest.mark.parametrize(
    "name",
    thorough_where(
        [name for name in recipes.__all__ if name not in OF_IMAGES | OF_COUNTS], lambda name: name != "variational"
    ),
)
def test_a_recipe_takes_tables(name: str, rng: np.random.Generator) -> None:
    X = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 12)) * 50 + 1000
    ae = getattr(recipes, name)().set_params(random_state=0).fit(X)
    given = X if name not in {"completing", "denoising"} else ae.corrupt(X)
    assert np.square((ae.reconstruct(given) - X) / X.std(0)).mean() < 0.9


IDS = [
    *("tf-simple", "tf-conv", "tf-denoising", "keras-simple", "keras-sparse", "keras-deep"),
    *("keras-conv", "keras-denoising", "keras-vae", "keras-tsne", "lowlevel", "sequential"),
    *("fashion-deep", "pca", "strided-0.3", "strided-0.8", "dense-or-conv", "occluded"),
]


def test_the_tutorials_are_all_there() -> None:
    assert [tutorial.id for tutorial in TUTORIALS] == IDS


@pytest.mark.parametrize(
    "tutorial", thorough_where(TUTORIALS, lambda tutorial: tutorial.id == "pca"), ids=lambda tutorial: tutorial.id
)
def test_a_tutorial_trains_and_is_measured(tutorial: Any, mnist: data.Dataset) -> None:
    from isthmus.experiments.tutorial_metrics import METRICS

    small = replace(mnist, train=mnist.train[:400], test=mnist.test[:200])
    for system in tutorial.systems:
        ae = overridden(system.build(), ["epochs=0.5"]).fit(small.train, validation_data=small.test)
        figures = {name: METRICS[name](ae, small) for name in system.published}
        assert all(np.isfinite(value) and value >= 0 for value in figures.values())
        if "encoder parameters" in figures:
            assert figures["encoder parameters"] == 236_436
            assert figures["decoder parameters"] == 237_200


@pytest.mark.parametrize(
    ("name", "count"),
    [("keras-simple", 50_992), ("keras-deep", 222_384), ("keras-conv", 4_385), ("keras-denoising", 28_353)],
)
def test_tutorial_networks_have_the_published_number_of_parameters(name: str, count: int, mnist: data.Dataset) -> None:
    (system,) = next(tutorial for tutorial in TUTORIALS if tutorial.id == name).systems
    assert overridden(system.build(), ["epochs=0.01"]).fit(mnist.train[:300]).n_parameters_ == count


def test_the_default_recipe_compresses_narrow_tables_too(rng: np.random.Generator) -> None:
    X = rng.normal(size=(40, 9))
    assert recipes.deep().set_params(epochs=1).fit(X).code_shape_ == (5,)
    assert overridden(recipes.deep(), ["bottleneck.size=3"]).bottleneck == Identity(3)
