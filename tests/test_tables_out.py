"""Every CSV that is written: names and text in it are harmless to a spreadsheet and a terminal, numbers are numbers."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import run as cli
from typer.testing import CliRunner

from isthmus import Autoencoder, OutlierDetector, sweep
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.cli import app
from isthmus.data.validation import Examples
from isthmus.evaluation import detect
from isthmus.experiments import detection
from isthmus.io.tables import csv_records, csv_text

HOSTILE = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-x",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "  =1",
    "＝1",
    "a\x1b[2J",
    "b\u202e",
    "c\ud800",
    'q"u,o\nte',
]
FORMULA = set("=+-@\t\r＝")


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text), strict=True))


def harmless(cell: str) -> bool:
    """Whether a cell is a number, or text that no spreadsheet computes and no terminal obeys."""
    try:
        float(cell)
    except ValueError:
        return cell.lstrip()[:1] not in FORMULA and all(c.isprintable() for c in cell if c not in "\t\n")
    return True


@pytest.mark.promise(21)
@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_escaped_in_headers_and_cells(text: str) -> None:
    header, row = read(csv_text([text, "b"], [[text, -1]]))
    assert harmless(header[0])
    assert row == [header[0], "-1"]
    (name, *_), (cell, *_) = read(csv_records([{text: text}]))
    assert harmless(name)
    assert name == cell


@pytest.mark.promise(26)
@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.none()))
def test_numbers_are_not_escaped_and_round_trip(value: Any) -> None:
    _, (cell, typed, _) = read(
        csv_text(["a", "b", "c"], [[value, None if value is None else np.asarray(value)[()], 0]])
    )
    if value is None:
        assert cell == typed == ""
    elif isinstance(value, bool):
        assert cell == typed == str(value)
    else:
        same = math.isnan(value) if value != value else type(value)(cell) == value
        assert same
        assert typed == cell


@pytest.mark.promise(26)
@pytest.mark.parametrize("text", ["-1", "+1", "02134", "1e2", "-1.50", "-inf", ""])
def test_numeric_text_is_unchanged(text: str) -> None:
    assert read(csv_text(None, [[text, "x"]])) == [[text, "x"]]


def test_numpy_dates_and_labels_are_written_as_text() -> None:
    row = [np.str_("=x"), np.float64(1.0), np.int64(-3), np.datetime64("2024-01-01T00:00:00", "ns"), np.bool_(True)]
    assert read(csv_text(None, [row])) == [["'=x", "1.0", "-3", "2024-01-01", "True"]]


# Every verb and method that writes CSV

NAMES = ["=cmd()", "+b", "-c", "@d"]
KINDS = ["=one", "-two", "@three"]


def table(path: Path, labels: bool) -> Path:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 4)).round(4).astype(object)
    rows[::9, 1] = ""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*NAMES, "=kind"][: 5 if labels else 4])
        writer.writerows([*row, *([KINDS[i % 3]] if labels else [])] for i, row in enumerate(rows.tolist()))
    return path


def says(*words: str) -> None:
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    words = ["epochs=2", "bottleneck.size=2", "architecture.hidden=4", "missing=allow", "corruption=GaussianNoise"]
    path = table(folder / "x.csv", labels=True)
    says("train", "deep", *words, "--data", str(path), "--labels", "=kind", "--out", str(folder / "run"))
    return folder / "run"


VERBS: dict[str, list[str]] = {
    "history.csv": [],
    "whole.csv": ["impute", "{run}", "--out", "{out}"],
    "anomalies.csv": ["detect", "{run}", "--data", "{data}", "--labels", "=kind", "--out", "{out}"],
    "predictions.csv": ["finetune", "{run}", "--out", "{out}"],
    "robustness.csv": ["robustness", "{run}", "levels=0.1", "draws=1", "n=6", "--out", "{folder}"],
}


@pytest.mark.promise(21)
@pytest.mark.parametrize("name", VERBS)
def test_csv_files_of_commands_contain_no_formulas(name: str, run: Path, tmp_path: Path) -> None:
    path = run / name if name == "history.csv" else tmp_path / name
    positions = {"run": run, "out": path, "data": run.parent / "x.csv", "folder": tmp_path}
    if VERBS[name]:
        says(*(word.format(**positions) for word in VERBS[name]))
    header, *rows = read(path.read_text())
    assert rows
    assert all(harmless(cell) for row in [header, *rows] for cell in row)
    if name == "whole.csv":
        assert header == [f"'{column}" for column in [*NAMES, "=kind"]]
        assert [row[-1] for row in rows[:3]] == [f"'{kind}" for kind in KINDS]
    if name == "anomalies.csv":
        assert {cell for row in rows for cell in row if cell.startswith("'")} <= {f"'{column}" for column in NAMES}
        assert any(row[header.index("score")].startswith("-") for row in rows)
    if name == "predictions.csv":
        assert {row[header.index("label")] for row in rows} <= {f"'{kind}" for kind in KINDS}


@pytest.mark.promise(21)
def test_csv_files_of_decompress_and_sweep_contain_no_formulas(tmp_path: Path) -> None:
    pytest.importorskip("constriction")
    path, run, small, out = (
        table(tmp_path / "x.csv", labels=False),
        *(tmp_path / name for name in ("run", "s", "o.csv")),
    )
    words = ["epochs=2", "bottleneck.size=2", "architecture.hidden=4", "--data", str(path)]
    path.write_text(path.read_text().replace(",,", ",0,"))
    says("train", "simple", *words, "--out", str(run))
    says("compress", str(run), "--data", str(path), "--out", str(small))
    says("decompress", str(run), str(small), "--out", str(out))
    header, *rows = read(out.read_text())
    assert header == [f"'{name}" for name in NAMES]
    assert len(rows) == 60
    assert np.isfinite(np.asarray(rows, float)).all()
    X = np.random.default_rng(0).normal(size=(40, 4))
    ae = Autoencoder(Identity(2), architecture=MLP(()), epochs=1)
    found = sweep(ae, X, {"bottleneck.size": [1, 2]}, folder=tmp_path / "sweep")
    assert all(harmless(cell) for row in read((tmp_path / "sweep" / "sweep.csv").read_text()) for cell in row)
    assert len(found.trials) == 2


def test_detection_results_use_the_same_csv_writer(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(40, 2))
    ae = Autoencoder(Identity(1), architecture=MLP(()), epochs=1, random_state=0).fit(Examples(X, ("=a", "\x1b[2J")))
    detector = OutlierDetector.from_fitted(ae, Examples(X, ("=a", "\x1b[2J")), random_state=0, false_alarm_rate=0.2)
    detection.write(tmp_path / "a.csv", detect(detector, X))
    rows = read((tmp_path / "a.csv").read_text())
    assert {row[4] for row in rows[1:]} <= {"'=a", r"\x1b[2J"}


@pytest.mark.parametrize("name", ["score", "line", "trained_on", "row", "share_1"])
def test_ids_named_like_a_column_of_results_stay(name: str, tmp_path: Path) -> None:
    rows = "".join(f"{value},{value**2 % 7},k{value}\n" for value in range(100))
    (tmp_path / "x.csv").write_text(f"a,b,{name}\n{rows}")
    assert cli("train", "-d", "x.csv", "--id", name, "epochs=1", "--out", "r", cwd=tmp_path).returncode == 0
    done = cli("detect", "r", "-d", "x.csv", "--id", name, "--out", "found.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, first = (line.split(",") for line in (tmp_path / "found.csv").read_text().splitlines()[:2])
    assert len(set(header)) == len(header)
    assert (first[header.index("line")], first[header.index(f"id_{name}")]) == ("2", "k0")
    assert first[header.index("trained_on")] in {"yes", "no"}
    assert float(first[header.index("score")]) < 1e9
