"""Records and parameters as JSON values. A file or a command may name exactly the records in the components' `__all__`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from isthmus.errors import NotPossibleError, RecordError
from isthmus.records import Record, field_names, has_nested, read

__all__ = ["check_records", "component_modules", "describe_value", "read_parameters", "read_value", "record_types"]

_BY_COLUMN = {"kinds", "column_weights"}  # parameters with a value for each of some columns


def component_modules() -> tuple[ModuleType, ...]:
    """The modules of components, in the order of the data's way through a model."""
    from isthmus import (
        architectures,
        augmentations,
        bottlenecks,
        corruptions,
        likelihoods,
        optimizers,
        penalties,
        priors,
        scaling,
        schedules,
    )

    model = (augmentations, corruptions, architectures, priors, bottlenecks, likelihoods, penalties)
    return (scaling, *model, schedules, optimizers)


def record_types() -> dict[str, type[Record]]:
    """The records that a file or a command may name: exactly those in the components' `__all__`."""
    return {name: getattr(module, name) for module in component_modules() for name in module.__all__}


def check_records(values: Iterable[Any]) -> None:
    """Raises `NotPossibleError` for a record that is not part of isthmus: loading its name would fail or give another record."""
    valid = record_types()
    for value in values:
        for each in (value, *value.get_params().values()) if isinstance(value, Record) else ():
            if isinstance(each, Record) and valid.get(type(each).__name__) is not type(each):
                raise NotPossibleError(
                    f"a model file can only name records of isthmus, and {type(each).__name__} is not one; "
                    "choose a record of isthmus to save the model"
                )


def describe_value(value: Any) -> Any:
    """A parameter as JSON: a record as its name and fields; user-defined modules without their content."""
    if type(value).__name__ == "Modules":
        return {"type": "Modules"}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [describe_value(each) for each in value]
    if isinstance(value, Mapping):  # of columns
        return {str(name): describe_value(each) for name, each in value.items()}
    if not isinstance(value, Record):
        return value
    return {"type": type(value).__name__} | {name: describe_value(getattr(value, name)) for name in field_names(value)}


def read_value(value: Any, names: Mapping[str, type[Record]], modules: Record | None) -> Any:
    """The inverse of `describe_value`. User-defined modules must be given, also where another record contains them."""
    if value == {"type": "Modules"}:
        if modules is None:
            how = "load(path, architecture=Modules(encoder, decoder))"
            raise RecordError(
                f"it has a user-defined encoder and decoder, whose code is not in the file; give them: {how}"
            )
        return modules
    if isinstance(value, list):
        return [read_value(each, names, modules) for each in value] if has_nested(value) else value
    if not isinstance(value, dict):
        return value
    return read({name: read_value(each, names, modules) for name, each in value.items()}, names)


def read_parameters(
    parameters: Mapping[str, Any], names: Mapping[str, type[Record]], modules: Record | None
) -> dict[str, Any]:
    """The parameters of an estimator from JSON. What columns are by name is no record, number or text."""
    return {
        name: value if name in _BY_COLUMN else read_value(value, names, modules) for name, value in parameters.items()
    }
