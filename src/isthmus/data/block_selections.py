"""Which rows of rows in blocks are selected, and how they are converted. Nothing is read before it is needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Conversion", "RowMask", "RowNumbers", "Selection", "Slice"]

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]

_VALUES = 1 << 20  # of a block of rows that are selected by their numbers


class Blocks(Protocol):
    """What a selection requires of the rows from which it selects (`isthmus.data.blocks.BlockRows`)."""

    sizes: Numbers
    names: Sequence[str] | None
    runs: Numbers | None

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def offsets(self) -> Numbers: ...

    def take(self, positions: Numbers) -> Array: ...

    def block(self, number: int) -> Array: ...

    def part(self, number: int, start: int, stop: int) -> Array: ...

    def spans(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]: ...


class Selection:
    """Selected rows. They have blocks of their own.

    Attributes:
        sizes: (blocks,), the number of selected rows of each block.
        names: the name of the file of each block, or None.
        runs: the number of the run of each block, or None.
        row_shape, dtype: of a selected row.
    """

    def __init__(
        self, rows: Blocks, sizes: Numbers, names: Sequence[str] | None = None, runs: Numbers | None = None
    ) -> None:
        self.sizes, self.names, self.runs, self.row_shape, self.dtype = sizes, names, runs, rows.shape[1:], rows.dtype

    def read(self, rows: Blocks, number: int) -> Array:
        """The selected rows of a block.

        Args:
            rows: the rows from which this selects.
            number: of the block, from 0.
        """
        raise NotImplementedError

    def held(self, rows: Blocks, number: int) -> Array | None:
        """The selected rows of a block as a part of what `rows` keep in memory; None if they are not a part of it.

        Args:
            rows: the rows from which this selects.
            number: of the block, from 0.
        """
        return None

    def take(self, rows: Blocks, positions: Numbers) -> Array | None:
        """Selected rows by their numbers, if `rows` can take them at once; else None.

        Args:
            rows: the rows from which this selects.
            positions: (k,) numbers of selected rows, from 0.
        """
        return None


class Slice(Selection):
    """Rows that follow one another. Their blocks are those of all rows, without what is before and after them."""

    def __init__(self, rows: Blocks, start: int, stop: int) -> None:
        self.start = start
        self.spans = np.array(list(rows.spans(start, stop)), np.int64).reshape(-1, 3)
        names = None if rows.names is None else [rows.names[number] for number in self.spans[:, 0].tolist()]
        runs = None if rows.runs is None else rows.runs[self.spans[:, 0]]
        super().__init__(rows, self.spans[:, 2] - self.spans[:, 1], names, runs)

    def read(self, rows: Blocks, number: int) -> Array:
        return rows.part(*self.spans[number].tolist())

    def held(self, rows: Blocks, number: int) -> Array:
        own, start, stop = self.spans[number].tolist()
        return rows.block(own)[start:stop]

    def take(self, rows: Blocks, positions: Numbers) -> Array:
        return rows.take(positions + self.start)


class RowMask(Selection):
    """The rows of a mask (n,), which is stored with one bit for each row. The blocks are those of all rows."""

    def __init__(self, rows: Blocks, mask: npt.NDArray[np.bool_]) -> None:
        ends = rows.offsets.tolist()
        sizes = [np.count_nonzero(mask[start:stop]) for start, stop in pairwise(ends)]
        super().__init__(rows, np.array(sizes, np.int64), rows.names, rows.runs)
        self.bits = np.packbits(mask)

    def read(self, rows: Blocks, number: int) -> Array:
        if not self.sizes[number]:
            return np.empty((0, *self.row_shape), self.dtype)
        start, stop = rows.offsets[number : number + 2].tolist()
        first = start // 8
        bits = np.unpackbits(self.bits[first : math.ceil(stop / 8)])
        chosen: Array = rows.part(number, 0, stop - start)[bits[start - 8 * first : stop - 8 * first].astype(bool)]
        return chosen


class RowNumbers(Selection):
    """Rows with given numbers (k,), in any order, some perhaps more than once."""

    def __init__(self, rows: Blocks, numbers: Numbers) -> None:
        self.numbers, self.each = numbers, max(1, _VALUES // max(1, math.prod(rows.shape[1:])))
        super().__init__(rows, np.minimum(len(numbers) - np.arange(0, len(numbers), self.each), self.each))

    def read(self, rows: Blocks, number: int) -> Array:
        return rows.take(self.numbers[number * self.each : (number + 1) * self.each])

    def take(self, rows: Blocks, positions: Numbers) -> Array:
        return rows.take(self.numbers[positions])


class Conversion(Selection):
    """All rows, but some values of each, another dtype, or another shape.

    Args:
        rows: the rows that are converted.
        dtype: the new dtype; None for their own.
        row_shape: the new shape of a row, with as many values; None for its own.
        values: what selects values of each row, as the second and further indices of an array.
    """

    def __init__(
        self,
        rows: Blocks,
        dtype: np.dtype[Any] | None = None,
        row_shape: tuple[int, ...] | None = None,
        values: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(rows, rows.sizes, rows.names, rows.runs)
        self.key = (slice(None), *values)
        some = np.empty((1, *rows.shape[1:]), rows.dtype)[self.key]
        self.dtype, self.row_shape = dtype or rows.dtype, some.shape[1:] if row_shape is None else row_shape

    def read(self, rows: Blocks, number: int) -> Array:
        return self._converted(rows.part(number, 0, int(self.sizes[number])))

    def take(self, rows: Blocks, positions: Numbers) -> Array:
        return self._converted(rows.take(positions))

    def _converted(self, block: Array) -> Array:
        with np.errstate(over="ignore"):  # overflow gives infinity, which the check of the examples finds
            some: Array = block[self.key].astype(self.dtype, copy=False)
        return some.reshape(len(block), *self.row_shape)
