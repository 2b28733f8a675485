"""The tables of an evaluation, on the terminal."""

from __future__ import annotations

from isthmus.cli.console import counted, print_line, print_notes, print_table
from isthmus.experiments.run_report import EvaluatedData, RunEvaluation

__all__ = ["print_evaluation", "print_summary"]

_MAX_COLUMNS = 20  # in a table on the terminal


def print_summary(found: EvaluatedData) -> None:
    """Prints the table of errors and the advice."""
    header = [f"{counted(len(found.part.test), 'held-out example')} of {found.name}", "value", "unit"]
    print_table(header, [list(row) for row in found.figures.rows()])
    _print_columns(found)
    print_notes([found.stopping] if found.stopping else [])
    for advice in found.figures.advice:
        print_line(f"advice: {advice.text}")


def print_evaluation(found: RunEvaluation) -> None:
    """Prints the tables of errors, codes, labels and other data, and the advice."""
    own, transfer = found.own, found.transfer()
    print_notes([*([found.note] if found.note else []), *found.changes, *([own.stopping] if own.stopping else [])])
    if transfer is None:
        header = [f"{counted(len(own.part.test), 'held-out example')} of {own.name}", "value", "unit"]
        print_table(header, [list(row) for row in own.figures.rows()])
        _print_columns(own)
    else:
        print_table(
            ["held-out examples of", own.name, transfer.other_name, "unit"], [list(row) for row in transfer.rows()]
        )
    print_table([f"codes of {own.name}", "value", "unit"], [list(row) for row in own.figures.codes.rows()])
    _print_labels(own)
    for advice in own.figures.advice:
        print_line(f"advice: {advice.text}")
    if transfer is not None:
        print_line(transfer.sentence())


def _print_columns(found: EvaluatedData) -> None:
    """Prints the table of columns; of many columns those with the largest errors."""
    columns = found.figures.by_column
    if columns is None:
        return
    header, n = list(columns.table()[0]), len(columns.columns)
    header[0] = f"{_MAX_COLUMNS} of {n:,} columns, the largest errors" if n > _MAX_COLUMNS else "column"
    print_table(header, columns.rows(_MAX_COLUMNS))
    print_line(columns.how())


def _print_labels(found: EvaluatedData) -> None:
    """Prints the table of labels, or the reason why there is none."""
    labels = found.figures.labels
    if labels is None:
        if found.figures.labels_missing:
            print_line(f"note: labels are not evaluated: {found.figures.labels_missing}")
        return
    print_table([f"labels of {found.name}", "codes", "PCA codes", "examples"], [list(row) for row in labels.rows()])
    print_line(labels.how())
