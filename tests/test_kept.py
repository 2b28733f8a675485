"""Whatever fails beside a training or after it, what was trained is kept."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus import Autoencoder, load, sweep
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian
from isthmus.cli import run
from isthmus.data import Dataset
from isthmus.errors import IsthmusError, IsthmusWarning
from isthmus.experiments import reproduction, run_folder, run_record, tutorial_metrics
from isthmus.experiments.tutorials import TUTORIALS

X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


class BrokenError(Exception):
    """Something that nobody foresaw."""


def fails(*_: Any, **__: Any) -> Any:
    raise BrokenError


def small(**choices: Any) -> Autoencoder:
    return Autoencoder(Gaussian(2), architecture=MLP((4,)), epochs=2, random_state=0, device="cpu", **choices)


@pytest.mark.parametrize(
    "part",
    ["history_csv", "write_record", "run_report.evaluate_own_data", "printing.print_summary", "run_report.write_page"],
)
@pytest.mark.parametrize("layerwise", [False, True])
def test_the_trained_model_is_saved_if_a_later_step_fails(
    part: str, layerwise: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, _, name = part.rpartition(".")
    begun = run.Training(
        tmp_path / "run",
        small(),
        run_record.DataSource("x.npy"),
        Dataset("x", X),
        run_record.RunInfo(),
        layerwise=layerwise,
    )
    monkeypatch.setattr(run_folder, "save_checkpoint", lambda *_: None)  # it must not be what is loaded
    monkeypatch.setattr(getattr(run, where) if where else run_folder, name, fails)
    with pytest.raises(BrokenError):
        run.train_run(begun, resume=False)
    np.testing.assert_array_equal(load(tmp_path / "run").encode(X), begun.ae.encode(X))


def test_the_model_is_saved_if_event_files_cannot_be_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from isthmus.experiments import tensorboard

    about, close = run_record.RunInfo(tensorboard=True), tensorboard.EventWriter.close

    def broken(writer: tensorboard.EventWriter) -> None:
        close(writer)  # else its thread stays
        fails()

    monkeypatch.setattr(tensorboard.EventWriter, "close", broken)
    with pytest.raises(BrokenError):
        run.train_run(
            run.Training(tmp_path / "run", small(), run_record.DataSource("x.npy"), Dataset("x", X), about),
            resume=False,
        )
    assert len(load(tmp_path / "run").history_) == 2


def test_a_trial_of_a_sweep_is_saved_if_a_later_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.experiments.trial.evaluate", fails)
    with pytest.warns(IsthmusWarning, match="failed: BrokenError"), pytest.raises(IsthmusError, match="BrokenError"):
        sweep(small(), X, {"bottleneck__size": [2, 3]}, folder=tmp_path)
    assert load(tmp_path / "size-2").code_shape_ == (2,)


def test_a_tutorial_is_saved_if_a_later_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tutorial = next(tutorial for tutorial in TUTORIALS if tutorial.id == "tf-simple")
    monkeypatch.setitem(tutorial_metrics.METRICS, "loss per pixel", fails)
    with pytest.raises(BrokenError):
        list(reproduction.reproduce(tutorial, ["epochs=0.005"], folder=tmp_path))
    assert load(tmp_path / "tf-simple").shape_ == (28, 28)


def test_statistics_that_the_first_epoch_lacks_get_a_column(tmp_path: Path) -> None:
    ae = small().fit(X)
    first, last = ae.history_
    assert ae._fitted is not None
    history = (replace(first, stats={}), replace(last, stats={"perplexity": 3.5}))
    ae._fitted = replace(ae._fitted, history=history)
    run_folder.save_run(tmp_path, ae, None, run_record.RunInfo())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "history.csv").read_text())))
    assert [row["perplexity"] for row in rows] == ["", "3.5"]
    assert load(tmp_path).history_ == ae.history_
    assert all(math.isfinite(float(row["loss"])) for row in rows)
