"""A data frame as a data set: its features, labels and ids."""

from __future__ import annotations

from typing import Any

from isthmus.data.containers import check_unique_names, column_names
from isthmus.data.dataset import Dataset
from isthmus.data.label_columns import ids_from_values, labels_from_column
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.columns import listed, select_columns
from isthmus.data.tables.frame_features import has_kinds
from isthmus.data.validation import as_examples, is_a
from isthmus.errors import DataError

__all__ = ["read_frame"]

_WHERE = "the frame"
_OPTIONS = ("labels", "columns", "drop", "id")


def read_frame(frame: Any, options: ReadOptions, reused: Reused | None) -> Dataset:
    """The numeric columns of a pandas, polars or pyarrow frame, with its labels and ids.

    Args:
        frame: the frame.
        options: which columns to use.
        reused: the run for which the examples are read, if any.

    Raises:
        DataError: a column does not exist, is not numeric, or has the name of another one, or an option is for files only.
    """
    for name, value in options.given().items():
        if name not in _OPTIONS:
            raise DataError(f"invalid {name}={value!r}: a frame takes {'=, '.join(_OPTIONS)}=")
    columns = column_names(frame) or ()
    check_unique_names(columns)
    selected = select_columns(columns, True, options, reused, _WHERE)
    labels, label_notes = (None, ()) if selected.labels is None else labels_from_column(_cells(frame, selected.labels))
    features = _columns(frame, list(selected.features))
    _check_numbers(features)
    return Dataset(
        _WHERE,
        as_examples(features, missing="allow").values,
        train_labels=labels,
        columns=tuple(columns[position] for position in selected.features),
        source=_WHERE,
        notes=(*selected.notes, *label_notes),
        kind="table",
        ids=None if selected.id is None else ids_from_values(_cells(frame, selected.id)),
        id_name=None if selected.id is None else columns[selected.id],
        label_name=None if selected.labels is None else columns[selected.labels],
    )


def _check_numbers(features: Any) -> None:
    """`DataError` if a column holds no numbers: the arrays of a data set could not say what its values mean."""
    other = [name for name in column_names(features) or () if has_kinds(_columns_by_name(features, name))]
    if other:
        several = len(other) > 1
        what = f"column{'s' * several} {listed(other)} of {_WHERE} hold{'s' * (not several)} no numbers"
        raise DataError(
            f"{what}: pass the frame itself to Autoencoder.fit, which takes such columns, or leave them out, drop={other!r}"
        )


def _columns_by_name(frame: Any, name: str) -> Any:
    """The frame with one of its columns."""
    return _columns(frame, [(column_names(frame) or ()).index(name)])


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
