"""Labels of examples, in their original dtype. A missing label is not a class."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.io.tables import cell
from isthmus.text import is_number, printable

__all__ = [
    "ClassLabels",
    "as_objects",
    "class_labels",
    "is_a",
    "is_finite_number",
    "json_labels",
    "missing_labels",
    "narrow",
    "numbered",
    "unlabeled",
]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ClassLabels:
    """The labels of n examples.

    Attributes:
        classes: (k,) the distinct labels, sorted, in their original dtype.
        numbers: (n,) the class index of each example; -1 for a missing label.
    """

    classes: Array
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: Any) -> ClassLabels:
        """The labels of a subset of the examples. The class indices do not change."""
        return ClassLabels(self.classes, self.numbers[rows])

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """Which examples have a label, (n,)."""
        return self.numbers >= 0

    @property
    def n_unlabeled(self) -> int:
        """The number of examples without a label."""
        return int((self.numbers < 0).sum())

    def labeled_values(self) -> Array:
        """The labels of the labeled examples, in order."""
        known: Array = self.classes[self.numbers[self.labeled]]
        return known

    def labeled_numbers(self) -> NDArray[np.int64]:
        """The class indices of the labeled examples, in order."""
        return self.numbers[self.labeled]

    def label_of(self, row: int) -> Any:
        """The label of one example, or None."""
        return None if self.numbers[row] < 0 else self.classes[self.numbers[row]]

    def numeric_classes(self) -> NDArray[np.float64] | None:
        """The classes as finite numbers, (k,); None if a class is neither a finite number nor the text of one."""
        if self.classes.dtype.kind in "biuf":
            return self.classes.astype(np.float64)
        if all(isinstance(value, str) and is_finite_number(value) for value in self.classes.tolist()):
            return np.array([float(value) for value in self.classes.tolist()])
        return None


def is_a(value: Any, module: str, *classes: str) -> bool:
    """Whether a value is an instance of a class of a library. A library that is not imported cannot have made it."""
    library = sys.modules.get(module)
    return library is not None and any(isinstance(value, getattr(library, name, ())) for name in classes)


def class_labels(y: Any, count: int, name: str = "y") -> ClassLabels:
    """Validates labels of any library and type.

    None, NaN, NaT, pandas.NA, a masked entry and empty text are missing labels.

    Args:
        y, count, name: the labels (n,) or (n, 1), the number n of examples, and the name of the labels in messages.

    Raises:
        DataError: the number of labels differs from the number of examples, or a label is infinite, complex or not hashable.
    """
    if isinstance(y, ClassLabels) and len(y) == count:
        return y
    values, missing = _extracted(y, name)
    if values.ndim == 2 and values.shape[1] == 1:
        values, missing = values[:, 0], missing[:, 0]
    if values.shape != (count,):
        raise DataError(
            f"{name} has shape {values.shape}, but there are {count:,} examples: pass one label for each, None for a missing label"
        )
    known = values[~missing]
    if known.dtype.kind in "fc" and not np.isfinite(known).all():
        raise DataError(f"{name} contains infinity or a value too large for a label: replace it, or pass None")
    numbers = np.full(count, -1, np.int64)
    classes, numbers[~missing] = _encoded(known, name)
    return ClassLabels(classes, numbers)


def numbered(parts: Sequence[ClassLabels]) -> list[NDArray[np.int64]]:
    """Class indices for several parts. Equal labels have equal indices in all parts; a missing label has -1.

    Labels are compared as numbers if all parts have numeric classes, and as text otherwise.
    """
    numeric = all(part.classes.dtype.kind in "biuf" or not len(part.classes) for part in parts)
    names = [part.classes.tolist() if numeric else [cell(value) for value in part.classes] for part in parts]
    indices: dict[Any, int] = {}
    mapped = [[indices.setdefault(name, len(indices)) for name in each] for each in names]
    return [np.array([*each, -1])[part.numbers] for each, part in zip(mapped, parts, strict=True)]


def unlabeled(y: Any) -> int:
    """The number of missing labels."""
    return int(missing_labels(np.asarray(y)).sum())


def json_labels(values: Iterable[Any]) -> list[Any]:
    """Labels as JSON values. Numbers, booleans and text do not change, None is a missing label, other types become text."""
    return [value if isinstance(value, bool | int | float | str | None) else cell(value) for value in _native(values)]


def _native(values: Iterable[Any]) -> list[Any]:
    """NumPy scalars as Python values, except dates, which would become integers."""
    return [v.item() if isinstance(v, np.generic) and v.dtype.kind not in "Mm" else v for v in values]


def _extracted(y: Any, name: str) -> tuple[Array, NDArray[np.bool_]]:
    """The labels as an array, and which are missing. No library is imported that they do not come from."""
    if is_a(y, "pandas", "DataFrame") and y.shape[1] == 1:
        y = y.iloc[:, 0]
    if is_a(y, "polars", "DataFrame") and y.shape[1] == 1:
        y = y.to_series()
    if is_a(y, "pandas", "Series", "Index", "Categorical") or is_a(y, "pandas.api.extensions", "ExtensionArray"):
        values, missing = np.asarray(y), np.asarray(y.isna(), bool)
        floating = isinstance(y.dtype, np.dtype) and y.dtype.kind == "f"
        if missing.any() and values.dtype.kind != "M" and not floating:  # NumPy would convert integers to floats
            values = as_objects(y.tolist())
        y = values
    elif is_a(y, "polars", "Series"):
        y = as_objects(y.to_list())
    elif is_a(y, "pyarrow", "Array", "ChunkedArray"):
        y = as_objects(y.to_pylist())
    elif is_a(y, "torch", "Tensor"):
        y = _of_tensor(y, name)
    elif isinstance(y, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(y)
        y = (
            np.asarray(y)
            if not masked.any()
            else as_objects([None if hidden else v for v, hidden in zip(y.data, masked, strict=True)])
        )
    elif not isinstance(y, np.ndarray) and not hasattr(y, "__array__"):
        y = _from_list(y, name)
    values = np.asarray(y)
    missing = missing_labels(values)
    return (narrow(values, missing) if values.dtype == object else values), missing


def _of_tensor(y: Any, name: str) -> Array:
    """The labels in a tensor."""
    try:
        if y.is_floating_point() and y.element_size() < 4:  # NumPy has no bfloat16
            y = y.float()
        return np.asarray(y.numpy(force=True))
    except (RuntimeError, TypeError) as error:
        raise DataError(
            f"{name} is a tensor whose values cannot be read ({y.device}, {y.layout}): pass a dense tensor"
        ) from error


def _from_list(y: Any, name: str) -> Array:
    """The labels in a list. NumPy would convert numbers to text if a label is missing."""
    try:
        cells = None if isinstance(y, set | frozenset | Mapping | str | bytes) else list(y)
    except TypeError:
        cells = None
    if cells is None:
        raise DataError(f"{name} is {printable(repr(y), 60)}, not a list of labels: pass one label for each example")
    if cells and isinstance(cells[0], list | tuple | np.ndarray):
        return np.asarray(y)
    values = as_objects(cells)
    missing = missing_labels(values)
    text = [isinstance(value, str) for value in values[~missing]]
    return values.astype(str) if text and all(text) and not missing.any() else values


def as_objects(cells: Sequence[Any]) -> Array:
    """The values (n,) as an array of objects, also if they are sequences."""
    values = np.empty(len(cells), object)
    values[:] = cells
    return values


def missing_labels(values: Array) -> NDArray[np.bool_]:
    """Which values are missing labels, in the shape of the values."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind in "US":
        return np.asarray(np.char.str_len(np.char.strip(values)) == 0)
    if values.dtype != object:
        return np.zeros(values.shape, bool)
    pandas = sys.modules.get("pandas")
    markers = (None, np.ma.masked, getattr(pandas, "NA", None), getattr(pandas, "NaT", None))
    missing = [any(value is marker for marker in markers) or _is_missing(value) for value in values.reshape(-1)]
    return np.asarray(missing, bool).reshape(values.shape)


def _is_missing(value: Any) -> bool:
    """Whether a value is empty text, NaN or NaT."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, Real | np.floating) and bool(value != value)


def narrow(values: Array, missing: NDArray[np.bool_]) -> Array:
    """Objects of one type as an array of its dtype, if that changes no value. Missing labels get an arbitrary value."""
    known = values[~missing].tolist()
    kinds = {_kind(value) for value in known}
    if kinds == {"int", "float"} and all(
        (math.isfinite(v) and int(v) == v) or not isinstance(v, Integral) for v in known
    ):
        exact = all(not isinstance(v, Integral) or int(float(v)) == int(v) for v in known)
        kinds = {"float"} if exact else kinds
    if len(kinds) != 1:
        return values
    kind = kinds.pop()
    if kind == "text":
        return values.astype(str) if missing.any() else values
    if kind == "int":
        low, high = int(min(known)), int(max(known))
        fits = "int64" if low >= -(2**63) and high < 2**63 else "uint64" if low >= 0 and high < 2**64 else None
        return values if fits is None else _filled(known, missing, np.dtype(fits))
    if kind in {"bool", "float"}:
        return _filled(known, missing, np.dtype(kind))
    return _filled(known, missing, np.array(known).dtype) if kind == "date" else values


def _filled(known: list[Any], missing: NDArray[np.bool_], dtype: np.dtype[Any]) -> Array:
    values = np.zeros(missing.shape, dtype)
    values[~missing] = np.array(known, dtype)
    return values


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "bool"
    if isinstance(value, np.datetime64):
        return "date"
    return "int" if isinstance(value, Integral) else "float" if isinstance(value, float | np.floating) else "other"


def _encoded(known: Array, name: str) -> tuple[Array, NDArray[np.int64]]:
    """The distinct labels, sorted, and the class index of each label."""
    if known.dtype.kind in "cV":
        raise DataError(f"{name} holds {known.dtype} values, which cannot be labels: pass numbers or text")
    if known.dtype != object:
        classes, numbers = np.unique(known, return_inverse=True)
        return classes, numbers.reshape(-1).astype(np.int64)
    try:
        distinct = list(dict.fromkeys(known.tolist()))
    except TypeError as error:
        raise DataError(f"{name} holds labels that cannot be compared ({error}): pass numbers or text") from None
    try:
        distinct.sort()
    except TypeError:  # several types have no common order
        distinct.sort(key=lambda value: (type(value).__name__, str(value)))
    indices = {value: index for index, value in enumerate(distinct)}
    return as_objects(distinct), np.array([indices[value] for value in known.tolist()], np.int64)


def is_finite_number(word: str) -> bool:
    """Whether a text is a finite number."""
    return is_number(word.strip()) and math.isfinite(float(word))
