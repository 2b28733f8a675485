"""Runs on series: windows are cut without a copy, and no row that was trained on is evaluated, wherever the series is cut."""

from __future__ import annotations

import json
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from test_cli import run

from isthmus import Autoencoder, data, load
from isthmus.architectures import MLP
from isthmus.data import Windows
from isthmus.data.dataset import Dataset
from isthmus.data.series.window_array import WindowArray
from isthmus.errors import DataError, IsthmusWarning
from isthmus.estimators.given import Given
from isthmus.experiments.membership import example_keys, same_as_trained, trained_on
from isthmus.experiments.split_recovery import exclude_trained, recover_split, split_other
from isthmus.experiments.splits import Split, split

LENGTH, STEP = 16, 4


def noise(rows: int = 400, state: int = 0) -> Any:
    return np.random.default_rng(state).normal(size=(rows, 2))


def written(path: Path, rows: Any) -> Path:
    """A log of one machine, in seconds."""
    pandas.DataFrame(rows, columns=["heat", "load"]).assign(when=np.arange(len(rows))).to_csv(path, index=False)
    return path


def windows_in(path: Path, **options: Any) -> Dataset:
    return data.read(path, **{"window": LENGTH, "step": STEP, "time": "when"} | options)


def whole(rows: Any, **keywords: Any) -> Dataset:
    """All windows of a series, as data that are read for a run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsthmusWarning)
        return Dataset("series", Windows(rows, LENGTH, STEP, **keywords).values, kind="series")


def rows_of(windows: Any) -> set[float]:
    """The values of the first channel, which tell the rows apart."""
    return set(np.asarray(windows)[..., 0].reshape(-1).tolist())


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
def test_the_windows_of_a_file_are_not_copied(suffix: str, tmp_path: Path) -> None:
    """Windows at every row were as many copies of the series as a window has rows."""
    rows = noise(3000)
    path = tmp_path / f"log{suffix}"
    if suffix == ".npy":
        np.save(path, rows)
    else:
        written(path, rows)
    options = {"step": 1, "window": 512, "time": "when" if suffix == ".csv" else None}
    windows_in(path, **options)  # imports what it needs
    tracemalloc.start()
    try:
        dataset = windows_in(path, **options)
        part = split(dataset, "error")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(dataset.train, WindowArray)
    assert isinstance(dataset.test, WindowArray)
    for windows in (dataset.train, dataset.test, part.train, part.test):
        assert np.shares_memory(windows[0], dataset.train.rows)
    assert peak < dataset.train.nbytes / 4
    assert isinstance(dataset.train.rows, np.memmap) == (suffix == ".npy")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("rounded", [False, True])
def test_windows_have_the_keys_of_the_same_array(dtype: Any, rounded: bool) -> None:
    rows = (100 * noise(300)).astype(dtype)
    if dtype != np.int64:
        rows[50] = np.nan
    windows = Windows(rows, LENGTH, 3).cut
    for some in (windows, windows[np.array([40, 3, 17, 17])], windows[:1], windows[5:50:7]):
        np.testing.assert_array_equal(example_keys(some, rounded), example_keys(np.array(some), rounded))


def test_windows_are_found_wherever_the_series_is_cut() -> None:
    """A log whose first rows are gone has other windows of the same rows."""
    rows = noise()
    record = split(whole(rows), "error").record
    trained = rows_of(split(whole(rows), "error").train)
    for removed in (1, 3, 50):
        other = np.concatenate([rows[removed:], noise(100, 1)])
        dataset = whole(other)
        if removed % STEP:
            assert not same_as_trained(record, dataset.train).any()
        found = trained_on(record, dataset.train)
        expected = [bool(rows_of(window) & trained) for window in np.asarray(dataset.train)]
        np.testing.assert_array_equal(found, expected)
        part = split_other(record, dataset, "error")
        assert not rows_of(part.test) & trained
        assert not rows_of(part.test) & rows_of(part.train)
        assert f"{sum(expected)} of {len(expected)} windows were trained on, or share rows with" in part.notes[0]
        fresh, note = exclude_trained(record, dataset)
        assert not rows_of(fresh) & trained
        assert "windows of series were trained on, or share rows with windows that were: they are left out" in note


def test_a_machine_at_rest_says_nothing_about_other_rows() -> None:
    """Windows of zeros equal each other, and are no evidence that the rows beside them were trained on."""
    rest = np.zeros((100, 2))
    record = split(whole(np.concatenate([noise(200), rest, noise(200, 1)])), "error").record
    dataset = whole(np.concatenate([noise(200, 2), rest, noise(200, 3)]))
    found = trained_on(record, dataset.train)
    np.testing.assert_array_equal(found, [not np.any(window) for window in np.asarray(dataset.train)])


def test_other_series_are_split_in_time() -> None:
    record, dataset = split(whole(noise()), "error").record, whole(noise(300, 1))
    part = split_other(record, dataset, "error")
    assert isinstance(part.train, WindowArray)
    assert isinstance(part.test, WindowArray)
    assert not rows_of(part.train) & rows_of(part.test)
    assert rows_of(dataset.train[-1:]) <= rows_of(part.test)
    assert "are held out; 3 windows that share rows with them are left out" in part.notes[0]
    assert part.record is not None
    again = recover_split(part.record, dataset, "error")
    assert (len(again.train), len(again.test), again.notes) == (len(part.train), len(part.test), ())
    with pytest.raises(DataError, match="windows of series all equal earlier ones: give a longer series"):
        split(whole(np.zeros((200, 2))), "error")


def parts(folder: Path, dataset: Dataset) -> Split:
    from isthmus.experiments.run_data import split_of

    return split_of(folder, dataset, "error")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log and a run on it."""
    folder = tmp_path_factory.mktemp("runs")
    written(folder / "log.csv", noise())
    words = (
        "--window",
        LENGTH,
        "--step",
        STEP,
        "--time",
        "when",
        "epochs=1",
        "architecture.hidden=4",
        "bottleneck.size=2",
    )
    done = run("train", "--data", "log.csv", *map(str, words), "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_own_file_of_a_run_is_split_as_in_training(folder: Path) -> None:
    """It was read without its parts, and the windows between them were called new."""
    found = [
        json.loads(run("evaluate", "run", *words, "--json", cwd=folder).stdout)
        for words in ((), ("--data", "log.csv"), ("--data", "./log.csv", "--step", str(STEP)))
    ]
    measured = [(each["n_examples"], each["errors"]["mse"], each["training"]["mse"]) for each in found]
    assert measured[0] == measured[1] == measured[2]
    assert measured[0][0] == len(windows_in(folder / "log.csv").test)  # type: ignore[arg-type]
    assert not any("changes" in each for each in found)


def test_a_shorter_log_of_a_run_has_no_row_that_was_trained_on(folder: Path, tmp_path: Path) -> None:
    trained = rows_of(windows_in(folder / "log.csv").train)
    shorter = windows_in(written(tmp_path / "log.csv", noise()[3:]))
    with pytest.raises(DataError, match=r"that the run trained on 0 are in log\.csv"):
        parts(folder / "run", shorter)
    longer = windows_in(written(tmp_path / "log.csv", np.concatenate([noise(), noise(60, 1)])))
    part = parts(folder / "run", longer)
    assert not rows_of(part.test) & trained


def test_scores_of_time_steps_say_which_were_trained_on(folder: Path) -> None:
    words = ("detect", "run", "--false-alarm-rate", "0.3", "--data")
    done = run(*words, "log.csv", "--out", "own.csv", cwd=folder)
    assert "time steps are in windows that the run was trained on: their" in " ".join(done.stdout.split())
    assert "windows are also among the normal windows that set the threshold" in " ".join(done.stdout.split())
    marks = pandas.read_csv(folder / "own.csv")["trained_on"]
    trained = rows_of(parts(folder / "run", windows_in(folder / "log.csv")).train)
    known = [value in trained for value in noise()[:, 0].tolist()]
    np.testing.assert_array_equal(marks, np.where(known, "yes", "no"))
    assert marks.iloc[-1] == "no"  # of the test part
    written(folder / "new.csv", noise(100, 7))
    done = run(*words, "new.csv", "--out", "new-scores.csv", cwd=folder)
    assert "set the threshold" not in done.stdout
    assert set(pandas.read_csv(folder / "new-scores.csv")["trained_on"]) == {"no"}


@pytest.mark.parametrize("early_stopping", [False, True])
def test_resuming_holds_out_the_same_windows(early_stopping: bool, tmp_path: Path) -> None:
    """An array of windows does not say which of them share rows: early stopping would hold out a random part of it."""
    windows = Windows(noise(), LENGTH, STEP)
    array = np.array(windows.values)
    choices: dict[str, Any] = {"architecture": MLP((4,)), "epochs": 3, "random_state": 0, "kind": "series"}
    for given, other in ((windows, array), (array, windows)):
        ae = Autoencoder(2, early_stopping=early_stopping, **choices)
        for report in ae.iter_fit(given):
            if report.epoch == 1:
                ae.checkpoint(tmp_path / "run.safetensors")
                break
        whole = Autoencoder(2, early_stopping=early_stopping, **choices).fit(given)
        resumed = load(tmp_path / "run.safetensors").resume(given)
        np.testing.assert_array_equal(resumed.encode(array), whole.encode(array))
        if early_stopping:
            with pytest.raises(DataError, match="these differ; windows are the same if they share the same rows"):
                load(tmp_path / "run.safetensors").resume(other)
        else:
            again = load(tmp_path / "run.safetensors").resume(other)
            np.testing.assert_array_equal(again.encode(array), whole.encode(array))


def test_sweeps_of_a_file_hold_out_the_latest_windows(folder: Path) -> None:
    from isthmus.experiments.sweep_examples import training_and_validation

    dataset = windows_in(folder / "log.csv")
    part = split(dataset, "error")
    train, held = training_and_validation(Given(part.train_of(dataset)), "error")
    parts = [rows_of(each) for each in (train.examples.values, held.examples.values, part.test)]
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]
