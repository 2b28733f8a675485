"""What is too large to compute with: said, with row and column, in one place for all that takes examples or codes.

Numbers of more than 1e15 scales of the model are refused everywhere, so that all methods agree: their squares would soon be no numbers.
What leads out of the finite numbers in spite of that is refused too.
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

__all__ = ["Bearing", "check_fitting", "check_numbers"]

Array = NDArray[Any]

_FARTHEST = 1e15  # scales; of float32's range squares of many such numbers are still a part


@dataclass(frozen=True, eq=False)
class Bearing:
    """The range of values that a model accepts.

    Attributes:
        shift, scale: of what is given, examples or codes.
        extent: of the examples that were fitted, if it is known.
        places: where what is given stands.
    """

    shift: Array
    scale: Array
    extent: Extent | None
    positions: Positions

    @classmethod
    def examples(cls, model: Model, columns: Any = None, positions: Positions | None = None) -> Self:
        """Of examples in raw units, which stand where `positions` says; if it says nothing, in memory, in columns of some names."""
        shift, scale = (side.astype(np.float64) for side in model.affine)
        positions = positions or Positions(None if columns is None else tuple(map(str, columns)))
        return cls(shift, scale, model.extent, positions)

    @classmethod
    def codes(cls, positions: Positions | None = None) -> Self:
        """Of codes."""
        return cls(np.zeros(()), np.ones(()), None, replace(positions or Positions(), what="code"))

    def check_given(self, rows: Array, begin: int) -> None:
        """`DataError` if one of some rows, the first of which has a number, is too far away to compute with."""
        if rows.dtype.kind != "f" and rows.dtype.itemsize == 1:
            return
        most = max(-float(rows.min()), float(rows.max())) + float(np.abs(self.shift).max())
        if most <= _FARTHEST * float(self.scale.min()):  # false where something is missing
            return
        far = self.far(rows)
        if far.any():
            raise self._error(rows, begin, tuple(np.argwhere(far)[0]))

    def check_made(self, made: Array, rows: Array, begin: int) -> None:
        """`DataError` if what was made of some rows is not finite."""
        if made.dtype.kind != "f":
            return
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(made.sum(dtype=np.float64)):
                return
        wrong = np.flatnonzero(~np.isfinite(made.reshape(len(made), -1)).all(1))
        if wrong.size:
            row = int(wrong[0])
            distances = np.nan_to_num(self.distances(rows[row : row + 1])[0], nan=-1.0)
            raise self._error(rows, begin, (row, *np.unravel_index(int(distances.argmax()), distances.shape)))

    def far(self, rows: Array) -> NDArray[np.bool_]:
        """Which numbers are too far away to compute with."""
        return self.distances(rows) > _FARTHEST

    def distances(self, rows: Array) -> NDArray[np.float64]:
        """How far numbers are, in scales."""
        found: NDArray[np.float64] = np.abs((rows.astype(np.float64) - self.shift) / self.scale)
        return found

    def _error(self, rows: Array, begin: int, place: tuple[Any, ...]) -> DataError:
        row, *rest = (int(each) for each in place)
        where = self.positions((begin + row, *rest))
        fitted = ""
        if self.extent is not None:
            low, high = (float(np.broadcast_to(side, rows.shape[1:])[tuple(rest)]) for side in self.extent)
            fitted = f" from what was fitted ({low:g} to {high:g})"
        value = float(rows[tuple(int(each) for each in place)])
        return DataError(
            f"{where} is {value:g}, too far{fitted} to compute with: correct it, or drop the {self.positions.what}"
        )


def check_numbers(values: Array, positions: Positions, missing: Missing, bearing: Bearing | None) -> None:
    """`DataError` at the first number that cannot be used, in one pass: not finite, or too far away where that is not borne."""
    if values.dtype.kind != "f" and bearing is None:
        return
    for begin, block in blocks(values):
        if block.dtype.kind == "f":
            check_finite(block, begin, positions, missing)
        if bearing is not None:
            bearing.check_given(block, begin)


def check_fitting(values: Array, extent: Extent, affine: Affine, positions: Positions) -> None:
    """`DataError` if examples that are to be fitted, whose extent is known, reach too far to compute with in model units."""
    limit = float(np.finfo(affine.scale.dtype).max)
    shift, scale = (side.astype(np.float64) for side in affine)
    ends = [np.abs(side.astype(np.float64) - shift) for side in extent]
    if np.isfinite(scale).all() and all(((end <= limit) & (end / scale <= _FARTHEST)).all() for end in ends):
        return
    scale = np.where(np.isfinite(scale), scale, 1.0)
    farthest, where, value = -1.0, "X", 0.0
    for begin, block in blocks(values):
        distances = np.nan_to_num(np.abs((block.astype(np.float64) - shift) / scale), nan=-1.0)
        if distances.max() > farthest:
            farthest, place = float(distances.max()), np.unravel_index(int(distances.argmax()), distances.shape)
            where, value = positions((begin + int(place[0]), *map(int, place[1:]))), float(block[place])
    raise DataError(
        f"{where} is {value:g}, too far from the others to compute with: correct it, or take another scaling"
    )
