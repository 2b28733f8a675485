"""The inputs of a part, checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.runtime.columns import column_inputs, column_names, feature_array, plain_numbers
from isthmus.runtime.manifest import Port
from isthmus.text import printable

__all__ = ["checked_inputs"]

Array = NDArray[Any]


def checked_inputs(
    ports: Sequence[Port],
    X: Any,
    y: Any,
    *,
    missing: bool,
    what: str = "examples",
    note: Callable[[str], None],
    features: Sequence[str] = (),
) -> dict[str, Array]:
    """An array for each input, of its dtype.

    Args:
        ports: the inputs.
        X: examples or codes (n, *shape), or a table.
        y: labels (n,) or covariates of a conditional autoencoder.
        missing: whether values may be missing.
        what: what X are, for messages.
        note: is told, in one sentence, what is taken as missing.
        features: the names of the columns of a table of numbers, by which those of a frame are found.

    Raises:
        DataError: they are not like the training data.
    """
    columns = [port for port in ports if port.kind]
    given = column_inputs(X, columns, missing, note) if columns else {}
    if not columns and features and what == "examples" and column_names(X) is not None:
        X = feature_array(X, features, missing)
    for port in ports[len(columns) :]:
        if port.name == "y":
            given["y"] = _conditions(port, y, len(next(iter(given.values()))))
        else:
            given[port.name] = _numbers(port, X, what, missing)
    return given


def _numbers(port: Port, X: Any, what: str, missing: bool) -> Array:
    """Examples or codes as the input takes them."""
    values = _array(X, what)
    if values.shape[1:] != port.shape and values.ndim and values[:1].size == np.prod(port.shape) and what == "codes":
        values = values.reshape(-1, *port.shape)
    if values.ndim == 0 or values.shape[1:] != port.shape:
        raise DataError(
            f"the {what} have the shape {values.shape[1:]}, and those of the model have {port.shape}: pass such {what}"
        )
    if not len(values):
        raise DataError(f"there are no {what}: pass at least one")
    dtype = np.dtype(port.dtype)
    if values.dtype.kind not in "biuf":
        raise DataError(f"the {what} are {values.dtype}, and the model takes {dtype}: convert them to numbers")
    if values.dtype.kind == "f":
        unknown = ~np.isfinite(values) if not missing else np.isinf(values)
        if unknown.any():
            place = tuple(map(int, np.argwhere(unknown)[0]))
            raise DataError(f"the value at {place} is {values[place]}, which the model does not allow: correct it")
    if values.dtype == dtype:
        return np.ascontiguousarray(values)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = np.ascontiguousarray(values.astype(dtype))
        changed = (
            converted.astype(np.float64) != values.astype(np.float64) if dtype.kind != "f" else np.isinf(converted)
        )
    if changed.any():
        place = tuple(map(int, np.argwhere(changed)[0]))
        raise DataError(
            f"the value at {place} is {values[place]}, and the model takes {dtype}: pass values of this type"
        )
    return converted


def _array(X: Any, what: str) -> Array:
    """Examples or codes as an array."""
    try:
        dense = X.toarray() if hasattr(X, "toarray") else X  # a sparse matrix
        values = dense.to_numpy() if hasattr(dense, "to_numpy") else np.asanyarray(dense)
    except ValueError:
        raise DataError(f"the {what} have different lengths: pass an array") from None
    return plain_numbers(values)


def _conditions(port: Port, y: Any, count: int) -> Array:
    """Labels or covariates as the input takes them."""
    if y is None:
        raise DataError("this autoencoder is conditional: pass y, the label or the covariates of each example")
    values = _array(y, "values of y")
    values = np.broadcast_to(values, (count, *values.shape)) if values.ndim == 0 else values
    if len(values) != count:
        raise DataError(f"y has {len(values)} entries for {count} examples: pass one for each")
    if values[:1].size != math.prod(port.shape):
        raise DataError(
            f"y has the shape {values.shape[1:]} for each example, and the model takes {port.shape}: pass such values"
        )
    values = values.reshape(count, *port.shape)
    if port.dtype == "string":
        values = np.array([str(value) for value in values.tolist()], dtype=object)
    elif values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise DataError(
            "y has values that are missing, infinite or no numbers, and the model takes numbers: correct them"
        )
    known = set(port.labels)
    unknown = next((value for value in values.tolist() if _text(value) not in known), None) if known else None
    if unknown is not None:
        raise DataError(
            f"y has the label {printable(repr(unknown), 60)}, which the training data did not have: correct it"
        )
    if port.dtype == "int64" and (values != np.floor(values)).any():
        raise DataError("y has labels that are no whole numbers, and those of the training data are: correct them")
    return values if port.dtype == "string" else values.astype(port.dtype)


def _text(label: Any) -> str:
    """A label as the description has it."""
    return label if isinstance(label, str) else str(int(label)) if label == math.floor(label) else str(label)
