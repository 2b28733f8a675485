"""PCA of tables with categories: on standardized numbers, and a column of 0 and 1 for each category."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.memmap import Rows, random_subset
from isthmus.evaluation.metrics import principal_components
from isthmus.evaluation.pca import PCA_ROWS, sample_size
from isthmus.nn.blocks import width
from isthmus.training.batches import to_tensor

__all__ = ["TablePCA", "TableStatistics", "fit_table_pca", "principal_axes"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]

_BLOCK_VALUES = 2**22  # values at a time


class TableStatistics(NamedTuple):
    """Means and frequencies of the training examples, over observed values.

    Attributes:
        means: of each feature that is a number (d,); of a category the number of the most frequent one.
        deviations: the standard deviation of each number (d,); 1 for a category, and where it is 0.
        frequencies: of each feature the frequencies of its categories (n,); None for a number.
    """

    means: Doubles
    deviations: Doubles
    frequencies: tuple[Doubles | None, ...]

    @classmethod
    def fit(cls, rows: Array, classes: tuple[int, ...]) -> Self:
        """The statistics of rows (n, d) of features, NaN where a value is missing."""
        d = rows.shape[1]
        counts = [np.zeros(n) if n else None for n in classes]
        observed, sums, squares = np.zeros(d), np.zeros(d), np.zeros(d)
        pivot = np.nan_to_num(
            np.asarray(rows[0], np.float64)
        )  # squares of numbers far from 0 would round their differences away
        for block in _blocks(rows, d):
            there = ~np.isnan(block)
            deviations = np.where(there, block - pivot, 0.0)
            observed, sums, squares = (
                observed + there.sum(0),
                sums + deviations.sum(0),
                squares + (deviations**2).sum(0),
            )
            for place, count in enumerate(counts):
                if count is not None:
                    codes = block[there[:, place], place].astype(np.int64)
                    count += np.bincount(codes, minlength=len(count))
        n = np.maximum(observed, 1)
        offset = sums / n
        variances = np.maximum(squares / n - offset**2, 0)
        nominal = np.array(classes) > 0
        most_frequent = np.array([0 if count is None else count.argmax() for count in counts])
        return cls(
            np.where(nominal, most_frequent, pivot + offset),
            np.where(nominal | (variances == 0), 1.0, np.sqrt(variances)),
            tuple(None if count is None else count / max(1.0, count.sum()) for count in counts),
        )


class TablePCA(NamedTuple):
    """The principal components of a table.

    Attributes:
        statistics: of the examples that it was fitted on.
        classes: for each feature the number of its categories, 0 for a number.
        axes: k orthonormal axes (k, width), in standardized units.
    """

    statistics: TableStatistics
    classes: tuple[int, ...]
    axes: Tensor

    def centered(self, raw: Tensor) -> Tensor:
        """Rows (n, d) of features as standardized numbers and 0 or 1 for each category, minus their means: (n, width).

        A missing value becomes the mean, 0.
        """
        return torch.from_numpy(_standardized(raw.reshape(len(raw), -1).numpy(), self.statistics, self.classes))

    def reconstruct(self, raw: Array) -> Doubles:
        """The reconstructions (n, d) of rows (n, d): of a category the one with the largest value."""
        centered = self.centered(to_tensor(np.asarray(raw, np.float64)))
        projected = ((centered @ self.axes.T) @ self.axes).numpy()
        means, deviations, frequencies = self.statistics
        made, begin = np.empty(raw.shape), 0
        for place, (n, frequency) in enumerate(zip(self.classes, frequencies, strict=True)):
            block = projected[:, begin : begin + max(1, n)]
            if frequency is None:
                made[:, place] = block[:, 0] * deviations[place] + means[place]
            else:
                made[:, place] = (block + frequency).argmax(1)
            begin += max(1, n)
        return made


def fit_table_pca(rows: Array, classes: tuple[int, ...], size: int) -> tuple[TablePCA, str]:
    """PCA of a table.

    It is fitted on at most `PCA_ROWS` rows or 256 MiB, drawn at random with a fixed seed.

    Args:
        rows: (n, d) features, NaN where a value is missing. Missing values are replaced by the mean, or the frequencies of categories.
        classes: for each feature the number of its categories, 0 for a number; () if all are numbers.
        size: number of components.

    Returns:
        The PCA, and "". Where it is not possible, one without axes, and the reason.
    """
    classes = classes or (0,) * rows.shape[1]
    d, chosen = width(classes), random_subset(len(rows), sample_size(np.empty((1, width(classes))), PCA_ROWS))
    some = np.asarray(Rows(rows)(chosen))
    statistics, missing = TableStatistics.fit(some, classes), ""
    axes, free = np.empty((0, d)), d - sum(n > 0 for n in classes)  # the values of a category add up to 1
    if size >= free:
        missing = (
            f"a {size:,}-dimensional code of a table with {free:,} independent values: the error of PCA would be 0"
        )
    elif size >= len(some):
        missing = f"PCA with {size:,} components needs more than {size:,} examples; there are {len(some):,}"
    else:
        axes = principal_axes(some, statistics, classes, size)
        missing = "" if len(axes) else "all examples are equal, so there are no principal components"
    return TablePCA(statistics, classes, torch.from_numpy(axes)), missing


def principal_axes(rows: Array, statistics: TableStatistics, classes: tuple[int, ...], size: int) -> Doubles:
    """The first principal axes (size, width) of rows (n, d); none where all rows are equal."""
    centered, begin = np.empty((len(rows), width(classes)), np.float32), 0
    for block in _blocks(rows, centered.shape[1]):
        centered[begin : begin + len(block)] = _standardized(block, statistics, classes)
        begin += len(block)
    if not centered.any():
        return np.empty((0, centered.shape[1]))
    return np.asarray(principal_components(centered, size).components_, np.float64)


def _standardized(rows: Array, statistics: TableStatistics, classes: tuple[int, ...]) -> Doubles:
    """Rows (n, d) in standardized units (n, width), 0 where a value is missing."""
    scaled = np.nan_to_num((np.asarray(rows, np.float64) - statistics.means) / statistics.deviations)
    parts = list[Doubles]()
    for place, (n, frequency) in enumerate(zip(classes, statistics.frequencies, strict=True)):
        if frequency is None:
            parts.append(scaled[:, [place]])
        else:
            codes = rows[:, [place]]
            hits = (codes == np.arange(n)) - frequency
            parts.append(np.where(np.isnan(codes), 0.0, hits))
    return np.concatenate(parts, axis=1)


def _blocks(rows: Array, values: int) -> Iterator[Doubles]:
    """Rows in blocks of a bounded number of values, of which a row has so many."""
    step = max(1, _BLOCK_VALUES // values)
    for begin in range(0, len(rows), step):
        yield np.asarray(rows[begin : begin + step], np.float64)
