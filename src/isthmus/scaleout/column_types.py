"""The columns of a table with the types that the reader of one file gives them, for PyTorch and for onnxruntime."""

from __future__ import annotations

from typing import Any

from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.column_kinds import is_text
from isthmus.errors import DataError

__all__ = ["as_columns", "as_numbers", "decoded"]


def decoded(table: Any) -> Any:
    """The table with plain columns in place of dictionaries, such as those of categories of pandas, as the reader of one file gives them.

    Args:
        table: a pyarrow table.
    """
    arrow = pyarrow()
    for place, field in enumerate(table.schema):
        if arrow.types.is_dictionary(field.type):
            parts = [part.dictionary.take(part.indices) for part in table.column(place).chunks]
            table = table.set_column(place, field.name, arrow.chunked_array(parts, field.type.value_type))
    return table


def as_numbers(table: Any, labels: str | None = None) -> Any:
    """The table with truths as 0 and 1, and decimal numbers and columns without values as float64.

    Args:
        table: a pyarrow table.
        labels: the column of labels, which stays as it is.

    Raises:
        DataError: a column holds no numbers.
    """
    types = pyarrow().types
    for place, field in enumerate(table.schema):
        if field.name == labels or types.is_integer(field.type) or types.is_floating(field.type):
            continue
        if types.is_boolean(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pyarrow().uint8()))
        elif types.is_null(field.type) or types.is_decimal(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pyarrow().float64()))
        else:
            what = "text" if is_text(field.type) else str(field.type)
            raise DataError(
                f"column {field.name!r} holds {what}, and the model was trained on numbers: correct it, or leave it out"
            )
    return table


def as_columns(table: Any) -> Any:
    """A table of columns of any kind, with bytes as text.

    Args:
        table: a pyarrow table.

    Raises:
        DataError: a column holds lists or other nested values, or bytes that are no UTF-8.
    """
    arrow, types = pyarrow(), pyarrow().types
    for place, field in enumerate(table.schema):
        if types.is_nested(field.type):
            raise DataError(
                f"column {field.name!r} holds {field.type}, and the model takes one value for each row: correct it"
            )
        is_view = getattr(types, "is_binary_view", None)  # not in the oldest pyarrow
        if types.is_binary(field.type) or types.is_large_binary(field.type) or (is_view and is_view(field.type)):
            try:
                table = table.set_column(place, field.name, table.column(place).cast(arrow.string()))
            except arrow.ArrowException:
                raise DataError(f"column {field.name!r} holds bytes that are no UTF-8 text: correct it") from None
    return table
