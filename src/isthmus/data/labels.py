"""Labels of examples, in the type in which they came. An example without a label has none; that is never a class."""

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
    "missing_labels",
    "narrow",
    "numbered",
    "plain",
    "unlabeled",
]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ClassLabels:
    """The labels of n examples.

    Attributes:
        classes: (k,) the different labels, sorted, in the type in which they came.
        numbers: (n,) which of them an example has; -1 where it has no label.
    """

    classes: Array
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: Any) -> ClassLabels:
        """The labels of some examples; classes keep their numbers."""
        return ClassLabels(self.classes, self.numbers[rows])

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """Which examples have a label, (n,)."""
        return self.numbers >= 0

    @property
    def n_unlabeled(self) -> int:
        """How many examples have none."""
        return int((self.numbers < 0).sum())

    def known(self) -> Array:
        """The labels of those examples that have one, in their order."""
        known: Array = self.classes[self.numbers[self.labeled]]
        return known

    def known_numbers(self) -> NDArray[np.int64]:
        """Their numbers."""
        return self.numbers[self.labeled]

    def one(self, row: int) -> Any:
        """The label of one example, or None."""
        return None if self.numbers[row] < 0 else self.classes[self.numbers[row]]

    def measured(self) -> NDArray[np.float64] | None:
        """The classes as numbers, where each of them is a finite one or the text of one."""
        if self.classes.dtype.kind in "biuf":
            return self.classes.astype(np.float64)
        if all(isinstance(value, str) and is_finite_number(value) for value in self.classes.tolist()):
            return np.array([float(value) for value in self.classes.tolist()])
        return None


def is_a(value: Any, module: str, *classes: str) -> bool:
    """Whether a value is of a class of a library, which has been imported if it is."""
    library = sys.modules.get(module)
    return library is not None and any(isinstance(value, getattr(library, name, ())) for name in classes)


def class_labels(y: Any, count: int, name: str = "y") -> ClassLabels:
    """What a user gives as labels of so many examples, of any library and type.

    None, NaN, NaT, pandas.NA, a masked entry and empty text mean: no label.

    Raises:
        DataError: they are not as many as the examples, infinite, complex, or cannot be told apart.
    """
    if isinstance(y, ClassLabels) and len(y) == count:
        return y
    values, missing = _unwrapped(y, name)
    if values.ndim == 2 and values.shape[1] == 1:
        values, missing = values[:, 0], missing[:, 0]
    if values.shape != (count,):
        raise DataError(
            f"{name} has shape {values.shape}, but there are {count:,} examples: give one label for each, None where there is none"
        )
    known = values[~missing]
    if known.dtype.kind in "fc" and not np.isfinite(known).all():
        raise DataError(f"{name} contains infinity or a value too large for a label: replace it, or give None")
    numbers = np.full(count, -1, np.int64)
    classes, numbers[~missing] = _told_apart(known, name)
    return ClassLabels(classes, numbers)


def numbered(parts: Sequence[ClassLabels]) -> list[NDArray[np.int64]]:
    """The labels of several parts as numbers from 0 on, the same for the same label in all parts; -1 for none.

    Numbers of any type are compared as numbers; where a part has text, as text.
    """
    numbers = all(part.classes.dtype.kind in "biuf" or not len(part.classes) for part in parts)
    names = [part.classes.tolist() if numbers else [cell(value) for value in part.classes] for part in parts]
    positions: dict[Any, int] = {}
    known = [[positions.setdefault(name, len(positions)) for name in each] for each in names]
    return [np.array([*each, -1])[part.numbers] for each, part in zip(known, parts, strict=True)]


def unlabeled(y: Any) -> int:
    """How many of a data set's labels say that there is none."""
    return int(missing_labels(np.asarray(y)).sum())


def plain(values: Iterable[Any]) -> list[Any]:
    """Labels as JSON values: numbers, truth values and text as they are, what else there is as text, None for none."""
    return [value if isinstance(value, bool | int | float | str | None) else cell(value) for value in _native(values)]


def _native(values: Iterable[Any]) -> list[Any]:
    """Python's values; dates of NumPy, of which it would make whole numbers, stay what they are."""
    return [v.item() if isinstance(v, np.generic) and v.dtype.kind not in "Mm" else v for v in values]


# What a user gives


def _unwrapped(y: Any, name: str) -> tuple[Array, NDArray[np.bool_]]:
    """The labels and where there is none; libraries that they cannot come from are not imported."""
    if is_a(y, "pandas", "DataFrame") and y.shape[1] == 1:
        y = y.iloc[:, 0]
    if is_a(y, "polars", "DataFrame") and y.shape[1] == 1:
        y = y.to_series()
    if is_a(y, "pandas", "Series", "Index", "Categorical") or is_a(y, "pandas.api.extensions", "ExtensionArray"):
        values, missing = np.asarray(y), np.asarray(y.isna(), bool)
        real = isinstance(y.dtype, np.dtype) and y.dtype.kind == "f"  # else NumPy makes floats of whole numbers
        if missing.any() and values.dtype.kind != "M" and not real:
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
            else as_objects([None if out else v for v, out in zip(y.data, masked, strict=True)])
        )
    elif not isinstance(y, np.ndarray) and not hasattr(y, "__array__"):
        y = _from_list(y, name)
    values = np.asarray(y)
    missing = missing_labels(values)
    return (narrow(values, missing) if values.dtype == object else values), missing


def _of_tensor(y: Any, name: str) -> Array:
    """The labels within a tensor."""
    try:
        if y.is_floating_point() and y.element_size() < 4:  # NumPy has no bfloat16
            y = y.float()
        return np.asarray(y.numpy(force=True))
    except (RuntimeError, TypeError) as error:
        raise DataError(
            f"{name} is a tensor of which no labels can be read ({y.device}, {y.layout}): pass an ordinary one"
        ) from error


def _from_list(y: Any, name: str) -> Array:
    """A list, of which NumPy itself would make text where a label is missing."""
    try:
        cells = None if isinstance(y, set | frozenset | Mapping | str | bytes) else list(y)
    except TypeError:
        cells = None
    if cells is None:
        raise DataError(f"{name} is {printable(repr(y), 60)}, and no list of labels: give one for each example")
    if cells and isinstance(cells[0], list | tuple | np.ndarray):
        return np.asarray(y)
    values = as_objects(cells)
    missing = missing_labels(values)
    text = [isinstance(value, str) for value in values[~missing]]
    return values.astype(str) if text and all(text) and not missing.any() else values


def as_objects(cells: Sequence[Any]) -> Array:
    """The values (n,) as an array of objects, whatever they are."""
    values = np.empty(len(cells), object)
    values[:] = cells
    return values


def missing_labels(values: Array) -> NDArray[np.bool_]:
    """Where a value means: no label; of the same shape."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind in "US":
        return np.asarray(np.char.str_len(np.char.strip(values)) == 0)
    if values.dtype != object:
        return np.zeros(values.shape, bool)
    pandas = sys.modules.get("pandas")
    nothing = (None, np.ma.masked, getattr(pandas, "NA", None), getattr(pandas, "NaT", None))
    found = [any(value is none for none in nothing) or _is_nothing(value) for value in values.reshape(-1)]
    return np.asarray(found, bool).reshape(values.shape)


def _is_nothing(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, Real | np.floating) and bool(value != value)


def narrow(values: Array, missing: NDArray[np.bool_]) -> Array:
    """Objects all of one kind in the type of that kind, so far as each stays what it is; where there is none, anything stands."""
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


def _told_apart(known: Array, name: str) -> tuple[Array, NDArray[np.int64]]:
    """The different labels, sorted, and the number of each."""
    if known.dtype.kind in "cV":
        raise DataError(f"{name} holds {known.dtype} values, which are no labels: give numbers or text")
    if known.dtype != object:
        classes, numbers = np.unique(known, return_inverse=True)
        return classes, numbers.reshape(-1).astype(np.int64)
    try:
        different = list(dict.fromkeys(known.tolist()))
    except TypeError as error:
        raise DataError(f"{name} holds labels that cannot be told apart ({error}): give numbers or text") from None
    try:
        different.sort()
    except TypeError:  # of several kinds, which have no order
        different.sort(key=lambda value: (type(value).__name__, str(value)))
    positions = {value: place for place, value in enumerate(different)}
    return as_objects(different), np.array([positions[value] for value in known.tolist()], np.int64)


def is_finite_number(word: str) -> bool:
    """Whether a word is a number, and not infinite."""
    return is_number(word.strip()) and math.isfinite(float(word))
