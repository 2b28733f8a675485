"""Checks for values that are too large to compute with. Errors name the row and the column.

All methods reject examples and codes beyond 1e15 scales of the model: the squares of larger values would soon overflow. Results that are
not finite in spite of that raise the same error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from isthmus.data.locations import Positions
from isthmus.data.validation import Missing, blocks, check_finite
from isthmus.errors import DataError
from isthmus.model import Model
from isthmus.scaling import Affine, Extent

__all__ = ["ComputableRange", "check_computable", "check_training_examples"]

Array = NDArray[Any]

_MAX_DISTANCE = 1e15  # in scales: a sum of many such squares still fits in float32


@dataclass(frozen=True, eq=False)
class ComputableRange:
    """The range of values that a model can compute with.

    Attributes:
        shift, scale: the center and the unit of the values, which are examples or codes.
        extent: the range of the training examples, None if it is unknown.
        positions: names the place of a value in messages.
    """

    shift: Array
    scale: Array
    extent: Extent | None
    positions: Positions

    @classmethod
    def examples(cls, model: Model, columns: Any = None, positions: Positions | None = None) -> Self:
        """The range for examples in raw units. `columns` are their column names; they are used if there are no `positions`."""
        shift, scale = (side.astype(np.float64) for side in model.affine)
        positions = positions or Positions(None if columns is None else tuple(map(str, columns)))
        return cls(shift, scale, model.extent, positions)

    @classmethod
    def codes(cls, positions: Positions | None = None) -> Self:
        """The range for codes."""
        return cls(np.zeros(()), np.ones(()), None, replace(positions or Positions(), row_name="code"))

    def check_inputs(self, rows: Array, begin: int) -> None:
        """`DataError` if a row has a value outside the range. `begin` is the index of the first row."""
        if rows.dtype.kind != "f" and rows.dtype.itemsize == 1:
            return
        largest = max(-float(rows.min()), float(rows.max())) + float(np.abs(self.shift).max())
        if largest <= _MAX_DISTANCE * float(self.scale.min()):  # False if a value is missing
            return
        outside = self.outside(rows)
        if outside.any():
            raise self._error(rows, begin, tuple(np.argwhere(outside)[0]))

    def check_results(self, results: Array, rows: Array, begin: int) -> None:
        """`DataError` if the result of a row is not finite."""
        if results.dtype.kind != "f":
            return
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(results.sum(dtype=np.float64)):
                return
        nonfinite = np.flatnonzero(~np.isfinite(results.reshape(len(results), -1)).all(1))
        if nonfinite.size:
            row = int(nonfinite[0])
            distances = np.nan_to_num(self.distances(rows[row : row + 1])[0], nan=-1.0)
            raise self._error(rows, begin, (row, *np.unravel_index(int(distances.argmax()), distances.shape)))

    def outside(self, rows: Array) -> NDArray[np.bool_]:
        """Whether each value is outside the range."""
        return self.distances(rows) > _MAX_DISTANCE

    def distances(self, rows: Array) -> NDArray[np.float64]:
        """The distance of each value from the center, in scales."""
        distances: NDArray[np.float64] = np.abs((rows.astype(np.float64) - self.shift) / self.scale)
        return distances

    def _error(self, rows: Array, begin: int, place: tuple[Any, ...]) -> DataError:
        row, *rest = (int(each) for each in place)
        where = self.positions((begin + row, *rest))
        training_range = ""
        if self.extent is not None:
            low, high = (float(np.broadcast_to(side, rows.shape[1:])[tuple(rest)]) for side in self.extent)
            training_range = f" from the training data ({low:g} to {high:g})"
        value = float(rows[tuple(int(each) for each in place)])
        return DataError(
            f"{where} is {value:g}, too far{training_range} to compute with: correct it, or drop the {self.positions.row_name}"
        )


def check_computable(values: Array, positions: Positions, missing: Missing, computable: ComputableRange | None) -> None:
    """`DataError` for the first value that is not finite, or outside the range if one is given. Reads the values once."""
    if values.dtype.kind != "f" and (computable is None or values.dtype.itemsize == 1):  # bytes are always in range
        return
    for begin, block in blocks(values):
        if block.dtype.kind == "f":
            check_finite(block, begin, positions, missing)
        if computable is not None:
            computable.check_inputs(block, begin)


def check_training_examples(values: Array, extent: Extent, affine: Affine, positions: Positions) -> None:
    """`DataError` if training examples, whose range is `extent`, have a value that is too large to compute with in model units."""
    limit = float(np.finfo(affine.scale.dtype).max)
    shift, scale = (side.astype(np.float64) for side in affine)
    ends = [np.abs(side.astype(np.float64) - shift) for side in extent]
    if np.isfinite(scale).all() and all(((end <= limit) & (end / scale <= _MAX_DISTANCE)).all() for end in ends):
        return
    scale = np.where(np.isfinite(scale), scale, 1.0)
    farthest, where, value = -1.0, "X", 0.0
    for begin, block in blocks(values):
        distances = np.nan_to_num(np.abs((block.astype(np.float64) - shift) / scale), nan=-1.0)
        if distances.max() > farthest:
            farthest, place = float(distances.max()), np.unravel_index(int(distances.argmax()), distances.shape)
            where, value = positions((begin + int(place[0]), *map(int, place[1:]))), float(block[place])
    raise DataError(
        f"{where} is {value:g}, too far from the other values to compute with: correct it, or choose another scaling"
    )
