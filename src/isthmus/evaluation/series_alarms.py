"""Alarms in a series: intervals of anomalous time steps, with the channels to blame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.series.window_array import WindowArray
from isthmus.estimators.attribution import Attribution
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.estimators.squared_errors import bounded_reconstructions
from isthmus.results import plain

__all__ = [
    "ALARM_COLUMNS",
    "MOST_VALUES",
    "Alarm",
    "Rows",
    "alarm_header",
    "alarm_of",
    "alarm_row",
    "divided",
    "longest_alarm",
    "plain_time",
    "runs",
    "step_columns",
]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
ALARM_COLUMNS = ["begin", "end", "peak", "rows", "score", "channels (share)"]  # of a table for display
_BLOCK = 1 << 20  # values of windows whose errors are computed at once
MOST_VALUES = 1 << 22  # of the rows of an alarm: 4 million rows of one channel
_LEAST_WINDOWS = 16  # whose rows an alarm may have in any case
_N_SHOWN = 5  # channels of an alarm in a table
_WORST, _CANDIDATES = 16, 16  # windows and channels for which the causes of an alarm are measured
_REPLACEMENTS = 2  # of a channel: the first reconstruction is distorted too


class Alarm(NamedTuple):
    """An interval of anomalous time steps, without a gap, of one machine.

    An interval of very many steps (4 million values) is several alarms, each of which begins with the step after the one before, so that a
    stream keeps a bounded number of rows.

    Attributes:
        begin, end: the first and the last time step, which belongs to it: times, or row numbers without times.
        peak: the time step with the largest error of the channels to blame.
        score: the lowest score in it.
        rows: the numbers of the first and the last row in the data, from 0.
        machine: its machine; None without machines.
        channels: all channels, the largest share first.
    """

    begin: Any
    end: Any
    peak: Any
    score: float
    rows: tuple[int, int]
    machine: Any
    channels: tuple[Attribution, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; times as text."""
        shares = {str(each.feature): each.share for each in self.channels}
        times = {name: plain_time(getattr(self, name)) for name in ("begin", "end", "peak")}
        machine = {} if self.machine is None else {"machine": plain(self.machine)}
        rows = {"first_row": self.rows[0], "last_row": self.rows[1]}
        return machine | times | rows | {"score": self.score, "channels": shares}

    def sentence(self) -> str:
        """The alarm as the rest of a sentence: of which machine, from when to when, and the channels to blame."""
        of = "" if self.machine is None else f" of {self.machine}"
        begin, end, peak = (plain_time(each) for each in (self.begin, self.end, self.peak))
        shares = ", ".join(f"{each.feature} {each.share:.0%}" for each in self.channels[:_N_SHOWN])
        return f"{of}: {begin} to {end}, peak {peak}, score {self.score:.6g}, {shares}"

    def cells(self) -> list[str]:
        """The alarm as a row of a table of text, for display."""
        return [
            *([] if self.machine is None else [str(self.machine)]),
            *(str(plain_time(each)) for each in (self.begin, self.end, self.peak)),
            f"{self.rows[0]}-{self.rows[1]}",
            f"{self.score:.6g}",
            ", ".join(f"{each.feature} {each.share:.0%}" for each in self.channels[:_N_SHOWN]),
        ]


def alarm_header(channels: Sequence[str], machines: bool) -> list[str]:
    """The names of the columns of a CSV file of alarms."""
    machine = ["machine"] if machines else []
    rows = ["first_row", "last_row"]
    return ["alarm", *machine, "begin", "end", "peak", *rows, "score", *(f"share_{each}" for each in channels)]


def alarm_row(number: int, alarm: Alarm, channels: Sequence[str]) -> list[Any]:
    """An alarm as a row of that file."""
    shares = {each.feature: each.share for each in alarm.channels}
    machine = [] if alarm.machine is None else [alarm.machine]
    times = [plain_time(each) for each in (alarm.begin, alarm.end, alarm.peak)]
    return [number, *machine, *times, *alarm.rows, alarm.score, *(shares[each] for each in channels)]


def step_columns(
    rows: NDArray[np.int64], machines: Array | None, time: Array | None, scores: Doubles, labels: NDArray[np.int64]
) -> dict[str, Array]:
    """The columns of a table with a row for each time step: its machine and time if known, score, and the number of its alarm."""
    known = {"machine": machines, "time": time}
    kept = {name: values for name, values in known.items() if values is not None}
    return {"row": rows, **kept, "score": scores, "alarm": labels}


def runs(wanted: NDArray[np.bool_], begins: Any = ()) -> list[tuple[int, int]]:
    """The runs of wanted rows, each with its first row and the row after its last. No run continues across a row in `begins`."""
    apart = np.zeros(len(wanted), bool)
    apart[np.asarray(begins, np.int64)] = True
    first = wanted & (apart | ~np.r_[False, wanted[:-1]])
    last = wanted & (np.r_[apart[1:], True] | ~np.r_[wanted[1:], False])
    return list(zip(np.flatnonzero(first).tolist(), (np.flatnonzero(last) + 1).tolist(), strict=True))


def longest_alarm(length: int, channels: int) -> int:
    """The most rows of an alarm, so that memory is bounded: those of `MOST_VALUES` values, or of some windows if these are more."""
    return max(_LEAST_WINDOWS * length, MOST_VALUES // channels)


def divided(intervals: Iterable[tuple[int, int]], longest: int) -> list[tuple[int, int]]:
    """The intervals, each longer one as several that follow each other."""
    return [(at, min(at + longest, end)) for begin, end in intervals for at in range(begin, end, longest)]


class Rows(NamedTuple):
    """What an alarm says about its rows: their numbers in the data, their times if they have some, and their machine."""

    numbers: NDArray[np.int64]
    times: Array | None
    machine: Any


def alarm_of(
    detector: OutlierDetector,
    windows: WindowArray,
    of_windows: Doubles,
    scores: Doubles,
    begin: int,
    rows: Rows,
    channels: Sequence[str],
) -> Alarm:
    """The alarm of a run of rows.

    Args:
        detector: the detector.
        windows: windows, with all that contain a row of the run.
        of_windows: their scores (n,).
        scores: the scores of the rows of the run.
        begin: its first row, among the rows of the windows.
        rows: what is known about the rows of the run.
        channels: the names of the channels.
    """
    end = begin + len(scores)
    touching = np.flatnonzero((windows.begins < end) & (windows.begins + windows.length > begin))
    errors = _errors(detector, windows[touching], begin, end)
    worst = touching[np.argsort(of_windows[touching], kind="stable")[:_WORST]]
    shares = _shares(detector, np.asarray(windows[np.sort(worst)]), errors.mean(0))
    peak = int((errors * shares).sum(1).argmax())
    when = rows.numbers if rows.times is None else rows.times
    first, last, middle = (each if isinstance(each, np.datetime64) else each.item() for each in when[[0, -1, peak]])
    ends = int(rows.numbers[0]), int(rows.numbers[-1])
    order = np.argsort(-shares, kind="stable")
    blamed = tuple(Attribution(channels[each], float(shares[each])) for each in order)
    return Alarm(first, last, middle, float(scores.min()), ends, rows.machine, blamed)


def _errors(detector: OutlierDetector, windows: WindowArray, begin: int, end: int) -> Doubles:
    """The mean standardized squared errors (end - begin, channels) of rows, over all windows that contain them.

    For each row they are added up in the order of the windows, so that the sum does not depend on the blocks.
    """
    sums, counts = np.zeros((end - begin, windows.shape[2])), np.zeros((end - begin, 1))
    size = max(1, _BLOCK // (windows.length * windows.shape[2]))
    for start in range(0, len(windows), size):
        part = windows[start : start + size]
        contributions = np.nan_to_num(detector.contributions(np.asarray(part)).reshape(part.shape))
        for place in reversed(range(windows.length)):
            at = part.begins + place - begin
            inside = (at >= 0) & (at < end - begin)
            np.add.at(sums, at[inside], contributions[inside, place])
            np.add.at(counts, at[inside], 1)
    return sums / np.maximum(counts, 1)


def _shares(detector: OutlierDetector, cut: Array, errors: Doubles) -> Doubles:
    """The share of each channel (channels,) in the anomaly of windows (n, length, channels), given its mean error."""
    candidates = np.argsort(-errors, kind="stable")[:_CANDIDATES]
    cut = cut.astype(np.result_type(cut, np.float32))
    replaced = np.repeat(cut[None], len(candidates), 0)
    for _ in range(_REPLACEMENTS):
        made = bounded_reconstructions(detector.autoencoder_, replaced.reshape(-1, *cut.shape[1:]))
        for number, channel in enumerate(candidates):
            replaced[number, ..., channel] = made.reshape(replaced.shape)[number, ..., channel]
    scores = detector._additive_scores(replaced.reshape(-1, *cut.shape[1:])).reshape(len(candidates), -1)
    parts = np.zeros(len(errors))
    parts[candidates] = np.maximum(scores.mean(1) - detector._additive_scores(cut).mean(), 0)
    if not parts.sum() > 0:  # no channel alone is the cause
        parts = np.maximum(errors, np.finfo(np.float64).tiny)
    shares: Doubles = parts / parts.sum()
    return shares


def plain_time(time: Any) -> Any:
    """A time as a plain JSON value: dates as text, with microseconds where they are not whole seconds."""
    if not isinstance(time, np.datetime64):
        return plain(time)
    whole = time == time.astype("datetime64[s]")
    return str(np.datetime_as_string(time, unit="s" if whole else "us"))
