"""The command line, as a person types it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from contextlib import chdir, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import drawing
import numpy as np
import pytest

import isthmus
from isthmus.cli import main
from isthmus.errors import IsthmusWarning
from isthmus.estimators.named_records import record_types
from isthmus.experiments.splits import split
from isthmus.experiments.validation_set import validation_examples
from isthmus.records import field_names

SMALL = ("epochs=1", "architecture.hidden=16")


class Done(NamedTuple):
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


def run(*words: str, cwd: Path, every_figure: bool = False) -> Done:
    """A command as typed in a folder; where a test is not about figures, a run draws its losses alone, for speed."""
    out, err = io.StringIO(), io.StringIO()
    figures: Any = drawing.every_figure() if every_figure else nullcontext()
    with figures, chdir(cwd), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["isthmus", *words])
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
            main()
    return Done(int(end.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small variational run on digits."""
    folder = tmp_path_factory.mktemp("cli")
    done = run(
        "train",
        "variational",
        "bottleneck.size=2",
        "epochs=3",
        "architecture.hidden=32",
        "--data",
        "digits",
        "--out",
        "vae",
        cwd=folder,
        every_figure=True,
    )
    assert done.returncode == 0, done.stderr
    assert "vae" in done.stdout.splitlines()[-1]
    return folder


def test_a_run_folder_contains_all_files(trained: Path) -> None:
    run_folder = trained / "vae"
    assert {p.name for p in run_folder.iterdir()} == {
        "model.safetensors",
        "history.csv",
        "run.json",
        "report.html",
        "figures",
    }
    lines = (run_folder / "history.csv").read_text().splitlines()
    assert len(lines) == 1 + 3
    assert lines[0].startswith("epoch,step,steps,seconds,loss,nll,penalty,val_loss,lr")
    assert {"losses.png", "reconstructions.png", "latent.png", "manifold.png", "samples.png"} <= {
        p.name for p in (run_folder / "figures").iterdir()
    }
    assert "data:image/png" in (run_folder / "report.html").read_text()


def test_evaluate_prints_the_figures_of_the_model(trained: Path) -> None:
    done = run("evaluate", "vae", "--json", cwd=trained)
    figures = json.loads(done.stdout)
    ae, digits = isthmus.load(trained / "vae"), isthmus.data.digits()
    assert figures["errors"]["mse"] == pytest.approx(ae.reconstruction_error(digits.test).mean(), rel=1e-5)


def test_train_prints_json_alone_on_standard_output(tmp_path: Path) -> None:
    """What is said for people, a warning about a value here, goes to standard error."""
    table = np.random.default_rng(0).normal(size=(200, 4)).round(3)
    table[:, 1] = -999.0 * (np.arange(200) % 9 == 0) + table[:, 1] * (np.arange(200) % 9 != 0)
    np.savetxt(tmp_path / "own.csv", table, delimiter=",", header="a,b,c,d", comments="")
    done = run("train", *SMALL, "--data", "own.csv", "--out", "r", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "-999" in done.stderr
    ae = isthmus.load(tmp_path / "r")
    last = ae.history_[-1]
    assert (told["folder"], told["recipe"], told["precision"], told["device"]) == ("r", "deep", "float32", "cpu")
    assert (told["epochs"], told["steps"], told["seconds"]) == (last.epoch, last.step, ae.seconds_)
    assert told["n_parameters"] == ae.n_parameters_ == told["evaluation"]["cost"]["n_parameters"]
    again = json.loads(run("evaluate", "r", "--json", cwd=tmp_path).stdout)
    assert _timeless(told["evaluation"]) == _timeless(again)
    shutil.copytree(tmp_path / "r", tmp_path / "cut")
    (tmp_path / "cut/model.safetensors").unlink()
    begun, data = isthmus.Autoencoder(2, epochs=1, random_state=0), isthmus.data.read(tmp_path / "own.csv")
    part = split(data, "error")
    reports = begun.iter_fit(part.train_of(data), validation_data=validation_examples(data, part)[0], every=3)
    with pytest.warns(IsthmusWarning, match="-999"):
        next(reports)
    begun.checkpoint(tmp_path / "cut/checkpoint.safetensors")
    reports.close()
    done = run("resume", "cut", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == told.keys()


def _timeless(evaluation: dict[str, Any]) -> dict[str, Any]:
    """An evaluation without what is measured with a clock."""
    clocked = {"encode_per_second", "reconstruct_per_second"}
    cost = {name: value for name, value in evaluation["cost"].items() if name not in clocked}
    return evaluation | {"cost": cost}


def test_encode_decode_reconstruct_agree(trained: Path) -> None:
    for words in (
        ("encode", "vae", "--out", "z.npy"),
        ("decode", "vae", "z.npy", "--out", "y.npy"),
        ("reconstruct", "vae", "--out", "r.npy"),
    ):
        assert run(*words, cwd=trained).returncode == 0
    assert np.load(trained / "z.npy").shape == (360, 2)
    np.testing.assert_array_equal(np.load(trained / "y.npy"), np.load(trained / "r.npy"))


def test_samples_are_a_function_of_the_random_state(trained: Path) -> None:
    for name, state in (("a", "0"), ("b", "0"), ("c", "1")):
        assert (
            run("sample", "vae", "-n", "5", "--random-state", state, "--out", f"{name}.npy", cwd=trained).returncode
            == 0
        )
    a, b, c = (np.load(trained / f"{name}.npy") for name in "abc")
    assert a.shape == (5, 8, 8)
    assert (a == b).all()
    assert (a != c).any()


def test_plot_draws_a_figure_and_lists_the_kinds(trained: Path) -> None:
    done = run("plot", "vae", "sheet", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert (trained / "vae/figures/sheet.png").read_bytes().startswith(b"\x89PNG")
    assert "manifold" in run("plot", "vae", cwd=trained).stdout


def test_plot_passes_arguments_on(trained: Path) -> None:
    sizes = []
    for n in ("3", "9"):
        assert run("plot", "vae", "manifold", f"n={n}", "by=linear", cwd=trained).returncode == 0
        sizes.append((trained / "vae/figures/manifold.png").stat().st_size)
    assert sizes[0] < sizes[1]
    wrong = run("plot", "vae", "manifold", "m=3", cwd=trained)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "by" in wrong.stderr


def test_reproduce_prints_published_and_ours(tmp_path: Path) -> None:
    done = run("reproduce", "keras-simple", "epochs=0.05", "--json", "--out", "r", cwd=tmp_path)
    (row,) = json.loads(done.stdout)
    assert row["published"]["test per pixel"] == 0.1022
    assert 0.058 < row["mean"]["test per pixel"] < 0.75
    assert (tmp_path / "r/keras-simple/model.safetensors").exists()
    assert "keras-vae" in run("reproduce", cwd=tmp_path).stdout


def test_reproduce_trains_with_each_random_state(tmp_path: Path) -> None:
    words = ("reproduce", "tf-simple", "epochs=0.005", "--out", "r")
    done = run(*words, "--random-state", "0,1", cwd=tmp_path)
    assert " 2 " in done.stdout
    assert "machine 1: " in done.stdout
    (row,) = json.loads(run(*words, "random_state=1,0", "--json", cwd=tmp_path).stdout)
    assert [each["random_state"] for each in row["runs"]] == [1, 0]
    assert row["mean"]["test per pixel"] == pytest.approx(
        sum(each["ours"]["test per pixel"] for each in row["runs"]) / 2
    )
    assert sorted(path.parent.name for path in tmp_path.rglob("result.json")) == ["state-1", "tf-simple"]
    for wrong in (
        ("--random-state", "0,0"),
        ("--random-state", "-1"),
        ("--random-state", "x"),
        ("--random-state", "1", "random_state=1"),
    ):
        refused = run(*words, *wrong, cwd=tmp_path)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert "--random-state" in refused.stderr


def test_own_table_with_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = "\n".join(f"{a:.3f},{a + b / 9:.3f},{'x' if a > 0 else 'y'}" for a, b in rng.normal(size=(60, 2)))
    (tmp_path / "table.csv").write_text(f"left,right,kind\n{rows}\n")
    words = ("bottleneck.size=1", "--data", "table.csv", "--labels", "kind", "--out", "r")
    done = run("train", *SMALL, *words, cwd=tmp_path, every_figure=True)
    assert done.returncode == 0, done.stderr
    assert isthmus.load(tmp_path / "r").shape_ == (2,)


WRONG = {
    ("train", "depp"): (2, "deep"),
    ("train", "."): (2, "'.' is no recipe but a file or folder; for data: --data ."),
    ("data", "digits", "--data", "mnist"): (2, "the data are given twice, as digits and as --data mnist"),
    ("train", "epoch=3"): (2, "epochs"),
    ("train", "bottleneck.siz=3"): (2, "size"),
    ("train", "bottleneck.size=-3"): (2, "greater than 0"),
    ("train", "bottleneck=Gausian"): (2, "Gaussian"),
    ("train", "epochs=0"): (2, "epochs"),
    ("train", "device=moon"): (2, "moon"),
    ("train", "--resize", "big"): (2, "64x64"),
    ("train", f"bottleneck={'9' * 5000}"): (2, "expected a size below 2,147,483,648"),
    ("train", f"bottleneck.size={'9' * 5000}"): (2, "Identity: invalid size="),
    ("train", "--resize", f"64x{'9' * 5000}"): (2, "64x64"),
    ("sweep", f"bottleneck=8,{'9' * 5000}", "--data", "digits"): (2, "expected a size below 2,147,483,648"),
    ("train", "--data", "nowhere"): (1, "nowhere"),
    ("train", "--data", "./nowhere.npy"): (1, "nowhere.npy"),
    ("train", "--data", "empty"): (1, "empty"),
    ("train", "--data", "nan.npy"): (1, "row 1 (the first is 0) of nan.npy, column 0"),
    ("train", "--data", "one.npy"): (1, "too few"),
    ("reproduce", "keras-simpel"): (2, "keras-simple"),
    ("evaluate", "nowhere"): (1, "nowhere"),
    ("plot", "nowhere", "latemt"): (2, "latent"),
    ("sample", "garbage.safetensors"): (1, "garbage.safetensors"),
}


@pytest.mark.parametrize("words", WRONG, ids=lambda words: " ".join(words)[:60])
def test_an_invalid_command_prints_one_sentence_and_changes_nothing(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "nan.npy", np.array([[1.0], [np.nan], [2.0], [3.0], [4.0]]))
    np.save(tmp_path / "one.npy", np.ones((1, 4)))
    (tmp_path / "garbage.safetensors").write_bytes(b"garbage")
    before = sorted(tmp_path.rglob("*"))
    done = run(*words, cwd=tmp_path)
    code, word = WRONG[words]
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert done.stderr.startswith("isthmus: ")
    assert word in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_code_of_another_size_is_refused(trained: Path) -> None:
    np.save(trained / "wide.npy", np.zeros((3, 5)))
    done = run("decode", "vae", "wide.npy", cwd=trained)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert not (trained / "decoded.npy").exists()


@pytest.mark.thorough
def test_a_folder_that_holds_a_run_is_not_written_over(trained: Path) -> None:
    before = (trained / "vae/model.safetensors").read_bytes()
    done = run("train", *SMALL, "--data", "digits", "--out", "vae", cwd=trained)
    assert done.returncode == 1
    assert (trained / "vae/model.safetensors").read_bytes() == before


def test_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout.strip() == f"isthmus {isthmus.__version__}"


def test_the_module_runs_as_the_command(tmp_path: Path) -> None:
    """``python -m isthmus`` is ``isthmus``, with this name in its help and its exit codes."""
    for words, code in ((["encode", "--help"], 0), (["encode"], 2)):
        command = [sys.executable, "-m", "isthmus", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
        assert (done.returncode, "Usage: isthmus encode [" in done.stdout) == (code, code == 0), done
        assert done.stderr == ("" if code == 0 else run(*words, cwd=tmp_path).stderr)


def test_columns_of_other_data_are_taken_by_name(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3))
    more = np.column_stack([rows[:, [1, 0]], np.arange(40), rows[:, 2]])
    np.savetxt(tmp_path / "x.csv", rows, delimiter=",", header="a,b,c", comments="")
    np.savetxt(tmp_path / "y.csv", more, delimiter=",", header="b,a,extra,c", comments="")
    np.savetxt(tmp_path / "z.csv", rows[:, :2], delimiter=",", header="a,b", comments="")
    assert run("train", "-d", "x.csv", "epochs=1", "--out", "r", cwd=tmp_path).returncode == 0
    assert run("encode", "r", "-d", "x.csv", "--out", "x.npy", cwd=tmp_path).returncode == 0
    done = run("encode", "r", "-d", "y.csv", "--out", "y.npy", cwd=tmp_path)
    assert "1 column of y.csv (extra)" in done.stdout
    assert "another order than in the run: they are taken by name" in done.stdout
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), np.load(tmp_path / "y.npy"))
    for verb in ("encode", "reconstruct", "evaluate"):
        done = run(verb, "r", "-d", "z.csv", cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "z.csv lacks 1 of the 3 columns that the run was trained on (c); it has a, b" in done.stderr


@pytest.mark.promise(26)
def test_unusable_columns_are_dropped_and_the_run_records_it(tmp_path: Path) -> None:
    """Every verb applies again, without being told, what the run was trained with."""
    rng = np.random.default_rng(0)
    rows = [f"p{i},{a:.3f},{b:.3f},free text,{'xy'[i % 2]}" for i, (a, b) in enumerate(rng.normal(size=(80, 2)))]
    (tmp_path / "x.csv").write_text("\n".join(["patient,age,height,remark,kind", *rows]))
    (tmp_path / "late.csv").write_text("patient,age\n1,2\n2,3\np3,4\n")
    told = run("train", *SMALL, "-d", "late.csv", "--out", "r", cwd=tmp_path)
    assert told.returncode == 1
    for option in ("--drop patient", "--id patient", "--labels patient"):
        assert option in told.stderr
    words = ("--id", "patient", "--drop", "rem*", "--labels", "kind")
    done = run("train", *SMALL, "bottleneck.size=1", "-d", "x.csv", *words, "--out", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "left out as requested: 1 of 5 columns (remark)" in done.stdout
    assert isthmus.load(tmp_path / "r").feature_names_in_.tolist() == ["age", "height"]
    for words in (("evaluate", "r"), ("evaluate", "r", "-d", "x.csv"), ("detect", "r", "-d", "x.csv")):
        done = run(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_an_invalid_value_is_named_by_its_line_in_the_file(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3))
    rows[17, 1] = np.nan
    np.savetxt(tmp_path / "x.csv", rows, delimiter=",", header="a,b,c", comments="")
    done = run("train", "-d", "x.csv", "--out", "r", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "r").exists()) == (1, False)
    assert "NaN: line 19 of x.csv, column 'b'" in done.stderr


def test_a_damaged_run_record_affects_only_commands_that_use_it(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "vae", tmp_path / "vae")
    for text in ("[", '{"data": 5, "labels": null, "resize": null}', "[" * 100_000):
        (tmp_path / "vae/run.json").write_text(text)
        done = run("evaluate", "vae", cwd=tmp_path)
        assert done.returncode == 1
        assert "run.json is damaged: give the examples with --data" in done.stderr
        assert run("evaluate", "vae", "-d", "digits", cwd=tmp_path).returncode == 0
        assert run("sample", "vae", cwd=tmp_path).returncode == 0


def test_an_unwritable_folder_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in ("file", "file/sub", "x" * 300):
        done = run("train", "-d", "digits", "epochs=1000", "--out", out, cwd=tmp_path)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_three_rows_make_a_whole_run(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n5,7\n")
    done = run("train", "-d", "x.csv", "epochs=1", "--out", "r", cwd=tmp_path, every_figure=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r/report.html").is_file()


def test_samples_come_from_a_mixture_fitted_to_the_training_examples(trained: Path) -> None:
    done = run("sample", "vae", "-n", "5", "--method", "gmm", "--out", "mixed.npy", cwd=trained)
    assert done.returncode == 0, done.stderr
    ae, digits = isthmus.load(trained / "vae"), isthmus.data.digits()
    np.testing.assert_array_equal(np.load(trained / "mixed.npy"), ae.sample(5, 0, method="gmm", X=digits.train))
    for words, code, word in (
        (("--method", "kde"), 2, "'prior' or 'gmm'"),
        (("--data", "digits"), 2, "for --method gmm"),
    ):
        wrong = run("sample", "vae", *words, "--out", "no.npy", cwd=trained)
        assert (wrong.returncode, wrong.stderr.count("\n")) == (code, 1)
        assert word in wrong.stderr
    assert not (trained / "no.npy").exists()


def test_every_component_is_listed_with_its_fields(tmp_path: Path) -> None:
    listed = run("components", cwd=tmp_path)
    assert listed.returncode == 0
    for name, kind in record_types().items():
        assert f" {name} " in listed.stdout, name
        shown = run("components", name, cwd=tmp_path)
        assert shown.returncode == 0, name
        assert all(f" {field} " in shown.stdout for field in field_names(kind)), name
    wrong = run("components", "Gausian", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "no component 'Gausian'; did you mean Gaussian?" in wrong.stderr
