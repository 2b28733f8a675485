"""Figures over time: the scores of a series, its alarms and its channels."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isthmus.errors import RecordError
from isthmus.evaluation.series_detection import SeriesDetection
from isthmus.plots.figure import stacked
from isthmus.plots.result_check import requires_result
from isthmus.text import printable

__all__ = ["series_alarms"]

_CHANNELS = 6  # drawn, if none are named
_POINTS = 4000  # per curve: of more, the smallest and the largest value of each group


@requires_result(SeriesDetection, "isthmus.evaluation.detect_series(detector, windows)")
def series_alarms(result: SeriesDetection, *, machine: object = None, channels: list[str] | None = None) -> Figure:
    """The anomaly score of each time step with the threshold, and the channels below it. Alarms are shaded.

    Args:
        result: the result of `isthmus.evaluation.detect_series`.
        machine: the machine to draw; None: the one with the most anomalous step.
        channels: the channels to draw; None: at most 6, those with the largest shares in alarms.

    Raises:
        RecordError: there is no such machine or channel.
    """
    windows, machines = result.windows, result.windows.machines
    if machine is None and machines is not None:
        machine = machines[int(np.nanargmin(result.scores))]
    rows = np.arange(len(result.scores)) if machines is None else np.flatnonzero(machines == machine)
    if not len(rows):
        raise RecordError(
            f"invalid machine={printable(machine)!r}: choose one of {', '.join(map(printable, windows.rows.labels[:20]))}"
        )
    names = _channels(result, channels)
    times = rows if windows.time is None else windows.time[rows]
    order = np.argsort(times, kind="stable")
    rows, times = rows[order], times[order]
    alarms = [alarm for alarm in result.alarms if machines is None or alarm.machine == machine]
    count = f"{len(alarms)} alarm{'' if len(alarms) == 1 else 's'}"
    of = "" if machines is None else f" of {printable(machine)}"
    alt = f"The anomaly score of {len(rows)} time steps{of}, with {count}, above {len(names)} channels."
    figure, (top, *others) = stacked(alt, 1 + len(names), 9.0, 1.3)
    _curve(top, times, -result.scores[rows], "C0")
    if result.decided:
        top.axhline(
            -result.threshold, color="0.2", linewidth=1, linestyle="--", label=f"threshold {-result.threshold:.4g}"
        )
        top.legend(frameon=False, fontsize=9, loc="upper left")
    top.set_ylabel("anomaly score")
    top.set_title(f"{count}{of}", fontsize=10, loc="left")
    values = windows.in_order(windows.rows.values)
    for axes, name in zip(others, names, strict=True):
        _curve(axes, times, values[rows, windows.channels.index(name)], "0.3")
        axes.set_ylabel(printable(name, 20))
    for axes in (top, *others):
        for alarm in alarms:
            axes.axvspan(alarm.begin, alarm.end, color="C1", alpha=0.3, linewidth=0)
    others[-1].set_xlabel("row" if windows.time is None else "time")
    if times.dtype.kind == "M":
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(maxticks=8)  # type: ignore[no-untyped-call]  # more would touch each other
        others[-1].xaxis.set_major_locator(locator)
        others[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    return figure


def _channels(result: SeriesDetection, channels: list[str] | None) -> list[str]:
    """The channels to draw: those given, or those with the largest shares in alarms."""
    known = result.windows.channels
    if channels is not None:
        unknown = next((name for name in channels if name not in known), None)
        if unknown is not None or not channels:
            raise RecordError(f"invalid channels={channels!r}: choose some of {', '.join(map(printable, known[:20]))}")
        return channels
    shares = dict.fromkeys(known, 0.0)
    for alarm in result.alarms:
        for each in alarm.channels:
            shares[str(each.feature)] += each.share
    most = sorted(known, key=lambda name: -shares[name])[:_CHANNELS]
    return [name for name in known if name in most]


def _curve(axes: Axes, times: np.ndarray, values: np.ndarray, color: str) -> None:
    """A curve; of many points the smallest and the largest of each group, so that no peak is lost."""
    size = -(-len(values) // (_POINTS // 2))
    if size > 1 and len(values) > _POINTS:
        filled = np.append(values.astype(np.float64), np.full(-len(values) % size, np.nan)).reshape(-1, size)
        known = ~np.isnan(filled).all(1)
        ends = [np.full(len(filled), np.nan) for _ in range(2)]
        for end, function in zip(ends, (np.nanmin, np.nanmax), strict=True):
            end[known] = function(filled[known], axis=1)
        times, values = np.repeat(times[::size], 2), np.stack(ends, 1).reshape(-1)
    axes.plot(times, values, color=color, linewidth=0.8)
