"""The progress of all tasks: rows, rate and time left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from isthmus.io.terminal import print_lines, rich_console
from isthmus.scaleout.tasks import Task
from isthmus.scaleout.work import Done
from isthmus.text import printable

__all__ = ["with_progress"]

_SECONDS = 5.0  # between two lines


def with_progress(dones: Iterator[Done], tasks: Mapping[str, Task], title: str, lines: bool = False) -> Iterator[Done]:
    """Yields the same results, and shows the progress on standard error.

    Args:
        dones: the results of tasks.
        tasks: all tasks, by their keys.
        title: the text before the bar.
        lines: print a line every few seconds instead of a bar, for output that is not a terminal.
    """
    total = sum(task.rows for task in tasks.values())
    if lines:
        yield from _with_lines(dones, tasks, printable(title), total)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[rows]}", markup=False),
        TimeRemainingColumn(),
    )
    clock = _Clock(total)
    with Progress(*columns, console=rich_console(error=True)) as progress:
        shown = progress.add_task(printable(title), total=total, rows=clock.text())
        for done in dones:
            clock.add(done, tasks[done.key])
            progress.update(shown, completed=clock.rows, rows=clock.text())
            yield done


def _with_lines(dones: Iterator[Done], tasks: Mapping[str, Task], title: str, total: int) -> Iterator[Done]:
    clock, last = _Clock(total), time.monotonic()
    for done in dones:
        clock.add(done, tasks[done.key])
        now = time.monotonic()
        if now - last >= _SECONDS and clock.rows < total:
            print_lines(f"{title}: {clock.text()}, {clock.left()} left", error=True)
            last = now
        yield done


class _Clock:
    """Rows so far, and their rate: that of rows that were computed, as results that are there take no time.

    It counts from the start of the first task that was computed: the processes start once only, however many rows there are.
    """

    def __init__(self, total: int) -> None:
        self.total, self.rows, self.computed, self._began = total, 0, 0, 0.0

    def add(self, done: Done, task: Task) -> None:
        """Adds a task that has ended."""
        self.rows += task.rows
        if done.state == "skipped":
            return
        if not self.computed:
            self._began = time.monotonic() - done.seconds
        self.computed += task.rows

    def text(self) -> str:
        """Rows and rate."""
        return f"{self.rows:,} of {self.total:,} rows, {self._rate():,.0f} rows/s"

    def left(self) -> str:
        """The time that the others will take."""
        rate = self._rate()
        if not rate:
            return "unknown time"
        minutes, seconds = divmod(round((self.total - self.rows) / rate), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"

    def _rate(self) -> float:
        return self.computed / max(time.monotonic() - self._began, 1e-9)
