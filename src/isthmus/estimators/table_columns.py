"""The columns of the table that an autoencoder was trained on: names and kinds, and their values as users see them."""

from __future__ import annotations

from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.tables.column_encoding import ColumnEncoding
from isthmus.data.tables.column_kinds import EXACT, ColumnKind
from isthmus.data.tables.date_columns import SECONDS
from isthmus.estimators.base import FittedAutoencoder

__all__ = ["TableColumn", "TableColumns", "table_columns"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
_LATEST = 1e8  # days since 1970 that are written as a date


class TableColumn(NamedTuple):
    """A column of a table.

    Attributes:
        name: its name; "column 0" and so on where the table has none.
        kind: what its values mean.
        first: the position of its first feature, which holds its value; a date has more features.
        categories: of a category, an ordered one or a boolean: the text of each value, in the order of their numbers.
        least, largest, step: the range of its values, and the distance of neighboring ones; 0 for any number.
    """

    name: str
    kind: ColumnKind
    first: int
    categories: tuple[str, ...] = ()
    least: float = -np.inf
    largest: float = np.inf
    step: float = 0.0

    @property
    def nominal(self) -> bool:
        """Whether differences of its values mean nothing."""
        return self.kind in {"category", "boolean"}

    @property
    def discrete(self) -> bool:
        """Whether each of its values has a name."""
        return bool(self.categories)

    def text(self, value: float) -> str:
        """A value as users see it: the name of a category, a date, a number with six digits, a whole one with all; "" if it is missing."""
        if np.isnan(value):
            return ""
        if self.discrete:
            return self.categories[int(value)]
        if self.kind == "date" and abs(value) <= _LATEST:
            moment = np.datetime64(round(value * SECONDS["D"]), "s")
            return str(np.datetime_as_string(moment, unit="D" if self.step >= 1 else "s"))
        return f"{value:.0f}" if value == np.floor(value) and abs(value) < EXACT else f"{value:.6g}"


class TableColumns:
    """The columns of a table, in its order.

    Attributes:
        columns: one for each column.
        encoded: whether the columns became features by an encoding: the table has other columns than numbers.
    """

    def __init__(self, columns: tuple[TableColumn, ...], encoded: bool) -> None:
        self.columns, self.encoded = columns, encoded

    @cached_property
    def _bounds(self) -> tuple[Doubles, Doubles, Doubles]:
        """The least and the largest value of each column, and the distance of neighboring ones."""
        least, largest, step = (
            np.array([getattr(column, name) for column in self.columns]) for name in ("least", "largest", "step")
        )
        return least, largest, step

    def values(self, features: Array) -> Doubles:
        """The value of each column (n, columns), of features (n, d): as `reconstruct` gives it, rounded and within the range of training.

        A category is its number, a date the days since 1970. NaN stays.
        """
        least, largest, step = self._bounds
        first = np.asarray(features, np.float64)[:, [column.first for column in self.columns]]
        bounded = np.clip(first, least, largest)
        steps = np.where(step > 0, step, 1.0)
        return np.where(step > 0, np.round(bounded / steps) * steps, bounded)

    def observed(self, features: Array) -> Doubles:
        """The value of each column (n, columns), of the features (n, d) of given rows. NaN where a value is missing."""
        return np.asarray(features, np.float64)[:, [column.first for column in self.columns]]

    def by_column(self, features: Array) -> Array:
        """The sums over the features of each column (n, columns), of values (n, d)."""
        sums: Array = np.add.reduceat(features, [column.first for column in self.columns], axis=1)
        return sums


def table_columns(ae: FittedAutoencoder) -> TableColumns | None:
    """The columns of the table that an autoencoder was trained on. None for other data, and for an array of numbers without names."""
    if ae.kind_ != "table" or len(ae.shape_) != 1:
        return None
    table = ae._require_fitted().table
    if table is not None:
        widths = [column.width for column in table.columns]
        firsts = list(accumulate(widths, initial=0))[:-1]
        return TableColumns(tuple(map(_encoded, table.columns, firsts)), True)
    classes = ae.model_.scaling.classes
    names: Any = getattr(ae, "_features", None)
    if names is None and not any(classes):
        return None
    names = [f"column {place}" for place in range(ae.shape_[0])] if names is None else names
    return TableColumns(
        tuple(_plain(str(name), place, count) for place, (name, count) in enumerate(_with_classes(names, classes))),
        any(classes),
    )


def _with_classes(names: Any, classes: tuple[int, ...]) -> list[tuple[Any, int]]:
    """Each name with the number of categories of its column, 0 for a number."""
    return list(zip(names, classes or [0] * len(names), strict=True))


def _plain(name: str, place: int, count: int) -> TableColumn:
    """A column of an array."""
    if not count:
        return TableColumn(name, "number", place)
    return TableColumn(name, "category", place, tuple(map(str, range(count))), 0.0, count - 1.0, 1.0)


def _encoded(column: ColumnEncoding, first: int) -> TableColumn:
    """A column of a frame. Its values are rounded and bounded as `ColumnEncoding.decode` does it."""
    if column.kind in {"category", "ordered", "boolean"}:
        labels = ("false", "true") if column.kind == "boolean" else tuple(map(str, column.categories))
        return TableColumn(column.name, column.kind, first, labels, 0.0, len(labels) - 1.0, 1.0)
    decimals = 0.0 if column.decimals is None else 10.0**-column.decimals
    step = {"integer": 1.0, "date": SECONDS[column.unit] / SECONDS["D"]}.get(column.kind, decimals)
    return TableColumn(column.name, column.kind, first, (), column.least, column.largest, step)
