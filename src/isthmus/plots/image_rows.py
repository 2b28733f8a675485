# ruff: noqa: ARG001  (every picture takes ae, X and y, so that one command draws any of them)
"""What goes in over what comes out: rows of examples, spoilt, restored and reconstructed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from isthmus.corruptions import GaussianNoise
from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation import PCAReconstructions
from isthmus.plots.grids import Array, ImageShape, as_pictures, first, grid, limits, pictured, shape_shown
from isthmus.plots.result_check import draws

__all__ = ["completion", "denoising", "noise_levels", "noisy", "pca", "reconstructions", "sheet"]


@takes_autoencoder
def reconstructions(ae: Autoencoder, X: Any, y: Any = None, *, n: int = 10, image_shape: ImageShape = None) -> Figure:
    """The first n examples over their reconstructions.

    X: examples (m, *shape) in the user's units. As in every picture of examples: the range from black to white is
    that of the examples shown (0 to 255 for bytes) and reconstructions are clipped to it; rows are shown as curves,
    unless the autoencoder's kind is images, or image_shape says which picture (height, width) they are; y, the
    labels, changes nothing.
    Raises `DataError` where X is empty or image_shape does not fit.

    Examples:
        >>> figure = isthmus.plots.reconstructions(ae, X, n=5)
        >>> figure.savefig("reconstructions.png")
    """
    examples = first(X, n)
    alt = f"{len(examples)} examples, each over its reconstruction from a code of {code_size(ae)} numbers."
    return _over(
        examples, {"original": examples, "reconstruction": ae.reconstruct(examples)}, pictured(ae, image_shape), alt
    )


@takes_autoencoder
def denoising(
    ae: Autoencoder, X: Any, y: Any = None, *, n: int = 10, random_state: int = 0, image_shape: ImageShape = None
) -> Figure:
    """The first n examples spoilt by the autoencoder's own corruption, restored, and clean.

    Raises `NotPossibleError` where the autoencoder was trained on clean examples.
    """
    names = ("noisy", "restored", "clean")
    return _restoring(ae, X, n, random_state, image_shape, names)


@takes_autoencoder
def completion(
    ae: Autoencoder, X: Any, y: Any = None, *, n: int = 10, random_state: int = 0, image_shape: ImageShape = None
) -> Figure:
    """The part of the first n examples that is given, the restored whole, and the original.

    Raises `NotPossibleError` where the autoencoder was trained on clean examples.
    """
    names = ("given", "restored", "original")
    return _restoring(ae, X, n, random_state, image_shape, names)


@takes_autoencoder
def noisy(
    ae: Autoencoder, X: Any, y: Any = None, *, n: int = 10, random_state: int = 0, image_shape: ImageShape = None
) -> Figure:
    """One row: the first n examples as the autoencoder's corruption spoils them.

    Raises `NotPossibleError` where the autoencoder was trained on clean examples.
    """
    examples = first(X, n)
    alt = f"{len(examples)} examples spoilt by {_corruption(ae)}."
    return _over(examples, {"noisy": ae.corrupt(examples, random_state=random_state)}, pictured(ae, image_shape), alt)


@takes_autoencoder
def sheet(
    ae: Autoencoder, X: Any, y: Any = None, *, rows: int = 10, columns: int = 10, image_shape: ImageShape = None
) -> Figure:
    """A sheet of rows x columns pairs, each an original with its reconstruction to the right; fewer if X has fewer."""
    examples = first(X, rows * columns)
    columns = min(columns, len(examples))
    examples = examples[: len(examples) // columns * columns]
    image_shape = pictured(ae, image_shape)
    originals, restored = (as_pictures(v, image_shape) for v in (examples, ae.reconstruct(examples)))
    pairs = np.stack([originals, restored], axis=1)
    cells = pairs.reshape(-1, 2 * columns, *pairs.shape[2:])
    alt = f"A sheet of {len(pairs)} pairs: an example and, to its right, its reconstruction."
    title = f"{len(pairs)} pairs: the original and, to its right, the reconstruction"
    return grid(cells, limits(examples, image_shape), alt, title=title, group=(1, 2))


@takes_autoencoder
def noise_levels(
    ae: Autoencoder,
    X: Any,
    y: Any = None,
    *,
    levels: Sequence[float] | float = (0.3, 0.5, 0.7, 0.9),
    n: int = 10,
    random_state: int = 0,
    image_shape: ImageShape = None,
) -> Figure:
    """The first n examples under more and more normal noise, each row over what the autoencoder restores from it.

    levels: standard deviations of the noise in model units (pictures are in [0, 1]), whatever the corruption in
    training was.
    """
    examples = first(X, n)
    rows: dict[str, Any] = {}
    try:
        scales = [float(level) for level in np.atleast_1d(levels)]
    except ValueError:
        raise DataError(f"levels={levels!r} are no numbers: give standard deviations, such as (0.3, 0.5)") from None
    for level in scales:
        corrupted = ae.corrupt(examples, random_state=random_state, corruption=GaussianNoise(level, clip=False))
        rows |= {f"noise {level:g}": corrupted, f"restored from {level:g}": ae.reconstruct(corrupted)}
    if not rows:
        raise DataError("levels is empty: give the standard deviations of the noise, such as (0.3, 0.5)")
    named = ", ".join(f"{level:g}" for level in scales)
    alt = f"{len(examples)} examples with noise of {named}, each row over what is restored."
    return _over(examples, rows, pictured(ae, image_shape), alt, together=2)


@draws(PCAReconstructions, "isthmus.evaluation.pca_reconstructions(ae, X)")
def pca(result: PCAReconstructions, *, image_shape: ImageShape = None) -> Figure:
    """The first examples, their reconstructions by a PCA of the code's size, and by the autoencoder.

    The title says what PCA was fitted on. The name of each row holds the mean squared error over all examples, in squared units of
    the data.

    Args:
        result: what `isthmus.evaluation.pca_reconstructions` measured; its ``n`` says how many examples it keeps for this figure.
        image_shape: height, width (and channels) to show a row of features as an image.
    """
    width, k = result.n_components, len(result.originals)
    where = "these same examples" if result.n_fitted is None else f"{result.n_fitted:,} training examples"
    rows = {
        "original": result.originals,
        f"PCA, {width} components\nMSE {result.pca_mse:.4g}": result.by_pca,
        f"autoencoder, {result.code_size} dimensions\nMSE {result.mse:.4g}": result.by_autoencoder,
    }
    title = f"PCA fitted on {where}; MSE over {result.n_examples:,} examples, in squared units of the data"
    alt = f"{k} examples, their reconstructions by PCA with {width} components, and by the autoencoder."
    return _over(result.originals, rows, shape_shown(result.originals, image_shape), alt, title=title)


def code_size(ae: Autoencoder) -> int:
    """How many numbers the code of one example has."""
    return int(np.prod(ae.code_shape_))


def _restoring(
    ae: Autoencoder, X: Any, n: int, random_state: int, image_shape: ImageShape, names: tuple[str, str, str]
) -> Figure:
    """Three named rows: what the corruption leaves, what the autoencoder makes of it, and the examples themselves."""
    examples = first(X, n)
    corruption = _corruption(ae)
    corrupted = ae.corrupt(examples, random_state=random_state)
    rows = dict(zip(names, (corrupted, ae.reconstruct(corrupted), examples), strict=True))
    alt = f"{len(examples)} examples: {names[0]} by {corruption}, {names[1]} by the autoencoder, and {names[2]}."
    return _over(examples, rows, pictured(ae, image_shape), alt)


def _corruption(ae: Autoencoder) -> str:
    if not ae.corruption_.corrupts:
        raise NotPossibleError(
            "this autoencoder was trained on clean examples: see its reconstructions, or noise_levels, instead"
        )
    return repr(ae.corruption_)


def _over(
    examples: Any, rows: dict[str, Any], image_shape: ImageShape, alt: str, title: str = "", together: int | None = None
) -> Figure:
    """Named rows of examples, in the range of the originals; `together` rows stand closer than the next."""
    cells: Array = np.stack([as_pictures(row, image_shape) for row in rows.values()])
    group = (together or len(cells), cells.shape[1])
    return grid(cells, limits(examples, image_shape), alt, title=title, rows=list(rows), group=group)
