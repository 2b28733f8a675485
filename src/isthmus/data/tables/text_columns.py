"""The cells of columns that are not read as numbers, collected while a table is read, so that it need not be read twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from isthmus.data.tables.arrow import pyarrow

__all__ = ["ReadAs", "TextColumns"]

Array = npt.NDArray[Any]


class ReadAs(NamedTuple):
    """The format of a text file, which further lines of it have too.

    Attributes:
        head: the number of lines before the first row.
        options: the options of `ReadOptions` that read further lines in the same way, by name.
    """

    head: int
    options: dict[str, Any]


class TextColumns:
    """Collects the cells of some columns, by name; a column that the table does not have has none.

    Args:
        names: of columns that are not learned.
        features: of columns that are learned, and are not read as numbers.
        whole: whether all other columns that nobody asked to leave out are collected too, for a completed table.

    Attributes:
        columns: the names of all columns of the table, once it is read.
        order: the names of all columns that nobody asked to leave out, in their order, once the table is read.
        selected: the names of all columns that are learned, in their order, once the table is read.
        typed: whether the columns of the table have types.
        truths: those of them with true and false in place of numbers.
        read_as: the format of the text file they were read from, once it is read; None for others.
    """

    def __init__(self, names: Collection[str] = (), features: Collection[str] = (), whole: bool = False) -> None:
        self.names, self.features, self.whole = tuple(names), frozenset(features), whole
        self.typed = False
        self.columns, self.order, self.selected = tuple[str, ...](), tuple[str, ...](), tuple[str, ...]()
        self.truths = frozenset[str]()
        self.read_as: ReadAs | None = None
        self._parts: dict[str, list[Any]] = {}
        self._positions: dict[str, int] = {}
        self._labels: Callable[[list[Any]], Array] | None = None

    def begin(
        self,
        columns: Sequence[str],
        selected: Sequence[int],
        labels: Callable[[list[Any]], Array],
        dropped: Collection[int] = (),
    ) -> list[int]:
        """Prepares for reading the rows of a table.

        Args:
            columns: the names of all columns of the table.
            selected: the positions of those that are learned.
            labels: converts the cells of a column to labels.
            dropped: the positions of those that the user left out.

        Returns:
            The positions of those that are read as numbers.
        """
        self.selected = tuple(columns[position] for position in selected)
        self.columns = tuple(columns)
        self.order = tuple(dict.fromkeys(name for position, name in enumerate(columns) if position not in dropped))
        others = [name for name in self.order if name not in self.selected] if self.whole else []
        collected = [
            *(name for name in self.names if name in columns),
            *(name for name in self.selected if name in self.features),
            *others,
        ]
        first = {name: position for position, name in reversed(list(enumerate(columns)))}
        self._positions, self._labels = {name: first[name] for name in collected}, labels
        self.forget()
        return [position for position in selected if columns[position] not in self.features]

    @property
    def collected(self) -> frozenset[str]:
        """The names of the columns whose cells are collected."""
        return frozenset(self._positions)

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions of those columns in the table."""
        return tuple(self._positions.values())

    def forget(self) -> None:
        """Starts at the first row again."""
        self._parts = {name: [] for name in self._positions}

    def add(self, column: Callable[[int], Any]) -> None:
        """Adds the cells of the next rows. `column` returns those at a position, as an array of pyarrow."""
        for name, position in self._positions.items():
            self._parts[name].append(column(position))

    def column(self, name: str) -> Any:
        """The cells of a column, as an array of pyarrow (n,)."""
        arrow, parts = pyarrow(), self._parts[name]
        return arrow.concat_arrays(parts) if parts else arrow.array([], arrow.string())

    def found(self, name: str) -> bool:
        """Whether the table has a column of this name."""
        return name in self._positions

    def beside(self, frame: Any, names: Collection[str]) -> Any:
        """A table of pyarrow with further collected columns, in the order of the file.

        Args:
            frame: the columns that are learned.
            names: of the further ones; all that are collected, if the table is to be whole.
        """
        own = frame.column_names
        others = [name for name in self.order if self.found(name) and (self.whole or name in names) and name not in own]
        joined = {name: frame.column(name) for name in own} | {name: self.column(name) for name in others}
        return pyarrow().table({name: joined[name] for name in self.order if name in joined})

    def labels(self, name: str) -> list[Any]:
        """The cells of a column as labels, None where a label is missing."""
        assert self._labels is not None
        labels: list[Any] = self._labels(self.column(name).to_pylist()).tolist()
        return labels
