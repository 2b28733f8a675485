"""The contract of a scaling: raw units <-> model units, fitted on the training data and saved with the model."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.locations import Positions
from isthmus.data.statistics import DataStatistics, broadcasts
from isthmus.errors import RecordError
from isthmus.records import Record, record
from isthmus.scaling.curves import Curves

__all__ = ["Affine", "Extent", "Per", "Scaling", "axes_of", "extent", "fit_affine", "rounding"]

Per = Literal["feature", "channel", "all"]
"""Which values share a scale: those of a feature, those of a channel (the last axis), or all."""

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


@record
class Scaling(Record):
    """The contract of a scaling: it fits shift and scale to examples, and may turn a feature into a block of values.

    model units = expand((raw - shift) / scale)

    With `curves` it is expand(curves.bend(raw)); shift and scale then are the unit of errors only.
    """

    @property
    def by_feature(self) -> bool:
        """Whether each feature or channel has its own scale."""
        return False

    @property
    def classes(self) -> tuple[int, ...]:
        """For each feature of an example the number of its categories, which become a block of values; 0 for a number.

        () if all features are numbers.
        """
        return ()

    @property
    def centered(self) -> bool:
        """Whether values in model units are centered at zero."""
        return False

    @property
    def curved(self) -> bool:
        """Whether `curves` gives curves."""
        return False

    @property
    def open(self) -> bool:
        """Whether some choices are left to the data; `resolved` makes them."""
        return False

    def completed(self, fitted: Scaling) -> Scaling:
        """The record with the choices of a fitted one in place of those that are left open.

        Args:
            fitted: a record without open choices.
        """
        return self

    def resolved(self, statistics: DataStatistics, numbers: NDArray[np.bool_], positions: Positions) -> Scaling:
        """The record without open choices.

        Args:
            statistics: the statistics of the examples (n, *shape), in raw units.
            numbers: (d,) for each feature whether it holds numbers, not categories.
            positions: names the features.

        Raises:
            RecordError: the record does not fit the examples.
        """
        return self

    def summary(self, count: int) -> str:
        """What was chosen for ``count`` columns of numbers, as a note; "" if nothing was."""
        return ""

    def curves(
        self, statistics: DataStatistics, affine: Affine, numbers: NDArray[np.bool_], positions: Positions
    ) -> Curves | None:
        """Fits a curve to each feature, in place of the affine map; None for none.

        Args:
            statistics: the statistics of the examples (n, *shape), in raw units.
            affine: the fitted shift and scale.
            numbers: (d,) for each feature whether it holds numbers, not categories.
            positions: names a feature in messages.

        Raises:
            DataError: a value is not accepted.
        """
        return None

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

    def fill(
        self, affine: Affine, means: NDArray[np.float64], examples: NDArray[np.generic], shape: tuple[int, ...]
    ) -> NDArray[Any]:
        """The initial replacement of missing values: by default the means.

        Args:
            affine: shift and scale, in raw units.
            means: the mean of each feature over its observed values, (*shape), in raw units.
            examples: (n, *shape), in raw units.
            shape: of one example.

        Returns:
            (*self.shape(shape)), in model units.
        """
        filled: NDArray[Any] = (means - affine.shift) / affine.scale
        return filled

    def check(self, examples: NDArray[np.generic], positions: Positions) -> None:
        """Raises an error for the first value that the scaling does not accept; by default it accepts all finite values.

        Args:
            examples: (n, *shape), in raw units. NaN where a value is missing.
            positions: names the place of a value in the message.

        Raises:
            DataError: a value is not accepted.
        """

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of examples in model units, which encoder, decoder and likelihood see: by default that of the examples.

        Args:
            shape: of one example, in raw units.

        Raises:
            RecordError: the scaling does not apply to examples of this shape.
        """
        return shape

    def expand(self, x: Tensor) -> Tensor:
        """Scaled examples (b, *shape) with categories as blocks of 0 and 1, (b, *self.shape(shape)).

        Args:
            x: (raw - shift) / scale. A missing category, NaN, becomes a block of NaN.
        """
        return x

    def collapse(self, x: Tensor) -> Tensor:
        """The inverse of `expand`: of each block the index of its largest value.

        Args:
            x: examples (b, *self.shape(shape)), in model units.
        """
        return x

    def differences(self, made: Tensor, true: Tensor) -> Tensor:
        """made - true, in raw units; for a category 0 where they are the same, else 1.

        Args:
            made, true: examples (..., *shape), NaN where a value is missing.

        Returns:
            (..., *shape), NaN where a value is missing.
        """
        return made - true

    def spread(self, values: Tensor) -> Tensor:
        """For each value in model units the value of the feature that it comes from.

        Args:
            values: (..., *shape).

        Returns:
            (..., *self.shape(shape)).
        """
        return values

    def whole(self, values: Tensor) -> Tensor:
        """Values in model units, with those of a block all equal to its first one.

        Args:
            values: (..., *self.shape(shape)).
        """
        return values


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


def axes_of(per: Per, ndim: int) -> tuple[int, ...]:
    """The axes of examples (n, *shape) whose values share a scale."""
    return {"feature": (0,), "channel": tuple(range(max(1, ndim - 1))), "all": tuple(range(ndim))}[per]


def extent(statistics: DataStatistics, axes: tuple[int, ...] = (0,)) -> Extent:
    """The minima and maxima of examples (n, *shape) over axes. Where they differ only by rounding, both are the midpoint."""
    low, high = (side.astype(np.float64) for side in statistics.min_max(axes))
    constant, middle = high - low <= rounding(statistics.values.dtype, low, high), low + (high - low) / 2
    return Extent(np.where(constant, middle, low), np.where(constant, middle, high))


def rounding(dtype: np.dtype[Any], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest difference between equal values that rounding can cause, for values from `low` to `high`. Integers are exact."""
    eps = float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
    return np.asarray(_ROUNDED * eps * np.maximum(np.abs(low), np.abs(high)))
