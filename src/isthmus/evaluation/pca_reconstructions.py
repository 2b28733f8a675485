"""A few examples, reconstructed by PCA of equal width and by the autoencoder, with the error of both."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data import as_examples
from isthmus.data.kinds import as_images
from isthmus.errors import NotPossibleError, RecordError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation.measure import checked
from isthmus.evaluation.pca import principal
from isthmus.results import Result, Table, plain
from isthmus.text import quoted

__all__ = ["PCAReconstructions", "pca_reconstructions"]

Array = NDArray[Any]


@dataclass(frozen=True, repr=False)
class PCAReconstructions(Result):
    """What `pca_reconstructions` measures.

    Attributes:
        n_examples: on how many examples the errors were measured.
        n_fitted: on how many training examples PCA was fitted; None where it was fitted on the examples themselves.
        n_components: the number of principal components.
        code_size: the number of elements of a code.
        pca_mse: mean squared error of PCA over all examples, in squared units of the data.
        mse: the same of the autoencoder.
        originals: the first few examples, (k, *shape).
        by_pca: what PCA makes of them, (k, *shape).
        by_autoencoder: what the autoencoder makes of them, (k, *shape).
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
        found: dict[str, Any] = plain({n: getattr(self, n) for n in self.__dataclass_fields__ if n not in arrays})
        return found

    def table(self) -> Table:
        """A line for PCA and one for the autoencoder."""
        lines = [
            ["PCA", f"{self.n_components:,}", f"{self.pca_mse:.4g}"],
            ["autoencoder", f"{self.code_size:,}", f"{self.mse:.4g}"],
        ]
        return ["method", "code size", "mean squared error"], lines

    def _frame_rows(self) -> list[dict[str, Any]]:
        sizes, errors = (self.n_components, self.code_size), (self.pca_mse, self.mse)
        return [
            {"method": method, "code_size": size, "mse": error}
            for method, size, error in zip(("PCA", "autoencoder"), sizes, errors, strict=True)
        ]


@takes_autoencoder
@check_units_once()
def pca_reconstructions(ae: Autoencoder, X: Any, *, train: Any = None, n: int = 10) -> PCAReconstructions:
    """Compares the reconstructions of examples by the autoencoder with those by a PCA of the code's size.

    PCA sees scaled features, as the autoencoder and `evaluate` do.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape) in the units of the training data, on which the errors are measured.
        train: examples that PCA is fitted on; without them X itself, which favors PCA.
        n: how many examples the result keeps for a figure.

    Returns:
        The errors of both, in squared units of the data, and n examples with their reconstructions.

    Raises:
        NotPossibleError: the code is as large as an example, so PCA would lose nothing.
        DataError: there are no examples, or they are not finite.
        RecordError: n is below 1.
    """
    if n < 1:
        raise RecordError(f"invalid n={quoted(n)}: expected a whole number from 1 on")
    size = math.prod(ae.code_shape_)
    examples = checked(ae, as_examples(X, shape=ae.shape_), "X")
    whole = examples.reshape(len(examples), -1)
    basis = whole if train is None else (fitted := checked(ae, train, "train")).reshape(len(fitted), -1)
    if size >= basis.shape[1]:
        raise NotPossibleError(
            f"PCA with {size:,} components would lose nothing of examples of {basis.shape[1]:,} features: "
            "there is nothing to compare with"
        )
    width = min(size, len(basis) - 1)
    scale = np.broadcast_to(ae.model_.scale.numpy(force=True).astype(np.float64), ae.shape_)
    subspace, _ = principal(basis, scale.ravel(), width)
    lost = subspace.errors(subspace.centered(torch.from_numpy(np.asarray(whole, np.float64)))) * subspace.scale
    by_pca = whole - lost.numpy()
    few = examples[:n]
    return PCAReconstructions(
        n_examples=len(whole),
        n_fitted=None if train is None else len(basis),
        n_components=width,
        code_size=size,
        pca_mse=float(np.mean((by_pca - whole) ** 2)),
        mse=float(np.mean(ae.reconstruction_error(examples))),
        originals=as_images(few) if ae.kind_ == "images" else few,
        by_pca=by_pca[:n].reshape(few.shape),
        by_autoencoder=ae.reconstruct(few),
    )
