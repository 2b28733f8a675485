"""The columns of a data frame as columns of pyarrow, and back. No library is imported that the frame does not come from."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from isthmus.data.containers import check_unique_names, column_names
from isthmus.data.labels import is_a
from isthmus.data.tables.arrow import pyarrow
from isthmus.errors import DataError, NotPossibleError
from isthmus.text import printable

_UNFIT = (
    TypeError,
    ValueError,
    OverflowError,
    NotImplementedError,
)  # what libraries raise for values that do not fit a dtype
_TIME = r"(s|ms|us|ns)"
_DTYPES = {
    "pandas": re.compile(
        rf"[uU]?[iI]nt(8|16|32|64)|[fF]loat(16|32|64)|bool(ean)?|object|str|string|category|datetime64\[{_TIME}(, [\w+\-/:]+)?\]"
        r"|Sparse\[[a-z0-9, .]+\]|[a-z0-9_]+(\[[\w, =+\-/:]*\]|\([0-9, ]+\))?\[pyarrow\]|dictionary<[\w=, <>]+>\[pyarrow\]"
    ),
    "polars": re.compile(
        rf"U?Int(8|16|32|64|128)|Float(16|32|64)|Boolean|String|Categorical|Enum|Date|Decimal|Datetime\[{_TIME}\]"
    ),
    "pyarrow": re.compile(r"[a-z0-9_]+(\[[\w, =+\-/:]*\]|\([0-9, ]+\))?|dictionary<[\w=, <>]+>"),
}

__all__ = ["Library", "arrow_columns", "dtypes_of", "is_dtype", "library_of", "like_pandas", "to_frame", "with_filled"]

Library = Literal["pandas", "polars", "pyarrow"]


def library_of(X: Any) -> Library | None:
    """The library of a frame; None if X is no frame."""
    if is_a(X, "pandas", "DataFrame"):
        return "pandas"
    if is_a(X, "polars", "DataFrame"):
        return "polars"
    return "pyarrow" if is_a(X, "pyarrow", "Table", "RecordBatch") else None


def arrow_columns(frame: Any, wanted: Collection[str]) -> dict[str, Any]:
    """Some columns of a frame by name, as arrays of pyarrow (n,).

    Raises:
        DataError: a name occurs twice, or a column holds values of several types.
    """
    names = column_names(frame) or ()
    check_unique_names(names)
    wanted = set(wanted)
    places = [(number, name) for number, name in enumerate(names) if name in wanted]
    if is_a(frame, "pandas", "DataFrame"):
        return {name: _from_pandas(name, frame.iloc[:, number]) for number, name in places}
    if is_a(frame, "polars", "DataFrame"):
        return {name: _whole_array(_from_polars(frame.to_series(number))) for number, name in places}
    return {name: _whole_array(frame.column(number)) for number, name in places}


def _from_polars(series: Any) -> Any:
    """A polars column as one of pyarrow."""
    arrow = pyarrow()
    try:
        return series.to_arrow()
    except (arrow.ArrowException, ValueError, TypeError) as error:
        raise DataError(
            f"column {printable(series.name)!r} holds {series.dtype}, which cannot be read ({printable(str(error), 80)}): leave it out"
        ) from None


def dtypes_of(frame: Any) -> dict[str, str]:
    """The dtypes of the columns, as text that `to_frame` reads."""
    names = column_names(frame) or ()
    if is_a(frame, "pandas", "DataFrame"):
        return {name: str(dtype) for name, dtype in zip(names, frame.dtypes, strict=True)}
    if is_a(frame, "polars", "DataFrame"):
        return {name: _polars_name(dtype) for name, dtype in frame.schema.items()}
    return {name: str(kind) for name, kind in zip(names, frame.schema.types, strict=True)}


def _polars_name(dtype: Any) -> str:
    """The name of a dtype of polars, with the unit of a time."""
    unit = getattr(dtype, "time_unit", None)
    return f"{dtype.base_type()}[{unit}]" if unit else str(dtype.base_type())


def is_dtype(name: str, library: Library | None) -> bool:
    """Whether a text names a dtype that a column of a table can have, see `dtypes_of`."""
    return library is not None and _DTYPES[library].fullmatch(name) is not None


def like_pandas(frame: Any, other: Any) -> Any:
    """A pandas frame with the index, and the column names, of another one."""
    places = {name: number for number, name in enumerate(column_names(other) or ())}
    made = frame.set_index(other.index)
    made.columns = other.columns[[places[name] for name in frame.columns]]
    return made


def to_frame(
    columns: Mapping[str, Any],
    library: Library,
    dtypes: Mapping[str, str],
    categories: Mapping[str, tuple[list[Any], bool]],
) -> Any:
    """A frame of a library with columns of pyarrow.

    Args:
        columns: by name.
        dtypes: of the columns of the training data, see `dtypes_of`; a column keeps its own where its values do not fit.
        categories: of the columns of a categorical dtype: the categories, and whether they are ordered.
    """
    compute = pyarrow().compute
    columns = {
        name: compute.greater_equal(column, 0.5)
        if dtypes.get(name, "").lower().startswith("bool") and pyarrow().types.is_floating(column.type)
        else column
        for name, column in columns.items()
    }
    try:
        if library == "pandas":
            return _to_pandas(columns, dtypes, categories)
        if library == "polars":
            return _to_polars(columns, dtypes, categories)
    except ModuleNotFoundError as error:
        raise NotPossibleError(f"the training data were a {library} frame, and {library} is not installed") from error
    return pyarrow().table(
        {name: _as_arrow(column, dtypes.get(name, ""), categories.get(name)) for name, column in columns.items()}
    )


def with_filled(frame: Any, other: Any, names: list[str]) -> Any:
    """A frame whose missing cells, in some columns, are those of another frame of its library."""
    if is_a(frame, "pandas", "DataFrame"):
        places, others = (
            {name: number for number, name in enumerate(column_names(each) or ())} for each in (frame, other)
        )
        filled = frame.copy()
        for name in names:
            column, new = frame.iloc[:, places[name]], other.iloc[:, others[name]]
            if column.dtype == "category":
                column = column.cat.add_categories([each for each in new.unique() if each not in column.cat.categories])
            if str(column.dtype) in {"bool", "boolean"} and new.dtype.kind == "f":
                new = new >= 0.5
            with suppress(*_UNFIT):  # the type of this frame, where the new values fit
                new = new.astype(column.dtype)
            if column.dtype.kind in "iu" and new.dtype.kind == "f":  # such as a mean of whole numbers
                column = column.astype("Float64" if str(column.dtype)[0].isupper() else float)
            filled.isetitem(places[name], column.where(column.notna(), new))
        return filled
    if is_a(frame, "polars", "DataFrame"):
        import polars

        made = [
            polars.Series(name, polars.from_arrow(_filled(_from_polars(frame[name]), _from_polars(other[name]))))
            for name in names
        ]
        return frame.with_columns([_narrowed(series, frame.schema[series.name]) for series in made])
    for name in names:
        place = frame.schema.get_field_index(name)
        frame = frame.set_column(place, name, _filled(frame.column(name), other.column(name)))
    return frame


def _narrowed(series: Any, dtype: Any) -> Any:
    """A polars series in a dtype, where it can hold the values."""
    if (
        dtype.is_integer()
        and series.dtype.is_float()
        and not (series.drop_nulls() == series.drop_nulls().round()).all()
    ):
        return series
    return series.cast(dtype)


def _filled(column: Any, other: Any) -> Any:
    """A column of pyarrow whose null or NaN cells are those of another one."""
    arrow = pyarrow()
    known = _whole_array(column)
    if arrow.types.is_dictionary(known.type):
        known = known.dictionary_decode()
    new = _whole_array(other)
    new = new.dictionary_decode() if arrow.types.is_dictionary(new.type) else new
    if arrow.types.is_boolean(known.type) and not arrow.types.is_boolean(new.type):
        new = arrow.compute.greater_equal(new.cast(arrow.float64()), 0.5)
    try:
        new = new.cast(known.type)
    except arrow.ArrowException:  # such as a mean of whole numbers: the column becomes wide enough
        known = known.cast(new.type)
    filled = arrow.compute.coalesce(known, new)
    if not arrow.types.is_dictionary(column.type):
        return filled
    labels = arrow.concat_arrays([_whole_array(column).dictionary, filled.drop_null()]).unique()
    return _with_categories(filled, labels, column.type.ordered)


def _with_categories(column: Any, labels: Any, ordered: bool) -> Any:
    """A column of pyarrow as a dictionary with these categories in their order."""
    indices = pyarrow().compute.index_in(column, value_set=labels)
    return pyarrow().DictionaryArray.from_arrays(indices, labels, ordered=ordered)


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
    return column


def _to_pandas(columns: Mapping[str, Any], dtypes: Mapping[str, str], categories: Mapping[str, Any]) -> Any:
    import pandas

    made = list[Any]()
    for name, column in columns.items():
        series, dtype = column.to_pandas(), dtypes.get(name, "")
        if name in categories:
            labels, ordered = categories[name]
            series = pandas.Series(pandas.Categorical(series, labels, ordered))
        elif dtype == "object":
            series = pandas.Series(series.to_numpy(dtype=object), dtype=object)
        elif dtype and str(series.dtype) != dtype:
            with suppress(*_UNFIT):  # such as whole numbers with a missing one
                series = series.astype(dtype)
        made.append(series.rename(name))
    return pandas.concat(made, axis=1)


def _to_polars(columns: Mapping[str, Any], dtypes: Mapping[str, str], categories: Mapping[str, Any]) -> Any:
    import polars

    made = list[Any]()
    for name, column in columns.items():
        series, (kind, _, unit) = polars.Series(name, polars.from_arrow(column)), dtypes.get(name, "").partition("[")
        if name in categories and kind == "Enum":
            series = series.cast(polars.Enum(categories[name][0]))
        elif unit:
            series = series.dt.cast_time_unit(unit.rstrip("]"))
        elif kind and kind != "Decimal" and series.dtype.base_type() != getattr(polars, kind):
            dtype = getattr(polars, kind)
            series = _narrowed(series, dtype) if dtype.is_integer() else series.cast(dtype, strict=False)
        made.append(series)
    return polars.DataFrame(made)


def _as_arrow(column: Any, dtype: str, categories: tuple[list[Any], bool] | None) -> Any:
    """A column of pyarrow in the type of the training data, where its values fit."""
    arrow = pyarrow()
    if categories is not None:
        return _with_categories(column, arrow.array(categories[0], column.type), categories[1])
    with suppress(arrow.ArrowException, *_UNFIT):
        unit = dtype.removeprefix("timestamp[").partition("]")[0].partition(",")[0]
        timed = dtype.startswith("timestamp[") and not arrow.types.is_string(column.type)
        kind = arrow.timestamp(unit, column.type.tz) if timed else arrow.type_for_alias(dtype)
        return column.cast(kind)
    return column
