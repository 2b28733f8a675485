"""Codes as points in the plane, colored by label."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

from isthmus.data.labels import ClassLabels, class_labels
from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.io.tables import cell
from isthmus.plots.figure import Picture, chart
from isthmus.plots.grids import Array, first
from isthmus.plots.lettering import named

__all__ = ["UNLABELED", "coloring", "drawn_places", "latent", "project", "tsne", "umap"]

NAME = 18  # letters of a label that are shown
TRUSTED = 1000  # points that say how far a map is to be trusted
UNLABELED = "0.7"  # the gray of points without a label
CLASSES = 20  # labels of more kinds than this get a continuous color bar


class Projection(NamedTuple):
    """Codes in the plane: points (n, 2), names of the axes (none: they have no unit), and what a title says of it."""

    points: Array
    names: tuple[str, str]
    said: str


@takes_autoencoder
def latent(ae: Autoencoder, X: Any, y: Any = None) -> Figure:
    """The codes of X as points, colored by the labels y; of longer codes the first two principal components.

    y: one label per example: up to 20 kinds get a color and a name each, more numbers (or fractions) a continuous color
    bar; more names than that are not colored.
    Raises `NotPossibleError` where a code is a single number and `DataError` where y is not as long as X.
    """
    codes = ae.transform(first(X))
    found = project(codes, "latent")
    title = f"codes of {len(codes):,} examples{found.said}"
    positions = len(np.unique(found.points, axis=0))
    title += f";\nmany coincide: there are {positions:,} different" if positions <= len(codes) / 2 else ""
    alt = f"Scatter of {title}{', colored by label' if y is not None else ''}."
    figure, axes = _scatter(found.points, y, title, alt)
    axes.set(xlabel=found.names[0], ylabel=found.names[1])
    return figure


@takes_autoencoder
def tsne(
    ae: Autoencoder, X: Any, y: Any = None, *, limit: int = 5000, perplexity: float = 30.0, random_state: int = 0
) -> Figure:
    """A t-SNE map of the codes, colored by the labels y (van der Maaten & Hinton 2008, "Visualizing data using t-SNE").

    Of more than `limit` examples, `limit` drawn by random_state are mapped, and the title says so. Only who is whose
    neighbor means anything: the axes have no unit and distances between groups no scale. The title holds the map's
    `trust`. Raises `DataError` for fewer than four examples.
    """
    return _mapped(ae, X, y, "t-SNE", limit, random_state, perplexity=perplexity)


@takes_autoencoder
def umap(
    ae: Autoencoder,
    X: Any,
    y: Any = None,
    *,
    limit: int = 4000,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    random_state: int = 0,
) -> Figure:
    """A UMAP map of the codes, colored by the labels y (McInnes, Healy & Melville 2018), to be read as `tsne` is.

    Needs umap-learn, whose first map in a process takes some ten seconds more, for its compiler. Of more than `limit` examples,
    `limit` drawn by random_state are mapped. Raises `DataError` for fewer than four, `ModuleNotFoundError` without umap-learn.
    """
    return _mapped(ae, X, y, "UMAP", limit, random_state, n_neighbors=n_neighbors, min_dist=min_dist)


def _mapped(ae: Autoencoder, X: Any, y: Any, name: str, limit: int, random_state: int, **choices: float) -> Figure:
    """The map of some examples' codes, and how far it is to be trusted."""
    codes = ae.transform(first(X))
    count, title = len(codes), f"{name} map of the codes of {len(codes):,} examples"
    chosen = drawn_places(count, limit, random_state)
    if len(chosen) < count:
        title = f"{name} map of the codes of {limit:,} of {count:,} examples (limit={limit})"
        y = None if y is None else class_labels(y, count)[chosen]
    found = project(codes[chosen], "tsne" if name == "t-SNE" else "umap", random_state, **choices)
    alt = f"{title}{', colored by label' if y is not None else ''}."
    figure, axes = _scatter(found.points, y, f"{title}{found.said}", alt)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return figure


def drawn_places(count: int, limit: int, random_state: int) -> Array:
    """The places of all of `count` examples, or of `limit` of them drawn at random, in their order."""
    if limit < 1:
        raise DataError(f"limit={limit} examples make no map: ask for at least 4")
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(random_state).choice(count, limit, replace=False))


def project(codes: Array, kind: str, random_state: int = 0, **choices: float) -> Projection:
    """Codes (n, d) brought into the plane, as `latent`, `tsne` or `umap` do."""
    count, size = codes.shape
    if kind == "latent":
        return _principal(codes)
    if count < 4:
        raise DataError(f"a {'t-SNE' if kind == 'tsne' else 'UMAP'} map needs at least four examples, not {count}")
    if kind == "tsne":
        start: Any = "pca" if size >= 2 else "random"
        perplexity = min(choices.get("perplexity", 30.0), (count - 1) / 3)
        points = TSNE(init=start, perplexity=perplexity, random_state=random_state).fit_transform(codes)
    else:
        points = _umap(codes, random_state, choices)
    return Projection(points, ("", ""), trust(codes, points))


def _principal(codes: Array) -> Projection:
    count, size = codes.shape
    if count < 2:
        raise NotPossibleError("latent needs at least two examples; there is one")
    if size < 2:
        raise NotPossibleError("latent needs codes of at least two numbers; this autoencoder's code is one")
    if size == 2:
        return Projection(codes, ("code 1", "code 2"), "")
    with np.errstate(invalid="ignore"):  # codes that are all alike have no variance to take shares of
        components = PCA(2, random_state=0).fit(codes)
    points, shares = components.transform(codes), np.nan_to_num(components.explained_variance_ratio_)
    one, two = (f"principal component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares))
    said = f", {size} numbers each, projected on two principal components{trust(codes, points)}"
    return Projection(points, (one, two), said)


def _umap(codes: Array, random_state: int, choices: dict[str, float]) -> Array:
    """umap-learn's map; what it warns of is its own business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from umap import UMAP
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("a UMAP map needs umap-learn: pip install 'isthmus[umap]'") from error
        near = int(min(choices.get("n_neighbors", 15), len(codes) - 1))
        start = "pca" if codes.shape[1] >= 2 else "random"
        settings = {"init": start, "n_jobs": 1, "random_state": random_state}
        mapped = UMAP(n_neighbors=near, min_dist=choices.get("min_dist", 0.1), **settings).fit_transform(codes)
    return np.asarray(mapped)


def trust(codes: Array, points: Array) -> str:
    """The trustworthiness of a map, for its title: 1 where all neighbors on the map are neighbors by code (Venna & Kaski 2001).

    Measured on at most 1,000 of the points; empty where there are too few.
    """
    near = min(10, (len(codes) - 1) // 2)
    if near < 1:
        return ""
    some = drawn_places(len(codes), TRUSTED, 0)
    share = trustworthiness(codes[some], points[some], n_neighbors=near)
    return f";\ntrustworthiness {share:.2f} ({near} neighbors among {len(some):,} points)"


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
    labels = class_labels(y, len(points))
    color = coloring(labels)
    if color is None:
        kinds = len(np.unique(labels.known_numbers()))
        why = f"{kinds} kinds of label, too many to color" if kinds else "none has a label"
        axes.set_title(f"{title};\n{why}", fontsize=10, loc="left")
        axes.scatter(points[:, 0], points[:, 1], s=size, alpha=0.7, linewidths=0)
        return figure, axes
    there = labels.labeled
    if not there.all():
        axes.set_title(f"{title};\n{labels.n_unlabeled:,} without a label, in gray", fontsize=10, loc="left")
        axes.scatter(points[~there, 0], points[~there, 1], s=size, color=UNLABELED, alpha=0.5, linewidths=0)
    axes.scatter(
        points[there, 0],
        points[there, 1],
        s=size,
        c=color.values[there],
        cmap=color.cmap,
        norm=color.norm,
        alpha=0.7,
        linewidths=0,
    )
    bar = figure.colorbar(ScalarMappable(color.norm, color.cmap), ax=axes, aspect=30, pad=0.02)
    bar.ax.set_xlabel("label", loc="left")
    if color.names:
        bar.set_ticks(list(range(len(color.names))), labels=color.names)
        bar.ax.tick_params(length=0)
        bar.ax.minorticks_off()
    return figure, axes


def coloring(labels: ClassLabels) -> Coloring | None:
    """How points are colored by their labels; None for more names than can be told apart, and where no example has a label.

    Points without a label have no color of these, and any value.
    """
    used, index = np.unique(labels.known_numbers(), return_inverse=True)
    kinds, numbers = labels.classes[used], labels.measured()
    if not len(kinds):
        return None
    values = np.zeros(len(labels))
    if len(kinds) <= CLASSES and not (numbers is not None and np.any(numbers[used] % 1)):
        hues = colormaps["tab10" if len(kinds) <= 10 else "tab20"].resampled(10 if len(kinds) <= 10 else 20)
        edges = np.arange(len(kinds) + 1) - 0.5
        names = [named(_name(kind), NAME) for kind in kinds]
        values[labels.labeled] = index
        return Coloring(
            values, ListedColormap([hues(i) for i in range(len(kinds))]), BoundaryNorm(edges, len(kinds)), names
        )
    if numbers is None:  # a bar would give an order and a distance to names that have none
        return None
    values[labels.labeled] = numbers[labels.known_numbers()]
    return Coloring(values, colormaps["viridis"], Normalize(numbers[used].min(), numbers[used].max()), [])


def _name(kind: Any) -> str:
    """A label in a legend; whole numbers without a fraction."""
    return cell(kind).removesuffix(".0") if isinstance(kind, float) else cell(kind)
