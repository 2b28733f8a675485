"""Stretches shorter than a window: padded with missing values, so that their rows have windows, scores and alarms too."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from test_cli import run

from isthmus import Autoencoder, OutlierDetector
from isthmus.architectures import MLP
from isthmus.data import Windows
from isthmus.errors import DataError, IsthmusWarning, RecordError
from isthmus.evaluation import SeriesStream, detect_series, series_metrics

LENGTH = 8
SECONDS = np.r_[0:200, 210:215, 220:223, 230:430]  # stretches of 200, 5, 3 and 200 rows
SHORT = np.r_[200:208]


def series() -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(len(SECONDS), 2))
    return np.stack([np.sin(SECONDS / 5), 5 + np.cos(SECONDS / 5)], 1) + 0.05 * noise


def cut(X: Any, **options: Any) -> Windows:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsthmusWarning)
        return Windows(X, LENGTH, 2, time=SECONDS, gap=2, **options)


@pytest.fixture(scope="module")
def detector() -> OutlierDetector:
    ae = Autoencoder(2, architecture=MLP((8,)), epochs=40, missing="allow", random_state=0)
    return OutlierDetector(ae, false_alarm_rate=0.1, random_state=0).fit(cut(series(), pad=True))


def test_short_stretches_are_followed_by_missing_values() -> None:
    X = series()
    windows, without = cut(X, pad=True), cut(X)
    assert len(windows) == len(without) + 2
    values = np.asarray(windows.values)
    padded = values[np.isnan(values).any((1, 2))]
    np.testing.assert_array_equal(padded[0], np.r_[X[200:205], np.full((3, 2), np.nan)])
    np.testing.assert_array_equal(padded[1], np.r_[X[205:208], np.full((5, 2), np.nan)])
    np.testing.assert_allclose(windows.average(values), X)
    assert "2 stretches shorter than a window padded with 8 rows of missing values" in windows.notes
    assert np.isnan(without.average(np.ones(len(without))))[SHORT].all()
    assert any("8 rows are in no window" in note and "pad=True (--pad)" in note for note in without.notes)


def test_windows_longer_than_all_stretches_are_one_sentence_and_shorter_ones_fit() -> None:
    seconds = np.r_[0:5, 10:14, 20:25, 30:33]
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(17, 2)), columns=["load", "heat"])
    ae = Autoencoder(1, architecture=MLP(()), epochs=1, missing="allow", random_state=0)
    with pytest.raises(
        DataError, match=r"channel load of X is missing in row 5 .*of every window: .*at most 5 rows .*--window 5"
    ):
        ae.fit(Windows(frame, 8, time=seconds, gap=2, pad=True))
    ae.fit(Windows(frame, 5, time=seconds, gap=2, pad=True))
    frame["load"] = np.nan
    with pytest.raises(DataError, match=r"'load' of X is missing in every row: drop it"):
        ae.fit(Windows(frame, 5, time=seconds, gap=2, pad=True))


def test_without_short_stretches_nothing_is_copied() -> None:
    X = np.random.default_rng(0).normal(size=(50, 2))
    assert np.shares_memory(Windows(X, LENGTH, 2, pad=True).values[3], X)


def test_whole_numbers_can_be_padded() -> None:
    X = np.arange(2 * len(SECONDS)).reshape(-1, 2)
    windows = cut(X, pad=True)
    assert windows.values.dtype == np.float64
    np.testing.assert_allclose(windows.average(np.asarray(windows.values)), X)


def test_the_order_of_the_data_and_its_machines_are_kept() -> None:
    frame = pandas.DataFrame({"t": SECONDS, "x": series()[:, 0], "m": "a"})
    frame = pandas.concat([frame, frame.iloc[200:208].assign(m="b", x=9.0)]).sample(frac=1, random_state=0)
    with pytest.warns(IsthmusWarning, match="sorted by machine and time"):
        windows = Windows(frame, LENGTH, 2, time="t", by="m", gap=2, pad=True)
    np.testing.assert_allclose(windows.average(np.asarray(windows.values))[:, 0], frame.x)
    assert set(windows.cut.groups.tolist()) == {0, 1}


def test_estimators_that_take_no_missing_values_say_where_the_padding_is() -> None:
    with pytest.raises(
        DataError, match=r"the padding after row 204, of a stretch that is shorter than a window; .*'allow'"
    ):
        Autoencoder(2, architecture=MLP((8,)), epochs=1).fit(cut(series(), pad=True))


def test_rows_of_short_stretches_have_scores_and_alarms(detector: OutlierDetector) -> None:
    X = series()
    X[206, 0] += 4
    padded, plain = detect_series(detector, cut(X, pad=True)), detect_series(detector, cut(X))
    assert np.isfinite(padded.scores).all()
    assert padded.to_dict()["steps_without_score"] == 0
    assert plain.to_dict()["steps_without_score"] == len(SHORT)
    others = np.setdiff1d(np.arange(len(X)), SHORT)
    np.testing.assert_array_equal(padded.scores[others], plain.scores[others])
    alarm = next(each for each in padded.alarms if each.rows[0] >= 200 and each.rows[1] < 208)
    assert (alarm.rows, alarm.begin, alarm.end, alarm.peak) == ((205, 207), 220, 222, 221)
    assert alarm.channels[0].feature == "channel 0"
    assert np.isfinite([each.share for each in alarm.channels]).all()
    y_true = np.isin(np.arange(len(X)), [205, 206, 207])
    assert series_metrics(padded, y_true).without_score == 0
    padded.plot()


def test_what_follows_a_missing_value_enters_no_score(detector: OutlierDetector) -> None:
    """A window with padding has the score of its rows: that of the same rows, missing at the same places."""
    X = series()
    windows = cut(X, pad=True)
    number = int(np.flatnonzero(np.isnan(np.asarray(windows.values)).any((1, 2)))[0])
    own = np.r_[X[200:205], np.full((3, 2), np.nan)][None]
    assert detector.score_samples(windows)[number] == detector.score_samples(own)[0]


@pytest.mark.parametrize("size", [1, 7, 200])
def test_a_stream_gives_the_scores_of_one_go(detector: OutlierDetector, size: int) -> None:
    X = series()
    X[206, 0] += 4
    whole = detect_series(detector, cut(X, pad=True))
    stream = SeriesStream(detector, 2, gap=2, pad=True)
    parts = [stream.update(X[at : at + size], time=SECONDS[at : at + size]) for at in range(0, len(X), size)]
    parts.append(stream.finish())
    scores = np.empty(len(X))
    for part in parts:
        scores[part.rows] = part.scores
    np.testing.assert_array_equal(scores, whole.scores)
    assert [alarm for part in parts for alarm in part.alarms] == list(whole.alarms)


def test_a_stream_of_a_detector_that_takes_no_missing_values_is_refused() -> None:
    ae = Autoencoder(2, architecture=MLP((8,)), epochs=1, random_state=0)
    detector = OutlierDetector(ae, false_alarm_rate=0.2, random_state=0).fit(cut(series()))
    with pytest.raises(RecordError, match=r"pad=True \(--pad\) pads with missing values"):
        SeriesStream(detector, gap=2, pad=True)


def test_the_command_line_pads(tmp_path: Path) -> None:
    pandas.DataFrame(series(), columns=["heat", "load"]).assign(t=SECONDS).to_csv(tmp_path / "log.csv", index=False)
    options = ("--data", "log.csv", "--time", "t", "--window", "8", "--step", "2", "--gap", "2", "--pad")
    settings = ("bottleneck=2", "architecture=MLP", "architecture.hidden=8", "epochs=2", "missing=allow")
    done = run("train", *settings, *options, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 stretches shorter than a window padded with 8 rows" in done.stdout
    words = ("detect", "run", "--data", "log.csv", "--false-alarm-rate", "0.3", "--out", "scores.csv")
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no score" not in done.stdout, "the run padded, and so does detect"
    assert pandas.read_csv(tmp_path / "scores.csv").score.notna().all()
