"""The error in which every column of a table, or channel of windows, counts equally, however large its numbers are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.statistics import DataStatistics
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.scaling import axes_of, extent, shared_by
from isthmus.text import printable

__all__ = ["LOST", "ByColumn", "by_column", "units"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]

LOST = 0.5  # share of a column's variance that is left, from which on the column counts as lost
_NAMED = 10  # lost columns that are named


class ByColumn(NamedTuple):
    """Shares of the variance of columns that are left.

    Attributes:
        error: the mean share over the columns that vary; None where all numbers have one unit, or none varies.
        pca, restored: the same for PCA, and for denoised examples.
        lost: the columns of which half or more is left, names and shares, the worst first, ten at most.
        n_lost: how many these are in all.
    """

    error: float | None = None
    pca: float | None = None
    restored: float | None = None
    lost: tuple[tuple[str, float], ...] = ()
    n_lost: int = 0


def units(ae: Autoencoder) -> tuple[int, ...]:
    """The axes of examples (n, *shape) whose numbers share a unit; none where all do, as in pictures."""
    ndim = len(ae.shape_) + 1
    per = "all" if ae.kind_ == "images" else shared_by(ae.kind_, ndim)
    return () if per == "all" else axes_of(per, ndim)


def by_column(ae: Autoencoder, values: Array, left: dict[str, Doubles]) -> ByColumn:
    """The shares, from sums over the examples of each column's squares: "spread" about the mean, "left", "pca left", "restored left"."""
    axes = units(ae)
    if not axes:
        return ByColumn()
    varies = ~extent(DataStatistics(values), axes).constant & (left["spread"] > 0)
    if not varies.any():
        return ByColumn()
    shares = {
        name: np.divide(sums, left["spread"], out=np.zeros_like(sums), where=varies) for name, sums in left.items()
    }
    mean = {name: float(each[varies].mean()) for name, each in shares.items()}
    own = shares["left"]
    worst = [int(place) for place in np.argsort(-own, kind="stable") if own[place] >= LOST]
    lost = tuple((_name(ae, place), round(float(own[place]), 4)) for place in worst[:_NAMED])
    return ByColumn(mean["left"], mean.get("pca left"), mean.get("restored left"), lost, len(worst))


def _name(ae: Autoencoder, place: int) -> str:
    """What a column is called; or its number, from 0."""
    if ae.kind_ == "table" and hasattr(ae, "feature_names_in_"):
        return printable(ae.feature_names_in_[place], 60)
    return f"{'column' if ae.kind_ == 'table' else 'channel'} {place}"
