"""Columns of a table that cannot be learned: their cells are kept while the table is read, so that one reading tells what all hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy.typing as npt

from isthmus.data.tables.arrow import pyarrow

__all__ = ["TextColumns"]

Array = npt.NDArray[Any]


class TextColumns:
    """The cells of some columns, by name.

    Args:
        names: of the columns.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self.names = tuple(names)
        self._parts: dict[str, list[Any]] = {name: [] for name in names}
        self._places: dict[str, int] = {}
        self._labels: Callable[[list[Any]], Array] | None = None

    def begin(self, columns: Sequence[str], labels: Callable[[list[Any]], Array]) -> None:
        """The table is found, and its rows will be read.

        Args:
            columns: the names of all columns of the table.
            labels: makes labels of the cells of a column.
        """
        self._places, self._labels = {name: columns.index(name) for name in self._parts}, labels
        self.forget()

    def forget(self) -> None:
        """The next rows are the first ones again."""
        self._parts = {name: [] for name in self._parts}

    def add(self, column: Callable[[int], Any]) -> None:
        """Keeps the cells of more rows; `column` gives those of a place, as an array of pyarrow."""
        for name, place in self._places.items():
            self._parts[name].append(column(place))

    def labels(self, name: str) -> list[Any]:
        """The labels that the column would be, with None where there is none."""
        assert self._labels is not None
        parts = self._parts[name]
        cells = pyarrow().chunked_array(parts).to_pylist() if parts else []
        found: list[Any] = self._labels(cells).tolist()
        return found
