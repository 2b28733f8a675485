"""Model cards: the figures are those of the evaluation, what is not known is said, and no name of a stranger acts as a mark."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hostile_names import TEXTS
from test_cli import Done, run

import isthmus
from isthmus.experiments.run_folder import MODEL
from isthmus.text import markdown_safe, printable

DATA = "a```b.csv"
NAMES = ["kind|x", "www.example.org", "<b>_a_ [b](https://c.d)", "`c` @e #1"]
CELL = re.compile(r"(?<!\\)\|")  # between cells


def back(markdown: str) -> str:
    """Escaped text as a reader sees it."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown)


def parts(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The header of a card, and its sections by their heading."""
    _, header, text = (folder / name).read_text(encoding="utf-8").split("---\n", 2)
    first, *others = text.split("\n## ")
    return yaml.safe_load(header), {"": first} | dict(each.split("\n", 1) for each in others)


def rows(section: str) -> list[list[str]]:
    """The cells of all tables of a section."""
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[back(cell.strip()) for cell in CELL.split(line)[1:-1]] for line in lines]


def card(*words: str, cwd: Path) -> Done:
    done = run("card", *words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table with hostile names, its card, and its evaluation."""
    folder, rng = tmp_path_factory.mktemp("card"), np.random.default_rng(0)
    with (folder / DATA).open("w", encoding="utf-8", newline="") as file:
        write = csv.writer(file)
        write.writerow(NAMES)
        numbers = rng.normal(size=(60, 3)).round(3).tolist()
        write.writerows([["a|b", "<c>"][row % 2], *values] for row, values in enumerate(numbers))
    quick = ("bottleneck.size=2", "epochs=2", "architecture.hidden=4", "missing=allow")
    done = run("train", *quick, "--data", DATA, "--out", "r", cwd=folder)
    assert done.returncode == 0, done.stderr
    card("r", "--out", "card.md", "--license", "apache-2.0", cwd=folder)
    return folder


def test_the_header_has_the_figures_of_the_evaluation(made: Path) -> None:
    header, _ = parts(made, "card.md")
    figures = json.loads(run("evaluate", "r", "--json", cwd=made).stdout)["errors"]
    (model,) = header["model-index"]
    (result,) = model["results"]
    assert {each["type"]: each["value"] for each in result["metrics"]} == {
        name: value for name, value in figures.items() if value is not None
    }
    assert header["metrics"] == sorted(each["type"] for each in result["metrics"])
    assert result["dataset"] == {"type": "a-b.csv", "name": DATA}
    assert header["license"] == "apache-2.0"
    assert header["library_name"] == "isthmus"
    assert set(header["tags"]) == {"autoencoder", "tabular-data"}


def test_errors_stand_beside_those_of_pca(made: Path) -> None:
    figures = json.loads(run("evaluate", "r", "--json", cwd=made).stdout)
    _, sections = parts(made, "card.md")
    (line,) = [row for row in rows(sections["Figures"]) if row[0] == "error by column"]
    assert line[1:3] == [f"{figures[whose]['column_error']:.4g}" for whose in ("errors", "pca")]
    assert "Measured on 6 held-out examples" in sections["Figures"]
    data = dict(row[:2] for row in rows(sections["Data"]))
    assert data["Training examples"] == "54"
    assert data["Held-out examples"].startswith("6, drawn from all examples by their content")


def test_no_name_acts_as_a_mark(made: Path) -> None:
    _, sections = parts(made, "card.md")
    table = [row for row in rows(sections["Data"]) if len(row) == 3]
    assert [row[0] for row in table] == ["column", *NAMES]
    assert table[1] == ["kind|x", "category", "<c>, a|b"]
    text = "\n".join(sections.values())
    for line in re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL).splitlines():
        assert not re.search(r"(?<!\\)<|(?<!\\)\]\(|www\.|https?://", line), line
    fences = [line for line in sections["Training"].splitlines() if line.startswith("```")]
    assert fences == ["````sh", "````"]  # longer than that in the name of the data
    assert "isthmus train bottleneck.size=2 epochs=2" in sections["Training"]


def test_escaped_text_is_read_back() -> None:
    for name in TEXTS:
        escaped = markdown_safe(name)
        assert back(escaped) == printable(name, None)
        assert not re.search(r"(?<!\\)[|<`*_\[]", escaped.replace("\\\\", "")), name


def test_the_columns_and_limits_are_those_of_training(made: Path) -> None:
    values = np.genfromtxt(made / DATA, delimiter=",", skip_header=1)[:, 1]
    _, sections = parts(made, "card.md")
    (row,) = [row for row in rows(sections["Data"]) if row[0] == NAMES[1]]
    least, largest = (float(word) for word in row[2].split(" to "))
    assert values.min() <= least < largest <= values.max()
    assert "A missing value (NaN) is imputed" in sections["Limits"]
    assert "did not have is taken as missing" in sections["Limits"]


def test_the_file_is_the_one_whose_checksum_is_given(made: Path) -> None:
    _, sections = parts(made, "card.md")
    (row,) = [row for row in rows(sections["Files"]) if row[0] == MODEL]
    assert row[2] == f"sha256 {hashlib.sha256((made / 'r' / MODEL).read_bytes()).hexdigest()}"


def test_what_is_not_known_is_said(made: Path, tmp_path: Path) -> None:
    shutil.copy(made / "r" / MODEL, tmp_path / "alone.safetensors")
    said = card("alone.safetensors", cwd=tmp_path)
    assert "note: the card has no figures: the data could not be read" in said.stdout
    assert "note: the license of the model is not recorded" in said.stdout
    header, sections = parts(tmp_path, "alone.md")
    assert not {"license", "metrics", "model-index"} & set(header)
    assert sections["Figures"].strip().startswith("Not recorded: the data could not be read")
    assert "Command: not recorded." in sections["Training"]
    assert ["License of the data", "not recorded"] in rows(sections["Data"])


def test_a_detector_has_its_guarantee(made: Path, tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    ae = isthmus.Autoencoder(2, architecture=isthmus.architectures.MLP((4,)), epochs=1, random_state=0)
    detector = isthmus.OutlierDetector(ae, false_alarm_rate=0.2, random_state=0).fit(X)
    detector.save(tmp_path / "d.safetensors")
    card("d.safetensors", "--out", "d", "--no-export", cwd=tmp_path)
    header, sections = parts(tmp_path / "d", "README.md")
    assert detector.guarantee() in back(sections["Limits"])
    assert "anomaly-detection" in header["tags"]
    assert {path.name for path in (tmp_path / "d").iterdir()} == {"README.md", MODEL}
    assert isthmus.load(tmp_path / "d" / MODEL).guarantee() == detector.guarantee()


def test_built_in_data_have_source_and_license(tmp_path: Path) -> None:
    quick = ("bottleneck.size=2", "epochs=1", "architecture.hidden=4")
    assert not run("train", *quick, "--data", "digits", "--out", "r", cwd=tmp_path).returncode
    card("r", cwd=tmp_path)
    header, sections = parts(tmp_path / "r", "README.md")
    digits = isthmus.data.digits()
    assert ["Source", digits.source] in rows(sections["Data"])
    assert ["License of the data", digits.license] in rows(sections["Data"])
    assert header["pipeline_tag"] == "image-feature-extraction"
    assert "from 0 to " in sections["Limits"]


def test_classifiers_and_detectors_of_images_say_what_they_do(tmp_path: Path) -> None:
    X, y = isthmus.data.digits().train[:60], np.array(["a|b", "c"])[np.arange(60) % 2]
    ae = isthmus.Autoencoder(2, architecture=isthmus.architectures.MLP((4,)), epochs=1, random_state=0).fit(X)
    isthmus.AutoencoderClassifier(ae, epochs=1).fit(X, y).save(tmp_path / "c.safetensors")
    images = isthmus.evaluation.ImageOutlierDetector.from_fitted(ae, list(X), false_alarm_rate=0.2)
    images.save(tmp_path / "i.safetensors")
    for name, said in (
        ("c", "It predicts one of 2 labels, for examples of other classes too: a|b, c."),
        ("i", images.guarantee()),
    ):
        card(f"{name}.safetensors", "--no-export", cwd=tmp_path)
        _, sections = parts(tmp_path, f"{name}.md")
        assert said in back(sections["Limits"])
        (code,) = re.findall(r"```python\n(.*?)```", sections["How to use it"], re.DOTALL)
        names: dict[str, Any] = {"X": list(X)}
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            exec(code, names)  # as the card says
        assert len(names.get("predicted", names.get("verdicts"))) == 60


@pytest.mark.thorough
def test_a_run_of_a_sweep_has_the_spread_over_random_states(tmp_path: Path) -> None:
    quick = ("bottleneck.size=1,2", "random_state=0,1,2", "epochs=1", "architecture.hidden=4")
    assert not run("sweep", *quick, "--data", "digits", "--out", "s", cwd=tmp_path).returncode
    card("s/size-1_state-1", "--out", "card.md", cwd=tmp_path)
    _, sections = parts(tmp_path, "card.md")
    files = [tmp_path / f"s/size-1_state-{state}/validation.json" for state in range(3)]
    errors = [json.loads(file.read_text())["errors"]["mse"] for file in files]
    assert "One training with random state 1. Over 3 random states of its sweep" in sections["Figures"]
    assert f"squared error {np.mean(errors):.4g} ± {np.std(errors, ddof=1):.4g}" in sections["Figures"]
    (tmp_path / "s" / "sweep.json").write_text('{"trainings": 1}')
    card("s/size-1_state-1", "--out", "other.md", cwd=tmp_path)
    assert "spread over random states: not recorded" in parts(tmp_path, "other.md")[1]["Figures"]


def test_invalid_input_has_a_sentence_and_nothing_is_lost(made: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    run_folder = str(made / "r")
    for words, said in (
        ([run_folder, "--out", "mine.md"], "exists, and may hold your own words"),
        ([run_folder, "--out", "full"], "is a folder with files"),
        ([run_folder, "--license", "my own", "--out", "new.md"], "invalid license 'my own'"),
        ([run_folder, "--out", "none/new.md"], "the folder does not exist"),
        ([run_folder, "--data", "none.csv", "--out", "new"], "none.csv"),
        (["none"], "none"),
    ):
        done = run("card", *words, cwd=tmp_path)
        assert done.returncode in {1, 2}
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"mine.md", "full"}
    assert (tmp_path / "mine.md").read_text() == "mine"


@pytest.mark.thorough
def test_a_folder_has_all_that_the_hub_takes(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "x")
    done = json.loads(card("r", "--out", "hub", "--json", cwd=tmp_path / "x").stdout)
    folder = tmp_path / "x" / "hub"
    assert set(done["files"]) == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"README.md", MODEL, "run.json", "onnx/encoder.onnx", "onnx/isthmus.json"} <= set(done["files"])
    header, sections = parts(folder, "README.md")
    assert "onnx" in header["tags"]
    code = re.findall(r"```python\n(.*?)```", sections["How to use it"], re.DOTALL)
    names: dict[str, Any] = {}
    import pandas as pd

    names["X"] = pd.read_csv(made / DATA)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(code[0], names)  # what the card says, as it stands
        exec(code[1], names)
    assert names["codes"].shape == (60, 2)
