"""Rows in blocks for tests: an array that is cut into blocks, and counts what is read of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isthmus.data import BlockRows

Array = np.ndarray[Any, Any]


class CutRows(BlockRows):
    """An array (n, *shape) in blocks of these sizes. ``read`` lists the number of each block that was read."""

    def __init__(self, values: Array, sizes: Sequence[int], names: Sequence[str] | None = None) -> None:
        assert sum(sizes) == len(values)
        self.values, self.sizes, self.names = values, np.array(sizes, np.int64), names
        self.read = list[int]()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    @property
    def storage(self) -> str:
        return "cut into blocks"

    def read_block(self, number: int) -> Array:
        self.read.append(number)
        return self.values[self.offsets[number] : self.offsets[number + 1]].copy()


def cut(values: Array, rows: int = 7, empty: bool = True) -> CutRows:
    """An array in blocks of so many rows, one of them empty."""
    sizes = [min(rows, len(values) - begin) for begin in range(0, len(values), rows)]
    return CutRows(values, [*sizes[:1], 0, *sizes[1:]] if empty else sizes)
