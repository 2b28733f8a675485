"""A wrong number in a file is named by the line of the file and the name of the column, by every verb: never by a row counted from 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_cli import Done, run

from isthmus import Autoencoder, OutlierDetector, cli
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.data import read
from isthmus.data.validation import Examples, as_examples
from isthmus.errors import DataError
from isthmus.experiments.splits import split
from isthmus.scaling import NoScaling

QUICK = ("epochs=1", "architecture.hidden=4", "bottleneck.size=2")
BEHIND: dict[str, list[str]] = {  # a verb's other words, before --data
    "train": [*QUICK, "--out", "new"],
    "sweep": ["bottleneck.size=1,2", *QUICK[:2], "--out", "new"],
    "resume": ["cut"],
    "evaluate": ["run"],
    "compare": ["run", "run"],
    "robustness": ["run", "kinds=gaussian_noise", "levels=0.3", "draws=1"],
    "plot": ["run", "reconstructions"],
    "encode": ["run"],
    "reconstruct": ["run"],
    "impute": ["run"],
    "sample": ["run", "--method", "gmm"],
    "score": ["run"],
    "detect": ["run"],
    "finetune": ["run"],
    "compress": ["run"],
    "export": ["run", "--parts", "encoder"],
    "card": ["run", "--no-export"],
    "explore": ["run", "--no-browser"],
}
LOOKS = {"data"}  # at whatever there is, and says what it found
BEARS = {"detect"}  # what is far away: it is an anomaly
LINE = 42  # of the wrong number, behind a comment of two lines and the names


def table(path: Path, cell: str = "0.5", row: int = LINE - 4) -> None:
    """A table with another cell in column b of a row, counted from 0, whose line is three further on and counted from 1."""
    values = np.random.default_rng(0).normal(size=(60, 3)).round(3).astype(str).tolist()
    values[row][1] = cell
    lines = [",".join([*each, "xy"[place % 2]]) for place, each in enumerate(values)]
    path.write_text("\n".join(["# measured", "# by hand", "a,b,c,kind", *lines]) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table, and one that was cut off."""
    folder = tmp_path_factory.mktemp("places")
    table(folder / "good.csv")
    done = run("train", *QUICK, "--data", "good.csv", "--labels", "kind", "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    ae = Autoencoder(Identity(2), architecture=MLP((4,)), epochs=2, random_state=0)
    data = read(folder / "good.csv", labels="kind")
    part = split(data, "error")
    for _ in ae.iter_fit(part.train_of(data)):
        (folder / "cut").mkdir(exist_ok=True)
        ae.checkpoint(folder / "cut" / "checkpoint.safetensors")
        break
    (folder / "cut" / "run.json").write_text('{"data": "good.csv", "labels": "kind", "recipe": "deep"}')
    return folder


def check_one_sentence(done: Done) -> str:
    """The only line that a failed command says on standard error."""
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("isthmus: ")
    return done.stderr


def test_every_command_with_data_is_tested() -> None:
    verbs = {each.callback.__name__: each.callback for each in cli.app.registered_commands if each.callback}
    takes = {name for name, verb in verbs.items() if "data" in verb.__annotations__}
    assert takes == set(BEHIND) | LOOKS


CELLS = {"": "NaN", "inf": "is inf", "1e300": "is 1e+300", "1e30": "is 1e+30, too far from"}


def check_named(done: Done, where: str, what: str) -> None:
    """One sentence that says where a number stands, and no row."""
    sentence = check_one_sentence(done)
    assert where in sentence, sentence
    assert what in sentence
    assert "row" not in sentence.replace("drop the row", "")


@pytest.mark.promise(24, cases=4)
@pytest.mark.parametrize("verb", BEHIND)
def test_every_command_names_line_and_column_of_an_invalid_value(verb: str, made: Path) -> None:
    labels = ["--labels", "kind"] if verb in {"train", "sweep", "resume", "finetune"} else ["--drop", "kind"]
    for cell, what in CELLS.items():
        table(made / "t.csv", cell)
        unscaled = ["scaling=NoScaling"] if verb in {"train", "sweep"} and cell == "1e30" else []
        done = run(verb, *BEHIND[verb], *unscaled, "--data", "t.csv", *labels, cwd=made)
        if verb in BEARS and cell == "1e30":
            assert done.returncode == 0, done.stderr
        else:
            check_named(done, f"line {LINE} of t.csv, column 'b'", what)


def test_an_invalid_held_out_value_is_named_by_its_line(made: Path) -> None:
    """Training computes with the others; the validation examples stand elsewhere in the file."""
    data = read(made / "good.csv", labels="kind")
    rows = split(data, "error").test_rows
    assert rows is not None
    for row in rows.tolist():
        table(made / "t.csv", "1e30", row)
        if row not in split(read(made / "t.csv", labels="kind"), "error").test_rows.tolist():  # its content decides
            continue
        done = run("train", *QUICK, "--data", "t.csv", "--labels", "kind", "--out", "held", cwd=made)
        check_named(done, f"line {row + 4} of t.csv, column 'b'", "is 1e+30, too far from the training data")
        return
    pytest.fail("no row with that number is held out")


def test_invalid_values_in_additional_files_are_named_by_line(made: Path) -> None:
    table(made / "t.csv", "inf")
    words = ["--data", "good.csv", "--labels", "kind"]
    where = f"line {LINE} of t.csv, column 'b'"
    check_named(run("detect", "run", *words, "--normal", "t.csv", cwd=made), where, "is inf")
    check_named(run("finetune", "run", *words, "--predict", "t.csv", cwd=made), where, "is inf")


def test_invalid_codes_in_a_file_are_named_by_line(made: Path) -> None:
    (made / "codes.csv").write_text("code_0,code_1\n1,2\n3,1e30\n")
    check_named(
        run("decode", "run", "codes.csv", cwd=made), "line 3 of codes.csv, column 'code_1'", "is 1e+30, too far"
    )


def test_a_column_of_missing_values_is_named(made: Path) -> None:
    (made / "t.csv").write_text("a,b\n" + "1,\n2,\n" * 9)
    done = run("train", *QUICK, "missing=allow", "--data", "t.csv", "--out", "void", cwd=made)
    assert check_one_sentence(done).startswith("isthmus: column 'b' of t.csv is missing in every row")


def parquet(path: Path, values: np.ndarray) -> None:
    pd.DataFrame(values, columns=["a", "b"]).to_parquet(path)


def excel(path: Path, values: np.ndarray) -> None:
    pd.DataFrame(values, columns=["a", "b"]).astype(object).where(np.isfinite(values), "inf").to_excel(
        path, index=False
    )


def npz(path: Path, values: np.ndarray) -> None:
    np.savez(path, x_train=np.ones((9, 2)), x_test=values)


FILES: dict[str, tuple[Callable[[Path, np.ndarray], None], str]] = {
    "t.parquet": (parquet, "row 5 (the first is 0) of t.parquet, column 'b' is inf"),
    "t.xlsx": (excel, "line 7 of t.xlsx, column 'b' is inf"),
    "t.npy": (np.save, "row 5 (the first is 0) of t.npy, column 1 is inf"),
    "t.npz": (npz, "row 5 (the first is 0) of the test examples of t.npz, column 1 is inf"),
    "w.npy": (
        lambda path, values: np.save(path, np.repeat(values[:, None], 3, axis=1)),
        "row 5 (the first is 0) of w.npy, position (0, 1) is inf",
    ),
    "t.txt": (lambda path, values: np.savetxt(path, values), "line 6 of t.txt, column '1' is inf"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_without_lines_give_the_row_and_how_it_is_counted(name: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(30, 2))
    values[5, 1] = np.inf
    write, where = FILES[name]
    if name.endswith("xlsx"):
        pytest.importorskip("openpyxl")
    write(tmp_path / name, values)
    sentence = check_one_sentence(run("train", *QUICK, "--data", name, "--out", "r", cwd=tmp_path))
    assert f"Input X contains infinity: {where}; replace it" in sentence


def test_selected_examples_keep_their_positions() -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    X[150, 2] = 1e30
    given = Examples(X, ("a", "b", "c"))
    assert given.some(np.array([7, 150])).at((1, 2)) == "row 150, column 2 (feature 'c')"
    assert given.some(np.array([7, 150])).some(slice(1, 2)).at((0, 2)) == "row 150, column 2 (feature 'c')"
    assert given.some(slice(100, 190)).at((50, 2)) == "row 150, column 2 (feature 'c')"
    assert as_examples(given.some([7, 150])).at((1, 2)) == "row 150, column 2 (feature 'c')"
    ae = Autoencoder(Identity(1), architecture=MLP(()), scaling=NoScaling(), epochs=1, random_state=0)
    said = []
    for state in range(4):  # most of them train on that row
        try:
            OutlierDetector(ae, false_alarm_rate=0.2, random_state=state).fit(X)
        except DataError as error:
            said.append(str(error))
    assert said
    assert all(each.startswith("row 150, column 2 is 1e+30, too far") for each in said)
