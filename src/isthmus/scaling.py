"""Raw units <-> model units: an affine map for each value of an example, fitted on the training data and saved with the model.

model units = (raw - shift) / scale

A density in raw units is the density in model units divided by the scale: `Model.nll` adds log(scale) for each value. The spread of a
constant feature is unknown, so its scale is 1 and adds nothing. Very large constants get the size of their rounding error as scale.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.kinds import Kind
from isthmus.data.statistics import DataStatistics
from isthmus.records import Record, record

__all__ = ["MinMax", "NoScaling", "Standard", "UInt8"]

Per = Literal["feature", "channel", "all"]

_TINY = 1e-100  # spreads below which squares are computed in a smaller unit, so that they do not underflow
_ROUNDED = 8  # times the precision of a value: by so much equal values may differ after rounding


class Affine(NamedTuple):
    """Shift and scale, each broadcastable to (b, *shape)."""

    shift: NDArray[Any]
    scale: NDArray[Any]

    def astype(self, dtype: np.dtype[Any]) -> Affine:
        """The same map in another dtype. No scale becomes zero."""
        with np.errstate(over="ignore"):  # infinite values are checked later
            return Affine(self.shift.astype(dtype), np.maximum(self.scale, np.finfo(dtype).tiny).astype(dtype))


class Extent(NamedTuple):
    """Minimum and maximum of examples over some axes. Where both are equal, the values are constant."""

    least: NDArray[Any]
    largest: NDArray[Any]

    def astype(self, dtype: np.dtype[Any]) -> Extent:
        """The same in another dtype."""
        return Extent(self.least.astype(dtype), self.largest.astype(dtype))

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Where the values are constant."""
        found: NDArray[np.bool_] = self.least == self.largest
        return found

    def scale(self, spread: NDArray[Any]) -> NDArray[np.float64]:
        """The divisor for values of a given spread. For constants it is 1, or the float32 rounding error of a large one."""
        rounded = 8 * _ROUNDED * np.finfo(np.float32).eps * np.abs(self.least)
        return np.where(self.constant, np.maximum(1.0, rounded), spread)


class Range(NamedTuple):
    """Minimum and maximum of examples, and whether all values are integers."""

    low: float
    high: float
    whole: bool


@record
class Scaling(Record):
    """The contract of a scaling: it fits shift and scale."""

    @property
    def by_feature(self) -> bool:
        """Whether each feature or channel has its own scale."""
        return False

    @property
    def centered(self) -> bool:
        """Whether values in model units are centered at zero."""
        return False

    def range(self, low: float, high: float) -> float | None:
        """The data range of examples between ``low`` and ``high`` if the scaling knows it, such as 255 for bytes.

        Args:
            low, high: the smallest and the largest value, in raw units.

        Returns:
            The range in raw units, or None.
        """
        return None

    def axes(self, ndim: int) -> tuple[int, ...] | None:
        """The axes of examples that share a scale, where it comes from ranges or sums over those; else None.

        Args:
            ndim: the number of axes of all examples together, n included.
        """
        return None

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        """Shift and scale for examples (n, *shape).

        Args:
            examples: (n, *shape), in raw units.

        Returns:
            Shift and scale in raw units, of a shape that broadcasts to that of an example.
        """
        raise NotImplementedError

    def fit_statistics(self, statistics: DataStatistics) -> Affine:
        """`fit`, from what is known of the examples: those are read again only where that is not enough.

        Args:
            statistics: of the examples, in raw units.

        Returns:
            Shift and scale in raw units, of a shape that broadcasts to that of an example.
        """
        return self.fit(statistics.values)


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
    """Minimum and maximum become 0 and 1: over all values, for each feature, or for each channel (the last axis).

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
        found = extent(statistics, self.axes(statistics.values.ndim))
        return Affine(found.least, found.scale(found.largest - found.least))


@record
class Standard(Scaling):
    """Mean 0, standard deviation 1: for each feature, for each channel (the last axis) or over all values.

    Constant features are only shifted. A feature counts as constant if its values differ by at most eight times the precision of the dtype.
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
        found, (sums, n) = extent(statistics, axes), statistics.sums(axes)
        mean, unit = sums / n, _unit_of(found.largest - found.least)
        noise = 0.5 * _rounding(
            statistics.values.dtype, found.least, found.largest
        )  # of which rounding stays a fraction
        deviation = np.maximum(np.sqrt(statistics.squares(axes, mean, unit) / n) * unit, noise)
        return Affine(np.where(found.constant, found.least, mean), found.scale(deviation))


def _unit_of(span: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit in which squares are computed so that they do not underflow: 1, or a power of two for tiny spreads."""
    return np.where((span > 0) & (span < _TINY), np.exp2(np.floor(np.log2(np.where(span > 0, span, 1.0)))), 1.0)


def axes_of(per: Per, ndim: int) -> tuple[int, ...]:
    """The axes of examples (n, *shape) that share a scale."""
    return {"feature": (0,), "channel": tuple(range(max(1, ndim - 1))), "all": tuple(range(ndim))}[per]


def extent(statistics: DataStatistics, axes: tuple[int, ...] = (0,)) -> Extent:
    """The least and largest numbers of examples (n, *shape) over axes; what differs by rounding alone has its middle as both."""
    low, high = (side.astype(np.float64) for side in statistics.ends(axes))
    alike, middle = high - low <= _rounding(statistics.values.dtype, low, high), low + (high - low) / 2
    return Extent(np.where(alike, middle, low), np.where(alike, middle, high))


def _rounding(dtype: np.dtype[Any], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """The difference that rounding can cause between equal values in a range. Integers are exact."""
    eps = float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
    return np.asarray(_ROUNDED * eps * np.maximum(np.abs(low), np.abs(high)))


def shared_by(kind: Kind, ndim: int) -> Per:
    """Which values of examples (n, *shape) share a unit: those of a feature of a table, or of a channel of windows and color images."""
    if kind == "table":
        return "feature"
    return "channel" if ndim > (3 if kind == "images" else 2) else "all"


def range_of(statistics: DataStatistics) -> Range:
    """The range of examples."""
    low, high = statistics.ends(tuple(range(statistics.values.ndim)))
    return Range(float(low), float(high), statistics.whole)


def choose(statistics: DataStatistics, kind: Kind, shares: bool = False) -> Scaling:
    """The scaling that ``scaling="auto"`` selects for examples of a kind.

    Tables are standardized by feature and windows by channel. Images in [0, 1] (with a maximum of at least 0.5) are not scaled. Bytes and
    other integers from 0 to 255 are divided by 255. Other images are standardized by channel.

    Args:
        statistics: of the examples.
        kind: the kind of the examples.
        shares: whether the likelihood expects values in [0, 1].
    """
    values = statistics.values
    low, high, whole = range_of(statistics) if kind == "images" or shares else (-np.inf, np.inf, False)
    if low >= 0 and high <= 1 and (whole or (kind == "images" and high >= 0.5)):
        return NoScaling()
    if kind == "images" and low >= 0 and high <= 255 and (values.dtype == np.uint8 or (whole and high > 127)):
        return UInt8()
    per = shared_by(kind, values.ndim)
    return MinMax(per="all" if kind == "images" else per) if shares else Standard(per=per)


def wide_enough(statistics: DataStatistics) -> np.dtype[Any]:
    """float32 if it represents all values of the examples exactly, otherwise float64."""
    dtype = np.promote_types(statistics.values.dtype, np.float32)
    if statistics.values.dtype.kind in "iu" and dtype == np.float64:
        low, high, _ = range_of(statistics)
        return np.dtype(np.float32 if low >= -(2**24) and high <= 2**24 else np.float64)
    return dtype


def within_unit(statistics: DataStatistics, affine: Affine) -> bool:
    """Whether the scaled examples are in [0, 1], as a Bernoulli likelihood expects."""
    ends = statistics.ends_for(np.broadcast_shapes(affine.shift.shape, affine.scale.shape))
    low, high = ((side.astype(np.float64) - affine.shift) / affine.scale for side in ends)
    return not bool((low < -1e-9).any() or (high > 1 + 1e-9).any())
