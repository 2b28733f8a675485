"""Copies of records with other values of some fields, also of nested records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from isthmus.errors import RecordError
from isthmus.records import Record, check_names, field_names, nearest
from isthmus.text import quoted

__all__ = ["override", "switch"]

T = TypeVar("T", bound=Record)


def override(
    instance: T,
    fields: Mapping[str, Any],
    record_types: Mapping[str, type[Record]] | None = None,
    separator: str = "__",
) -> T:
    """A copy of a record with other values of some fields, also of nested records: ``{"schedule__warmup": 0.1}``.

    Args:
        instance: the record.
        fields: new values by path.
        record_types: if given, the name of a type as value replaces a nested record by one of this type, see `switch`; several names
            replace a tuple of records. Fields of these without a default get their values from ``fields`` too.
        separator: the text between the parts of a path.

    Raises:
        RecordError: there is no such field, or a value is invalid.
    """
    direct = {path: value for path, value in fields.items() if separator not in path}
    nested: dict[str, dict[str, Any]] = {}
    for path, value in fields.items():
        name, sign, rest = path.partition(separator)
        if sign:
            nested.setdefault(name, {})[rest] = value
    check_names(type(instance).__name__, [*direct, *nested], field_names(instance))
    for name in direct:
        if record_types is not None:
            inside = nested.get(name, {})
            direct[name] = _by_name(
                getattr(instance, name), direct[name], record_types, inside, name + separator, separator
            )
    for name, inner in nested.items():
        current = direct.get(name, getattr(instance, name))
        if isinstance(current, tuple) and any(isinstance(each, Record) for each in current):
            direct[name] = _override_items(f"{type(instance).__name__}.{name}", current, inner, record_types, separator)
            continue
        if not isinstance(current, Record):
            raise RecordError(
                f"{type(instance).__name__}.{name} is {current!r}, which has no field '{next(iter(inner))}'"
            )
        direct[name] = override(current, inner, record_types, separator)
    return instance.replace(**direct)


def _override_items(
    owner: str,
    items: tuple[Any, ...],
    fields: Mapping[str, Any],
    record_types: Mapping[str, type[Record]] | None,
    separator: str,
) -> tuple[Any, ...]:
    """A tuple of records with other values of some fields, which are addressed by position: ``{"0__weight": 2}``."""
    changed, inner = list(items), dict[int, dict[str, Any]]()
    for path, value in fields.items():
        position, sign, rest = path.partition(separator)
        if not position.isdecimal() or int(position) >= len(items):
            raise RecordError(f"{owner} has {len(items)} records, counted from 0, and no '{position}'")
        if sign:
            inner.setdefault(int(position), {})[rest] = value
        else:
            old = changed[int(position)]
            if record_types is not None:
                own = _inside(fields, position, separator)
                value = _by_name(old, value, record_types, own, position + separator, separator)
            changed[int(position)] = value
    for number, values in inner.items():
        changed[number] = override(changed[number], values, record_types, separator)
    return tuple(changed)


def _by_name(
    current: Any,
    value: Any,
    record_types: Mapping[str, type[Record]],
    fields: Mapping[str, Any],
    at: str,
    separator: str,
) -> Any:
    """A record in place of its name, and records in place of several names, where there are records now; else the value."""
    if isinstance(current, Record):
        return value if isinstance(value, Record) else switch(current, str(value), record_types, fields, at, separator)
    holds_records = isinstance(current, tuple) and any(isinstance(each, Record) for each in current)
    return _named(value, record_types, fields, at, separator) if holds_records else value


def _named(
    value: Any, record_types: Mapping[str, type[Record]], fields: Mapping[str, Any], at: str, separator: str
) -> tuple[Record, ...]:
    """Records of these names, with their defaults. Fields without a default get their values from ``fields``: ``{"0.weight": 2}``."""
    records = []
    for number, each in enumerate(value if isinstance(value, tuple | list) else (value,)):
        if not isinstance(each, Record) and str(each) not in record_types:
            raise RecordError(f"no record {quoted(each)}{nearest(str(each), record_types)}")
        own, place = _inside(fields, str(number), separator), f"{at}{number}{separator}"
        records.append(
            each if isinstance(each, Record) else switch(None, str(each), record_types, own, place, separator)
        )
    return tuple(records)


def _inside(fields: Mapping[str, Any], name: str, separator: str) -> dict[str, Any]:
    """The values by path of what is in the field of a name."""
    split = ((path.partition(separator), value) for path, value in fields.items())
    return {rest: value for (first, sign, rest), value in split if first == name and sign}


def switch(
    old: object,
    name: str,
    record_types: Mapping[str, type[Record]],
    fields: Mapping[str, Any] | None = None,
    at: str = "",
    separator: str = ".",
) -> Record:
    """A record of another type, which keeps the values of fields that both types have; not sizes of layers for one number.

    Args:
        old: the record to replace; other values are ignored.
        name: the name of the new type.
        record_types: types by name.
        fields: values of those fields of the new type that have no default, also of the records in such a field: ``penalties.0.weight``.
        at: a prefix of field names in error messages, such as ``bottleneck.``.
        separator: the text between the parts of a path.

    Raises:
        RecordError: there is no such type, or a field without default has no value.
    """
    kind = record_types.get(name)
    if kind is None:
        raise RecordError(f"no record '{name}' that could replace {type(old).__name__}{nearest(name, record_types)}")
    old_fields = {field: getattr(old, field) for field in field_names(old)} if isinstance(old, Record) else {}
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {field: old_fields[field] for field in field_names(kind) if field in old_fields}
    values = {field: value for field, value in values.items() if _is_alike(value, defaults[field])}
    required = [field.name for field in dataclasses.fields(kind) if _has_no_default(field)]  # type: ignore[arg-type]
    values |= {field: value for field, value in (fields or {}).items() if field in required}
    for field, value in values.items():
        several = value if isinstance(value, tuple | list) else (value,)
        if any(isinstance(each, str) and each in record_types for each in several):
            inside = _inside(fields or {}, field, separator)  # of the records of a chain, given by their names
            values[field] = _named(several, record_types, inside, f"{at}{field}{separator}", separator)
    missing = [field for field in required if field not in values]
    if missing:
        raise RecordError(
            f"{name} requires {' and '.join(missing)}: give {', '.join(f'{at}{field}=...' for field in missing)} too"
        )
    return kind(**values)


def _is_alike(value: Any, default: Any) -> bool:
    """Whether both are one value, or both several."""
    return default is dataclasses.MISSING or isinstance(value, tuple) == isinstance(default, tuple)


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
