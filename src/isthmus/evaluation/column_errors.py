"""The column error: unexplained variance of each column of a table, or channel of windows, averaged over columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.statistics import DataStatistics
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.scaling import axes_of, extent, shared_by
from isthmus.text import printable

__all__ = ["LOST_FRACTION", "MAX_NAMED", "ColumnErrors", "column_axes", "column_errors"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]

LOST_FRACTION = 0.5  # a column with at least this unexplained variance counts as lost
MAX_NAMED = 10  # lost columns that are listed by name


class ColumnErrors(NamedTuple):
    """Unexplained variance of columns: squared error / squared distance from the training mean, in model units.

    Attributes:
        error: mean over the columns that vary; None where all features have one unit, or no column varies.
        pca: the same for PCA.
        denoised: the same for denoised examples.
        input: the same for the input itself, against its target.
        ridge: the same for ridge regression from input to target.
        lost: names and unexplained variance of the lost columns, the largest first, at most ten.
        n_lost: number of all lost columns.
    """

    error: float | None = None
    pca: float | None = None
    denoised: float | None = None
    lost: tuple[tuple[str, float], ...] = ()
    n_lost: int = 0
    input: float | None = None
    ridge: float | None = None


def column_axes(ae: Autoencoder) -> tuple[int, ...]:
    """The axes of examples (n, *shape) along which features share a unit; () where all features do, as in images."""
    ndim = len(ae.shape_) + 1
    per = "all" if ae.kind_ == "images" else shared_by(ae.kind_, ndim)
    return () if per == "all" else axes_of(per, ndim)


def column_errors(ae: Autoencoder, values: Array, squares: dict[str, Doubles]) -> ColumnErrors:
    """The errors of columns.

    Args:
        ae: a fitted autoencoder.
        values: examples (n, *shape), or their targets.
        squares: sums of squares by column, over the examples: "total" about the training mean, and "residual", "pca residual",
            "denoised residual", "input residual" and "ridge residual" about the reconstructions by these methods.
    """
    axes = column_axes(ae)
    if not axes:
        return ColumnErrors()
    varies = ~extent(DataStatistics(values), axes).constant & (squares["total"] > 0)
    if not varies.any():
        return ColumnErrors()
    fractions = {
        name: np.divide(sums, squares["total"], out=np.zeros_like(sums), where=varies) for name, sums in squares.items()
    }
    mean = {name: float(each[varies].mean()) for name, each in fractions.items()}
    residual = fractions["residual"]
    worst = [int(column) for column in np.argsort(-residual, kind="stable") if residual[column] >= LOST_FRACTION]
    lost = tuple((_column_name(ae, column), round(float(residual[column]), 4)) for column in worst[:MAX_NAMED])
    pca, denoised, inputs, ridge = (mean.get(f"{method} residual") for method in ("pca", "denoised", "input", "ridge"))
    return ColumnErrors(mean["residual"], pca, denoised, lost, len(worst), inputs, ridge)


def _column_name(ae: Autoencoder, column: int) -> str:
    """The name of a column, or "column" and its index from 0."""
    if ae.kind_ == "table" and hasattr(ae, "_features"):
        return printable(ae._features[column], 60)
    return f"{'column' if ae.kind_ == 'table' else 'channel'} {column}"
