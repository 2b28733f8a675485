"""Tables in which some columns hold categories."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Tensor

from isthmus.data.locations import Positions
from isthmus.data.statistics import DataStatistics
from isthmus.data.validation import blocks
from isthmus.errors import DataError, RecordError
from isthmus.nn.blocks import Classes, runs, split, width
from isthmus.records import record
from isthmus.scaling.affine import Standard
from isthmus.scaling.base import Affine, Scaling, fit_affine
from isthmus.scaling.curves import Curves

__all__ = ["Columns"]


@record
class Columns(Scaling):
    """A table in which some columns hold categories as codes, 0 to n - 1. Such a column becomes n values, 0 or 1 (one-hot).

    A missing category is missing in the whole block; its first replacement are the frequencies of the categories.

    Args:
        classes: for each column 0 for a number, or the number n of its categories. (): all are numbers.
        numbers: the scaling of the columns of numbers; each needs a scale of its own.

    Examples:
        >>> table = np.array([[1.5, 2], [0.5, 0], [1.0, 1], [1.0, 2]])
        >>> Columns((0, 3)).fit(table).scale.round(3).tolist()
        [0.354, 1.0]
        >>> Columns((0, 3)).shape((2,))
        (4,)
    """

    classes: Classes = ()
    numbers: Scaling = Standard()

    @model_validator(mode="after")
    def _numbers_have_own_scales(self) -> Columns:
        if self.numbers.classes or self.numbers.axes(2) not in {None, (0,)}:
            raise ValueError(f"numbers={self.numbers!r} does not scale each column by itself; use Standard()")
        return self

    @property
    def by_feature(self) -> bool:
        return self.numbers.by_feature

    @property
    def centered(self) -> bool:
        return self.numbers.centered

    @property
    def curved(self) -> bool:
        return self.numbers.curved

    @property
    def open(self) -> bool:
        return self.numbers.open

    def completed(self, fitted: Scaling) -> Scaling:
        return self.replace(numbers=self.numbers.completed(fitted.numbers)) if isinstance(fitted, Columns) else self

    def resolved(self, statistics: DataStatistics, numbers: NDArray[np.bool_], positions: Positions) -> Scaling:
        self.shape(statistics.values.shape[1:])
        return self.replace(numbers=self.numbers.resolved(statistics, self._are_numbers(numbers), positions))

    def summary(self, count: int) -> str:
        return self.numbers.summary(self.classes.count(0) if self.classes else count)

    def curves(
        self, statistics: DataStatistics, affine: Affine, numbers: NDArray[np.bool_], positions: Positions
    ) -> Curves | None:
        return self.numbers.curves(statistics, affine, self._are_numbers(numbers), positions)

    def _are_numbers(self, numbers: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each feature holds numbers."""
        return numbers & (np.array(self.classes) == 0) if self.classes else numbers

    def range(self, low: float, high: float) -> float | None:
        return None if any(self.classes) else self.numbers.range(low, high)

    def axes(self, ndim: int) -> tuple[int, ...] | None:
        return self.numbers.axes(ndim)

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        return self.fit_statistics(DataStatistics(examples))

    def fit_statistics(self, statistics: DataStatistics) -> Affine:
        self.shape(statistics.values.shape[1:])
        affine = fit_affine(self.numbers, statistics)
        if not any(self.classes):
            return affine
        categories = np.array(self.classes) > 0
        return Affine(np.where(categories, 0.0, affine.shift), np.where(categories, 1.0, affine.scale))

    def fill(
        self, affine: Affine, means: NDArray[np.float64], examples: NDArray[np.generic], shape: tuple[int, ...]
    ) -> NDArray[Any]:
        scaled = super().fill(affine, means, examples, shape)
        if not any(self.classes):
            return scaled
        counts = [np.zeros(n) for n in self.classes]
        for _, block in blocks(examples):
            for count, codes in zip(counts, block.T, strict=True):
                if len(count):
                    count += np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=len(count))
        parts = [count / count.sum() if len(count) else scaled[[j]] for j, count in enumerate(counts)]
        return np.concatenate(parts)

    def check(self, examples: NDArray[np.generic], positions: Positions) -> None:
        if not any(self.classes):
            return
        self.shape(examples.shape[1:])
        n = np.array(self.classes)
        for begin, block in blocks(examples):
            codes = block.astype(np.float64)
            wrong = (n > 0) & ~(np.isnan(codes) | ((codes == np.floor(codes)) & (codes >= 0) & (codes < n)))
            if wrong.any():
                row, column = map(int, np.argwhere(wrong)[0])
                raise DataError(
                    f"{positions((begin + row, column))} is {codes[row, column]:g}, but this column has {n[column]} categories: "
                    f"expected a whole number from 0 to {n[column] - 1}"
                )

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if not self.classes:
            return shape
        if shape != (len(self.classes),):
            raise RecordError(
                f"Columns: classes names {len(self.classes)} columns, and the examples have the shape {shape}; give one entry "
                "for each column of a table"
            )
        return (width(self.classes),)

    def expand(self, x: Tensor) -> Tensor:
        if not any(self.classes):
            return x
        return torch.cat([_one_hot(part, n) if n else part for part, n in self._features(x)], -1)

    def collapse(self, x: Tensor) -> Tensor:
        if not any(self.classes):
            return x
        return torch.cat([_code(part) if n else part for part, n in split(x, self.classes)], -1)

    def differences(self, made: Tensor, true: Tensor) -> Tensor:
        difference = made - true
        if not any(self.classes):
            return difference
        wrong = (torch.tensor(self.classes, device=difference.device) > 0) & (difference.abs() > 0)
        return torch.where(wrong, 1, difference)

    def spread(self, values: Tensor) -> Tensor:
        if not any(self.classes):
            return values
        parts = [part.expand(*part.shape[:-1], n) if n else part for part, n in self._features(values)]
        return torch.cat(parts, -1)

    def whole(self, values: Tensor) -> Tensor:
        if not any(self.classes):
            return values
        parts = [part[..., :1].expand_as(part) if n else part for part, n in split(values, self.classes)]
        return torch.cat(parts, -1)

    def _features(self, values: Tensor) -> list[tuple[Tensor, int]]:
        """The columns of values (..., columns): runs of numbers with 0, and single columns of n categories with n."""
        counts, sizes = zip(*runs(self.classes), strict=True)
        return list(zip(values.split(list(counts), -1), sizes, strict=True))


def _one_hot(codes: Tensor, n: int) -> Tensor:
    """Codes (..., 1) as blocks (..., n) of 0 and 1; a missing code as NaN."""
    hits = codes == torch.arange(n, dtype=codes.dtype, device=codes.device)
    return torch.where(codes.isnan(), codes, hits.to(codes.dtype))


def _code(block: Tensor) -> Tensor:
    """The codes (..., 1) of the largest values of blocks (..., n); NaN if a value is missing."""
    code = block.argmax(-1, keepdim=True).to(block.dtype)
    return torch.where(block.isnan().any(-1, keepdim=True), math.nan, code)
