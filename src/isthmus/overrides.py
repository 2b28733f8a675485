"""``field=value`` onto an estimator: how the command line reaches every field of every record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isthmus.choosing import DEFAULTS, SLOTS
from isthmus.errors import RecordError
from isthmus.estimator import Autoencoder
from isthmus.records import Record, nearest, override, parse, switch
from isthmus.storage import vocabulary

__all__ = ["overridden"]


def overridden(ae: Autoencoder, assignments: Iterable[str]) -> Autoencoder:
    """The same estimator, unfitted, with fields set as ``epochs=5``, ``bottleneck.beta=4`` or ``architecture=Conv``.

    Raises:
        RecordError: there is no such field, with those there are and the nearest; or the value cannot be.
    """
    parameters = {name: getattr(ae, name) for name in ae.get_params(deep=False)}
    pairs = [_pair(assignment) for assignment in assignments]
    for path, text in sorted(pairs, key=lambda pair: pair[0].count(".")):  # a record comes before its fields
        name, _, rest = path.partition(".")
        if name not in parameters:
            raise RecordError(f"no field '{name}'{nearest(name, parameters)}")
        own = {p.partition(".")[2]: parse(t) for p, t in pairs if p.startswith(f"{name}.") and p.count(".") == 1}
        parameters[name] = _set(name, parameters[name], rest, text, own)
    changed = Autoencoder(**parameters)
    changed._validate_params()
    return changed


def _pair(assignment: str) -> tuple[str, str]:
    path, equals, text = assignment.partition("=")
    if not equals:
        raise RecordError(f"'{assignment}' is no field=value; write for example epochs=5 or bottleneck.size=16")
    return path.strip(), text.strip()


def _set(name: str, old: Any, path: str, text: str, fields: Mapping[str, Any]) -> Any:
    """The new value of a parameter; a record that is chosen by its name is given its needed fields at once."""
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
    return switch(old, text, names, fields, f"{name}.") if text in names else parse(text)
