"""Anomalies in series: each time step has a score, and alarms are intervals that name the channels to blame."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pandas
import pytest
from numpy.typing import NDArray

from isthmus import Autoencoder, OutlierDetector, plots
from isthmus.architectures import MLP
from isthmus.data import Windows
from isthmus.errors import NotPossibleError, RecordError
from isthmus.evaluation import SeriesDetection, detect_series
from isthmus.experiments.measured_figures import figure_function

Array = NDArray[Any]
LENGTH = 16


def waves(rows: int = 2000, state: int = 0) -> Array:
    time, rng = np.arange(rows), np.random.default_rng(state)
    clean = np.stack([np.sin(time / 5), np.cos(time / 8), np.sin(time / 3)], 1)
    return clean + 0.1 * rng.normal(size=clean.shape)


@pytest.fixture(scope="module")
def detector() -> OutlierDetector:
    """A detector of waves in three channels, with few false alarms."""
    ae = Autoencoder(6, architecture=MLP((32,)), epochs=20, random_state=0)
    return OutlierDetector(ae, false_alarm_rate=0.005, random_state=0).fit(Windows(waves(), LENGTH, 2))


def planted(kind: str, channel: int) -> tuple[Array, int, int]:
    """A series with an anomaly in one channel, and its first and last row."""
    series, begin = waves(1000, 1), 600
    if kind == "spike":
        series[begin, channel] += 5
        return series, begin, begin
    series[begin : begin + 50, channel] += 2
    return series, begin, begin + 49


@pytest.mark.parametrize("channel", [0, 2])
@pytest.mark.parametrize("kind", ["spike", "shift"])
def test_a_planted_anomaly_is_one_interval_and_blames_its_channel(
    detector: OutlierDetector, kind: str, channel: int
) -> None:
    series, first, last = planted(kind, channel)
    found = detect_series(detector, Windows(series, LENGTH, 1))
    (alarm,) = (each for each in found.alarms if each.score < 2 * found.threshold - np.nanmedian(found.scores))
    assert first - LENGTH < alarm.begin <= first
    assert last <= alarm.end < last + LENGTH
    assert first <= alarm.peak <= last
    assert alarm.rows == (alarm.begin, alarm.end)
    assert alarm.channels[0].feature == f"channel {channel}"
    assert alarm.channels[0].share > 0.8
    assert sum(each.share for each in alarm.channels) == pytest.approx(1)


def test_normal_data_cause_few_alarms(detector: OutlierDetector) -> None:
    found = detect_series(detector, Windows(waves(1000, 2), LENGTH, 1))
    assert (found.labels > 0).mean() < 0.02


def test_constant_scores_of_windows_are_constant_scores_of_steps(
    detector: OutlierDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = Windows(waves(101, 1), LENGTH, 7)
    monkeypatch.setattr(OutlierDetector, "score_samples", lambda _, X: np.full(len(X), -0.3))
    np.testing.assert_allclose(detect_series(detector, windows).scores, -0.3, rtol=1e-12)


def test_the_score_of_a_step_is_the_mean_of_its_windows(detector: OutlierDetector) -> None:
    series, _, _ = planted("shift", 1)
    windows = Windows(series, LENGTH, 3)
    scores, begins = detector.score_samples(windows), windows.cut.begins
    found = detect_series(detector, windows)
    for row in (0, 5, 601, 640, 999):
        containing = (begins <= row) & (row < begins + LENGTH)
        assert found.scores[row] == pytest.approx(scores[containing].mean())
    anomalous = found.scores < detector.offset_
    np.testing.assert_array_equal(found.labels > 0, anomalous)
    assert len(found.alarms) == found.labels.max()


def machines() -> pandas.DataFrame:
    """Two machines whose rows alternate. The end of one and the beginning of the other are anomalous, and an anomaly has a gap."""
    parts = []
    for number, name in enumerate(("pump", "fan")):
        values, times = waves(300, number), pandas.date_range("2026-01-01", periods=300, freq="min")
        values[(slice(270, 300), slice(0, 30))[number], 1] += 3
        frame = pandas.DataFrame({"when": times, "unit": name, "a": values[:, 0], "b": values[:, 1], "c": values[:, 2]})
        frame.loc[150:190, "c"] += 3
        parts.append(frame.drop(range(165, 175)))
    return pandas.concat(parts).sort_values(["when", "unit"], ignore_index=True)


@pytest.fixture(scope="module")
def found(detector: OutlierDetector) -> SeriesDetection:
    """Alarms of two machines."""
    with pytest.warns(UserWarning, match="gap"):
        return detect_series(detector, Windows(machines(), LENGTH, 1, time="when", by="unit"))


def test_alarms_end_at_gaps_and_at_machines(found: SeriesDetection) -> None:
    frame = machines()
    for number, alarm in enumerate(found.alarms, 1):
        rows = frame[found.labels == number]
        assert set(rows.unit) == {alarm.machine}
        assert rows.when.diff().max() <= pandas.Timedelta("1min")
        assert (rows.when.iloc[0], rows.when.iloc[-1]) == (pandas.Timestamp(alarm.begin), pandas.Timestamp(alarm.end))
        assert alarm.rows == (rows.index[0], rows.index[-1])
    strong = [(alarm.machine, alarm.channels[0].feature) for alarm in found.alarms if alarm.score < 2 * found.threshold]
    assert [each for each in strong if each[1] == "b"] == [("fan", "b"), ("pump", "b")]
    assert [each for each in strong if each[1] == "c"] == [("fan", "c"), ("fan", "c"), ("pump", "c"), ("pump", "c")]


def test_an_alarm_is_explained_by_its_own_rows_and_its_worst_windows(
    detector: OutlierDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors are those of the series itself here, and no channel alone is the cause, so that the shares are those of the mean errors."""
    rows = np.random.default_rng(0).uniform(0.5, 1, (200, 3))
    rows[1], rows[20], rows[150:, 2] = 10, 8, 50  # the first rows are in fewer windows, and the last ones in no alarm
    windows, seen = Windows(rows, LENGTH, 4), list[Array]()
    begins = windows.cut.begins
    good = begins + LENGTH > 100
    scores = detector.offset_ + np.where(
        good, 1000.0, -1.0 - np.arange(len(windows))
    )  # the latest of the bad ones are the worst

    def score(_: OutlierDetector, X: Any) -> Array:
        if isinstance(X, Windows):
            return scores
        seen.append(np.asarray(X))
        return np.zeros(len(X))

    monkeypatch.setattr(OutlierDetector, "score_samples", score)
    monkeypatch.setattr(OutlierDetector, "contributions", lambda _, part: np.asarray(part))
    (alarm,) = detect_series(detector, windows).alarms
    first, last = alarm.rows
    assert (first, alarm.peak) == (0, 1)
    means = rows[: last + 1].mean(0)
    for each in alarm.channels:
        assert each.share == pytest.approx(means[int(each.feature.split()[1])] / means.sum())
    touching, cut = np.flatnonzero(begins <= last), seen[-1]
    assert 0 < len(cut) < len(touching)
    np.testing.assert_array_equal(cut, np.asarray(windows.values)[np.sort(np.argsort(scores[touching])[: len(cut)])])


def test_results_as_frames_json_and_tables(found: SeriesDetection) -> None:
    frame = found.to_frame()
    assert list(frame) == ["row", "machine", "time", "score", "alarm"]
    np.testing.assert_array_equal(frame.machine, machines().unit)
    np.testing.assert_array_equal(frame.time, machines().when)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["alarms"][0]["machine"] == "fan"
    assert plain["alarms"][0]["begin"] == "2026-01-01T00:00:00"
    assert sum(plain["alarms"][0]["channels"].values()) == pytest.approx(1)
    assert plain["steps"] == len(frame)
    header, *lines = found.alarm_lines()
    assert header == [
        "alarm",
        "machine",
        "begin",
        "end",
        "peak",
        "first_row",
        "last_row",
        "score",
        "share_a",
        "share_b",
        "share_c",
    ]
    assert [line[0] for line in lines] == list(range(1, len(found.alarms) + 1))
    assert all(sum(line[-3:]) == pytest.approx(1) for line in lines)
    assert "pump" in repr(found)


def test_the_figure_shades_the_alarms_of_a_machine(found: SeriesDetection) -> None:
    figure = found.plot()
    shown = plots.series_alarms(found, machine="fan", channels=["c"])
    assert len(figure.axes) == 4
    assert len(shown.axes) == 2
    alarms = [alarm for alarm in found.alarms if alarm.machine == "fan"]
    assert len(shown.axes[1].patches) == len(alarms)
    assert shown.axes[0].get_title(loc="left") == f"{len(alarms)} alarms of fan"
    assert shown.axes[1].get_ylabel() == "c"
    for keywords in ({"machine": "door"}, {"channels": ["z"]}):
        with pytest.raises(RecordError, match="choose"):
            plots.series_alarms(found, **keywords)  # type: ignore[arg-type]


def test_long_curves_keep_their_peaks(detector: OutlierDetector) -> None:
    series = waves(9000, 4)
    series[5432, 1] = 9
    figure = detect_series(detector, Windows(series, LENGTH, 8)).plot()
    line = figure.axes[2].lines[0]
    assert len(line.get_xdata()) <= 4002  # type: ignore[arg-type]
    assert max(line.get_ydata()) == 9  # type: ignore[arg-type]


def test_without_a_threshold_nothing_is_decided(detector: OutlierDetector) -> None:
    with pytest.warns(UserWarning, match="too few for a false-alarm rate"):
        plain = OutlierDetector.from_fitted(detector.autoencoder_, Windows(waves(200), LENGTH), false_alarm_rate=1e-4)
    undecided = detect_series(plain, Windows(waves(200), LENGTH))
    assert not undecided.alarms
    assert undecided.to_dict()["alarms"] is None
    assert undecided.plot().get_label()


def test_other_arguments_are_refused(detector: OutlierDetector) -> None:
    windows = Windows(waves(100), LENGTH)
    with pytest.raises(RecordError, match=r"pass isthmus\.data\.Windows"):
        detect_series(detector, waves(100))  # type: ignore[arg-type]
    with pytest.raises(RecordError, match="expects an OutlierDetector"):
        detect_series(detector.autoencoder_, windows)  # type: ignore[arg-type]
    with pytest.raises(NotPossibleError, match="requires windows of a series"):
        figure_function("series_alarms")(detector.autoencoder_, np.asarray(windows.values))
    assert figure_function("series_alarms")(detector.autoencoder_, windows).get_label()


def test_times_on_the_axis_do_not_touch() -> None:
    """Ten days of five-minute rows, whose full dates ran into each other."""
    time = np.arange(2500)
    when = pandas.Timestamp("2025-01-01") + pandas.to_timedelta(5 * time, unit="min")
    frame = pandas.DataFrame({"when": when, "a": np.sin(time / 9)})
    windows = Windows(frame, 48, step=24, time="when")
    detector = OutlierDetector(Autoencoder(2, architecture=MLP(()), epochs=1, random_state=0), random_state=0).fit(
        windows
    )
    figure = detect_series(detector, windows).plot()
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[-1].get_xticklabels() if label.get_text()]
    assert len(boxes) > 3
    assert all(left.x1 + 8 < right.x0 for left, right in itertools.pairwise(boxes))  # pixels, a character
