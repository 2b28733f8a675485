"""A data frame as a data set: which of its columns are learned, which is the labels, which names the rows."""

from __future__ import annotations

from typing import Any

from isthmus.data.containers import column_names, named_once
from isthmus.data.dataset import Dataset
from isthmus.data.label_columns import ids_from_values, labels_from_column
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.columns import select_columns
from isthmus.data.validation import as_examples, is_a
from isthmus.errors import DataError

__all__ = ["read_frame"]

_WHERE = "the frame"
_TAKES = ("labels", "columns", "drop", "id")


def read_frame(frame: Any, options: ReadOptions, reused: Reused | None) -> Dataset:
    """The examples of a pandas, polars or pyarrow frame, its labels and its ids.

    Raises:
        DataError: a column is not there, comes twice or holds no numbers, or an option makes sense for files alone.
    """
    for name, value in options.given().items():
        if name not in _TAKES:
            raise DataError(f"invalid {name}={value!r}: a frame takes {'=, '.join(_TAKES)}=")
    columns = column_names(frame) or ()
    named_once(columns)
    selected = select_columns(columns, True, options, reused, _WHERE)
    labels, said = (None, ()) if selected.labels is None else labels_from_column(_cells(frame, selected.labels))
    return Dataset(
        _WHERE,
        as_examples(_columns(frame, list(selected.features)), missing="allow").values,
        train_labels=labels,
        columns=tuple(columns[position] for position in selected.features),
        source=_WHERE,
        notes=(*selected.notes, *said),
        kind="table",
        ids=None if selected.id is None else ids_from_values(_cells(frame, selected.id)),
        id_name=None if selected.id is None else columns[selected.id],
        label_name=None if selected.labels is None else columns[selected.labels],
    )


def _columns(frame: Any, positions: list[int]) -> Any:
    """The frame with some of its columns."""
    if is_a(frame, "pandas", "DataFrame"):
        return frame.iloc[:, positions]
    return frame.select(
        [frame.columns[position] for position in positions] if is_a(frame, "polars", "DataFrame") else positions
    )


def _cells(frame: Any, position: int) -> list[Any]:
    """The values of a column as Python has them."""
    if is_a(frame, "pandas", "DataFrame"):
        return list(frame.iloc[:, position].tolist())
    if is_a(frame, "polars", "DataFrame"):
        return list(frame.to_series(position).to_list())
    return list(frame.column(position).to_pylist())
