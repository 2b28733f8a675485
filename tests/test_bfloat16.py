"""A processor that does not compute in bfloat16: said once for each training, and left out where ceilings are measured."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.nn import device

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
Y = np.arange(40) % 2


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "computes_bfloat16", lambda _: False)


def new(precision: Any = "bfloat16") -> Autoencoder:
    return Autoencoder(Identity(2), architecture=MLP((4,)), epochs=1, random_state=0, precision=precision)


def times(call: Callable[[], Any]) -> int:
    """How often it was said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return sum("on this processor, which has no bfloat16 instructions" in str(w.message) for w in caught)


def parts() -> None:
    stream = new()
    for part in np.split(X, 4):
        stream.partial_fit(part)


@pytest.mark.usefixtures("slow")
def test_each_training_warns_once(tmp_path: Path) -> None:
    assert times(lambda: new().fit(X)) == 1
    assert times(lambda: new().fit(X, layerwise=True)) == 1
    assert times(lambda: list(new().iter_fit(X))) == 1
    assert times(parts) == 1
    fitted = new().fit(X)
    assert times(lambda: AutoencoderClassifier(fitted, epochs=1).fit(X, Y)) == 1
    assert times(lambda: AutoencoderClassifier(new(), epochs=1).fit(X, Y)) == 1
    assert times(lambda: AutoencoderClassifier(fitted, frozen=True, epochs=1).fit(X, Y)) == 0
    assert times(lambda: OutlierDetector(new(), false_alarm_rate=0.2).fit(X)) == 1
    for _ in (cut := new()).iter_fit(X):
        cut.checkpoint(tmp_path / "cut.safetensors")
        break
    assert times(lambda: load(tmp_path / "cut.safetensors").resume(X)) == 1


@pytest.mark.usefixtures("slow")
def test_inference_and_other_precisions_do_not_warn() -> None:
    fitted = new().fit(X)
    assert times(lambda: fitted.reconstruct(X)) == 0
    for precision in ("auto", "float32", "float64"):
        assert times(lambda precision=precision: new(precision).fit(X)) == 0


def test_processors_with_bfloat16_do_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "computes_bfloat16", lambda _: True)
    assert times(lambda: new().fit(X)) == 0


@pytest.mark.parametrize("computes", [False, True])
def test_benchmarks_leave_out_a_ceiling_that_is_not_there(
    computes: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    before = set(sys.modules)
    try:
        run = import_module("run")
        monkeypatch.setattr(run, "computes_bfloat16", lambda _: computes)
        monkeypatch.setattr(run, "timed", lambda _: iter([1.0]))
        monkeypatch.setattr(torch, "rand", lambda *_: torch.zeros(1))
        monkeypatch.setattr(torch, "empty", lambda *_: torch.zeros(1))
        top = run.ceilings()
    finally:
        for name in {"run", "works"} - before:
            sys.modules.pop(name, None)
    assert ("bfloat16" in top) == computes
    assert ("does not compute in bfloat16" in capsys.readouterr().out) != computes
    assert ("none" in run.in_bfloat16(top)) != computes
