"""Which numbers of an example are to blame for its score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Attribution", "largest", "mended"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
TopFeatures = tuple[
    NDArray[np.int64], Doubles
]  # places in the flat example (b, n) and shares (b, n), the largest first

_TRIED = 16  # numbers of a row, those with the largest errors
_FARTHEST = 1000.0  # steps: a number that hardly moves its reconstruction's error tells too little of where that ends


class Attribution(NamedTuple):
    """A number of an example, and its share of what is unusual about the example."""

    feature: str | int | tuple[int, ...]  # the name of a column, its number, or a place in a picture
    share: float


def largest(errors: Doubles, n: int) -> TopFeatures:
    """The numbers with the largest standardized squared errors (b, d), and their shares of the sum."""
    parts = np.nan_to_num(errors)
    positions = np.argsort(-parts, axis=1, kind="stable")[:, :n]
    return positions, _shares(np.take_along_axis(parts, positions, 1), parts.sum(1))


def mended(
    score: Callable[[Array], Doubles], reconstruct: Callable[[Array], Array], rows: Array, errors: Doubles, n: int
) -> TopFeatures:
    """The numbers of rows (b, d) that, each alone replaced by what would be expected there, let the score rise most.

    One extreme feature distorts the code, and so the reconstruction of other features: their errors are large, but it is the cause.
    It distorts its own reconstruction too. Expected is therefore what comes back as it goes in: the number that is its own reconstruction,
    found by one step of the secant method, exact where the autoencoder is linear; or the reconstruction itself, where that mends more.
    Tried are the `_TRIED` numbers of each row with the largest errors, n if that is more; shares are of the sum of their rises.
    """
    tried, _ = largest(errors, max(_TRIED, n))
    rows = rows.astype(np.result_type(rows, np.float32), copy=False)
    before, rises, at = score(rows), np.empty(tried.shape), np.arange(len(rows))
    apart = _finite(reconstruct(rows) - rows, rows)
    for number, positions in enumerate(tried.T):

        def moved(by: Array, positions: Array = positions) -> Array:
            other = rows.copy()
            with np.errstate(over="ignore"):  # how normal that is, is a number all the same
                other[at, positions] += by
            return other

        step = apart[at, positions]
        nearer = moved(step)
        left = _finite(reconstruct(nearer) - nearer, rows)[at, positions]
        further = moved(_secant(step, left))
        rises[:, number] = np.maximum(np.maximum(score(nearer), score(further)) - before, 0)
    order = np.argsort(-rises, axis=1, kind="stable")[:, :n]
    return np.take_along_axis(tried, order, 1), _shares(np.take_along_axis(rises, order, 1), rises.sum(1))


def _finite(apart: Array, rows: Array) -> Array:
    """Steps, none where they would lead nowhere; what is missing stays so."""
    return np.where(np.isfinite(apart) | np.isnan(rows), apart, 0)


def _secant(step: Array, left: Array) -> Array:
    """How far to go until nothing is left, if so much is after a step; that step where this is nowhere, or beyond `_FARTHEST` steps."""
    step, slower = step.astype(np.float64), step.astype(np.float64) - left
    there = np.abs(slower) * _FARTHEST > np.abs(step)
    return np.where(there, step * np.divide(step, slower, out=np.ones_like(step), where=there), step)


def _shares(parts: Doubles, whole: Doubles) -> Doubles:
    return parts / np.maximum(whole, 1e-300)[:, None]
