"""Converts imputed arrays back to the type of their examples. No library is imported that the examples do not come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.validation import is_a

__all__ = ["like"]

Array = npt.NDArray[Any]


def like(X: Any, values: Array) -> Any:
    """Imputed examples in the type of X: a data frame with the same columns and index, or an array of the same dtype.

    Args:
        X: the original examples, possibly with missing values.
        values: the imputed examples (n, *shape).
    """
    if is_a(X, "pandas", "DataFrame"):
        return _pandas(X, values)
    if is_a(X, "polars", "DataFrame"):
        return _polars(X, values)
    floating = isinstance(X, np.ndarray) and X.dtype.kind == "f"  # such as float16, which is computed as float32
    return values.astype(X.dtype, copy=False) if floating else values


def _pandas(frame: Any, values: Array) -> Any:
    import pandas

    columns = [frame.iloc[:, number] for number in range(frame.shape[1])]  # by number: names may occur twice
    result = pandas.concat([_column(column, new) for column, new in zip(columns, values.T, strict=True)], axis=1)
    result.columns = frame.columns
    return result


def _column(column: Any, new: Array) -> Any:
    """A column with imputed values, unchanged if none was missing. A floating-point dtype is kept."""
    if not column.isna().any():
        return column
    floating = isinstance(column.dtype, np.dtype) and column.dtype.kind == "f"
    return type(column)(new.astype(column.dtype) if floating else new, index=column.index)


def _polars(frame: Any, values: Array) -> Any:
    import polars

    def column(name: str, new: Array) -> Any:
        old = frame[name]
        if not np.isnan(old.to_numpy().astype(np.float64)).any():
            return old
        return polars.Series(name, new, dtype=old.dtype if old.dtype.is_float() else polars.Float64)

    return polars.DataFrame([column(name, new) for name, new in zip(frame.columns, values.T, strict=True)])
