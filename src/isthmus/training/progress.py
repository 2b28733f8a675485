"""The progress bar of training, with losses and remaining time, on a terminal or in a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from isthmus.io.terminal import print_lines, rich_console
from isthmus.text import printable
from isthmus.training.state import Report, Reports

__all__ = ["ProgressBars", "with_progress"]


def with_progress(
    reports: Iterator[Report], n_features: int | None, title: str = "training", lines: bool = False
) -> Reports:
    """Yields the same reports, and shows a progress bar on standard error.

    Args:
        reports: the reports of training.
        n_features: the number of features (or pixels) of an example, to show losses per dimension too; None: do not show these.
        title: the text before the bar.
        lines: print a line per epoch instead of a bar, for output that is not a terminal.
    """
    if lines:
        for report in reports:
            if report.complete:
                line = f"{task_title(title, report)}: epoch {report.epoch}, {format_losses(report, n_features)}, {report.seconds:.1f} s"
                print_lines(line, error=True)
            yield report
        return
    yield from ProgressBars()(reports, title, n_features)


class ProgressBars:
    """A callback that shows a bar for each of several trainings that run at the same time, on standard error."""

    def __init__(self) -> None:
        self.running = 0
        self.display: Any = None

    def __call__(self, reports: Iterator[Report], title: str, n_features: int | None) -> Reports:
        """Yields the same reports, and shows them in a bar of their own.

        Args:
            reports: the reports of a training.
            title: the text before the bar.
            n_features: as in `with_progress`.
        """
        if not self.running:
            self.display = _display()
            self.display.start()
        self.running += 1
        try:
            task = self.display.add_task(printable(title), total=None, losses="")
            for report in reports:
                fields = {"description": task_title(title, report), "losses": format_losses(report, n_features)}
                self.display.update(task, total=report.steps, completed=report.step, **fields)
                yield report
        finally:
            self.running -= 1
            if not self.running:
                self.display.stop()


def _display() -> Any:
    """An empty display of rich for bars."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}", markup=False),
    )
    return Progress(*columns, console=rich_console(error=True), transient=False)


def task_title(title: str, report: Report) -> str:
    """The title, with the number of the layer in layer-wise training."""
    title = printable(title)
    return title if report.layer is None else f"{title}, layer {report.layer}"


def format_losses(report: Report, n_features: int | None) -> str:
    """The losses of a report as text, in nats per example and in nats per dimension."""

    if "accuracy" in report.stats:  # of a classifier
        return f"loss {report.loss:.4f} nats, accuracy {report.stats['accuracy']:.1%}"
    if (
        n_features is None or report.layer is not None
    ):  # a hidden layer has another number of dimensions than an example
        return f"loss {report.loss:.2f} nats"
    text = f"loss {report.loss:.2f} nats ({report.loss / n_features:.4f} per dimension)"
    if report.val_loss is not None and math.isfinite(report.val_loss):
        text += f", validation {report.val_loss:.2f} ({report.val_loss / n_features:.4f})"
    return text
