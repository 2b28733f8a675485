"""Squared reconstruction errors of features, which are finite for examples of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.context_array import without_subclass
from isthmus.data.missing import count_observed, nansum
from isthmus.data.validation import blocks
from isthmus.estimators.overflow import ComputableRange
from isthmus.training.batches import to_tensor

if TYPE_CHECKING:
    from isthmus.estimators.autoencoder import Autoencoder

__all__ = ["MOST", "bounded_reconstructions", "feature_errors", "squared_errors"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]

MOST = float(
    np.finfo(np.float32).max
)  # of an error, and of a negative log-likelihood; examples beyond it are ordered by their distance


def bounded_reconstructions(ae: Autoencoder, values: Array) -> Array:
    """Reconstructions in raw units, (n, *shape). They are the center if an example is too large to compute with."""
    reconstructions, center = ae._reconstructed(values, "all"), ae.model_.shift.numpy(force=True)
    outside = ComputableRange.examples(ae.model_).outside(values).reshape(len(values), -1).any(1)
    valid = np.isfinite(reconstructions) & ~outside.reshape(-1, *[1] * (reconstructions.ndim - 1))
    return np.where(valid, reconstructions, center)


def squared_errors(ae: Autoencoder, values: Array) -> Doubles:
    """The squared error of each value, (n, *shape), in squared model units: at most `MOST`, and NaN for missing values.

    A category has the error 1 if it is reconstructed as another one, else 0.
    """
    model, values = ae.model_, without_subclass(values)
    with np.errstate(over="ignore", invalid="ignore"):
        made, true = bounded_reconstructions(ae, values), values.astype(np.float64)
        raw = (to_tensor(side).to(model.device) for side in (made, true))
        errors = np.square(model.differences(*raw).numpy(force=True))
        bounded: Doubles = np.where(errors <= MOST, errors, np.where(np.isnan(values), np.nan, MOST))
    return bounded


def feature_errors(ae: Autoencoder, values: Array) -> Doubles:
    """The mean of `squared_errors` over the observed values of each feature, (*shape); 0 without observed values."""
    sums, counts = np.zeros(ae.shape_), np.zeros(ae.shape_)
    for _, block in blocks(values):
        errors = squared_errors(ae, block)
        sums, counts = sums + nansum(errors, 0), counts + count_observed(errors, 0)
    return sums / np.maximum(counts, 1)
