"""A data frame as a data set: its features, labels and ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from isthmus.data.containers import check_unique_names, column_names
from isthmus.data.dataset import Dataset
from isthmus.data.label_columns import ids_from_values, labels_from_column
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.columns import check_kind_names, select_columns
from isthmus.data.tables.encoded_datasets import encoded_dataset, known_dataset
from isthmus.data.tables.frame_features import has_kinds
from isthmus.data.validation import as_examples, is_a
from isthmus.errors import DataError

__all__ = ["frame_column", "read_frame"]

_WHERE = "the frame"
_OPTIONS = ("labels", "columns", "drop", "id", "kinds", "weights", "by")


def read_frame(frame: Any, options: ReadOptions, reused: Reused | None) -> Dataset:
    """The columns of a pandas, polars or pyarrow frame, with its labels and ids. Other columns than numbers have an encoding.

    Args:
        frame: the frame.
        options: which columns to use.
        reused: the run for which the examples are read, if any.

    Raises:
        DataError: a column does not exist, cannot be learned, or has the name of another one, or an option is for files only.
        RecordError: a kind does not exist.
    """
    for name, value in options.given().items():
        if name not in _OPTIONS:
            raise DataError(f"invalid {name}={value!r}: a frame takes {'=, '.join(_OPTIONS)}=")
    columns = column_names(frame) or ()
    check_unique_names(columns)
    kinds = {name: kind for name, kind in options.given_kinds().items() if kind != "drop"}
    dropped = (name for name, kind in options.given_kinds().items() if kind == "drop")
    if reused is not None and reused.table is not None:
        reused = reused._replace(features=reused.table.names)
    selected = select_columns(columns, True, options.replace(drop=(*options.drop, *dropped)), reused, _WHERE)
    merged = options if reused is None else options.over(reused.options)
    check_kind_names(options.given_kinds(), columns, [columns[each] for each in selected.features], merged, _WHERE)
    labels, label_notes = (None, ()) if selected.labels is None else labels_from_column(_cells(frame, selected.labels))
    features, known = _columns(frame, list(selected.features)), None if reused is None else reused.table
    encoded = known is not None or has_kinds(features) or bool(kinds)
    dataset = Dataset(
        _WHERE,
        np.empty((len(features), 0)) if encoded else as_examples(features, missing="allow").values,
        train_labels=labels,
        columns=tuple(columns[position] for position in selected.features),
        source=_WHERE,
        notes=(*selected.notes, *label_notes),
        kind="table",
        ids=None if selected.id is None else ids_from_values(_cells(frame, selected.id)),
        id_name=None if selected.id is None else columns[selected.id],
        label_name=None if selected.labels is None else columns[selected.labels],
    )
    if known is not None and reused is not None:
        return known_dataset(dataset, features, known, kinds, reused.missing)
    return encoded_dataset(dataset, features, kinds) if encoded else dataset


def frame_column(frame: Any, name: str) -> list[Any] | None:
    """The values of a column, None where they are missing; None if there is no such column."""
    columns = column_names(frame) or ()
    return labels_from_column(_cells(frame, columns.index(name)))[0].tolist() if name in columns else None


def _columns(frame: Any, positions: list[int]) -> Any:
    """The frame with only some of its columns."""
    if is_a(frame, "pandas", "DataFrame"):
        return frame.iloc[:, positions]
    return frame.select(
        [frame.columns[position] for position in positions] if is_a(frame, "polars", "DataFrame") else positions
    )


def _cells(frame: Any, position: int) -> list[Any]:
    """The values of a column as Python objects."""
    if is_a(frame, "pandas", "DataFrame"):
        return list(frame.iloc[:, position].tolist())
    if is_a(frame, "polars", "DataFrame"):
        return list(frame.to_series(position).to_list())
    return list(frame.column(position).to_pylist())
