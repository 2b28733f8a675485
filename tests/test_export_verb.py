"""The verb export: from a file to ONNX files of a run and of a detector, and a sentence for what cannot be exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_cli import Done, run

import isthmus.runtime

N = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, a run of it, and a detector."""
    place = tmp_path_factory.mktemp("export")
    for number, name in enumerate(("houses.csv", "new.csv")):
        rng = np.random.default_rng(number)
        table = {
            "id": np.arange(N),
            "price": rng.normal(5, 2, N).round(2),
            "rooms": rng.integers(1, 6, N),
            "region": rng.choice(["north", "south", ""], N),
            "built": pd.date_range("1990-01-01", periods=N, freq="W"),
        }
        pd.DataFrame(table).to_csv(place / name, index=False)
    (place / "pictures").mkdir()
    (place / "pictures/one.png").write_bytes(b"")
    said(place, "train", "--data", "houses.csv", "--id", "id", "missing=allow", "epochs=1", "--out", "run")
    said(place, "detect", "run", "--data", "houses.csv", "--save", "detector.safetensors", "--out", "scores.csv")
    return place


def said(folder: Path, *words: str) -> Done:
    done = run(*words, cwd=folder)
    assert not done.returncode, done.stderr
    return done


@pytest.mark.promise(31)
@pytest.mark.thorough
def test_a_run_and_a_detector_are_exported_by_their_own_files(folder: Path) -> None:
    done = said(folder, "export", "run", "--out", "exported")
    assert "note: houses.csv is read as a table" in done.stdout
    assert done.stdout.count("largest relative difference from the model") == 5
    assert f"compared on {N // 10} examples" in done.stdout
    done = said(folder, "export", "detector.safetensors", "--data", "houses.csv", "--id", "id", "--out", "of-detector")
    assert f"compared on {N} examples" in done.stdout
    said(folder, "detect", "detector.safetensors", "--data", "new.csv", "--id", "id", "--out", "found.csv")
    scores = pd.read_csv(folder / "found.csv")
    rows = pd.read_csv(folder / "new.csv", parse_dates=["built"]).loc[scores["row"]]
    found = isthmus.runtime.load(folder / "of-detector").detect(rows.assign(region=rows["region"].fillna("")))
    np.testing.assert_allclose(found.scores, scores["score"], rtol=1e-4)
    np.testing.assert_allclose(found.p_values, scores["p_value"], atol=5e-5)  # as written


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "--parts", "codes"], 2, "there is no part 'codes': choose from encoder, decoder"),
        (["run", "--parts", "detect"], 1, "requires a detector"),
        (["run", "--out", "houses.csv"], 1, "is a file, and an export is a folder"),
        (["run", "--out", "pictures"], 1, "is a folder with other files than those of an export"),
        (["run", "--out", "."], 1, "is the current folder, which an export would replace"),
        (["nothing"], 1, "no model file at nothing"),
        (["houses.csv"], 1, "is damaged or not a model file"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(words: list[str], code: int, message: str, folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    done = run("export", *words, cwd=folder)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in folder.iterdir()) == before
