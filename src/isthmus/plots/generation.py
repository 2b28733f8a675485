"""Figures of new examples, decoded from drawn codes or from a grid of codes."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from isthmus.data.context_array import attach_context, context_of
from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.latent_density import MAX_ROWS
from isthmus.estimators.table_columns import TableColumns
from isthmus.plots.grids import Array, ImageShape, as_cells, first_examples, grid, limits, model_image_shape
from isthmus.plots.table_columns import distributions
from isthmus.plots.table_rows import draws_columns

__all__ = ["manifold", "samples"]

TABLE_ROWS = 1000  # new rows of a table, whose distributions are drawn
RANGE_EXAMPLES = 1000  # examples that set the range from black to white
QUANTILES = (0.05, 0.95)  # the quantiles of the edges of the manifold's grid


@takes_autoencoder
def samples(
    ae: Autoencoder,
    X: Any = None,
    y: Any = None,
    *,
    rows: int = 8,
    columns: int = 8,
    method: Literal["auto", "prior", "gmm"] = "auto",
    train: Any = None,
    random_state: int = 0,
    draw: bool | None = None,
    image_shape: ImageShape = None,
) -> Figure:
    """New examples, decoded from codes drawn from the prior or from a Gaussian mixture fitted to codes.

    For a table whose columns have names: the distribution of each column over at least 1,000 new rows, beside that of X.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data. They set the range from black to white.
        y: for a conditional autoencoder: the labels or covariates of X, which the new examples have in turn; without X one for all.
            Others ignore it.
        rows: the number of rows.
        columns: the number of columns.
        method: "prior"; "gmm", a Gaussian mixture fitted to the codes of train (of X without train; the title says which); or "auto",
            the prior if the bottleneck has one, otherwise "gmm".
        train: training examples for the mixture.
        random_state: seeds the codes.
        draw: draw each example from the likelihood, with its noise, instead of taking its mean. None: for frames, as `sample`.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        NotPossibleError: the bottleneck has no prior but method="prior", or its codes have no density.
        DataError: rows or columns is below 1, or image_shape does not fit.
    """
    if rows < 1 or columns < 1:
        raise DataError(f"invalid rows={rows}, columns={columns}: expected at least 1 each")
    table, n = draws_columns(ae, image_shape), rows * columns
    n = n if table is None else max(n, TABLE_ROWS)
    contexts = _contexts(X, n)
    given_examples, noisy = X if train is None else train, ae._draws(draw)
    drawn, source = _sample_examples(ae, n, method, given_examples, contexts, y, random_state, noisy)
    if source and train is None:
        source += " (those given as X)"
    given = "" if contexts is None else "with the labels or covariates of the given examples, in turn"
    alt = f"{n} new examples decoded from codes drawn from {source or 'the prior'}{given and f', {given}'}."
    title = f"codes drawn from {source}" if source else given
    if table is not None:
        return _draw_distributions(table, X, drawn, (title, alt))
    image_shape = model_image_shape(ae, image_shape)
    images = as_cells(drawn, image_shape)
    value_range = limits(drawn if X is None else first_examples(X, RANGE_EXAMPLES), image_shape)
    return grid(images.reshape(rows, columns, *images.shape[1:]), value_range, alt, title=title)


def _draw_distributions(columns: TableColumns, X: Any, drawn: Array, texts: tuple[str, str]) -> Figure:
    """Draws the distribution of each column of new rows, beside that of the rows X."""
    title, alt = texts
    real = None if X is None else columns.observed(first_examples(X, missing="allow"))
    beside = "" if real is None else f", beside that of {len(real):,} real rows"
    return distributions(
        columns, real, columns.values(drawn), title, f"{alt[:-1]}: the distribution of each column{beside}."
    )


def _contexts(X: Any, n: int) -> Array | None:
    """The contexts of n new examples: those of the examples in turn; None for examples without context."""
    context = None if X is None else context_of(first_examples(X))
    return None if context is None else context[np.arange(n) % len(context)]


def _sample_examples(
    ae: Autoencoder,
    n: int,
    method: str,
    examples: Any,
    contexts: Array | None,
    y: Any,
    random_state: int,
    draw: bool = False,
) -> tuple[Array, str]:
    """New examples, and a description of the mixture of their codes; empty for the prior."""
    if method != "gmm":
        try:
            if contexts is not None:
                codes = attach_context(ae._prior_codes(n, random_state), contexts)
                return ae._drawn(codes, None, random_state) if draw else ae._decode(codes), ""
            return ae._sample(n, random_state, "prior" if method == "auto" else method, y=y, draw=draw), ""
        except NotPossibleError:
            if method == "prior" or examples is None:
                raise
    count = len(first_examples(examples))
    source_size = f"{min(count, MAX_ROWS):,} of {count:,} examples" if count > MAX_ROWS else f"{count:,} examples"
    return ae._sample(
        n, random_state, "gmm", X=examples, draw=draw
    ), f"a Gaussian mixture fitted to the codes of {source_size}"


@takes_autoencoder
def manifold(
    ae: Autoencoder,
    X: Any = None,
    y: Any = None,
    *,
    n: int = 15,
    by: str = "quantiles",
    image_shape: ImageShape = None,
) -> Figure:
    """n x n examples decoded from a grid of codes. The first axis points right, the second one up.

    A 2-dimensional code with a normal prior: the grid ranges from the 5% to the 95% quantile of the prior (by="quantiles"), or from -1
    to 1 (by="linear"). Other 2-dimensional codes: the grid ranges between the same quantiles of the codes of X. Codes of more
    dimensions: the grid lies in the plane through the mean code of X along the first two principal axes.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data. Not needed for a 2-dimensional code with a normal prior.
        y: for a conditional autoencoder: the labels or covariates of X, of which all codes are decoded with the first; without X one
            for all. Others ignore it.
        n: the number of rows and of columns.
        by: "quantiles" for equal steps of probability, "linear" for equal steps of the code.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        NotPossibleError: the code is 1-dimensional, or X is a single example.
        DataError: X is required but missing, n is below 1, `by` is unknown, or image_shape does not fit.
    """
    if n < 1:
        raise DataError(f"invalid n={n}: expected at least 1")
    plane, context = _plane(ae, X, n, by), None if X is None else context_of(first_examples(X, 1))
    if context is not None:
        context = context.repeat(n * n, axis=0)
    across, up = (np.asarray(steps)[:, None] * axis for steps, axis in zip(plane.steps, plane.axes, strict=True))
    codes = plane.origin + across[None, :, :] + up[::-1, None, :]
    codes = attach_context(codes.reshape(n * n, -1).astype(np.float32), context)
    decoded = ae._decode(codes, y if context is None else None)
    image_shape = model_image_shape(ae, image_shape)
    images = as_cells(decoded, image_shape)
    alt = f"{n} x {n} examples decoded from a grid of codes: {' '.join(plane.title.split())}."
    marked = {0, n // 2, n - 1}
    right, above = ([f"{step:z.2f}" if i in marked else "" for i, step in enumerate(steps)] for steps in plane.steps)
    return grid(
        images.reshape(n, n, *images.shape[1:]),
        limits(decoded if X is None else first_examples(X, RANGE_EXAMPLES), image_shape),
        alt,
        title=plane.title,
        rows=above[::-1],
        columns=right,
        names=plane.names,
    )


class Plane(NamedTuple):
    """A plane of codes: an origin, two axes with steps and names, and a title that describes the plane."""

    origin: Array
    axes: Array
    steps: tuple[Array, Array]
    names: tuple[str, str]
    title: str


def _plane(ae: Autoencoder, X: Any, n: int, by: str) -> Plane:
    size = int(np.prod(ae.code_shape_))
    if size < 2:
        raise NotPossibleError(
            "no manifold of 1-dimensional codes: use an autoencoder whose code has at least 2 dimensions"
        )
    if by not in {"quantiles", "linear"}:
        raise DataError(f"invalid by={by!r}: expected 'quantiles' or 'linear'")
    names, levels = ("code 1", "code 2"), np.linspace(*QUANTILES, n)
    if size == 2 and ae.bottleneck_.normal_prior:
        quantiles = np.array([NormalDist().inv_cdf(level) for level in levels])
        steps = quantiles if by == "quantiles" else np.linspace(-1, 1, n)
        title = "5% to 95% quantiles of the normal prior" if by == "quantiles" else "codes from -1 to 1"
        return Plane(np.zeros(2), np.eye(2), (steps, steps), names, title)
    points = ae.transform(first_examples(X))
    if len(points) < 2:
        raise NotPossibleError("one example is too few for a plane of codes: expected at least 2")
    origin, axes = np.zeros(2), np.eye(2)
    title = f"5% to 95% quantiles of the codes of {len(points):,} examples"
    if size > 2:
        with np.errstate(invalid="ignore"):  # equal codes have zero variance
            components = PCA(2, random_state=0).fit(points)
        origin, axes = components.mean_, components.components_
        points = components.transform(points)
        names = ("principal component 1", "principal component 2")
        share = np.nan_to_num(components.explained_variance_ratio_).sum()
        title = f"plane of the first two principal components ({share:.0%} of the variance),\n{title}"
    ends = np.quantile(points, QUANTILES, axis=0)
    steps = np.quantile(points, levels, axis=0) if by == "quantiles" else np.linspace(ends[0], ends[1], n)
    return Plane(origin, axes, (steps[:, 0], steps[:, 1]), names, title)
