"""Sparse matrices from files: .npz of scipy.sparse.save_npz, and Matrix Market (.mtx). What a file declares is checked first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.sparse_rows import from_scipy
from isthmus.errors import DataError, MemoryLimitError
from isthmus.io.files import open_regular, shown
from isthmus.io.memory_limit import check_memory
from isthmus.text import printable, quoted

__all__ = ["SPARSE_ARRAYS", "read_mtx", "sparse_rows"]

Array = npt.NDArray[Any]

SPARSE_ARRAYS = ("data", "indices", "indptr", "shape", "format")
"""The arrays of a .npz file that scipy.sparse.save_npz wrote."""

_HEADER = re.compile(
    r"%%matrixmarket matrix (coordinate|array) (real|double|integer|pattern) (general|symmetric|skew-symmetric)\s*"
)
_MAX_LINE = 4096  # characters of a line before the values
_LEAST_BYTES = {
    "coordinate": 4,
    "array": 2,
}  # of a stored value in a Matrix Market file: "1 1" or "0", and the end of the line


def sparse_rows(parts: Mapping[str, Array], name: str) -> Any:
    """The rows of the matrix that the arrays of scipy.sparse.save_npz describe.

    Args:
        parts: the arrays `SPARSE_ARRAYS`.
        name: the name of the file in messages.

    Raises:
        DataError: the arrays do not fit each other, or it is another format than CSR or CSC.
    """
    from scipy import sparse

    data, indices, indptr, shape, form = (parts[each] for each in SPARSE_ARRAYS)
    word = form.tobytes().replace(b"\0", b"").decode("ascii", "replace") if form.dtype.kind in "SU" else ""
    build = {"csr": sparse.csr_array, "csc": sparse.csc_array}.get(word)
    if build is None:
        raise DataError(
            f"{name} holds a sparse matrix of the format {quoted(word, 20)}: save it with scipy.sparse.save_npz(path, X.tocsr())"
        )
    if data.dtype.kind not in "biuf":
        raise DataError(f"{name} holds a sparse matrix of {data.dtype} values: save numbers")
    try:
        n, d = (int(each) for each in shape)
        _check_size(n, d, name, sum(part.nbytes for part in parts.values()))
        matrix = build((data, indices, indptr), shape=(n, d))
        matrix.check_format(full_check=True)  # a wrong index would be read or written outside of the matrix
    except MemoryLimitError:
        raise
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise DataError(f"{name} holds a damaged sparse matrix ({printable(str(error))}): write it again") from error
    return from_scipy(matrix)


def read_mtx(path: Path) -> Dataset:
    """The data set of a Matrix Market file, whose rows are the examples. Values that are not stored are zeros.

    Raises:
        DataError: the file is damaged, or holds complex numbers.
    """
    from scipy import io, sparse

    name = shown(path)
    with open_regular(path) as file:
        _check_header(file, name)
        try:
            matrix = sparse.csr_array(io.mmread(file))
        except (ValueError, TypeError, OverflowError, IndexError, EOFError, OSError) as error:
            reason = printable(str(error)).partition("\n")[0]
            raise DataError(
                f"{name} is a damaged Matrix Market file ({reason}): write it with scipy.io.mmwrite"
            ) from error
    n, d = matrix.shape
    note = f"the rows of {name} are the examples: {n:,} with {d:,} features; if its columns are, transpose it first"
    return Dataset(path.name, from_scipy(matrix), source=name, notes=(note,))


def _check_header(file: IO[bytes], name: str) -> None:
    """`DataError` unless the header is one of numbers, and the file is long enough for the values that it declares."""

    def line() -> str:
        return file.readline(_MAX_LINE).decode("latin-1").lower()

    found = _HEADER.fullmatch(line())
    if found is None:
        raise DataError(f"{name} has no header of a Matrix Market file of real numbers: write it with scipy.io.mmwrite")
    size = line()
    while size.startswith("%") or (size and not size.strip()):
        size = line()
    try:
        n, d, *stored = (int(each) for each in size.split())
        count = stored[0] if found[1] == "coordinate" else n * d // 2
    except (ValueError, IndexError):
        raise DataError(f"{name} does not state its rows, columns and values: write it with scipy.io.mmwrite") from None
    length = file.seek(0, 2)
    if min(count, n, d) < 0 or count * _LEAST_BYTES[found[1]] > length:
        raise DataError(f"{name} is damaged: it declares {count:,} values, and has {length:,} bytes; write it again")
    _check_size(n, d, name, length)
    file.seek(0)


def _check_size(n: int, d: int, name: str, given: int) -> None:
    """`DataError` for a matrix without values, `MemoryLimitError` for one of far more rows than the bytes that the file has."""
    if n < 1 or d < 1:
        raise DataError(f"{name} holds a sparse matrix of shape ({n:,}, {d:,}): give one with examples and features")
    check_memory(8 * (n + d), f"{name}, which declares {n:,} rows and {d:,} columns,", given=given)
