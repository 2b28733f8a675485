# ruff: noqa: ARG001  (every figure takes ae, X and y, so that one command draws any of them)
"""Figures of the latent space: traversals, interpolation between examples, and nearest neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from sklearn.neighbors import NearestNeighbors

from isthmus.data.context_array import dense
from isthmus.data.memmap import some_rows
from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation import latent_traversal
from isthmus.plots.figure import Box, empty_figure, fit_to_boxes
from isthmus.plots.grids import (
    Array,
    ImageShape,
    Limits,
    SeriesShape,
    as_cells,
    color_bar,
    draw,
    first_examples,
    grid,
    limits,
    model_image_shape,
    zoom,
)
from isthmus.plots.lettering import short_name

__all__ = ["interpolation", "neighbors", "traversal"]

RANGE_EXAMPLES = 1000  # examples that set the range from black to white
CHART_COLUMNS = 40  # tables with more columns are drawn as curves
NEIGHBOR_POOL = 10_000  # examples among which neighbors are searched


@takes_autoencoder
def traversal(
    ae: Autoencoder,
    X: Any,
    y: Any = None,
    *,
    n: int = 8,
    steps: int = 9,
    units: Sequence[int] | int | None = None,
    example: int | None = None,
    image_shape: ImageShape = None,
) -> Figure:
    """Latent traversals: a row for each latent unit, decoded while the unit goes from low to high and the others are fixed.

    With a normal prior, a unit goes from -3 to 3 standard deviations; otherwise from the 5% to the 95% quantile of the codes of X. For
    tables of up to 40 columns, each traversal is a heat map of the z-scores of all columns, with the mean and standard deviation over X.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        n: the number of latent units: those with the largest variance over X.
        steps: the number of values of each unit.
        units: the indices of the units, from 0, instead of n.
        example: the position in X of an example whose code fixes the other units. They are at the mean without it.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        NotPossibleError: the codes are entries of a codebook.
        DataError: an index does not exist, or image_shape does not fit.
    """
    traversed = latent_traversal.traverse(ae, first_examples(X), units=units, n_units=n, steps=steps, example=example)
    examples = first_examples(X, RANGE_EXAMPLES)
    image_shape = model_image_shape(ae, image_shape)
    images = as_cells(traversed.examples.reshape(-1, *ae.shape_), image_shape)
    prior = ae.bottleneck_.normal_prior
    mean = "the prior's mean" if prior else "the mean code"
    fixed = f"the others fixed at {mean if example is None else f'the code of example {example}'}"
    ends = "-3 to 3 standard deviations of the prior" if prior else "the 5% to the 95% quantile of the codes"
    title = f"{len(traversed.units)} of {np.prod(ae.code_shape_)} latent units, from {ends}"
    alt = f"Traversal: {title}, {fixed}."
    if _is_table(images, image_shape):
        panels = [
            Panel(f"code[{unit}]", (f"{values[0]:.2g}", f"{values[-1]:.2g}"), cells.reshape(steps, -1))
            for unit, values, cells in zip(traversed.units, traversed.values, traversed.examples, strict=True)
        ]
        return _chart(ae, panels, examples.reshape(len(examples), -1), f"{title},\n{fixed}", alt)
    reach = ["" if prior else f"\n{row[0]:.2g} to {row[-1]:.2g}" for row in traversed.values]
    rows = [
        f"code[{unit}]{note}\nvariance {variance:.2g}"
        for unit, variance, note in zip(traversed.units, traversed.variances, reach, strict=True)
    ]
    labeled = {0, steps // 2, steps - 1}
    columns = [f"{value:.3g}" if i in labeled else "" for i, value in enumerate(traversed.values[0])] if prior else ()
    cells = images.reshape(len(rows), steps, *images.shape[1:])
    return grid(cells, limits(examples, image_shape), alt, title=f"{title},\n{fixed}", rows=rows, columns=columns)


@takes_autoencoder
def interpolation(
    ae: Autoencoder,
    X: Any,
    y: Any = None,
    *,
    n: int = 4,
    pairs: Sequence[int] | None = None,
    steps: int = 9,
    method: Literal["lerp", "slerp"] = "lerp",
    image_shape: ImageShape = None,
) -> Figure:
    """Interpolation between the codes of two examples, with the cross-fade of their reconstructions below, for n pairs.

    Both rows begin and end with the reconstructions of the two examples. The cross-fade interpolates the reconstructions linearly.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        n: the number of pairs: the first 2n examples.
        pairs: positions in X instead of n. 3, 17, 5, 8 means from 3 to 17 and from 5 to 8.
        steps: the number of codes from one example to the other, both included.
        method: "lerp" for linear interpolation, "slerp" for spherical interpolation of codes with a normal prior.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        NotPossibleError: the codes are entries of a codebook, or X is a single example.
        DataError: n is below 1, pairs are invalid, or image_shape does not fit.
    """
    examples = first_examples(X)
    if n < 1:
        raise DataError(f"invalid n={n}: expected at least 1 pair")
    positions = np.arange(min(2 * n, len(examples) // 2 * 2)) if pairs is None else np.atleast_1d(np.asarray(pairs))
    if not len(positions):
        raise NotPossibleError("one example is too few for interpolation: expected at least 2")
    if (
        len(positions) % 2
        or positions.dtype.kind not in "iu"
        or positions.min() < 0
        or positions.max() >= len(examples)
    ):
        raise DataError(
            f"invalid pairs={pairs!r}: expected an even number of positions, each 0 to {len(examples) - 1:,}"
        )
    ends = examples[positions]
    through = latent_traversal.interpolate(ae, ends[::2], ends[1::2], steps=steps, method=method)
    t = np.linspace(0, 1, steps).reshape(1, -1, *[1] * len(ae.shape_))
    faded = (1 - t) * through[:, :1] + t * through[:, -1:]
    image_shape = model_image_shape(ae, image_shape)
    images = as_cells(np.stack([through, faded], axis=1).reshape(-1, *ae.shape_), image_shape)
    word = {"lerp": "linear interpolation", "slerp": "spherical interpolation"}[method]
    title = f"{word.capitalize()} between the codes of two examples, and the cross-fade of their reconstructions"
    pairs_shown = "1 pair" if len(positions) == 2 else f"{len(positions) // 2} pairs"
    alt = f"{pairs_shown} of examples: {word} between their codes, and the cross-fade of their reconstructions."
    if _is_table(images, image_shape):
        table = examples[:RANGE_EXAMPLES].reshape(-1, images.shape[1])
        ways = images.reshape(len(positions), steps, -1)
        labels = [name for pair in _pairs(positions) for name in (("codes", pair), ("cross-fade", pair))]
        panels = [Panel(name, pair, cells) for (name, pair), cells in zip(labels, ways, strict=True)]
        return _chart(ae, panels, table, title, alt)
    cells = images.reshape(len(positions), steps, *images.shape[1:])
    rows = ["codes", "cross-fade"] * (len(positions) // 2)
    return grid(cells, limits(examples[:RANGE_EXAMPLES], image_shape), alt, title=title, rows=rows, group=(2, steps))


@takes_autoencoder
def neighbors(
    ae: Autoencoder,
    X: Any,
    y: Any = None,
    *,
    train: Any = None,
    train_labels: Any = None,
    n: int = 6,
    k: int = 5,
    image_shape: ImageShape = None,
) -> Figure:
    """The first n examples and their k nearest neighbors: by code, and to the right by scaled features.

    Distances are Euclidean, between codes or between features in model units. Neighbors are searched among at most 10,000 examples, drawn
    at random; the title says among how many.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        train: the examples among which neighbors are searched; without it the other examples of X.
        train_labels: labels or covariates of train for a conditional autoencoder.
        n: the number of examples.
        k: the number of neighbors of each.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        NotPossibleError: X is a single example, and train is not given.
        DataError: X is empty, or image_shape does not fit.
    """
    examples = first_examples(X)
    ae._context(None, examples)  # a conditional autoencoder requires y
    n = min(n, len(examples) if train is not None else len(examples) - 1)
    queries, others = first_examples(examples, max(n, 1)), examples[n:] if train is None else first_examples(train)
    if not n:
        raise NotPossibleError("no other examples: pass X with at least 2 examples, or train")
    pool, kind = some_rows(others, NEIGHBOR_POOL), "training examples" if train is not None else "other examples"
    among = f"{len(pool):,}{f' of {len(others):,}' if len(pool) < len(others) else ''} {kind}"
    k = min(k, len(pool))
    by_code = latent_traversal.neighbors(ae, pool, queries, k)
    scale = np.broadcast_to(ae.model_.scale.numpy(force=True), ae.shape_).ravel()
    scaled = [side.reshape(len(side), -1) / scale for side in (pool, queries)]
    far, near = NearestNeighbors(n_neighbors=k).fit(scaled[0]).kneighbors(scaled[1])
    image_shape = model_image_shape(ae, image_shape)
    value_range = limits(examples[:RANGE_EXAMPLES], image_shape)
    figure = empty_figure(
        f"{len(queries)} examples and the {k} nearest of {among} to each, by code and by scaled features."
    )
    factor = zoom(draw(figure.add_axes((0, 0, 1, 1)), _cells(queries, n, 2 * k + 2, image_shape), value_range).size)
    figure.clear()
    boxes: dict[Axes, Box] = {}
    parts: list[tuple[str, Array, Array | None]] = [
        ("example", queries[:, None], None),
        (f"nearest codes among {among}", pool[by_code.indices], by_code.distances),
        ("nearest scaled features", pool[near], far),
    ]
    for title, cells, distances in parts:
        axes = figure.add_axes((0, 0, 1, 1), label=title)
        left = max((box[0] + box[2] for box in boxes.values()), default=-24.0) + 24.0
        width, height = _panel(axes, cells, distances, value_range, image_shape)
        axes.set_title(title, fontsize=9, loc="left", pad=6)
        boxes[axes] = (left, 0.0, factor * width, factor * height)
    fit_to_boxes(figure, boxes)
    return figure


def _is_table(images: Array, image_shape: ImageShape) -> bool:
    """Whether examples are rows of few enough features to name each in a chart."""
    return images.ndim == 2 and images.shape[1] <= CHART_COLUMNS and not isinstance(image_shape, SeriesShape)


def _pairs(positions: Array) -> list[tuple[str, str]]:
    """The names of the two examples of each pair."""
    return [(f"{a}", f"{b}") for a, b in positions.reshape(-1, 2).tolist()]


def _cells(examples: Array, rows: int, columns: int, image_shape: ImageShape) -> Array:
    """Empty cells of the shape of the examples."""
    image = as_cells(examples[:1], image_shape)[0]
    return np.zeros((rows, columns, *image.shape))


def _panel(
    axes: Axes, cells: Array, distances: Array | None, value_range: Limits, image_shape: ImageShape
) -> tuple[int, int]:
    """Draws examples (rows, columns, *shape), each with its distance; returns width and height in their pixels."""
    images = as_cells(cells.reshape(-1, *cells.shape[2:]), image_shape)
    layout = draw(axes, images.reshape(*cells.shape[:2], *images.shape[1:]), value_range)
    outlined = {"color": "white", "path_effects": [withStroke(linewidth=1.5, foreground="black")]}
    style: dict[str, Any] = {"color": "0.2"} if images.ndim == 2 else outlined
    for (row, column), distance in np.ndenumerate(np.empty((0, 0)) if distances is None else distances):
        corner = layout.lefts[column] + 0.04 * layout.cell[1], layout.tops[row] + 0.97 * layout.cell[0]
        axes.text(*corner, f"{distance:.2f}", fontsize=6, va="bottom", **style)
    return layout.size[1], layout.size[0]


class Panel(NamedTuple):
    """One heat map of a chart: a name, the labels of its ends, and decoded rows of a table (steps, d)."""

    name: str
    ends: tuple[str, str]
    rows: Array


def _chart(ae: Autoencoder, panels: Sequence[Panel], examples: Array, title: str, alt: str) -> Figure:
    """Draws panels side by side: steps to the right, columns of the table downwards, deviations from the mean in color."""
    examples = dense(examples)
    deviation = examples.std(0)
    scaled = [(panel.rows - examples.mean(0)) / np.where(deviation > 0, deviation, 1) for panel in panels]
    reach = max(float(np.abs(cells).max()) for cells in scaled) or 1.0
    names = getattr(ae, "_features", [f"column {i}" for i in range(examples.shape[1])])
    figure = empty_figure(alt)
    boxes: dict[Axes, Box] = {}
    for i, (panel, cells) in enumerate(zip(panels, scaled, strict=True)):
        axes = figure.add_axes((0, 0, 1, 1), label=panel.name)
        axes.imshow(cells.T, "RdBu_r", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
        axes.set_title(f"{title}\n\n{panel.name}" if i == 0 else panel.name, fontsize=9, loc="left")
        axes.set_xticks([-0.5, len(cells) - 0.5], panel.ends)
        left, right = axes.get_xticklabels()
        left.set_horizontalalignment("left")
        right.set_horizontalalignment("right")
        axes.set_yticks(range(len(names)), list(map(short_name, names)) if i == 0 else [""] * len(names))
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
        boxes[axes] = (i * 172.0, 0.0, 156.0, 24.0 * len(names))
    boxes |= color_bar(figure, axes.images[0], "z-score over X", boxes[axes])
    fit_to_boxes(figure, boxes)
    return figure
