"""What a record is: hyper-parameters as one frozen, validated value, that prints, compares, hashes, clones and travels as JSON.

A record is written by the user, printed in a log, kept in a model file, varied by a grid search (``bottleneck__beta``) and
overridden on the command line (``bottleneck.beta=4``): always the same object. It holds no weights.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from collections.abc import Callable, Iterable, Mapping
from inspect import signature
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
    "arguments",
    "assigned",
    "describe",
    "nearest",
    "override",
    "parse",
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
    """The manners that every choice shares. Subclasses are made with the decorator ``record``."""

    def replace(self, **fields: Any) -> Self:
        """The same record with some fields changed; `RecordError` if that cannot be.

        Args:
            fields: new values by name.

        Raises:
            RecordError: there is no such field, or a value is invalid.
        """
        _known(type(self).__name__, fields, field_names(self))
        return dataclasses.replace(self, **fields)  # type: ignore[type-var]  # every subclass is a dataclass

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The fields by name, with those of nested records as ``outer__inner`` when deep: what scikit-learn asks.

        Args:
            deep: include the fields of nested records.
        """
        fields = {name: getattr(self, name) for name in field_names(self)}
        nested = [(name, value) for name, value in fields.items() if deep and isinstance(value, Record)]
        return fields | {f"{name}__{key}": inner for name, value in nested for key, inner in value.get_params().items()}

    def __repr__(self) -> str:
        """What differs from the defaults, as one would write it."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        fields = {name: getattr(self, name) for name in field_names(self)}
        shown = (f"{name}={value!r}" for name, value in fields.items() if value != defaults[name])
        return f"{type(self).__name__}({', '.join(shown)})"

    def __sklearn_clone__(self) -> Self:
        return self  # a frozen value is its own clone


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, Field))
def record(cls: type[T]) -> type[T]:
    """Makes a class a record: a frozen dataclass whose values are checked where they are written."""
    made: Any = dataclass(frozen=True, repr=False, config=_CONFIG)(cls)
    build = made.__init__

    @functools.wraps(build)
    def __init__(self: T, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it becomes the class's own
        try:
            build(self, *args, **kwargs)
        except ValidationError as error:
            raise RecordError(_sentence(type(self), error)) from None

    made.__init__ = __init__
    return made  # type: ignore[no-any-return]


def field_names(choice: Record | type[Record]) -> tuple[str, ...]:
    """The names of a record's fields, in the order in which they are written: those that need their name come last."""
    fields = dataclasses.fields(choice)  # type: ignore[arg-type]  # every subclass is a dataclass
    return tuple(field.name for field in sorted(fields, key=lambda field: bool(field.kw_only)))


def describe(choice: Record) -> dict[str, Any]:
    """The record as plain JSON values: its type's name and its fields."""
    fields = {name: getattr(choice, name) for name in field_names(choice)}
    return {"type": type(choice).__name__} | {
        name: describe(value) if isinstance(value, Record) else value for name, value in fields.items()
    }


def read(data: Mapping[str, Any], record_types: Mapping[str, type[Record]]) -> Record:
    """The record that `describe` described. Only types in the vocabulary exist: nothing is imported by name."""
    if not isinstance(data, Mapping) or not isinstance(data.get("type"), str):
        raise RecordError(f"a record is an object with a 'type', not {json.dumps(data)[:80]}")
    kind = record_types.get(data["type"])
    if kind is None:
        raise RecordError(f"no '{data['type']}' among the records{nearest(data['type'], record_types)}")
    fields = {
        name: read(v, record_types) if isinstance(v, Mapping) else v for name, v in data.items() if name != "type"
    }
    _known(kind.__name__, fields, field_names(kind))
    return kind(**fields)


def parse(text: str) -> Any:
    """The value that a person types after ``field=``: a JSON value, numbers with commas as a tuple, or else a word."""
    if text in {"none", "None"}:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass  # not JSON: a list without brackets, or a word
    parts = text.strip("()").split(",")
    if len(parts) > 1 or text != text.strip("()"):
        return tuple(parse(part.strip()) for part in parts if part.strip())
    return {"True": True, "False": False}.get(text, text)


def assigned(words: Iterable[str], such_as: str = "epochs=5 or bottleneck.size=16") -> dict[str, str]:
    """What stands on the two sides of each ``field=value``; `RecordError` where one is none, is empty or is given twice."""
    pairs: dict[str, str] = {}
    for word in words:
        path, equals, text = (part.strip() for part in word.partition("="))
        if not equals or not path:
            raise RecordError(f"{quoted(word)} is no field=value: give for example {such_as}")
        if not text:
            raise RecordError(f"{path}= has no value: give for example {such_as}")
        if path in pairs:
            raise RecordError(f"{path} is given twice, as {pairs[path]} and as {text}: give it once")
        pairs[path] = text
    return pairs


def arguments(functions: Mapping[str, Callable[..., Any]], assignments: Iterable[str]) -> dict[str, dict[str, Any]]:
    """For each named function the arguments among ``name=value`` that it takes; `RecordError` for one that none takes."""
    given = {"ae", "X", "y", "train"}  # by the run
    takes = {name: signature(function).parameters.keys() - given for name, function in functions.items()}
    choices: dict[str, dict[str, Any]] = {name: {} for name in functions}
    for name, text in assigned(assignments, "size=16").items():
        takers = [each for each in functions if name in takes[each]]
        if not takers:
            known = sorted({each for names in takes.values() for each in names})
            raise RecordError(f"{' and '.join(functions)}: no argument '{name}'{nearest(name, known)}")
        for each in takers:
            choices[each][name] = parse(text)
    return choices


def override(
    choice: T, fields: Mapping[str, Any], record_types: Mapping[str, type[Record]] | None = None, separator: str = "__"
) -> T:
    """The record with some fields changed at once, those of nested records too: ``{"schedule__warmup": 0.1}``.

    Args:
        record_types: where given, the name of a record in it switches the type of a nested record, which keeps common fields.
    """
    direct = {path: value for path, value in fields.items() if separator not in path}
    nested: dict[str, dict[str, Any]] = {}
    for path, value in fields.items():
        name, found, rest = path.partition(separator)
        if found:
            nested.setdefault(name, {})[rest] = value
    _known(type(choice).__name__, [*direct, *nested], field_names(choice))
    for name in direct:
        given = isinstance(direct[name], Record)
        if record_types is not None and isinstance(getattr(choice, name), Record) and not given:
            direct[name] = switch(getattr(choice, name), str(direct[name]), record_types)
    for name, inner in nested.items():
        held = direct.get(name, getattr(choice, name))
        if not isinstance(held, Record):
            raise RecordError(f"{type(choice).__name__}.{name} is {held!r}, which has no field '{next(iter(inner))}'")
        direct[name] = override(held, inner, record_types, separator)
    return choice.replace(**direct)


def switch(
    old: object,
    name: str,
    record_types: Mapping[str, type[Record]],
    fields: Mapping[str, Any] | None = None,
    at: str = "",
) -> Record:
    """A record by name that keeps what it has in common with the old one, if that is a record.

    Args:
        fields: values for those of its fields that have no default.
        at: what stands before the name of a field where the user writes it, such as ``bottleneck.``.
    """
    kind = record_types.get(name)
    if kind is None:
        raise RecordError(f"no '{name}' to take the place of {type(old).__name__}{nearest(name, record_types)}")
    held = {field: getattr(old, field) for field in field_names(old)} if isinstance(old, Record) else {}
    known = {field: value for field, value in held.items() if field in field_names(kind)}
    needed = [field.name for field in dataclasses.fields(kind) if _has_no_default(field)]  # type: ignore[arg-type]
    known |= {field: value for field, value in (fields or {}).items() if field in needed}
    missing = [field for field in needed if field not in known]
    if missing:
        raise RecordError(
            f"{name} needs {' and '.join(missing)}: give {', '.join(f'{at}{field}=...' for field in missing)} too"
        )
    return kind(**known)


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def nearest(word: str, names: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: ``; did you mean Gaussian? (Gaussian, Identity, ...)``."""
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


def _known(owner: str, given: Iterable[str], names: tuple[str, ...]) -> None:
    for name in given:
        if name not in names:
            raise RecordError(f"{owner} has no field '{name}'{nearest(name, names)}")


def _sentence(kind: type[Record], error: ValidationError) -> str:
    """Pydantic's first complaint as one sentence of ours."""
    first = error.errors(include_url=False)[0]
    names, place = field_names(kind), first["loc"]
    position = place[0] if place else None
    field = names[position] if isinstance(position, int) and position < len(names) else position
    if first["type"] == "unexpected_keyword_argument":
        return f"{kind.__name__} has no field '{field}'{nearest(str(field), names)}"
    if first["type"] in {"missing_argument", "missing"}:
        return f"{kind.__name__} needs {field} ({', '.join(names)})"
    if first["type"] == "unexpected_positional_argument":
        return f"{kind.__name__} takes at most {len(names)} values ({', '.join(names)})"
    reason = first["msg"].removeprefix("Value error, ")
    if field is None:
        return f"{kind.__name__}: {reason}"
    reason = reason.replace("Input should be ", "expected ", 1).replace("expected greater", "expected a number greater")
    reason = reason.replace("expected less", "expected a number less")
    return f"{kind.__name__}: invalid {field}={quoted(first['input'])}: {reason[0].lower()}{reason[1:]}"
