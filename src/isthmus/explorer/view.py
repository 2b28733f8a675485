"""How examples are drawn, and examples as JSON: base64 of arrays, a list of values of rows."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.runtime.manifest import Port
from isthmus.serving import ServedModel
from isthmus.text import printable

__all__ = ["Column", "View", "decoded_array", "encoded_array"]

Array = NDArray[Any]
_NOT_A_TIME = np.iinfo(np.int64).min
_IMAGE_CHANNELS = (1, 3, 4)
_DATE = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?)?)?")


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: of the column.
        kind: number, integer, boolean, category, ordered or date.
        labels: the categories.
    """

    name: str
    kind: str
    labels: tuple[str, ...]


class View:
    """How the examples of a model are drawn and written as JSON.

    Attributes:
        drawn: "image", "volume", "lines" or "table".
        columns: of a table; else ().
        ports: the inputs that are examples.
        y: the input of labels or covariates of a conditional model, or None.
    """

    def __init__(self, model: ServedModel) -> None:
        inputs = model.entries["reconstruct"].inputs
        self.y: Port | None = next((port for port in inputs if port.name == "y" and not port.column), None)
        self.ports: tuple[Port, ...] = tuple(port for port in inputs if port is not self.y)
        self.shape = tuple(map(int, model.described["shape"]))
        self.kind = str(model.described["kind"])
        self.by_column = bool(self.ports[0].column)
        self.drawn = "table" if self.by_column else _drawn(self.kind, self.shape)
        self.columns: tuple[Column, ...] = ()
        if self.by_column:
            self.columns = tuple(Column(port.column, port.kind or "number", port.labels) for port in self.ports)
        elif self.drawn == "table":
            names = model.described.get("features") or [f"feature {i}" for i in range(math.prod(self.shape))]
            self.columns = tuple(Column(str(name), "number", ()) for name in names)

    def contents(self, values: Sequence[Array]) -> list[Any]:
        """Examples or reconstructions as JSON.

        Args:
            values: an array (n, *shape) for each port.

        Returns:
            For each example a string of base64, or of a table a list with a value for each column, None where it is missing.
        """
        if not self.by_column:
            rows = np.asarray(values[0]).reshape(len(values[0]), -1)
            return [_plain(row) for row in rows] if self.drawn == "table" else [encoded_array(row) for row in rows]
        columns = [_column_json(port, each) for port, each in zip(self.ports, values, strict=True)]
        return [list(row) for row in zip(*columns, strict=True)]

    def inputs(self, content: Any) -> dict[str, Array]:
        """One example from JSON, as the model's inputs (1, *shape) without y; the model checks the values.

        Args:
            content: base64 of float64, or of a table a list with a value for each column.

        Raises:
            DataError: it has another form.
        """
        if self.drawn == "table":
            if not isinstance(content, list) or len(content) != len(self.columns):
                raise DataError(f"a row has {len(self.columns)} values, one for each column: send a list of as many")
            values = [_given_value(column, value) for column, value in zip(self.columns, content, strict=True)]
            if self.by_column:
                return {port.name: _one(port, value) for port, value in zip(self.ports, values, strict=True)}
            numbers = np.array([np.nan if value is None else value for value in values], np.float64)
            return {self.ports[0].name: numbers.reshape(1, *self.shape)}
        numbers = decoded_array(content)
        if numbers.size != math.prod(self.shape):
            raise DataError(f"the example has {numbers.size} values, and the model takes {self.shape}: send as many")
        return {self.ports[0].name: numbers.reshape(1, *self.shape)}

    def y_input(self, y: Any) -> dict[str, Array]:
        """A label or covariates from JSON as the input y (1, ...); empty for a model that takes none.

        Raises:
            DataError: there is none, or it is of another type.
        """
        if self.y is None:
            return {}
        if y is None:
            raise DataError("this model is conditional: choose y, the label or the covariates of the example")
        try:
            if self.y.dtype == "string":
                return {"y": np.array([str(y)], dtype=object)}
            numbers = np.asarray(y, np.float64).reshape(1, *self.y.shape)
            if np.dtype(self.y.dtype).kind in "iu" and (numbers != np.rint(numbers)).any():
                raise ValueError
            return {"y": numbers.astype(self.y.dtype)}
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"y is {printable(repr(y), 60)}, and the model takes {self.y.dtype}: correct it") from None


def encoded_array(values: Array) -> str:
    """The values as float32, little-endian, in base64."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")


def decoded_array(text: Any) -> Array:
    """float64 values, little-endian, from base64.

    Raises:
        DataError: it is no such text.
    """
    try:
        content = base64.b64decode(text, validate=True)
        return np.frombuffer(content, "<f8")
    except (TypeError, ValueError, binascii.Error):
        raise DataError("the example is no base64 of float64 values: send such text") from None


def _drawn(kind: str, shape: tuple[int, ...]) -> str:
    """How examples other than rows with columns of several types are drawn."""
    if kind == "table" or not shape:
        return "table"
    if kind == "series" or len(shape) == 1 or (kind == "windows" and len(shape) == 2):
        return "lines"
    return "image" if len(shape) == 2 or (len(shape) == 3 and shape[-1] in _IMAGE_CHANNELS) else "volume"


def _plain(values: Array) -> list[float | None]:
    """Numbers as JSON, in as few digits as their type has."""
    numbers = values if values.dtype.kind == "f" else values.astype(np.float64)
    return [float(str(value)) if np.isfinite(value) else None for value in numbers]


def _column_json(port: Port, values: Array) -> list[Any]:
    """A column as JSON values."""
    if port.dtype == "string":
        return [None if value in ("", None) else str(value) for value in values.tolist()]
    if port.kind == "date":
        known = np.asarray(values).astype(np.int64)
        texts = np.datetime_as_string(known.astype("datetime64[us]"), unit="s").tolist()
        days = [text.removesuffix("T00:00:00") for text in texts]
        return [None if moment == _NOT_A_TIME else text for moment, text in zip(known.tolist(), days, strict=True)]
    numbers = np.asarray(values, np.float64)
    return [None if math.isnan(value) else (value if math.isfinite(value) else None) for value in numbers.tolist()]


def _given_value(column: Column, value: Any) -> Any:
    """A value of a column as the model takes it, None where it is missing."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    where = f"column {printable(repr(column.name), 60)} has the value {printable(repr(value), 60)}"
    if column.kind in {"category", "ordered"}:
        return str(value)
    if column.kind == "date":
        text = str(value).strip().removesuffix("Z")
        try:
            if _DATE.fullmatch(text) is None:  # NumPy takes now, and 20260131 as a year
                raise ValueError
            return np.datetime64(text, "us")
        except ValueError:
            raise DataError(f"{where}, which is no date: write it as 2026-01-31") from None
    if isinstance(value, str) and value.strip().lower() in {"true", "yes", "false", "no"} and column.kind == "boolean":
        return float(value.strip().lower() in {"true", "yes"})
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where}, which is no number: correct it") from None
    if not math.isfinite(number):
        raise DataError(f"{where}, which is no finite number: correct it")
    return number


def _one(port: Port, value: Any) -> Array:
    """One value as the column of an input."""
    if port.dtype == "string":
        return np.array([value], dtype=object)
    if port.kind == "date":
        return np.array(["NaT" if value is None else value], "datetime64[us]")
    return np.array([np.nan if value is None else value], np.float64)
