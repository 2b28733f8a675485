"""Records: hyperparameters as frozen, validated values, which can be printed, compared, hashed, cloned and saved as JSON.

The same record is written in code, printed in logs, saved in a model file, varied by a grid search (``bottleneck__beta``) and
changed on the command line (``bottleneck.beta=4``). It contains no weights.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Annotated, Any, Self, TypeVar, dataclass_transform

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from isthmus.errors import RecordError
from isthmus.text import quoted

__all__ = [
    "Count",
    "Fraction",
    "Record",
    "Share",
    "Sizes",
    "describe",
    "nearest",
    "override",
    "read",
    "record",
]

T = TypeVar("T", bound="Record")

Count = Annotated[int, Field(gt=0, lt=2**31)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Sizes = Annotated[
    tuple[Count, ...],
    Field(max_length=256, fail_fast=True),
    BeforeValidator(lambda value: (int(value),) if isinstance(value, Integral) else value),
]

_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)


class Record:
    """The base class of records. The decorator ``record`` makes a subclass a frozen dataclass."""

    def replace(self, **fields: Any) -> Self:
        """A copy of the record with other values of some fields.

        Args:
            fields: new values by name.

        Returns:
            A new record of the same type.

        Raises:
            RecordError: there is no such field, or a value is invalid.
        """
        _check_names(type(self).__name__, fields, field_names(self))
        return dataclasses.replace(self, **fields)  # type: ignore[type-var]  # every subclass is a dataclass

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The fields by name, as scikit-learn expects.

        Args:
            deep: include the fields of nested records, as ``outer__inner``.

        Returns:
            Values by name.
        """
        fields = {name: getattr(self, name) for name in field_names(self)}
        nested = [(name, value) for name, value in fields.items() if deep and isinstance(value, Record)]
        return fields | {f"{name}__{key}": inner for name, value in nested for key, inner in value.get_params().items()}

    def __repr__(self) -> str:
        """The record as Python code, with the fields that differ from their defaults."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        fields = {name: getattr(self, name) for name in field_names(self)}
        changed = (f"{name}={value!r}" for name, value in fields.items() if value != defaults[name])
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_clone__(self) -> Self:
        return self  # a frozen value needs no copy


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, Field))
def record(cls: type[T]) -> type[T]:
    """Makes a class a record: a frozen dataclass that validates its fields when it is created."""
    record_class: Any = dataclass(frozen=True, repr=False, config=_CONFIG)(cls)
    original_init = record_class.__init__

    @functools.wraps(original_init)
    def __init__(self: T, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # the new __init__ of the class
        try:
            original_init(self, *args, **kwargs)
        except ValidationError as error:
            raise RecordError(_error_message(type(self), error)) from None

    record_class.__init__ = __init__
    return record_class  # type: ignore[no-any-return]


def field_names(instance: Record | type[Record]) -> tuple[str, ...]:
    """The names of the fields of a record, in the order of its arguments: keyword-only fields come last."""
    fields = dataclasses.fields(instance)  # type: ignore[arg-type]  # every subclass is a dataclass
    return tuple(field.name for field in sorted(fields, key=lambda field: bool(field.kw_only)))


def describe(instance: Record) -> dict[str, Any]:
    """A record as plain JSON values: the name of its type, and its fields."""
    fields = {name: getattr(instance, name) for name in field_names(instance)}
    return {"type": type(instance).__name__} | {
        name: describe(value) if isinstance(value, Record) else value for name, value in fields.items()
    }


def read(data: Mapping[str, Any], record_types: Mapping[str, type[Record]]) -> Record:
    """The inverse of `describe`. Nothing is imported by name.

    Args:
        data: the JSON object.
        record_types: the types that are allowed, by name.

    Raises:
        RecordError: a type is unknown, or a field has an invalid name or value.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("type"), str):
        raise RecordError(f"a record is an object with a 'type', not {json.dumps(data)[:80]}")
    kind = record_types.get(data["type"])
    if kind is None:
        raise RecordError(f"no record '{data['type']}'{nearest(data['type'], record_types)}")
    fields = {
        name: read(v, record_types) if isinstance(v, Mapping) else v for name, v in data.items() if name != "type"
    }
    _check_names(kind.__name__, fields, field_names(kind))
    return kind(**fields)


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
        record_types: if given, the name of a type as value replaces a nested record by one of this type; see `switch`.
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
    _check_names(type(instance).__name__, [*direct, *nested], field_names(instance))
    for name in direct:
        current = getattr(instance, name)
        if record_types is not None and isinstance(current, Record) and not isinstance(direct[name], Record):
            direct[name] = switch(current, str(direct[name]), record_types)
    for name, inner in nested.items():
        current = direct.get(name, getattr(instance, name))
        if not isinstance(current, Record):
            raise RecordError(
                f"{type(instance).__name__}.{name} is {current!r}, which has no field '{next(iter(inner))}'"
            )
        direct[name] = override(current, inner, record_types, separator)
    return instance.replace(**direct)


def switch(
    old: object,
    name: str,
    record_types: Mapping[str, type[Record]],
    fields: Mapping[str, Any] | None = None,
    at: str = "",
) -> Record:
    """A record of another type, which keeps the values of fields that both types have.

    Args:
        old: the record to replace; other values are ignored.
        name: the name of the new type.
        record_types: types by name.
        fields: values of those fields of the new type that have no default.
        at: a prefix of field names in error messages, such as ``bottleneck.``.

    Raises:
        RecordError: there is no such type, or a field without default has no value.
    """
    kind = record_types.get(name)
    if kind is None:
        raise RecordError(f"no record '{name}' that could replace {type(old).__name__}{nearest(name, record_types)}")
    old_fields = {field: getattr(old, field) for field in field_names(old)} if isinstance(old, Record) else {}
    values = {field: value for field, value in old_fields.items() if field in field_names(kind)}
    required = [field.name for field in dataclasses.fields(kind) if _has_no_default(field)]  # type: ignore[arg-type]
    values |= {field: value for field, value in (fields or {}).items() if field in required}
    missing = [field for field in required if field not in values]
    if missing:
        raise RecordError(
            f"{name} requires {' and '.join(missing)}: give {', '.join(f'{at}{field}=...' for field in missing)} too"
        )
    return kind(**values)


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def nearest(word: str, names: Iterable[str]) -> str:
    """The end of an error message about an unknown name: ``; did you mean Gaussian? (Gaussian, Identity, ...)``."""
    names = list(names)
    if not names:
        return "; there are none"
    lower = word.lower()
    close = difflib.get_close_matches(lower, [name.lower() for name in names], n=1)
    close = close or [name.lower() for name in names if len(lower) > 2 and lower in name.lower()]
    best = next((name for name in names if close and name.lower() == close[0]), None)
    return (f"; did you mean {best}? " if best else "; there are ") + (
        f"({', '.join(names)})" if best else ", ".join(names)
    )


def _check_names(owner: str, given: Iterable[str], names: tuple[str, ...]) -> None:
    """`RecordError` if one of the given names is not a field of the owner."""
    for name in given:
        if name not in names:
            raise RecordError(f"{owner} has no field '{name}'{nearest(name, names)}")


def _error_message(kind: type[Record], error: ValidationError) -> str:
    """The first error of pydantic as one sentence."""
    first = error.errors(include_url=False)[0]
    names, location = field_names(kind), first["loc"]
    position = location[0] if location else None
    field = names[position] if isinstance(position, int) and position < len(names) else position
    if first["type"] == "unexpected_keyword_argument":
        return f"{kind.__name__} has no field '{field}'{nearest(str(field), names)}"
    if first["type"] in {"missing_argument", "missing"}:
        return f"{kind.__name__} requires {field} ({', '.join(names)})"
    if first["type"] == "unexpected_positional_argument":
        return f"{kind.__name__} accepts at most {len(names)} values ({', '.join(names)})"
    reason = first["msg"].removeprefix("Value error, ")
    if field is None:
        return f"{kind.__name__}: {reason}"
    reason = reason.replace("Input should be ", "expected ", 1).replace("expected greater", "expected a number greater")
    reason = reason.replace("expected less", "expected a number less")
    return f"{kind.__name__}: invalid {field}={quoted(first['input'])}: {reason[0].lower()}{reason[1:]}"
