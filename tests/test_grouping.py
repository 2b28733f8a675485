"""Any grouping or order of examples gives the same answers, bit for bit: every choice, all methods, both precisions, lesser processors."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cases import required, thorough_where
from suitable import EVERY_LIKELIHOOD, values_for
from torch import Generator, nn

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, architectures, bottlenecks
from isthmus.architectures import MLP, TCN, Attention, Conv, Modules, Recurrent
from isthmus.bottlenecks import Identity
from isthmus.bottlenecks.base import Code
from isthmus.errors import IsthmusWarning
from isthmus.likelihoods import Bernoulli, Normal
from isthmus.nn.invariant import batch_invariant, dense
from isthmus.records import record

Method = Callable[[Any], Any]

LESS = {  # processors of fewer instructions, as far as the libraries let one choose
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "none": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
SHAPES: dict[str, list[tuple[int, ...]]] = {"Conv": [(13, 7), (32, 32, 3), (31,), (5, 6, 7, 2)]}  # others: (13, 7)
VARIANTS = {
    "Conv": [
        Conv((8, 16)),
        Conv((16,), down="stride", up="transpose", activation="silu"),
        Conv((16,), code="map", up="double", activation="gelu"),
    ],
    "MLP": [MLP((30, 9), activation="tanh"), MLP((), tied=True)],
    "TCN": [TCN((8, 8)), TCN((6,), code="sequence", activation="silu")],
    "Recurrent": [Recurrent((9, 8)), Recurrent((7,), "lstm", code="sequence")],
    "Attention": [Attention(12, 3, 1, 11), Attention(8, 2, 1, 16, code="sequence", activation="silu")],
}


def made(module: Any, name: str) -> Any:
    """The record of a name, with what has no default filled in."""
    kind = getattr(module, name)
    return kind(**required(kind))


def modules(shape: tuple[int, ...], width: int, outputs: tuple[int, ...]) -> Modules:
    """Layers of the user's, of PyTorch alone."""
    encoder = nn.Sequential(nn.Flatten(), nn.LazyLinear(11), nn.ELU(), nn.Linear(11, width))
    decoder = nn.Sequential(nn.Linear(4, 9), nn.SiLU(), nn.Linear(9, int(np.prod(outputs))), nn.Unflatten(1, outputs))
    return Modules(encoder, decoder)


def built(name: str, shape: tuple[int, ...], width: int, outputs: tuple[int, ...]) -> list[Any]:
    return [modules(shape, width, outputs)] if name == "Modules" else VARIANTS.get(name) or [made(architectures, name)]


def disagreeing(methods: dict[str, Method], X: Any) -> list[str]:
    """The methods that give some example of X (n, ...) other bits in another order, in parts, or alone."""
    order, found = np.random.default_rng(0).permutation(len(X)), []
    for name, method in methods.items():
        whole = np.asarray(method(X))
        parts = np.concatenate([method(part) for part in np.split(X, [1, 8])])  # the first alone
        moved = np.asarray(method(X[order]))
        if not (np.array_equal(parts, whole, equal_nan=True) and np.array_equal(moved, whole[order], equal_nan=True)):
            found.append(name)
    return found


def methods(ae: Autoencoder) -> dict[str, Method]:
    names = (
        "encode",
        "reconstruct",
        "score_samples",
        *(["impute", "reconstruction_error"] if ae.missing == "allow" else []),
    )
    return {name: getattr(ae, name) for name in names}


def untrained(X: Any, **choices: Any) -> Autoencoder:
    """An autoencoder whose biases are random too."""
    kind: Any = "table" if X.ndim == 2 else "windows"
    ae = Autoencoder(random_state=0, device="cpu", kind=kind, **choices).initialize(X)
    with torch.no_grad():
        for parameter in ae.model_.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=Generator().manual_seed(0)), alpha=0.1)
    return ae


def cases() -> list[Any]:
    names = [
        name for name in architectures.__all__ if name != "Conditional"
    ]  # it requires labels: tests/test_conditional.py
    every = [(name, shape) for name in names for shape in SHAPES.get(name, [(13, 7)])]
    return [pytest.param(*case, id=f"{case[0]}{case[1]}") for case in every]


@pytest.mark.promise(15)
@pytest.mark.parametrize("precision", ["float32", pytest.param("float64", marks=pytest.mark.thorough)])
@pytest.mark.parametrize(("name", "shape"), thorough_where(cases(), lambda case: case[0] != "MLP"))
def test_every_component_gives_bit_identical_results_per_example(
    name: str, shape: tuple[int, ...], precision: Any
) -> None:
    """All bottlenecks and likelihoods with all architectures; with pictures and volumes, which take longer, each architecture once."""
    Z = np.random.default_rng(1)
    wrong = []
    for bottleneck in (made(bottlenecks, each) for each in bottlenecks.__all__):
        every = [
            (architecture, likelihood)
            for likelihood in (EVERY_LIKELIHOOD if bottleneck == Identity(4) else [Bernoulli(), Normal()])
            for architecture in built(name, shape, bottleneck.encoder_outputs, likelihood.outputs(shape))
        ]
        if len(shape) > 2:
            every = every[::3] if bottleneck == Identity(4) else every[:1]
        for number, (architecture, likelihood) in enumerate(every):
            if isinstance(architecture, MLP) and architecture.tied and bottleneck.encoder_outputs != bottleneck.size:
                continue
            if isinstance(architecture, MLP) and architecture.tied and likelihood.outputs(shape) != shape:
                continue
            choices = {"bottleneck": bottleneck, "likelihood": likelihood, "precision": precision}
            X = values_for(likelihood, (41, *shape)).astype(precision)
            masked = number % 2 == 1
            ae = untrained(X, architecture=architecture, missing="allow" if masked else "error", **choices)
            holes = np.random.default_rng(1).random(X.shape) > 0.9
            found = disagreeing(methods(ae), np.where(holes, np.nan, X) if masked else X)
            codes = Z.standard_normal((41, *ae.code_shape_)).astype(precision)
            wrong += [(architecture, choices, each) for each in [*found, *disagreeing({"decode": ae.decode}, codes)]]
    assert not wrong


@pytest.mark.promise(15)
@pytest.mark.parametrize("measure", ["ensemble", "neighbors", "combined", "code", "error", "standardized", "nats"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_detectors_and_classifiers_give_bit_identical_results_per_example(measure: Any, precision: Any) -> None:
    X = np.random.default_rng(0).random((60, 9)).astype(precision)
    ae = untrained(X, bottleneck=Identity(5), architecture=MLP((30,)), precision=precision)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsthmusWarning)  # few rows to calibrate on
        detector = OutlierDetector.from_fitted(ae, X, anomaly_score=measure, random_state=0)
    asked = {name: getattr(detector, name) for name in ("score_samples", "decision_function", "predict", "p_values")}
    asked["contributions"] = detector.contributions
    assert not disagreeing(asked, X)
    if measure == "error":
        classifier = AutoencoderClassifier(ae, frozen=True, epochs=2, random_state=0).fit(X, np.arange(60) % 3)
        names = ("predict_proba", "predict_log_proba", "decision_function", "predict")
        assert not disagreeing({name: getattr(classifier, name) for name in names}, X)


@record
class OfTheBatch(Identity):
    """A bottleneck that breaks the contract: its codes are relative to the batch, as after a batch norm that trains."""

    def deterministic(self, h: torch.Tensor, variables: Any) -> Code:
        return Code(h - h.mean(0), h.new_zeros(len(h)))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_bottleneck_that_mixes_examples_is_detected(precision: Any) -> None:
    X = np.random.default_rng(0).random((50, 13, 7)).astype(precision)
    for architecture in (MLP((9,)), Conv((4,))):
        ae = untrained(X, bottleneck=OfTheBatch(4), architecture=architecture, likelihood=Normal(), precision=precision)
        assert {"encode", "reconstruct", "score_samples"} <= set(disagreeing(methods(ae), X))


def rows_that_know_their_place(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """A product whose bits depend on where a row stands in the batch, and on the address of its numbers."""
    y = x @ weight.T + bias
    beginnings = torch.arange(len(x)) * x.stride(0) * x.element_size() + x.data_ptr()
    return torch.where((beginnings % 64 != 0)[:, None], y * (1 + 4 * torch.finfo(x.dtype).eps), y)


@pytest.mark.promise(15)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rows_are_computed_singly_where_results_depend_on_memory_alignment(dtype: torch.dtype) -> None:
    draw = Generator().manual_seed(0)
    x, weight, bias = (torch.randn(sides, generator=draw, dtype=dtype) for sides in ((32, 7), (5, 7), (5,)))
    with torch.inference_mode():
        assert not torch.equal(rows_that_know_their_place(x, weight, bias), x @ weight.T + bias)
        there = batch_invariant(rows_that_know_their_place, x, weight, bias)
        moved = batch_invariant(rows_that_know_their_place, x.roll(5, 0), weight, bias)
        unaligned = torch.cat([x.flatten()[:1], x.flatten()])[1:].reshape(x.shape)
        assert torch.equal(moved.roll(-5, 0), there)
        assert torch.equal(batch_invariant(rows_that_know_their_place, unaligned, weight, bias), there)
        strided = torch.cat([x, x], 1)[:, :7]
        assert torch.equal(dense(strided, weight, bias), dense(x, weight, bias))


@pytest.mark.promise(15)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("bottleneck", [Identity(2), bottlenecks.Gaussian(2)], ids=repr)
@pytest.mark.parametrize("architecture", [MLP((5,)), MLP((300,)), Conv((8,))], ids=repr)
def test_results_are_bit_identical_for_every_memory_alignment_of_weights(
    architecture: Any, bottleneck: Any, precision: Any
) -> None:
    shape = (13, 7) if isinstance(architecture, Conv) else (6,)
    X = np.random.default_rng(0).normal(size=(70, *shape))
    ae = Autoencoder(bottleneck, architecture=architecture, epochs=1, precision=precision, random_state=0).fit(X)
    before = ae.encode(X).tobytes() + ae.reconstruct(X).tobytes() + ae.score_samples(X).tobytes()
    for by in (1, 3):
        for weight in ae.model_.parameters():
            room = torch.empty(weight.numel() + by, dtype=weight.dtype)
            weight.data = room[by:].view_as(weight).copy_(weight.data)
        assert ae.encode(X).tobytes() + ae.reconstruct(X).tobytes() + ae.score_samples(X).tobytes() == before


def test_the_number_of_threads_changes_no_result_and_is_restored() -> None:
    X = np.random.default_rng(0).random((3_000, 131)).astype(np.float32)
    ae, before = untrained(X, architecture=MLP((300, 200))), torch.get_num_threads()
    found = {}
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found[count] = ae.reconstruct(X)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[1], found[2])
    assert np.array_equal(found[1], found[3])


@pytest.mark.promise(15)
@pytest.mark.parametrize("less", LESS)
@pytest.mark.thorough
def test_results_per_example_are_bit_identical_with_fewer_processor_instructions(less: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        __file__,
    ]
    chosen = "every_component and (MLP or Modules or 31)" if less == "AVX2" else "every_component and 31 and float64"
    done = subprocess.run([*command, "-k", chosen], env=os.environ | LESS[less], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3_000:]
