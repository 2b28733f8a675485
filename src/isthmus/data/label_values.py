"""Values of labels as arrays of one type: which are missing, which mean the same, and how messages show them."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from isthmus.io.delayed_imports import imported
from isthmus.io.tables import cell
from isthmus.text import printable

__all__ = ["as_objects", "label_text", "meaning", "missing_labels", "narrow", "shown_label"]

Array = npt.NDArray[Any]
_SECONDS = {"W": 604800, "D": 86400, "h": 3600, "m": 60} | {
    unit: Fraction(1, 1000**n) for n, unit in enumerate(("s", "ms", "us", "ns", "ps", "fs", "as"))
}
_MONTHS = {"Y": 12, "M": 1}


def meaning(label: Any) -> Any:
    """A value that is equal for labels that mean the same: dates of one instant do, whatever their unit; True and 1 do not."""
    if isinstance(label, bool | np.bool_):
        return "boolean", bool(label)
    label = _as_numpy(label)
    if isinstance(label, np.datetime64):
        return "date", cell(label)
    if isinstance(label, np.timedelta64):
        unit, step = np.datetime_data(label.dtype)
        count = int(label.view(np.int64)) * step
        return ("months", count * _MONTHS[unit]) if unit in _MONTHS else ("seconds", count * _SECONDS.get(unit, 1))
    return label


def label_text(label: Any) -> str:
    """A label as text, which is equal for dates of one instant: 2020-01-01, or 2020-01-01T12:30 if there is a time."""
    return cell(_as_numpy(label))


def shown_label(label: Any, length: int = 60) -> str:
    """A label as messages show it: dates and durations as text, others as Python writes them."""
    label = _as_numpy(label)
    if isinstance(label, np.datetime64 | np.timedelta64):
        return printable(cell(label) if isinstance(label, np.datetime64) else str(label), length)
    return printable(repr(label.item() if isinstance(label, np.generic) else label), length)


def _as_numpy(label: Any) -> Any:
    """Dates and durations of Python and pandas as those of NumPy; other labels unchanged."""
    if isinstance(label, datetime.timedelta):
        return np.timedelta64(label) if not hasattr(label, "to_timedelta64") else label.to_timedelta64()
    if isinstance(label, datetime.date) and getattr(label, "tzinfo", None) is None:
        return np.datetime64(label) if not hasattr(label, "to_datetime64") else label.to_datetime64()
    return label


def as_objects(cells: Sequence[Any]) -> Array:
    """The values (n,) as an array of objects, also if they are sequences."""
    values = np.empty(len(cells), object)
    values[:] = cells
    return values


def missing_labels(values: Array) -> NDArray[np.bool_]:
    """Which values are missing labels, in the shape of the values."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind in "US":
        return np.asarray(np.char.str_len(np.char.strip(values)) == 0)
    if values.dtype != object:
        return np.zeros(values.shape, bool)
    pandas = imported("pandas")
    markers = (None, np.ma.masked, getattr(pandas, "NA", None), getattr(pandas, "NaT", None))
    missing = [any(value is marker for marker in markers) or _is_missing(value) for value in values.reshape(-1)]
    return np.asarray(missing, bool).reshape(values.shape)


def _is_missing(value: Any) -> bool:
    """Whether a value is empty text, NaN or NaT."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, Real | np.floating) and bool(value != value)


def narrow(values: Array, missing: NDArray[np.bool_]) -> Array:
    """Objects of one type as an array of its dtype, if that changes no value. Missing labels get an arbitrary value."""
    known = values[~missing].tolist()
    kinds = {_kind(value) for value in known}
    if kinds == {"int", "float"} and all(
        (math.isfinite(v) and int(v) == v) or not isinstance(v, Integral) for v in known
    ):
        exact = all(not isinstance(v, Integral) or int(float(v)) == int(v) for v in known)
        kinds = {"float"} if exact else kinds
    if len(kinds) != 1:
        return values
    kind = kinds.pop()
    if kind == "text":
        return values.astype(str) if missing.any() else values
    if kind == "int":
        low, high = int(min(known)), int(max(known))
        fits = "int64" if low >= -(2**63) and high < 2**63 else "uint64" if low >= 0 and high < 2**64 else None
        return values if fits is None else _filled(known, missing, np.dtype(fits))
    if kind in {"bool", "float"}:
        return _filled(known, missing, np.dtype(kind))
    return _filled(known, missing, np.array(known).dtype) if kind == "date" else values


def _filled(known: list[Any], missing: NDArray[np.bool_], dtype: np.dtype[Any]) -> Array:
    values = np.zeros(missing.shape, dtype)
    values[~missing] = np.array(known, dtype)
    return values


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "bool"
    if isinstance(value, np.datetime64):
        return "date"
    return "int" if isinstance(value, Integral) else "float" if isinstance(value, float | np.floating) else "other"
