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

from isthmus.compression.tables import Table, frequencies
from isthmus.errors import DataError

__all__ = ["decoded", "encoded"]


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
            places = np.searchsorted(cells, (numbers >> table.shift) - table.low)
            coder.encode_reverse(places.astype(np.int32), model)
    return np.asarray(coder.get_compressed(), np.uint32)


def decoded(words: NDArray[np.uint32], n: int, tables: Sequence[Table]) -> NDArray[np.int32]:
    """The numbers (n, columns) of words; `DataError` if these are not exactly that many numbers."""
    stream = _library()
    coder = stream.stack.AnsCoder(words) if len(words) else stream.stack.AnsCoder()
    columns = np.empty((len(tables), n), np.int32)
    for column, table in zip(columns, tables, strict=True):
        cells, model = _model(stream, table)
        places = 0 if model is None else coder.decode(model, n)
        column[:] = (cells[places] + table.low) << table.shift
        if table.shift:
            column += coder.decode(stream.model.Uniform(1 << table.shift), n)
    if not coder.is_empty():
        raise DataError("its words hold more than its numbers")
    return columns.T


def _model(stream: Any, table: Table) -> tuple[NDArray[np.int64], Any]:
    """The cells that occur, and the coder's model of them; none where there is one."""
    cells, found = frequencies(table)
    weights = (found - 1).astype(np.float32)  # all below 2^24: exact
    return cells, stream.model.Categorical(weights, perfect=False) if len(cells) > 1 else None
