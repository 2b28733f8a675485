"""The types of the columns of several files as those of one table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.column_kinds import is_text
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["checked_schema", "unified_schema"]

_WHOLE_DIGITS = 20  # of whole numbers of 64 bits
_FEW_DIGITS, _MOST_DIGITS = 38, 76  # of decimal numbers of 128 and of 256 bits


def checked_schema(schema: Any, name: str, several: bool) -> Any:
    """The schema of the first file of several, whose columns are found by their names in the others."""
    counts = Counter(schema.names)
    twice = next((each for each, count in counts.items() if count > 1), None) if several else None
    if twice is not None:
        raise DataError(f"column {printable(twice)!r} occurs twice in {name}: rename one of them")
    return schema


def unified_schema(schema: Any, other: Any, first: str, name: str) -> Any:
    """A schema in which the columns have types for the values of two files.

    Args:
        schema: of the files before.
        other: of this file.
        first, name: the first file and this one, for messages.
    """
    checked_schema(other, name, True)
    own, others = set(schema.names), set(other.names)
    for one, lacking, has in ((own - others, name, first), (others - own, first, name)):
        if one:
            column = next(each for each in (*schema.names, *other.names) if each in one)
            raise DataError(
                f"{lacking} has no column {printable(column)!r}, which {has} has: give all files the same columns, "
                "or read them separately"
            )
    fields = []
    for field in schema:
        kind = other.field(field.name).type
        common = _common_type(field.type, kind)
        if common is None:
            raise DataError(
                f"column {printable(field.name)!r} holds {field.type} in the files up to {first} and {kind} in {name}: "
                "write it with one type"
            )
        fields.append(field if common == field.type else field.with_type(common))
    return pyarrow().schema(fields)


def _common_type(one: Any, other: Any) -> Any:
    """A type for the values of two; None if there is none."""
    arrow, types = pyarrow(), pyarrow().types
    if one == other:
        return one
    if types.is_dictionary(one) and types.is_dictionary(other):
        values = _common_type(one.value_type, other.value_type)
        return None if values is None else arrow.dictionary(arrow.int32(), values, one.ordered and other.ordered)
    one, other = (kind.value_type if types.is_dictionary(kind) else kind for kind in (one, other))
    if all(_is_number(kind) and not types.is_decimal(kind) for kind in (one, other)):
        common = np.result_type(*(kind.to_pandas_dtype() for kind in (one, other)))
        return arrow.from_numpy_dtype(common)
    if is_text(one) and is_text(other):
        return arrow.string() if types.is_string(one) and types.is_string(other) else arrow.large_string()
    if types.is_decimal(one) != types.is_decimal(other) and _is_number(one) and _is_number(other):
        return _with_decimals(*((one, other) if types.is_decimal(one) else (other, one)))
    try:
        fields = [arrow.schema([("x", kind)]) for kind in (one, other)]
        return arrow.unify_schemas(fields, promote_options="permissive").field(0).type
    except arrow.ArrowException:
        return None


def _with_decimals(decimal: Any, other: Any) -> Any:
    """A type for the values of decimal numbers and of other numbers: exact for whole ones, as these may be IDs, if it has the digits."""
    arrow = pyarrow()
    if not arrow.types.is_integer(other):
        return arrow.float64()
    digits = max(decimal.precision - decimal.scale, _WHOLE_DIGITS) + max(0, decimal.scale)
    if digits > _MOST_DIGITS:
        return arrow.float64()
    kind = arrow.decimal128 if digits <= _FEW_DIGITS else arrow.decimal256
    return kind(digits, max(0, decimal.scale))


def _is_number(kind: Any) -> bool:
    """Whether a type holds numbers, or booleans among them."""
    types = pyarrow().types
    return any(test(kind) for test in (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal))
