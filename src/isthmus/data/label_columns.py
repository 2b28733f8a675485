"""Labels and IDs from the columns of files: cells of text, and typed values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.label_values import as_objects, missing_labels, narrow
from isthmus.data.labels import is_finite_number, unlabeled
from isthmus.text import printable

__all__ = ["ids_from_values", "labels_from_cells", "labels_from_codes", "labels_from_column", "labels_from_values"]

Array = npt.NDArray[Any]

_LISTED = 5  # words in a note


def ids_from_values(values: Sequence[Any]) -> Array:
    """The IDs of rows as text, (n,); "" for a missing ID."""
    missing = missing_labels(as_objects(values))
    return np.asarray(["" if gone else str(each) for each, gone in zip(values, missing, strict=True)])


def labels_from_cells(cells: Sequence[str | None], marks: Iterable[str]) -> tuple[Array, tuple[str, ...]]:
    """The labels of a column of text cells, (n,), and notes for the user.

    An empty cell is a missing label: None. If all other cells are numbers, the marks are missing labels too; in a column with text they
    are text. Cells become integers or floats if these convert back to the same text. Otherwise they stay text, such as 02134 or 1e2.

    Args:
        cells: the cells as in the file.
        marks: the words for a missing value, in lower case, such as "na".
    """
    marks = {*marks, "nan"}
    filled = [cell for cell in cells if cell is not None and cell.strip()]
    marked = {cell for cell in set(filled) if cell.strip().lower() in marks}
    words = set(filled) - marked
    numeric = all(is_finite_number(word) for word in words)
    missing = marked if numeric else set[str]()
    labels = words if numeric else words | marked
    n_missing = sum(map(filled.count, missing)) + len(cells) - len(filled)
    notes = _notes(filled, set() if numeric else marked, n_missing, len(cells))
    convert = _conversion(labels) if numeric and words else str
    values = [None if cell is None or not cell.strip() or cell in missing else convert(cell) for cell in cells]
    return labels_from_values(values), notes + _spelling_note(labels if convert is str and numeric else set())


def labels_from_values(values: Sequence[Any]) -> Array:
    """Labels (n,) in the dtype that represents them exactly; objects with None if a label is missing."""
    objects = as_objects(values)
    missing = missing_labels(objects)
    if missing.any():
        objects[missing] = None
        return objects
    labels = narrow(objects, missing)
    return labels.astype(str) if labels.dtype == object and all(isinstance(value, str) for value in values) else labels


def labels_from_column(values: Sequence[Any]) -> tuple[Array, tuple[str, ...]]:
    """The labels of a column of typed values, (n,), and notes for the user."""
    labels = labels_from_values(values)
    return labels, _notes((), set(), unlabeled(labels), len(values))


def labels_from_codes(values: Sequence[Any], codes: npt.NDArray[np.integer[Any]]) -> tuple[Array, tuple[str, ...]]:
    """`labels_from_column` of values that are stored as the numbers of the different ones.

    Args:
        values: the different values.
        codes: (n,) their numbers; -1 for a missing value.
    """
    objects = as_objects([*values, None])
    missing = missing_labels(objects)
    n_missing = int(missing[codes].sum())
    if n_missing:
        objects[missing] = None
        return objects[codes], _notes((), set(), n_missing, len(codes))
    return (labels_from_values(list(values))[codes] if len(values) else np.empty(0, object)), ()


def _conversion(words: set[str]) -> Any:
    """The type whose values convert back to the same text: int or float; otherwise str."""
    for kind in (int, float):
        if all(_converts_back(kind, word) for word in words):
            return kind
    return str


def _converts_back(kind: Any, word: str) -> bool:
    """Whether a value of a type converts back to the text."""
    try:
        return str(kind(word)) == word.strip()
    except (ValueError, OverflowError):
        return False


def _notes(filled: Sequence[str], text: set[str], n_missing: int, count: int) -> tuple[str, ...]:
    """Notes on marks that are used as text, and on missing labels."""
    notes = []
    if text:
        counts = Counter(cell for cell in filled if cell in text)
        listed = ", ".join(f"{printable(word, 40)} ({n:,} rows)" for word, n in counts.most_common(_LISTED))
        notes.append(
            f"the column has text, so these labels are text too: {listed}; leave the cell of a missing label empty"
        )
    if n_missing:
        notes.append(f"{n_missing:,} of {count:,} rows {'has' if n_missing == 1 else 'have'} no label")
    return tuple(notes)


def _spelling_note(words: set[str]) -> tuple[str, ...]:
    """A note if a number is written in several ways, which are several labels."""
    spellings: dict[float, str] = {}
    for word in sorted(words):
        other = spellings.setdefault(float(word), word)
        if other != word:
            return (
                f"the labels {printable(other)} and {printable(word)} are the same number, written in two ways: two classes",
            )
    return ()
