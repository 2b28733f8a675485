"""What became final in a stream: time steps with their scores, and alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.evaluation.series_alarms import ALARM_COLUMNS, Alarm, plain_time, step_columns
from isthmus.results import Result

__all__ = ["OpenAlarm", "StreamedSteps"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Whole = NDArray[np.int64]


class OpenAlarm(NamedTuple):
    """An alarm that has begun and not ended.

    Attributes:
        number: the number of the alarm of its machine, from 1.
        begin: its first time step: a time, or a row number without times.
        row: the number of its first row in the stream.
        machine: its machine; None without machines.
    """

    number: int
    begin: Any
    row: int
    machine: Any

    def sentence(self) -> str:
        """That it has begun, in words."""
        of = "" if self.machine is None else f" of {self.machine}"
        return f"alarm {self.number}{of} has begun at {plain_time(self.begin)}, and has not ended yet"


@dataclass(frozen=True, eq=False, repr=False)
class StreamedSteps(Result):
    """What became final in a stream: time steps with their scores, and alarms that ended.

    Attributes:
        rows: (n,) the numbers of the rows in the stream, from 0, ascending.
        time: (n,) their times, dates in UTC; None without.
        machines: (n,) their machines; None without.
        scores: (n,) the mean score of the windows that contain each row; lower is more anomalous. NaN for rows in no window.
        labels: (n,) the number of the alarm of its machine that each row belongs to, from 1; 0 for rows in none.
        alarms: the alarms that ended. An alarm that has not ended is not here yet, although some of its rows are.
        numbers: the number of each of these alarms, as in `labels`.
        notes: gaps, one sentence each.
        opened: the alarms that began among these rows, and are open.
        known: (n,) whether each row is in a known window; None unless the stream was asked.
    """

    rows: Whole
    time: Array | None
    machines: Array | None
    scores: Doubles
    labels: Whole
    alarms: tuple[Alarm, ...]
    numbers: tuple[int, ...]
    notes: tuple[str, ...]
    opened: tuple[OpenAlarm, ...] = ()
    known: NDArray[np.bool_] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the alarms, and counts of time steps."""
        counts = {"steps": len(self.rows), "anomalous_steps": int((self.labels > 0).sum())}
        return counts | {"alarms": [alarm.to_dict() for alarm in self.alarms]}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The alarms, for display."""
        machine = [] if self.machines is None else ["machine"]
        return [*machine, *ALARM_COLUMNS], [alarm.cells() for alarm in self.alarms]

    def columns(self) -> dict[str, Array]:
        """The columns of a table with a row for each time step, as of `SeriesDetection`."""
        return step_columns(self.rows, self.machines, self.time, self.scores, self.labels)

    def _frame_rows(self) -> list[dict[str, Any]]:
        columns = self.columns()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
