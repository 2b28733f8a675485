# ruff: noqa: ARG001  (takes_autoencoder gives the labels y to the examples X)
"""Latent traversals, interpolations between examples, and nearest neighbors of codes, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from isthmus.data.context_array import attach_context
from isthmus.data.memmap import some_rows
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.argument_check import takes_autoencoder, with_context
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.unit_check import check_units_once

__all__ = ["Neighbors", "Traversal", "UnitRanges", "interpolate", "neighbors", "traverse", "unit_ranges"]

Array = NDArray[Any]

MAX_EXAMPLES = 10_000  # examples whose codes set the range of a traversal
PRIOR_STDS = 3.0  # range of a traversal, in standard deviations of a normal prior
QUANTILES = (0.05, 0.95)  # range of a traversal without a prior, as quantiles of the codes


class Traversal(NamedTuple):
    """The result of `traverse`: a row for each of the k units that are varied.

    Attributes:
        units: indices of the units in the flat code, (k,).
        variances: variances of these units over the examples, (k,).
        values: values of each unit, (k, steps).
        examples: decoded examples (k, steps, *shape_), in the units of the data.
    """

    units: Array
    variances: Array
    values: Array
    examples: Array


class UnitRanges(NamedTuple):
    """The result of `unit_ranges`.

    Attributes:
        units: indices of the units of the flat code that vary, those of largest variance first.
        variances: variance of each unit over the examples, (d,).
        low, high: the range in which each unit is varied, (d,).
        base: the prior's mean, or the mean code where there is no normal prior, (d,).
    """

    units: Array
    variances: Array
    low: Array
    high: Array
    base: Array


class Neighbors(NamedTuple):
    """The result of `neighbors`, the nearest first.

    Attributes:
        indices: row indices of the examples, (n, k).
        distances: Euclidean distances between codes, (n, k).
    """

    indices: Array
    distances: Array


@takes_autoencoder
@check_units_once()
def traverse(
    ae: Autoencoder,
    X: Any,
    y: Any = None,
    *,
    units: Sequence[int] | int | None = None,
    n_units: int = 10,
    steps: int = 9,
    example: int | None = None,
) -> Traversal:
    """Decodes codes in which one unit varies from low to high while the others are constant.

    A unit with a normal prior varies from -3 to 3 standard deviations of it. Any other unit varies from the 5 % to the
    95 % quantile of the codes of X, or from minimum to maximum where these quantiles are equal.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape_). Of more than 10,000, this number is drawn at random with a fixed seed.
        y: labels or covariates of X for a conditional autoencoder; others ignore it. All codes are decoded with the context of the
            example, or of the first one if none is given.
        units: indices of units in the flat code. None for the ``n_units`` units of largest variance over X, in descending order.
            In a variational autoencoder these are the active units (Burda, Grosse & Salakhutdinov 2016, "Importance weighted
            autoencoders").
        n_units: number of units, if ``units`` is None.
        steps: number of values, equally spaced.
        example: index of the example in X whose code the other units have. None for the prior's mean, or the mean code where
            there is no normal prior.

    Returns:
        The decoded examples, and the units and values they belong to.

    Raises:
        NotPossibleError: the codes are entries of a codebook, or all codes are equal.
        RecordError: n_units, steps, units or example is invalid.
        DataError: a unit or the example does not exist.

    Examples:
        >>> result = isthmus.latent_traversal.traverse(ae, X, units=[0, 2], steps=5)
        >>> result.examples.shape  # units, steps, *shape_
        (2, 5, 8, 8)
    """
    _check(ae, steps)
    if n_units < 1:
        raise RecordError(f"invalid n_units={n_units}: expected at least 1")
    values = ae._examples(X)
    context, codes = ae._context(None, values), ae.transform(values)
    _, variances, low, high, base = ranges = _ranges(ae, codes)
    chosen = ranges.units[:n_units] if units is None else _checked_indices(units, codes.shape[1], "unit")
    if example is not None:
        base = codes[_checked_indices(example, len(codes), "example")[0]].astype(np.float64)
    steps_of_units = np.linspace(low[chosen], high[chosen], steps, axis=1)
    traversed = np.tile(base, (len(chosen), steps, 1))
    traversed[np.arange(len(chosen)), :, chosen] = steps_of_units
    if context is not None:
        context = np.broadcast_to(context[example or 0], (*traversed.shape[:2], context.shape[1]))
    return Traversal(chosen, variances[chosen], steps_of_units, _decode_steps(ae, traversed, context))


@takes_autoencoder
@check_units_once()
def unit_ranges(ae: Autoencoder, X: Any, y: Any = None) -> UnitRanges:
    """Orders the units of the code by their variance over examples, and finds the range in which each is varied, as `traverse` does.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape_). Of more than 10,000, this number is drawn at random with a fixed seed.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.

    Returns:
        The units that vary, and the ranges of all.

    Raises:
        NotPossibleError: the codes are entries of a codebook, or all codes are equal.

    Examples:
        >>> isthmus.latent_traversal.unit_ranges(ae, X).low.shape
        (4,)
    """
    _check(ae)
    return _ranges(ae, ae.transform(ae._examples(X)))


@takes_autoencoder
@check_units_once()
def interpolate(
    ae: Autoencoder,
    a: Any,
    b: Any,
    *,
    steps: int = 9,
    method: Literal["lerp", "slerp"] = "lerp",
    y: tuple[Any, Any] | None = None,
) -> Array:
    """Decodes codes on the way from the codes of ``a`` to those of ``b``.

    Args:
        ae: a fitted autoencoder.
        a: examples (n, *shape_); the first step is their reconstructions.
        b: examples (n, *shape_); the last step is their reconstructions.
        steps: number of codes, including both ends.
        method: "lerp", linear interpolation; or "slerp", spherical interpolation around the prior's mean, for `Gaussian` codes.
            On a great circle, codes keep a typical distance from the mean (White 2016, "Sampling generative networks"). Codes in
            opposite directions are interpolated linearly, because their great circle is not unique.
        y: for a conditional autoencoder: the labels or covariates of a, and those of b. The context of the decoder goes linearly from
            that of a to that of b.

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
    if method == "slerp" and not ae.bottleneck_.normal_prior:
        name = type(ae.bottleneck_).__name__
        why = f"that of this {name} is another one" if ae.bottleneck_.has_prior else f"{name} has none"
        raise NotPossibleError(
            f"method='slerp' requires a bottleneck with a normal prior, and {why}: use method='lerp'"
        )
    sides = [ae._examples(with_context(ae, *each)) for each in zip((a, b), y or (None, None), strict=True)]
    contexts = [ae._context(None, side) for side in sides]
    begins, ends = (ae.transform(side).astype(np.float64) for side in sides)
    if len(begins) != len(ends):
        raise DataError(f"a has {len(begins)} examples and b {len(ends)}: expected equal numbers")
    t = np.linspace(0, 1, steps)[None, :, None]
    weights = slerp_weights(begins, ends, t) if method == "slerp" else (1 - t, t)
    first, last = contexts
    context = None if first is None or last is None else (1 - t) * first[:, None] + t * last[:, None]
    return _decode_steps(ae, weights[0] * begins[:, None] + weights[1] * ends[:, None], context)


@takes_autoencoder
@check_units_once()
def neighbors(
    ae: Autoencoder, X: Any, queries: Any, k: int = 8, *, y: Any = None, query_labels: Any = None
) -> Neighbors:
    """Finds for each query the k examples of X whose codes are nearest. A query that is part of X finds itself first.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape_) to search.
        queries: examples (m, *shape_).
        k: number of neighbors of each query.
        y, query_labels: labels or covariates of X and of the queries for a conditional autoencoder; others ignore them.

    Returns:
        Row numbers of X and Euclidean distances between codes, (m, k) each, the nearest first.

    Raises:
        RecordError: k is below 1 or above n.
    """
    codes, query_codes = ae.transform(X), ae.transform(queries)
    if not 1 <= k <= len(codes):
        raise RecordError(f"invalid k={k}: expected 1 to {len(codes):,}, the number of examples")
    distances, indices = NearestNeighbors(n_neighbors=k).fit(codes).kneighbors(query_codes)
    return Neighbors(indices, distances)


def _check(ae: Autoencoder, steps: int = 2) -> None:
    """Raises if there are too few steps, or codes cannot be varied continuously."""
    if steps < 2:
        raise RecordError(f"invalid steps={steps}: expected at least 2")
    if ae.bottleneck_.discrete:
        raise NotPossibleError(
            f"the codes of {type(ae.bottleneck_).__name__} are entries of a codebook and cannot be varied continuously: "
            "use reconstructions instead"
        )


def _ranges(ae: Autoencoder, codes: Array) -> UnitRanges:
    """The units and ranges of codes (n, d)."""
    sampled = some_rows(codes, MAX_EXAMPLES).astype(np.float64)
    variances, (low, high) = sampled.var(0), _range_of_units(ae, sampled)
    if not (low < high).any():
        raise NotPossibleError("the codes of these examples are all equal: there is no unit to vary")
    order = np.argsort(-variances, kind="stable")
    base = np.zeros(len(low)) if ae.bottleneck_.normal_prior else sampled.mean(0)
    return UnitRanges(order[low[order] < high[order]], variances, low, high, base)


def _range_of_units(ae: Autoencoder, codes: Array) -> tuple[Array, Array]:
    """The lowest and highest value of each unit, (d,) each."""
    if ae.bottleneck_.normal_prior:
        return np.full(codes.shape[1], -PRIOR_STDS), np.full(codes.shape[1], PRIOR_STDS)
    low, high = np.quantile(codes, QUANTILES, axis=0)
    same = low == high
    return np.where(same, codes.min(0), low), np.where(same, codes.max(0), high)


def _checked_indices(given: Sequence[int] | int, count: int, what: str) -> Array:
    """One index or several, as an array; an error unless all are integers from 0 to count - 1."""
    indices = np.atleast_1d(np.asarray(given))
    if indices.dtype.kind not in "iu" or indices.ndim != 1 or not indices.size:
        raise RecordError(f"invalid index of a {what}: {given!r}; expected integers from 0 to {count - 1:,}")
    invalid = indices[(indices < 0) | (indices >= count)]
    if len(invalid):
        raise DataError(f"there is no {what} {invalid[0]}: expected an index from 0 to {count - 1:,}")
    return indices


def slerp_weights(a: Array, b: Array, t: Array) -> tuple[Array, Array]:
    """The weights of codes a and b (n, d) at fractions t (1, steps, 1) of the great circle between them, (n, steps, 1) each."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(1) / np.where(norms > 0, norms, 1)
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None, None]
    collinear = np.sin(angle) < 1e-6
    sine = np.where(collinear, 1, np.sin(angle))
    weights = (np.where(collinear, s, np.sin(s * angle) / sine) for s in (1 - t, t))
    return next(weights), next(weights)


def _decode_steps(ae: Autoencoder, codes: Array, context: Array | None) -> Array:
    """The examples of codes (n, steps, d) with contexts (n, steps, c): (n, steps, *shape_)."""
    if context is not None:
        context = context.reshape(-1, context.shape[-1]).astype(str(ae.model_.dtype).removeprefix("torch."))
    rows = attach_context(codes.reshape(-1, codes.shape[-1]), context)
    return ae._decode(rows).reshape(*codes.shape[:2], *ae.shape_)
