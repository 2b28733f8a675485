"""Raw units <-> model units: an affine map for each value of an example, fitted on the training data and saved with the model.

model units = (raw - shift) / scale

A density in raw units is the density in model units divided by the scale: `Model.nll` adds log(scale) for each value. A constant
feature has no spread: its scale is 1, which adds nothing, or the size of the rounding error if the constant is very large.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.kinds import Kind
from isthmus.data.statistics import DataStatistics, broadcasts
from isthmus.errors import RecordError
from isthmus.records import Record, record

__all__ = ["MinMax", "NoScaling", "Standard", "UInt8"]

Per = Literal["feature", "channel", "all"]

_TINY = 1e-100  # spreads below which squares are computed in a smaller unit, so that they do not underflow
_ROUNDED = 8  # multiple of the machine epsilon by which equal values may differ after rounding


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
        constant: NDArray[np.bool_] = self.least == self.largest
        return constant

    def scale(self, spread: NDArray[Any]) -> NDArray[np.float64]:
        """The divisor for values of a given spread. For a constant it is 1, or the float32 rounding error if that is larger."""
        rounded = 8 * _ROUNDED * np.finfo(np.float32).eps * np.abs(self.least)
        return np.where(self.constant, np.maximum(1.0, rounded), spread)


class Range(NamedTuple):
    """Minimum and maximum of examples, and whether all values are integers."""

    low: float
    high: float
    all_integers: bool


@record
class Scaling(Record):
    """The base class of scalings, which fit shift and scale to examples."""

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
        """The axes of examples whose values share a scale, if `fit_statistics` needs statistics over these axes; else None.

        Args:
            ndim: the number of axes of an array of examples (n, *shape).
        """
        return None

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        """Fits shift and scale to examples.

        Args:
            examples: (n, *shape), in raw units.

        Returns:
            Shift and scale in raw units, of shapes that broadcast to that of an example.

        Raises:
            DataError: the array is empty.
        """
        raise NotImplementedError

    def fit_statistics(self, statistics: DataStatistics) -> Affine:
        """Fits shift and scale from statistics, which avoids another pass over the examples.

        Args:
            statistics: the statistics of the examples, in raw units.

        Returns:
            Shift and scale in raw units, of shapes that broadcast to that of an example.
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
        minimum = 0.5 * _rounding(statistics.values.dtype, ends.least, ends.largest)
        deviation = np.maximum(np.sqrt(statistics.squares(axes, mean, unit) / n) * unit, minimum)
        return Affine(np.where(ends.constant, ends.least, mean), ends.scale(deviation))


def fit_affine(scaling: Scaling, statistics: DataStatistics) -> Affine:
    """The shift and scale of a scaling, which may be a user's; `RecordError` if they do not broadcast to an example."""
    affine, shape = scaling.fit_statistics(statistics), statistics.values.shape[1:]
    affine = Affine(*(v[0] if np.ndim(v) > len(shape) and len(v) == 1 else v for v in affine))  # of keepdims=True
    for name, value in affine._asdict().items():
        if not broadcasts(np.shape(value), shape):
            raise RecordError(
                f"the {name} of the scaling {scaling!r} has shape {np.shape(value)}, which does not broadcast to an example of shape "
                f"{shape}: return one value, or one for each feature or channel"
            )
    return affine


def _unit_of(span: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit in which squares are computed so that they do not underflow: 1, or a power of two for tiny spreads."""
    return np.where((span > 0) & (span < _TINY), np.exp2(np.floor(np.log2(np.where(span > 0, span, 1.0)))), 1.0)


def axes_of(per: Per, ndim: int) -> tuple[int, ...]:
    """The axes of examples (n, *shape) whose values share a scale."""
    return {"feature": (0,), "channel": tuple(range(max(1, ndim - 1))), "all": tuple(range(ndim))}[per]


def extent(statistics: DataStatistics, axes: tuple[int, ...] = (0,)) -> Extent:
    """The minima and maxima of examples (n, *shape) over axes. Where they differ only by rounding, both are the midpoint."""
    low, high = (side.astype(np.float64) for side in statistics.min_max(axes))
    constant, middle = high - low <= _rounding(statistics.values.dtype, low, high), low + (high - low) / 2
    return Extent(np.where(constant, middle, low), np.where(constant, middle, high))


def _rounding(dtype: np.dtype[Any], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest difference between equal values that rounding can cause, for values from `low` to `high`. Integers are exact."""
    eps = float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
    return np.asarray(_ROUNDED * eps * np.maximum(np.abs(low), np.abs(high)))


def shared_by(kind: Kind, ndim: int) -> Per:
    """Which values of examples (n, *shape) share a unit: a feature of a table, a channel of windows or color images, or all."""
    if kind == "table":
        return "feature"
    return "channel" if ndim > (3 if kind == "images" else 2) else "all"


def range_of(statistics: DataStatistics) -> Range:
    """The range of examples."""
    low, high = statistics.min_max(tuple(range(statistics.values.ndim)))
    return Range(float(low), float(high), statistics.all_integers)


def choose(statistics: DataStatistics, kind: Kind, unit_interval: bool = False) -> Scaling:
    """The scaling that ``scaling="auto"`` selects for examples of a kind.

    Tables are standardized by feature and windows by channel. Images in [0, 1] (with a maximum of at least 0.5) are not scaled. Bytes and
    other integers from 0 to 255 are divided by 255. Other images are standardized by channel.

    Args:
        statistics: the statistics of the examples.
        kind: the kind of the examples.
        unit_interval: whether the likelihood expects values in [0, 1].
    """
    values = statistics.values
    low, high, all_integers = range_of(statistics) if kind == "images" or unit_interval else (-np.inf, np.inf, False)
    if low >= 0 and high <= 1 and (all_integers or (kind == "images" and high >= 0.5)):
        return NoScaling()
    if kind == "images" and low >= 0 and high <= 255 and (values.dtype == np.uint8 or (all_integers and high > 127)):
        return UInt8()
    per = shared_by(kind, values.ndim)
    return MinMax(per="all" if kind == "images" else per) if unit_interval else Standard(per=per)


def wide_enough(statistics: DataStatistics) -> np.dtype[Any]:
    """float32 if it represents all values of the examples exactly, otherwise float64."""
    dtype = np.promote_types(statistics.values.dtype, np.float32)
    if statistics.values.dtype.kind in "iu" and dtype == np.float64:
        low, high, _ = range_of(statistics)
        return np.dtype(np.float32 if low >= -(2**24) and high <= 2**24 else np.float64)
    return dtype


def within(statistics: DataStatistics, affine: Affine, least: float, largest: float) -> bool:
    """Whether the scaled examples are in [least, largest], as a likelihood expects, apart from rounding."""
    if least == -np.inf and largest == np.inf:
        return True
    ends = statistics.min_max_for(np.broadcast_shapes(affine.shift.shape, affine.scale.shape))
    low, high = ((side.astype(np.float64) - affine.shift) / affine.scale for side in ends)
    return not bool((low < least - 1e-9).any() or (high > largest + 1e-9).any())
