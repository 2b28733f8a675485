"""Validation of the examples that a user passes: NaN, text, wrong shapes and other invalid input are errors here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from isthmus.data.containers import Unwrapped, unwrapped
from isthmus.data.context_array import without_subclass
from isthmus.data.dataset import Dataset
from isthmus.data.kinds import ImageArray, Kind
from isthmus.data.labels import is_a
from isthmus.data.lazy_rows import LazyRows
from isthmus.data.locations import Positions, position
from isthmus.data.memmap import release_pages
from isthmus.data.non_numeric import non_numeric_error
from isthmus.data.object_arrays import numbers_of_objects
from isthmus.data.series.window_array import windows_of
from isthmus.data.sparse_rows import is_sparse
from isthmus.data.tables.column_kinds import GivenKind
from isthmus.data.tables.frame_columns import library_of
from isthmus.data.tables.frame_features import has_kinds, known_features, own_features
from isthmus.data.tables.table_array import table_of
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.errors import DataError, RecordError

__all__ = [
    "LARGEST",
    "Examples",
    "Missing",
    "as_examples",
    "blocks",
    "check_finite",
    "encoded",
    "is_a",
    "position",
    "shaped_examples",
]

Array = npt.NDArray[Any]
Missing = Literal["error", "allow"]  # NaN: an error, or a missing value that loss and scaling exclude

BLOCK = 1 << 22  # values in a block
_LISTED = 10  # fields in a message
LARGEST = float(np.finfo(np.float32).max)  # the largest valid value


@dataclass(frozen=True, eq=False)
class Examples:
    """Validated examples.

    Attributes:
        values: (n, *shape) with at least one axis in shape; real and finite, or NaN where that is allowed; in native byte order.
        columns: the feature names if the examples came from a data frame, else None.
        kind: the kind of the data if the source states it, else None.
        positions: the locations of the examples in their file, for messages; None for examples in memory.
        table: how the columns of a table became features; None for a table of numbers alone, and for other data.
    """

    values: Array
    columns: tuple[str, ...] | None = None
    kind: Kind | None = None
    positions: Positions | None = None
    table: TableEncoding | None = None

    @property
    def at(self) -> Positions:
        """The locations of the examples, for messages."""
        return self.positions or Positions(self.columns)

    def some(self, rows: Any) -> Examples:
        """A subset of the examples.

        Args:
            rows: a slice, or row numbers counted from 0.

        Returns:
            The selected examples, which keep their locations.
        """
        return Examples(self.values[rows], self.columns, self.kind, self.at.some(rows), self.table)


def as_examples(
    X: Any,
    *,
    minimum: int = 1,
    missing: Missing | None = None,
    shape: tuple[int, ...] | None = None,
    kinds: Mapping[str, GivenKind] | None = None,
    table: TableEncoding | None = None,
) -> Examples:
    """Validates examples and converts them to an array.

    Accepts NumPy arrays, memory maps, torch tensors, pandas and polars frames, pyarrow tables, scipy's sparse matrices, and nested lists.
    Integers, float32 and float64 keep their dtype. bool becomes uint8, float16 becomes float32, and numbers in object arrays become
    float64. Data are copied only for a conversion: a memory map stays a memory map, a sparse matrix becomes `SparseRows`, and both are
    checked block by block.

    Args:
        X: examples (n, *shape) with at least two axes.
        minimum: the smallest valid number of examples.
        missing: "allow" accepts NaN as a missing value; with "error" the message on NaN suggests "allow"; None: NaN is an error.
        shape: the shape of an example if it is known. A pair of arrays of this shape is two examples; otherwise it is ambiguous.
        kinds: the kinds of columns of a frame by name (`TableEncoding.fit`).
        table: the encoding that a frame gets, instead of one of its own.

    Returns:
        The examples (n, *shape), with column names if X has any. A frame with other columns than numbers has an encoding.

    Raises:
        DataError: X is not an array, or is structured or complex; it holds text, dates or objects (also a TypeError); a frame
            has a column name twice; there is only one axis, no feature, or too few examples; or a value is NaN, infinite or too large
            for float32. The message names row and column.
    """
    examples = shaped_examples(
        X if table is None else encoded(X, table, missing), minimum=minimum, shape=shape, kinds=kinds
    )
    if examples.values.dtype.kind == "f":
        for begin, block in blocks(examples.values):
            check_finite(block, begin, examples.at, missing)
    return examples


def shaped_examples(
    X: Any,
    *,
    minimum: int = 1,
    shape: tuple[int, ...] | None = None,
    kinds: Mapping[str, GivenKind] | None = None,
) -> Examples:
    """`as_examples` without the check of the values, for callers that check each block as they read it."""
    if library_of(X) is not None and len(X) >= minimum and (kinds is not None or has_kinds(X)):
        table, values = own_features(X, kinds)
        X = Examples(values, table.features, "table", table=table)
    elif (known := table_of(X)) is not None:
        rows: Any = X if isinstance(X, LazyRows) else np.asarray(X)
        X = Examples(rows, known.features, "table", table=known)
    if isinstance(X, Examples) and X.table is not None and not X.table.agrees_with(kinds):
        raise RecordError(
            f"kinds={dict(kinds or {})!r} are not those that X was read with ({X.table.summary()}): pass the frame itself, or leave "
            "them out"
        )
    if kinds and not isinstance(X, Examples):
        raise RecordError(
            f"kinds={dict(kinds)!r} names columns of a data frame, and X is none: pass a frame, or leave it out"
        )
    raw = _unwrap(X, shape)
    values = _numeric(raw)
    _check_shape(values, minimum)
    positions, encoding = (X.positions, X.table) if isinstance(X, Examples) else (None, None)
    return Examples(values, raw.columns, _kind(X), positions, encoding)


def encoded(X: Any, table: TableEncoding, missing: Missing | None) -> Any:
    """A frame as the features of a known encoding, others unchanged. An unknown category is missing if that is allowed, else an error."""
    own = X.table if isinstance(X, Examples) else table_of(X)
    if own is not None and not own.has_features_of(table):
        raise DataError(
            "X was encoded as another table, whose categories may have other numbers: pass the frame itself"
        )
    if library_of(X) is None:
        return X
    return Examples(known_features(X, table, missing == "allow"), table.features, "table", table=table)


def _kind(X: Any) -> Kind | None:
    """The kind of the data if X states it."""
    if isinstance(X, Examples):
        return X.kind or _kind(X.values)
    if isinstance(X, LazyRows):
        return X.kind
    if is_sparse(X):
        return "table"
    if windows_of(X) is not None:
        return "series"
    return "images" if isinstance(X, ImageArray) else None


def _unwrap(X: Any, shape: tuple[int, ...] | None) -> Unwrapped:
    """The array in X and its column names."""
    if isinstance(X, Examples):
        return Unwrapped(X.values, X.columns)
    if windows_of(X) is not None:
        return Unwrapped(X)
    if isinstance(X, Dataset):
        raise DataError(f"X is the data set {X.name!r}: pass its examples, X.train or X.test")
    return unwrapped(X, shape)


def _numeric(raw: Unwrapped) -> Array:
    """The values in a dtype that models accept: integers, float32 or float64, in native byte order."""
    values = raw.values
    if windows_of(values) is not None:  # of rows that were converted
        return values
    if values.dtype == object:
        values = numbers_of_objects(raw)
    kind = values.dtype.kind
    if kind == "c":
        raise DataError("Complex data not supported: pass real and imaginary parts as separate features")
    if kind in "SU":
        first = values.reshape(-1)[0] if values.size else ""
        raise DataError(f"X holds text (the first value is {str(first)!r}): convert it to numbers first")
    if kind in "mM" and values.size:
        index = np.unravel_index(int(np.argmin(np.isnat(values))), values.shape)
        raise non_numeric_error(tuple(map(int, index)), values[index], raw.columns)
    if values.dtype.names:
        fields = ", ".join(map(repr, values.dtype.names[:_LISTED])) + (
            ", ..." if len(values.dtype.names) > _LISTED else ""
        )
        raise DataError(
            f"X is a structured array with the fields {fields}: pass its fields as columns, "
            "numpy.lib.recfunctions.structured_to_unstructured(X)"
        )
    if kind not in "biuf":
        raise DataError(f"X holds {values.dtype} values: convert them to numbers first")
    if kind == "b":
        return values.astype(np.uint8)
    if kind == "f" and values.dtype.itemsize not in (4, 8):
        with np.errstate(over="ignore"):  # overflow gives infinity, which the check finds
            return values.astype(np.float32 if values.dtype.itemsize == 2 else np.float64)
    return values.astype(values.dtype.newbyteorder("="), copy=False, subok=True)


def _check_shape(values: Array, minimum: int) -> None:
    shape = values.shape
    if values.ndim < 2:
        got = "1D array" if values.ndim else "scalar array"
        raise DataError(
            f"Expected 2D array, got {got} instead, of shape {shape}. Reshape your data: X.reshape(-1, 1) if it has a "
            "single feature, X.reshape(1, -1) if it is a single example"
        )
    if shape[0] < minimum:
        raise DataError(f"X has n_samples={shape[0]} (shape={shape}) while a minimum of {minimum} is required.")
    if 0 in shape[1:]:
        raise DataError(f"X has 0 feature(s) (shape={shape}) while a minimum of 1 is required.")


def check_finite(block: Array, begin: int, positions: Positions, missing: Missing | None) -> None:
    """Raises `DataError` at the first NaN, infinity or value too large for float32 of a block.

    A valid block costs one minimum and one maximum.

    Args:
        block: (k, *shape) some rows of the examples.
        begin: the number of the first row.
        positions: the locations of all examples, for the message.
        missing: see `as_examples`.
    """
    with np.errstate(invalid="ignore"):
        valid = block.min() >= -LARGEST and block.max() <= LARGEST  # False for NaN too
    if valid:
        return
    invalid = np.abs(block) > LARGEST if missing == "allow" else ~(np.abs(block) <= LARGEST)
    if not invalid.any():
        return
    first = np.argwhere(invalid)[0]
    value, where = block[tuple(first)], positions((begin + int(first[0]), *map(int, first[1:])))
    if np.isnan(value):
        choices = "impute it, drop the row, or pass missing='allow'" if missing else "impute it or drop the row"
        raise DataError(f"Input X contains NaN: {where}; {choices}")
    if np.isinf(value):
        raise DataError(f"Input X contains infinity: {where} is {value}; replace it or drop the row")
    raise DataError(f"Input X contains a number too large for float32: {where} is {value:g}; rescale that feature")


def blocks(values: Array, multiple: int = 1) -> Iterator[tuple[int, Array]]:
    """Yields blocks of rows with the number of their first row. After each, the pages of a memory map are released.

    Args:
        values: (n, *shape).
        multiple: the number of rows of each block, except the last one, is a multiple of it.
    """
    rows = multiple * max(1, BLOCK * len(values) // (values.size * multiple))
    for begin in range(0, len(values), rows):
        yield begin, without_subclass(values[begin : begin + rows])
        release_pages(values)
