"""Whole numbers <-> words of 32 bits: asymmetric numeral systems (Duda 2013), by the library constriction.

What the coder is told are the whole-numbered frequencies of a table. It asks for probabilities p and gives k symbols with the sum s of
p the frequencies 1 + p (2^24 - k) / s, rounded down after summing; p = frequency - 1 makes that factor one and all sums whole, so
that no number is ever rounded, here or on any other machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.compression.frequency_tables import Table, frequencies
from isthmus.errors import DataError

__all__ = ["Blocks", "encoded"]


def _library() -> Any:
    try:
        from constriction import stream
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "compression needs the entropy coder constriction: pip install 'isthmus[compress]'"
        ) from None
    return stream


def encoded(columns: NDArray[Any], tables: Sequence[Table]) -> NDArray[np.uint32]:
    """The words of numbers (n, columns), a table for each column; columns of one number take none."""
    stream = _library()
    coder = stream.stack.AnsCoder()
    for numbers, table in zip(columns.T[::-1], tables[::-1], strict=True):  # a stack: what goes in last comes out first
        cells, model = _model(stream, table)
        if table.shift:
            low = numbers & ((1 << table.shift) - 1)
            coder.encode_reverse(np.ascontiguousarray(low, np.int32), stream.model.Uniform(1 << table.shift))
        if model is not None:
            positions = np.searchsorted(cells, (numbers >> table.shift) - table.low)
            coder.encode_reverse(positions.astype(np.int32), model)
    return np.asarray(coder.get_compressed(), np.uint32)


class Blocks:
    """The numbers (n, columns) of words, some rows at a time; `DataError` if the words are not exactly that many numbers.

    Columns lie one behind the other, so that rows come from many places: a first pass over all words, which keeps no number, marks
    for each column where each block of rows begins.

    Args:
        size: rows of a block.
    """

    def __init__(self, words: NDArray[np.uint32], n: int, tables: Sequence[Table], size: int) -> None:
        self._stream, self._words, self._n, self._size = _library(), words, n, size
        self._tables, self._models = tables, [_model(self._stream, table) for table in tables]
        coder = self._coder(len(words), None)
        self._marks = [[self._passed(coder, law) for law in self._laws(column)] for column in range(len(tables))]
        if not coder.is_empty():
            raise DataError("its words hold more than its numbers")

    def __len__(self) -> int:
        return -(-self._n // self._size)

    def __getitem__(self, number: int) -> NDArray[np.int32]:
        """The rows of a block, (rows, columns)."""
        columns = np.empty((len(self._tables), self._rows(number)), np.int32)
        for column, table in enumerate(self._tables):
            cells, model = self._models[column]
            parts = [
                self._coder(*map(int, marks[number])).decode(law, self._rows(number))
                for law, marks in zip(self._laws(column), self._marks[column], strict=True)
            ]
            columns[column] = (cells[0 if model is None else parts[0]] + table.low) << table.shift
            if table.shift:
                columns[column] += parts[-1]
        return columns.T

    def _rows(self, number: int) -> int:
        return min(self._size, self._n - number * self._size)

    def _laws(self, column: int) -> list[Any]:
        """What a column is drawn from, one after the other: cells that vary, and numbers within a cell."""
        model, shift = self._models[column][1], self._tables[column].shift
        return [*([] if model is None else [model]), *([self._stream.model.Uniform(1 << shift)] if shift else [])]

    def _passed(self, coder: Any, law: Any) -> NDArray[np.uint64]:
        """Where each block of a column begins (blocks, 2): words that are left, and the state of the coder."""
        marks = np.empty((len(self), 2), np.uint64)
        for number in range(len(self)):
            marks[number] = coder.pos()
            coder.decode(law, self._rows(number))
        return marks

    def _coder(self, left: int, state: int | None) -> Any:
        """A coder at a mark. A number takes a word at most: words far below the mark need not be copied."""
        words = self._words if state is None else self._words[max(0, left - self._size - 2) : left]
        if state is not None:
            held = np.array([state & 0xFFFFFFFF, state >> 32], np.uint32)
            words = np.concatenate([words, held[: 2 if held[1] else 1 if held[0] else 0]])
        return self._stream.stack.AnsCoder(words) if len(words) else self._stream.stack.AnsCoder()


def _model(stream: Any, table: Table) -> tuple[NDArray[np.int64], Any]:
    """The cells that occur, and the coder's model of them; none where there is one."""
    cells, found = frequencies(table)
    weights = (found - 1).astype(np.float32)  # all below 2^24: exact
    return cells, stream.model.Categorical(weights, perfect=False) if len(cells) > 1 else None
