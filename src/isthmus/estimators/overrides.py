"""Sets parameters of an estimator from ``field=value``, also fields of nested records: ``optimizer.lr=0.01``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from sklearn.base import BaseEstimator

from isthmus.bottlenecks import Identity
from isthmus.errors import RecordError
from isthmus.estimators.defaults import COMPONENTS, DEFAULTS, component
from isthmus.estimators.named_records import record_types
from isthmus.records import Record, assigned, field_names, nearest, override, parse, switch

__all__ = ["alternatives", "changed", "overridden"]


E = TypeVar("E", bound=BaseEstimator)
_EXAMPLES = "epochs=5 or bottleneck.size=16"


def overridden(estimator: E, assignments: Iterable[str], such_as: str = _EXAMPLES) -> E:
    """A new unfitted estimator with fields set as ``epochs=5``, ``bottleneck.beta=4`` or ``architecture=Conv``.

    Args:
        estimator: an `Autoencoder`, `OutlierDetector` or `AutoencoderClassifier`; it is not changed.
        assignments: the words as typed.
        such_as: valid words for the error message.

    Raises:
        RecordError: a field does not exist (the message lists the fields and the nearest), or a value is invalid.
    """
    return changed(estimator, {path: parse(text) for path, text in assigned(assignments, such_as).items()})


def changed(estimator: E, values: Mapping[str, Any]) -> E:
    """A new unfitted estimator with other values: ``{"epochs": 5, "bottleneck.beta": 4, "architecture": "Conv"}``.

    A record is given itself or by its name, and is set before its fields. The autoencoder of a detector or a classifier is kept.
    Raises `RecordError` as `overridden` does.
    """
    parameters: dict[str, Any] = dict(estimator.get_params(deep=False))
    kept = {name: parameters.pop(name) for name in ("autoencoder",) if name in parameters}
    defaults = {name: DEFAULTS[name] for name in parameters if name in DEFAULTS} | estimator._auto
    whole: dict[str, Any] = {}
    fields: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        name, dot, rest = path.partition(".")
        if name not in parameters:
            inner = [f"{slot}.{name}" for slot, old in (parameters | defaults).items() if _has(old, name)]
            hint = f"; did you mean {' or '.join(inner)}?" if inner else nearest(name, parameters)
            raise RecordError(f"no field '{name}'{hint}")
        if dot:
            fields.setdefault(name, {})[rest] = value
        else:
            whole[name] = value
    for name, value in whole.items():
        choice = name in COMPONENTS and not isinstance(value, Record)
        parameters[name] = _chosen(name, parameters[name], str(value), fields.get(name, {})) if choice else value
    for name, inside in fields.items():
        held = component(parameters[name])
        old = defaults.get(name, held) if isinstance(held, str) else held
        if not isinstance(old, Record):
            raise RecordError(f"{name}={old!r} has no field '{next(iter(inside))}'; choose a record first: {name}=...")
        parameters[name] = override(old, inside, record_types(), ".")
    made: E = type(estimator)(**kept, **parameters)
    made._validate_params()
    return made


def alternatives(path: str, text: str) -> list[Any]:
    """The values to try one after the other that a person types: ``2,4,8`` for a field of one value; ``256,64|128,32`` for any.

    In a field that holds several numbers, such as architecture.hidden, a comma belongs to the value: there ``|`` stands between
    values, or each has brackets: ``[256,64],[128]``. Raises `RecordError` where there is nothing between two of them.
    """
    parts = _apart(text, "|")
    if len(parts) == 1:
        commas = _apart(text, ",")
        if all(part[:1] in {"[", "("} for part in commas) or not _holds_several(path.rpartition(".")[2]):
            parts = commas
    if "" in parts:
        raise RecordError(f"{path}={text}: there is no value on one side of a comma or |; write for example {path}=1,2")
    values = [parse(part) for part in parts]
    return [tuple(value) if isinstance(value, list) else value for value in values]


def _apart(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that stand in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if letter == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _holds_several(field: str) -> bool:
    """Whether a field of that name holds a tuple, in any record that has one."""
    return any(
        _of_several(get_type_hints(kind)[field]) for kind in record_types().values() if field in field_names(kind)
    )


def _of_several(hint: Any) -> bool:
    return get_origin(hint) is tuple or any(_of_several(part) for part in get_args(hint))


def _chosen(slot: str, old: Any, text: str, fields: Mapping[str, Any]) -> Any:
    """The record that is chosen by its name; what it needs is given to it at once."""
    names = {name: kind for name, kind in record_types().items() if issubclass(kind, COMPONENTS[slot])}
    if slot == "bottleneck" and text.isdecimal() and int(text):
        return Identity(int(text))
    if text not in {*names, "auto"}:
        raise RecordError(f"{slot}={text} is none of the choices{nearest(text, ['auto', *names])}")
    return "auto" if text == "auto" else switch(old, text, names, fields, f"{slot}.")


def _has(old: Any, field: str) -> bool:
    return isinstance(old, Record) and field in field_names(old)
