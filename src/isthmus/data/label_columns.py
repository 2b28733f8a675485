"""Labels and ids as columns of files hold them: cells of text, and typed values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.labels import as_objects, is_finite_number, missing_labels, narrow, unlabeled
from isthmus.text import printable

__all__ = ["ids_from_values", "labels_from_cells", "labels_from_column", "labels_from_values"]

Array = npt.NDArray[Any]

_LISTED = 5  # marks in a note


def ids_from_values(values: Sequence[Any]) -> Array:
    """What names rows, (n,), as text; "" where it is missing."""
    objects = as_objects(values)
    return np.asarray(["" if none else str(each) for each, none in zip(values, missing_labels(objects), strict=True)])


def labels_from_cells(cells: Sequence[str | None], marks: Iterable[str]) -> tuple[Array, tuple[str, ...]]:
    """The labels of a column of text cells, (n,), with None where there is none, and what a user should hear of them.

    An empty cell is no label. Where all others are numbers, marks for missing values are none either; beside text they are text.
    Numbers become whole or floating-point ones where writing them gives the same cells again; else the cells stay text: 02134, 1e2.

    Args:
        cells: as they stand in the file.
        marks: lower-case words for a missing value, such as "na".
    """
    marks = {*marks, "nan"}
    there = [cell for cell in cells if cell is not None and cell.strip()]
    marked = {cell for cell in set(there) if cell.strip().lower() in marks}
    words = set(there) - marked
    numbers = all(is_finite_number(word) for word in words)
    none = marked if numbers else set[str]()
    kept = words if numbers else words | marked
    notes = _notes(
        there, set() if numbers else marked, sum(map(there.count, none)) + len(cells) - len(there), len(cells)
    )
    convert = _conversion(kept) if numbers and words else str
    labels = [None if cell is None or not cell.strip() or cell in none else convert(cell) for cell in cells]
    return labels_from_values(labels), notes + _twice(kept if convert is str and numbers else set())


def labels_from_values(values: Sequence[Any]) -> Array:
    """Labels (n,) in the type that holds them as they are; objects, None among them, where there is none."""
    objects = as_objects(values)
    missing = missing_labels(objects)
    if missing.any():
        objects[missing] = None
        return objects
    labels = narrow(objects, missing)
    return labels.astype(str) if labels.dtype == object and all(isinstance(value, str) for value in values) else labels


def labels_from_column(values: Sequence[Any]) -> tuple[Array, tuple[str, ...]]:
    """The labels of a column of typed values, (n,), and what a user should hear of them."""
    labels = labels_from_values(values)
    return labels, _notes((), set(), unlabeled(labels), len(values))


def _conversion(words: set[str]) -> Any:
    """What makes numbers of cells that can be written again as they were: int, float; or str, which leaves them as they are."""
    for kind in (int, float):
        if all(_same(kind, word) for word in words):
            return kind
    return str


def _same(kind: Any, word: str) -> bool:
    try:
        return str(kind(word)) == word.strip()
    except (ValueError, OverflowError):
        return False


def _notes(there: Sequence[str], text: set[str], without: int, count: int) -> tuple[str, ...]:
    notes = []
    if text:
        counts = Counter(cell for cell in there if cell in text)
        said = ", ".join(f"{printable(word, 40)} ({n:,} rows)" for word, n in counts.most_common(_LISTED))
        notes.append(
            f"beside text, these labels are taken for text: {said}; leave the cell empty where there is no label"
        )
    if without:
        notes.append(f"{without:,} of {count:,} rows {'has' if without == 1 else 'have'} no label")
    return tuple(notes)


def _twice(words: set[str]) -> tuple[str, ...]:
    """A note where one number is written in several ways, which then are several labels."""
    seen: dict[float, str] = {}
    for word in sorted(words):
        other = seen.setdefault(float(word), word)
        if other != word:
            return (
                f"the labels {printable(other)} and {printable(word)} are one number, written in two ways: two classes",
            )
    return ()
