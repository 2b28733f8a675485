"""Values of a table in which anomalies are detected that the training data did not have: categories, and dates of another time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset
from isthmus.data.tables.frame_columns import arrow_columns
from isthmus.data.tables.table_blocks import TableBlocks
from isthmus.estimators.base import FittedAutoencoder
from isthmus.estimators.table_columns import table_columns
from isthmus.text import command, printable

__all__ = ["dates_note", "unknown_marks"]

_MANY = 0.1  # of the examples: fewer are anomalies, not another time


def unknown_marks(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """The column (n,) that names the categories of each example that training did not have ("region=DE"); nothing if there are none.

    They are missing values to the model: nothing else in the results shows them.
    """
    marks = dict[int, list[str]]()
    for first, frame, values in _frames(dataset):
        begin = 0
        for column in [] if dataset.table is None else dataset.table.columns:
            if column.categories:
                cells = arrow_columns(frame, [column.name])[column.name]
                for row in np.flatnonzero(np.isnan(values[:, begin])):
                    if (value := cells[int(row)].as_py()) is not None:
                        marks.setdefault(first + int(row), []).append(f"{column.name}={value}")
            begin += column.width
    if not marks:
        return {}
    texts = [", ".join(marks.get(row, ())) for row in range(len(dataset.train))]
    return {"unknown": np.array(texts, object)}  # where each text takes its own length, not that of the longest


def _frames(dataset: Dataset) -> Iterator[tuple[int, Any, NDArray[Any]]]:
    """The table of the examples, or parts of it, with the number of the first row and the features; nothing where there is none."""
    rows: Any = dataset.train
    if isinstance(rows, TableBlocks):
        yield from rows.frames()
    elif dataset.table is not None and dataset.frame is not None and len(dataset.frame) == len(rows):
        yield 0, dataset.frame, rows


def dates_note(ae: FittedAutoencoder, dataset: Dataset) -> str:
    """A note if many examples have dates outside of those of the training data, which make them anomalous; else ""."""
    columns, parts, names = table_columns(ae), list[str](), list[str]()
    dates = [] if columns is None else [column for column in columns.columns if column.kind == "date"]
    for column in dates:
        days = np.asarray(dataset.train[:, column.first])
        n = int(((days < column.least) | (days > column.largest)).sum())
        if n > _MANY * len(days):
            period = f"{column.text(column.least)} to {column.text(column.largest)}"
            names.append(column.name)
            parts.append(f"{printable(column.name)} ({n:,} of {len(days):,}, training: {period})")
    if not parts:
        return ""
    return (
        f"dates outside of those of the training data: {', '.join(parts)}: these can be anomalous for their date alone, and the guarantee "
        f"is for others; if only time has passed, train without it ({command('--drop', names[0])})"
    )
