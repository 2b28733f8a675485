"""``field=value`` onto an estimator: how the command line reaches every field of every record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isthmus.choosing import DEFAULTS, SLOTS
from isthmus.errors import RecordError
from isthmus.estimator import Autoencoder
from isthmus.records import Record, field_names, nearest, override, parse, switch
from isthmus.storage import vocabulary

__all__ = ["overridden"]


def overridden(ae: Autoencoder, assignments: Iterable[str]) -> Autoencoder:
    """The same estimator, unfitted, with fields set as ``epochs=5``, ``bottleneck.beta=4`` or ``architecture=Conv``.

    Raises:
        RecordError: there is no such field, with those there are and the nearest; or the value cannot be.
    """
    parameters = {name: getattr(ae, name) for name in ae.get_params(deep=False)}
    texts: dict[str, str] = {}
    fields: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        name, dot, rest = path.strip().partition(".")
        if not equals:
            raise RecordError(
                f"'{assignment}' is no field=value; a recipe's name comes first, then for example epochs=5 or bottleneck.size=16"
            )
        if name not in parameters:
            inner = [f"{slot}.{name}" for slot, old in (parameters | DEFAULTS).items() if _has(old, name)]
            hint = f"; did you mean {' or '.join(inner)}?" if inner else nearest(name, parameters)
            raise RecordError(f"no field '{name}'{hint}")
        if dot:
            fields.setdefault(name, {})[rest] = parse(text.strip())
        else:
            texts[name] = text.strip()
    for name, text in texts.items():  # a record comes before its fields
        parameters[name] = _chosen(name, parameters[name], text, fields.get(name, {})) if name in SLOTS else parse(text)
    for name, values in fields.items():
        old = DEFAULTS.get(name, parameters[name]) if isinstance(parameters[name], str) else parameters[name]
        if not isinstance(old, Record):
            raise RecordError(f"{name}={old!r} has no field '{next(iter(values))}'; choose a record first: {name}=...")
        parameters[name] = override(old, values, vocabulary(), ".")
    changed = Autoencoder(**parameters)
    changed._validate_params()
    return changed


def _chosen(slot: str, old: Any, text: str, fields: Mapping[str, Any]) -> Any:
    """The record that is chosen by its name; what it needs is given to it at once."""
    names = {name: kind for name, kind in vocabulary().items() if issubclass(kind, SLOTS[slot])}
    if text not in {*names, "auto"}:
        raise RecordError(f"{slot}={text} is none of the choices{nearest(text, ['auto', *names])}")
    return "auto" if text == "auto" else switch(old, text, names, fields, f"{slot}.")


def _has(old: Any, field: str) -> bool:
    return isinstance(old, Record) and field in field_names(old)
