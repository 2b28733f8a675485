"""The columns of a table as inputs of a model, and back, with NumPy alone."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.runtime.manifest import Port
from isthmus.text import printable

__all__ = ["as_table", "column_inputs", "column_names", "feature_array", "plain_numbers"]

Array = NDArray[Any]
_LISTED = 5  # in a message


def column_inputs(X: Any, ports: Sequence[Port], missing: bool, note: Callable[[str], None]) -> dict[str, Array]:
    """The inputs of a table: a mapping of names to columns, or a frame of any library that gives a column by its name.

    Args:
        X: the table.
        ports: the inputs.
        missing: whether values may be missing.
        note: is told, in one sentence, what is taken as missing.

    Raises:
        DataError: it is no table, or empty; a column is not there, has another length, or holds values that are not of its kind.
    """
    names = column_names(X)
    if names is None:
        raise DataError(
            f"the examples are of the class {type(X).__name__}, and the model takes a table: pass a frame, or a dictionary of columns"
        )
    lacking = [port.column for port in ports if port.column not in names]
    if lacking:
        raise DataError(f"the table has no column {_listed(lacking)}, which the training data had: add it")
    found = {port.name: _input(port, X[names[port.column]], missing, note) for port in ports}
    sizes = {len(values) for values in found.values()}
    if len(sizes) > 1:
        raise DataError(f"the columns of the table have different lengths: {', '.join(map(str, sorted(sizes)))}")
    if sizes == {0}:
        raise DataError("the table has no rows: pass at least one")
    return found


def column_names(X: Any) -> dict[str, Any] | None:
    """The names of the columns of a table: each as text and as the table has it. None for other data."""
    names = (
        X.column_names if hasattr(X, "column_names") else X if isinstance(X, Mapping) else getattr(X, "columns", None)
    )
    return None if names is None else {str(name): name for name in names}


def feature_array(X: Any, features: Sequence[str], missing: bool) -> Array:
    """The columns of a table of numbers, found by name, as an array (n, d), float64.

    Args:
        X: the table.
        features: the names of its columns, in the order of the training data.
        missing: whether values may be missing.

    Raises:
        DataError: a column is not there, or was not in the training data, has another length, or holds values that are no numbers.
    """
    others = [name for name in column_names(X) or () if name not in set(features)]
    ports = [Port(name, "float64", (), name, "number") for name in features]
    columns = column_inputs(X, ports, missing, lambda _: None)
    if others:
        raise DataError(
            f"the table has the column {_listed(others)}, which the training data did not have: leave it out"
        )
    return np.stack([columns[name] for name in features], axis=1)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names[:_LISTED])) + (", ..." if len(names) > _LISTED else "")


def as_table(X: Any, ports: Sequence[Port], values: Sequence[Array]) -> Any:
    """Output columns as a frame like X, or as a dictionary."""
    columns = {port.column: _output(port, each) for port, each in zip(ports, values, strict=True)}
    zones = {port.column: port.zone for port in ports if port.zone}
    names, library = column_names(X) or {}, type(X).__module__.partition(".")[0]
    if library == "pandas":
        frame = type(X)(columns, index=X.index)
        for name, zone in zones.items():
            frame[name] = frame[name].dt.tz_localize("UTC").dt.tz_convert(zone)
        return frame.rename(columns=names)
    if library == "polars":
        frame = type(X)(columns)
        moments = [frame[name].dt.replace_time_zone("UTC").dt.convert_time_zone(zone) for name, zone in zones.items()]
        return frame.with_columns(moments)
    return {names.get(name, name): each for name, each in columns.items()}


def plain_numbers(values: Array) -> Array:
    """An array of objects as float64 where all are numbers or missing, NaN for these; other arrays as they are.

    Hidden values of a masked array are missing.
    """
    if isinstance(values, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(values)
        return np.where(hidden, np.nan, values.data) if hidden.any() else np.asarray(values.data)
    if values.dtype != object or any(isinstance(value, str | bytes) for value in values.flat):
        return values
    plain = np.array([np.nan if _is_none(value) else value for value in values.flat], dtype=object)
    try:
        return plain.reshape(values.shape).astype(np.float64)
    except (TypeError, ValueError):
        return values


def _values(column: Any) -> Array:
    """A column as an array (n,)."""
    values = plain_numbers(column) if isinstance(column, np.ma.MaskedArray) else column
    values = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if values.ndim != 1:
        raise DataError(f"a column of the table has the shape {values.shape}: give one value for each row")
    return np.asarray(values)


def _input(port: Port, column: Any, missing: bool, note: Callable[[str], None]) -> Array:
    """A column in the dtype of its input."""
    values = _values(column)
    if port.dtype == "string":
        return _labels(port, values, missing, note)
    if port.kind == "date":
        return _moments(port, column, values, missing)
    if values.dtype.kind in "iu" and port.dtype == "int64" and (values <= np.iinfo(np.int64).max).all():
        return _categories(port, values.astype(np.int64), missing, note)  # float64 has not all numbers beyond 2^53
    if values.dtype.kind in "Mmc":
        raise DataError(f"column {printable(port.column)!r} is {values.dtype}, and the model takes numbers: convert it")
    try:
        numbers = (
            np.array([np.nan if _is_none(value) else value for value in values], dtype=np.float64)
            if values.dtype == object
            else values.astype(np.float64)
        )
    except (TypeError, ValueError):
        raise DataError(f"column {printable(port.column)!r} holds values that are no numbers: correct them") from None
    if not missing and np.isnan(numbers).any():
        raise DataError(
            f"column {printable(port.column)!r} has missing values, and the model allows none: fill them in"
        )
    if np.isinf(numbers).any():
        raise DataError(f"column {printable(port.column)!r} has an infinite value: correct it")
    if port.kind in {"integer", "boolean"} or port.dtype in {"int64", "bool"}:
        known = numbers[~np.isnan(numbers)]
        whole = (known == np.floor(known)).all() and (np.abs(known) < 2.0**63).all()
        if not whole or (port.kind == "boolean" and not np.isin(known, (0, 1)).all()):
            raise DataError(
                f"column {printable(port.column)!r} holds values that are no {port.kind} values: correct them"
            )
    return _categories(port, numbers, missing, note).astype(port.dtype)


def _categories(port: Port, values: Array, missing: bool, note: Callable[[str], None]) -> Array:
    """Numbers, of which those that are no category are missing."""
    if not port.labels:
        return values
    unknown = ~np.isin(values, np.array(port.labels).astype(values.dtype))
    unknown &= ~np.isnan(values) if values.dtype.kind == "f" else True
    if unknown.any():
        _unknown_categories(port, list(map(repr, np.unique(values[unknown]).tolist())), missing, note)
        values = np.where(unknown, np.nan, values)
    return values


def _unknown_categories(port: Port, unknown: Sequence[str], missing: bool, note: Callable[[str], None]) -> None:
    """Tells that categories are taken as missing, or that none may be."""
    if not missing:
        raise DataError(
            f"column {printable(port.column)!r} has the category {printable(unknown[0], 60)}, which training did not have, and the model "
            "allows no missing values: correct them"
        )
    listed = ", ".join(printable(text, 60) for text in unknown[:_LISTED]) + (", ..." if len(unknown) > _LISTED else "")
    note(f"column {printable(port.column)!r} has categories that training did not have, taken as missing: {listed}")


def _labels(port: Port, values: Array, missing: bool, note: Callable[[str], None]) -> Array:
    """Text, "" where a value is missing."""
    known = set(port.labels)
    texts = [None if _is_none(value) else str(value) for value in values]
    texts = [None if text == "" and "" not in known else text for text in texts]
    unknown = [repr(text) for text in dict.fromkeys(texts) if text is not None and text not in known]
    if unknown:
        _unknown_categories(port, unknown, missing, note)
    if not missing and None in texts:
        raise DataError(
            f"column {printable(port.column)!r} has missing values, and the model allows none: fill them in"
        )
    return np.array([text if text in known else "" for text in texts], dtype=object)


def _moments(port: Port, column: Any, values: Array, missing: bool) -> Array:
    """Dates as microseconds since 1970, of UTC if they have a zone."""
    values = values.astype(object) if values.dtype.kind in "US" else values
    try:
        if values.dtype == object:
            plain = [None if _is_none(value) or value == "" else value for value in values.tolist()]
            if any(
                isinstance(value, int | float | np.number | np.bool_) for value in plain
            ):  # NumPy takes truths as dates
                raise TypeError
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # NumPy's, for each zone that it converts
                values = np.array([_without_z(value) for value in plain], dtype="datetime64[us]")
            zones = [_has_zone(value) for value in plain if value is not None]
        else:
            zones = [_zone(column) is not None] if _zone(column) is not None or hasattr(column, "to_numpy") else []
        if values.dtype.kind != "M":
            raise TypeError
        moments: Array = values.astype("datetime64[us]").astype(np.int64)
    except (TypeError, ValueError):
        raise DataError(f"column {printable(port.column)!r} holds values that are no dates: correct them") from None
    if zones and not all(zone == bool(port.zone) for zone in zones):
        which = "no" if port.zone else "a"
        raise DataError(
            f"column {printable(port.column)!r} has {which} time zone, unlike in the training data: convert it"
        )
    if not missing and (moments == np.iinfo(np.int64).min).any():
        raise DataError(
            f"column {printable(port.column)!r} has missing values, and the model allows none: fill them in"
        )
    return moments


def _without_z(value: Any) -> Any:
    return value.removesuffix("Z") if isinstance(value, str) else value


def _has_zone(value: Any) -> bool:
    """Whether a moment, or its text, states its zone."""
    if isinstance(value, str):
        return re.search(r"\d(Z|[+-]\d\d:?\d\d)$", value) is not None and ":" in value
    return getattr(value, "tzinfo", None) is not None


def _zone(column: Any) -> Any:
    """The time zone of a column of pandas, polars or pyarrow."""
    types = [getattr(column, name, None) for name in ("dtype", "type")]
    return next(
        (zone for each in types for name in ("tz", "time_zone") if (zone := getattr(each, name, None)) is not None),
        None,
    )


def _output(port: Port, values: Array) -> Array:
    """An output column with the type of its kind."""
    if port.kind == "date":
        return values.astype("datetime64[us]")
    if port.kind in {"integer", "boolean"} and values.dtype.kind == "f" and not np.isnan(values).any():
        return values.astype(np.int64 if port.kind == "integer" else np.bool_)
    return values


def _is_none(value: Any) -> bool:
    """Whether a value is missing: None, NaN, NaT or pandas' NA."""
    return (
        value is None
        or type(value).__name__ in {"NAType", "NaTType"}
        or bool(isinstance(value, float) and value != value)
    )
