"""Rows that become an ordinary array block by block: those of a sparse matrix, and images in their files."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

__all__ = ["LazyRows"]

Array = npt.NDArray[Any]


class LazyRows:
    """Rows (n, *shape) in the place of an array. The whole array never exists, unless a result requires it.

    A slice, a mask or row numbers select rows, which stay as they are. NumPy makes an ordinary array of them, as of any array-like object.

    Attributes:
        kind: what the rows are; None where it is inferred, as for an array.
        context: (n, c), the context of each row for a conditional autoencoder, or None.
    """

    kind: Literal["table", "images"] | None
    context: Array | None

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *shape) of the array."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the array."""
        raise NotImplementedError

    @property
    def storage(self) -> str:
        """How the values are stored, for a summary."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """The number of axes of the array."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of values of the array."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of the array."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Selected rows, the row with a number as an array, or values of rows."""
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The array; `MemoryLimitError` if the memory does not suffice."""
        raise NotImplementedError

    def with_context(self, context: Array) -> Self:
        """The same rows with a context.

        Args:
            context: (n, c), that of each row.
        """
        raise NotImplementedError
