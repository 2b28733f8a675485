"""Estimators with parameters set by ``field=value``, also by fields of nested records: ``optimizer.lr=0.01``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from sklearn.base import BaseEstimator

from isthmus.assignments import parse, split_assignments
from isthmus.bottlenecks import Identity
from isthmus.errors import RecordError
from isthmus.estimators.defaults import COMPONENTS, DEFAULTS, component
from isthmus.estimators.named_records import record_types
from isthmus.record_overrides import override, switch
from isthmus.records import Record, field_names, nearest
from isthmus.text import printable, quoted

__all__ = ["changed", "overridden", "parse_values"]


E = TypeVar("E", bound=BaseEstimator)
_EXAMPLE = "epochs=5 or bottleneck.size=16"
_MAX_RANGE = 10_000  # values
_MAX_DIGITS = 10  # of a size; Python converts at most 4,300 digits


def overridden(estimator: E, assignments: Iterable[str], example: str = _EXAMPLE) -> E:
    """A new unfitted estimator with fields set as ``epochs=5``, ``bottleneck.beta=4`` or ``architecture=Conv``.

    Args:
        estimator: an `Autoencoder`, `OutlierDetector` or `AutoencoderClassifier`; it is not changed.
        assignments: the words as typed.
        example: valid words, for error messages.

    Raises:
        RecordError: a field does not exist (the message lists the fields and the nearest), or a value is invalid.
    """
    return changed(estimator, {path: parse(text) for path, text in split_assignments(assignments, example).items()})


def changed(estimator: E, values: Mapping[str, Any]) -> E:
    """A new unfitted estimator with other values: ``{"epochs": 5, "bottleneck.beta": 4, "architecture": "Conv"}``.

    Args:
        estimator: an `Autoencoder`, `OutlierDetector` or `AutoencoderClassifier`; it is not changed. The autoencoder of a detector
            or classifier stays the same.
        values: new values by path. A component is a record or its name; it is set before its fields.

    Raises:
        RecordError: a field does not exist, or a value is invalid.
    """
    parameters: dict[str, Any] = dict(estimator.get_params(deep=False))
    inner_estimator = {name: parameters.pop(name) for name in ("autoencoder",) if name in parameters}
    defaults = {name: DEFAULTS[name] for name in parameters if name in DEFAULTS} | estimator._auto
    whole: dict[str, Any] = {}
    fields: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        name, dot, rest = path.partition(".")
        if name not in parameters:
            nested = [f"{slot}.{name}" for slot, old in (parameters | defaults).items() if _has_field(old, name)]
            hint = f"; did you mean {' or '.join(nested)}?" if nested else nearest(name, parameters)
            raise RecordError(f"no field '{name}'{hint}")
        if dot:
            fields.setdefault(name, {})[rest] = value
        else:
            whole[name] = value
    for name, value in whole.items():
        by_name = name in COMPONENTS and not isinstance(value, Record)
        parameters[name] = _component_by_name(name, parameters[name], value, fields.get(name, {})) if by_name else value
    for name, inner_fields in fields.items():
        current = component(parameters[name])
        old = defaults.get(name, current) if isinstance(current, str) else current
        if not isinstance(old, Record):
            raise RecordError(
                f"{name}={old!r} has no field '{next(iter(inner_fields))}'; give a record first: {name}=..."
            )
        parameters[name] = override(old, inner_fields, record_types(), ".")
    result: E = type(estimator)(**inner_estimator, **parameters)
    result._validate_params()
    return result


def parse_values(path: str, text: str) -> list[Any]:
    """Several values of a field from text: ``2,4,8`` for a field of one value, ``256,64|128,32`` for any field, ``0..9`` for whole numbers.

    If the value of a field is a tuple, as of architecture.hidden, a comma is part of the value. Then ``|`` separates the values, or
    each value has brackets: ``[256,64],[128]``.

    Args:
        path: the path of the field.
        text: the values as typed.

    Raises:
        RecordError: one of the values is empty, or a range has no values or too many.
    """
    parts = _split(text, "|")
    if len(parts) == 1:
        by_comma = _split(text, ",")
        if all(part[:1] in {"[", "("} for part in by_comma) or not _can_be_tuple(path.rpartition(".")[2]):
            parts = by_comma
    if "" in parts:
        raise RecordError(f"{path}={text}: a value is missing next to a comma or |: expected for example {path}=1,2")
    values = [value for part in parts for value in _range(path, part) or [parse(part)]]
    return [tuple(value) if isinstance(value, list) else value for value in values]


def _range(path: str, text: str) -> list[int]:
    """The whole numbers of a range such as ``0..9``, both ends included; none where the text is no range."""
    ends = re.fullmatch(r"(-?\d{1,10})\.\.(-?\d{1,10})", text)
    if ends is None:
        return []
    first, last = map(int, ends.groups())
    if not 0 <= last - first < _MAX_RANGE:
        raise RecordError(
            f"invalid range {path}={text}: expected at most {_MAX_RANGE:,} whole numbers in rising order, such as 0..9"
        )
    return list(range(first, last + 1))


def _split(text: str, separator: str) -> list[str]:
    """Splits text at separators outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if letter == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _can_be_tuple(field: str) -> bool:
    """Whether a field of this name can be a tuple, in any type of record."""
    return any(
        _includes_tuple(get_type_hints(kind)[field]) for kind in record_types().values() if field in field_names(kind)
    )


def _includes_tuple(hint: Any) -> bool:
    return get_origin(hint) is tuple or any(_includes_tuple(part) for part in get_args(hint))


def _component_by_name(slot: str, old: Any, value: Any, fields: Mapping[str, Any]) -> Any:
    """A component by the name of its type, or `Identity` by its size. Fields without a default get their value from `fields`."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        value = int(value)  # the repr of NumPy's contains the type
    text = value if isinstance(value, str) else quoted(value)
    names = {name: kind for name, kind in record_types().items() if issubclass(kind, COMPONENTS[slot])}
    if slot == "bottleneck" and text.isdecimal() and (digits := text.lstrip("0")):
        if len(digits) > _MAX_DIGITS:
            raise RecordError(f"invalid bottleneck={printable(text, 40)}: expected a size below 2,147,483,648")
        return Identity(int(digits))
    if text not in {*names, "auto"}:
        raise RecordError(f"no {slot} '{printable(text)}'{nearest(text, ['auto', *names])}")
    return "auto" if text == "auto" else switch(old, text, names, fields, f"{slot}.")


def _has_field(old: Any, field: str) -> bool:
    return isinstance(old, Record) and field in field_names(old)
