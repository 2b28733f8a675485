"""What `fit` has to know of all examples, gathered in one pass over their rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.missing import count, largest, least, total
from isthmus.data.validation import LARGEST, Examples, Missing, blocks, check_finite
from isthmus.errors import DataError

__all__ = ["DataStatistics", "Fingerprint"]

Array = npt.NDArray[Any]
Axes = tuple[int, ...]
Check = Callable[[Array, int], None]


class Fingerprint:
    """A hash of the shape, type and bytes of an array, whose blocks of rows are added in their order."""

    def __init__(self, values: Array) -> None:
        self.hash = hashlib.blake2b(repr((values.shape, values.dtype.str)).encode(), digest_size=16)

    def add(self, block: Array) -> None:
        """Adds the next rows."""
        self.hash.update(np.ascontiguousarray(block).data)

    def hexdigest(self) -> str:
        """The hash of what was added."""
        return self.hash.hexdigest()

    @classmethod
    def of(cls, values: Array) -> str:
        """The hash of a whole array."""
        found = cls(values)
        for _, block in blocks(values):
            found.add(block)
        return found.hexdigest()


class DataStatistics:
    """Ranges, sums and counts of examples (n, *shape): one pass over their rows gathers all that was announced.

    What was not announced takes a pass of its own when it is first asked for. Axes name what is reduced: (0,) gives a figure for each
    feature, all axes give one figure. A range over some axes is also known over more axes. A sum is not: the order of additions decides
    its last bits, which have to be those of a sum over the axes that were asked for.

    Squares around the mean take a second pass (`squares`), since the mean is known only after the first. A one-pass variance would
    round otherwise, and change every scaling in its last bits.

    Args:
        values: the examples. NaN stands for a number that is missing.
        ranges, sums: the axes over which least and largest, and sums and counts, will be asked for.
        check: is called with a block of rows and the number of its first row, if not all of its numbers are finite in float32.
        fingerprint: whether the hash will be asked for.

    Attributes:
        complete: whether all numbers are there, and finite in float32.
        whole: whether all numbers that are there are whole; looked for only as long as they lie within 0 ... 255.
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
        self.values, self.check, self.hash = values, check, Fingerprint(values) if fingerprint else None
        self._ends: dict[Axes, tuple[Array, Array]] = {}
        self._sums: dict[Axes, tuple[Array, Array]] = {}
        self._complete, self._whole = True, True
        if ranges or sums or fingerprint or (check is not None and values.dtype.kind == "f"):
            self._gather(_finest(ranges), dict.fromkeys(sums))

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
        """The statistics of examples whose shape is known to be right, and whose numbers are checked meanwhile.

        Raises:
            DataError: a number is NaN, unless it may be missing, infinite or too large for float32.
        """

        def check(block: Array, begin: int) -> None:
            check_finite(block, begin, examples.at, missing)

        return cls(examples.values, ranges=ranges, sums=sums, check=check, fingerprint=fingerprint)

    @property
    def complete(self) -> bool:
        """Whether all numbers are there, and finite in float32."""
        self._need_ends()
        return self._complete

    @property
    def whole(self) -> bool:
        """Whether all numbers that are there are whole; looked for only as long as they lie within 0 ... 255."""
        self._need_ends()
        return self._whole

    def ends(self, axes: Axes) -> tuple[Array, Array]:
        """The least and the largest numbers over some axes, in the type of the examples; NaN where all are missing."""
        finer = next((each for each in self._ends if set(each) <= set(axes)), None)
        if finer is None:
            self._gather(axes)
            finer = axes
        low, high = self._ends[finer]
        return least(low, axes), largest(high, axes)

    def ends_for(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """The least and the largest numbers over axes along which figures of a shape, broadcast to examples, are the same."""
        kept = {axes: tuple(n for axis, n in enumerate(self.values.shape) if axis not in axes) for axes in self._ends}
        fitting_axes = (axes for axes, each in kept.items() if np.broadcast_shapes(each, shape) == each)
        return self.ends(next(fitting_axes, (0,)))

    def sums(self, axes: Axes) -> tuple[Array, Array]:
        """The sums over some axes, in double precision, and how many numbers each has."""
        if axes not in self._sums:
            self._gather(None, (axes,))
        return self._sums[axes]

    def squares(self, axes: Axes, middle: Array, unit: Array) -> Array:
        """The sums of ((x - middle) / unit)² over some axes, in double precision. This reads the examples again."""
        found: Array = sum(
            (total(np.square((block.astype(np.float64) - middle) / unit), axes) for _, block in blocks(self.values)),
            np.zeros(()),
        )
        return found

    def means(self, examples: Examples) -> Array:
        """The mean of each number of an example over those that have it, (*shape), in double precision.

        Raises:
            DataError: no example has it: nothing is known of it.
        """
        sums, counts = self.sums((0,))
        never = np.argwhere(counts == 0)
        if len(never):
            raise DataError(
                f"{examples.at.feature(tuple(map(int, never[0])))} of {examples.at.file or 'X'} is missing in every row: "
                "drop it"
            )
        middle: Array = sums / counts
        return middle

    def fingerprint(self) -> str:
        """The hash of the examples."""
        return Fingerprint.of(self.values) if self.hash is None else self.hash.hexdigest()

    def _need_ends(self) -> None:
        """Reads the examples, unless their ranges are known."""
        if not self._ends:
            self._gather(tuple(range(self.values.ndim)))

    def _gather(self, axes: Axes | None, sums: Collection[Axes] = ()) -> None:
        """One pass over the rows."""
        found: dict[Axes, tuple[Array, Array]] = {}
        ends: tuple[Array, Array] | None = None
        over = tuple(range(self.values.ndim)) if axes is None else axes
        for begin, block in blocks(self.values):
            with np.errstate(invalid="ignore"):
                low, high = block.min(over, keepdims=True), block.max(over, keepdims=True)
            finite = bool(low.min() >= -LARGEST and high.max() <= LARGEST)  # false for NaN too
            if not finite:
                if self.check is not None:
                    self.check(block, begin)
                self._complete = False
                low, high = (np.expand_dims(of(block, over), over) for of in (least, largest))
            self._look_for_fractions(block, low, high)
            ends = (low, high) if ends is None else (np.fmin(ends[0], low), np.fmax(ends[1], high))
            for each in sums:
                sum_, counts = found.get(each, (np.zeros(()), np.zeros((), np.int64)))
                found[each] = sum_ + total(block, each), counts + _counted(block, each, finite)
            if self.hash is not None:
                self.hash.add(block)
        self._sums |= found
        if ends is not None:
            self._ends[over] = ends

    def _look_for_fractions(self, block: Array, low: Array, high: Array) -> None:
        """Notes where a number is not whole."""
        if not self._whole or block.dtype.kind != "f":
            return
        if np.isnan(least(low)):  # all of the block is missing
            return
        within = bool(least(low) >= 0 and largest(high) <= 255)
        self._whole = within and not bool((np.floor(block) < block).any())  # what is missing is neither whole nor not


def _counted(block: Array, axes: Axes, finite: bool) -> Array:
    """How many numbers there are along some axes; known without looking where all are finite."""
    if not finite:
        return count(block, axes)
    kept = tuple(size for axis, size in enumerate(block.shape) if axis not in axes)
    return np.full(kept, math.prod(block.shape[axis] for axis in axes))


def _finest(ranges: Collection[Axes]) -> Axes | None:
    """The axes that all have: ranges over those tell the ranges over each."""
    return tuple(sorted(set.intersection(*map(set, ranges)))) if ranges else None
