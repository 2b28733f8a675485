"""Statistics of all examples that `fit` needs, computed in one pass over the rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.missing import count_observed, nanmax, nanmin, nansum
from isthmus.data.validation import LARGEST, Examples, Missing, blocks, check_finite
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["DataStatistics", "Fingerprint", "broadcasts"]

Array = npt.NDArray[Any]
Axes = tuple[int, ...]
Check = Callable[[Array, int], None]


class Fingerprint:
    """A hash of the shape, dtype and bytes of an array. Its blocks of rows are added in order."""

    def __init__(self, values: Array) -> None:
        self.hash = hashlib.blake2b(repr((values.shape, values.dtype.str)).encode(), digest_size=16)

    def add(self, block: Array) -> None:
        """Adds the next rows."""
        self.hash.update(np.ascontiguousarray(block).data)

    def hexdigest(self) -> str:
        """The hash of all added rows."""
        return self.hash.hexdigest()

    @classmethod
    def of(cls, values: Array) -> str:
        """The hash of a whole array."""
        fingerprint = cls(values)
        for _, block in blocks(values):
            fingerprint.add(block)
        return fingerprint.hexdigest()


class DataStatistics:
    """Minima, maxima, sums and counts of examples (n, *shape). One pass over the rows computes all that the constructor requests.

    A statistic that was not requested takes another pass at its first use. `axes` are the axes that are reduced: (0,) gives one value for
    each feature, all axes give one value. Minima over some axes also give those over more axes. Sums do not: their last bits depend on
    the order of the additions, so each sum is computed over exactly its axes.

    `squares` always takes another pass, since it needs the mean. A one-pass variance has other rounding errors, and would change the last
    bits of every scaling.

    Args:
        values: the examples, with at least one value. NaN is a missing value.
        ranges: the axes for which `min_max` is requested.
        sums: the axes for which `sums` is requested.
        check: called with a block of rows and the number of its first row, if a value of the block is not finite in float32.
        fingerprint: whether `fingerprint` is requested.

    Raises:
        DataError: the array is empty.
    """

    def __init__(
        self,
        values: Array,
        *,
        ranges: Collection[Axes] = (),
        sums: Collection[Axes] = (),
        check: Check | None = None,
        fingerprint: bool = False,
    ) -> None:
        if not np.size(values):
            raise DataError(
                f"X is an empty array of shape {np.shape(values)}: pass at least one example and one feature"
            )
        self.values, self.check, self.hash = values, check, Fingerprint(values) if fingerprint else None
        self._ranges: dict[Axes, tuple[Array, Array]] = {}
        self._sums: dict[Axes, tuple[Array, Array]] = {}
        self._all_finite, self._all_integers = True, True
        if ranges or sums or fingerprint or (check is not None and values.dtype.kind == "f"):
            self._read(_common_axes(ranges), dict.fromkeys(sums))

    @classmethod
    def checked(
        cls,
        examples: Examples,
        missing: Missing,
        *,
        ranges: Collection[Axes] = (),
        sums: Collection[Axes] = (),
        fingerprint: bool = False,
    ) -> DataStatistics:
        """The statistics of examples with a valid shape. The same pass checks their values.

        Raises:
            DataError: a value is infinite, too large for float32, or NaN where `missing` is "error".
        """

        def check(block: Array, begin: int) -> None:
            check_finite(block, begin, examples.at, missing)

        return cls(examples.values, ranges=ranges, sums=sums, check=check, fingerprint=fingerprint)

    @property
    def all_finite(self) -> bool:
        """Whether all values are finite in float32, and none is missing."""
        self._need_ranges()
        return self._all_finite

    @property
    def all_integers(self) -> bool:
        """Whether all observed values are integers from 0 to 255. Other ranges are not searched."""
        self._need_ranges()
        return self._all_integers

    def min_max(self, axes: Axes) -> tuple[Array, Array]:
        """The minima and maxima over axes, in the dtype of the examples; NaN where all values are missing."""
        known = next((each for each in self._ranges if set(each) <= set(axes)), None)
        if known is None:
            self._read(axes)
            known = axes
        low, high = self._ranges[known]
        return nanmin(low, axes), nanmax(high, axes)

    def min_max_for(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """The minima and maxima of all values that share an element of an array of this shape when it is broadcast to the examples.

        Args:
            shape: a shape that broadcasts to that of an example.
        """
        left = {axes: tuple(n for axis, n in enumerate(self.values.shape) if axis not in axes) for axes in self._ranges}
        fitting = (axes for axes, each in left.items() if broadcasts(shape, each))
        return self.min_max(next(fitting, (0,)))

    def sums(self, axes: Axes) -> tuple[Array, Array]:
        """The sums of the observed values over axes, in double precision, and the number of these values."""
        if axes not in self._sums:
            self._read(None, (axes,))
        return self._sums[axes]

    def squares(self, axes: Axes, center: Array, unit: Array) -> Array:
        """The sums of ((x - center) / unit)² over axes, in double precision. This reads the examples again."""
        sums: Array = np.zeros(())
        for _, block in blocks(self.values):
            distances = block.astype(np.float64)
            np.subtract(distances, center, out=distances)
            np.divide(distances, unit, out=distances)
            np.square(distances, out=distances)
            sums = sums + nansum(distances, axes)
        return sums

    def means(self, examples: Examples) -> Array:
        """The mean of each feature over its observed values, (*shape), in double precision.

        Raises:
            DataError: a feature is missing in every example.
        """
        sums, counts = self.sums((0,))
        unobserved = np.argwhere(counts == 0)
        if len(unobserved):
            place = tuple(map(int, unobserved[0]))
            feature, file = examples.at.feature(place), examples.at.file or "X"
            if examples.kind == "series" and place[0] and counts[0, place[-1]]:  # as in padded windows
                names, channel = examples.at.columns or (), place[-1]
                raise DataError(
                    f"channel {printable(names[channel]) if channel < len(names) else channel} of {file} is missing in row {place[0]} "
                    "(the first is 0) of every window: use windows of at most "
                    f"{place[0]} rows (length={place[0]}, --window {place[0]})"
                )
            raise DataError(f"{feature} of {file} is missing in every row: drop it")
        means: Array = sums / counts
        return means

    def fingerprint(self) -> str:
        """The hash of the examples."""
        return Fingerprint.of(self.values) if self.hash is None else self.hash.hexdigest()

    def _need_ranges(self) -> None:
        """Reads the examples, unless a minimum is known."""
        if not self._ranges:
            self._read(tuple(range(self.values.ndim)))

    def _read(self, axes: Axes | None, sums: Collection[Axes] = ()) -> None:
        """Reads all rows once, and stores minima and maxima over `axes` and sums over each of `sums`."""
        totals: dict[Axes, tuple[Array, Array]] = {}
        ranges: tuple[Array, Array] | None = None
        over = tuple(range(self.values.ndim)) if axes is None else axes
        for begin, block in blocks(self.values):
            with np.errstate(invalid="ignore"):
                low, high = block.min(over, keepdims=True), block.max(over, keepdims=True)
            finite = bool(low.min() >= -LARGEST and high.max() <= LARGEST)  # False for NaN too
            if not finite:
                if self.check is not None:
                    self.check(block, begin)
                self._all_finite = False
                low, high = (np.expand_dims(of(block, over), over) for of in (nanmin, nanmax))
            self._search_fractions(block, low, high)
            ranges = (low, high) if ranges is None else (np.fmin(ranges[0], low), np.fmax(ranges[1], high))
            for each in sums:
                sum_, counts = totals.get(each, (np.zeros(()), np.zeros((), np.int64)))
                totals[each] = sum_ + nansum(block, each), counts + _counts(block, each, finite)
            if self.hash is not None:
                self.hash.add(block)
        self._sums |= totals
        if ranges is not None:
            self._ranges[over] = ranges

    def _search_fractions(self, block: Array, low: Array, high: Array) -> None:
        """Updates `all_integers` with a block."""
        if not self._all_integers or block.dtype.kind != "f":
            return
        if np.isnan(nanmin(low)):  # the whole block is missing
            return
        within = bool(nanmin(low) >= 0 and nanmax(high) <= 255)
        self._all_integers = within and not bool((np.floor(block) < block).any())  # False for NaN


def broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether an array of a shape broadcasts to the target shape."""
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(size in {1, wanted} for size, wanted in pairs)


def _counts(block: Array, axes: Axes, finite: bool) -> Array:
    """The number of observed values over axes. A block of finite values is not read."""
    if not finite:
        return count_observed(block, axes)
    left = tuple(size for axis, size in enumerate(block.shape) if axis not in axes)
    return np.full(left, math.prod(block.shape[axis] for axis in axes))


def _common_axes(ranges: Collection[Axes]) -> Axes | None:
    """The axes that all requests have in common. Minima over these give the minima of each request."""
    return tuple(sorted(set.intersection(*map(set, ranges)))) if ranges else None
