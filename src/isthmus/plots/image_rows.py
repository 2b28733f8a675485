# ruff: noqa: ARG001  (every figure takes ae, X and y, so that one command draws any of them)
"""Rows of examples: originals, corrupted, denoised and reconstructed ones."""

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
from isthmus.plots.grids import (
    Array,
    ImageShape,
    array_image_shape,
    as_cells,
    first_examples,
    grid,
    limits,
    model_image_shape,
)
from isthmus.plots.result_check import requires_result
from isthmus.plots.table_rows import Marks, Role, draw_table_rows, draws_columns

_RESTORED: tuple[Role, ...] = ("given", "made", "true")  # of the rows of a restoration

__all__ = ["completion", "denoising", "noise_levels", "noisy", "pca", "reconstructions", "sheet"]


@takes_autoencoder
def reconstructions(
    ae: Autoencoder, X: Any, y: Any = None, *, target: Any = None, n: int = 10, image_shape: ImageShape = None
) -> Figure:
    """The first n examples with their reconstructions below; with a target, that is in a third row.

    As in all figures of examples, the range from black to white is that of the examples shown (0 to 255 for bytes), and reconstructions
    are clipped to it. Rows of features are drawn as curves, unless the autoencoder was trained on images or image_shape is given.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        target: (m, *shape_), what X should be restored to. The range from black to white is then that of inputs and targets.
        n: the number of examples.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        DataError: X is empty, or image_shape or target does not fit.

    Examples:
        >>> figure = isthmus.plots.reconstructions(ae, X, n=5)
        >>> figure.savefig("reconstructions.png")
    """
    columns, shape = draws_columns(ae, image_shape), model_image_shape(ae, image_shape)
    examples = first_examples(X, n, None if columns is None or ae.model_.fill is None else "allow")
    alt = f"{len(examples)} examples, each with its reconstruction from a {code_size(ae)}-dimensional code below."
    if target is None and columns is not None:
        marks = [Marks("original", "true", examples), Marks("reconstruction", "made", ae.reconstruct(examples))]
        return draw_table_rows(ae, columns, marks, f"{alt[:-7]}, by column.")
    if target is None:
        return _draw_rows(examples, {"original": examples, "reconstruction": ae.reconstruct(examples)}, shape, alt)
    targets = first_examples(target, n)
    if targets.shape != examples.shape:
        raise DataError(f"target has shape {targets.shape}, but X has {examples.shape}: pass a target for each example")
    alt = (
        f"{len(examples)} inputs in the first row, their reconstructions in the second, and their targets in the third."
    )
    rows = {"input": examples, "reconstruction": ae.reconstruct(examples), "target": targets}
    if columns is not None:
        marks = [Marks(name, role, rows[name]) for name, role in zip(rows, _RESTORED, strict=True)]
        return draw_table_rows(
            ae, columns, marks, f"{len(examples)} inputs, their reconstructions and their targets, by column."
        )
    return _draw_rows(np.concatenate([np.asarray(examples), np.asarray(targets)]), rows, shape, alt)


@takes_autoencoder
def denoising(
    ae: Autoencoder, X: Any, y: Any = None, *, n: int = 10, random_state: int = 0, image_shape: ImageShape = None
) -> Figure:
    """The first n examples: corrupted as in training, denoised, and clean.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        n: the number of examples.
        random_state: seeds the corruption.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        NotPossibleError: the autoencoder was trained without corruption.
        DataError: X is empty, or image_shape does not fit.
    """
    names = ("corrupted", "denoised", "clean")
    return _restoration_rows(ae, X, n, random_state, image_shape, names)


@takes_autoencoder
def completion(
    ae: Autoencoder, X: Any, y: Any = None, *, n: int = 10, random_state: int = 0, image_shape: ImageShape = None
) -> Figure:
    """The first n examples: the visible part, the completed example, and the original.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        n: the number of examples.
        random_state: seeds the corruption.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        NotPossibleError: the autoencoder was trained without corruption.
        DataError: X is empty, or image_shape does not fit.
    """
    names = ("visible part", "completed", "original")
    return _restoration_rows(ae, X, n, random_state, image_shape, names)


@takes_autoencoder
def noisy(
    ae: Autoencoder, X: Any, y: Any = None, *, n: int = 10, random_state: int = 0, image_shape: ImageShape = None
) -> Figure:
    """One row: the first n examples, corrupted as in training.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        n: the number of examples.
        random_state: seeds the corruption.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        NotPossibleError: the autoencoder was trained without corruption.
        DataError: X is empty, or image_shape does not fit.
    """
    examples = first_examples(X, n)
    alt = f"{len(examples)} examples corrupted by {_training_corruption(ae)}."
    return _draw_rows(
        examples,
        {"corrupted": ae.corrupt(examples, random_state=random_state)},
        model_image_shape(ae, image_shape),
        alt,
    )


@takes_autoencoder
def sheet(
    ae: Autoencoder, X: Any, y: Any = None, *, rows: int = 10, columns: int = 10, image_shape: ImageShape = None
) -> Figure:
    """A sheet of rows x columns pairs: an original and, to its right, its reconstruction.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        rows: the number of rows, fewer if X has fewer examples.
        columns: the number of pairs in a row.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        DataError: X is empty, or image_shape does not fit.
    """
    examples = first_examples(X, rows * columns)
    columns = min(columns, len(examples))
    examples = examples[: len(examples) // columns * columns]
    image_shape = model_image_shape(ae, image_shape)
    originals, reconstructed = (as_cells(v, image_shape) for v in (examples, ae.reconstruct(examples)))
    pairs = np.stack([originals, reconstructed], axis=1)
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
    """The first n examples with Gaussian noise of several levels, each row with the denoised examples below.

    The noise does not depend on the corruption in training.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        levels: standard deviations of the noise, in model units (images are in [0, 1]).
        n: the number of examples.
        random_state: seeds the noise.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        DataError: levels is empty or not numeric, X is empty, or image_shape does not fit.
    """
    examples = first_examples(X, n)
    rows: dict[str, Any] = {}
    try:
        scales = [float(level) for level in np.atleast_1d(levels)]
    except ValueError:
        raise DataError(f"invalid levels={levels!r}: expected standard deviations, such as (0.3, 0.5)") from None
    for level in scales:
        corrupted = ae.corrupt(examples, random_state=random_state, corruption=GaussianNoise(level, clip=False))
        rows |= {f"noise {level:g}": corrupted, f"denoised from {level:g}": ae.reconstruct(corrupted)}
    if not rows:
        raise DataError("levels is empty: expected standard deviations of the noise, such as (0.3, 0.5)")
    listed = ", ".join(f"{level:g}" for level in scales)
    alt = f"{len(examples)} examples with Gaussian noise of {listed}, each row with the denoised examples below."
    return _draw_rows(examples, rows, model_image_shape(ae, image_shape), alt, rows_per_group=2)


@requires_result(PCAReconstructions, "isthmus.evaluation.pca_reconstructions(ae, X)")
def pca(result: PCAReconstructions, *, image_shape: ImageShape = None) -> Figure:
    """The first examples, their reconstructions by PCA with as many components as the code has dimensions, and by the autoencoder.

    The title says on which examples PCA was fitted. The name of each row gives the mean squared error over all examples, in squared units
    of the data.

    Args:
        result: the result of `isthmus.evaluation.pca_reconstructions`. Its ``n`` is the number of examples it keeps for this figure.
        image_shape: height, width (and channels) to show a row of features as an image.
    """
    width, k = result.n_components, len(result.originals)
    where = "the same examples" if result.n_fitted is None else f"{result.n_fitted:,} training examples"
    rows = {
        "original": result.originals,
        f"PCA, {width} components\nMSE {result.pca_mse:.4g}": result.by_pca,
        f"autoencoder, {result.code_size} dimensions\nMSE {result.mse:.4g}": result.by_autoencoder,
    }
    title = f"PCA fitted on {where}; MSE over {result.n_examples:,} examples, in squared units of the data"
    alt = f"{k} examples, their reconstructions by PCA with {width} components, and by the autoencoder."
    return _draw_rows(result.originals, rows, array_image_shape(result.originals, image_shape), alt, title=title)


def code_size(ae: Autoencoder) -> int:
    """The number of dimensions of the code."""
    return int(np.prod(ae.code_shape_))


def _restoration_rows(
    ae: Autoencoder, X: Any, n: int, random_state: int, image_shape: ImageShape, names: tuple[str, str, str]
) -> Figure:
    """Draws three named rows: corrupted examples, their reconstructions, and the originals."""
    examples = first_examples(X, n)
    corruption = _training_corruption(ae)
    corrupted = ae.corrupt(examples, random_state=random_state)
    rows = dict(zip(names, (corrupted, ae.reconstruct(corrupted), examples), strict=True))
    alt = f"{len(examples)} examples with {corruption} in rows: {names[0]}, {names[1]} by the autoencoder, {names[2]}."
    columns = draws_columns(ae, image_shape)
    if columns is not None:
        marks = [Marks(name, role, rows[name]) for name, role in zip(rows, _RESTORED, strict=True)]
        return draw_table_rows(ae, columns, marks, alt.replace("in rows", "by column"))
    return _draw_rows(examples, rows, model_image_shape(ae, image_shape), alt)


def _training_corruption(ae: Autoencoder) -> str:
    if not ae.corruption_.corrupts:
        raise NotPossibleError(
            "the autoencoder was trained without corruption: draw reconstructions or noise_levels instead"
        )
    return repr(ae.corruption_)


def _draw_rows(
    examples: Any,
    rows: dict[str, Any],
    image_shape: ImageShape,
    alt: str,
    title: str = "",
    rows_per_group: int | None = None,
) -> Figure:
    """Draws named rows of examples, in the range of the originals and in groups of `rows_per_group` rows."""
    cells: Array = np.stack([as_cells(row, image_shape) for row in rows.values()])
    group = (rows_per_group or len(cells), cells.shape[1])
    return grid(cells, limits(examples, image_shape), alt, title=title, rows=list(rows), group=group)
