"""The metrics that tutorials print, each with one definition.

Pixels are in [0, 1] in every metric here, whatever the units of the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.corruptions import GaussianNoise
from isthmus.data import Dataset
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation.corruption_levels import LEVELS
from isthmus.evaluation.metrics import pca_error
from isthmus.evaluation.robustness_curve import robustness

__all__ = ["METRICS", "held_out"]


def held_out(dataset: Dataset) -> NDArray[np.generic]:
    """The test examples, which every data set of the tutorials has."""
    assert dataset.test is not None, "the tutorials' data sets have a test part"
    return dataset.test


def _valid(ae: Autoencoder) -> float:
    valid = ae.history_[-1].val_loss
    assert valid is not None, "the tutorials are trained with a validation set"
    return valid


def _error(ae: Autoencoder, given: NDArray[np.generic], clean: NDArray[np.generic]) -> float:
    """Mean squared error of the reconstructions of the given examples against the clean ones, pixels in [0, 1]."""
    with check_units_once():
        ae.encode(clean[:3])  # units are judged by these: a corruption does not change them
        difference = (ae.reconstruct(given) - clean.astype(np.float32)) / 255
    return float(np.square(difference, dtype=np.float64).mean())


def _corrupted_error(ae: Autoencoder, dataset: Dataset) -> float:
    test = held_out(dataset)
    return float(np.square((ae.corrupt(test) - test.astype(np.float32)) / 255, dtype=np.float64).mean())


def _baseline_error(name: str) -> Callable[[Autoencoder, Dataset], float]:
    """The error of a baseline on the test images, corrupted once as in training."""

    def error(ae: Autoencoder, data: Dataset) -> float:
        level = getattr(ae.corruption_, LEVELS[type(ae.corruption_)].field)
        only: dict[str, Any] = {"levels": level, "baselines": [name], "draws": 1, "n": len(held_out(data))}
        result = robustness(ae, held_out(data), train=data.train, **only)
        return next(each.mse for each in result.figures if each.method == name) / 255**2

    return error


def _error_at(std: float) -> Callable[[Autoencoder, Dataset], float]:
    """The error on test images with Gaussian noise of another standard deviation."""
    return lambda ae, data: _error(ae, ae.corrupt(held_out(data), corruption=GaussianNoise(std)), held_out(data))


METRICS: dict[str, Callable[[Autoencoder, Dataset], float]] = {
    # the running mean over the last epoch, as Keras reports it
    "loss per pixel": lambda ae, _: ae.history_[-1].loss / math.prod(ae.shape_),
    "loss per digit": lambda ae, _: ae.history_[-1].loss,
    # the same loss on the test images, corrupted too where training corrupts
    "test per pixel": lambda ae, _: _valid(ae) / math.prod(ae.shape_),
    "test per digit": lambda ae, _: _valid(ae),
    "mean code": lambda ae, data: float(ae.encode(held_out(data)).mean()),
    "parameters": lambda ae, _: ae.n_parameters_,
    "encoder parameters": lambda ae, _: sum(p.numel() for p in ae.model_.encoder.parameters()),
    "decoder parameters": lambda ae, _: sum(p.numel() for p in ae.model_.decoder.parameters()),
    # mean squared errors on the test images: from clean input, and from corrupted
    "test MSE": lambda ae, data: _error(ae, held_out(data), held_out(data)),
    "restored MSE": lambda ae, data: _error(ae, np.asarray(ae.corrupt(held_out(data))), held_out(data)),
    **{f"restored MSE at {std}": _error_at(std) for std in (0.3, 0.7, 1.0)},
    # and of the corrupted images themselves, and of baselines without a network
    "corrupted MSE": _corrupted_error,
    "occluded MSE": _corrupted_error,
    "training mean's MSE": _baseline_error("training mean"),
    "ridge regression's MSE": _baseline_error("ridge regression"),
    "PCA's test MSE": lambda ae, data: pca_error(data.train, held_out(data), math.prod(ae.code_shape_)) / 255**2,
}
