"""Scatter plots of codes in two dimensions, colored by label."""

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
from isthmus.plots.figure import NotebookFigure, chart
from isthmus.plots.grids import Array, first_examples
from isthmus.plots.lettering import short_name

__all__ = ["UNLABELED", "color_by_label", "latent", "project", "sample_positions", "tsne", "umap"]

NAME_LENGTH = 18  # characters of a label that are shown
TRUST_POINTS = 1000  # points from which trustworthiness is computed
UNLABELED = "0.7"  # the gray of points without a label
MAX_CLASSES = 20  # more numeric labels than this get a continuous color bar


class Projection(NamedTuple):
    """Codes in two dimensions: points (n, 2), names of the axes (empty if they have no unit), and a note for the title."""

    points: Array
    names: tuple[str, str]
    note: str


@takes_autoencoder
def latent(ae: Autoencoder, X: Any, y: Any = None) -> Figure:
    """A scatter plot of the codes of X, colored by the labels y. Codes of more than two dimensions are projected by PCA.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: one label per example (m,). Up to 20 classes get a color and a name each; more numeric labels get a color bar; more names are
            not colored.

    Raises:
        NotPossibleError: the code is 1-dimensional, or X is a single example.
        DataError: y is not as long as X.
    """
    codes = ae.transform(first_examples(X))
    projection = project(codes, "latent")
    title = f"codes of {len(codes):,} examples{projection.note}"
    positions = len(np.unique(projection.points, axis=0))
    title += f";\nmany points coincide: {positions:,} are distinct" if positions <= len(codes) / 2 else ""
    alt = f"Scatter plot of {' '.join(title.split())}{', colored by label' if y is not None else ''}."
    figure, axes = _scatter(projection.points, y, title, alt)
    axes.set(xlabel=projection.names[0], ylabel=projection.names[1])
    return figure


@takes_autoencoder
def tsne(
    ae: Autoencoder, X: Any, y: Any = None, *, limit: int = 5000, perplexity: float = 30.0, random_state: int = 0
) -> Figure:
    """A t-SNE map of the codes, colored by the labels y (van der Maaten & Hinton 2008, "Visualizing data using t-SNE").

    Only the neighborhoods have a meaning: the axes have no unit, and distances between groups have no scale. The title gives the
    trustworthiness of the map.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: one label per example (m,). Up to 20 classes get a color and a name each; more numeric labels get a color bar; more names are
            not colored.
        limit: the largest number of examples on the map. More examples are sampled at random, and the title says so.
        perplexity: the effective number of neighbors, reduced for few examples.
        random_state: seeds the sample and the map.

    Raises:
        DataError: fewer than four examples, or y is not as long as X.
    """
    return _draw_map(ae, X, y, "t-SNE", limit, random_state, perplexity=perplexity)


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
    """A UMAP map of the codes, colored by the labels y (McInnes, Healy & Melville 2018); read it like `tsne`.

    Requires umap-learn. The first map in a process takes about ten seconds longer, for compilation.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: one label per example (m,). Up to 20 classes get a color and a name each; more numeric labels get a color bar; more names are
            not colored.
        limit: the largest number of examples on the map. More examples are sampled at random, and the title says so.
        n_neighbors: the number of neighbors of each code, reduced for few examples.
        min_dist: the smallest distance between points on the map.
        random_state: seeds the sample and the map.

    Raises:
        DataError: fewer than four examples, or y is not as long as X.
        ModuleNotFoundError: umap-learn is not installed.
    """
    return _draw_map(ae, X, y, "UMAP", limit, random_state, n_neighbors=n_neighbors, min_dist=min_dist)


def _draw_map(ae: Autoencoder, X: Any, y: Any, name: str, limit: int, random_state: int, **settings: float) -> Figure:
    """Draws a map of the codes of at most `limit` examples."""
    codes = ae.transform(first_examples(X))
    count, title = len(codes), f"{name} map of the codes of {len(codes):,} examples"
    chosen = sample_positions(count, limit, random_state)
    if len(chosen) < count:
        title = f"{name} map of the codes of {limit:,} of {count:,} examples (limit={limit})"
        y = None if y is None else class_labels(y, count)[chosen]
    projection = project(codes[chosen], "tsne" if name == "t-SNE" else "umap", random_state, **settings)
    alt = f"{title}{', colored by label' if y is not None else ''}."
    figure, axes = _scatter(projection.points, y, f"{title}{projection.note}", alt)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return figure


def sample_positions(count: int, limit: int, random_state: int) -> Array:
    """The positions of all `count` examples, or of `limit` examples drawn at random, in ascending order."""
    if limit < 1:
        raise DataError(f"invalid limit={limit}: expected at least 4 examples for a map")
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(random_state).choice(count, limit, replace=False))


def project(codes: Array, kind: str, random_state: int = 0, **settings: float) -> Projection:
    """Projects codes (n, d) into two dimensions, as in the figure `latent`, `tsne` or `umap`."""
    count, size = codes.shape
    if kind == "latent":
        return _principal_components(codes)
    if count < 4:
        raise DataError(
            f"{count} examples are too few for a {'t-SNE' if kind == 'tsne' else 'UMAP'} map: expected at least 4"
        )
    if kind == "tsne":
        start: Any = "pca" if size >= 2 else "random"
        perplexity = min(settings.get("perplexity", 30.0), (count - 1) / 3)
        points = TSNE(init=start, perplexity=perplexity, random_state=random_state).fit_transform(codes)
    else:
        points = _umap(codes, random_state, settings)
    return Projection(points, ("", ""), trustworthiness_note(codes, points))


def _principal_components(codes: Array) -> Projection:
    count, size = codes.shape
    if count < 2:
        raise NotPossibleError("one example is too few for a scatter plot of codes: expected at least 2")
    if size < 2:
        raise NotPossibleError(
            "no scatter plot of 1-dimensional codes: use an autoencoder whose code has at least 2 dimensions"
        )
    if size == 2:
        return Projection(codes, ("code 1", "code 2"), "")
    with np.errstate(invalid="ignore"):  # equal codes have zero variance
        components = PCA(2, random_state=0).fit(codes)
    points, shares = components.transform(codes), np.nan_to_num(components.explained_variance_ratio_)
    one, two = (f"principal component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares))
    note = f": {size} dimensions projected onto two principal components{trustworthiness_note(codes, points)}"
    return Projection(points, (one, two), note)


def _umap(codes: Array, random_state: int, settings: dict[str, float]) -> Array:
    """The map of umap-learn. Its warnings are suppressed: users cannot act on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from umap import UMAP
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("umap-learn is not installed: run pip install 'isthmus[umap]'") from error
        near = int(min(settings.get("n_neighbors", 15), len(codes) - 1))
        start = "pca" if codes.shape[1] >= 2 else "random"
        fixed = {"init": start, "n_jobs": 1, "random_state": random_state}
        mapped = UMAP(n_neighbors=near, min_dist=settings.get("min_dist", 0.1), **fixed).fit_transform(codes)
    return np.asarray(mapped)


def trustworthiness_note(codes: Array, points: Array) -> str:
    """The trustworthiness of a map, for its title: 1 if all neighbors on the map are neighbors by code (Venna & Kaski 2001).

    Computed from at most 1,000 points. Empty for fewer than 3 points.
    """
    near = min(10, (len(codes) - 1) // 2)
    if near < 1:
        return ""
    sample = sample_positions(len(codes), TRUST_POINTS, 0)
    share = trustworthiness(codes[sample], points[sample], n_neighbors=near)
    return f";\ntrustworthiness {share:.2f} ({near} neighbors among {len(sample):,} points)"


class Coloring(NamedTuple):
    """Values of the points, their color map and norm, and the names on the color bar (empty for numeric labels)."""

    values: NDArray[Any]
    cmap: Colormap
    norm: Normalize
    names: list[str]


def _scatter(points: Array, y: Any, title: str, alt: str) -> tuple[NotebookFigure, Axes]:
    figure, axes = chart(alt, 7.5, 6.0)
    axes.set_title(title, fontsize=10, loc="left")
    size = float(np.clip(20000 / len(points), 3, 30))
    if y is None:
        axes.scatter(points[:, 0], points[:, 1], s=size, alpha=0.7, linewidths=0)
        return figure, axes
    labels = class_labels(y, len(points))
    color = color_by_label(labels)
    if color is None:
        kinds = len(np.unique(labels.labeled_numbers()))
        reason = f"{kinds} classes are too many to color" if kinds else "no example has a label"
        axes.set_title(f"{title};\n{reason}", fontsize=10, loc="left")
        axes.scatter(points[:, 0], points[:, 1], s=size, alpha=0.7, linewidths=0)
        return figure, axes
    labeled = labels.labeled
    if not labeled.all():
        axes.set_title(f"{title};\n{labels.n_unlabeled:,} without a label, in gray", fontsize=10, loc="left")
        axes.scatter(points[~labeled, 0], points[~labeled, 1], s=size, color=UNLABELED, alpha=0.5, linewidths=0)
    axes.scatter(
        points[labeled, 0],
        points[labeled, 1],
        s=size,
        c=color.values[labeled],
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


def color_by_label(labels: ClassLabels) -> Coloring | None:
    """The coloring of points by label. None for too many names, and if no example has a label.

    The values of points without a label are arbitrary.
    """
    used, index = np.unique(labels.labeled_numbers(), return_inverse=True)
    kinds, numbers = labels.classes[used], labels.numeric_classes()
    if not len(kinds):
        return None
    values = np.zeros(len(labels))
    if len(kinds) <= MAX_CLASSES and not (numbers is not None and np.any(numbers[used] % 1)):
        hues = colormaps["tab10" if len(kinds) <= 10 else "tab20"].resampled(10 if len(kinds) <= 10 else 20)
        edges = np.arange(len(kinds) + 1) - 0.5
        names = [short_name(_label_name(kind), NAME_LENGTH) for kind in kinds]
        values[labels.labeled] = index
        return Coloring(
            values, ListedColormap([hues(i) for i in range(len(kinds))]), BoundaryNorm(edges, len(kinds)), names
        )
    if numbers is None:  # a color bar would suggest an order and distances
        return None
    values[labels.labeled] = numbers[labels.labeled_numbers()]
    return Coloring(values, colormaps["viridis"], Normalize(numbers[used].min(), numbers[used].max()), [])


def _label_name(kind: Any) -> str:
    """A label in a legend; whole numbers without a decimal point."""
    return cell(kind).removesuffix(".0") if isinstance(kind, float) else cell(kind)
