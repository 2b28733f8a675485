"""A series that arrives in parts has the scores and alarms of the series in one go, bit for bit, in bounded memory."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas
import pytest
from numpy.typing import NDArray

from isthmus import Autoencoder, OutlierDetector
from isthmus.architectures import MLP
from isthmus.data import Windows
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.evaluation import SeriesDetection, SeriesStream, StreamedSteps, detect_series, series_alarms
from isthmus.experiments.membership import example_keys

Array = NDArray[Any]
LENGTH = 16


def waves(rows: int = 1500, state: int = 0) -> Array:
    time, rng = np.arange(rows), np.random.default_rng(state)
    clean = np.stack([np.sin(time / 5), np.cos(time / 8)], 1)
    return clean + 0.1 * rng.normal(size=clean.shape)


@pytest.fixture(scope="module")
def detector() -> OutlierDetector:
    """A detector with many alarms, so that some are open when a part ends."""
    ae = Autoencoder(4, architecture=MLP((16,)), epochs=10, random_state=0)
    return OutlierDetector(ae, false_alarm_rate=0.1, random_state=0).fit(Windows(waves(), LENGTH, 4))


def machines() -> pandas.DataFrame:
    """Three machines whose rows alternate, with gaps, anomalies at both ends, and a stretch that is too short for a window."""
    parts = []
    for number, name in enumerate(("pump", "fan", "belt")):
        values = waves(150, 5 + number)
        values[60:75, number % 2] += 2
        values[140:, 1] += 3
        when = pandas.date_range("2026-01-01", periods=150, freq="10s")
        frame = pandas.DataFrame({"when": when, "unit": name, "a": values[:, 0], "b": values[:, 1]})
        parts.append(frame.drop([range(65, 70), [100, 111], range(90, 150)][number]))
    return pandas.concat(parts).sort_values(["when", "unit"], ignore_index=True)


def collected(parts: Iterable[StreamedSteps]) -> tuple[Array, Array, list[Any], Array]:
    """The scores and the marks of alarms by row, the alarms, and the order in which rows became final."""
    parts = list(parts)
    rows = np.concatenate([part.rows for part in parts])
    scores, marks = np.full(len(rows), np.inf), np.zeros(len(rows), bool)
    scores[rows] = np.concatenate([part.scores for part in parts])
    marks[rows] = np.concatenate([part.labels for part in parts]) > 0
    return scores, marks, sorted((alarm for part in parts for alarm in part.alarms), key=lambda each: each.rows), rows


def assert_same(parts: Iterable[StreamedSteps], whole: SeriesDetection) -> None:
    scores, marks, alarms, rows = collected(parts)
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(whole.scores)))  # each row once
    np.testing.assert_array_equal(scores, whole.scores)
    np.testing.assert_array_equal(marks, whole.labels > 0)
    assert alarms == sorted(whole.alarms, key=lambda each: each.rows)


def cuts(count: int, size: int) -> list[slice]:
    """Parts of a size, or of random sizes."""
    ends = np.sort(np.random.default_rng(3).integers(0, count, 12)).tolist() if size == 0 else range(size, count, size)
    edges = [0, *ends, count]
    return [slice(*pair) for pair in itertools.pairwise(edges)]


@pytest.mark.filterwarnings("ignore:.*in no window")
@pytest.mark.parametrize(("size", "step"), [(1, 4), (7, 1), (0, 3), (0, 16), (64, 20), (10**6, 2)])
def test_any_parts_give_the_answers_of_one_go(detector: OutlierDetector, size: int, step: int) -> None:
    series = waves(260, 1)
    series[100:130, 1] += 2
    series[200:210, 0] += 2
    series[254:, 1] -= 2
    whole = detect_series(detector, Windows(series, LENGTH, step))
    assert len(whole.alarms) > 1
    stream = SeriesStream(detector, step)
    parts = [stream.update(series[part]) for part in cuts(len(series), size)]
    assert_same([*parts, stream.finish()], whole)


@pytest.mark.filterwarnings("ignore:.*in no window")
@pytest.mark.parametrize(("size", "step"), [(9, 4), (0, 1), (0, 3), (10**6, 4)])
def test_machines_and_gaps_in_parts_give_the_answers_of_one_go(detector: OutlierDetector, size: int, step: int) -> None:
    frame = machines()
    whole = detect_series(detector, Windows(frame, LENGTH, step, time="when", by="unit", gap=15))
    assert np.isnan(whole.scores).sum() == 10  # of the fan, between its gaps
    assert {alarm.machine for alarm in whole.alarms} == {"pump", "fan", "belt"}
    stream = SeriesStream(detector, step, time="when", by="unit", gap=15)
    parts = [stream.update(frame[part]) for part in cuts(len(frame), size)]
    assert sum(len(part.notes) for part in parts) == 3  # a note for each gap
    assert_same([*parts, stream.finish()], whole)
    assert stream.channels == ("a", "b")


@pytest.mark.filterwarnings("ignore:.*in no window")
@pytest.mark.parametrize(("size", "step"), [(7, 4), (0, 20), (10**6, 3)])
def test_steps_in_known_windows_are_those_of_one_go(detector: OutlierDetector, size: int, step: int) -> None:
    frame = machines()
    series = {"time": "when", "by": "unit", "gap": 15}
    shown = Windows(frame, LENGTH, 5, **series)[[1, 2, 9, 30]].values
    keys, expected = example_keys(shown), np.isin(frame["a"], np.asarray(shown)[..., 0])

    def known(windows: Array) -> Array:
        return np.isin(example_keys(windows), keys)

    whole = Windows(frame, LENGTH, step, **series)
    np.testing.assert_array_equal(whole.rows_in(whole.every.begins[known(whole.every)]), expected)
    stream, found = SeriesStream(detector, step, **series, known=known), np.zeros(len(frame), bool)
    for part in (*(stream.update(frame[part]) for part in cuts(len(frame), size)), stream.finish()):
        found[part.rows] = part.known
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("answer", [np.ones(85, int), np.ones(3, bool)])
def test_an_answer_that_is_not_about_each_window_is_refused(detector: OutlierDetector, answer: Array) -> None:
    stream = SeriesStream(detector, known=lambda _: answer)
    with pytest.raises(RecordError, match=r"known gives .* for 85 windows: expected bool of shape \(85,\)"):
        stream.update(machines()[["a", "b"]].to_numpy()[:100])


def test_numbers_of_alarms_do_not_depend_on_the_parts(detector: OutlierDetector) -> None:
    frame = machines()
    of_row, of_alarm = dict[int, set[tuple[int, int]]](), set[tuple[Any, ...]]()
    for size in (50, 0, 10**6):
        stream = SeriesStream(detector, 4, time="when", by="unit", gap=15)
        with warnings.catch_warnings(action="ignore"):
            parts = [*(stream.update(frame[part]) for part in cuts(len(frame), size)), stream.finish()]
        for part in parts:
            for row, number in zip(part.rows.tolist(), part.labels.tolist(), strict=True):
                of_row.setdefault(row, set()).add(number)
        for part in parts:
            for number, alarm in zip(part.numbers, part.alarms, strict=True):
                of_alarm.add((number, alarm.machine, alarm.rows))
                assert of_row[alarm.rows[0]] == of_row[alarm.rows[1]] == {number}
    assert all(len(numbers) == 1 for numbers in of_row.values())
    assert len(of_alarm) == len({rows for *_, rows in of_alarm}) == len({each[:2] for each in of_alarm})


def test_a_step_is_final_when_no_later_window_contains_it(detector: OutlierDetector) -> None:
    stream, series = SeriesStream(detector, 1), waves(100)
    for count in range(1, 101):
        stream.update(series[count - 1 : count])
        assert stream.rows_kept <= count
    assert len(stream.finish().rows) == LENGTH - 1


def test_memory_is_bounded(detector: OutlierDetector) -> None:
    """Of a series without an open alarm, two windows are kept; of an open one, its rows too, up to a number."""
    stream, series, kept = SeriesStream(detector, 4), waves(1600, 2), list[int]()
    series[1000:1200] += 9
    for begin in range(0, 1600, 40):
        stream.update(series[begin : begin + 40])
        kept.append(stream.rows_kept)
    assert max(kept[:25]) <= 5 * LENGTH
    assert 200 - LENGTH <= max(kept[25:31]) <= 200 + 5 * LENGTH
    assert max(kept[33:]) <= 5 * LENGTH


@pytest.mark.parametrize("size", [1, 37, 0])
def test_an_anomaly_that_does_not_end_is_several_alarms(
    detector: OutlierDetector, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded while it lasts, and the answers are those of one go."""
    monkeypatch.setattr(series_alarms, "MOST_VALUES", 100)
    longest = 16 * LENGTH  # more than 50 rows of two channels
    series = waves(1200, 2)
    series[100:] += 9
    whole = detect_series(detector, Windows(series, LENGTH, 4))
    lengths = [last - first + 1 for first, last in (alarm.rows for alarm in whole.alarms)]
    assert lengths.count(longest) == 4
    assert max(lengths) == longest
    begins = [alarm.rows[0] for alarm in whole.alarms[-4:]]
    assert begins == [alarm.rows[1] + 1 for alarm in whole.alarms[-5:-1]]
    assert len(set(whole.labels[200:].tolist())) == 5
    stream, parts, kept = SeriesStream(detector, 4), list[StreamedSteps](), list[int]()
    for part in cuts(len(series), size):
        parts.append(stream.update(series[part]))
        kept.append(stream.rows_kept)
    if size:
        assert max(kept) <= longest + 5 * LENGTH + size
    assert_same([*parts, stream.finish()], whole)


def test_an_alarm_is_given_when_it_has_ended(detector: OutlierDetector) -> None:
    series = waves(300, 1)
    series[150:160] += 8
    stream, strong = SeriesStream(detector, 1), 3 * detector.offset_
    before = [*stream.update(series[:155]).alarms, *stream.update(series[155:160]).alarms]
    assert not [alarm for alarm in before if alarm.score < strong]
    after = stream.update(series[160:220])
    (alarm,) = (alarm for alarm in after.alarms if alarm.score < strong)
    assert alarm.begin <= 150 <= 159 <= alarm.end
    assert stream.channels == ("channel 0", "channel 1")
    assert json.loads(json.dumps(after.to_dict()))["steps"] == len(after.to_frame())
    assert "peak" in repr(after)


def test_arrays_have_times_and_machines_as_arrays(detector: OutlierDetector) -> None:
    frame = machines()
    given = frame[["a", "b"]].to_numpy()
    stream = SeriesStream(detector, 4, gap=15)
    with warnings.catch_warnings(action="ignore"):
        whole = detect_series(detector, Windows(frame, LENGTH, 4, time="when", by="unit", gap=15))
        rows = [
            stream.update(given[part], time=frame.when.to_numpy()[part], by=frame.unit.to_numpy()[part])
            for part in cuts(len(frame), 0)
        ]
        rows.append(stream.finish())
    scores, marks, _, _ = collected(rows)
    np.testing.assert_array_equal(scores, whole.scores)
    np.testing.assert_array_equal(marks, whole.labels > 0)


def late(frame: pandas.DataFrame) -> pandas.DataFrame:
    return frame.iloc[[0, 1, 2, 9, 6]]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda frame: frame.iloc[:3].assign(when=frame.when[0] - pandas.Timedelta("1h")),
            r"row 40 .* and an earlier row of .* has a later time",
        ),
        (late, r"row 44 of the stream has the time .*: give the rows in the order of time"),
        (lambda frame: frame.rename(columns={"a": "x"}), r"the columns of the stream have changed \(a, x\)"),
        (lambda frame: frame.drop(columns="b"), r"the columns of the stream have changed \(b\)"),
        (lambda frame: frame.assign(c=1.0), r"the columns of the stream have changed \(c\)"),
        (lambda frame: frame.assign(unit=1), "the machines of the stream have changed from str to int"),
        (lambda frame: frame.assign(when=np.arange(len(frame)) * 1e9), "the times of the stream have changed"),
        (lambda frame: frame.assign(a=[*frame.a[:-1], np.nan]), "NaN: row 99, column 0"),
    ],
)
def test_after_an_error_the_stream_is_unchanged(detector: OutlierDetector, change: Any, match: str) -> None:
    frame = machines()
    whole = detect_series(detector, Windows(frame[:100], LENGTH, 4, time="when", by="unit", gap=15))
    stream = SeriesStream(detector, 4, time="when", by="unit", gap=15)
    parts = [stream.update(frame[:40])]
    with pytest.raises(DataError, match=match):
        stream.update(change(frame[40:100].reset_index(drop=True)))
    reordered = frame[40:100][["b", "unit", "when", "a"]]  # columns are found by name
    assert_same([*parts, stream.update(reordered), stream.finish()], whole)


def test_what_a_stream_needs_is_said(detector: OutlierDetector) -> None:
    frame = machines()
    with pytest.raises(RecordError, match="rows with times require gap="):
        SeriesStream(detector, time="when", by="unit").update(frame)
    with pytest.raises(DataError, match="there is no column 'nowhere'"):
        SeriesStream(detector, time="nowhere", gap=1).update(frame)
    with pytest.raises(DataError, match=r"have shape \(16, 3\)"):
        SeriesStream(detector).update(np.zeros((5, 3)))
    with pytest.raises(RecordError, match="invalid step=0"):
        SeriesStream(detector, 0)
    with pytest.raises(RecordError, match="expects an OutlierDetector"):
        SeriesStream(detector.autoencoder_)  # type: ignore[arg-type]
    stream = SeriesStream(detector)
    assert not len(stream.update(np.zeros((0, 2))).rows)
    stream.finish()
    with pytest.raises(NotPossibleError, match="the stream is finished"):
        stream.update(waves(5))


def test_repeated_times_and_rows_without_a_window_are_warnings(detector: OutlierDetector) -> None:
    stream = SeriesStream(detector, gap=1)
    with pytest.warns(UserWarning, match="2 rows have the time of the row before them"):
        stream.update(waves(5), time=[0, 1, 1, 2, 2])
    with pytest.warns(UserWarning, match=r"5 rows are in no window, in a stretch of fewer than 16 rows: rows 0 to 4"):
        found = stream.finish()
    assert np.isnan(found.scores).all()


def test_other_detectors_are_refused() -> None:
    table = np.random.default_rng(0).normal(size=(200, 3))
    other = OutlierDetector(Autoencoder(1, architecture=MLP(()), epochs=1, random_state=0), random_state=0).fit(table)
    with pytest.raises(RecordError, match="fit one on windows of a series"):
        SeriesStream(other)


def test_times_keep_having_a_zone(detector: OutlierDetector) -> None:
    """As a column of dates, as text, and as an index."""
    when = pandas.date_range("2026-01-01", periods=60, freq="10s")
    frame = pandas.DataFrame(waves(60), columns=["a", "b"])
    zoned = when.tz_localize("UTC")
    for first, later, time in (
        (frame[:30].assign(when=when[:30]), frame[30:].assign(when=zoned[30:]), "when"),
        (frame[:30].assign(when=zoned[:30].astype(str)), frame[30:].assign(when=when[30:].astype(str)), "when"),
        (frame[:30].set_index(zoned[:30]), frame[30:].set_index(when[30:]), None),
    ):
        stream = SeriesStream(detector, time=time, gap=15)
        stream.update(first)
        with pytest.raises(
            DataError, match=r"times of the stream have changed from dates( with a time zone)? to dates"
        ):
            stream.update(later)


def test_all_parts_have_the_same_columns(detector: OutlierDetector) -> None:
    """Also those in which nothing is final."""
    frame = machines()
    stream = SeriesStream(detector, time="when", by="unit", gap=15)
    parts = [stream.update(frame[:3]), stream.update(frame[:0]), stream.update(frame[3:200]), stream.finish()]
    assert [len(part.rows) > 0 for part in parts] == [False, False, True, True]
    assert len({tuple(part.columns()) for part in parts}) == 1
    assert {part.columns()["time"].dtype.kind for part in parts} == {"M"}
    assert {part.columns()["machine"].dtype.kind for part in parts} == {"U"}


def test_a_gap_without_times_is_refused(detector: OutlierDetector) -> None:
    stream = SeriesStream(detector, gap=15)
    with pytest.raises(RecordError, match=r"gap=15.* is a length of time, and no time is given"):
        stream.update(waves(40))


@pytest.mark.parametrize("rows", [None, 5, np.array(5), "rows", {"a": [1]}])
def test_what_is_no_rows_is_refused(detector: OutlierDetector, rows: Any) -> None:
    with pytest.raises(
        DataError, match=f"expects rows, an array or a frame, not a value of type {type(rows).__name__}"
    ):
        SeriesStream(detector).update(rows)


@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_an_alarm_is_said_to_begin_once(detector: OutlierDetector, size: int) -> None:
    """Also one that does not end while rows arrive. With rows one by one, each alarm but that of the last window is open at first."""
    series = waves(300, 1)
    series[200:] += 5
    stream = SeriesStream(detector, 4)
    parts = [stream.update(series[part]) for part in cuts(300, size)]
    last = stream.finish()
    assert last.opened == ()
    opened = [alarm for part in parts for alarm in part.opened]
    ended = {number: alarm for part in (*parts, last) for number, alarm in zip(part.numbers, part.alarms, strict=True)}
    assert len({alarm.number for alarm in opened}) == len(opened)
    for alarm in opened:
        assert (alarm.begin, alarm.row, alarm.machine) == (ended[alarm.number].begin, ended[alarm.number].rows[0], None)
    assert any(180 < alarm.row <= 200 for alarm in opened)
    assert size > 1 or len(opened) == len(ended)
