"""Any examples a user passes, as one checked array: the edge where NaN, text, wrong shapes and the like are stopped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.kinds import ImageArray, Kind
from isthmus.data.labels import is_a
from isthmus.data.mapped import give_pages_back
from isthmus.errors import DataError

__all__ = ["Examples", "Missing", "as_examples", "blocks", "is_a", "position"]

Array = npt.NDArray[Any]
Missing = Literal["refuse", "mask"]  # what a number that is missing, NaN, is to an autoencoder

_BLOCK = 1 << 22  # numbers looked at together
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Examples:
    """Checked examples.

    Attributes:
        values: (n, *shape) with at least one axis in shape; real, finite or, where that is allowed, NaN; in native byte order.
        columns: the names of the features when a data frame brought them, else None.
        kind: what the axes mean, where the source of the examples says it, else None.
    """

    values: Array
    columns: tuple[str, ...] | None = None
    kind: Kind | None = None


def as_examples(X: Any, *, minimum: int = 1, missing: Missing | None = None) -> Examples:
    """Check what a user passes as examples, once, and hand it on as an array.

    Takes NumPy arrays, memory maps, torch tensors, pandas and polars frames, and nested lists. Integers, float32 and
    float64 keep their type; bool becomes uint8, float16 float32, numbers in object arrays float64. Nothing is copied
    that need not be: a memory map stays one, and is looked through block by block.

    Args:
        X: (n, *shape) examples, at least two axes.
        minimum: how many examples there must be.
        missing: "mask" lets NaN through, which stands for a number that is missing; "refuse" says that there is such a choice.

    Raises:
        TypeError: X is sparse, or holds objects that are no numbers.
        DataError: X is complex, text, has one axis, no features, too few examples, or numbers that are NaN, infinite
            or too large for float32; the sentence names row and column.
    """
    raw, columns = _unwrap(X)
    values = _numeric(raw, columns)
    _check_shape(values, minimum)
    if values.dtype.kind == "f":
        _check_finite(values, columns, missing)
    return Examples(values, columns, _kind(X))


def _kind(X: Any) -> Kind | None:
    """What the axes of X mean, if X says it."""
    if isinstance(X, Examples):
        return X.kind or _kind(X.values)
    return "images" if isinstance(X, ImageArray) else None


def _unwrap(X: Any) -> tuple[Array, tuple[str, ...] | None]:
    """The array within X and the names of its columns; libraries that X cannot come from are not imported."""
    if isinstance(X, Examples):
        return X.values, X.columns
    if isinstance(X, Dataset):
        raise DataError(f"X is the data set {X.name!r}: pass its examples, X.train or X.test")
    if is_a(X, "scipy.sparse", "spmatrix", "sparray"):
        raise TypeError("Sparse data was passed, but dense data is required: convert it with X.toarray()")
    if is_a(X, "torch", "Tensor"):
        return _from_torch(X), None
    if is_a(X, "pandas", "DataFrame"):
        values = X.to_numpy()
        if values.dtype == object and all(dtype.kind in "biuf" for dtype in X.dtypes):
            values = X.to_numpy(dtype=np.float64, na_value=np.nan)
        return values, _names(X)
    if is_a(X, "polars", "LazyFrame"):
        raise DataError("X is a lazy polars frame: call X.collect() first")
    if is_a(X, "polars", "DataFrame"):
        return X.to_numpy(), _names(X)
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        return np.ma.filled(X.astype(np.float64), np.nan), None
    if isinstance(X, np.memmap):
        return X, None
    try:
        return np.asarray(X), None
    except ValueError as error:
        raise DataError(f"X cannot be made one array ({error}): give every example the same shape") from error


def _names(frame: Any) -> tuple[str, ...] | None:
    names = tuple(frame.columns)
    return names if all(isinstance(name, str) for name in names) else None


def _from_torch(tensor: Any) -> Array:
    if str(tensor.layout) != "torch.strided":
        raise TypeError("Sparse data was passed, but dense data is required: convert it with X.to_dense()")
    try:
        if tensor.is_floating_point() and tensor.element_size() < 4:  # NumPy has no bfloat16
            tensor = tensor.float()
        return np.asarray(tensor.numpy(force=True))
    except (RuntimeError, TypeError) as error:  # on "meta", quantized, nested, or within a transform of torch.func
        kind = (
            "on 'meta', where there are no numbers"
            if tensor.device.type == "meta"
            else "none whose numbers can be read"
        )
        raise DataError(f"X is a tensor {kind}: pass an ordinary one, such as torch.tensor([[0.5, 1.0]])") from error


def _numeric(values: Array, columns: tuple[str, ...] | None) -> Array:
    """The same numbers in a type the models take: integers, float32 or float64, in native byte order."""
    if values.dtype == object:
        values = _from_objects(values, columns)
    kind = values.dtype.kind
    if kind == "c":
        raise DataError("Complex data not supported: pass real and imaginary parts as features of their own")
    if kind in "SU":
        first = values.reshape(-1)[0] if values.size else ""
        raise DataError(f"X holds text (the first value is {str(first)!r}): turn it into numbers first")
    if kind not in "biuf":
        raise DataError(f"X holds {values.dtype} values: turn them into numbers first")
    if kind == "b":
        return values.astype(np.uint8)
    if kind == "f" and values.dtype.itemsize not in (4, 8):
        with np.errstate(over="ignore"):  # what overflows is infinite, and found by the check
            return values.astype(np.float32 if values.dtype.itemsize == 2 else np.float64)
    return values.astype(values.dtype.newbyteorder("="), copy=False, subok=True)


def _from_objects(values: Array, columns: tuple[str, ...] | None) -> Array:
    """Objects that are real numbers, as float64; None and pandas' NA become NaN, which the check then names."""
    if values.ndim == 1 and values.size and np.ndim(values[0]) > 0:
        raise DataError("X is an array of arrays of different shapes: give every example the same shape")
    missing = getattr(sys.modules.get("pandas"), "NA", None)
    numbers = np.empty(values.shape, np.float64)
    for place, value in np.ndenumerate(values):
        if value is None or value is missing:
            numbers[place] = np.nan
        elif isinstance(value, complex | np.complexfloating):
            raise DataError(f"Complex data not supported: {position(place, columns)} of X is {value}")
        elif isinstance(value, str | bytes):
            raise DataError(f"X holds text: {position(place, columns)} is {value!r}; turn it into numbers or drop it")
        else:
            try:
                numbers[place] = value
            except OverflowError as error:
                raise DataError(
                    f"Input X contains a number too large for float32: {position(place, columns)}; rescale that feature"
                ) from error
            except (TypeError, ValueError) as error:
                what = f"{position(place, columns)} of X is a {type(value).__name__}"
                raise TypeError(f"{what}: an argument must be neither an object nor a string but a number") from error
    return numbers


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


def _check_finite(values: Array, columns: tuple[str, ...] | None, missing: Missing | None) -> None:
    """Find the first NaN, infinity or number beyond float32; a block without any costs its minimum and maximum."""
    for start, block in blocks(values):
        with np.errstate(invalid="ignore"):
            sound = block.min() >= -_LARGEST and block.max() <= _LARGEST  # false for NaN too
        if sound:
            continue
        unsound = np.abs(block) > _LARGEST if missing == "mask" else ~(np.abs(block) <= _LARGEST)
        if not unsound.any():
            continue
        wrong = np.argwhere(unsound)[0]
        value = block[tuple(wrong)]
        where = position((start + int(wrong[0]), *wrong[1:]), columns)
        if np.isnan(value):
            choices = "impute it, drop the row, or pass missing='mask'" if missing else "impute it or drop the row"
            raise DataError(f"Input X contains NaN: {where}; {choices}")
        if np.isinf(value):
            raise DataError(f"Input X contains infinity: {where} is {value}; replace it or drop the row")
        raise DataError(f"Input X contains a number too large for float32: {where} is {value:g}; rescale that feature")


def blocks(values: Array, multiple: int = 1) -> Iterator[tuple[int, Array]]:
    """Runs of rows, each a multiple of some number but the last, and where they begin; pages of a memory map are given back after each."""
    rows = multiple * max(1, _BLOCK * len(values) // (values.size * multiple))
    for begin in range(0, len(values), rows):
        yield begin, np.asarray(values[begin : begin + rows])
        give_pages_back(values)


def position(index: tuple[int, ...], columns: tuple[str, ...] | None) -> str:
    """Where a value stands, as a person counts from zero: row 17, column 3 (feature 'age')."""
    if not index:
        return "the only value"
    row, *rest = (int(each) for each in index)
    if len(rest) != 1:
        return f"row {row}" + (f", position {tuple(rest)}" if rest else "")
    return f"row {row}, column {rest[0]}" + (f" (feature {columns[rest[0]]!r})" if columns else "")
