"""The classes of labels as lines of text and back, each in its type: what a model file keeps of them."""

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

__all__ = ["from_lines", "spelled_alike", "to_lines"]

# of Python, and what makes one of text
_WRITTEN: dict[str, Callable[[str], Any]] = {
    "bytes": lambda text: text.encode("latin-1"),
    "Decimal": Decimal,
    "date": datetime.date.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
}
_PYTHON = (bytes, Decimal, datetime.date, datetime.datetime)
_NAMED = 5  # groups of classes in a sentence

Array = npt.NDArray[Any]
# in JSON, by the kind in NumPy
_TYPES = {"b": bool, "i": int, "u": int, "f": float, "U": str, "S": str, "M": int, "m": int}
_NAMES = re.compile(
    r"bool|u?int(8|16|32|64)|float(16|32|64)|str|bytes|(datetime|timedelta)64\[[0-9]{0,4}(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\]"
)


def to_lines(classes: Array) -> str:
    """A line for the type of an array, and a line of JSON for each of its labels.

    Raises:
        NotPossibleError: a label is neither number, text, truth value nor date.
    """
    if classes.dtype != object:
        kind, held = _name(classes.dtype), [_bare(value) for value in classes]
    else:
        kind, held = "object", [_of_object(value) for value in classes]
    return "\n".join(json.dumps(each) for each in (kind, *held))


def spelled_alike(labels: Array | None) -> str:
    """A sentence on classes whose names differ by blanks, or by capital and small letters, alone; "" where there are none."""
    kinds = Counter(label for label in labels.tolist() if isinstance(label, str)) if labels is not None else {}
    groups: dict[str, list[str]] = {}
    for name in kinds:
        groups.setdefault(" ".join(name.split()).casefold(), []).append(name)
    alike = [group for group in groups.values() if len(group) > 1]
    if not alike:
        return ""
    shown = [" and ".join(f"{printable(name, 40)!r} ({kinds[name]:,})" for name in group) for group in alike[:_NAMED]]
    more = f", and {len(alike) - _NAMED:,} more" if len(alike) > _NAMED else ""
    return f"classes of labels that differ by blanks or capital letters alone are classes of their own: {'; '.join(shown)}{more}"


def from_lines(text: str) -> Array:
    """The array again; ValueError or the like where the text says none."""
    first, *lines = text.split("\n")
    name, values = json.loads(first), [json.loads(line) for line in lines]
    if name != "object":
        return _typed(name, values)
    classes = np.empty(len(values), object)
    for place, (kind, value) in enumerate(values):
        if kind in _WRITTEN:
            classes[place] = _read(kind, value)
            continue
        found = _typed({"str_": "str", "bool_": "bool", "bytes_": "bytes"}.get(kind, kind), [value])
        classes[place] = value if kind in {"str", "bool", "int", "float"} else found.dtype.type(found[0])
    return classes


def _of_object(value: Any) -> list[Any]:
    """A label among those of several kinds: the name of its type, and what it is."""
    if type(value) in {str, bool, int} or (type(value) is float and math.isfinite(value)):  # whole numbers of any size
        return [type(value).__name__, value]
    kind = type(value).__name__
    if type(value) in _PYTHON and getattr(value, "tzinfo", None) is None and value == value:
        return [kind, _text(value)]
    if isinstance(value, np.generic) and (value.dtype.kind != "f" or np.isfinite(value)):
        name = _name(value.dtype)
        return [f"{name}_" if name in {"bool", "str", "bytes"} else name, _bare(value)]  # without it they are Python's
    raise _refused(type(value).__name__)


def _text(value: Any) -> str:
    """A label of Python's that is written as text."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value) if isinstance(value, Decimal) else str(value.isoformat())


def _read(kind: str, text: Any) -> Any:
    """The label again; ValueError where the text is of none, or of one that is written in another way."""
    try:
        value = _WRITTEN[kind](text)
    except InvalidOperation as error:
        raise ValueError(f"its classes hold {text[:60]!r}, which is no {kind}") from error
    if _text(value) != text:
        raise ValueError(f"its classes hold {text[:60]!r}, which is no {kind}")
    return value


def _bare(value: Any) -> Any:
    """A label of NumPy as JSON has it."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return int(value.view(np.int64)) if value.dtype.kind in "mM" else value.item()


def _name(dtype: np.dtype[Any]) -> str:
    name = {"U": "str", "S": "bytes"}.get(dtype.kind, dtype.name)
    if not _NAMES.fullmatch(name):
        raise _refused(dtype.name)
    return name


def _refused(name: str) -> NotPossibleError:
    return NotPossibleError(
        f"labels of the type {printable(name)} cannot be written into a model file: learn numbers, text, truth values or dates, "
        "these without a time zone"
    )


def _typed(name: Any, values: list[Any]) -> Array:
    """Values of JSON in a type, each of which has to be one of it."""
    if name in {"int", "float"}:  # Python's
        wanted, dtype = {"int": int, "float": float}[name], np.dtype(object)
    elif isinstance(name, str) and _NAMES.fullmatch(name):
        dtype = np.dtype(name)
        wanted = _TYPES[dtype.kind]
    else:
        raise ValueError("its classes are of an unknown type")
    wrong = next((v for v in values if type(v) is not wanted or (type(v) is float and not math.isfinite(v))), None)
    if wrong is not None:
        raise ValueError(f"its classes hold {str(wrong)[:60]!r}, which is no {name}")
    if dtype.kind == "S":
        return np.array([value.encode("latin-1") for value in values])
    return np.array(values, np.int64).view(dtype) if dtype.kind in "mM" else np.array(values, dtype)
