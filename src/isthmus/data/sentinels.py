"""Detection of sentinel values: a frequent value far from all others, such as -999 for a missing value. It distorts a column."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.kinds import Kind
from isthmus.data.memmap import some_rows
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.text import printable

__all__ = ["Sentinel", "sentence", "sentinels"]

Array = npt.NDArray[Any]

_MAX_VALUES = 2**22  # values that are searched
_MIN_ROWS = 1000  # rows that are searched at least, if there are as many
_MIN_COUNT = 3  # occurrences
_MIN_SHARE, _MAX_SHARE = 0.001, 0.5  # of a column; a more frequent value is regular data
_MIN_DISTANCE = 2.0  # from the nearest other value, in ranges of all other values
_MIN_DISTANCE_OF_NINES = 0.5  # the same for a number of nines, which often codes a missing value
_MIN_DISTINCT = 10  # other values; a column of few values may have a distant one
_MAX_TOGETHER = 4  # adjacent sentinels, such as 97, 98 and 99 for three reasons of missingness
_MIN_DISTINCT_OF_NINES = 2  # other values in addition to a number of nines
_LISTED = 3  # columns in a warning


class Sentinel(NamedTuple):
    """A frequent distant value of a column or of a channel of windows, and the fraction of rows that have it.

    Attributes:
        name: the name of the column or channel, for a message.
        value: the value.
        share: the fraction of rows, in [0, 1].
    """

    name: str
    value: float
    share: float


def sentinels(
    values: Array, kind: Kind, columns: Sequence[str] | None = None, table: TableEncoding | None = None
) -> tuple[Sentinel, ...]:
    """Finds sentinel values.

    Regular data have none: zeros of sparse counts, ends of a scale, levels and flags are close to other values, or are most of a column.

    Args:
        values: examples (n, *shape).
        kind: the kind of the examples; images are not searched.
        columns: the column names, for messages.
        table: how the columns became features, if they are not all numbers. Only the numbers are searched.
    """
    if kind == "images" or values.ndim < 2:
        return ()
    rows = some_rows(values, max(_MIN_ROWS, _MAX_VALUES // max(1, int(np.prod(values.shape[1:])))))
    flat = rows.reshape(len(rows), -1) if kind == "table" else rows.reshape(-1, rows.shape[-1])
    named = list(columns) if columns is not None and kind == "table" and len(columns) == flat.shape[1] else None
    sentinels, numbers = [], None if table is None else table.numbers
    for number in _candidates(flat):
        if numbers is not None and number not in numbers:
            continue
        unit = "column" if kind == "table" else "channel"
        name = f"{unit} {number}" if named is None else repr(printable(named[number], 60))
        sentinels += [Sentinel(name, value, share) for value, share in _distant(flat[:, number])]
    return tuple(sentinels)


def _candidates(table: Array) -> list[int]:
    """The columns whose minimum or maximum is frequent."""
    required = max(_MIN_COUNT, _MIN_SHARE * len(table))
    ends = (np.fmin.reduce(table, 0), np.fmax.reduce(table, 0))
    counts = [np.count_nonzero(table == end, axis=0) for end in ends]
    return [int(column) for column in np.flatnonzero((np.maximum(*counts) >= required) & (ends[0] < ends[1]))]


def _distant(column: Array) -> list[tuple[float, float]]:
    """The smallest and largest values of a column that are frequent and distant from all others, each with its share."""
    observed = column[~np.isnan(column)] if column.dtype.kind == "f" else column
    distinct, counts = np.unique(observed.astype(np.float64), return_counts=True)
    frequent = (counts >= max(_MIN_COUNT, _MIN_SHARE * len(observed))) & (counts <= _MAX_SHARE * len(observed))
    below, above = _leading(frequent), _leading(frequent[::-1])
    shares: dict[int, float] = {}
    if not _has_gap(distinct, below, above):
        return []
    for low, high in sorted(product(range(below + 1), range(above + 1)), key=sum):
        rest, weight = distinct[low : len(distinct) - high], counts[low : len(distinct) - high].sum()
        if len(rest) < _MIN_DISTINCT_OF_NINES or weight < 0.3 * len(observed):
            continue
        for indices, nearest in ((range(low), low - 1), (range(len(distinct) - high, len(distinct)), -high)):
            if indices and set(indices) - set(shares) and _is_distant(distinct, nearest, rest):
                shares |= {index: float(counts[index]) / len(observed) for index in indices}
    return [(float(distinct[index]), shares[index]) for index in sorted(shares)]


def _leading(frequent: npt.NDArray[np.bool_]) -> int:
    """The number of leading values that are frequent, at most `_MAX_TOGETHER`."""
    first = frequent[:_MAX_TOGETHER]
    return len(first) if first.all() else int(first.argmin())


def _has_gap(distinct: Array, below: int, above: int) -> bool:
    """Whether a gap next to a leading or trailing value is wide enough for any of them to be distant from the rest."""
    center = distinct[below : len(distinct) - above]
    gaps = np.diff(distinct[: below + 1]).tolist() + np.diff(distinct[len(distinct) - above - 1 :]).tolist()
    return len(center) == 0 or max(gaps, default=0.0) >= min(_MIN_DISTANCE, _MIN_DISTANCE_OF_NINES) * (
        center[-1] - center[0]
    )


def _is_distant(distinct: Array, index: int, rest: Array) -> bool:
    """Whether a value is distant from the rest."""
    nines = _is_nines(float(distinct[index]))
    if len(rest) < (_MIN_DISTINCT_OF_NINES if nines else _MIN_DISTINCT):
        return False
    factor = _MIN_DISTANCE_OF_NINES if nines and len(rest) >= _MIN_DISTINCT else _MIN_DISTANCE
    return bool(np.abs(rest - distinct[index]).min() >= factor * (rest[-1] - rest[0]))


def _is_nines(value: float) -> bool:
    """Whether all digits of an integer are 9, and there are several, such as -999 or 9999."""
    digits = f"{abs(value):.0f}"
    return value == round(value) and len(digits) > 1 and set(digits) == {"9"}


def sentence(found: Sequence[Sentinel]) -> str:
    """A warning about sentinel values and how to treat them as missing; "" without any."""
    if not found:
        return ""
    listed = [f"{each.name} is {each.value:.10g} in {100 * each.share:.2g} % of the rows" for each in found[:_LISTED]]
    more = len(found) - len(listed)
    values = ", ".join(listed) + (f", and {more:,} more" if more > 0 else "")
    return (
        f"{values}, far from all other values: if it marks missing values, it distorts the column; replace it by NaN (in a text table: "
        f"--na-values={found[0].value:.10g}) and pass missing='allow'"
    )
