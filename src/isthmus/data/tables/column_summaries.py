"""A column of any length in few values, from which the same kind and the same encoding are found as from all of its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.date_columns import SECONDS
from isthmus.data.tables.number_columns import MOST_DECIMALS

__all__ = ["ColumnSummary", "Extremes", "without_nan"]

Array = npt.NDArray[Any]

_EVIDENCE = 10  # values: in fewer ones, few decimals say nothing
_DECIMALS = range(MOST_DECIMALS + 1)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class ColumnSummary:
    """What the kind and the encoding of a column depend on. Each is found in the rows that were added.

    Args:
        kind: the type of the column, of pyarrow.

    Attributes:
        kind: as given.
        n: the number of rows that were added.
        n_missing: of those the missing ones.
        most: the number of different values that are held.
    """

    most = 0

    def __init__(self, kind: Any) -> None:
        self.kind, self.n, self.n_missing = kind, 0, 0

    def add(self, column: Any) -> None:
        """Adds rows.

        Args:
            column: their values, of pyarrow.
        """
        self.n, self.n_missing = self.n + len(column), self.n_missing + column.null_count

    def reduced(self) -> Any:
        """A column with the same kind and the same encoding, of pyarrow."""
        raise NotImplementedError

    @property
    def capped(self) -> bool:
        """Whether the column has more different values than are held."""
        return False

    @property
    def words(self) -> Counter[str]:
        """How often each text occurs that may mean a missing value."""
        return Counter()

    def counts(self) -> dict[Any, int]:
        """How often each of the values that are held occurs; nothing but for texts and categories."""
        return {}

    def without(self, words: Collection[str]) -> ColumnSummary:
        """The column in which some of the words are missing values.

        Args:
            words: texts in lower case, of those that are counted.
        """
        return self

    def _repeated(self, known: Any, most: int) -> Any:
        """Known values, the first one so often that there are as many as in the column, or `most`."""
        arrow, n = pyarrow(), min(self.n - self.n_missing, most)
        return arrow.concat_arrays([known, arrow.repeat(known[0], n - len(known))]) if 0 < len(known) < n else known

    def _with_missing(self, known: Any) -> Any:
        """Known values, with a missing one if the column has any."""
        arrow = pyarrow()
        return arrow.concat_arrays([known, arrow.nulls(1, known.type)]) if self.n_missing else known


class Extremes(ColumnSummary):
    """Numbers, booleans, dates: the least and the largest, and a value for each thing that a value can show."""

    def __init__(self, kind: Any) -> None:
        super().__init__(kind)
        self._ends = self._others = pyarrow().array([], kind)
        self._shown = set[int]()  # the units or decimals that some value exceeds

    @property
    def held(self) -> Any:
        """The least value, the largest one, and those that show something."""
        return pyarrow().concat_arrays([self._ends, self._others]).unique()

    def add(self, column: Any) -> None:
        column, arrow = without_nan(column), pyarrow()
        super().add(column)
        known = column.drop_null()
        values = _numbers(known) if len(known) else None
        if values is None:  # of another type only the number of missing values counts
            self._ends = self._ends if len(self._ends) else known[:1]
            return
        rows = self._witnesses(known, values)
        self._others = arrow.concat_arrays([self._others, known.take(arrow.array(rows, arrow.int64()))])
        ends = known.take(arrow.array([int(values.argmin()), int(values.argmax())]))
        ends = arrow.concat_arrays([self._ends, ends])
        values = _numbers(ends)
        assert values is not None
        self._ends = ends.take(arrow.array([int(values.argmin()), int(values.argmax())]))

    def _witnesses(self, known: Any, values: Array) -> list[int]:
        """Rows whose values are not whole, or have more decimals or a finer unit than those that were seen."""
        tests = dict[int, Callable[[], Array]]()
        if values.dtype.kind == "f":
            tests = {digits: partial(_has_more_decimals, values, digits) for digits in _DECIMALS}
            tests[-1] = lambda: ~np.isfinite(values)
        elif pyarrow().types.is_timestamp(known.type):
            steps = [int(seconds * _PER_SECOND[known.type.unit]) for seconds in SECONDS.values()]
            tests = {step: partial(np.mod, values, step) for step in steps if step > 1}
        rows = list[int]()
        for number in tests.keys() - self._shown:
            found = tests[number]() != 0
            if found.any():
                self._shown.add(number)
                rows.append(int(found.argmax()))
        return rows

    def reduced(self) -> Any:
        held = self.held if _numbers(self._ends) is not None else self._ends
        return self._with_missing(self._repeated(held, _EVIDENCE))


def _has_more_decimals(values: Array, digits: int) -> Array:
    """Which values have more decimals."""
    return np.asarray(np.round(values, digits) != values)


def _numbers(known: Any) -> Array | None:
    """Known values as numbers in the same order; None for a type without an order."""
    arrow, types, kind = pyarrow(), pyarrow().types, known.type
    if types.is_integer(kind):
        return np.asarray(known)
    if types.is_floating(kind) or types.is_decimal(kind):
        return np.asarray(known.cast(arrow.float64(), safe=False))
    if types.is_boolean(kind):
        return np.asarray(known.cast(arrow.int8()))
    if types.is_temporal(kind) and not types.is_interval(kind):
        return np.asarray(known.cast(arrow.int64() if kind.bit_width == 64 else arrow.int32()))
    return None


def without_nan(column: Any) -> Any:
    """A column whose NaN are missing values, as in every frame."""
    arrow = pyarrow()
    if not arrow.types.is_floating(column.type):
        return column
    return arrow.compute.if_else(arrow.compute.is_nan(column), arrow.scalar(None, column.type), column)
