"""Examples that carry the context of each row, for conditional autoencoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.lazy_rows import LazyRows

__all__ = ["ContextArray", "attach_context", "context_of", "dense", "without_subclass"]

Array = npt.NDArray[Any]


class ContextArray(np.ndarray[Any, Any]):
    """Rows (n, ...) with the context (n, c) of each, which the functions that work block by block pass on.

    Selecting rows selects their context too. All other operations lose it: a result that has other rows has no context, and a conditional
    autoencoder then raises an error instead of computing with a wrong one.
    """

    context: Array | None

    def __array_finalize__(self, source: Any) -> None:
        self.context = None

    def __getitem__(self, key: Any) -> Any:
        """The selected values. Rows, selected by a slice, a mask or numbers, keep their context."""
        selected = super().__getitem__(key)
        rows = not isinstance(key, tuple) and isinstance(selected, ContextArray) and selected.ndim == self.ndim
        if rows and self.context is not None:
            selected.context = self.context[key]
        return selected

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """The result of an operation of NumPy, as of an ordinary array."""
        return array[()] if return_scalar else np.asarray(array)


def attach_context(rows: Array, context: Array | None) -> Array:
    """The rows (n, ...) with their context (n, c), without a copy; unchanged if the context is None."""
    if context is None:
        return rows
    assert len(rows) == len(context)
    if isinstance(rows, LazyRows):
        return rows.with_context(context)
    with_context: ContextArray = rows.view(ContextArray)
    with_context.context = context
    return with_context


def context_of(rows: Any) -> Array | None:
    """The context of each row, or None if the rows have none."""
    return rows.context if isinstance(rows, ContextArray | LazyRows) else None


def without_subclass(rows: Any) -> Array:
    """The rows as an ordinary array; a `ContextArray` is returned unchanged, and sparse rows and images in files keep their context."""
    return rows if isinstance(rows, ContextArray) else attach_context(np.asarray(rows), context_of(rows))


def dense(rows: Array) -> Array:
    """Sparse rows and images in files as an ordinary array, with their context; other rows unchanged."""
    return without_subclass(rows) if isinstance(rows, LazyRows) else rows
