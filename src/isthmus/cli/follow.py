"""Anomaly detection in a file that another program appends to."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from isthmus.cli.console import counted, fail, print_line, print_notes
from isthmus.cli.signals import SignalHandler
from isthmus.io.terminal import print_lines

if TYPE_CHECKING:
    from isthmus.evaluation.streamed_steps import StreamedSteps
    from isthmus.experiments.followed_series import FollowedSeries

__all__ = ["follow"]

_POLL = 0.2  # seconds between two looks at the file


def follow(series: FollowedSeries, idle: float | None, as_json: bool) -> None:
    """Prints alarms as they become final, until a signal, or until the file has not grown for `idle` seconds.

    Args:
        series: the series, which writes its scores and alarms.
        idle: the seconds; None: without end.
        as_json: whether an alarm is a line of JSON.
    """
    with SignalHandler() as handler:
        since = time.monotonic()
        while not handler.signal:
            part = series.advance()
            if part is not None:
                print_notes(part[1], as_json)
                _print_alarms(part[0], as_json)
                since = time.monotonic()
                continue
            left = float("inf") if idle is None else since + idle - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(_POLL, left))
        while not handler.signal and (part := series.advance(end=True)) is not None:
            _print_alarms(part[0], as_json)
        if series.rest:
            print_notes(["the last line of the file is not complete, and is left out"], as_json)
        last = series.finish()
        if last is not None:
            _print_alarms(last, as_json)
    _print_end(series, as_json)
    if handler.signal:
        fail("stopped: all rows so far have their scores", 128 + handler.signal)


def _print_alarms(found: StreamedSteps, as_json: bool) -> None:
    """Prints alarms, one per line."""
    for number, alarm in zip(found.numbers, found.alarms, strict=True):
        if as_json:
            print_lines(json.dumps({"alarm": number} | alarm.to_dict()))
        else:
            print_line(f"alarm {number}{alarm.sentence()}")


def _print_end(series: FollowedSeries, as_json: bool) -> None:
    """Prints the counts and the written files."""
    lines = [
        f"{counted(series.alarms, 'alarm')} in {series.steps:,} time steps",
        *(f"written: {path}" for path in series.written),
    ]
    if as_json:
        print_notes(lines, quiet=True)
    else:
        for line in lines:
            print_line(line)
