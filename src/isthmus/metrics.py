"""Figures of one number each, for arrays of equal shape (n, *shape)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bernoulli_entropy", "cross_entropy", "mean_squared_error", "pca_error", "pca_reconstruction", "psnr"]

Array = NDArray[Any]


def mean_squared_error(x: Array, y: Array) -> float:
    """The mean of (x - y)², in squared units of x."""
    return float(np.square(x.astype(np.float64) - y).mean())


def psnr(error: float, span: float) -> float:
    """Peak signal-to-noise ratio in decibels: 10 log10(span² / mean squared error); infinite where there is no error."""
    return math.inf if error == 0 else 10 * math.log10(span**2 / error)


def cross_entropy(x: Array, p: Array) -> float:
    """The mean over all numbers of -(x log p + (1 - x) log(1 - p)), in nats; x and p lie in [0, 1], p is kept 1e-7 off the ends."""
    p = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-(x * np.log(p) + (1 - x) * np.log1p(-p)).mean())


def bernoulli_entropy(x: Array) -> float:
    """The least that `cross_entropy` can be for these x: at p = x."""
    inside = x[(x > 0) & (x < 1)].astype(np.float64)
    return float(-(inside * np.log(inside) + (1 - inside) * np.log1p(-inside)).sum() / x.size)


def pca_reconstruction(train: Array, test: Array, size: int) -> Array:
    """The test examples from their first ``size`` principal components of the training examples, in the same units (n, *shape)."""
    from sklearn.decomposition import PCA

    fitted, rows = train.reshape(len(train), -1), test.reshape(len(test), -1)
    mean = fitted.mean(axis=0, dtype=np.float64)  # taken off in full precision: columns may be far from zero
    solver = "covariance_eigh" if fitted.shape[1] < 5000 else "randomized"
    pca = PCA(min(size, *fitted.shape), svd_solver=solver, random_state=0).fit((fitted - mean).astype(np.float32))
    back: Array = pca.inverse_transform(pca.transform((rows - mean).astype(np.float32))) + mean
    return back.reshape(test.shape)


def pca_error(train: Array, test: Array, size: int) -> float:
    """The mean squared error that PCA of equal width leaves on the test examples, in squared units of theirs."""
    return mean_squared_error(test, pca_reconstruction(train, test, size))
