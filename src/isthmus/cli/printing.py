"""The tables of an evaluation, on the terminal."""

from __future__ import annotations

from isthmus.cli.console import counted, say, say_notes, table
from isthmus.experiments.run_report import EvaluatedData, RunEvaluation

__all__ = ["say_briefly", "say_tables"]


def say_briefly(found: EvaluatedData) -> None:
    """Prints the table of errors and the advice."""
    header = [f"{counted(len(found.part.test), 'held-out example')} of {found.name}", "value", "unit"]
    table(header, [list(row) for row in found.figures.rows()])
    say_notes([found.stopping] if found.stopping else [])
    for advice in found.figures.advice:
        say(f"advice: {advice.text}")


def say_tables(found: RunEvaluation) -> None:
    """Prints the tables of errors, codes, labels and other data, and the advice."""
    own, transfer = found.own, found.transfer()
    say_notes([*([found.note] if found.note else []), *found.changes, *([own.stopping] if own.stopping else [])])
    if transfer is None:
        header = [f"{counted(len(own.part.test), 'held-out example')} of {own.name}", "value", "unit"]
        table(header, [list(row) for row in own.figures.rows()])
    else:
        table(["held-out examples of", own.name, transfer.other_name, "unit"], [list(row) for row in transfer.rows()])
    table([f"codes of {own.name}", "value", "unit"], [list(row) for row in own.figures.codes.rows()])
    _say_labels(own)
    for advice in own.figures.advice:
        say(f"advice: {advice.text}")
    if transfer is not None:
        say(transfer.sentence())


def _say_labels(found: EvaluatedData) -> None:
    """Prints the table of labels, or the reason why there is none."""
    labels = found.figures.labels
    if labels is None:
        if found.figures.labels_missing:
            say(f"note: labels are not evaluated: {found.figures.labels_missing}")
        return
    table([f"labels of {found.name}", "codes", "PCA codes", "examples"], [list(row) for row in labels.rows()])
    say(labels.how())
