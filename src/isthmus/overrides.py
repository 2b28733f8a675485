"""``field=value`` onto an estimator: how the command line reaches every field of every record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from isthmus.errors import RecordError
from isthmus.estimator import DEFAULTS, SLOTS, Autoencoder
from isthmus.records import Record, nearest, override, parse, switch
from isthmus.storage import vocabulary

__all__ = ["overridden"]


def overridden(ae: Autoencoder, assignments: Iterable[str]) -> Autoencoder:
    """The same estimator, unfitted, with fields set as ``epochs=5``, ``bottleneck.beta=4`` or ``architecture=Conv``.

    Raises:
        RecordError: there is no such field, with those there are and the nearest; or the value cannot be.
    """
    parameters = {name: getattr(ae, name) for name in ae.get_params(deep=False)}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise RecordError(f"'{assignment}' is no field=value; write for example epochs=5 or bottleneck.size=16")
        name, _, rest = path.strip().partition(".")
        if name not in parameters:
            raise RecordError(f"no field '{name}'{nearest(name, parameters)}")
        parameters[name] = _set(name, parameters[name], rest, text.strip())
    changed = Autoencoder(**parameters)
    changed._validate_params()
    return changed


def _set(name: str, old: Any, path: str, text: str) -> Any:
    names = vocabulary()
    if name in SLOTS and not path:
        names = {key: kind for key, kind in names.items() if issubclass(kind, SLOTS[name])}
        if text not in {*names, "auto"}:
            raise RecordError(f"{name}={text} is none of the choices{nearest(text, ['auto', *names])}")
    if path:
        old = DEFAULTS.get(name, old) if isinstance(old, str) else old
        if not isinstance(old, Record):
            raise RecordError(f"{name}={old!r} has no field '{path}'; choose a record first: {name}=...")
        return override(old, path, parse(text), names)
    if isinstance(old, Record) and text in names:
        return switch(old, text, names)
    return names[text]() if text in names else parse(text)
