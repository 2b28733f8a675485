"""What a person sees while training runs: a bar with the losses and the time left, on a terminal or in a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterator

from isthmus.io.terminal import put, rich_console
from isthmus.text import printable
from isthmus.training.state import Report, Reports

__all__ = ["shown"]


def shown(reports: Iterator[Report], numbers: int | None, title: str = "training", lines: bool = False) -> Reports:
    """The same reports, with a progress bar on standard error while they come.

    Args:
        reports: what training yields.
        numbers: how many numbers an example has: the losses are also shown per number, unless it is None.
        title: what stands before the bar.
        lines: a line per epoch instead, for output that is no terminal.
    """
    if lines:
        for report in reports:
            if report.complete:
                said = (
                    f"{named(title, report)}: epoch {report.epoch}, {losses(report, numbers)}, {report.seconds:.1f} s"
                )
                put(said, error=True)
            yield report
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}", markup=False),
    )
    with Progress(*columns, console=rich_console(error=True), transient=False) as progress:
        task = progress.add_task(printable(title), total=None, losses="")
        for report in reports:
            fields = {"description": named(title, report), "losses": losses(report, numbers)}
            progress.update(task, total=report.steps, completed=report.step, **fields)  # type: ignore[arg-type]  # all texts
            yield report


def named(title: str, report: Report) -> str:
    """What is trained: all of it, or a layer."""
    title = printable(title)
    return title if report.layer is None else f"{title}, layer {report.layer}"


def losses(report: Report, numbers: int | None) -> str:
    """The losses of a report in words: in nats per example, and per number."""

    if "accuracy" in report.stats:  # of labels
        return f"loss {report.loss:.4f} nats, {report.stats['accuracy']:.1%} right"
    if numbers is None or report.layer is not None:  # what a layer restores has as many numbers as it likes
        return f"loss {report.loss:.2f} nats"
    text = f"loss {report.loss:.2f} nats ({report.loss / numbers:.4f} per number)"
    if report.val_loss is not None and math.isfinite(report.val_loss):
        text += f", validation {report.val_loss:.2f} ({report.val_loss / numbers:.4f})"
    return text
