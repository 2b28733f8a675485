"""Held-out examples in whole groups, or the same fraction of each class; weights and groups from columns of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from typer.testing import CliRunner

from isthmus import Autoencoder, data, sweep
from isthmus.architectures import MLP
from isthmus.cli import app
from isthmus.data.dataset import Dataset
from isthmus.errors import DataError
from isthmus.experiments.membership import example_keys
from isthmus.experiments.split_recovery import exclude_trained, recover_split, split_other
from isthmus.experiments.splits import split
from isthmus.scaling import NoScaling

N = 120
VALUES = np.random.default_rng(0).normal(size=(N, 3)).round(4)
PATIENTS = np.array([f"P{i:02d}" for i in np.random.default_rng(1).integers(0, 20, N)], dtype=object)
WEIGHTS = np.random.default_rng(2).integers(0, 3, N)


def dataset(values: np.ndarray = VALUES, **fields: Any) -> Dataset:
    return Dataset("table", values, **fields)


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(VALUES, columns=list("abc")).assign(**columns)


def quick(**choices: Any) -> Autoencoder:
    return Autoencoder(2, **{"architecture": MLP((4,)), "epochs": 1, "random_state": 0} | choices)


def test_a_group_is_on_one_side_of_the_split() -> None:
    part = split(dataset(groups=PATIENTS, groups_name="patient"), "error")
    held = set(PATIENTS[part.test_rows])
    assert held
    assert part.train_groups is not None
    assert not held & set(part.train_groups)
    assert len(part.test) + len(part.train) == N
    assert 1 <= len(part.test) <= N // 10
    assert part.notes == (f"held out by patient: {len(held)} of 20 groups, {len(part.test)} of 120 examples",)


def test_a_group_stays_on_its_side_where_rows_are_added_or_sorted() -> None:
    first = split(dataset(groups=PATIENTS, groups_name="patient"), "error")
    order = np.random.default_rng(3).permutation(N)
    again = split(dataset(VALUES[order], groups=PATIENTS[order]), "error")
    assert set(PATIENTS[order][again.test_rows]) == set(PATIENTS[first.test_rows])
    assert first.record is not None
    grown = dataset(np.concatenate([VALUES[order], VALUES[:5] + 1]), groups=np.r_[PATIENTS[order], PATIENTS[:5]])
    recovered = recover_split(first.record, grown, "error")
    assert set(example_keys(recovered.test)) == set(example_keys(first.test))


def test_other_data_are_evaluated_on_groups_that_were_not_trained_on() -> None:
    """A new row of a patient who was trained on is no new patient."""
    first = split(dataset(groups=PATIENTS, groups_name="patient"), "error")
    new = np.random.default_rng(4).normal(size=(30, 3))
    names = np.array([*PATIENTS[:20], *(f"new{n % 3}" for n in range(10))], dtype=object)
    other = dataset(np.concatenate([VALUES, new]), groups=np.r_[PATIENTS, names], groups_name="patient")
    part = split_other(first.record, other, "error")
    held, trained = set(other.groups[part.test_rows]), set(PATIENTS) - set(PATIENTS[first.test_rows])
    assert {"new0", "new1", "new2"} <= held
    assert not held & trained
    assert "are of the same patient as an example that was trained on: they are not evaluated" in part.notes[0]


def test_windows_of_a_series_that_was_trained_on_are_no_new_data() -> None:
    windows = np.random.default_rng(5).normal(size=(40, 8, 2))
    record = split(dataset(windows, kind="series"), "error").record
    other = dataset(np.concatenate([windows, windows[:5] + 1]), kind="series")
    for notes in (split_other(record, other, "error").notes, (exclude_trained(record, other)[1],)):
        assert "may share rows with windows that were trained on" in " ".join(notes)


def test_examples_without_a_group_are_trained_on_and_counted() -> None:
    groups = PATIENTS.copy()
    groups[:7] = None
    part = split(dataset(groups=groups, groups_name="patient"), "error")
    assert not set(part.test_rows) & set(range(7))
    assert "7 of 120 examples have no patient: they are trained on" in part.notes


def test_copies_in_other_groups_are_counted() -> None:
    values = VALUES.copy()
    values[:] = values[0]
    part = split(dataset(values, groups=PATIENTS), "error")
    assert part.notes[-1].endswith("held-out examples have copies in the training part, in other groups")


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(DataError, match="all examples have the same patient"):
        split(dataset(groups=np.full(N, "P1", dtype=object), groups_name="patient"), "error")
    with pytest.raises(DataError, match="all examples have the same groups"):
        quick(early_stopping=True).fit(VALUES, groups=np.ones(N))
    with pytest.raises(DataError, match=r"groups has shape \(3,\)"):
        quick(early_stopping=True).fit(VALUES, groups=np.ones(3))


def test_groups_of_any_size_leave_both_parts_filled() -> None:
    for sizes in ([119, 1], [60, 60], [40, 40, 40]):
        groups = np.repeat(np.arange(len(sizes)), sizes)
        part = split(dataset(groups=groups.astype(object)), "error")
        assert len(part.test) == min(sizes)


def test_each_class_gives_the_same_fraction() -> None:
    labels = np.repeat(["a", "b", "c"], [80, 30, 10])
    order = np.random.default_rng(4).permutation(N)
    part = split(dataset(train_labels=labels), "error")
    assert dict(zip(*np.unique(part.test_labels, return_counts=True), strict=True)) == {"a": 8, "b": 3, "c": 1}
    assert not part.notes
    again = split(dataset(VALUES[order], train_labels=labels[order]), "error")
    assert set(example_keys(again.test)) == set(example_keys(part.test))


def test_a_class_of_one_example_is_trained_on_and_named() -> None:
    labels = np.array(["usual"] * 119 + ["single"])
    part = split(dataset(train_labels=labels), "error")
    assert set(part.test_labels) == {"usual"}
    assert part.notes == (
        "1 class has no held-out example (single); 1 of them has a single example, which is trained on",
    )


def test_missing_labels_are_a_class_and_many_classes_are_none() -> None:
    labels = np.array(["a", None] * 60, dtype=object)
    part = split(dataset(train_labels=labels), "error")
    assert part.test_labels is not None
    assert [label is None for label in part.test_labels].count(True) == 6
    many = split(dataset(train_labels=np.arange(N)), "error")
    assert (many.test_rows == split(dataset(), "error").test_rows).all()


def test_copies_with_several_labels_are_on_one_side() -> None:
    values = np.repeat(VALUES[:30], 4, axis=0)
    part = split(dataset(values, train_labels=np.arange(N) % 3), "error")
    assert not set(example_keys(part.train)) & set(example_keys(part.test))


def test_early_stopping_holds_out_whole_groups() -> None:
    """Of 12 groups of 10 examples a fifth is two groups: the validation loss is that of one of their 66 pairs."""
    groups = np.repeat(np.arange(12), 10)
    ae = quick(early_stopping=True, validation_fraction=0.2, scaling=NoScaling()).fit(VALUES, groups=groups)
    assert clone(ae).fit(VALUES, groups=groups).history_[0].val_loss == ae.history_[0].val_loss
    means = -ae.score_samples(VALUES).reshape(12, 10).mean(1)
    pairs = [(means[a] + means[b]) / 2 for a in range(12) for b in range(a)]
    assert min(abs(pair - ae.history_[0].val_loss) for pair in pairs) < 1e-6
    assert quick().fit(VALUES, groups=groups).history_[0].val_loss is None


def test_a_sweep_trains_with_weights_and_validates_on_other_groups(tmp_path: Path) -> None:
    grid = {"bottleneck__size": [1, 2]}
    weighted = sweep(quick(), VALUES, grid, sample_weight=WEIGHTS, groups=PATIENTS, folder=tmp_path / "s")
    held = split(dataset(groups=PATIENTS), "error").test_rows
    assert weighted.n_validation == len(held)
    kept = np.setdiff1d(np.arange(N), held)
    alone = quick().set_params(bottleneck=2).fit(VALUES[kept], sample_weight=WEIGHTS[kept])
    assert weighted.trials[1].autoencoder is not None
    assert (weighted.trials[1].autoencoder.encode(VALUES) == alone.encode(VALUES)).all()
    assert not any(
        each.new
        for each in sweep(quick(), VALUES, grid, sample_weight=WEIGHTS, groups=PATIENTS, folder=tmp_path / "s").trials
    )
    with pytest.raises(DataError, match="other examples"):
        sweep(quick(), VALUES, grid, sample_weight=WEIGHTS[::-1], groups=PATIENTS, folder=tmp_path / "s")


def written(folder: Path, kind: str) -> Any:
    frame, path = table(patient=PATIENTS, w=WEIGHTS, kind=np.arange(N) % 2), folder / f"t.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind == "npz":
        np.savez(path, X=VALUES, y=frame.kind.to_numpy(), w=WEIGHTS, patient=PATIENTS.astype(str))
    else:
        return pl.from_pandas(frame) if kind == "polars" else frame
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz", "pandas", "polars"])
def test_weights_and_groups_are_read_and_are_no_features(tmp_path: Path, kind: str) -> None:
    named = {} if kind == "npz" else {"labels": "kind"}
    found = data.read(written(tmp_path, kind), weights="w", by="patient", **named)
    assert found.train.shape == (N, 3)
    assert found.weights is not None
    assert found.groups is not None
    assert (found.weights == WEIGHTS).all()
    assert found.groups.tolist() == PATIENTS.tolist()
    assert any("w holds the weights of examples" in note for note in found.notes)


def test_a_column_that_holds_no_weights_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "csv")
    for column, message in {
        "patient": r"the weight patient of .*not numbers",
        "nope": "no column 'nope' for the weights",
    }.items():
        with pytest.raises(DataError, match=message):
            data.read(path, weights=column, drop=[name for name in ("patient",) if name != column])
    with pytest.raises(DataError, match="has no 'nope'"):
        data.read(written(tmp_path, "npz"), by="nope")
    table(w=np.r_[-1, WEIGHTS[1:]]).to_csv(tmp_path / "negative.csv", index=False)
    with pytest.raises(DataError, match="is -1 in example 0"):
        data.read(tmp_path / "negative.csv", weights="w")
    np.save(tmp_path / "x.npy", VALUES)
    with pytest.raises(DataError, match="not a table or"):
        data.read(tmp_path / "x.npy", by="patient")


def test_a_run_trains_with_weights_and_holds_out_groups(tmp_path: Path) -> None:
    path, run = written(tmp_path, "csv"), tmp_path / "run"
    words = [
        "train",
        "linear",
        "epochs=1",
        "bottleneck.size=2",
        "--data",
        path,
        "--weights",
        "w",
        "--by",
        "patient",
        "--drop",
        "kind",
    ]
    done = CliRunner().invoke(app, list(map(str, [*words, "--out", run])))
    assert done.exit_code == 0, done.output
    assert "held out by patient: " in done.output
    from isthmus import load, recipes

    part = split(data.read(path, weights="w", by="patient", drop="kind"), "error")
    again = recipes.linear(2).set_params(epochs=1, random_state=0)
    again.fit(part.train, sample_weight=part.train_weights, validation_data=(part.test, part.test_weights))
    assert (load(run).encode(VALUES) == again.encode(VALUES)).all()
    evaluated = CliRunner().invoke(app, ["evaluate", str(run)])
    assert evaluated.exit_code == 0, evaluated.output
    assert f"{len(part.test)} held-out examples" in evaluated.output


@pytest.mark.parametrize("cells", [["1", "2.5", "0"], ["1.5", "1e3", "2"], ["01", "2", "3"]])
def test_weights_may_be_written_in_several_ways(cells: list[str], tmp_path: Path) -> None:
    rows = "".join(f"{n},{cell}\n" for n, cell in enumerate(cells))
    (tmp_path / "t.csv").write_text("a,w\n" + rows)
    found = data.read(tmp_path / "t.csv", weights="w")
    assert found.weights is not None
    assert found.weights.tolist() == [float(cell) for cell in cells]
