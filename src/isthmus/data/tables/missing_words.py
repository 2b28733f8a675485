"""Words in columns of text that mean a missing value, or may mean one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from isthmus.data.options import ReadOptions
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.cells import MARKS
from isthmus.data.tables.column_kinds import infer_kind
from isthmus.text import printable

__all__ = ["USUAL_WORDS", "are_dates", "given_words", "notes_on_words", "without_words"]

USUAL_WORDS = MARKS - {"none"}  # a missing value among numbers, and a word like others among texts
_LISTED = 8  # words in a note


def given_words(options: ReadOptions) -> set[str]:
    """The words that the user gave, in lower case."""
    return {mark.strip().lower() for mark in options.na_values}


def are_dates(column: Any, words: Collection[str]) -> bool:
    """Whether all texts but words for missing values are dates."""
    return infer_kind(without_words(column, words, Counter())).kind == "date"


def without_words(column: Any, words: Collection[str], counts: Counter[str]) -> Any:
    """A column of text, null where it holds one of some words, in lower case; these are counted."""
    arrow, compute = pyarrow(), pyarrow().compute
    lower = compute.utf8_lower(column)
    marked = compute.is_in(lower, value_set=arrow.array(sorted(words), lower.type))
    for each in compute.value_counts(column.filter(marked)).to_pylist():
        counts[each["values"]] += each["counts"]
    return compute.if_else(marked, None, column)


def notes_on_words(missing: Counter[str], kept: Counter[str], name: str) -> list[str]:
    """Notes on the words of a table that mean missing values, and on those that are read as they are."""
    notes = [f"missing values in columns of text of {name}: {_counts(missing)}"] if missing else []
    if kept:
        remedy = "if they mean missing values, give them with --na-values (na_values=)"
        notes.append(f"texts of {name} that are read as they are: {_counts(kept)}; {remedy}")
    return notes


def _counts(words: Counter[str]) -> str:
    """The number of cells with some words, and the most frequent of these."""
    listed = ", ".join(f"'{printable(word, 20)}' {count:,}" for word, count in words.most_common(_LISTED))
    return f"{words.total():,} ({listed})"
