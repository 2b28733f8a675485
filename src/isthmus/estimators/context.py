"""The meaning of y for a conditional autoencoder: classes become one-hot rows, numbers are covariates."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.label_values import meaning, missing_labels, narrow, shown_label
from isthmus.data.labels import ClassLabels, class_labels, is_a
from isthmus.errors import DataError, IsthmusWarning

__all__ = ["ContextEncoding"]

Array = NDArray[Any]
_LISTED = 10  # classes in a message
_LARGEST = 1e15  # standard deviations: the square of a standardized covariate is finite in float32


@dataclass(frozen=True, eq=False)
class ContextEncoding:
    """How y becomes the context (n, size) that encoder, decoder and penalties see.

    Attributes:
        size: the number of context features.
        classes: the classes in the order of their columns; None for covariates.
        center, spread: the mean and the standard deviation of each covariate; empty for classes.
    """

    size: int
    classes: Array | None
    center: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def fit(cls, y: Any, count: int) -> ContextEncoding:
        """The encoding for y (n,) or (n, k).

        Integers, booleans, text and dates of shape (n,) are classes. Floats, and numbers of shape (n, k), are covariates.

        Args:
            y: a label or the covariates of each example.
            count: the number n of examples.

        Raises:
            DataError: the shape or a value is invalid, or there is only one class.
        """
        values = _covariates(y)
        if values is not None:
            rows = _checked_covariates(values, count)
            center, spread = _center_and_spread(rows)
            if values.ndim == 1 and np.isin(np.unique(rows[np.isfinite(rows)]), np.arange(1000)).all():
                warnings.warn(
                    "y holds whole numbers as floats, and floats are covariates: if they are classes, pass y.astype(int) or text",
                    IsthmusWarning,
                    stacklevel=6,
                )
            return cls(rows.shape[1], None, center, spread)
        labels = class_labels(y, count)
        if len(labels.classes) < 2:
            raise DataError("y has fewer than 2 classes, so that it says nothing: pass labels of at least 2")
        return cls(len(labels.classes), labels.classes, np.empty(0), np.empty(0))

    def encode(self, y: Any, count: int, complete: bool = True) -> NDArray[np.float32]:
        """The context of each example, (n, size). The row of a missing label is NaN.

        Args:
            y: a label or the covariates of each of n examples, or one label for all.
            count: the number n of examples.
            complete: whether a missing label is an error.

        Raises:
            DataError: the shape differs, a label is unknown, or one is missing.
        """
        rows = self._one_hot(y, count) if self.classes is not None else self._standardized(y, count)
        missing = np.isnan(rows).any(axis=1)
        if complete and missing.any():
            first = int(np.argmax(missing))
            raise DataError(
                f"y has no value in row {first} ({missing.sum():,} in all), and a conditional autoencoder requires one: "
                "fill them in or leave these examples out"
            )
        return rows

    def _one_hot(self, y: Any, count: int) -> NDArray[np.float32]:
        assert self.classes is not None
        if isinstance(y, str | bytes | bool | int | np.generic) or np.ndim(y) == 0:
            y = np.full(count, y, dtype=object if isinstance(y, str | bytes) else None)
        labels: ClassLabels = class_labels(y, count)
        position = {meaning(label): i for i, label in enumerate(self.classes)}
        columns = [position.get(meaning(label), -1) for label in labels.classes]
        if -1 in columns:
            unknown = shown_label(labels.classes[columns.index(-1)])
            known = ", ".join(shown_label(label, 30) for label in self.classes[:_LISTED])
            more = ", ..." if len(self.classes) > _LISTED else ""
            raise DataError(
                f"y has the label {unknown}, which the training data did not have: use one of {known}{more}"
            )
        rows = np.zeros((count, self.size), np.float32)
        labeled = labels.labeled
        rows[np.flatnonzero(labeled), np.asarray(columns, np.int64)[labels.labeled_numbers()]] = 1
        rows[~labeled] = np.nan
        return rows

    def _standardized(self, y: Any, count: int) -> NDArray[np.float32]:
        given = _of_one_type(y)
        try:
            if given.dtype.kind in "mMSU":  # NumPy would convert dates and text to numbers
                raise TypeError
            values = given.astype(np.float64).filled(np.nan)
        except (TypeError, ValueError):
            raise DataError(
                "y holds other values than numbers, and the training data had covariates: pass numbers"
            ) from None
        if values.ndim == 0 or (values.shape == (self.size,) and self.size > 1):
            values = np.broadcast_to(values, (count, self.size))
        rows = _checked_covariates(values, count)
        if rows.shape[1] != self.size:
            raise DataError(
                f"y has {rows.shape[1]} covariates, and the training data had {self.size}: pass an array of shape (n, {self.size})"
            )
        with np.errstate(over="ignore"):
            standardized = (rows - self.center) / self.spread
        if (np.abs(standardized) > _LARGEST).any():
            raise DataError("y has a covariate too far from those of the training data to compute with: correct it")
        return standardized.astype(np.float32)


def _center_and_spread(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean and the standard deviation of each covariate; the latter is 1 for a constant one."""
    if np.isnan(rows).all(axis=0).any():
        raise DataError("y has a covariate without any value: leave it out")
    with np.errstate(over="ignore", invalid="ignore"):
        center, spread = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    if not (np.isfinite(center) & np.isfinite(spread)).all():
        raise DataError("y has a covariate too large to compute with: rescale it")
    varies = (np.nanmin(rows, axis=0) < np.nanmax(rows, axis=0)) & (
        spread > 0
    )  # a constant has a rounding error as its spread
    return center, np.where(varies, spread, 1.0)


def _covariates(y: Any) -> Array | None:
    """y as numbers if it means covariates, else None."""
    if np.ndim(y) == 1 and _holds_integers(y):  # with missing ones NumPy makes floats of them
        return None
    values = _of_one_type(y)
    if values.dtype.kind == "f" or (values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind in "biu"):
        return np.asarray(values.astype(np.float64).filled(np.nan))
    return None


def _of_one_type(y: Any) -> Any:
    """y as a masked array, of one type if that changes no value; what is missing is masked."""
    values = np.asarray(y)
    if values.dtype != object:
        return np.ma.MaskedArray(values, np.ma.getmask(y))
    missing = missing_labels(values)
    return np.ma.MaskedArray(narrow(values, missing), missing)


def _holds_integers(y: Any) -> bool:
    """Whether labels of a table library declare whole numbers or booleans."""
    dtype: Any = getattr(y, "dtype", None)
    if is_a(y, "polars", "Series"):
        return bool(dtype.is_integer() or str(dtype) == "Boolean")
    return getattr(dtype, "kind", "") in {"b", "i", "u"}


def _checked_covariates(values: Array, count: int) -> NDArray[np.float64]:
    """Covariates as rows (n, k); NaN is a missing value."""
    rows = np.asarray(values, np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or len(rows) != count or not rows.shape[1]:
        raise DataError(
            f"y has shape {np.shape(values)}, but there are {count:,} examples: pass one row of covariates for each"
        )
    if np.isinf(rows).any():
        raise DataError("y contains infinity: replace it")
    return rows
