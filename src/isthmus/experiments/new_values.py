"""Values of a table in which anomalies are detected that the training data did not have: categories, and dates of another time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset
from isthmus.data.tables.frame_columns import arrow_columns
from isthmus.estimators.base import FittedAutoencoder
from isthmus.estimators.table_columns import table_columns
from isthmus.text import command, printable

__all__ = ["dates_note", "unknown_marks"]

_MANY = 0.1  # of the examples: fewer are anomalies, not another time


def unknown_marks(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """The column (n,) that names the categories of each example that training did not have ("region=DE"); nothing if there are none.

    They are missing values to the model: nothing else in the results shows them.
    """
    table, frame = dataset.table, dataset.frame
    if table is None or frame is None or len(frame) != len(dataset.train):
        return {}
    parts: list[list[str]] = [[] for _ in range(len(frame))]
    first = 0
    for column in table.columns:
        if column.categories:
            values = arrow_columns(frame, [column.name])[column.name]
            for row in np.flatnonzero(np.isnan(dataset.train[:, first])):
                if (value := values[int(row)].as_py()) is not None:
                    parts[row].append(f"{column.name}={value}")
        first += column.width
    return {"unknown": np.array([", ".join(each) for each in parts])} if any(parts) else {}


def dates_note(ae: FittedAutoencoder, dataset: Dataset) -> str:
    """A note if many examples have dates outside of those of the training data, which make them anomalous; else ""."""
    columns, parts, names = table_columns(ae), list[str](), list[str]()
    dates = [] if columns is None else [column for column in columns.columns if column.kind == "date"]
    for column in dates:
        days = dataset.train[:, column.first]
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
