"""Entropy coder: integers <-> 32-bit words by asymmetric numeral systems (Duda 2013), with the library constriction.

The coder uses the integer frequencies of a table. The library expects probabilities p and gives k symbols with the sum s of p the
frequencies 1 + p (2^24 - k) / s, summed and then rounded down. With p = frequency - 1 this factor is 1 and all sums are integers,
so nothing is rounded, and the result is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.compression.frequency_tables import Table, frequencies
from isthmus.errors import DataError

__all__ = ["BlockDecoder", "encode"]


def _library() -> Any:
    """The module constriction.stream; an error with the command that installs it."""
    try:
        from constriction import stream
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "compression needs the entropy coder constriction: pip install 'isthmus[compress]'"
        ) from None
    return stream


def encode(columns: NDArray[Any], tables: Sequence[Table]) -> NDArray[np.uint32]:
    """The words of integers (n, columns), with a table for each column. A constant column needs no words."""
    stream = _library()
    coder = stream.stack.AnsCoder()
    for integers, table in zip(columns.T[::-1], tables[::-1], strict=True):  # in reverse order: the coder is a stack
        cells, model = _cell_model(stream, table)
        if table.shift:
            offsets = integers & ((1 << table.shift) - 1)
            coder.encode_reverse(np.ascontiguousarray(offsets, np.int32), stream.model.Uniform(1 << table.shift))
        if model is not None:
            symbols = np.searchsorted(cells, (integers >> table.shift) - table.low)
            coder.encode_reverse(symbols.astype(np.int32), model)
    return np.asarray(coder.get_compressed(), np.uint32)


class BlockDecoder:
    """Decodes words to integers (n, columns), a block of rows at a time.

    Columns are stored one after the other, so a block of rows is in several places. A first pass over all words finds where each block
    of each column begins, and stores no integers.

    Args:
        words: words of the file.
        n: number of rows.
        tables: a table for each column.
        size: rows of a block.

    Raises:
        DataError: the words are not exactly those of n rows.
    """

    def __init__(self, words: NDArray[np.uint32], n: int, tables: Sequence[Table], size: int) -> None:
        self._stream, self._words, self._n, self._size = _library(), words, n, size
        self._tables, self._cell_models = tables, [_cell_model(self._stream, table) for table in tables]
        coder = self._coder_at(len(words), None)
        self._starts = [
            [self._block_starts(coder, model) for model in self._symbol_models(column)] for column in range(len(tables))
        ]
        if not coder.is_empty():
            raise DataError("it has more words than its integers need")

    def __len__(self) -> int:
        return -(-self._n // self._size)

    def __getitem__(self, block: int) -> NDArray[np.int32]:
        """The rows of a block, (rows, columns)."""
        columns = np.empty((len(self._tables), self._rows(block)), np.int32)
        for column, table in enumerate(self._tables):
            cells, cell_model = self._cell_models[column]
            parts = [
                self._coder_at(*map(int, starts[block])).decode(model, self._rows(block))
                for model, starts in zip(self._symbol_models(column), self._starts[column], strict=True)
            ]
            columns[column] = (cells[0 if cell_model is None else parts[0]] + table.low) << table.shift
            if table.shift:
                columns[column] += parts[-1]
        return columns.T

    def _rows(self, block: int) -> int:
        """The number of rows of a block."""
        return min(self._size, self._n - block * self._size)

    def _symbol_models(self, column: int) -> list[Any]:
        """The coder's models of a column, in order: of cells, if there are several, and of offsets within a cell."""
        model, shift = self._cell_models[column][1], self._tables[column].shift
        return [*([] if model is None else [model]), *([self._stream.model.Uniform(1 << shift)] if shift else [])]

    def _block_starts(self, coder: Any, model: Any) -> NDArray[np.uint64]:
        """The position of the coder at the beginning of each block (blocks, 2): number of words left, and state."""
        starts = np.empty((len(self), 2), np.uint64)
        for block in range(len(self)):
            starts[block] = coder.pos()
            coder.decode(model, self._rows(block))
        return starts

    def _coder_at(self, left: int, state: int | None) -> Any:
        """A coder at a position. An integer needs at most one word, so words far below the position are not copied."""
        words = self._words if state is None else self._words[max(0, left - self._size - 2) : left]
        if state is not None:
            state_words = np.array([state & 0xFFFFFFFF, state >> 32], np.uint32)
            words = np.concatenate([words, state_words[: 2 if state_words[1] else 1 if state_words[0] else 0]])
        return self._stream.stack.AnsCoder(words) if len(words) else self._stream.stack.AnsCoder()


def _cell_model(stream: Any, table: Table) -> tuple[NDArray[np.int64], Any]:
    """The non-empty cells, and the coder's model of them; None for a single cell."""
    cells, cell_frequencies = frequencies(table)
    weights = (cell_frequencies - 1).astype(np.float32)  # exact, because all are below 2^24
    return cells, stream.model.Categorical(weights, perfect=False) if len(cells) > 1 else None
