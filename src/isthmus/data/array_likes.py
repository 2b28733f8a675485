"""Arrays of other libraries that stay in their files, such as those of h5py and Zarr, as rows in blocks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.blocks import BlockRows
from isthmus.data.memmap import release_pages
from isthmus.errors import DataError

__all__ = ["ArrayLikeRows", "array_like_rows"]

Array = npt.NDArray[Any]

IN_MEMORY = 64 << 20  # bytes; smaller arrays are read at once
BLOCK_VALUES = 1 << 20  # of a block, unless a row or a chunk has more
_IN_MEMORY_ALREADY = ("__array_interface__", "__cuda_array_interface__", "__dlpack__")


class ArrayLikeRows(BlockRows):
    """The rows of an object with `shape`, `dtype` and `__getitem__`, such as a data set of h5py or an array of Zarr.

    Rows are read by slices from one row to a later one, also of a memory map. A block has whole chunks of the object, if it has chunks.

    Args:
        array: the object, (n, *shape).

    Examples:
        >>> isthmus.data.ArrayLikeRows(X)
        ArrayLikeRows(200 x 8 x 8, float32, 1 blocks)
    """

    def __init__(self, array: Any) -> None:
        self.array, self._shape = array, tuple(map(int, array.shape))
        self._dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.type = type(array).__name__
        n, each = self._shape[0], max(1, BLOCK_VALUES // max(1, math.prod(self._shape[1:])))
        chunk = getattr(array, "chunks", None)
        first = chunk[0] if isinstance(chunk, tuple) and chunk else 1
        rows = first if isinstance(first, int) and first > 0 else 1
        each = max(1, each // rows) * rows
        self.sizes = np.minimum(n - np.arange(0, n, each), each)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def storage(self) -> str:
        """Where the values are, for a summary."""
        return f"in a {self.type} of {type(self.array).__module__.partition('.')[0]}"

    def read_block(self, number: int) -> Array:
        """The rows of a block.

        Args:
            number: of the block, from 0.

        Raises:
            DataError: the object cannot be read, as when its file was closed.
        """
        start, stop = self.offsets[number : number + 2].tolist()
        try:
            rows = np.array(self.array[start:stop])
        except Exception as error:  # whatever another library raises
            raise DataError(
                f"rows {start:,} to {stop - 1:,} of X could not be read from the {self.type} ({error}): keep its file open, and check that "
                "it is complete"
            ) from error
        release_pages(self.array)
        if (rows.shape, rows.dtype) != ((stop - start, *self._shape[1:]), self._dtype):
            raise DataError(
                f"rows {start:,} to {stop - 1:,} of X have shape {rows.shape} and type {rows.dtype}, but the {self.type} has shape "
                f"{self._shape} and type {self._dtype}: pass an array whose slices are rows"
            )
        return rows


def array_like_rows(X: Any) -> Any:
    """Rows in blocks of an object that is like an array and stays in its file, or its array if it is small; None for other objects."""
    if any(not hasattr(X, name) for name in ("shape", "dtype", "__getitem__")):
        return None
    if any(hasattr(X, name) for name in _IN_MEMORY_ALREADY):
        return None
    try:
        shape, dtype = tuple(map(int, X.shape)), np.dtype(X.dtype)
    except TypeError:
        return None
    if len(shape) < 2 or dtype.kind not in "biuf":
        return None
    rows = ArrayLikeRows(X)
    return np.asarray(rows) if rows.nbytes <= IN_MEMORY else rows
