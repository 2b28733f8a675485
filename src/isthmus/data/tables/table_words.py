"""The kinds of the columns of a table in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from isthmus.data.tables.column_encoding import ColumnEncoding
from isthmus.text import printable

__all__ = ["kinds_in_words"]

_LISTED = 5  # categories in a sentence
_MOST_LEFT_OUT = 20  # columns in a sentence
_PLURAL = {
    "number": "numbers",
    "integer": "integers",
    "boolean": "booleans",
    "category": "categories",
    "ordered category": "ordered categories",
    "date": "dates",
}


def kinds_in_words(columns: Sequence[ColumnEncoding], left_out: Sequence[tuple[str, str]]) -> str:
    """One line on the kinds: "5 columns: 2 numbers, 1 category (region: 14), 1 date, 1 left out: note (unique)".

    Args:
        columns: those that are features.
        left_out: name and reason of the others.
    """
    kinds = Counter(_word(column) for column in columns)
    parts = list[str]()
    for kind, count in kinds.items():
        text = f"{count} {kind if count == 1 else _PLURAL[kind]}"
        if kind.endswith("category"):
            sizes = [f"{printable(each.name)}: {len(each.categories)}" for each in columns if _word(each) == kind]
            text += f" ({', '.join(sizes[:_LISTED])}{', ...' if len(sizes) > _LISTED else ''})"
        zones = [f"{printable(each.name)} in {each.zone}" for each in columns if each.zone and _word(each) == kind]
        text += f" ({', '.join(zones[:_LISTED])}{', ...' if len(zones) > _LISTED else ''})" if zones else ""
        parts.append(text)
    if left_out:
        listed = [f"{printable(name)} ({reason})" for name, reason in left_out]
        more = ", ..." if len(listed) > _MOST_LEFT_OUT else ""
        parts.append(f"{len(listed)} left out: {', '.join(listed[:_MOST_LEFT_OUT])}{more}")
    total = len(columns) + len(left_out)
    return f"{total} column{'s' if total > 1 else ''}: {', '.join(parts)}"


def _word(column: ColumnEncoding) -> str:
    """The kind of a column in a sentence."""
    return "ordered category" if column.kind == "ordered" else column.kind
