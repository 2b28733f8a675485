"""The features of a table as an array that knows the table."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.blocks import BlockRows
from isthmus.data.memmap import some_rows
from isthmus.data.tables.table_encoding import TableEncoding

__all__ = ["TableArray", "as_table_array", "lost_table", "table_of"]

Array = npt.NDArray[Any]
_RECENT = deque[TableEncoding](maxlen=8)  # the tables whose features were last given out
_ROWS = 10_000  # that show whose features an array holds


class TableArray(np.ndarray[Any, Any]):
    """The features (n, d) of a table with other columns than numbers, with their encoding.

    Selecting rows, joining rows, copying and pickling keep the encoding. All other operations lose it: the result is an ordinary array.
    Some functions of NumPy, such as `numpy.ascontiguousarray`, cannot be told to keep it; `lost_table` recognizes their results.
    """

    table: TableEncoding | None

    def __array_finalize__(self, source: Any) -> None:
        self.table = None

    def __getitem__(self, key: Any) -> Any:
        """The selected values; a selection of rows keeps the encoding."""
        selected = super().__getitem__(key)
        if isinstance(selected, TableArray) and selected.ndim == 2:
            rows = not isinstance(key, tuple) or (len(key) == 2 and (key[1] is Ellipsis or key[1] == slice(None)))
            return as_table_array(selected, self.table) if rows else np.asarray(selected)
        return np.asarray(selected) if isinstance(selected, np.ndarray) else selected

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """The result of an operation of NumPy, as of an ordinary array."""
        return array[()] if return_scalar else np.asarray(array)

    def __array_function__(self, function: Any, types: Any, arguments: Any, choices: Any) -> Any:
        """The result of a function of NumPy, an ordinary array unless rows of one table are copied, selected or joined."""
        result = super().__array_function__(function, types, arguments, choices)
        parts: Sequence[Any] = ()
        if function in {np.concatenate, np.vstack}:
            parts = arguments[0]
        elif function in {np.copy, np.take, np.compress, np.delete}:
            parts = (self,)
        same = all(isinstance(part, TableArray) and part.table == self.table for part in parts)
        if parts and same and np.shape(result)[1:] == self.shape[1:]:
            return as_table_array(np.asarray(result), self.table)
        return np.asarray(result) if isinstance(result, TableArray) else result

    def copy(self, order: Any = "C") -> TableArray:
        """A copy with the encoding."""
        copied: TableArray = as_table_array(np.array(self, order=order, subok=False), self.table)
        return copied

    def astype(self, dtype: Any, **others: Any) -> Any:  # type: ignore[override]  # of fewer overloads
        """The values in another type, with the encoding."""
        return as_table_array(np.asarray(self).astype(dtype, **others), self.table)

    def take(self, indices: Any, axis: Any = None, **others: Any) -> Any:  # type: ignore[override]  # of fewer overloads
        """Selected values; rows keep the encoding."""
        taken = np.asarray(self).take(indices, axis, **others)
        return as_table_array(taken, self.table) if axis == 0 and taken.ndim == 2 else taken

    def __reduce__(self) -> Any:
        """The array and its encoding, for pickling."""
        table = None if self.table is None else self.table.model_dump_json()
        return _restored, (np.asarray(self), table)


def as_table_array(values: Array, table: TableEncoding | None) -> Any:
    """Features (n, d) with the encoding of their table, without a copy; unchanged without an encoding."""
    if table is None:
        return values
    if isinstance(values, BlockRows):
        values.table = table
        return values
    marked: TableArray = values.view(TableArray)
    marked.table = table
    others = [each for each in _RECENT if each is not table]
    _RECENT.clear()
    _RECENT.extend((*others, table))
    return marked


def table_of(X: Any) -> TableEncoding | None:
    """The encoding of the table that an array has the features of; None for other data."""
    return X.table if isinstance(X, TableArray | BlockRows) else None


def lost_table(values: Array) -> TableEncoding | None:
    """The table with categories whose features an ordinary array (n, d) seems to hold, the last one of those given out; else None.

    Zeros and ones alone say nothing: other data are such too.
    """
    if values.ndim != 2 or values.dtype.kind != "f":
        return None
    alike = [table for table in _RECENT if any(table.classes) and len(table.classes) == values.shape[1]]
    if not alike:
        return None
    rows = some_rows(values, _ROWS)
    if np.isin(rows[~np.isnan(rows)], (0, 1)).all():
        return None
    return next((table for table in reversed(alike) if table.may_have_encoded(rows)), None)


def _restored(values: Array, table: str | None) -> Any:
    return as_table_array(values, None if table is None else TableEncoding.model_validate_json(table))
