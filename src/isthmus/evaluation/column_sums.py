"""Sums of errors over the rows of a table, by column, and the figures that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.estimators.table_columns import TableColumns
from isthmus.evaluation.column_result import ColumnFigure, MethodErrors, mean_error
from isthmus.scaling.base import rounding

__all__ = ["ColumnSums"]

Doubles = NDArray[np.float64]


class ColumnSums:
    """Sums over observed values, by column (columns,): of the errors of each method, and of the constants.

    Args:
        columns: of the table.
        constants: what errors are relative to: for each column the mean, of a category the most frequent one.
        most_frequent: for each column with categories the most frequent one.
        dtype: of the features, for the rounding of equal values.
    """

    def __init__(
        self, columns: TableColumns, constants: Doubles, most_frequent: NDArray[np.int64], dtype: np.dtype[Any]
    ) -> None:
        self.columns, self.constants, self.most_frequent, self.dtype = columns.columns, constants, most_frequent, dtype
        d = len(self.columns)
        self.counts, self.total, self.frequent = np.zeros(d, np.int64), np.zeros(d), np.zeros(d)
        self.low, self.high = np.full(d, np.inf), np.full(d, -np.inf)
        self.squares: dict[str, Doubles] = {}
        self.absolutes: dict[str, Doubles] = {}
        self.wrong: dict[str, Doubles] = {}

    def add(self, true: Doubles, made: Mapping[str, Doubles]) -> None:
        """Adds values (n, columns) and their reconstructions by each method."""
        there = ~np.isnan(true)
        self.counts += there.sum(0)
        self.total += np.square(np.where(there, true - self.constants, 0)).sum(0)
        self.frequent += (there & (true == self.most_frequent)).sum(0)
        self.low = np.minimum(self.low, np.where(there, true, np.inf).min(0))
        self.high = np.maximum(self.high, np.where(there, true, -np.inf).max(0))
        for name, values in made.items():
            difference = np.abs(np.where(there, values - true, 0))
            for sums, each in (
                (self.squares, difference**2),
                (self.absolutes, difference),
                (self.wrong, difference > 0),
            ):
                sums[name] = sums.get(name, 0.0) + each.sum(0)

    def figure(self, place: int, nats: float | None) -> ColumnFigure:
        """The figures of a column, whose values have a sum of nats."""
        n, column = int(self.counts[place]), self.columns[place]
        return ColumnFigure(
            name=column.name,
            kind=column.kind,
            n_observed=n,
            reconstruction=self.errors("", place),
            pca=self.errors("pca", place) if "pca" in self.squares else None,
            most_frequent=column.categories[self.most_frequent[place]] if column.discrete else "",
            baseline_accuracy=float(self.frequent[place] / n) if column.discrete and n else None,
            nats=nats / n if n and nats is not None else None,
            note=self.why_no_error(place),
        )

    def mean_error(self, name: str) -> float | None:
        """The mean of the errors of a method over the columns."""
        return mean_error([self.errors(name, place).error for place in range(len(self.columns))])

    def errors(self, name: str, place: int) -> MethodErrors:
        """The errors of a method in a column."""
        n, column = int(self.counts[place]), self.columns[place]
        if not n:
            return MethodErrors()
        squares, absolutes, wrong = (float(sums[name][place]) for sums in (self.squares, self.absolutes, self.wrong))
        accuracy = 1 - wrong / n if column.discrete else None
        if column.nominal:
            part, whole = wrong, n - float(self.frequent[place])
        else:
            part, whole = squares, float(self.total[place])
        error = None if self.why_no_error(place) or not whole else part / whole
        if column.nominal:
            return MethodErrors(error, accuracy)
        return MethodErrors(error, accuracy, absolutes / n, math.sqrt(squares / n))

    def why_no_error(self, place: int) -> str:
        """Why a column has no error, or ""."""
        if not self.counts[place]:
            return "no value is observed"
        low, high = self.low[place], self.high[place]
        return "constant" if high - low <= rounding(self.dtype, low, high) else ""
