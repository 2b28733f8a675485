"""Codes as points in the plane, colored by label."""

from __future__ import annotations

from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from isthmus.errors import DataError, NotPossibleError
from isthmus.estimator import Autoencoder
from isthmus.plots.drawing import Picture, chart
from isthmus.plots.grids import Array, first

__all__ = ["latent", "tsne"]

NAME = 18  # letters of a label that are shown
CLASSES = 20  # labels of more kinds than this get a continuous color bar


def latent(ae: Autoencoder, X: Any, y: Any = None) -> Figure:
    """The codes of X as points, colored by the labels y; of longer codes the first two principal components.

    y: one label per example: up to 20 kinds get a color and a name each, more numbers (or fractions) a continuous color
    bar; more names than that are not colored.
    Raises `NotPossibleError` where a code is a single number and `DataError` where y is not as long as X.
    """
    points = ae.transform(first(X))
    count, size = points.shape
    if count < 2:
        raise NotPossibleError("latent needs at least two examples; there is one")
    if size < 2:
        raise NotPossibleError("latent needs codes of at least two numbers; this autoencoder's code is one")
    names, title = ("code 1", "code 2"), f"codes of {count:,} examples"
    if size > 2:
        components = PCA(2, random_state=0).fit(points)
        points = components.transform(points)
        shares = components.explained_variance_ratio_
        names = (
            f"principal component 1 ({shares[0]:.0%} of the variance)",
            f"principal component 2 ({shares[1]:.0%} of the variance)",
        )
        title += f", {size} numbers each, projected on two principal components"
    places = len(np.unique(points, axis=0))
    title += f";\nmany coincide: there are {places:,} different" if places <= count / 2 else ""
    alt = f"Scatter of {title}{', colored by label' if y is not None else ''}."
    figure, axes = _scatter(points, y, title, alt)
    axes.set(xlabel=names[0], ylabel=names[1])
    return figure


def tsne(
    ae: Autoencoder, X: Any, y: Any = None, *, limit: int = 5000, perplexity: float = 30.0, random_state: int = 0
) -> Figure:
    """A t-SNE map of the codes, colored by the labels y (van der Maaten & Hinton 2008, "Visualizing data using t-SNE").

    Of more than `limit` examples, `limit` drawn by random_state are mapped, and the title says so. Only who is whose
    neighbor means anything: the axes have no unit and distances between groups no scale. Raises `DataError` for fewer
    than four examples.
    """
    points = ae.transform(first(X))
    count = len(points)
    if count < 4:
        raise DataError(f"a t-SNE map needs at least four examples, not {count}")
    title = f"t-SNE map of the codes of {count:,} examples"
    if count > limit:
        chosen = np.sort(np.random.default_rng(random_state).choice(count, limit, replace=False))
        points, y = points[chosen], None if y is None else _labels(y, count)[chosen]
        title = f"t-SNE map of the codes of {limit:,} of {count:,} examples (limit={limit})"
    perplexity = min(perplexity, (len(points) - 1) / 3)
    start: Any = "pca" if points.shape[1] >= 2 else "random"
    mapped = TSNE(init=start, perplexity=perplexity, random_state=random_state).fit_transform(points)
    figure, axes = _scatter(mapped, y, title, f"{title}{', colored by label' if y is not None else ''}.")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return figure


class Coloring(NamedTuple):
    """Numbers for the points, what colors they mean, and the names on the color bar (none: the numbers themselves)."""

    values: NDArray[Any]
    cmap: Colormap
    norm: Normalize
    names: list[str]


def _scatter(points: Array, y: Any, title: str, alt: str) -> tuple[Picture, Axes]:
    figure, axes = chart(alt, 7.5, 6.0)
    axes.set_title(title, fontsize=10, loc="left")
    size = float(np.clip(20000 / len(points), 3, 30))
    if y is None:
        axes.scatter(points[:, 0], points[:, 1], s=size, alpha=0.7, linewidths=0)
        return figure, axes
    labels = _labels(y, len(points))
    color = _coloring(labels)
    if color is None:
        axes.set_title(f"{title};\n{len(np.unique(labels))} kinds of label, too many to color", fontsize=10, loc="left")
        axes.scatter(points[:, 0], points[:, 1], s=size, alpha=0.7, linewidths=0)
        return figure, axes
    axes.scatter(
        points[:, 0], points[:, 1], s=size, c=color.values, cmap=color.cmap, norm=color.norm, alpha=0.7, linewidths=0
    )
    bar = figure.colorbar(ScalarMappable(color.norm, color.cmap), ax=axes, aspect=30, pad=0.02)
    bar.ax.set_xlabel("label", loc="left")
    if color.names:
        bar.set_ticks(list(range(len(color.names))), labels=color.names)
        bar.ax.tick_params(length=0)
        bar.ax.minorticks_off()
    return figure, axes


def _coloring(labels: Array) -> Coloring | None:
    """How points are colored by their labels; None for more names than can be told apart."""
    kinds, index = np.unique(labels, return_inverse=True)
    numbers = np.issubdtype(kinds.dtype, np.number)
    if len(kinds) <= CLASSES and not (numbers and np.any(kinds % 1)):
        hues = colormaps["tab10" if len(kinds) <= 10 else "tab20"].resampled(10 if len(kinds) <= 10 else 20)
        edges = np.arange(len(kinds) + 1) - 0.5
        names = [shorten(str(int(kind) if numbers else kind), NAME, placeholder=" ...") for kind in kinds]
        return Coloring(
            index, ListedColormap([hues(i) for i in range(len(kinds))]), BoundaryNorm(edges, len(kinds)), names
        )
    if not numbers:  # a bar would give an order and a distance to names that have none
        return None
    return Coloring(labels, colormaps["viridis"], Normalize(labels.min(), labels.max()), [])


def _labels(y: Any, count: int) -> Array:
    labels = np.asarray(y)
    if labels.shape != (count,):
        raise DataError(f"y holds labels of shape {labels.shape} for {count} examples: give one label for each")
    return labels
