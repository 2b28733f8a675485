"""How often each whole number occurs, in few bytes, and from that the whole-numbered frequencies that a coder works with.

A table holds, for cells of 2^shift numbers, the square root of each cell's count, rounded. Rounding it loses a quarter of a bit an entry,
however many numbers were counted, and the root has half as many digits as the count. Within a cell all numbers count as equally
frequent. So few numbers get a coarse table and many a fine one, whichever is smaller in all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MOST",
    "MOST_BITS",
    "PRECISION",
    "ROOTS",
    "SHIFTS",
    "Rice",
    "Table",
    "coded",
    "fitted",
    "frequencies",
    "uncoded",
]

PRECISION = 24  # frequencies add up to 2^24
SHIFTS = 16  # cells have 2^16 numbers at most
MOST = 1 << 20  # numbers lie within -MOST ... MOST
ROOTS = (1 << 16) - 1  # the largest entry
MOST_BITS = 16
_HEAD = 40  # bits of a table beside its entries, about


class Table(NamedTuple):
    """Cell i holds the numbers from (low + i) * 2^shift on, 2^shift of them, and occurred about roots[i]^2 times."""

    low: int
    shift: int
    roots: NDArray[np.int64]


class Rice(NamedTuple):
    """Whole numbers from 0 on, as quotients by 2^bits, which are mostly small, and what is left of each (Rice 1979)."""

    bits: int
    quotients: NDArray[np.int64]
    rests: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Bits of all: a quotient takes itself and one, a rest its bits."""
        return int(self.quotients.sum()) + len(self.quotients) * (1 + self.bits)


def coded(roots: NDArray[np.int64]) -> Rice:
    """Entries as the differences of neighbors, which are small in a smooth table and where nothing occurs."""
    steps = np.diff(roots, prepend=0)
    folded = np.where(steps < 0, -2 * steps - 1, 2 * steps)
    ways = (Rice(bits, folded >> bits, folded & ((1 << bits) - 1)) for bits in range(MOST_BITS + 1))
    return min(ways, key=lambda way: way.size)


def uncoded(rice: Rice) -> NDArray[np.int64]:
    """The entries again."""
    folded = (rice.quotients << rice.bits) + rice.rests
    return np.cumsum(np.where(folded & 1, -(folded + 1 >> 1), folded >> 1))


def fitted(numbers: NDArray[Any]) -> tuple[Table, float]:
    """The table with which numbers (n,) and the table itself take the fewest bits, and how many these are."""
    lowest, highest = int(numbers.min()), int(numbers.max())
    first = 0
    while first < SHIFTS and (highest >> first) - (lowest >> first) > 4 * len(numbers):
        first += 1  # halving the entries saves more than a bit for each number
    low = lowest >> first
    counts = np.bincount((numbers.astype(np.int64) >> first) - low)
    best, least = None, np.inf
    for shift in range(first, SHIFTS + 1):
        table = Table(low, shift, np.where(counts > 0, np.sqrt(counts).round().clip(1, ROOTS), 0).astype(np.int64))
        bits = _HEAD + coded(table.roots).size + _payload(counts, table) + shift * len(numbers)
        if bits < least:
            best, least = table, bits
        if len(counts) == 1:
            break
        counts = np.pad(counts, (low & 1, (len(counts) + (low & 1)) & 1)).reshape(-1, 2).sum(1)
        low >>= 1
    assert best is not None
    return best, least


def frequencies(table: Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cells that occur, and how often each out of 2^24: at least once, all together exactly. Whole numbers alone are reckoned with."""
    cells = np.flatnonzero(table.roots)
    weights = table.roots[cells] ** 2
    found = 1 + weights * ((1 << PRECISION) - len(cells)) // weights.sum()
    found[weights.argmax()] += (1 << PRECISION) - found.sum()
    return cells, found


def _payload(counts: NDArray[np.int64], table: Table) -> float:
    cells, found = frequencies(table)
    return float((counts[cells] * (PRECISION - np.log2(found))).sum())
