"""Columns and arrays beside the features: the weights of examples, and the groups that a split keeps together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from isthmus.data.dataset import Dataset
from isthmus.data.label_values import as_objects
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.sample_weights import sample_weights
from isthmus.data.tables.cells import value_of
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["role_names", "with_roles"]


def role_names(options: ReadOptions, reused: Reused | None) -> tuple[str, ...]:
    """The names of the columns or arrays of weights and groups, of the user or of a run."""
    merged = options if reused is None else options.over(reused.options)
    return tuple(dict.fromkeys(name for name in (merged.weights, merged.by) if name is not None))


def _number(cell: Any) -> Any:
    """The number that a text states; other values, and texts that state none, unchanged."""
    number = value_of(cell) if isinstance(cell, str) else None
    return cell if number is None else number


def with_roles(
    dataset: Dataset, options: ReadOptions, reused: Reused | None, column: Callable[[str], Iterable[Any] | None]
) -> Dataset:
    """The data set with the weights and the groups of its training examples, and notes about them.

    Args:
        dataset: the examples.
        options, reused: the user's options, and the run for which the data are read; columns that only the run names are optional.
        column: returns the values of the column or array of a name, None if there is none.

    Raises:
        DataError: there is no such column, or a weight is invalid.
    """
    merged = options if reused is None else options.over(reused.options)
    n, notes = len(dataset.train), list(dataset.notes)
    for name, given in ((merged.weights, options.weights), (merged.by, options.by)):
        if name is not None and given is not None and column(name) is None:
            raise DataError(
                f"{dataset.source} has no {printable(name)!r} for weights= or by= (--weights, --by): check the name"
            )
    cells, labels = (None if name is None else column(name) for name in (merged.weights, merged.by))
    weights = groups = None
    if cells is not None:
        shown = printable(str(merged.weights))
        values: Any = cells
        if not isinstance(cells, np.ndarray) or cells.dtype == object:
            values = [np.nan if each is None else _number(each) for each in cells]
        weights = sample_weights(values, n, f"the weight {shown} of {dataset.source}")
        notes.append(
            f"{shown} holds the weights of examples: they count in training, and evaluations count each example once"
        )
    if labels is not None:
        shape = np.shape(labels) if isinstance(labels, np.ndarray) else (len(list(labels)),)
        if shape != (n,):
            raise DataError(
                f"{printable(str(merged.by))} (--by, by=) of {dataset.source} has shape {shape}, for {n:,} examples: give each a group"
            )
        groups = labels if isinstance(labels, np.ndarray) and labels.dtype == object else as_objects(list(labels))
        if dataset.test is not None:
            notes.append(
                f"{dataset.name} has a test part of its own, which {printable(str(merged.by))} (--by, by=) does not change"
            )
    name = None if groups is None else merged.by
    return replace(dataset, weights=weights, groups=groups, groups_name=name, notes=tuple(notes))
