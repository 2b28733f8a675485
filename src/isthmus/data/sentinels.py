"""One value again and again, far from all others: -999 or 9999 for what is not known, 1970-01-01 as a number. It distorts a column."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.kinds import Kind
from isthmus.data.memmap import some_rows
from isthmus.text import printable

__all__ = ["Sentinel", "sentence", "sentinels"]

Array = npt.NDArray[Any]

_NUMBERS = 2**22  # that are looked at
_FEWEST = 1000  # rows, where there are as many
_SEEN = 3  # times at least, and in a thousandth of the rows
_LEAST, _MOST = 0.001, 0.5  # share of a column: what is there more often than all else is what the column is about
_FAR = 2.0  # times the range of all others that the nearest of them is away
_NEARER = 0.5  # and for a number that people write for what they do not know
_DISTINCT = 10  # values that the others have: a column of few values may have a far one
_TOGETHER = 4  # such values side by side: 97, 98 and 99 for three reasons why a number is not known
_LEVELS = 2  # and beside a number that people write so
_NAMED = 3  # columns in a sentence


class Sentinel(NamedTuple):
    """A column, or a channel of windows, the value that it has again and again, and in which share of the rows."""

    name: str
    value: float
    share: float


def sentinels(values: Array, kind: Kind, columns: Sequence[str] | None = None) -> tuple[Sentinel, ...]:
    """The values that stand far from all others of their column, again and again; of examples (n, *shape), but never of images.

    Honest data have none: zeros of sparse counts, ends of a scale, levels and flags are next to other values, or are most of a column.
    """
    if kind == "images" or values.ndim < 2:
        return ()
    rows = some_rows(values, max(_FEWEST, _NUMBERS // max(1, int(np.prod(values.shape[1:])))))
    table = rows.reshape(len(rows), -1) if kind == "table" else rows.reshape(-1, rows.shape[-1])
    named = list(columns) if columns is not None and kind == "table" and len(columns) == table.shape[1] else None
    found = []
    for place in _candidates(table):
        each = "column" if kind == "table" else "channel"
        name = f"{each} {place}" if named is None else repr(printable(named[place], 60))
        found += [Sentinel(name, value, share) for value, share in _far(table[:, place])]
    return tuple(found)


def _candidates(table: Array) -> list[int]:
    """The columns whose least or largest number is there several times."""
    often = max(_SEEN, _LEAST * len(table))
    ends = (np.fmin.reduce(table, 0), np.fmax.reduce(table, 0))
    seen = [np.count_nonzero(table == end, axis=0) for end in ends]
    return [int(place) for place in np.flatnonzero((np.maximum(*seen) >= often) & (ends[0] < ends[1]))]


def _far(column: Array) -> list[tuple[float, float]]:
    """The ends of a column that are there several times, and far from all other numbers; each with its share."""
    known = column[~np.isnan(column)] if column.dtype.kind == "f" else column
    distinct, counts = np.unique(known.astype(np.float64), return_counts=True)
    often = (counts >= max(_SEEN, _LEAST * len(known))) & (counts <= _MOST * len(known))
    below, above = _run(often), _run(often[::-1])
    found: dict[int, float] = {}
    for low, high in sorted(product(range(below + 1), range(above + 1)), key=sum):
        rest, weight = distinct[low : len(distinct) - high], counts[low : len(distinct) - high].sum()
        if len(rest) < _LEVELS or weight < 0.3 * len(known):
            continue
        for positions, nearest in ((range(low), low - 1), (range(len(distinct) - high, len(distinct)), -high)):
            if positions and set(positions) - set(found) and _apart(distinct, nearest, rest):
                found |= {place: float(counts[place]) / len(known) for place in positions}
    return [(float(distinct[place]), found[place]) for place in sorted(found)]


def _run(often: npt.NDArray[np.bool_]) -> int:
    """How many of the first values are there often enough, of as many as may stand side by side."""
    first = often[:_TOGETHER]
    return len(first) if first.all() else int(first.argmin())


def _apart(distinct: Array, place: int, rest: Array) -> bool:
    """Whether the value at a place is far enough from the rest."""
    coded = _is_code(float(distinct[place]))
    if len(rest) < (_LEVELS if coded else _DISTINCT):
        return False
    factor = _NEARER if coded and len(rest) >= _DISTINCT else _FAR
    return bool(np.abs(rest - distinct[place]).min() >= factor * (rest[-1] - rest[0]))


def _is_code(value: float) -> bool:
    """Whether it is a number of nines, such as -999 or 9999."""
    digits = f"{abs(value):.0f}"
    return value == round(value) and len(digits) > 1 and set(digits) == {"9"}


def sentence(found: Sequence[Sentinel]) -> str:
    """What is wrong, and what to do; nothing where nothing was found."""
    if not found:
        return ""
    listed = [f"{each.name} is {each.value:.10g} in {100 * each.share:.2g} % of the rows" for each in found[:_NAMED]]
    more = len(found) - len(listed)
    said = ", ".join(listed) + (f", and {more:,} more" if more > 0 else "")
    return (
        f"{said}, far from all other values: if that stands for what is not known, it distorts the column; make it NaN (in a text table: "
        f"--na-values={found[0].value:.10g}) and take missing='allow'"
    )
