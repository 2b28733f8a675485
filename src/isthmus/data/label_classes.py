"""Conversion of classes to lines of text and back, which keeps their types. Model files store these lines."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import NotPossibleError
from isthmus.text import printable

__all__ = ["from_lines", "similar_names_note", "to_lines"]

# the types of Python that are written as text, and their parsers
_PARSERS: dict[str, Callable[[str], Any]] = {
    "bytes": lambda text: text.encode("latin-1"),
    "Decimal": Decimal,
    "date": datetime.date.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
}
_PYTHON = (bytes, Decimal, datetime.date, datetime.datetime)
_LISTED = 5  # groups of classes in a note

Array = npt.NDArray[Any]
# the type of the JSON value for each kind of NumPy dtype
_TYPES = {"b": bool, "i": int, "u": int, "f": float, "U": str, "S": str, "M": int, "m": int}
_NAMES = re.compile(
    r"bool|u?int(8|16|32|64)|float(16|32|64)|str|bytes|(datetime|timedelta)64\[[0-9]{0,4}(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\]"
)


def to_lines(classes: Array) -> str:
    """The dtype of an array, and each of its labels, as a line of JSON.

    Raises:
        NotPossibleError: a label is not a number, text, boolean or date.
    """
    if classes.dtype != object:
        kind, values = _name(classes.dtype), [_json_value(value) for value in classes]
    else:
        kind, values = "object", [_json_object(value) for value in classes]
    return "\n".join(json.dumps(each) for each in (kind, *values))


def similar_names_note(labels: Array | None) -> str:
    """A note on classes whose names differ only by blanks or case; "" if there are none."""
    kinds = Counter(label for label in labels.tolist() if isinstance(label, str)) if labels is not None else {}
    groups: dict[str, list[str]] = {}
    for name in kinds:
        groups.setdefault(" ".join(name.split()).casefold(), []).append(name)
    similar = [group for group in groups.values() if len(group) > 1]
    if not similar:
        return ""
    listed = [
        " and ".join(f"{printable(name, 40)!r} ({kinds[name]:,})" for name in group) for group in similar[:_LISTED]
    ]
    more = f", and {len(similar) - _LISTED:,} more" if len(similar) > _LISTED else ""
    return f"labels that differ only by blanks or capital letters are different classes: {'; '.join(listed)}{more}"


def from_lines(text: str) -> Array:
    """The array of classes from `to_lines`. Invalid text raises ValueError, TypeError or another error of the parser."""
    first, *lines = text.split("\n")
    name, values = json.loads(first), [json.loads(line) for line in lines]
    if name != "object":
        return _typed(name, values)
    classes = np.empty(len(values), object)
    for index, (kind, value) in enumerate(values):
        if kind in _PARSERS:
            classes[index] = _parsed(kind, value)
            continue
        typed = _typed({"str_": "str", "bool_": "bool", "bytes_": "bytes"}.get(kind, kind), [value])
        classes[index] = value if kind in {"str", "bool", "int", "float"} else typed.dtype.type(typed[0])
    return classes


def _json_object(value: Any) -> list[Any]:
    """The name of the type and the JSON value of a label in an array of objects."""
    if type(value) in {str, bool, int} or (type(value) is float and math.isfinite(value)):  # integers of any size
        return [type(value).__name__, value]
    kind = type(value).__name__
    if type(value) in _PYTHON and getattr(value, "tzinfo", None) is None and value == value:
        return [kind, _text(value)]
    if isinstance(value, np.generic) and (value.dtype.kind != "f" or np.isfinite(value)):
        name = _name(value.dtype)
        return [
            f"{name}_" if name in {"bool", "str", "bytes"} else name,
            _json_value(value),
        ]  # without "_": Python's type
    raise _unsupported(type(value).__name__)


def _text(value: Any) -> str:
    """The text of a label with a type of `_PARSERS`."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value) if isinstance(value, Decimal) else str(value.isoformat())


def _parsed(kind: str, text: Any) -> Any:
    """The label of a text; ValueError if the text is not the one that `_text` writes."""
    try:
        value = _PARSERS[kind](text)
    except InvalidOperation as error:
        raise ValueError(f"its classes hold {text[:60]!r}, which is not of type {kind}") from error
    if _text(value) != text:
        raise ValueError(f"its classes hold {text[:60]!r}, which is not of type {kind}")
    return value


def _json_value(value: Any) -> Any:
    """The JSON value of a NumPy label."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return int(value.view(np.int64)) if value.dtype.kind in "mM" else value.item()


def _name(dtype: np.dtype[Any]) -> str:
    """The name of a dtype in a file; it does not depend on the length of text."""
    name = {"U": "str", "S": "bytes"}.get(dtype.kind, dtype.name)
    if not _NAMES.fullmatch(name):
        raise _unsupported(dtype.name)
    return name


def _unsupported(name: str) -> NotPossibleError:
    return NotPossibleError(
        f"labels of type {printable(name)} cannot be written to a model file: use numbers, text, booleans, or dates without a time zone"
    )


def _typed(name: Any, values: list[Any]) -> Array:
    """JSON values as an array of a dtype; ValueError if a value has another type."""
    if name in {"int", "float"}:  # types of Python
        wanted, dtype = {"int": int, "float": float}[name], np.dtype(object)
    elif isinstance(name, str) and _NAMES.fullmatch(name):
        dtype = np.dtype(name)
        wanted = _TYPES[dtype.kind]
    else:
        raise ValueError("its classes are of an unknown type")
    wrong = next((v for v in values if type(v) is not wanted or (type(v) is float and not math.isfinite(v))), None)
    if wrong is not None:
        raise ValueError(f"its classes hold {str(wrong)[:60]!r}, which is not of type {name}")
    if dtype.kind == "S":
        return np.array([value.encode("latin-1") for value in values])
    return np.array(values, np.int64).view(dtype) if dtype.kind in "mM" else np.array(values, dtype)
