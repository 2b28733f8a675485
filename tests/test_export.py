"""Exported files: each component, table, detector and condition gives what the live model gives, by two other programs."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from test_every_component import LABELS, N, SLOTS, autoencoder, examples, made, seen_by
from torch import nn

from isthmus import Autoencoder, OutlierDetector, data, recipes
from isthmus.architectures import MLP, Conditional, Conv, Modules
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.export import export
from isthmus.nn.places import places

EXPORTED = [(slot, name) for slot in ("architecture", "bottleneck", "likelihood", "scaling", "prior") for name in SLOTS[slot].__all__]


def run(path: Path, **inputs: Any) -> list[np.ndarray[Any, Any]]:
    """The outputs of a file."""
    found: list[np.ndarray[Any, Any]] = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)
    return found


def close(new: Any, old: Any) -> bool:
    """Whether values are equal but for rounding in single precision."""
    return float(np.abs(np.asarray(new, float) - old).max()) <= 1e-5 * float(np.abs(old).max())


@pytest.mark.thorough
@pytest.mark.parametrize(("slot", "name"), EXPORTED, ids=[f"{slot}={name}" for slot, name in EXPORTED])
def test_every_component_is_exported(slot: str, name: str, tmp_path: Path) -> None:
    record = made(slot, name)
    ae = autoencoder(slot, record).fit(examples(record), LABELS)
    X = seen_by(ae, examples(record))[:20]
    found = export(ae, tmp_path / "out", parts=["reconstruct", "score"], X=X, y=LABELS[:20])
    assert max(found.differences.values()) <= 1e-5
    inputs = {"X": X, "y": LABELS[:20]} if ae.model_.architecture.context else {"X": X}
    for part, method in {"reconstruct": ae.reconstruct, "score": ae.score_samples}.items():
        path = tmp_path / "out" / f"{part}.onnx"
        assert close(run(path, **inputs)[0], method(X, LABELS[:20]))
        assert close(ReferenceEvaluator(onnx.load(path)).run(None, inputs)[0], method(X, LABELS[:20]))
