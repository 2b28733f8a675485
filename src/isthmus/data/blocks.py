"""Rows in blocks that are read when they are needed, such as the row groups of Parquet files: the base of all such data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from isthmus.data.block_cache import BlockCache
from isthmus.data.block_selections import Conversion, RowMask, RowNumbers, Selection, Slice
from isthmus.data.lazy_rows import LazyRows
from isthmus.io.memory_limit import check_memory

if TYPE_CHECKING:
    from isthmus.data.tables.table_encoding import TableEncoding

__all__ = ["BlockRows", "blocks_of"]

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]

_BITS = 64  # of a row number; a mask holds one bit for each row


class BlockRows(LazyRows):
    """Rows (n, *shape) in the place of an array, which are read a block at a time.

    A slice, a mask or row numbers select rows, without reading them: a slice stores nothing for each row, a mask one bit. NumPy makes an
    ordinary array of them, as of any array-like object. All results are the same as those of the array, except that training reads the
    examples in another random order. A few blocks stay in memory.

    A subclass has `sizes`, `shape`, `dtype`, `storage` and `read_block`. `read_block` is never called from two threads at once.

    Attributes:
        kind, context: as of all `LazyRows`.
        sizes: (blocks,), the number of rows of each block.
        names: the name of the file of each block, relative to its folder; None where blocks are not parts of files.
        runs: (blocks,), the number of the run of each block; None where each block is a run. The blocks of a run follow one another, and
            are read fastest in this order, as the parts of a row group are.
        table: how columns of any kind became the features of the rows; None for other data. Selected rows keep it.
    """

    kind: Literal["table", "images"] | None = None
    sizes: Numbers
    names: Sequence[str] | None = None
    runs: Numbers | None = None
    context: Array | None = None
    table: TableEncoding | None = None

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """A new object with a cache of its own."""
        rows = super().__new__(cls)
        rows.cache = BlockCache()
        return rows

    cache: BlockCache

    @abstractmethod
    def read_block(self, number: int) -> Array:
        """The rows (sizes[number], *shape) of a block.

        Args:
            number: of the block, from 0.
        """

    @cached_property
    def offsets(self) -> Numbers:
        """(blocks + 1,), the number of the first row of each block, and the number of all rows."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.sizes, dtype=np.int64)])

    def __getitem__(self, key: Any) -> Any:
        """Selected rows, which are not read; the row with a number as an array; or some values of rows."""
        if isinstance(key, int | np.integer):
            return self.take(np.array([range(len(self))[int(key)]]))[0]
        if isinstance(key, tuple):
            return self._values(*key)
        if key is Ellipsis:
            return self
        selected = SelectedBlocks(self, self._selection(key), None if self.context is None else self.context[key])
        selected.table = self.table
        return selected

    def _selection(self, key: Any) -> Selection:
        """The selection of rows by a slice, a mask or row numbers."""
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return Slice(self, start, max(start, stop))
            key = np.arange(start, stop, step)
        key = np.asarray(key)
        if key.dtype == bool:
            if key.shape != (len(self),):
                raise IndexError(f"a mask of shape {key.shape} does not fit {len(self):,} rows")
            return RowMask(self, key)
        numbers = _row_numbers(key, len(self))
        if len(numbers) * _BITS > len(self) and bool((np.diff(numbers) > 0).all()):
            mask = np.zeros(len(self), bool)
            mask[numbers] = True
            return RowMask(self, mask)
        return RowNumbers(self, numbers)

    def _values(self, rows: Any = ..., *rest: Any) -> Any:
        """Some values of some rows, which are not read for a slice of rows; all values are the rows themselves."""
        if all(part is Ellipsis for part in rest):
            return self[rows]
        if isinstance(rows, int | np.integer):
            return self[rows][rest]
        if rows is Ellipsis:
            return np.asarray(self)[(rows, *rest)]
        if isinstance(rows, slice):
            selected = self if rows == slice(None) else self[rows]
            return SelectedBlocks(selected, Conversion(selected, values=rest), None)
        return np.asarray(self)[(rows, *rest)]

    def take(self, positions: Numbers) -> Array:
        """The rows (k, *shape) with these numbers, in this order. Each block that has one of them is read once.

        Args:
            positions: (k,) row numbers, from 0.
        """
        rows = np.empty((len(positions), *self.shape[1:]), self.dtype)
        numbers = self.offsets[1:].searchsorted(positions, side="right")
        order = numbers.argsort(kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
            if len(part):
                number = int(numbers[part[0]])
                rows[part] = self.block(number)[positions[part] - self.offsets[number]]
        return rows

    def block(self, number: int) -> Array:
        """The rows of a block, which stays in memory for a while. They must not be changed.

        Args:
            number: of the block, from 0.
        """
        return self.cache(number, self.read_block)

    def part(self, number: int, start: int, stop: int) -> Array:
        """Rows of a block. A whole block is read and not kept.

        Args:
            number: of the block, from 0.
            start, stop: the first row within the block, and the one after the last.
        """
        if start == 0 and stop == self.sizes[number]:
            return self.cache.uncached(number, self.read_block)
        return self.block(number)[start:stop]

    def spans(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The blocks with the rows from `start` to before `stop`: number, first row within the block, and end.

        Blocks without rows are left out.
        """
        offsets = self.offsets
        for number in range(int(offsets[1:].searchsorted(start, side="right")), len(self.sizes)):
            first, last = int(offsets[number]), int(offsets[number + 1])
            if first >= stop:
                return
            if last > first:
                yield number, max(start, first) - first, min(stop, last) - first

    def blocks(self) -> Iterator[tuple[int, Array]]:
        """Yields the rows of each block in order, with the number of the first row."""
        for number, start, stop in self.spans(0, len(self)):
            yield int(self.offsets[number]), self.part(number, start, stop)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The array; `MemoryLimitError` if the memory does not suffice."""
        check_memory(self.nbytes, f"an array of {len(self):,} rows in blocks")
        rows = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for begin, block in self.blocks():
            rows[begin : begin + len(block)] = block
        return rows

    def __repr__(self) -> str:
        shape = " x ".join(f"{size:,}" for size in self.shape)
        return f"{type(self).__name__}({shape}, {self.dtype}, {len(self.sizes):,} blocks)"

    def astype(self, dtype: Any, copy: bool = True, subok: bool = True) -> Any:
        """The rows in another dtype, which are converted as they are read.

        Args:
            dtype, copy, subok: as for `numpy.ndarray.astype`; nothing is copied, and rows in blocks have no subclasses.
        """
        if np.dtype(dtype) == self.dtype:
            return self
        return SelectedBlocks(self, Conversion(self, dtype=np.dtype(dtype)), self.context)

    def reshape(self, *shape: Any) -> Any:
        """Rows of another shape that stay in blocks if their number is the same, such as (n, -1); else an array.

        Args:
            shape: as for `numpy.ndarray.reshape`.
        """
        sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int | np.integer) else shape
        row = np.empty((1, *self.shape[1:]), np.uint8)
        if len(sizes) > 1 and sizes[0] in {len(self), -1}:
            try:
                shaped = row.reshape(1, *sizes[1:])
            except ValueError:
                return np.asarray(self).reshape(*shape)
            same = shaped.shape == row.shape
            return self if same else SelectedBlocks(self, Conversion(self, row_shape=shaped.shape[1:]), self.context)
        return np.asarray(self).reshape(*shape)

    def with_context(self, context: Array) -> Self:
        """The same rows with a context.

        Args:
            context: (n, c), that of each row.
        """
        same = copy(self)
        same.context = context
        return same


class SelectedBlocks(BlockRows):
    """Some of other rows, or other rows converted. They read nothing before it is needed.

    Args:
        rows: the other rows.
        selection: which rows these are, or what they are converted to.
        context: (n, c), the context of each of these rows, or None.
    """

    def __init__(self, rows: BlockRows, selection: Selection, context: Array | None) -> None:
        self.rows, self.selection, self.context = rows, selection, context
        self.kind, self.sizes = rows.kind, selection.sizes
        self.names, self.runs = selection.names, selection.runs

    @property
    def shape(self) -> tuple[int, ...]:
        return int(self.offsets[-1]), *self.selection.row_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.selection.dtype

    @property
    def storage(self) -> str:
        """How the values are stored, for a summary."""
        return self.rows.storage

    def read_block(self, number: int) -> Array:
        """The rows of a block.

        Args:
            number: of the block, from 0.
        """
        return self.selection.read(self.rows, number)

    def block(self, number: int) -> Array:
        """The rows of a block, which stays in memory for a while. They must not be changed.

        Args:
            number: of the block, from 0.
        """
        held = self.selection.held(self.rows, number)
        return super().block(number) if held is None else held

    def take(self, positions: Numbers) -> Array:
        """The rows (k, *shape) with these numbers, in this order.

        Args:
            positions: (k,) row numbers, from 0.
        """
        taken = self.selection.take(self.rows, positions)
        return super().take(positions) if taken is None else taken


def blocks_of(values: Any) -> BlockRows | None:
    """The rows, if examples are rows in blocks; else None."""
    return values if isinstance(values, BlockRows) else None


def _row_numbers(key: Array, n: int) -> Numbers:
    """Row numbers from 0; `IndexError` for one that is not in the rows."""
    if key.ndim != 1 or (key.size and key.dtype.kind not in "iu"):
        raise IndexError(
            f"rows are selected by a slice, a mask or their numbers, not by an array of {key.dtype}, {key.shape}"
        )
    numbers = key.astype(np.int64)
    if len(numbers) and not (-n <= numbers.min() and numbers.max() < n):
        raise IndexError(f"row {int(numbers.max() if numbers.max() >= n else numbers.min())} of {n:,} rows")
    return np.where(numbers < 0, numbers + n, numbers)
