# ruff: noqa: ARG001  (takes_autoencoder gives the labels y to the examples X)
"""Compares reconstructions by PCA of equal width with those by the autoencoder: `pca_reconstructions`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isthmus.data import as_examples
from isthmus.data.context_array import dense
from isthmus.data.kinds import as_images
from isthmus.data.validation import blocks
from isthmus.errors import NotPossibleError, RecordError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.table_columns import table_columns
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation.examples import check_examples
from isthmus.evaluation.pca import principal
from isthmus.results import Result, Table, plain
from isthmus.text import quoted
from isthmus.training.batches import to_tensor

__all__ = ["PCAReconstructions", "pca_reconstructions"]

Array = NDArray[Any]


@dataclass(frozen=True, repr=False)
class PCAReconstructions(Result):
    """The result of `pca_reconstructions`.

    Attributes:
        n_examples: number of examples on which the errors were measured.
        n_fitted: number of training examples that PCA was fitted on; None where it was fitted on the examples themselves.
        n_components: number of principal components.
        code_size: dimension of a code.
        pca_mse: mean squared error of PCA over all examples, in squared units of the data.
        mse: the same for the autoencoder.
        originals: the first examples, (k, *shape).
        by_pca: their reconstructions by PCA, (k, *shape).
        by_autoencoder: their reconstructions by the autoencoder, (k, *shape).
    """

    _figure: ClassVar[str] = "pca"

    n_examples: int
    n_fitted: int | None
    n_components: int
    code_size: int
    pca_mse: float
    mse: float
    originals: Array = field(repr=False, compare=False)
    by_pca: Array = field(repr=False, compare=False)
    by_autoencoder: Array = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values, without the examples."""
        arrays = {"originals", "by_pca", "by_autoencoder"}
        figures: dict[str, Any] = plain(
            {each.name: getattr(self, each.name) for each in fields(self) if each.name not in arrays}
        )
        return figures

    def table(self) -> Table:
        """A row for PCA and one for the autoencoder."""
        rows = [
            ["PCA", f"{self.n_components:,}", f"{self.pca_mse:.4g}"],
            ["autoencoder", f"{self.code_size:,}", f"{self.mse:.4g}"],
        ]
        return ["method", "code size", "mean squared error"], rows

    def _frame_rows(self) -> list[dict[str, Any]]:
        sizes, errors = (self.n_components, self.code_size), (self.pca_mse, self.mse)
        return [
            {"method": method, "code_size": size, "mse": error}
            for method, size, error in zip(("PCA", "autoencoder"), sizes, errors, strict=True)
        ]


@takes_autoencoder
@check_units_once()
def pca_reconstructions(
    ae: Autoencoder, X: Any, y: Any = None, *, train: Any = None, n: int = 10
) -> PCAReconstructions:
    """Compares the reconstructions of examples by the autoencoder with those by PCA of equal width.

    PCA is applied to scaled features, as in `evaluate`.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape) in the units of the training data, on which the errors are measured.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        train: examples that PCA is fitted on; None for X itself, which favors PCA.
        n: number of examples that the result stores for a figure.

    Returns:
        The errors of both, in squared units of the data, and n examples with their reconstructions.

    Raises:
        NotPossibleError: the code is as large as an example, so the error of PCA would be 0.
        DataError: there are no examples, or they are not finite.
        RecordError: n is below 1.
    """
    if n < 1:
        raise RecordError(f"invalid n={quoted(n)}: expected an integer of at least 1")
    size = math.prod(ae.code_shape_)
    if (columns := table_columns(ae)) is not None and columns.encoded:
        raise NotPossibleError(
            "PCA takes numbers, and the table has columns of other kinds: use column_figures or the figure column_errors, which compare "
            "with PCA by column"
        )
    examples = check_examples(ae, as_examples(X, shape=ae.shape_), "X")
    flat = examples.reshape(len(examples), -1)
    training = flat if train is None else (fitted := check_examples(ae, train, "train")).reshape(len(fitted), -1)
    if size >= training.shape[1]:
        raise NotPossibleError(
            f"PCA with {size:,} components reconstructs examples of {training.shape[1]:,} features without error: "
            "there is nothing to compare with"
        )
    n_components = min(size, len(training) - 1)
    scale = np.broadcast_to(ae.model_.scale.numpy(force=True).astype(np.float64), ae.shape_)
    subspace, _ = principal(training, scale.ravel(), n_components)

    def pca_errors(rows: Array) -> Array:
        errors = subspace.errors(subspace.centered(to_tensor(np.asarray(rows, np.float64)))) * subspace.scale
        return np.asarray(errors.numpy())

    first = dense(examples[:n])
    return PCAReconstructions(
        n_examples=len(flat),
        n_fitted=None if train is None else len(training),
        n_components=n_components,
        code_size=size,
        pca_mse=float(sum(np.square(pca_errors(block)).sum() for _, block in blocks(flat)) / flat.size),
        mse=float(np.mean(ae.reconstruction_error(examples))),
        originals=as_images(first) if ae.kind_ == "images" else np.asarray(first),
        by_pca=(dense(flat[:n]) - pca_errors(flat[:n])).reshape(first.shape),
        by_autoencoder=ae.reconstruct(first),
    )
