"""Scalings that are an affine map of each value: NoScaling, UInt8, MinMax, Standard."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isthmus.data.statistics import DataStatistics
from isthmus.records import record
from isthmus.scaling.base import Affine, Per, Scaling, axes_of, extent, rounding

__all__ = ["MinMax", "NoScaling", "Standard", "UInt8"]

_TINY = 1e-100  # spreads below which squares are computed in a smaller unit, so that they do not underflow


@record
class NoScaling(Scaling):
    """No scaling: shift 0, scale 1."""

    def range(self, low: float, high: float) -> float | None:
        return 1.0 if low >= 0 and high <= 1 else None

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        return Affine(np.zeros(()), np.ones(()))


@record
class UInt8(Scaling):
    """Bytes: 0 to 255 becomes 0 to 1."""

    def range(self, low: float, high: float) -> float | None:
        return 255.0

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        return Affine(np.zeros(()), np.full((), 255.0))


@record
class MinMax(Scaling):
    """Maps minimum and maximum to 0 and 1: over all values, for each feature, or for each channel (the last axis).

    Examples:
        >>> fitted = MinMax().fit(np.array([[0.0, 10.0], [4.0, 30.0]]))
        >>> fitted.shift.tolist(), fitted.scale.tolist()
        (0.0, 30.0)
    """

    per: Per = "all"

    @property
    def by_feature(self) -> bool:
        return self.per != "all"

    def axes(self, ndim: int) -> tuple[int, ...]:
        return axes_of(self.per, ndim)

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        return self.fit_statistics(DataStatistics(examples))

    def fit_statistics(self, statistics: DataStatistics) -> Affine:
        ends = extent(statistics, self.axes(statistics.values.ndim))
        return Affine(ends.least, ends.scale(ends.largest - ends.least))


@record
class Standard(Scaling):
    """Standardizes to mean 0 and standard deviation 1: for each feature, for each channel (the last axis) or over all values.

    Constant features are only shifted. A feature is constant if its values differ by at most 8 machine epsilons of the dtype, relative
    to their size.
    """

    per: Per = "feature"

    @property
    def by_feature(self) -> bool:
        return self.per != "all"

    @property
    def centered(self) -> bool:
        return True

    def axes(self, ndim: int) -> tuple[int, ...]:
        return axes_of(self.per, ndim)

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        axes = self.axes(examples.ndim)
        return self.fit_statistics(DataStatistics(examples, ranges=[axes], sums=[axes]))

    def fit_statistics(self, statistics: DataStatistics) -> Affine:
        axes = self.axes(statistics.values.ndim)
        ends, (sums, n) = extent(statistics, axes), statistics.sums(axes)
        mean, unit = sums / n, _unit_of(ends.largest - ends.least)
        # without a minimum, a deviation below the rounding error would make that error large in model units
        minimum = 0.5 * rounding(statistics.values.dtype, ends.least, ends.largest)
        deviation = np.maximum(np.sqrt(statistics.squares(axes, mean, unit) / n) * unit, minimum)
        return Affine(np.where(ends.constant, ends.least, mean), ends.scale(deviation))


def _unit_of(span: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit in which squares are computed so that they do not underflow: 1, or a power of two for tiny spreads."""
    return np.where((span > 0) & (span < _TINY), np.exp2(np.floor(np.log2(np.where(span > 0, span, 1.0)))), 1.0)
