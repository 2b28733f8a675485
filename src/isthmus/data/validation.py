"""Any examples a user passes, as one checked array: the edge where NaN, text, wrong shapes and the like are stopped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from isthmus.data.containers import Unwrapped, unwrapped
from isthmus.data.dataset import Dataset
from isthmus.data.kinds import ImageArray, Kind
from isthmus.data.labels import is_a
from isthmus.data.locations import Positions, position
from isthmus.data.memmap import release_pages
from isthmus.data.non_numeric import held, no_numbers
from isthmus.errors import DataError

__all__ = [
    "LARGEST",
    "Examples",
    "Missing",
    "as_examples",
    "blocks",
    "check_finite",
    "is_a",
    "position",
    "shaped_examples",
]

Array = npt.NDArray[Any]
Missing = Literal["error", "allow"]  # NaN: an error, or a missing value that loss and scaling leave out

BLOCK = 1 << 22  # numbers looked at together
_LISTED = 10  # fields in a message
LARGEST = float(np.finfo(np.float32).max)  # of the numbers that are taken


class _NoNumberError(DataError, TypeError):
    """An object that is no number; scikit-learn asks for a TypeError."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Checked examples.

    Attributes:
        values: (n, *shape) with at least one axis in shape; real, finite or, where that is allowed, NaN; in native byte order.
        columns: the names of the features when a data frame brought them, else None.
        kind: what the axes mean, where the source of the examples says it, else None.
        places: where they stand, for messages; None where that is nowhere but in memory.
    """

    values: Array
    columns: tuple[str, ...] | None = None
    kind: Kind | None = None
    positions: Positions | None = None

    @property
    def at(self) -> Positions:
        """Where they stand."""
        return self.positions or Positions(self.columns)

    def some(self, rows: Any) -> Examples:
        """Those of some rows, a slice or their numbers.

        Args:
            rows: a slice, or row numbers counted from 0.
        """
        return Examples(self.values[rows], self.columns, self.kind, self.at.some(rows))


def as_examples(
    X: Any, *, minimum: int = 1, missing: Missing | None = None, shape: tuple[int, ...] | None = None
) -> Examples:
    """Check what a user passes as examples, once, and hand it on as an array.

    Takes NumPy arrays, memory maps, torch tensors, pandas and polars frames, pyarrow tables, and nested lists. Integers, float32 and
    float64 keep their type; bool becomes uint8, float16 float32, numbers in object arrays float64. Nothing is copied
    that need not be: a memory map stays one, and is looked through block by block.

    Args:
        X: (n, *shape) examples, at least two axes.
        minimum: how many examples there must be.
        missing: "allow" lets NaN through, which stands for a number that is missing; "error" says that there is such a choice.
        shape: of an example, where it is known: two arrays of it are two examples, else they may be anything.

    Returns:
        The examples (n, *shape), with the names of their columns where there are some.

    Raises:
        DataError: X is no array, sparse, structured, complex, text, dates, a frame in which a name comes twice, has one axis, no features,
            objects that are no numbers (a TypeError too),
            too few examples, or numbers that are NaN, infinite or too large for float32; the sentence names row and column.
    """
    examples = shaped_examples(X, minimum=minimum, shape=shape)
    if examples.values.dtype.kind == "f":
        for begin, block in blocks(examples.values):
            check_finite(block, begin, examples.at, missing)
    return examples


def shaped_examples(X: Any, *, minimum: int = 1, shape: tuple[int, ...] | None = None) -> Examples:
    """`as_examples` without a look at the numbers, for callers that look at each block of them anyway."""
    raw = _unwrap(X, shape)
    values = _numeric(raw)
    _check_shape(values, minimum)
    return Examples(values, raw.columns, _kind(X), X.positions if isinstance(X, Examples) else None)


def _kind(X: Any) -> Kind | None:
    """What the axes of X mean, if X says it."""
    if isinstance(X, Examples):
        return X.kind or _kind(X.values)
    return "images" if isinstance(X, ImageArray) else None


def _unwrap(X: Any, shape: tuple[int, ...] | None) -> Unwrapped:
    """The array within X and the names of its columns."""
    if isinstance(X, Examples):
        return Unwrapped(X.values, X.columns)
    if isinstance(X, Dataset):
        raise DataError(f"X is the data set {X.name!r}: pass its examples, X.train or X.test")
    return unwrapped(X, shape)


def _numeric(raw: Unwrapped) -> Array:
    """The same numbers in a type the models take: integers, float32 or float64, in native byte order."""
    values = raw.values
    if values.dtype == object:
        values = _from_objects(raw)
    kind = values.dtype.kind
    if kind == "c":
        raise DataError("Complex data not supported: pass real and imaginary parts as features of their own")
    if kind in "SU":
        first = values.reshape(-1)[0] if values.size else ""
        raise DataError(f"X holds text (the first value is {str(first)!r}): turn it into numbers first")
    if kind in "mM" and values.size:
        place = np.unravel_index(int(np.argmin(np.isnat(values))), values.shape)
        row = tuple(values[place[0]]) if values.ndim == 2 else ()
        raise no_numbers(tuple(map(int, place)), values[place], raw.columns, row, raw.leave_out)
    if values.dtype.names:
        fields = ", ".join(map(repr, values.dtype.names[:_LISTED])) + (
            ", ..." if len(values.dtype.names) > _LISTED else ""
        )
        raise DataError(
            f"X is a structured array with the fields {fields}: pass its numbers as columns, "
            "numpy.lib.recfunctions.structured_to_unstructured(X)"
        )
    if kind not in "biuf":
        raise DataError(f"X holds {values.dtype} values: turn them into numbers first")
    if kind == "b":
        return values.astype(np.uint8)
    if kind == "f" and values.dtype.itemsize not in (4, 8):
        with np.errstate(over="ignore"):  # what overflows is infinite, and found by the check
            return values.astype(np.float32 if values.dtype.itemsize == 2 else np.float64)
    return values.astype(values.dtype.newbyteorder("="), copy=False, subok=True)


def _from_objects(raw: Unwrapped) -> Array:
    """Objects that are real numbers, as float64; None and pandas' NA become NaN, which the check then names."""
    values, columns = raw.values, raw.columns
    if not values.ndim:
        raise DataError(
            f"X is a {type(values.item()).__name__}: pass an array, tensor or frame of numbers, (n, *shape)"
        )
    if values.ndim == 1 and values.size and np.ndim(values[0]) > 0:
        raise DataError("X is an array of arrays of different shapes: give every example the same shape")
    missing = getattr(sys.modules.get("pandas"), "NA", None)
    numbers = np.empty(values.shape, np.float64)
    for place, value in np.ndenumerate(values):
        if value is None or value is missing:
            numbers[place] = np.nan
        elif isinstance(value, complex | np.complexfloating):
            raise DataError(f"Complex data not supported: {position(place, columns)} of X is {value}")
        elif not isinstance(value, int | float) and held(value) is not None:
            raise no_numbers(place, value, columns, tuple(values[place[0]]) if values.ndim == 2 else (), raw.leave_out)
        else:
            try:
                numbers[place] = value
            except OverflowError as error:
                raise DataError(
                    f"Input X contains a number too large for float32: {position(place, columns)}; rescale that feature"
                ) from error
            except (TypeError, ValueError) as error:
                what = f"{position(place, columns)} of X is a {type(value).__name__}"
                raise _NoNumberError(
                    f"{what}: an argument must be neither an object nor a string but a number"
                ) from error
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


def check_finite(block: Array, begin: int, positions: Positions, missing: Missing | None) -> None:
    """`DataError` at the first NaN, infinity or number beyond float32 of some rows, the first of which has a number.

    A block without any costs its minimum and maximum.
    """
    with np.errstate(invalid="ignore"):
        sound = block.min() >= -LARGEST and block.max() <= LARGEST  # false for NaN too
    if sound:
        return
    unsound = np.abs(block) > LARGEST if missing == "allow" else ~(np.abs(block) <= LARGEST)
    if not unsound.any():
        return
    wrong = np.argwhere(unsound)[0]
    value, where = block[tuple(wrong)], positions((begin + int(wrong[0]), *map(int, wrong[1:])))
    if np.isnan(value):
        choices = "impute it, drop the row, or pass missing='allow'" if missing else "impute it or drop the row"
        raise DataError(f"Input X contains NaN: {where}; {choices}")
    if np.isinf(value):
        raise DataError(f"Input X contains infinity: {where} is {value}; replace it or drop the row")
    raise DataError(f"Input X contains a number too large for float32: {where} is {value:g}; rescale that feature")


def blocks(values: Array, multiple: int = 1) -> Iterator[tuple[int, Array]]:
    """Runs of rows, each a multiple of some number but the last, and where they begin; pages of a memory map are given back after each."""
    rows = multiple * max(1, BLOCK * len(values) // (values.size * multiple))
    for begin in range(0, len(values), rows):
        yield begin, np.asarray(values[begin : begin + rows])
        release_pages(values)
