"""Anomaly detection in a file that another program appends to."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from isthmus.cli.console import counted, fail, print_line, print_notes
from isthmus.cli.detection_task import trained_note
from isthmus.cli.signals import SignalHandler
from isthmus.errors import IsthmusError
from isthmus.io.terminal import print_lines

if TYPE_CHECKING:
    from isthmus.evaluation.streamed_steps import StreamedSteps
    from isthmus.experiments.followed_series import FollowedSeries

__all__ = ["SECONDS_UNTIL_NOTE", "follow"]

_POLL = 0.2  # seconds between two looks at the file
SECONDS_UNTIL_NOTE = 5.0  # seconds after which it is said what is waited for


def follow(series: FollowedSeries, idle: float | None, as_json: bool) -> None:
    """Prints alarms as they become final, until a signal, or until the file has not grown for `idle` seconds.

    Args:
        series: the series, which writes its scores and alarms.
        idle: the seconds; None: without end.
        as_json: whether an alarm is a line of JSON.

    Raises:
        IsthmusError: the file cannot be read further. The rows before have their scores, and open alarms were printed.
    """
    error: IsthmusError | None = None
    with SignalHandler() as handler:
        try:
            _watch(series, idle, as_json, handler)
        except IsthmusError as caught:
            if not series.written:
                raise
            error = caught
        last = series.finish()
        if last is not None:
            print_notes(last.notes, as_json)
            _print_alarms(last, as_json)
    if error is None and (rest := series.rest()):
        print_notes([f"{rest}, and is left out"], as_json)
    _print_end(series, as_json)
    if error is not None:
        raise error
    if handler.signal:
        fail("stopped: all rows so far have their scores", 128 + handler.signal)


def _watch(series: FollowedSeries, idle: float | None, as_json: bool, handler: SignalHandler) -> None:
    """Takes rows until a signal, or until there were none for `idle` seconds. Says what waits for more than some seconds."""
    since, told = time.monotonic(), False
    while not handler.signal:
        part = series.advance()
        if part is not None:
            print_notes(part[1], as_json)
            _print_alarms(part[0], as_json)
            since, told = time.monotonic(), False
            continue
        waited = time.monotonic() - since
        if idle is not None and waited >= idle:
            return
        if waited >= SECONDS_UNTIL_NOTE and not told:
            told, rest = True, series.rest()
            print_notes([f"{rest}, and is waited for"] if rest else [], as_json)
        time.sleep(_POLL if idle is None else min(_POLL, idle - waited))


def _print_alarms(found: StreamedSteps, as_json: bool) -> None:
    """Prints alarms, one per line, and notes about those that have begun."""
    for number, alarm in zip(found.numbers, found.alarms, strict=True):
        if as_json:
            print_lines(json.dumps({"alarm": number} | alarm.to_dict()))
        else:
            print_line(f"alarm {number}{alarm.sentence()}")
    print_notes([alarm.sentence() for alarm in found.opened], as_json)


def _print_end(series: FollowedSeries, as_json: bool) -> None:
    """Prints the counts and the written files."""
    lines = [
        f"{counted(series.alarms, 'alarm')} in {series.steps:,} time steps",
        *([trained_note(series.trained, series.steps)] if series.trained else []),
        *(f"written: {path}" for path in series.written),
    ]
    if as_json:
        print_notes(lines, quiet=True)
    else:
        for line in lines:
            print_line(line)
