"""Labels of examples, in their original dtype. A missing label is not a class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from isthmus.data.label_values import as_objects, label_text, meaning, missing_labels, narrow
from isthmus.errors import DataError
from isthmus.io.delayed_imports import imported
from isthmus.io.tables import cell
from isthmus.text import is_number, printable

__all__ = [
    "ClassLabels",
    "class_labels",
    "is_a",
    "is_finite_number",
    "json_labels",
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
    library = imported(module)
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

    Labels are compared as numbers if all parts have numeric classes, and as text otherwise; dates match whatever their unit.

    Args:
        parts: the labels of each part.

    Raises:
        DataError: one part has booleans and another one numbers, of which True would be the number 1.
    """
    kinds = {part.classes.dtype.kind for part in parts if len(part.classes)}
    if "b" in kinds and kinds & {"i", "u", "f"}:
        raise DataError("some labels are booleans and others numbers, so that True would mean 1: pass all of one type")
    numeric = kinds <= set("biuf")
    names = [part.classes.tolist() if numeric else [label_text(value) for value in part.classes] for part in parts]
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


def _encoded(known: Array, name: str) -> tuple[Array, NDArray[np.int64]]:
    """The distinct labels, sorted, and the class index of each label."""
    if known.dtype.kind in "cV":
        raise DataError(f"{name} holds {known.dtype} values, which cannot be labels: pass numbers or text")
    if known.dtype != object:
        classes, numbers = np.unique(known, return_inverse=True)
        return classes, numbers.reshape(-1).astype(np.int64)
    values = known.tolist()
    meanings = [meaning(value) for value in values]
    try:  # of labels of one meaning the first
        distinct = list(dict(zip(meanings[::-1], values[::-1], strict=True)).values())
    except TypeError as error:
        raise DataError(f"{name} holds labels that cannot be compared ({error}): pass numbers or text") from None
    try:
        distinct.sort(key=lambda value: (value, type(value).__name__))
    except TypeError:  # several types have no common order
        distinct.sort(key=lambda value: (type(value).__name__, str(value)))
    indices = {meaning(value): index for index, value in enumerate(distinct)}
    return as_objects(distinct), np.array([indices[each] for each in meanings], np.int64)


def is_finite_number(word: str) -> bool:
    """Whether a text is a finite number."""
    return is_number(word.strip()) and math.isfinite(float(word))
