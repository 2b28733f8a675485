"""The inputs of a part, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.runtime.columns import column_inputs
from isthmus.runtime.manifest import Port
from isthmus.text import printable

__all__ = ["checked_inputs"]

Array = NDArray[Any]


def checked_inputs(
    ports: Sequence[Port], X: Any, y: Any, *, missing: bool, what: str = "examples", note: Callable[[str], None]
) -> dict[str, Array]:
    """An array for each input, of its dtype.

    Args:
        ports: the inputs.
        X: examples or codes (n, *shape), or a table.
        y: labels (n,) or covariates of a conditional autoencoder.
        missing: whether values may be missing.
        what: what X are, for messages.
        note: is told, in one sentence, what is taken as missing.

    Raises:
        DataError: they are not like the training data.
    """
    columns = [port for port in ports if port.column]
    given = column_inputs(X, columns, missing, note) if columns else {}
    for port in ports[len(columns) :]:
        if port.name == "y":
            given["y"] = _conditions(port, y, len(next(iter(given.values()))))
        else:
            given[port.name] = _numbers(port, X, what, missing)
    return given


def _numbers(port: Port, X: Any, what: str, missing: bool) -> Array:
    """Examples or codes as the input takes them."""
    values = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
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


def _conditions(port: Port, y: Any, count: int) -> Array:
    """Labels or covariates as the input takes them."""
    if y is None:
        raise DataError("this autoencoder is conditional: pass y, the label or the covariates of each example")
    values = np.asarray(y)
    values = np.broadcast_to(values, (count, *values.shape)) if values.ndim == 0 else values
    if port.dtype == "string":
        texts = np.array([str(value) for value in values.tolist()], dtype=object)
        unknown = next((text for text in texts if text not in port.labels), None)
        if unknown is not None:
            raise DataError(
                f"y has the label {printable(repr(unknown), 60)}, which the training data did not have: correct it"
            )
        values = texts
    else:
        values = values.astype(port.dtype).reshape(len(values), *port.shape)
    if len(values) != count:
        raise DataError(f"y has {len(values)} entries for {count} examples: pass one for each")
    return values
