"""The verb that lists components and their fields."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli.console import first_line, print_line, print_table
from isthmus.io.terminal import print_lines

if TYPE_CHECKING:
    from isthmus.records import Record

__all__ = ["components"]


def components(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A component, such as Gaussian.")] = None,
) -> None:
    """List the components, or the fields of one."""
    from isthmus.errors import RecordError
    from isthmus.estimators.named_records import record_types
    from isthmus.records import nearest

    if name is None:
        print_table(["part", "component", "description"], _rows())
        print_line("isthmus components NAME shows the fields of one; isthmus train sets them as part.field=value")
        return
    kind = record_types().get(name)
    if kind is None:
        raise RecordError(f"no component '{name}'{nearest(name, record_types())}")
    print_lines(*_plain(inspect.cleandoc(kind.__doc__ or "").partition("\n\nExamples:")[0]).split("\n"))
    print_table(["field", "default"], [[field, default] for field, default in _fields(kind)])


def _rows() -> list[list[str]]:
    """Part, name and description of each component. A schedule that optimizers list too is listed once."""
    from isthmus.estimators.named_records import component_modules

    rows, listed = list[list[str]](), set[str]()
    for module in component_modules():
        part, names = module.__name__.rpartition(".")[2], [each for each in module.__all__ if each not in listed]
        listed.update(names)
        rows += [[part, each, _plain(first_line(getattr(module, each)))] for each in names]
    return rows


def _plain(text: str) -> str:
    """A docstring without the marks of code."""
    return text.replace("`", "")


def _fields(kind: type[Record]) -> list[tuple[str, str]]:
    """The fields of a record and their defaults, in the order of its arguments."""
    from isthmus.records import field_names

    defaults = {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # a dataclass
    return [
        (name, "required" if defaults[name] is dataclasses.MISSING else repr(defaults[name]))
        for name in field_names(kind)
    ]
