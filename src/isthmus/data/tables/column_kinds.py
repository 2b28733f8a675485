"""The kind of each column of a table: what its values mean to a model. It is inferred from type and values, or given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from isthmus.data.tables.arrow import pyarrow
from isthmus.errors import RecordError
from isthmus.text import quoted

__all__ = ["KINDS", "ColumnKind", "GivenKind", "InferredKind", "check_kinds", "infer_kind", "is_text", "whole"]

ColumnKind = Literal["number", "integer", "boolean", "category", "ordered", "date"]
KINDS: tuple[str, ...] = get_args(ColumnKind)
GivenKind = str | Sequence[Any]  # a kind, "drop", or the categories of an ordered one in their order

_FEW, _MOST = 20, 1000  # categories: a small table may have so many, any table at most so many
_ROWS_PER_CATEGORY = 10  # of a category that is one of many
_MIN_ROWS = 10  # in fewer rows, different values are no evidence
_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
_SAMPLED = 10_000  # distinct texts that are looked at


class InferredKind(NamedTuple):
    """The kind of a column; None if the column is left out.

    Attributes:
        kind: what its values mean.
        reason: why it is left out, in a few words.
        guessed: whether values, and not the type, say so.
    """

    kind: ColumnKind | None
    reason: str = ""
    guessed: bool = False


def check_kinds(kinds: Mapping[str, Any] | None, columns: Sequence[str]) -> None:
    """`RecordError` for a column that does not exist, or a kind that does not."""
    for name, kind in (kinds or {}).items():
        if name not in columns:
            raise RecordError(f"kinds names the column {quoted(name)}, which the table does not have: correct the name")
        if isinstance(kind, str) and kind not in {*KINDS, "drop"}:
            expected = ", ".join((*KINDS, "drop"))
            raise RecordError(f"invalid kinds[{quoted(name)}]={quoted(kind)}: expected one of {expected}")
        if not isinstance(kind, str) and (
            not isinstance(kind, Sequence) or len(set(map(str, kind))) < max(2, len(kind))
        ):
            raise RecordError(
                f"invalid kinds[{quoted(name)}]={quoted(kind)}: expected a kind, or different categories in their order"
            )


def infer_kind(column: Any) -> InferredKind:
    """The kind of a column of pyarrow (n,), without missing values to mean anything."""
    types, kind = pyarrow().types, column.type
    if column.null_count == len(column):
        return InferredKind(None, "empty")
    if types.is_dictionary(kind):
        return InferredKind("ordered" if kind.ordered else "category")
    if types.is_boolean(kind):
        return InferredKind("boolean")
    if types.is_integer(kind):
        return InferredKind("integer")
    if types.is_floating(kind) or types.is_decimal(kind):
        return InferredKind("integer", guessed=True) if whole(column) else InferredKind("number")
    if types.is_date(kind) or types.is_timestamp(kind):
        return InferredKind("date")
    if types.is_duration(kind) or types.is_time(kind):
        return InferredKind(None, "durations" if types.is_duration(kind) else "times of day")
    return _text_kind(column) if is_text(kind) else InferredKind(None, f"holds {kind}")


def is_text(kind: Any) -> bool:
    """Whether a type of pyarrow is text."""
    types = pyarrow().types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def whole(column: Any) -> bool:
    """Whether all values of a column of floats or decimals are whole numbers."""
    compute = pyarrow().compute
    values = compute.drop_null(column)
    return bool(compute.all(compute.equal(compute.floor(values), values)).as_py())


def _text_kind(column: Any) -> InferredKind:
    """Dates, a category, or a text that is left out."""
    compute = pyarrow().compute
    present = compute.drop_null(column)
    different, count = compute.unique(present), len(present)
    texts = different.slice(0, _SAMPLED).to_pylist()
    if all(map(_ISO.fullmatch, texts)):
        return InferredKind("date", guessed=True)
    if all(map(_NUMBER.fullmatch, texts)):
        return InferredKind(None, "numbers as text")
    if len(different) == count >= _MIN_ROWS:
        return InferredKind(None, "unique")
    limit = max(min(_FEW, count // 2), min(_MOST, count // _ROWS_PER_CATEGORY))
    if len(different) > max(limit, 2):
        return InferredKind(None, f"free text: {len(different):,} different values")
    return InferredKind("category", guessed=True)
