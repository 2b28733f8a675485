"""Arrays back into what their examples came in; libraries that these cannot come from are not imported."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.validation import is_a

__all__ = ["like"]

Array = npt.NDArray[Any]


def like(X: Any, values: Array) -> Any:
    """Completed examples in the manner of X: a data frame with the same columns and index, or an array of the same type.

    Args:
        X: the examples, some numbers of which may be missing.
        values: the same with all of them, (n, *shape).
    """
    if is_a(X, "pandas", "DataFrame"):
        return _pandas(X, values)
    if is_a(X, "polars", "DataFrame"):
        return _polars(X, values)
    half = isinstance(X, np.ndarray) and X.dtype.kind == "f"  # float16, which is computed with as float32
    return values.astype(X.dtype, copy=False) if half else values


def _pandas(frame: Any, values: Array) -> Any:
    import pandas

    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]  # names may come twice
    made = pandas.concat([_column(column, new) for column, new in zip(columns, values.T, strict=True)], axis=1)
    made.columns = frame.columns
    return made


def _column(column: Any, new: Array) -> Any:
    """A column as it is, unless numbers of it are missing; their type stays if it has room for fractions."""
    if not column.isna().any():
        return column
    real = isinstance(column.dtype, np.dtype) and column.dtype.kind == "f"
    return type(column)(new.astype(column.dtype) if real else new, index=column.index)


def _polars(frame: Any, values: Array) -> Any:
    import polars

    def column(name: str, new: Array) -> Any:
        old = frame[name]
        if not np.isnan(old.to_numpy().astype(np.float64)).any():
            return old
        return polars.Series(name, new, dtype=old.dtype if old.dtype.is_float() else polars.Float64)

    return polars.DataFrame([column(name, new) for name, new in zip(frame.columns, values.T, strict=True)])
