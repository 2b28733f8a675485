"""The cells of columns that cannot be learned, collected while a table is read, so that it need not be read twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy.typing as npt

from isthmus.data.tables.arrow import pyarrow

__all__ = ["TextColumns"]

Array = npt.NDArray[Any]


class TextColumns:
    """Collects the cells of some columns, by name.

    Args:
        names: of the columns.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self.names = tuple(names)
        self._parts: dict[str, list[Any]] = {name: [] for name in names}
        self._positions: dict[str, int] = {}
        self._labels: Callable[[list[Any]], Array] | None = None

    def begin(self, columns: Sequence[str], labels: Callable[[list[Any]], Array]) -> None:
        """Prepares for reading the rows of a table.

        Args:
            columns: the names of all columns of the table.
            labels: converts the cells of a column to labels.
        """
        self._positions, self._labels = {name: columns.index(name) for name in self._parts}, labels
        self.forget()

    def forget(self) -> None:
        """Starts at the first row again."""
        self._parts = {name: [] for name in self._parts}

    def add(self, column: Callable[[int], Any]) -> None:
        """Adds the cells of the next rows. `column` returns those at a position, as an array of pyarrow."""
        for name, position in self._positions.items():
            self._parts[name].append(column(position))

    def labels(self, name: str) -> list[Any]:
        """The cells of a column as labels, None where a label is missing."""
        assert self._labels is not None
        parts = self._parts[name]
        cells = pyarrow().chunked_array(parts).to_pylist() if parts else []
        labels: list[Any] = self._labels(cells).tolist()
        return labels
