# ruff: noqa: ARG001  (every picture takes ae, X and y, so that one command draws any of them)
"""Ways through the codes, decoded: what each number means, what lies between two examples, who is near whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from sklearn.neighbors import NearestNeighbors

from isthmus.data.memmap import some_rows
from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation import latent_traversal
from isthmus.plots.figure import Box, blank, frame
from isthmus.plots.grids import (
    Array,
    ImageShape,
    Limits,
    as_pictures,
    color_bar,
    draw,
    first,
    grid,
    limits,
    pictured,
    zoom,
)
from isthmus.plots.lettering import named

__all__ = ["interpolation", "neighbors", "traversal"]

LOOKED_AT = 1000  # examples that say what is black and what white
COLUMNS = 40  # of a table, which are shown as a chart
POOL = 10_000  # examples among which neighbors are looked for


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
    """What is decoded while one number of the code goes from low to high and the others stay: a row for each number.

    The n numbers that vary most over X, or those that `units` names (from 0 on): from -3 to 3 standard deviations of a normal prior, else
    from the 5% to the 95% quantile of the codes of X. The others stay at the mean, or at the code of X[example]. For tables of up to 40
    columns a chart of each: how far every column is from its mean over X.
    Raises `NotPossibleError` where the codes are entries of a codebook.
    """
    found = latent_traversal.traverse(ae, first(X), units=units, n_units=n, steps=steps, example=example)
    examples = first(X, LOOKED_AT)
    image_shape = pictured(ae, image_shape)
    pictures = as_pictures(found.examples.reshape(-1, *ae.shape_), image_shape)
    prior = ae.bottleneck_.has_prior
    mean = "the prior's mean" if prior else "the mean code"
    kept = f"the others at {mean if example is None else f'the code of example {example}'}"
    ends = "-3 to 3 standard deviations of the prior" if prior else "the 5% to the 95% quantile of the codes"
    title = f"{len(found.units)} of the code's {np.prod(ae.code_shape_)} numbers, from {ends}"
    alt = f"Traversal: {title}, {kept}."
    if _is_a_table(pictures):
        panels = [
            Panel(f"code[{unit}]", (f"{values[0]:.2g}", f"{values[-1]:.2g}"), cells.reshape(steps, -1))
            for unit, values, cells in zip(found.units, found.values, found.examples, strict=True)
        ]
        return _chart(ae, panels, examples.reshape(len(examples), -1), f"{title},\n{kept}", alt)
    reach = ["" if prior else f"\n{row[0]:.2g} to {row[-1]:.2g}" for row in found.values]
    rows = [
        f"code[{unit}]{said}\nvariance {variance:.2g}"
        for unit, variance, said in zip(found.units, found.variances, reach, strict=True)
    ]
    marked = {0, steps // 2, steps - 1}
    columns = [f"{value:.3g}" if i in marked else "" for i, value in enumerate(found.values[0])] if prior else ()
    cells = pictures.reshape(len(rows), steps, *pictures.shape[1:])
    return grid(cells, limits(examples, image_shape), alt, title=f"{title},\n{kept}", rows=rows, columns=columns)


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
    """The way from one example to another through the codes, over the cross-fade of their numbers: n pairs.

    pairs: places in X, two by two (3,17,5,8: from 3 to 17 and from 5 to 8); without it the first 2n. method: "lerp", or "slerp"
    for codes with a normal prior. Both rows begin and end with the reconstructions, whose cross-fade the second one is.
    Raises `NotPossibleError` where the codes are entries of a codebook, and where there are no two examples.
    """
    examples = first(X)
    if n < 1:
        raise DataError(f"n={n} pairs make no picture: ask for at least 1")
    positions = np.arange(min(2 * n, len(examples) // 2 * 2)) if pairs is None else np.atleast_1d(np.asarray(pairs))
    if not len(positions):
        raise NotPossibleError("interpolation needs two examples; there is one")
    if (
        len(positions) % 2
        or positions.dtype.kind not in "iu"
        or positions.min() < 0
        or positions.max() >= len(examples)
    ):
        raise DataError(
            f"pairs={pairs!r} are no pairs of examples: give an even number of places, 0 to {len(examples) - 1:,}"
        )
    ends = examples[positions]
    through = latent_traversal.interpolate(ae, ends[::2], ends[1::2], steps=steps, method=method)
    t = np.linspace(0, 1, steps).reshape(1, -1, *[1] * len(ae.shape_))
    faded = (1 - t) * through[:, :1] + t * through[:, -1:]
    image_shape = pictured(ae, image_shape)
    pictures = as_pictures(np.stack([through, faded], axis=1).reshape(-1, *ae.shape_), image_shape)
    word = {"lerp": "linear interpolation", "slerp": "spherical interpolation"}[method]
    title = f"{word.capitalize()} between the codes of two examples, over the cross-fade of what these decode to"
    alt = f"{len(positions) // 2} pairs of examples: {word} between their codes, and a cross-fade."
    if _is_a_table(pictures):
        table, ways = examples[:LOOKED_AT].reshape(-1, pictures.shape[1]), pictures.reshape(len(positions), steps, -1)
        named = [name for pair in _pairs(positions) for name in (("codes", pair), ("cross-fade", pair))]
        panels = [Panel(name, pair, cells) for (name, pair), cells in zip(named, ways, strict=True)]
        return _chart(ae, panels, table, title.replace("over", "beside"), alt)
    cells = pictures.reshape(len(positions), steps, *pictures.shape[1:])
    rows = ["codes", "cross-fade"] * (len(positions) // 2)
    return grid(cells, limits(examples[:LOOKED_AT], image_shape), alt, title=title, rows=rows, group=(2, steps))


@takes_autoencoder
def neighbors(
    ae: Autoencoder, X: Any, y: Any = None, *, train: Any = None, n: int = 6, k: int = 5, image_shape: ImageShape = None
) -> Figure:
    """The first n examples, and the k that are nearest to each: by their codes, and beside them by their own numbers.

    They are looked for among the examples of train if given, else among the others of X, among 10,000 drawn at random where there are
    more; the title says so. Distances are Euclidean: of codes, and of numbers as the model sees them, scaled.
    Raises `NotPossibleError` where there are no others.
    """
    examples = first(X)
    n = min(n, len(examples) if train is not None else len(examples) - 1)
    queries, others = first(examples, max(n, 1)), examples[n:] if train is None else first(train)
    if not n:
        raise NotPossibleError("neighbors needs examples besides the one that is looked at: there is none")
    pool, kind = some_rows(others, POOL), "training examples" if train is not None else "other examples"
    among = f"{len(pool):,}{f' of {len(others):,}' if len(pool) < len(others) else ''} {kind}"
    k = min(k, len(pool))
    by_code = latent_traversal.neighbors(ae, pool, queries, k)
    scale = np.broadcast_to(ae.model_.scale.numpy(force=True), ae.shape_).ravel()
    scaled = [side.reshape(len(side), -1) / scale for side in (pool, queries)]
    far, near = NearestNeighbors(n_neighbors=k).fit(scaled[0]).kneighbors(scaled[1])
    image_shape = pictured(ae, image_shape)
    shown = limits(examples[:LOOKED_AT], image_shape)
    figure = blank(f"{len(queries)} examples and the {k} of {among} that are nearest to each, by code and by number.")
    factor = zoom(draw(figure.add_axes((0, 0, 1, 1)), _cells(queries, n, 2 * k + 2, image_shape), shown).size)
    figure.clear()
    boxes: dict[Axes, Box] = {}
    parts: list[tuple[str, Array, Array | None]] = [
        ("example", queries[:, None], None),
        (f"nearest codes among {among}", pool[by_code.indices], by_code.distances),
        ("nearest numbers", pool[near], far),
    ]
    for title, cells, distances in parts:
        axes = figure.add_axes((0, 0, 1, 1), label=title)
        left = max((box[0] + box[2] for box in boxes.values()), default=-24.0) + 24.0
        width, height = _panel(axes, cells, distances, shown, image_shape)
        axes.set_title(title, fontsize=9, loc="left", pad=6)
        boxes[axes] = (left, 0.0, factor * width, factor * height)
    frame(figure, boxes)
    return figure


def _is_a_table(pictures: Array) -> bool:
    """Whether rows of numbers are so short that a chart can name each column."""
    return pictures.ndim == 2 and pictures.shape[1] <= COLUMNS


def _pairs(positions: Array) -> list[tuple[str, str]]:
    """The names of examples, two by two."""
    return [(f"{a}", f"{b}") for a, b in positions.reshape(-1, 2).tolist()]


def _cells(examples: Array, rows: int, columns: int, image_shape: ImageShape) -> Array:
    """Blank cells of the examples' kind."""
    picture = as_pictures(examples[:1], image_shape)[0]
    return np.zeros((rows, columns, *picture.shape))


def _panel(
    axes: Axes, cells: Array, distances: Array | None, shown: Limits, image_shape: ImageShape
) -> tuple[int, int]:
    """Examples (rows, columns, *shape) with the distance written into each; width and height in their pixels."""
    pictures = as_pictures(cells.reshape(-1, *cells.shape[2:]), image_shape)
    positions = draw(axes, pictures.reshape(*cells.shape[:2], *pictures.shape[1:]), shown)
    outlined = {"color": "white", "path_effects": [withStroke(linewidth=1.5, foreground="black")]}
    style: dict[str, Any] = {"color": "0.2"} if pictures.ndim == 2 else outlined
    for (row, column), distance in np.ndenumerate(np.empty((0, 0)) if distances is None else distances):
        corner = positions.lefts[column] + 0.04 * positions.cell[1], positions.tops[row] + 0.97 * positions.cell[0]
        axes.text(*corner, f"{distance:.2f}", fontsize=6, va="bottom", **style)
    return positions.size[1], positions.size[0]


class Panel(NamedTuple):
    """A way through the codes as a chart: a name, what stands at its ends, and the decoded rows of a table (steps, d)."""

    name: str
    ends: tuple[str, str]
    rows: Array


def _chart(ae: Autoencoder, panels: Sequence[Panel], examples: Array, title: str, alt: str) -> Figure:
    """The panels side by side: a step to the right, a column of the table downwards, its distance from its mean in color."""
    deviation = examples.std(0)
    scaled = [(panel.rows - examples.mean(0)) / np.where(deviation > 0, deviation, 1) for panel in panels]
    reach = max(float(np.abs(cells).max()) for cells in scaled) or 1.0
    names = getattr(ae, "feature_names_in_", [f"column {i}" for i in range(examples.shape[1])])
    figure = blank(alt)
    boxes: dict[Axes, Box] = {}
    for i, (panel, cells) in enumerate(zip(panels, scaled, strict=True)):
        axes = figure.add_axes((0, 0, 1, 1), label=panel.name)
        axes.imshow(cells.T, "RdBu_r", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
        axes.set_title(f"{title}\n\n{panel.name}" if i == 0 else panel.name, fontsize=9, loc="left")
        axes.set_xticks([-0.5, len(cells) - 0.5], panel.ends)
        left, right = axes.get_xticklabels()
        left.set_horizontalalignment("left")
        right.set_horizontalalignment("right")
        axes.set_yticks(range(len(names)), list(map(named, names)) if i == 0 else [""] * len(names))
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
        boxes[axes] = (i * 172.0, 0.0, 156.0, 24.0 * len(names))
    boxes |= color_bar(figure, axes.images[0], "standard deviations from the mean", boxes[axes])
    frame(figure, boxes)
    return figure
