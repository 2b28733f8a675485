"""Sparse matrices of scipy as rows that become dense block by block. The dense whole never exists, unless a result requires it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.labels import is_a
from isthmus.data.lazy_rows import LazyRows
from isthmus.errors import DataError
from isthmus.io.memory_limit import check_memory

__all__ = ["SparseRows", "concatenated", "from_scipy", "is_sparse"]

Array = npt.NDArray[Any]


class SparseRows(LazyRows):
    """The rows of a sparse matrix (n, d), in the place of an array.

    A slice, a mask or row numbers select rows, which stay sparse. NumPy makes a dense array of them, as of any array-like object. Values
    that are not stored are zeros. Row by row, all results are the same as those of the dense array.

    Args:
        matrix: a scipy.sparse.csr_array (n, d) without duplicate entries.
        context: (n, c), the context of each row for a conditional autoencoder, or None.

    Attributes:
        matrix, context: as given.
        shape, ndim, size, dtype, nbytes: those of the dense array.

    Examples:
        >>> import scipy.sparse
        >>> rows = isthmus.data.SparseRows(scipy.sparse.csr_array(np.eye(4)))
        >>> rows
        SparseRows(4 x 4, float64, 4 stored values)
        >>> np.asarray(rows[1:3]).tolist()
        [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    """

    kind = "table"

    def __init__(self, matrix: Any, context: Array | None = None) -> None:
        self.matrix, self.context = matrix, context

    @property
    def shape(self) -> tuple[int, int]:
        n, d = self.matrix.shape
        return int(n), int(d)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.matrix.dtype
        return dtype

    @property
    def storage(self) -> str:
        """Which fraction of the values is stored, for a summary."""
        return f"sparse ({self.matrix.nnz / self.size:.2g} of the values stored)"

    def __getitem__(self, key: Any) -> Any:
        """Rows (k, d), sparse; the row with a number as a dense array (d,); or some columns of rows."""
        if isinstance(key, int | np.integer):
            number = range(len(self))[int(key)]
            return self.matrix[[number]].toarray()[0]
        if isinstance(key, tuple):
            from scipy import sparse

            selected = self.matrix[key]
            if not sparse.issparse(selected):
                return selected
            return SparseRows(selected) if selected.ndim == 2 else selected.toarray()
        return SparseRows(self.matrix[key], None if self.context is None else self.context[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The dense array; `MemoryLimitError` if the memory does not suffice."""
        n, d = self.shape
        check_memory(self.nbytes, f"a dense array of {n:,} rows with {d:,} columns")
        dense: Array = self.matrix.toarray()
        return dense if dtype is None else dense.astype(dtype, copy=False)

    def __repr__(self) -> str:
        n, d = self.shape
        return f"SparseRows({n:,} x {d:,}, {self.dtype}, {self.matrix.nnz:,} stored values)"

    def astype(self, dtype: Any, copy: bool = True, subok: bool = True) -> SparseRows:
        """The rows in another dtype, sparse.

        Args:
            dtype, copy, subok: as for `numpy.ndarray.astype`; sparse rows have no subclasses.
        """
        return SparseRows(self.matrix.astype(dtype, copy=copy), self.context)

    def reshape(self, *shape: Any) -> Any:
        """The rows themselves where the shape is theirs, else a dense array.

        Args:
            shape: as for `numpy.ndarray.reshape`.
        """
        n, d = self.shape
        return self if shape in {(n, -1), (n, d), (-1, d)} else np.asarray(self).reshape(*shape)

    def with_context(self, context: Array) -> SparseRows:
        """The same rows with a context.

        Args:
            context: (n, c), that of each row.
        """
        return SparseRows(self.matrix, context)


def is_sparse(X: Any) -> bool:
    """Whether X is a sparse matrix or array of scipy, or rows of one."""
    return isinstance(X, SparseRows) or is_a(X, "scipy.sparse", "spmatrix", "sparray")


def from_scipy(X: Any) -> Any:
    """The rows of a sparse matrix of any format; CSR shares its memory, others are converted. X is never changed.

    Raises:
        DataError: it does not have two axes.
    """
    if X.ndim != 2:
        raise DataError(f"Expected 2D array, got a sparse array of shape {X.shape} instead: reshape it to (n, d)")
    from scipy import sparse

    matrix = sparse.csr_array(X)
    if not matrix.has_canonical_format:  # several entries of one place add up
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return SparseRows(matrix)


def concatenated(first: Any, second: Any) -> Any:
    """The rows of two arrays one after the other; sparse if both are."""
    if not (isinstance(first, SparseRows) and isinstance(second, SparseRows)):
        return np.concatenate([first, second])
    from scipy import sparse

    return SparseRows(sparse.vstack([first.matrix, second.matrix], format="csr"))
