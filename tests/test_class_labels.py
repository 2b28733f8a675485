"""Labels come out as they came in, and an example without one is of no class."""

from __future__ import annotations

import csv
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from isthmus import Autoencoder, AutoencoderClassifier, evaluate, plots
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.cli import app
from isthmus.data import read
from isthmus.data.label_columns import labels_from_cells
from isthmus.data.labels import class_labels, json_labels
from isthmus.data.parts import of_trained_classes
from isthmus.errors import DataError, IsthmusWarning
from isthmus.plots.interactive import hover_map

Array = NDArray[Any]
RNG = np.random.default_rng(0)
N = 60
KIND = np.arange(N) % 3
X = np.eye(3)[KIND] @ RNG.normal(size=(3, 5)) * 3 + RNG.normal(size=(N, 5))
AE = Autoencoder(Identity(3), architecture=MLP(()), epochs=5, random_state=0).fit(X)
GONE = np.arange(N) % 5 == 0  # rows without a label
WANTED = evaluate(AE, X[~GONE], KIND[~GONE])


def holed(values: Array) -> Array:
    out = values.astype(object)
    out[GONE] = None
    return out


def each_kind_of_nothing() -> dict[str, Any]:
    names = np.array(["ant", "bee", "cow"])[KIND]
    days = np.array(["2024-01-01", "2024-01-02", "2024-01-03"], "datetime64[D]")[KIND]
    numbers = np.where(GONE, np.nan, KIND)
    empty = np.where(GONE, "", names)
    return {
        "nan": numbers,
        "none": holed(KIND),
        "list": holed(KIND).tolist(),
        "text and nan in a list": [float("nan") if out else name for name, out in zip(names, GONE, strict=True)],
        "empty text": empty,
        "blank text": np.where(GONE, "  ", names).tolist(),
        "pandas": pd.Series(numbers),
        "nullable integers": pd.array(holed(KIND), dtype="Int64"),
        "nullable text": pd.Series(holed(names), dtype="string"),
        "nullable booleans": pd.Series(holed(KIND == 1), dtype="boolean"),
        "categorical": pd.Series(holed(names), dtype="category"),
        "frame": pd.DataFrame({"y": holed(names)}),
        "dates": np.where(GONE, np.datetime64("NaT"), days),
        "pandas dates": pd.Series(np.where(GONE, np.datetime64("NaT"), days)),
        "python dates": [
            None if out else datetime.date(2024, 1, 1 + k) for k, out in zip(KIND.tolist(), GONE, strict=True)
        ],
        "masked": np.ma.masked_array(KIND, GONE),
        "polars": pl.Series(holed(KIND).tolist()),
        "polars text": pl.Series(holed(names).tolist()),
        "torch": torch.tensor(numbers),
        "bfloat16": torch.tensor(numbers).bfloat16(),
        "beyond 64 bits": holed(np.array([2**70 + k for k in KIND.tolist()], object)),
        "column": numbers[:, None],
    }


@pytest.mark.promise(26)
@pytest.mark.parametrize("how", each_kind_of_nothing())
def test_rows_without_a_label_have_no_class(how: str) -> None:
    y = each_kind_of_nothing()[how]
    labels = class_labels(y, N)
    np.testing.assert_array_equal(labels.labeled, ~GONE)
    assert len(labels.classes) == (2 if how == "nullable booleans" else 3)
    found = evaluate(AE, X, y).labels
    assert found is not None
    assert WANTED.labels is not None
    assert (found.n_scored, found.n_unlabeled) == (48, 12)
    assert "12 more have no label" in found.how()
    if how != "nullable booleans":
        assert (found.linear_probe, found.n_classes) == (WANTED.labels.linear_probe, 3)


def test_labels_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(DataError, match=r"y is a tensor whose values cannot be read \(meta"):
        class_labels(torch.empty(N, device="meta"), N)


REFUSED = {
    "fractions": (
        np.arange(N) + 0.5,
        r"^Unknown label type: continuous: 0\.5 and 59 others of 60 labels have fractions: give whole",
    ),
    "one-hot": (np.eye(3)[KIND], r"^y has shape \(60, 3\), but there are 60 examples"),
    "too few": (KIND[:50], r"^y has shape \(50,\), but there are 60 examples"),
    "none": ([], r"^y has shape \(0,\), but there are 60 examples"),
    "a set": (set(range(N)), r"^y is \{0, 1.*, not a list of labels"),
    "a mapping": (dict.fromkeys(range(N), 1), r"^y is \{0: 1.*, not a list of labels"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_labels_of_another_length_or_shape_raise_one_sentence(kind: str) -> None:
    y, sentence = REFUSED[kind]
    with pytest.raises(DataError, match=sentence) as caught:
        AutoencoderClassifier(AE, epochs=1, random_state=0).fit(X, y)
    assert "\n" not in str(caught.value)


@pytest.mark.promise(26)
def test_a_classifier_uses_labeled_rows_only_and_predicts_all() -> None:
    y = holed(np.array(["ant", "bee", "cow"])[KIND])
    learner = AutoencoderClassifier(AE, epochs=30, random_state=0)
    with pytest.warns(
        IsthmusWarning, match="12 of 60 examples have no label: the classifier is trained on the other 48"
    ):
        learner.fit(X, y)
    alone = AutoencoderClassifier(AE, epochs=30, random_state=0).fit(X[~GONE], y[~GONE].astype(str))
    assert learner.classes_.tolist() == ["ant", "bee", "cow"]
    np.testing.assert_array_equal(learner.predict_proba(X), alone.predict_proba(X))
    assert learner.score(X, y) == alone.score(X[~GONE], y[~GONE])
    assert set(learner.predict(X[GONE])) <= {"ant", "bee", "cow"}
    for nothing in (np.full(N, np.nan), [None] * N, [""] * N):
        with pytest.raises(DataError, match="none of the 60 examples has a label"):
            learner.fit(X, nothing)
        with pytest.raises(DataError, match="none of the 60 examples has a label: an accuracy requires labels"):
            alone.score(X, nothing)
    with pytest.raises(DataError, match="infinity"):
        learner.fit(X, np.where(GONE, np.inf, KIND))


AS_THEY_CAME: dict[str, tuple[list[Any], Any]] = {
    "int64": ([7, -1, 0], np.int64),
    "beyond 2**53": ([2**53 + 1, 2**53 + 2, 0], np.int64),
    "beyond int64": ([2**63 + 1, 2**63 + 2, 0], np.uint64),
    "beyond 64 bits": ([-(2**70), 2**70 + 1, 0], object),
    "floats": ([1.0, -2.0, 3.0], np.float64),
    "text": (["None", "NA", "02134"], None),
    "booleans": ([True, False, True], bool),
    "dates": ([datetime.date(2024, 1, 1), datetime.date(2023, 5, 6), datetime.date(2024, 1, 1)], object),
}


@pytest.mark.promise(26)
@pytest.mark.parametrize("how", AS_THEY_CAME)
def test_predicted_labels_have_the_type_of_the_given_ones(how: str) -> None:
    values, dtype = AS_THEY_CAME[how]
    y = [values[kind] for kind in KIND]
    learner = AutoencoderClassifier(AE, frozen=True, epochs=2, random_state=0).fit(X, y)
    told = learner.predict(X)
    assert learner.classes_.tolist() == sorted(set(values))
    assert {type(value) for value in told.tolist()} == {type(values[0])}
    assert told.dtype.kind == "U" if dtype is None else told.dtype == dtype
    json.dumps(json_labels(learner.classes_))
    with_none = [None, *y[1:]]
    with pytest.warns(IsthmusWarning, match="1 of 60 examples has no label"):
        again = AutoencoderClassifier(AE, frozen=True, epochs=1, random_state=0).fit(X, with_none)
    assert again.classes_.tolist() == learner.classes_.tolist()
    assert again.classes_.dtype == learner.classes_.dtype


CELLS: dict[str, tuple[list[str], list[Any]]] = {
    "whole numbers": (["7", "-1", "", "NA"], [7, -1, None, None]),
    "zeros in front": (["02134", "12345", ""], ["02134", "12345", None]),
    "exponents": (["1e2", "100"], ["1e2", "100"]),
    "floats": (["1.0", "2.5", "nan"], [1.0, 2.5, None]),
    "truth": (["True", "False"], ["True", "False"]),
    "text": (["None", "NA", "EU", ""], ["None", "NA", "EU", None]),
    "beyond 2**53": ([str(2**53 + 1), "0"], [2**53 + 1, 0]),
    "beyond 64 bits": ([str(2**70), str(-(2**70))], [2**70, -(2**70)]),
    "decimals kept": (["0.50", "0.25"], ["0.50", "0.25"]),
    "minus zero": (["-0", "1"], ["-0", "1"]),
}


@pytest.mark.promise(26)
@pytest.mark.parametrize("how", CELLS)
def test_label_cells_are_kept_as_text(how: str, tmp_path: Path) -> None:
    cells, wanted = CELLS[how]
    labels, _ = labels_from_cells(cells, ("na", "none", "null"))
    assert labels.tolist() == wanted
    assert [type(value) for value in labels.tolist()] == [type(value) for value in wanted]
    lines = [f"{number}.5,{text}" for number, text in enumerate(cells)]
    (tmp_path / "x.csv").write_text("\n".join(["a,y", *lines, ""]))
    data = read(tmp_path / "x.csv", labels="y")
    assert data.train_labels is not None
    assert data.train_labels.tolist() == wanted
    assert "(none)" not in data.summary()


def test_the_interpretation_of_labels_is_reported() -> None:
    _, notes = labels_from_cells(["NA", "EU", "NA", ""], ("na",))
    assert notes == (
        "the column has text, so these labels are text too: NA (2 rows); leave the cell of a missing label empty",
        "1 of 4 rows has no label",
    )
    _, notes = labels_from_cells(["1", "1.0", "2"], ())
    assert notes == ("the labels 1 and 1.0 are the same number, written in two ways: two classes",)


def test_classes_with_similar_spelling_are_reported(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,y\n1,Yes\n2,yes\n3,no\n4,yes\n")
    [said] = [note for note in read(tmp_path / "x.csv", labels="y").notes if "capital letters" in note]
    assert said.endswith("are different classes: 'Yes' (1) and 'yes' (2)")
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": ["cat", "cat ", "dog"]})
    assert "'cat' (1) and 'cat ' (1)" in read(frame, labels="y").notes[-1]
    assert not any("capital" in note for note in read(frame[:1], labels="y").notes)


def test_points_without_a_label_are_gray_and_counted() -> None:
    figure = plots.latent(AE, X, np.where(GONE, np.nan, KIND))
    assert "12 without a label, in gray" in figure.axes[0].get_title(loc="left")
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == ["0", "1", "2"]
    assert [len(dots.get_offsets()) for dots in figure.axes[0].collections] == [12, 48]
    page = hover_map(AE, X, np.where(GONE, np.nan, KIND), kind="latent")
    assert "no label (12)" in page
    assert page.count(", no label</title>") == 12
    assert "no example has a label" in plots.latent(AE, X, [None] * N).axes[0].get_title(loc="left")


def says(*words: str) -> str:
    """What the command line prints."""
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def table(path: Path, labels: list[str], holes: bool = False) -> Path:
    rows = [[f"{value:.4f}" for value in row] for row in X]
    if holes:
        for row in rows[::7]:
            row[2] = ""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["a", "b", "c", "d", "e", "y"])
        writer.writerows([*row, label] for row, label in zip(rows, labels, strict=True))
    return path


@pytest.mark.thorough
@pytest.mark.promise(26)
def test_the_command_line_writes_labels_as_given(tmp_path: Path) -> None:
    names = [["02134", "-1", "10115"][kind] if not gone else "" for kind, gone in zip(KIND, GONE, strict=True)]
    path, run = table(tmp_path / "zip.csv", names, holes=True), tmp_path / "run"
    words = [
        "missing=allow",
        "epochs=2",
        "bottleneck.size=2",
        "architecture.hidden=8",
        "--data",
        str(path),
        "--labels",
        "y",
        "--out",
        str(run),
    ]
    said = says("train", "completing", *words)
    assert "12 of 60 rows have no label" in said
    out = tmp_path / "whole.csv"
    says("impute", str(run), "--out", str(out))
    with open(out, newline="") as file:
        assert [row["y"] for row in csv.DictReader(file)] == names
    found = says("finetune", str(run), "--out", str(tmp_path / "p.csv"))
    assert (
        "have no label: they are used neither for training nor for the accuracy; a label is predicted for each" in found
    )
    with open(tmp_path / "p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} <= {"02134", "-1", "10115"}
    assert {row["truth"] for row in rows} <= {"02134", "-1", "10115", ""}


@pytest.mark.promise(26)
def test_held_out_rows_without_a_label_do_not_count_as_another_class() -> None:
    """Detection calibrates on what was held out of the classes that were trained on, and on rows of which no class is known."""
    rows, trained = np.arange(10.0).reshape(5, 2), np.array(["good", None, "good"], object)
    kept, sentence = of_trained_classes(rows, np.array(["good", None, "spot", "", "good"], object), trained)
    np.testing.assert_array_equal(kept, rows[[0, 1, 3, 4]])
    assert sentence == "spot"
    assert of_trained_classes(rows, np.array(["good", None, "good", "good", "good"], object), trained)[1] == ""


@pytest.mark.parametrize(
    "make",
    [
        lambda v: pd.array(v, dtype="Int64"),
        lambda v: pd.Series(v, dtype="int64[pyarrow]"),
        lambda v: pd.Categorical(v),
        lambda v: pd.Series(pd.Categorical(v)),
    ],
    ids=["nullable", "arrow", "categories", "series of categories"],
)
def test_integer_labels_stay_distinct_integers_where_one_is_missing(make: Any) -> None:
    labels = class_labels(make([2**53 + 1, 2**53, None, 7]), 4)
    assert labels.classes.tolist() == [7, 2**53, 2**53 + 1]
    assert labels.classes.dtype.kind == "i"
    assert labels.numbers.tolist() == [2, 1, -1, 0]
