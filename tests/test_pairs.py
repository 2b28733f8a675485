"""Pairs of examples and targets in files: how they are matched, what is left out, and runs that are trained on them."""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from test_cli import run

from isthmus import Autoencoder, compare, data, evaluate, load, plots, sweep
from isthmus.data.options import ReadOptions
from isthmus.data.pairs import paired
from isthmus.errors import DataError
from isthmus.evaluation import DataTransfer
from isthmus.experiments import run_folder, run_record
from isthmus.experiments.run_data import split_of
from isthmus.experiments.run_record import DataSource
from isthmus.experiments.run_report import evaluate_run
from isthmus.experiments.splits import shared_targets_note, split
from isthmus.experiments.validation_set import labeled_validation_examples
from isthmus.likelihoods import Normal
from isthmus.plots.figure_file import read_png

Array = NDArray[Any]
RNG = np.random.default_rng(0)
N = 60
CLEAN = np.kron(RNG.integers(0, 200, (N, 4, 4)), np.ones((3, 3))).astype(np.uint8)
NOISY = (CLEAN + RNG.integers(0, 56, CLEAN.shape)).astype(np.uint8)
TABLE = RNG.normal(size=(50, 3))
NOISY_TABLE = TABLE + 0.3 * RNG.normal(size=TABLE.shape)
TRAIN = ("linear", "epochs=3", "bottleneck.size=4", "batch_size=20")


def images(folder: Path, values: Array, names: list[str]) -> Path:
    for value, name in zip(values, names, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(value).save(folder / name)
    return folder


def table(path: Path, values: Array, ids: list[str] | None = None) -> Path:
    rows = [[f"{value:.9g}" for value in row] for row in values]
    named = [row if ids is None else [ids[number], *row] for number, row in enumerate(rows)]
    header = [*([] if ids is None else ["name"]), "a", "b", "c"]
    path.write_text("\n".join(",".join(row) for row in [header, *named]) + "\n")
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Noisy images, and clean ones of other names by number, of another format, in another order."""
    names = [f"{'ab'[k % 2]}/{k:03}" for k in range(N)]
    images(tmp_path / "noisy", NOISY, [f"{name}.png" for name in names])
    images(tmp_path / "clean", CLEAN[::-1], [f"{name}.bmp" for name in names[::-1]])
    return tmp_path


def read(folder: Path, **options: Any) -> data.Dataset:
    return DataSource(str(folder / "noisy"), ReadOptions(**options), target=str(folder / "clean")).read()


def test_images_are_paired_by_path_without_extension(folders: Path) -> None:
    found = read(folders)
    assert found.target is not None
    assert found.ids is not None
    numbers = [int(str(name)[2:5]) for name in found.ids]
    np.testing.assert_array_equal(found.train, NOISY[numbers])
    np.testing.assert_array_equal(found.target, CLEAN[numbers])
    assert "60 training images are paired with those of clean by their paths in the folder" in found.notes


def test_missing_counterparts_are_named(folders: Path) -> None:
    for number in (1, 3, 5, 7):
        (folders / "clean" / "b" / f"{number:03}.bmp").unlink()
    (folders / "noisy" / "a" / "002.png").unlink()
    expected = (
        "clean has no counterpart of b/001, b/003, b/005 and 1 more of noisy, and noisy has no counterpart of a/002 of clean: "
        "add what is missing, or remove the others"
    )
    with pytest.raises(DataError) as caught:
        read(folders)
    assert str(caught.value) == expected


def test_the_counterparts_of_damaged_images_are_left_out(folders: Path) -> None:
    (folders / "clean" / "a" / "004.bmp").write_bytes(b"no image")
    (folders / "noisy" / "b" / "009.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="skip broken images"):
        read(folders)
    found = read(folders, skip_broken=True)
    assert found.ids is not None
    assert found.target is not None
    numbers = [int(str(name)[2:5]) for name in found.ids]
    assert sorted(numbers) == sorted(set(range(N)) - {4, 9})
    np.testing.assert_array_equal(found.target, CLEAN[numbers])
    assert "the counterparts of damaged images of clean are left out of noisy too: a/004.bmp" in found.notes
    assert "the counterparts of damaged images of noisy are left out of clean too: b/009.png" in found.notes


def test_parts_of_a_folder_are_paired_each(tmp_path: Path) -> None:
    names = [f"{'train' if k % 3 else 'test'}/{k:02}.png" for k in range(N)]
    images(tmp_path / "noisy", NOISY, names)
    images(tmp_path / "clean", CLEAN, names)
    found = read(tmp_path)
    assert found.test_target is not None
    assert found.test_ids is not None
    np.testing.assert_array_equal(found.test_target, CLEAN[::3])
    part = split(found, "error")
    assert part.test_target is not None
    np.testing.assert_array_equal(part.test_target, CLEAN[::3])
    with pytest.raises(DataError, match="noisy has test examples, but c has none"):
        paired(found, data.read(images(tmp_path / "c", CLEAN, [f"{k}.png" for k in range(N)])))


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    names = [f"{k}.png" for k in range(N)]
    images(tmp_path / "noisy", NOISY, names)
    images(tmp_path / "clean", np.stack([CLEAN, CLEAN // 2, CLEAN], axis=-1), names)
    with pytest.raises(DataError, match="noisy have shape 12x12, and those of clean 12x12x3: save all in gray"):
        read(tmp_path)


def test_tables_are_paired_by_id_or_by_row(tmp_path: Path) -> None:
    order = RNG.permutation(50)
    ids = [f"row {k}" for k in range(50)]
    noisy = table(tmp_path / "noisy.csv", NOISY_TABLE, ids)
    clean = table(tmp_path / "clean.csv", TABLE[order], [ids[k] for k in order])
    found = DataSource(str(noisy), ReadOptions(id="name"), target=str(clean)).read()
    np.testing.assert_allclose(found.target, TABLE, rtol=1e-8)
    assert "50 training rows are paired with those of clean.csv by their ids (name)" in found.notes
    assert not [note for note in found.notes if "correlate" in note]
    by_row = DataSource(str(noisy), ReadOptions(drop=("name",)), target=str(clean)).read()
    np.testing.assert_allclose(by_row.target, TABLE[order], rtol=1e-8)
    assert "50 training examples are paired with those of clean.csv by row" in by_row.notes


def test_a_wrong_order_is_seen(tmp_path: Path) -> None:
    """A shifted target has the right shape and count, so only its values can tell."""
    np.save(tmp_path / "noisy.npy", NOISY_TABLE)
    np.save(tmp_path / "clean.npy", np.roll(TABLE, 1, axis=0))
    found = DataSource(str(tmp_path / "noisy.npy"), target=str(tmp_path / "clean.npy")).read()
    assert "correlate no more with their own targets than with those of others" in found.notes[-1]
    for right in (TABLE, -TABLE, 5 + 100 * TABLE):
        np.save(tmp_path / "clean.npy", right)
        found = DataSource(str(tmp_path / "noisy.npy"), target=str(tmp_path / "clean.npy")).read()
        assert "correlate" not in found.notes[-1]


def test_columns_are_paired_by_name(tmp_path: Path) -> None:
    noisy = table(tmp_path / "noisy.csv", NOISY_TABLE)
    clean = tmp_path / "clean.csv"
    lines = [f"{c},text,{a},{b}" for a, b, c in TABLE]
    clean.write_text("\n".join(["c,comment,a,b", *lines]) + "\n")
    found = DataSource(str(noisy), target=str(clean)).read()
    np.testing.assert_allclose(found.target, TABLE, rtol=1e-8)
    clean.write_text("\n".join(["c,a", *(f"{c},{a}" for a, _, c in TABLE)]) + "\n")
    with pytest.raises(DataError, match=r"clean.csv lacks 1 of the 3 columns of noisy.csv \(b\)"):
        DataSource(str(noisy), target=str(clean)).read()


def test_rows_with_missing_targets_are_left_out_of_both(tmp_path: Path) -> None:
    noisy, clean = table(tmp_path / "noisy.csv", NOISY_TABLE), tmp_path / "clean.csv"
    holes = TABLE.copy()
    holes[[3, 8], 1] = np.nan
    table(clean, holes)
    found = DataSource(str(noisy), target=str(clean)).read()
    kept = np.setdiff1d(np.arange(50), [3, 8])
    np.testing.assert_allclose(found.train, NOISY_TABLE[kept], rtol=1e-8)
    np.testing.assert_allclose(found.target, TABLE[kept], rtol=1e-8)
    assert found.lines is not None
    assert found.lines.tolist() == (kept + 2).tolist()
    said = f"2 training examples are left out, because the target has missing values (line 5 of {clean}, line 10 of {clean})"
    assert said in found.notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values[1:], "clean.npy 49, so they cannot be paired by row"),
        (lambda values: np.full_like(values, np.nan), "every example of clean.npy has a missing value"),
        (lambda values: np.where(values > 2, np.inf, values), "infinity"),
    ],
)
def test_targets_that_do_not_fit_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    np.save(tmp_path / "noisy.npy", NOISY_TABLE)
    np.save(tmp_path / "clean.npy", change(TABLE))
    with pytest.raises(DataError, match=message):
        DataSource(str(tmp_path / "noisy.npy"), target=str(tmp_path / "clean.npy")).read()


def test_ids_that_repeat_or_lack_are_refused(tmp_path: Path) -> None:
    noisy = table(tmp_path / "noisy.csv", NOISY_TABLE, [f"r{k // 2}" for k in range(50)])
    clean = table(tmp_path / "clean.csv", TABLE, [f"r{k}" for k in range(50)])
    with pytest.raises(DataError, match=r"2 examples of noisy.csv have the same id \(r0\)"):
        DataSource(str(noisy), ReadOptions(id="name"), target=str(clean)).read()
    table(clean, TABLE)
    with pytest.raises(DataError, match=r"clean.csv has no id column name.*leave out --id"):
        DataSource(str(noisy), ReadOptions(id="name"), target=str(clean)).read()


def test_names_that_differ_in_the_extension_only_are_refused(folders: Path) -> None:
    images(folders / "noisy", NOISY[:1], ["a/000.bmp"])
    with pytest.raises(DataError, match=r"2 examples of noisy have the same name without extension \(a/000\)"):
        read(folders, split="none")


def test_the_split_is_shared_and_does_not_depend_on_the_order(folders: Path) -> None:
    found = read(folders)
    assert found.ids is not None
    assert found.target is not None
    part = split(found, "error")
    assert part.test_target is not None
    assert part.train_target is not None
    assert part.test_rows is not None
    np.testing.assert_array_equal(part.test_target, found.target[part.test_rows])
    rows = [next(k for k in range(N) if (NOISY[k] == image).all()) for image in part.train]
    np.testing.assert_array_equal(part.train_target, CLEAN[rows])
    plain = split(data.read(folders / "noisy"), "error")
    np.testing.assert_array_equal(plain.test, part.test)
    assert not shared_targets_note(part)


def test_targets_on_both_sides_of_the_split_are_noted(tmp_path: Path) -> None:
    np.save(tmp_path / "noisy.npy", NOISY)
    np.save(tmp_path / "clean.npy", np.repeat(CLEAN[::2], 2, axis=0))
    part = split(DataSource(str(tmp_path / "noisy.npy"), target=str(tmp_path / "clean.npy")).read(), "error")
    assert part.test_target is not None
    assert part.train_target is not None
    same = [(part.train_target == image).all((1, 2)).any() for image in part.test_target]
    assert shared_targets_note(part).startswith(f"{sum(same)} of 6 held-out examples have the same target")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pairs of images and a run on them."""
    folder = tmp_path_factory.mktemp("pairs")
    names = [f"{k:03}" for k in range(N)]
    images(folder / "noisy", NOISY, [f"{name}.png" for name in names])
    images(folder / "clean", CLEAN[::-1], [f"{name}.bmp" for name in names[::-1]])
    done = run("train", *TRAIN, "--data", "noisy", "--target", "clean", "--out", "out", cwd=folder, every_figure=True)
    assert done.returncode == 0, done.stderr
    assert "paired with those of clean by their paths" in done.stdout
    assert "Compared with" in done.stdout
    return folder


def own(folder: Path) -> DataSource:
    recorded = run_record.source_of(folder / "out")
    assert (recorded.data, recorded.target) == ("noisy", "clean")
    return DataSource(str(folder / "noisy"), recorded.options, target=str(folder / "clean"))


def test_a_run_is_what_python_trains_on_the_pairs(trained: Path) -> None:
    dataset = own(trained).read()
    part = split(dataset, "error")
    again = Autoencoder(**load(trained / "out").get_params(deep=False))
    again.fit(
        part.train_of(dataset), target=part.train_target, validation_data=(part.test_of(dataset), part.test_target)
    )
    ae = load(trained / "out")
    assert [each.val_loss for each in ae.history_] == [each.val_loss for each in again.history_]
    with chdir(trained):
        found = evaluate_run(Path("out"))
    assert part.test_target is not None
    error = np.square(ae.reconstruct(part.test).astype(float) - part.test_target).mean()
    assert found.own.figures.value("mse") == pytest.approx(error, rel=1e-6)
    assert found.own.target == "clean"


def test_evaluation_reads_the_recorded_target(trained: Path) -> None:
    with chdir(trained):
        whole = evaluate_run(Path("out"))
        same = evaluate_run(Path("out"), DataSource("noisy"))
        with pytest.raises(DataError, match="compared with a target too: give it with --target"):
            evaluate_run(Path("out"), DataSource("clean"))
        other = evaluate_run(Path("out"), DataSource("clean", target="noisy"))
    rows = split_of_run(trained)
    assert whole.own.figures.value("input_mse") == pytest.approx(np.square(NOISY.astype(float) - CLEAN)[rows].mean())
    assert same.own.figures.errors == whole.own.figures.errors
    assert other.own.figures.errors == whole.own.figures.errors
    assert other.other is not None
    assert other.other.figures.value("ridge_mse") is not None


def split_of_run(folder: Path) -> Array:
    with chdir(folder):
        found = split_of(Path("out"), data.read("noisy"), "error")
    assert found.test_rows is not None
    return found.test_rows


def test_an_interrupted_training_on_pairs_resumes_to_the_same_weights(trained: Path) -> None:
    source, folder = own(trained), trained / "begun"
    dataset = source.read()
    part = split(dataset, "error")
    begun = Autoencoder(**load(trained / "out").get_params(deep=False))
    validation = labeled_validation_examples(dataset, part).given(uses_y=False)
    reports = begun.iter_fit(part.train_of(dataset), target=part.train_target, validation_data=validation)
    next(reports)
    folder.mkdir()
    run_folder.save_checkpoint(folder, begun, source, run_record.RunInfo("simple"), part.record)
    reports.close()
    done = run("resume", "begun", cwd=trained)
    assert done.returncode == 0, done.stderr
    ours, whole = (load(trained / name).model_.state_dict() for name in ("begun", "out"))
    assert all(np.array_equal(ours[name], whole[name]) for name in whole)


def test_reconstruction_needs_no_target(trained: Path) -> None:
    (trained / "clean").rename(trained / "gone")
    try:
        for words in (["reconstruct", "out", "--data", "noisy"], ["reconstruct", "out"], ["encode", "out"]):
            assert run(*words, "--out", "r.npy", cwd=trained).returncode == 0
        done = run("evaluate", "out", cwd=trained)
        assert "no data set, file or folder 'clean'" in done.stderr
    finally:
        (trained / "gone").rename(trained / "clean")
    done = run("evaluate", "out", "--target", "clean", cwd=trained)
    assert "--target can only be used with --data" in done.stderr


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["detect", "out", "--data", "noisy"], "anomaly detection compares reconstructions with their inputs"),
        (["score", "out", "--out", "s.npy"], "a score compares reconstructions with their inputs"),
        (["compress", "out"], "compression compares reconstructions with their inputs"),
        (["robustness", "out"], "robustness compares reconstructions with their inputs"),
        (["plot", "out", "pca"], "the figure pca compares reconstructions with their inputs"),
    ],
)
def test_what_makes_no_sense_with_a_target_is_refused(trained: Path, words: list[str], what: str) -> None:
    done = run(*words, cwd=trained)
    assert done.returncode == 1
    assert f"{what}, but out was trained to reconstruct a target (clean)" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_figure_and_the_report_show_the_target(trained: Path) -> None:
    page = (trained / "out" / "report.html").read_text()
    assert "Reconstructions are compared with the target, clean, not with their inputs." in page
    assert "60 training images are paired with those of clean" in page
    assert "their targets in the third" in page
    assert not (trained / "out" / "figures" / "pca.png").exists()
    done = run("plot", "out", "reconstructions", "--data", "clean", "--target", "noisy", "--out", "f", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "targets in the third" in read_png(trained / "f" / "reconstructions.png")[1]


def test_the_rows_of_the_figure_are_input_reconstruction_and_target(trained: Path) -> None:
    figure = plots.reconstructions(load(trained / "out"), NOISY, target=CLEAN, n=3)
    assert [each.get_text() for each in figure.axes[0].get_yticklabels()] == ["input", "reconstruction", "target"]
    drawn = np.ma.getdata(figure.axes[0].images[0].get_array())
    windows = np.lib.stride_tricks.sliding_window_view(drawn, (24, 24))  # small images are drawn twice as large

    def row(image: Array) -> float:
        """The height of an image in the figure, from 0 to 1."""
        (top, _), *others = np.argwhere((windows == np.kron(image, np.ones((2, 2)))).all((2, 3)))
        assert not others
        return float(top / len(drawn))

    for number in range(3):
        assert row(NOISY[number]) < 1 / 3
        assert row(CLEAN[number]) > 2 / 3
    with pytest.raises(DataError, match="pass a target for each example"):
        plots.reconstructions(load(trained / "out"), NOISY, target=CLEAN[:1], n=3)


def test_data_shows_the_pairs(trained: Path) -> None:
    done = run("data", "noisy", "--target", "clean", cwd=trained)
    assert "60 training images are paired with those of clean by their paths" in done.stdout
    assert "60 training pairs of noisy and clean" in done.stdout


def test_comparisons_are_against_the_target(trained: Path) -> None:
    with chdir(trained):
        ae, rows = load("out"), split_of_run(trained)
        found = compare(["out", "out/model.safetensors"])
        error = np.square(ae.reconstruct(NOISY[rows]).astype(float) - CLEAN[rows]).mean()
        assert found.evaluations[0].errors.mse == pytest.approx(error, rel=1e-6)
        assert found.evaluations[0].value("ridge_mse") is not None
        assert "all errors are against the target, not against the examples" in found.notes
        assert "targets" in str(found.reconstructions(3).get_label())
        with pytest.raises(
            DataError, match=r"trained to reconstruct a target \(clean\): give that of clean with --target"
        ):
            compare(["out", "out/model.safetensors"], origin=DataSource("clean"))
    direct = compare([ae, ae], NOISY[rows], target=CLEAN[rows])
    assert direct.evaluations[0].errors.mse == pytest.approx(error, rel=1e-6)


def test_runs_with_other_targets_are_not_compared_by_themselves(trained: Path) -> None:
    (trained / "plain").mkdir(exist_ok=True)
    (trained / "plain" / "model.safetensors").write_bytes((trained / "out" / "model.safetensors").read_bytes())
    (trained / "plain" / "run.json").write_text('{"data": "noisy"}')
    with (
        chdir(trained),
        pytest.raises(DataError, match=r"out on noisy with the target clean and plain on noisy: .* and --target"),
    ):
        compare(["out", "plain"])


def test_a_sweep_learns_and_is_measured_on_targets(tmp_path: Path) -> None:
    small = Autoencoder(2, epochs=2, random_state=0, likelihood=Normal())
    held = (NOISY_TABLE[40:], TABLE[40:])
    found = sweep(
        small, NOISY_TABLE[:40], {"bottleneck__size": [1, 2]}, target=TABLE[:40], validation_data=held, test=held
    )
    for each, size in zip(found.trials, (1, 2), strict=True):
        again = Autoencoder(size, epochs=2, random_state=0, likelihood=Normal())
        again.fit(NOISY_TABLE[:40], target=TABLE[:40], validation_data=held)
        assert each.autoencoder is not None
        assert each.autoencoder.history_[-1].val_loss == again.history_[-1].val_loss
        error = np.square(again.reconstruct(held[0]) - held[1]).mean()
        assert each.figures["errors"]["mse"] == pytest.approx(error, rel=1e-6)
    assert found.test is not None
    assert found.test.restoration is not None
    assert any("all against the target" in sentence for sentence in found.sentences())
    drawn = sweep(small, NOISY_TABLE, {"bottleneck__size": [1, 2]}, target=TABLE, folder=tmp_path / "s")
    assert drawn.n_validation == 5
    with pytest.raises(DataError, match="holds a sweep on other examples"):
        sweep(small, NOISY_TABLE, {"bottleneck__size": [1, 2]}, target=TABLE + 1, folder=tmp_path / "s")
    with pytest.raises(DataError, match=r"X has target, .* pass the tuple \(X, target\)"):
        sweep(small, NOISY_TABLE, {"bottleneck__size": [1, 2]}, target=TABLE, validation_data=held[0])


def test_errors_with_and_without_a_target_are_not_compared(trained: Path) -> None:
    ae = load(trained / "out")
    plain, against = evaluate(ae, NOISY), evaluate(ae, NOISY, target=CLEAN)
    found = DataTransfer("one", "other", plain, against)
    assert found.times is None
    assert found.sentence().startswith(
        "The errors on other are against its target and those on one against the examples"
    )


@pytest.mark.thorough
def test_tables_from_the_command_line(tmp_path: Path) -> None:
    table(tmp_path / "noisy.csv", NOISY_TABLE)
    table(tmp_path / "clean.csv", TABLE)
    words = ["train", *TRAIN, "bottleneck.size=2", "--data", "noisy.csv", "--target", "clean.csv", "--out", "out"]
    done = run(*words[:3], *words[5:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "50 training examples are paired with those of clean.csv by row" in done.stdout
    assert "linear map from input to target" in done.stdout
    assert json.loads((tmp_path / "out" / "run.json").read_text())["target"] == "clean.csv"


def test_records_of_runs_without_a_target_have_none(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", NOISY_TABLE)
    assert "target" not in DataSource("x.npy").to_dict()
    (tmp_path / "run.json").write_text('{"data": "x.npy", "labels": "kind"}')
    assert run_record.source_of(tmp_path) == DataSource("x.npy", ReadOptions(labels="kind"))
