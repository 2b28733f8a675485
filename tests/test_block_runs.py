"""Runs on folders of files: what is held out stays held out, however the files are named and whatever is added to them."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_cli import run
from victims import weights_hash

from isthmus.experiments.membership import read_membership

Array = np.ndarray[Any, Any]
X = np.random.default_rng(0).normal(size=(400, 4))


def write(folder: Path, name: str, values: Array) -> None:
    folder.mkdir(exist_ok=True)
    columns = {f"c{number}": column for number, column in enumerate(values.T)}
    pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=30)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of eight files of 50 rows, beside which runs are written."""
    monkeypatch.chdir(tmp_path)
    for number, part in enumerate(np.split(X, 8)):
        write(tmp_path / "rows", f"part-{number}", part)
    return tmp_path / "rows"


TRAIN = ("train", "simple", "--data", "rows", "--cache", "0", "epochs=1", "bottleneck=2", "--out", "run")


def said(*words: str, code: int = 0) -> str:
    """What a command prints."""
    done = run(*words, cwd=Path())
    assert done.returncode == code, done
    return done.stdout + done.stderr


def detected(data: str) -> tuple[Counter[str], str]:
    """How many examples have each mark of the column trained_on, and what is printed."""
    printed = said("detect", "run", "--data", data, "--out", "a.csv")
    with Path("a.csv").open() as file:
        return Counter(row["trained_on"] for row in csv.DictReader(file)), " ".join(printed.split())


@pytest.mark.promise(25)
def test_rows_are_held_out_by_content_and_none_of_the_training_is_evaluated(folder: Path) -> None:
    printed = said(*TRAIN)
    record = read_membership(folder.parent / "run")
    assert record is not None
    assert f"held out: {record.held} of 400 examples, drawn by a hash of their content" in printed
    (folder / "part-3.parquet").rename(folder / "another.parquet")
    again = said("evaluate", "run")
    assert "changed since training" not in again
    marks, printed = detected("rows")
    assert (marks["yes"], marks["no"]) == (400 - record.held, record.held)
    assert f"{400 - record.held} of 400 examples are training examples" in printed
    write(folder, "new", np.random.default_rng(1).normal(size=(100, 4)))
    (folder / "part-1.parquet").unlink()
    changed = said("evaluate", "run")
    assert "the data have changed since training: 450 examples, 400 then" in changed
    marks, printed = detected("rows/new.parquet")
    assert set(marks) == {"no", "unknown"}
    assert f"{marks['unknown']} of 100 examples may be training examples, as run has no list of them" in printed


@pytest.mark.promise(25)
def test_whole_files_are_held_out(folder: Path) -> None:
    printed = said(*TRAIN, "--hold-out", "files")
    record = read_membership(folder.parent / "run")
    assert record is not None
    assert record.held % 50 == 0
    assert f"held out: {record.held // 50} of 8 files (part-" in printed
    write(folder, "new", np.random.default_rng(1).normal(size=(100, 4)))
    assert "100 examples are in files that are new or changed: not evaluated" in said("evaluate", "run")


def test_what_has_no_files_cannot_hold_them_out(folder: Path) -> None:
    np.save("x.npy", X)
    printed = said(*TRAIN[:3], "x.npy", "--hold-out", "files", code=1)
    assert "(--hold-out): x.npy is not a folder or pattern of Parquet, Arrow or .npy files" in printed


@pytest.mark.promise(10)
@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_on_a_folder_that_is_killed_resumes_to_the_same_weights(folder: Path, number: int) -> None:
    """Windows are small, so that the kill comes at any place in an epoch of many of them."""
    command = "import sys; from isthmus.training import block_source; block_source.WINDOW_BYTES = 3000; "
    command += "from isthmus.cli import main; sys.argv[0] = 'isthmus'; main()"
    words = [
        "train",
        "denoising",
        *TRAIN[2:6],
        "epochs=30",
        "batch_size=16",
        "architecture=MLP",
        "architecture.hidden=8",
    ]

    def begun(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", command, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )

    killed = begun(*words, "--checkpoint-every", "7", "--out", "a")
    assert killed.stderr is not None
    while line := killed.stderr.readline():
        if "epoch 3," in line:
            killed.send_signal(number)
            break
    killed.communicate(timeout=60)
    assert killed.returncode in {-number, 128 + number}
    for each in (["resume", "a"], [*words, "--out", "b"]):
        with begun(*each) as last:
            said = last.communicate(timeout=120)[1]
        assert last.returncode == 0, said
    assert weights_hash(folder.parent / "a" / "model.safetensors") == weights_hash(
        folder.parent / "b" / "model.safetensors"
    )
