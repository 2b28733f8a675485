"""Verbs on a folder of tables whose rows stay in the files write what they write of rows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import isthmus
from isthmus.cli import app
from isthmus.data.options import ReadOptions, Reused
from isthmus.experiments.new_values import unknown_marks

N = 100


def write(path: Path, seed: int, mixed: bool = True, region: str = "") -> None:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "id": [f"{seed}-{row}" for row in range(N)],
        "a": [None if row % 9 == 0 else row % 7 + 0.5 for row in range(N)],
        "b": rng.random(N),
    }
    if mixed:
        columns["region"] = [None if row % 13 == 0 else region * (row % 5 == 0) or "NSW"[row % 3] for row in range(N)]
        columns["day"] = [f"2024-0{1 + row % 9}-11" for row in range(N)]
        columns["note"] = [f"text {rng.integers(10**9)}" for _ in range(N)]
    pq.write_table(pa.table(columns), path, row_group_size=30)


def verb(*arguments: object) -> str:
    ran = CliRunner().invoke(app, [*map(str, arguments)])
    assert ran.exit_code == 0, f"{ran.output} {ran.exception!r}"
    return ran.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on a folder of numbers and on one of columns of all kinds."""
    base = tmp_path_factory.mktemp("verbs")
    for name in ("numbers", "mixed"):
        (base / name).mkdir()
        for seed in range(2):
            write(base / name / f"{seed}.parquet", seed, name == "mixed")
        verb(
            "train",
            "deep",
            "epochs=1",
            "missing=allow",
            "--data",
            base / name,
            "--id",
            "id",
            "--out",
            base / f"run-{name}",
        )
    return base


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["numbers", "mixed"])
@pytest.mark.parametrize("ending", ["csv", "parquet", "npy"])
def test_completed_tables_are_those_of_rows_in_memory(runs: Path, tmp_path: Path, name: str, ending: str) -> None:
    contents = list[bytes]()
    for number, options in enumerate(((), ("--cache", "0"))):
        out = tmp_path / f"{number}.{ending}"
        said = verb("impute", runs / f"run-{name}", "--data", runs / name, "--out", out, *options)
        contents.append(out.read_bytes())
    assert contents[0] == contents[1]
    if ending == "parquet" and name == "numbers":
        assert "written as float64 numbers, and id as text" in said
    if ending == "parquet":
        given = pd.concat(pd.read_parquet(runs / name / f"{seed}.parquet") for seed in range(2))
        found = pd.read_parquet(tmp_path / "1.parquet")
        assert [*found] == [*given]
        known = given["a"].notna().to_numpy()
        assert found["a"].notna().all()
        assert (found["a"].to_numpy()[known] == given["a"].to_numpy()[known]).all()
        assert found["id"].tolist() == given["id"].tolist()


@pytest.mark.thorough
def test_new_categories_are_named_as_of_rows_in_memory(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for seed in (7, 8):
        write(tmp_path / f"new/{seed}.parquet", seed, region="XX" if seed == 8 else "")
    found = list[pd.DataFrame]()
    for number, options in enumerate(((), ("--cache", "0"))):
        out = tmp_path / f"{number}.csv"
        verb("detect", runs / "run-mixed", "--data", tmp_path / "new", "--out", out, *options)
        found.append(pd.read_csv(out, keep_default_na=False))
    assert [*found[0]] == [*found[1]]
    unknown = found[1]["unknown"].tolist()
    assert unknown == ["region=XX" if row >= N and row % 5 == 0 and (row - N) % 13 else "" for row in range(2 * N)]
    assert found[0]["unknown"].tolist() == unknown


def test_new_categories_are_found_as_of_rows_in_memory(tmp_path: Path) -> None:
    for seed in range(2):
        write(tmp_path / f"{seed}.parquet", seed, region="XX" if seed else "")
    reused = Reused(ReadOptions(id="id"), table=isthmus.data.read(tmp_path / "0.parquet", id="id").table)
    small, large = (unknown_marks(isthmus.data.read(tmp_path, reused=reused, cache=cache)) for cache in (None, 0))
    assert small["unknown"].tolist() == large["unknown"].tolist()
    assert large["unknown"].tolist().count("region=XX") == 18
    first = isthmus.data.read(tmp_path / "0.parquet", reused=reused, cache=0)
    assert unknown_marks(first) == {}
