"""Records: hyperparameters as frozen, validated values, which can be printed, compared, hashed, cloned and saved as JSON.

The same record is written in code, printed in logs, saved in a model file, varied by a grid search (``bottleneck__beta``) and
changed on the command line (``bottleneck.beta=4``). It contains no weights.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral
from typing import Annotated, Any, Self, TypeVar, dataclass_transform

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from isthmus.errors import RecordError
from isthmus.text import quoted

__all__ = [
    "MAX_STEPS",
    "Count",
    "Fraction",
    "Record",
    "Share",
    "Sizes",
    "check_names",
    "describe",
    "field_names",
    "has_nested",
    "nearest",
    "nested_records",
    "read",
    "record",
]

T = TypeVar("T", bound="Record")

MAX_STEPS = 64  # of a chain, and terms of a sum: a file has at most 100 columns of statistics, and one is of each term

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
        check_names(type(self).__name__, fields, field_names(self))
        return dataclasses.replace(self, **fields)  # type: ignore[type-var]  # every subclass is a dataclass

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The fields by name, as scikit-learn expects.

        Args:
            deep: include the fields of nested records, as ``outer__inner``.

        Returns:
            Values by name.
        """
        fields = {name: getattr(self, name) for name in field_names(self)}
        nested = list(nested_records(self)) if deep else []
        inside = {path: value for path, value in nested if path not in fields}  # in a tuple
        return (
            fields
            | inside
            | {f"{path}__{key}": inner for path, value in nested for key, inner in value.get_params().items()}
        )

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
    return {"type": type(instance).__name__} | {
        name: _described(getattr(instance, name)) for name in field_names(instance)
    }


def _described(value: Any) -> Any:
    """The value of a field as plain JSON values; a field may hold a record or a tuple of them."""
    if isinstance(value, tuple):
        return [_described(each) for each in value]
    return describe(value) if isinstance(value, Record) else value


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
    fields = {name: _read_value(value, record_types) for name, value in data.items() if name != "type"}
    check_names(kind.__name__, fields, field_names(kind))
    return kind(**fields)


def _read_value(value: Any, record_types: Mapping[str, type[Record]]) -> Any:
    """The inverse of `_described`."""
    if isinstance(value, list):
        if not has_nested(value):
            return value
        return tuple(_read_value(each, record_types) for each in value)
    return read(value, record_types) if isinstance(value, Mapping) else value


def has_nested(values: list[Any]) -> bool:
    """Whether a JSON list has lists or objects in it; quick also for very many numbers."""
    return not {list, dict}.isdisjoint(map(type, values))


def nested_records(instance: Record) -> Iterator[tuple[str, Record]]:
    """The records directly in the fields of a record, with their paths: the name of the field, and in a tuple also the position.

    Args:
        instance: the record.
    """
    for name in field_names(instance):
        value = getattr(instance, name)
        if isinstance(value, Record):
            yield name, value
        elif isinstance(value, tuple):
            yield from ((f"{name}__{i}", each) for i, each in enumerate(value) if isinstance(each, Record))


def nearest(word: str, names: Iterable[str]) -> str:
    """The end of an error message about an unknown name: ``; did you mean Gaussian? (Gaussian, Identity, ...)``."""
    names = list(names)
    if not names:
        return "; there are none"
    lower = word.lower()
    close = [name.lower() for name in names if len(lower) > 2 and name.lower().startswith(lower)]
    close = close or difflib.get_close_matches(lower, [name.lower() for name in names], n=1)
    close = close or [name.lower() for name in names if len(lower) > 2 and lower in name.lower()]
    best = next((name for name in names if close and name.lower() == close[0]), None)
    return (f"; did you mean {best}? " if best else "; there are ") + (
        f"({', '.join(names)})" if best else ", ".join(names)
    )


def check_names(owner: str, given: Iterable[str], names: tuple[str, ...]) -> None:
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
