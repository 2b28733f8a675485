"""Series: windows are cut without a copy and never across a gap or a machine, and are examples everywhere."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pytest
import torch
from sklearn.model_selection import cross_val_score

from isthmus import Autoencoder, OutlierDetector, data, load
from isthmus.architectures import MLP, Conditional, Conv
from isthmus.data import Examples, Windows
from isthmus.errors import DataError, IsthmusWarning, RecordError
from isthmus.estimators.given import Given
from isthmus.experiments.sweep_examples import training_and_validation

Array = np.ndarray[Any, Any]


def waves(rows: int = 600, state: int = 0) -> Array:
    """Two channels of different scale, with a little noise."""
    time, rng = np.arange(rows), np.random.default_rng(state)
    clean = np.stack([np.sin(time / 5), 100 + 20 * np.cos(time / 8)], 1)
    return clean + rng.normal(size=clean.shape) * [0.05, 1.0]


def small(**parameters: Any) -> Autoencoder:
    return Autoencoder(4, **{"architecture": MLP((16,)), "epochs": 2, "random_state": 0} | parameters)


def log(machines: tuple[str, ...] = ("a", "b"), rows: int = 100) -> pandas.DataFrame:
    """A log of several machines, one row a minute, in the order of time: the rows of the machines alternate."""
    parts = [
        pandas.DataFrame(
            {
                "timestamp": pandas.date_range("2026-01-01", periods=rows, freq="min"),
                "machine": name,
                "heat": 1000.0 * number + np.arange(rows),
                "load": -np.arange(rows, dtype=float),
            }
        )
        for number, name in enumerate(machines)
    ]
    return pandas.concat(parts).sort_values(["timestamp", "machine"], ignore_index=True)


def quiet(*arguments: Any, **keywords: Any) -> Windows:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsthmusWarning)
        return Windows(*arguments, **keywords)


def test_windows_are_the_rows_in_their_order() -> None:
    X = waves(50)
    windows = Windows(X, length=10, step=4)
    begins = range(0, 41, 4)
    np.testing.assert_array_equal(np.asarray(windows.values), [X[begin : begin + 10] for begin in begins])
    assert windows.kind == "series"
    assert windows.shape == (11, 10, 2)


def test_the_last_window_ends_with_the_last_row() -> None:
    X = np.arange(21.0)
    windows = Windows(X, length=10, step=4)
    np.testing.assert_array_equal(windows.values[-1][:, 0], X[-10:])
    assert not np.isnan(windows.average(np.zeros(len(windows)))).any()


def test_windows_share_the_memory_of_the_rows(tmp_path: Path) -> None:
    X = waves(200)
    windows = Windows(X, length=16, step=3)
    np.save(tmp_path / "rows.npy", X)
    for rows, cut in ((X, windows), (mapped := np.load(tmp_path / "rows.npy", mmap_mode="r"), Windows(mapped, 16, 3))):
        assert np.shares_memory(cut.values[5], rows)
        assert np.shares_memory(np.asarray(cut.values[2:9]), rows)
        assert np.shares_memory(np.asarray(cut[2:9].values), rows)


def test_a_frame_of_one_dtype_in_order_is_not_copied() -> None:
    table = polars.DataFrame({"heat": waves(100)[:, 0]})
    assert np.shares_memory(Windows(table, 8, 2).values[3], table.to_numpy())


def test_statistics_of_overlapping_windows_take_little_memory() -> None:
    windows = Windows(np.random.default_rng(0).normal(size=12_000), length=2000, step=1)
    tracemalloc.start()
    try:
        small().initialize(windows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < windows.values.nbytes / 2


@pytest.mark.parametrize("step", [1, 3, 8])
def test_no_window_crosses_a_gap_or_has_rows_of_two_machines(step: int) -> None:
    frame = log(rows=100)
    minute = (frame.timestamp - frame.timestamp.min()).dt.total_seconds() / 60
    gone = ((frame.machine == "a") & minute.between(40, 44)) | ((frame.machine == "b") & (minute == 70))
    kept = frame[~gone].reset_index(drop=True)
    windows = quiet(kept, length=16, step=step, time="timestamp", by="machine")
    assert windows.channels == ("heat", "load")
    for each in np.asarray(windows.values):
        assert set(np.diff(each[:, 0])) == {1.0}, "heat rises by one each minute"
        assert len(set(each[:, 0] // 1000)) == 1
    missing = quiet(kept, length=41, step=step, time="timestamp", by="machine")
    assert set(np.asarray(missing.values)[:, 0, 0] // 1000) == {0.0, 1.0}
    with pytest.raises(DataError, match="no window of 72 rows fits: the longest stretch without a gap has 70 rows"):
        quiet(kept, length=72, step=step, time="timestamp", by="machine")


def test_gaps_rows_in_no_window_and_sorting_are_said() -> None:
    frame = log(rows=60)
    kept = frame.drop(frame.index[(frame.machine == "b") & (frame["load"] == -10)])
    with pytest.warns(IsthmusWarning) as caught:
        windows = Windows(kept, length=16, step=4, time="timestamp", by="machine")
    said = [str(each.message) for each in caught]
    assert "the rows of a machine are brought together in a copy" in windows.notes
    assert any("1 gap in time (intervals over 90 s, 1.5 times the median interval" in each for each in said)
    assert any("before 2026-01-01T00:11:00 of b" in each for each in said)
    assert any(
        "10 rows are in no window, in 1 stretch of fewer than 16 rows: rows 1 to 19 of b" in each for each in said
    )
    assert windows.notes[0].startswith(
        "22 windows of 16 rows, every 4 rows, from 119 rows of 2 machines in 3 stretches"
    )
    assert all(each in windows.notes for each in said)


def test_rows_that_are_not_in_the_order_of_time_are_sorted_with_a_warning() -> None:
    frame = log(rows=60)
    mixed = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    with pytest.warns(IsthmusWarning, match="not in the order of time, and are sorted by machine and time in a copy"):
        windows = Windows(mixed, 8, time="timestamp", by="machine")
    np.testing.assert_allclose(
        windows.average(np.asarray(windows.values)), mixed[["heat", "load"]].to_numpy(), rtol=1e-12
    )


def test_a_step_that_leaves_rows_out_is_said() -> None:
    with pytest.warns(
        IsthmusWarning,
        match=r"step=20 \(--step\) is larger than the length of a window, 8: the rows between two windows are in no window",
    ):
        windows = Windows(waves(100), 8, 20)
    assert int(np.isnan(windows.average(np.ones(len(windows)))).sum()) == 100 - 6 * 8


def test_a_gap_that_was_given_is_a_note_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        windows = Windows(waves(40), 8, time=np.r_[0:20, 100:120], gap=2)
    assert any("1 gap in time (intervals over 2)" in note for note in windows.notes)


def test_irregular_and_repeated_times_are_said() -> None:
    time = np.cumsum(np.random.default_rng(0).uniform(0.8, 1.2, 100))
    time[50] = time[49]
    with (
        pytest.warns(IsthmusWarning, match=r"sampling is irregular: .* windows count rows, not time"),
        pytest.warns(IsthmusWarning, match="1 row has the time of the row before it"),
    ):
        Windows(waves(100), 8, time=time, gap=5)


def test_a_regular_series_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        windows = Windows(waves(100), 8, time=np.datetime64("2026-01-01") + np.arange(100) * np.timedelta64(10, "s"))
    assert windows.time is not None
    assert windows.time.dtype == "datetime64[us]"


def test_averages_over_windows_have_the_order_of_the_data() -> None:
    frame = log(rows=40)
    windows = quiet(frame, length=8, step=3, time="timestamp", by="machine")
    np.testing.assert_allclose(
        windows.average(np.asarray(windows.values)), frame[["heat", "load"]].to_numpy(), rtol=1e-12
    )
    np.testing.assert_allclose(windows.average(np.full(len(windows), 0.1)), 0.1, rtol=1e-12)
    assert windows.machines is not None
    np.testing.assert_array_equal(windows.machines, frame.machine)
    assert windows.time is not None
    np.testing.assert_array_equal(windows.time, frame.timestamp.to_numpy())


def test_rows_in_no_window_have_no_average() -> None:
    windows = quiet(np.arange(30.0), length=8, step=4, time=np.r_[0:20, 100:105, 200:205])
    averages = windows.average(np.ones(len(windows)))
    np.testing.assert_array_equal(np.isnan(averages), np.arange(30) >= 20)
    with pytest.raises(DataError, match=r"pass \(n,\) or \(n, length, ...\)"):
        windows.average(np.ones(3))


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame, lambda table: polars.DataFrame(table).to_arrow()])
def test_frames_of_every_library_and_times_as_text(make: Any) -> None:
    table = {"when": [f"2026-01-01 00:00:{s:02}" for s in range(40)], "unit": ["x"] * 20 + ["y"] * 20}
    table |= {"heat": np.arange(40.0), "on": [True, False] * 20}
    windows = Windows(make(table), 8, 4, time="when", by="unit")
    assert windows.shape == (8, 8, 2)
    assert windows.channels == ("heat", "on")
    assert Windows(make(table), 8, time="when", by="unit", channels=["heat"]).notes[1] == "left out: on"
    with pytest.raises(DataError, match=r"column 'unit' does not hold numbers, .* channels=\['heat', 'on'\]"):
        Windows(make(table), 8, time="when")
    with pytest.raises(DataError, match="there is no column 'nowhere': choose one of when, unit"):
        Windows(make(table), 8, time="nowhere")


def test_the_index_of_a_frame_may_be_the_time() -> None:
    frame = log(("a",), 50).drop(columns="machine").set_index("timestamp")
    windows = Windows(frame, 8)
    assert windows.time is not None
    assert "the index of the frame is the time" in windows.notes


@pytest.mark.parametrize(
    ("keywords", "error", "match"),
    [
        ({"length": 0}, RecordError, "invalid length=0"),
        ({"step": 0}, RecordError, "invalid step=0"),
        ({"gap": 3}, RecordError, "no time is given"),
        ({"time": np.arange(50), "gap": -1}, RecordError, "invalid gap=-1"),
        ({"time": np.arange(49)}, DataError, "time has shape"),
        ({"time": np.r_[np.nan, 1:50]}, DataError, "row 0 has no time"),
        ({"by": np.arange(49)}, DataError, "by has shape"),
        ({"time": "when"}, RecordError, "name columns, and the data have none"),
    ],
)
def test_errors_say_what_to_do(keywords: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Windows(waves(50), **{"length": 8} | keywords)


def test_invalid_values_are_found_by_row_and_channel() -> None:
    frame = log(rows=40)
    frame.loc[33, "load"] = np.nan
    windows = quiet(frame, length=8, step=4, time="timestamp", by="machine")
    with pytest.raises(DataError, match=r"NaN: row 33, column 1 \(feature 'load'\)"):
        small().fit(windows)
    fitted = small(missing="allow").fit(windows)
    assert np.isfinite(fitted.reconstruct(windows)).all()


def test_windows_are_examples_of_all_methods() -> None:
    windows = Windows(waves(), 16, 4)
    cut = np.array(windows.values)
    ae, same = small().fit(windows), small(kind="series").fit(cut)
    assert ae.kind_ == same.kind_ == "series"
    for method in ("encode", "reconstruct", "score_samples", "reconstruction_error"):
        np.testing.assert_array_equal(getattr(ae, method)(windows), getattr(ae, method)(cut))
        np.testing.assert_array_equal(getattr(ae, method)(windows), getattr(same, method)(cut))
    np.testing.assert_array_equal(ae.encode(windows[3:7]), ae.encode(cut[3:7]))
    assert len(cross_val_score(small(epochs=1), windows, cv=2)) == 2


def test_windows_of_a_file_and_in_memory_train_alike(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", waves())
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for rows in (mapped, waves()):
        assert isinstance(Windows(rows, 16).values[0], np.ndarray)
    np.testing.assert_array_equal(
        small().fit(Windows(mapped, 16)).encode(Windows(mapped, 16)),
        small().fit(Windows(waves(), 16)).encode(Windows(waves(), 16)),
    )


def test_each_channel_has_its_scale() -> None:
    ae = small().fit(Windows(waves(), 16))
    assert ae.scaling_.per == "channel"
    scale = ae.model_.scale.numpy(force=True).reshape(-1)
    assert scale.shape == (2,)
    assert scale[1] / scale[0] == pytest.approx(20, rel=0.1)


def test_convolutions_of_series_go_over_time_alone() -> None:
    windows = Windows(waves(), 16)
    for architecture in (Conv((4,)), Conditional(Conv((4,)))):
        y = np.arange(len(windows)) / 7 if architecture.context else None
        assert not [
            m
            for m in small(architecture=architecture).initialize(windows, y).model_.modules()
            if isinstance(m, torch.nn.Conv2d)
        ]
    ae = small(architecture=Conv((4,))).fit(windows)
    assert ae.architecture_ == Conv((4,), axes=1)
    assert [m.in_channels for m in ae.model_.encoder if isinstance(m, torch.nn.Conv1d)] == [2]
    again = ae.set_params(warm_start=True).fit(windows)  # the same architecture, as it was given
    assert again.architecture_.axes == 1
    images = small(architecture=Conv((4,)), kind="windows").fit(np.array(windows.values))
    assert [m.in_channels for m in images.model_.encoder if isinstance(m, torch.nn.Conv2d)] == [1]
    with pytest.raises(RecordError, match="axes=3 does not fit examples of shape"):
        small(architecture=Conv((4,), axes=3)).fit(windows)


def test_series_have_at_most_two_axes() -> None:
    with pytest.raises(DataError, match="kind='series' takes examples of shape"):
        small(kind="series").fit(np.zeros((4, 3, 3, 2)))


def test_channels_are_compared_by_name_after_loading_too(tmp_path: Path) -> None:
    frame = log(("a",), 60)
    ae = small().fit(Windows(frame, 8, time="timestamp", channels=["heat", "load"]))
    ae.save(tmp_path / "model.safetensors")
    other = Windows(frame, 8, time="timestamp", channels=["load", "heat"])
    for each in (ae, load(tmp_path / "model.safetensors")):
        assert each.kind_ == "series"
        with pytest.raises(DataError, match="column 'load' is in the place of 'heat'"):
            each.encode(other)
        with pytest.raises(AttributeError):
            _ = each.feature_names_in_


def test_held_out_windows_share_no_row_with_training_windows() -> None:
    windows = quiet(log(rows=200), length=16, step=4, time="timestamp", by="machine")
    ae = small(early_stopping=True, validation_fraction=0.2).initialize(windows)
    training, held = ae._validation_split(ae._source(windows.values))
    assert len(held) == pytest.approx(0.2 * len(windows), abs=1)
    marks = [
        set(np.asarray(windows.values[each.positions.numpy()])[..., 0].reshape(-1).tolist())
        for each in (training, held)
    ]
    assert not marks[0] & marks[1]
    for machine in (0, 1000):  # the latest rows of each
        assert max(mark for mark in marks[0] if mark // 1000 == machine // 1000) < machine + 160
        assert {float(machine + 199), float(machine + 165)} <= marks[1]


def test_calibration_windows_share_no_row_with_training_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, seen = Windows(np.arange(800.0), 16, 4), list[set[float]]()
    fit = Autoencoder.fit

    def watched(self: Autoencoder, X: Any, *arguments: Any, **keywords: Any) -> Autoencoder:
        seen.append(set(np.asarray(X.values).reshape(-1).tolist()))
        return fit(self, X, *arguments, **keywords)

    monkeypatch.setattr(Autoencoder, "fit", watched)
    detector = OutlierDetector(small(), false_alarm_rate=0.2, random_state=0).fit(windows)
    n = len(detector.calibration_scores_)
    assert 0.15 * len(windows) < n <= 0.2 * len(windows) + 1
    measured = round(0.05 * len(windows))  # windows before them, on which errors are measured
    assert max(seen[0]) < 4 * (len(windows) - n - measured), "no row of either"
    assert min(seen[0]) == 0
    assert "no guarantee, since the windows of a series depend on each other" in detector.guarantee()


def test_too_few_windows_for_a_detector_are_an_error() -> None:
    with pytest.raises(DataError, match="are too few for 3 parts that share no row: give a longer"):
        OutlierDetector(small()).fit(Windows(waves(40), 16, 4))


def test_a_resumed_training_on_windows_gives_the_same_weights(tmp_path: Path) -> None:
    windows = Windows(waves(), 16)
    whole = small(epochs=3).fit(windows)
    stopped = small(epochs=3)
    for report in stopped.iter_fit(windows):
        if report.epoch == 1:
            stopped.checkpoint(tmp_path / "run.safetensors")
            break
    resumed = load(tmp_path / "run.safetensors").resume(windows)
    np.testing.assert_array_equal(resumed.encode(windows), whole.encode(windows))


def test_windows_show_their_notes() -> None:
    text = repr(Windows(waves(50), 8))
    assert "43 windows of 8 rows, every row, from 50 rows in 1 stretch without a gap" in text
    assert "no time is given" in text
    assert "no time is given" in data.Windows(waves(50), 8)._repr_html_()


def test_sweeps_and_groups_share_no_row_between_parts() -> None:
    """A random tenth of windows, or windows of other groups, hold rows of training windows."""
    rows = np.random.default_rng(0).normal(size=(300, 2))
    windows = Windows(rows, 16, step=2)
    train, held = training_and_validation(Given(windows), "error")
    seen = [
        set(np.concatenate([begin + np.arange(16) for begin in part.examples.values.begins])) for part in (train, held)
    ]
    assert not seen[0] & seen[1]
    assert len(held.examples.values) >= 1
    with pytest.raises(DataError, match="share rows, so that a random tenth of them is no new data"):
        training_and_validation(Given(Examples(np.asarray(windows.values), None, "series")), "error")
    with pytest.raises(RecordError, match="held out in time, not by groups"):
        Autoencoder(2, early_stopping=True, epochs=1).fit(windows, groups=np.arange(len(windows)) // 20)
