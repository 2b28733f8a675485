"""The columns of a data frame as columns of pyarrow, and back. No library is imported that the frame does not come from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from isthmus.data.containers import check_unique_names, column_names
from isthmus.data.labels import is_a
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.column_kinds import is_text
from isthmus.errors import DataError, NotPossibleError
from isthmus.text import printable

__all__ = ["Library", "arrow_columns", "dtypes_of", "library_of", "to_frame", "with_filled"]

Library = Literal["pandas", "polars", "pyarrow"]


def library_of(X: Any) -> Library | None:
    """The library of a frame; None if X is no frame."""
    if is_a(X, "pandas", "DataFrame"):
        return "pandas"
    if is_a(X, "polars", "DataFrame"):
        return "polars"
    return "pyarrow" if is_a(X, "pyarrow", "Table", "RecordBatch") else None


def arrow_columns(frame: Any) -> dict[str, Any]:
    """The columns of a frame by name, as arrays of pyarrow (n,).

    Raises:
        DataError: a name occurs twice, or a column holds values of several types.
    """
    names = column_names(frame) or ()
    check_unique_names(names)
    if is_a(frame, "pandas", "DataFrame"):
        return {name: _from_pandas(name, frame.iloc[:, number]) for number, name in enumerate(names)}
    table = frame.to_arrow() if is_a(frame, "polars", "DataFrame") else frame
    return {name: _whole_array(table.column(number)) for number, name in enumerate(names)}


def dtypes_of(frame: Any) -> dict[str, str]:
    """The dtypes of the columns, as text that `to_frame` reads."""
    names = column_names(frame) or ()
    if is_a(frame, "pandas", "DataFrame"):
        return {name: str(dtype) for name, dtype in zip(names, frame.dtypes, strict=True)}
    if is_a(frame, "polars", "DataFrame"):
        return {name: str(dtype.base_type()) for name, dtype in frame.schema.items()}
    return {name: str(kind) for name, kind in zip(names, frame.schema.types, strict=True)}


def to_frame(
    columns: Mapping[str, Any],
    library: Library,
    dtypes: Mapping[str, str],
    categories: Mapping[str, tuple[list[Any], bool]],
    index: Any = None,
) -> Any:
    """A frame of a library with columns of pyarrow.

    Args:
        columns: by name.
        dtypes: of the columns of the training data, see `dtypes_of`; a column keeps its own where its values do not fit.
        categories: of the columns of a categorical dtype: the categories, and whether they are ordered.
        index: of a pandas frame.
    """
    try:
        if library == "pandas":
            return _to_pandas(columns, dtypes, categories, index)
        if library == "polars":
            return _to_polars(columns, dtypes, categories)
    except ModuleNotFoundError as error:
        raise NotPossibleError(f"the training data were a {library} frame, and {library} is not installed") from error
    return pyarrow().table(
        {name: _as_arrow(column, dtypes.get(name, ""), categories.get(name)) for name, column in columns.items()}
    )


def with_filled(frame: Any, other: Any, names: list[str]) -> Any:
    """A frame whose missing cells, in some columns, are those of another frame of its library. An empty text is missing."""
    if is_a(frame, "pandas", "DataFrame"):
        positions = {name: number for number, name in enumerate(column_names(frame) or ())}
        filled = frame.copy()
        for name in names:
            column = frame.iloc[:, positions[name]]
            filled.isetitem(positions[name], column.where(column.notna() & (column != ""), other[name]))
        return filled
    table = frame.to_arrow() if is_a(frame, "polars", "DataFrame") else frame
    source = other.to_arrow() if is_a(other, "polars", "DataFrame") else other
    for name in names:
        position = table.schema.get_field_index(name)
        column = _known(_whole_array(table.column(name)))
        new = _whole_array(source.column(name)).cast(column.type)
        table = table.set_column(position, name, pyarrow().compute.coalesce(column, new))
    if is_a(frame, "polars", "DataFrame"):
        import polars

        return polars.DataFrame(table).cast(dict(frame.schema))
    return table


def _known(column: Any) -> Any:
    """A column with null in place of NaN and of an empty text."""
    arrow = pyarrow()
    if arrow.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    if is_text(column.type):
        return arrow.compute.replace_with_mask(column, arrow.compute.equal(column, ""), arrow.scalar(None, column.type))
    if arrow.types.is_floating(column.type):
        return arrow.compute.replace_with_mask(column, arrow.compute.is_nan(column), arrow.scalar(None, column.type))
    return column


def _from_pandas(name: str, series: Any) -> Any:
    """A column of a pandas frame. NaN in it is a missing value."""
    arrow = pyarrow()
    if str(series.dtype).startswith("Sparse["):
        series = series.sparse.to_dense()
    try:
        return _whole_array(arrow.Array.from_pandas(series))
    except (arrow.ArrowException, ValueError, TypeError, OverflowError) as error:
        first = _of_another_type(series)
        what = f": {first}" if first else f" ({printable(str(error), 80)})"
        raise DataError(
            f"column {printable(name)!r} holds values of several types{what}; convert them, for example to text, or leave it out"
        ) from None


def _of_another_type(series: Any) -> str:
    """The first value whose type is not that of the first one, in words; "" if there is none."""
    first = None
    for row, value in enumerate(series):
        if value is None or value != value:  # NaN differs from itself
            continue
        first = type(value) if first is None else first
        if type(value) is not first:
            return (
                f"row {row} is {printable(repr(value), 40)}, a {type(value).__name__}, and others are {first.__name__}"
            )
    return ""


def _whole_array(column: Any) -> Any:
    """A column as one array."""
    arrow = pyarrow()
    if isinstance(column, arrow.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, arrow.ChunkedArray):
            column = arrow.concat_arrays(column.chunks) if column.num_chunks else arrow.array([], column.type)
    if arrow.types.is_floating(column.type):  # polars keeps NaN apart from null
        numbers = np.asarray(column.to_numpy(zero_copy_only=False))
        return arrow.array(numbers, mask=np.isnan(numbers))
    if arrow.types.is_dictionary(column.type) and column.dictionary.type == arrow.large_string():
        return column
    return column


def _to_pandas(columns: Mapping[str, Any], dtypes: Mapping[str, str], categories: Mapping[str, Any], index: Any) -> Any:
    import pandas

    made = dict[str, Any]()
    for name, column in columns.items():
        series, dtype = column.to_pandas(), dtypes.get(name, "")
        if name in categories:
            labels, ordered = categories[name]
            series = pandas.Series(pandas.Categorical(series, labels, ordered))
        elif dtype and str(series.dtype) != dtype:
            with suppress(TypeError, ValueError, OverflowError):  # such as whole numbers with a missing one
                series = series.astype(dtype)
        made[name] = series.to_numpy(dtype=object) if dtype == "object" else series.array
    frame = pandas.DataFrame(made, columns=list(columns))
    return frame if index is None else frame.set_index(index)


def _to_polars(columns: Mapping[str, Any], dtypes: Mapping[str, str], categories: Mapping[str, Any]) -> Any:
    import polars

    made = list[Any]()
    for name, column in columns.items():
        series, dtype = polars.Series(name, polars.from_arrow(column)), dtypes.get(name, "")
        if name in categories and dtype == "Enum":
            series = series.cast(polars.Enum(categories[name][0]))
        elif (kind := getattr(polars, dtype, None)) is not None and series.dtype.base_type() != kind:
            series = series.cast(kind, strict=False)
        made.append(series)
    return polars.DataFrame(made)


def _as_arrow(column: Any, dtype: str, categories: tuple[list[Any], bool] | None) -> Any:
    """A column of pyarrow in the type of the training data, where its values fit."""
    arrow = pyarrow()
    if categories is not None:
        return column.dictionary_encode()
    try:
        return column.cast(arrow.type_for_alias(dtype)) if dtype else column
    except (arrow.ArrowException, ValueError):
        return column
