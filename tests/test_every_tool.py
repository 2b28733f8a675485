"""Every component with every tool that trains or uses an autoencoder: it works, or one sentence says why not. Python and command line."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import required
from test_cli import run
from test_every_component import EVERY, LABELS, autoencoder, examples, made, weights
from test_overrides import typed

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, compare, load, sweep
from isthmus.errors import IsthmusError, IsthmusWarning
from isthmus.evaluation import evaluate
from isthmus.records import Record

Array = np.ndarray
every = pytest.mark.parametrize(("slot", "name"), EVERY)
thorough = pytest.mark.thorough


def partial_fit(ae: Autoencoder, X: Array) -> list[float]:
    halves = np.array_split(np.arange(len(X)), 2)
    first = ae.partial_fit(X[halves[0]], LABELS[halves[0]])
    before = weights(first)
    second = first.partial_fit(X[halves[1]], LABELS[halves[1]])
    assert (weights(second) != before).any()
    return [report.loss for report in second.history_]


def early_stopping(ae: Autoencoder, X: Array) -> list[float]:
    history = ae.set_params(early_stopping=True, n_iter_no_change=1).fit(X, LABELS).history_
    return [report.val_loss or np.nan for report in history]


def sweeps(ae: Autoencoder, X: Array) -> list[float]:
    found = sweep(ae, X, {"epochs": [0.5, 1]}, y=LABELS)
    return [trial.autoencoder.history_[-1].loss for trial in found.trials if trial.autoencoder is not None]


def comparison(ae: Autoencoder, X: Array) -> list[float]:
    fitted = ae.fit(X, LABELS)
    return [each.errors.mse for each in compare([fitted, fitted], X, y=LABELS).evaluations]


def evaluation(ae: Autoencoder, X: Array) -> list[float]:
    return [evaluate(ae.fit(X, LABELS), X, LABELS).errors.mse]


def detector(ae: Autoencoder, X: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsthmusWarning)  # few rows to calibrate on
        return OutlierDetector(ae, random_state=0).fit(X, LABELS).score_samples(X, LABELS)


def classifier(ae: Autoencoder, X: Array) -> Array:
    return AutoencoderClassifier(ae, epochs=1, random_state=0).fit(X, LABELS).predict_proba(X)


TOOLS: dict[str, Callable[[Autoencoder, Array], Any]] = {
    "partial_fit": partial_fit,
    "early stopping": early_stopping,
    "sweep": sweeps,
    "compare": comparison,
    "evaluate": evaluation,
    "OutlierDetector": detector,
    "AutoencoderClassifier": classifier,
}
WHOLE = "requires an autoencoder of whole examples"
REFUSED = {  # by the name of the record and the tool: the sentence
    **{("Crop", tool): WHOLE for tool in ("sweep", "OutlierDetector", "AutoencoderClassifier")},
    **{("Crop", tool): "fitted on shape (4, 4)" for tool in ("compare", "evaluate")},
    ("Crop", "train"): "changes the shape of examples, and a run is measured on",
    ("Conditional", "AutoencoderClassifier"): "has no y for new examples, and the autoencoder is conditional",
}


def refused(name: str, tool: str, said: str) -> None:
    """A tool may refuse what is listed, in this sentence."""
    assert (name, tool) in REFUSED, f"{tool}: {said}"
    assert REFUSED[name, tool] in said
    assert "\n" not in said


@thorough
@every
def test_every_tool_takes_a_component(slot: str, name: str) -> None:
    record = made(slot, name)
    X = examples(record)
    for tool, use in TOOLS.items():
        try:
            found = use(autoencoder(slot, record, epochs=1), X)
        except IsthmusError as error:
            refused(name, tool, str(error))
            continue
        assert (name, tool) not in REFUSED, tool
        assert len(found), tool
        assert np.isfinite(found).all(), tool


def words(slot: str, record: Record) -> list[str]:
    """The component as it is typed, with the fields that have no default."""
    inner = slot in {"prior", "schedule"}
    path = f"bottleneck.{slot}" if inner else slot
    bottleneck = ["bottleneck=Gaussian", "bottleneck.size=2"] if inner or slot == "penalty" else []
    fields = [f"{path}.{field}={typed(getattr(record, field))}" for field in required(type(record))]
    terms = [
        f"penalty.penalties.{number}.weight={term.weight}"
        for number, term in enumerate(getattr(record, "penalties", ()))
    ]
    return [*bottleneck, f"{path}={type(record).__name__}", *fields, *terms]


@thorough
@pytest.mark.parametrize(("slot", "name"), [case for case in EVERY if "Modules" not in case.values])
def test_every_component_is_trained_from_the_command_line(slot: str, name: str, tmp_path: Path) -> None:
    record = made(slot, name)
    np.savez(tmp_path / "x.npz", X=examples(record), y=LABELS)
    small = ["epochs=1", "batch_size=16", *([] if slot == "architecture" else ["architecture.hidden=8"])]
    done = run("train", *small, *words(slot, record), "--data", "x.npz", "--out", "run", cwd=tmp_path)
    if (name, "train") in REFUSED:
        refused(name, "train", done.stderr.strip())
        return
    assert done.returncode == 0, done.stderr
    ae = load(tmp_path / "run")
    assert np.isfinite(ae.history_[-1].loss)
    found = ae.bottleneck_ if slot in {"prior", "schedule"} else ae
    assert type(getattr(found, slot if found is not ae else f"{slot}_")) is type(record)
