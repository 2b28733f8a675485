"""The kind of each column of a table: what its values mean to a model. It is inferred from type and values, or given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.cells import is_date
from isthmus.errors import RecordError
from isthmus.text import quoted

__all__ = [
    "EXACT",
    "KINDS",
    "ColumnKind",
    "GivenKind",
    "InferredKind",
    "checked_kinds",
    "distinct",
    "have_zone",
    "infer_kind",
    "is_text",
    "name_of",
    "whole",
]

ColumnKind = Literal["number", "integer", "boolean", "category", "ordered", "date"]
KINDS: tuple[str, ...] = get_args(ColumnKind)
GivenKind = str | Sequence[Any]  # a kind, "drop", or the categories of an ordered one in their order

_FEW, _MOST = 20, 1000  # categories: a small table may have so many, any table at most so many
_ROWS_PER_CATEGORY = 10  # of a category that is one of many
_MIN_ROWS = 10  # in fewer rows, different values are no evidence
_ZONE = r"(Z|[+-]\d\d(:?\d\d)?)"
_ISO = re.compile(rf"\d{{4}}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{{1,6}})?)?{_ZONE}?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
EXACT = 2**53  # whole numbers up to it are exact in float64
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


def checked_kinds(kinds: Mapping[Any, Any] | None, columns: Sequence[str]) -> dict[str, GivenKind]:
    """The given kinds by the names of their columns as text; `RecordError` for a column that does not exist, or a kind that does not."""
    checked = dict[str, GivenKind]()
    for key, kind in (kinds or {}).items():
        name = name_of(key)
        if name not in columns:
            raise RecordError(f"kinds names the column {quoted(name)}, which the table does not have: correct the name")
        checked[name] = _checked_kind(name, kind)
    return checked


def name_of(key: Any) -> str:
    """The name of a column as text: of one with several levels, these joined by /."""
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _checked_kind(name: str, kind: Any) -> GivenKind:
    """A kind, or the categories of an ordered column as a tuple of text, numbers or booleans."""
    if isinstance(kind, str):
        if kind not in {*KINDS, "drop"}:
            expected = ", ".join((*KINDS, "drop"))
            raise RecordError(f"invalid kinds[{quoted(name)}]={quoted(kind)}: expected one of {expected}")
        return kind
    labels = [each.item() if hasattr(each, "item") else each for each in kind] if isinstance(kind, list | tuple) else []
    if len(labels) < 2 or len(set(map(type, labels))) > 1 or not isinstance(labels[0], str | int | float | bool):
        labels = []
    if not labels or len(set(labels)) < len(labels) or any(label != label for label in labels):
        raise RecordError(
            f"invalid kinds[{quoted(name)}]={quoted(kind)}: expected a kind, or a list of different texts or numbers in their order"
        )
    return tuple(labels)


def infer_kind(column: Any) -> InferredKind:
    """The kind of a column of pyarrow (n,), without missing values to mean anything."""
    types, kind = pyarrow().types, column.type
    if column.null_count == len(column):
        return InferredKind(None, "empty")
    if types.is_dictionary(kind):
        different = len(distinct(column))
        if different == len(column) - column.null_count >= _MIN_ROWS and different > _FEW:
            return InferredKind(None, "unique")
        return InferredKind("ordered" if kind.ordered else "category")
    if types.is_boolean(kind):
        return InferredKind("boolean")
    if types.is_integer(kind):
        return InferredKind("integer")
    if types.is_floating(kind) or types.is_decimal(kind):
        column = column.cast(pyarrow().float64(), safe=False)
        return InferredKind("integer", guessed=True) if whole(column) else InferredKind("number")
    if types.is_date(kind) or types.is_timestamp(kind):
        return InferredKind("date")
    if types.is_duration(kind) or types.is_time(kind):
        return InferredKind(None, "durations" if types.is_duration(kind) else "times of day")
    return _text_kind(column) if is_text(kind) else InferredKind(None, f"holds {kind}")


def distinct(column: Any) -> Any:
    """The different known values of a column of pyarrow. A dictionary is not decoded: a file may repeat a long text."""
    if not pyarrow().types.is_dictionary(column.type):
        return column.drop_null().unique()
    return column.dictionary.take(column.indices.drop_null().unique()).drop_null().unique()


def is_text(kind: Any) -> bool:
    """Whether a type of pyarrow is text."""
    types = pyarrow().types
    view = getattr(types, "is_string_view", None)  # not in the oldest pyarrow
    return bool(types.is_string(kind) or types.is_large_string(kind) or (view is not None and view(kind)))


def whole(column: Any) -> bool:
    """Whether all values of a column of float64 are whole numbers that float64 represents exactly."""
    compute = pyarrow().compute
    values = compute.drop_null(column)
    same = compute.equal(compute.floor(values), values)
    exact = compute.less_equal(compute.abs(values), EXACT)
    return bool(compute.all(compute.and_(same, exact)).as_py())


def _text_kind(column: Any) -> InferredKind:
    """Dates, a category, or a text that is left out."""
    compute = pyarrow().compute
    present = compute.drop_null(column)
    different, count = compute.unique(present), len(present)
    texts = different.slice(0, _SAMPLED).to_pylist()
    if all(map(_ISO.fullmatch, texts)) and _are_dates(present):
        return InferredKind("date", guessed=True)
    if all(map(_NUMBER.fullmatch, texts)):
        return InferredKind(None, "numbers as text")
    limit = max(min(_FEW, count // 2), min(_MOST, count // _ROWS_PER_CATEGORY))
    unique, many = len(different) == count >= _MIN_ROWS, len(different) > max(limit, 2)
    if (unique or many) and all(map(is_date, texts)):
        return InferredKind(None, "dates in another form than 2024-12-31")
    if unique:
        return InferredKind(None, "unique")
    if many:
        return InferredKind(None, f"free text: {len(different):,} different values")
    return InferredKind("category", guessed=True)


def _are_dates(column: Any) -> bool:
    """Whether pyarrow reads all texts as dates, with or without a zone."""
    arrow, zoned = pyarrow(), have_zone(column)
    try:
        column.filter(zoned).cast(arrow.timestamp("us", tz="UTC"))
        column.filter(arrow.compute.invert(zoned)).cast(arrow.timestamp("us"))
    except arrow.ArrowInvalid:
        return False
    return True


def have_zone(column: Any) -> Any:
    """Which texts of a column of pyarrow (n,) end with a time zone after a time, such as 18:30Z or 18:30:00+02:00."""
    return pyarrow().compute.match_substring_regex(column, rf"[ T]\d\d:\d\d.*{_ZONE}\s*$")
