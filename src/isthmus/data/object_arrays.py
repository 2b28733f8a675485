"""Arrays of Python objects as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.containers import Unwrapped
from isthmus.data.locations import position
from isthmus.data.non_numeric import non_numeric_error, non_numeric_type
from isthmus.errors import DataError
from isthmus.io.delayed_imports import imported

__all__ = ["numbers_of_objects"]

Array = npt.NDArray[Any]


class _NotANumberError(DataError, TypeError):
    """An object is not a number. scikit-learn's estimator checks require a TypeError."""


def numbers_of_objects(raw: Unwrapped) -> Array:
    """An array of objects as float64. None and pandas.NA become NaN, which is checked later."""
    values, columns = raw.values, raw.columns
    if not values.ndim:
        raise DataError(
            f"X is a {type(values.item()).__name__}: pass an array, tensor or frame of numbers, (n, *shape)"
        )
    if values.ndim == 1 and values.size and np.ndim(values[0]) > 0:
        raise DataError("X is an array of arrays of different shapes: give every example the same shape")
    missing = getattr(imported("pandas"), "NA", None)
    numbers = np.empty(values.shape, np.float64)
    for index, value in np.ndenumerate(values):
        if value is None or value is missing:
            numbers[index] = np.nan
        elif isinstance(value, complex | np.complexfloating):
            raise DataError(f"Complex data not supported: {position(index, columns)} of X is {value}")
        elif not isinstance(value, int | float) and non_numeric_type(value) is not None:
            raise non_numeric_error(index, value, columns)
        else:
            try:
                numbers[index] = value
            except OverflowError as error:
                raise DataError(
                    f"Input X contains a number too large for float32: {position(index, columns)}; rescale that feature"
                ) from error
            except (TypeError, ValueError) as error:
                what = f"{position(index, columns)} of X is a {type(value).__name__}"
                raise _NotANumberError(
                    f"{what}: an argument must be neither an object nor a string but a number"
                ) from error
    return numbers
