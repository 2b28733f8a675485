"""The columns of a table as inputs of a model, and back, with NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.runtime.manifest import Port
from isthmus.text import printable

__all__ = ["as_table", "column_inputs"]

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
        DataError: a column is not there, has another length, or holds values that are not of its kind.
    """
    names = list(getattr(X, "columns", X) if not hasattr(X, "column_names") else X.column_names)
    lacking = [port.column for port in ports if port.column not in names]
    if lacking:
        more = ", ..." if len(lacking) > _LISTED else ""
        raise DataError(
            f"the table has no column {', '.join(printable(name) for name in lacking[:_LISTED])}{more}, which the training data had: add it"
        )
    found = {port.name: _input(port, _values(X[port.column]), missing, note) for port in ports}
    sizes = {len(values) for values in found.values()}
    if len(sizes) > 1:
        raise DataError(f"the columns of the table have different lengths: {', '.join(map(str, sorted(sizes)))}")
    return found


def as_table(X: Any, ports: Sequence[Port], values: Sequence[Array]) -> Any:
    """Output columns as a frame like X, or as a dictionary."""
    columns = {port.column: _output(port, each) for port, each in zip(ports, values, strict=True)}
    library = type(X).__module__.partition(".")[0]
    if library == "pandas":
        return type(X)(columns, index=X.index)
    if library == "polars":
        return type(X)(columns)
    return columns


def _values(column: Any) -> Array:
    """A column as an array (n,)."""
    values = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
    if values.ndim != 1:
        raise DataError(f"a column of the table has the shape {values.shape}: give one value for each row")
    return np.asarray(values)


def _input(port: Port, values: Array, missing: bool, note: Callable[[str], None]) -> Array:
    """A column in the dtype of its input."""
    if port.dtype == "string":
        return _labels(port, values, missing, note)
    if port.kind == "date":
        return _moments(port, values, missing)
    if values.dtype == object:
        values = np.array([np.nan if _is_none(value) else value for value in values], dtype=object)
    try:
        numbers = values.astype(np.float64)
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
        if (known != np.floor(known)).any() or (port.kind == "boolean" and not np.isin(known, (0, 1)).all()):
            raise DataError(
                f"column {printable(port.column)!r} holds values that are no {port.kind} values: correct them"
            )
    return numbers.astype(port.dtype)


def _labels(port: Port, values: Array, missing: bool, note: Callable[[str], None]) -> Array:
    """Text, "" where a value is missing."""
    texts = np.array(
        ["" if _is_none(value) else value if isinstance(value, str) else str(value) for value in values], dtype=object
    )
    known = set(port.labels)
    others = [str(text) for text in dict.fromkeys(texts.tolist()) if text not in known]
    if not others:
        return texts
    unknown = [text for text in others if text]
    if not missing:
        what = (
            f"the category {printable(repr(unknown[0]), 60)}, which training did not have"
            if unknown
            else "missing values"
        )
        raise DataError(
            f"column {printable(port.column)!r} has {what}, and the model allows no missing values: correct them"
        )
    if unknown:
        listed = ", ".join(printable(repr(text), 60) for text in unknown[:_LISTED]) + (
            ", ..." if len(unknown) > _LISTED else ""
        )
        note(f"column {printable(port.column)!r} has categories that training did not have, taken as missing: {listed}")
    texts[np.array([text not in known for text in texts.tolist()], bool)] = ""
    return texts


def _moments(port: Port, values: Array, missing: bool) -> Array:
    """Dates as microseconds since 1970."""
    try:
        if values.dtype == object:
            plain = [
                None if _is_none(value) else value.rstrip("Z") if isinstance(value, str) else value for value in values
            ]
            values = np.array(plain, dtype="datetime64[us]")
        elif values.dtype.kind in "US":
            values = np.char.rstrip(values.astype(str), "Z").astype("datetime64[us]")
        if values.dtype.kind != "M":
            raise TypeError
        moments: Array = values.astype("datetime64[us]").astype(np.int64)
    except (TypeError, ValueError):
        raise DataError(f"column {printable(port.column)!r} holds values that are no dates: correct them") from None
    if not missing and (moments == np.iinfo(np.int64).min).any():
        raise DataError(
            f"column {printable(port.column)!r} has missing values, and the model allows none: fill them in"
        )
    return moments


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
