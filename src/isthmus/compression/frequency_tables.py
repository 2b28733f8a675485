"""Frequencies of integers, stored in few bytes, and the integer frequencies that the entropy coder uses.

A table stores the rounded square root of the count of each cell of 2^shift integers. The rounding costs a quarter of a bit per entry,
independent of the number of integers, and a root has half as many digits as a count. Integers within a cell count as equally
frequent. The shift with the smallest total size is used: few integers get a coarse table, many integers a fine one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_INTEGER",
    "MAX_RICE_BITS",
    "MAX_ROOT",
    "MAX_SHIFT",
    "PRECISION",
    "RiceCode",
    "Table",
    "best_table",
    "frequencies",
    "rice_decode",
    "rice_encode",
]

PRECISION = 24  # frequencies sum to 2^24
MAX_SHIFT = 16  # cells have at most 2^16 integers
MAX_INTEGER = 1 << 20  # largest absolute value of an integer
MAX_ROOT = (1 << 16) - 1  # largest entry
MAX_RICE_BITS = 16
_HEADER_BITS = 40  # of a table in addition to its entries, roughly


class Table(NamedTuple):
    """A table of frequencies. Cell i has the 2^shift integers from (low + i) * 2^shift, which occurred about roots[i]^2 times."""

    low: int
    shift: int
    roots: NDArray[np.int64]


class RiceCode(NamedTuple):
    """Non-negative integers as quotients by 2^bits, which are mostly small, and remainders (Rice 1979)."""

    bits: int
    quotients: NDArray[np.int64]
    remainders: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Bits in all: quotient + 1 for each quotient, and ``bits`` for each remainder."""
        return int(self.quotients.sum()) + len(self.quotients) * (1 + self.bits)


def rice_encode(roots: NDArray[np.int64]) -> RiceCode:
    """Entries as differences of neighbors, which are small in a smooth table and where nothing occurs."""
    differences = np.diff(roots, prepend=0)
    folded = np.where(differences < 0, -2 * differences - 1, 2 * differences)
    candidates = (RiceCode(bits, folded >> bits, folded & ((1 << bits) - 1)) for bits in range(MAX_RICE_BITS + 1))
    return min(candidates, key=lambda candidate: candidate.size)


def rice_decode(code: RiceCode) -> NDArray[np.int64]:
    """The entries of a Rice code."""
    folded = (code.quotients << code.bits) + code.remainders
    return np.cumsum(np.where(folded & 1, -(folded + 1 >> 1), folded >> 1))


def best_table(integers: NDArray[Any]) -> tuple[Table, float]:
    """The table with which integers (n,) and the table need the fewest bits, and this number of bits."""
    lowest, highest = int(integers.min()), int(integers.max())
    first = 0
    while first < MAX_SHIFT and (highest >> first) - (lowest >> first) > 4 * len(integers):
        first += 1  # halving the number of entries saves more than one bit per integer
    low = lowest >> first
    counts = np.bincount((integers.astype(np.int64) >> first) - low)
    best, fewest_bits = None, np.inf
    for shift in range(first, MAX_SHIFT + 1):
        table = Table(low, shift, np.where(counts > 0, np.sqrt(counts).round().clip(1, MAX_ROOT), 0).astype(np.int64))
        bits = _HEADER_BITS + rice_encode(table.roots).size + _coded_bits(counts, table) + shift * len(integers)
        if bits < fewest_bits:
            best, fewest_bits = table, bits
        if len(counts) == 1:
            break
        counts = np.pad(counts, (low & 1, (len(counts) + (low & 1)) & 1)).reshape(-1, 2).sum(1)
        low >>= 1
    assert best is not None
    return best, fewest_bits


def frequencies(table: Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The non-empty cells and their frequencies, at least 1 each and 2^24 in all, in integer arithmetic."""
    cells = np.flatnonzero(table.roots)
    weights = table.roots[cells] ** 2
    result = 1 + weights * ((1 << PRECISION) - len(cells)) // weights.sum()
    result[weights.argmax()] += (1 << PRECISION) - result.sum()
    return cells, result


def _coded_bits(counts: NDArray[np.int64], table: Table) -> float:
    """The entropy-coded size of the cells, in bits."""
    cells, cell_frequencies = frequencies(table)
    return float((counts[cells] * (PRECISION - np.log2(cell_frequencies))).sum())
