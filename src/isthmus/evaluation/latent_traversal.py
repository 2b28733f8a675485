"""Ways through the codes: one number varied, two examples joined, the nearest of many examples. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from isthmus.data.memmap import some_rows
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.unit_check import check_units_once

__all__ = ["Neighbors", "Traversal", "interpolate", "neighbors", "traverse"]

Array = NDArray[Any]

ROWS = 10_000  # examples whose codes say how far a walk goes
FAR = 3.0  # standard deviations of a normal prior
REACH = (0.05, 0.95)  # quantiles of the codes of examples


class Traversal(NamedTuple):
    """What `traverse` gives, a row for each number of the code that is varied.

    Attributes:
        units: which numbers of the flat code they are, (k,), counted from 0.
        variances: of these numbers over the examples, (k,).
        values: what each is set to, (k, steps).
        examples: what is decoded, (k, steps, *shape_), in the units of the data.
    """

    units: Array
    variances: Array
    values: Array
    examples: Array


class Neighbors(NamedTuple):
    """What `neighbors` gives: places among the examples and Euclidean distances between codes, (n, k) each, the nearest first."""

    indices: Array
    distances: Array


@takes_autoencoder
@check_units_once()
def traverse(
    ae: Autoencoder,
    X: Any,
    *,
    units: Sequence[int] | int | None = None,
    n_units: int = 10,
    steps: int = 9,
    example: int | None = None,
) -> Traversal:
    """Examples decoded while one number of the code goes from low to high and the others stay.

    A `Gaussian` code's number goes from -3 to 3 standard deviations of its prior, any other from the 5% to the 95% quantile of the codes
    of X (from the least to the greatest where these are equal).

    Args:
        ae: a fitted autoencoder.
        n_units: how many units, if ``units`` does not name them.
        X: examples (n, *shape_); of more than 10,000, as many drawn at random, always the same ones, are looked at.
        units: which numbers of the flat code; without it the ``n_units`` of largest variance over X, the largest first. In a
            variational autoencoder these are the active ones (Burda, Grosse & Salakhutdinov 2016, "Importance weighted autoencoders").
        steps: how many values, in equal steps.
        example: the others stay at the code of X[example]; without it at the prior's mean, or at the mean code where there is no prior.

    Raises:
        NotPossibleError: the codes are entries of a codebook, or all the same.
        RecordError: n_units, steps, units or example is invalid.

    Examples:
        >>> result = isthmus.latent_traversal.traverse(ae, X, units=[0, 2], steps=5)
        >>> result.examples.shape  # units, steps, *shape_
        (2, 5, 8, 8)
    """
    _check(ae, steps)
    if n_units < 1:
        raise RecordError(f"n_units={n_units} units cannot be varied: ask for at least 1")
    codes = ae.transform(X)
    seen = some_rows(codes, ROWS).astype(np.float64)
    low, high, prior = *_ends(ae, seen), ae.bottleneck_.has_prior
    variances = seen.var(0)
    if not (low < high).any():
        raise NotPossibleError("the codes of these examples are all the same: there is nothing to walk along")
    if units is None:
        order = np.argsort(-variances, kind="stable")
        chosen = order[low[order] < high[order]][:n_units]
    else:
        chosen = _places(units, codes.shape[1], "number of the code")
    start = np.zeros(len(low)) if prior else seen.mean(0)
    if example is not None:
        start = codes[_places(example, len(codes), "example")[0]].astype(np.float64)
    values = np.linspace(low[chosen], high[chosen], steps, axis=1)
    walked = np.tile(start, (len(chosen), steps, 1))
    walked[np.arange(len(chosen)), :, chosen] = values
    return Traversal(chosen, variances[chosen], values, _decoded(ae, walked))


@takes_autoencoder
@check_units_once()
def interpolate(ae: Autoencoder, a: Any, b: Any, *, steps: int = 9, method: Literal["lerp", "slerp"] = "lerp") -> Array:
    """Examples decoded along the way from the codes of a to those of b: (n, steps, *shape_) in the units of the data.

    Args:
        ae: a fitted autoencoder.
        steps: how many codes between the two and including them.
        a, b: as many examples each, (n, *shape_); the first and last step are their reconstructions.
        method: "lerp", a straight line; or "slerp", a great circle around the prior's mean, for `Gaussian` codes, on which the codes
            stay as far from it as those of examples (White 2016, "Sampling generative networks"). Codes in opposite directions have no
            one great circle, and are joined by a line.

    Returns:
        Examples (n, steps, *shape_) in the units of the data.

    Raises:
        NotPossibleError: the codes are entries of a codebook; or "slerp" without a normal prior.
        RecordError: method or steps is invalid.
        DataError: a and b do not have the same number of examples.

    Examples:
        >>> isthmus.latent_traversal.interpolate(ae, X[:3], X[3:6], steps=5).shape
        (3, 5, 8, 8)
    """
    _check(ae, steps)
    if method not in {"lerp", "slerp"}:
        raise RecordError(f"invalid method={method!r}: expected 'lerp' or 'slerp'")
    if method == "slerp" and not ae.bottleneck_.has_prior:
        name = type(ae.bottleneck_).__name__
        raise NotPossibleError(
            f"method='slerp' goes around the mean of a normal prior, which {name} has not: take 'lerp'"
        )
    begins, ends = (ae.transform(side).astype(np.float64) for side in (a, b))
    if len(begins) != len(ends):
        raise DataError(f"a holds {len(begins)} examples and b {len(ends)}: give as many of each")
    t = np.linspace(0, 1, steps)[None, :, None]
    shares = slerp_weights(begins, ends, t) if method == "slerp" else (1 - t, t)
    return _decoded(ae, shares[0] * begins[:, None] + shares[1] * ends[:, None])


@takes_autoencoder
@check_units_once()
def neighbors(ae: Autoencoder, X: Any, queries: Any, k: int = 8) -> Neighbors:
    """For each query the k examples of X (n, *shape_) whose codes are nearest to its own. One that is in X finds itself first.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape_) that are searched.
        queries: examples (m, *shape_) whose neighbors are wanted.
        k: how many neighbors of each query.

    Returns:
        Row numbers of X and Euclidean distances between codes, (m, k) each, the nearest first.

    Raises:
        RecordError: k is below 1 or above n.
    """
    codes, wanted = ae.transform(X), ae.transform(queries)
    if not 1 <= k <= len(codes):
        raise RecordError(f"k={k} neighbors cannot be found among {len(codes):,} examples: ask for 1 to {len(codes):,}")
    distances, indices = NearestNeighbors(n_neighbors=k).fit(codes).kneighbors(wanted)
    return Neighbors(indices, distances)


def _check(ae: Autoencoder, steps: int) -> None:
    if steps < 2:
        raise RecordError(f"steps={steps} make no walk: ask for at least 2")
    if ae.bottleneck_.discrete:
        raise NotPossibleError(
            f"{type(ae.bottleneck_).__name__}'s codes are entries of a codebook, between which nothing lies: see reconstructions instead"
        )


def _ends(ae: Autoencoder, codes: Array) -> tuple[Array, Array]:
    """From where to where each number of the code goes, (d,) each."""
    if ae.bottleneck_.has_prior:
        return np.full(codes.shape[1], -FAR), np.full(codes.shape[1], FAR)
    low, high = np.quantile(codes, REACH, axis=0)
    same = low == high
    return np.where(same, codes.min(0), low), np.where(same, codes.max(0), high)


def _places(given: Sequence[int] | int, count: int, what: str) -> Array:
    """Whole numbers that count things from 0 on, checked."""
    positions = np.atleast_1d(np.asarray(given))
    if positions.dtype.kind not in "iu" or positions.ndim != 1 or not positions.size:
        raise RecordError(f"{given!r} names no {what}: give whole numbers from 0 to {count - 1:,}")
    wrong = positions[(positions < 0) | (positions >= count)]
    if len(wrong):
        raise DataError(f"there is no {what} {wrong[0]} among {count:,}: the first is 0, the last {count - 1:,}")
    return positions


def slerp_weights(a: Array, b: Array, t: Array) -> tuple[Array, Array]:
    """The shares of a and b on the great circle between them."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(1) / np.where(lengths > 0, lengths, 1)
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None, None]
    straight = np.sin(angle) < 1e-6
    sine = np.where(straight, 1, np.sin(angle))
    shares = (np.where(straight, s, np.sin(s * angle) / sine) for s in (1 - t, t))
    return next(shares), next(shares)


def _decoded(ae: Autoencoder, codes: Array) -> Array:
    """The examples of codes (n, steps, d)."""
    return ae.decode(codes.reshape(-1, codes.shape[-1])).reshape(*codes.shape[:2], *ae.shape_)
