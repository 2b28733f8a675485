"""Series in files: from the file to windows, a run, and alarms, on the command line too."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from test_cli import run

from isthmus import Autoencoder, OutlierDetector, data
from isthmus.architectures import MLP, Conditional
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.readers import read_windows
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.experiments.run_record import DataSource

SERIES = ("--time", "when", "--by", "unit", "--window", "16", "--step", "4")


def log(rows: int = 300, state: int = 0, planted: bool = False) -> pandas.DataFrame:
    """Two machines whose rows alternate; one has a gap, and may have an anomaly."""
    parts = []
    for number, name in enumerate(("pump", "fan")):
        rng, time = np.random.default_rng(10 * state + number), np.arange(rows)
        when = pandas.date_range("2026-01-01", periods=rows, freq="10s").strftime("%Y-%m-%d %H:%M:%S")
        values = {"heat": 50 + 5 * np.sin(time / 5) + 0.2 * rng.normal(size=rows), "load": rng.normal(size=rows)}
        frame = pandas.DataFrame({"when": when, "unit": name, **values})
        if planted and name == "fan":
            frame.loc[200:220, "heat"] += 30
        parts.append(frame.drop(range(100, 105)) if name == "pump" else frame)
    return pandas.concat(parts).sort_values(["when", "unit"], ignore_index=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log, a new log, and a run."""
    folder = tmp_path_factory.mktemp("series")
    log(600).to_csv(folder / "log.csv", index=False)
    log(planted=True, state=1).to_csv(folder / "new.csv", index=False)
    words = (
        "train",
        "--data",
        "log.csv",
        *SERIES,
        "--out",
        "run",
        "epochs=8",
        "architecture.hidden=16",
        "bottleneck.size=4",
    )
    done = run(*words, cwd=folder, every_figure=True)
    assert done.returncode == 0, done.stderr
    assert "windows of 16 rows, every 4 rows, from 1,195 rows of 2 machines in 3 stretches without a gap" in done.stdout
    assert "1 gap in time" in done.stdout
    return folder


def read(path: Path, **options: Any) -> data.Dataset:
    return data.read(path, window=16, step=4, time="when", by="unit", **options)


def rows_in(windows: Any) -> set[float]:
    """The values of the second channel, which tell the rows apart."""
    return set(np.asarray(windows)[..., 1].reshape(-1).tolist())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_test_part_of_a_file_is_the_latest_and_shares_no_row(tmp_path: Path, suffix: str) -> None:
    frame = log()
    if suffix == "csv":
        frame.to_csv(path := tmp_path / "log.csv", index=False)
    else:
        frame.assign(when=pandas.to_datetime(frame.when)).to_parquet(path := tmp_path / "log.parquet")
    dataset = read(path)
    assert dataset.test is not None
    assert dataset.kind == "series"
    assert dataset.columns == ("heat", "load")
    train, test = rows_in(dataset.train), rows_in(dataset.test)
    assert not train & test
    for _, rows in frame.groupby("unit"):
        own = rows.load.tolist()
        assert set(own[-16:]) <= test
        assert not set(own[:100]) & test
    assert any("windows are the test part" in note for note in dataset.notes)


def test_windows_of_other_data_of_a_run_are_all_there(folder: Path) -> None:
    reused = Reused(ReadOptions(window=16, step=4, time="when", by="unit"), ("heat", "load"), (16, 2))
    dataset = data.read(folder / "new.csv", reused=reused)
    assert dataset.test is None
    windows = read_windows(str(folder / "new.csv"), ReadOptions(), reused)
    np.testing.assert_array_equal(dataset.train, np.asarray(windows.values))
    assert windows.machines is not None
    assert windows.machines[:2].tolist() == ["fan", "pump"]


def test_arrays_in_files_are_mapped(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(200, 2))
    np.save(tmp_path / "rows.npy", values)
    windows = read_windows(str(tmp_path / "rows.npy"), ReadOptions(window=8, step=2))
    assert isinstance(windows.cut.rows, np.memmap)
    np.testing.assert_array_equal(windows.values[3], values[6:14])
    with pytest.raises(DataError, match=r"invalid time='when' .--time.: .* is not a table"):
        data.read(tmp_path / "rows.npy", window=8, time="when")


def test_an_invalid_cell_of_a_series_is_named_by_its_line(tmp_path: Path) -> None:
    frame = log()
    frame.loc[33, "load"] = np.nan
    frame.to_csv(tmp_path / "log.csv", index=False)
    windows = read_windows(str(tmp_path / "log.csv"), ReadOptions(window=16, time="when", by="unit"))
    with pytest.raises(DataError, match=r"NaN: line 35 of .*log\.csv, channel 'load'"):
        data.as_examples(windows)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"time": "nowhere"}, DataError, "has no column 'nowhere' for the time"),
        ({"by": "nowhere"}, DataError, "has no column 'nowhere' for the groups"),
        ({"time": "unit", "by": None, "drop": ("when",)}, DataError, "column 'unit' holds values that are no times"),
        ({"labels": "unit", "by": None}, RecordError, r"window= \(--window\) makes windows: leave one of them out"),
        ({"window": None}, RecordError, r"\(--\w+\) is for the windows of a series: give window= \(--window\) too"),
        ({"window": 700}, DataError, "no window of 700 rows fits"),
        ({"by": None}, DataError, "unit"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    folder: Path, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        data.read(folder / "log.csv", **{"window": 16, "time": "when", "by": "unit"} | options)


def test_a_run_on_a_series_is_evaluated_on_its_latest_windows(folder: Path) -> None:
    record = json.loads((folder / "run" / "run.json").read_text())
    assert {name: record[name] for name in ("window", "step", "time", "by")} == {
        "window": 16,
        "step": 4,
        "time": "when",
        "by": "unit",
    }
    done = run("evaluate", "run", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    held = read(folder / "log.csv").test
    assert held is not None
    assert json.loads(done.stdout)["n_examples"] == len(held)


def test_detect_writes_scores_by_time_step_and_alarms(folder: Path) -> None:
    done = run(
        "detect",
        "run",
        "--data",
        "new.csv",
        "--false-alarm-rate",
        "0.15",
        "--out",
        "scores.csv",
        "--save",
        "det.safetensors",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    frame, new = pandas.read_csv(folder / "scores.csv"), pandas.read_csv(folder / "new.csv")
    assert list(frame) == ["row", "machine", "time", "score", "alarm", "trained_on"]
    np.testing.assert_array_equal(frame.machine, new.unit)
    np.testing.assert_array_equal(frame.time, new.when.str.replace(" ", "T"))
    with (folder / "scores-alarms.csv").open() as file:
        alarms = list(csv.DictReader(file))
    worst = min(alarms, key=lambda alarm: float(alarm["score"]))
    assert worst["machine"] == "fan"
    assert "2026-01-01T00:30:40" < worst["begin"] <= "2026-01-01T00:33:20"  # planted from 33:20 to 36:40
    assert "2026-01-01T00:36:40" <= worst["end"] < "2026-01-01T00:39:20"
    assert float(worst["share_heat"]) > 0.8
    assert (folder / "scores.png").is_file()
    assert "fan" in done.stdout
    training = len(read(folder / "log.csv").train)
    assert f"with its threshold and {training} normal examples" in done.stdout, (
        "the windows that the run was trained on"
    )
    again = run("detect", "det.safetensors", "--data", "new.csv", *SERIES, "--out", "again.csv", "--json", cwd=folder)
    assert again.returncode == 0, again.stderr
    alike, there = (pandas.read_csv(folder / f"{name}.csv", dtype=str) for name in ("again", "scores"))
    pandas.testing.assert_frame_equal(
        alike, there.drop(columns="trained_on")
    )  # which the file of a detector does not know
    assert len(json.loads(again.stdout)["alarms"]) == len(alarms)


def test_times_may_be_numbers_written_in_several_ways(tmp_path: Path) -> None:
    rows = "".join(f"{n / 2:g},{n % 7}\n" for n in range(80))
    (tmp_path / "x.csv").write_text("when,a\n" + rows)
    windows = read_windows(tmp_path / "x.csv", ReadOptions(window=16, time="when"))
    assert windows.time is not None
    assert windows.time[:3].tolist() == [0.0, 0.5, 1.0]


ZONES = {
    "UTC": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z", "2026-01-01T00:00:20Z"],
    "one offset": ["2026-01-01T02:00:00+02:00", "2026-01-01T02:00:10+02:00", "2026-01-01T02:00:20+02:00"],
    "mixed": ["2026-01-01 02:00:00+02:00", "2026-01-01 00:00:10Z", "2025-12-31 19:00:20-0500"],
}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("zones", ZONES)
def test_times_with_zones_are_moments_on_one_scale(zones: str, suffix: str, tmp_path: Path) -> None:
    frame = pandas.DataFrame({"when": ZONES[zones], "a": [1.0, 2.0, 3.0]})
    path = tmp_path / f"x{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    windows = read_windows(str(path), ReadOptions(window=2, step=1, time="when"))
    expected = np.datetime64("2026-01-01T00:00:00", "us") + np.arange(3) * np.timedelta64(10, "s")
    for each in (windows, data.Windows(frame, 2, 1, time="when")):
        np.testing.assert_array_equal(each.time, expected)
        said = next(note for note in each.notes if "have a zone" in note)
        stated = {"UTC": "Z", "one offset": "+02:00", "mixed": "+02:00, -0500, Z"}[zones]
        assert said == f"the times of 'when' have a zone ({stated}), and are read as UTC"


def test_typed_times_with_a_zone_are_said_to_be_utc(tmp_path: Path) -> None:
    when = pandas.date_range("2026-01-01 01:00", periods=4, freq="min", tz="Europe/Berlin")
    pandas.DataFrame({"when": when, "a": range(4)}).to_parquet(tmp_path / "x.parquet")
    windows = read_windows(str(tmp_path / "x.parquet"), ReadOptions(window=2, time="when"))
    assert windows.time is not None
    assert str(windows.time[0]) == "2026-01-01T00:00:00.000000"
    assert any("have a zone" in note and "are read as UTC" in note for note in windows.notes)


def test_times_with_and_without_a_zone_are_not_mixed(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"when": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:10"] * 2, "a": range(4)})
    frame.to_csv(tmp_path / "x.csv", index=False)
    sentence = r"column 'when' has times with a zone \(2026-01-01T00:00:00Z\) and times without \(2026-01-01T00:00:10\): write all"
    for read_it in (
        lambda: read_windows(str(tmp_path / "x.csv"), ReadOptions(window=2, time="when")),
        lambda: data.Windows(frame, 2, time="when"),
        lambda: data.read(tmp_path / "x.csv"),
        lambda: data.read(tmp_path / "x.csv", kinds={"when": "date"}),
    ):
        with pytest.raises(DataError, match=sentence):
            read_it()


def test_what_a_series_cannot_be_combined_with_is_said(folder: Path) -> None:
    source = DataSource("log.csv", ReadOptions(window=16, time="when", by="unit"), target="log.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with pytest.raises(NotPossibleError, match="windows of a series have no targets: leave out --target"):
            source.read()
    windows = data.Windows(np.random.default_rng(0).normal(size=(400, 2)), 16)
    detector = OutlierDetector(Autoencoder(2, architecture=Conditional(MLP((4,))), epochs=1))
    with pytest.raises(NotPossibleError, match="takes no windows of a series"):
        detector.fit(windows, np.arange(len(windows)) % 2)


def test_the_channels_of_a_series_are_listed_with_constants(folder: Path) -> None:
    frame = log(120).assign(level=2.5)
    frame.loc[3, "heat"] = np.nan
    frame.to_csv(folder / "flat.csv", index=False)
    done = run("data", "flat.csv", *SERIES, cwd=folder)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["level", "numbers,", "constant", "0", "2.5", "2.5", "2.5"] in lines
    assert any(line[:3] == ["heat", "numbers", "1"] for line in lines)
    assert any(line[:3] == ["load", "numbers", "0"] for line in lines)
