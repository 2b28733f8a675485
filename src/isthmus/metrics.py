"""Figures of one number each, for arrays of equal shape (n, *shape)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

__all__ = [
    "bernoulli_entropy",
    "cross_entropy",
    "mean_squared_error",
    "pca_error",
    "pca_reconstruction",
    "principal_components",
    "psnr",
]

Array = NDArray[Any]
_WIDE, _WIDER = 1000, 5000  # numbers, from which on all components of a covariance take seconds, and minutes
_FEW = 64  # components that are faster found one by one


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


def principal_components(centered: NDArray[np.float32], size: int) -> PCA:
    """The first ``size`` principal components of centered examples (n, d), whose memory it takes.

    They are exact, but for those of many components of very wide examples.
    """
    from sklearn.decomposition import PCA

    numbers = centered.shape[1]
    if numbers < _WIDE or size >= min(centered.shape):
        solver = "covariance_eigh"
    elif size <= _FEW:
        solver = "arpack"
    else:
        solver = "covariance_eigh" if numbers < _WIDER else "randomized"
    return PCA(size, svd_solver=solver, random_state=0, copy=False).fit(centered)


def pca_reconstruction(train: Array, test: Array, size: int) -> Array:
    """The test examples from their first ``size`` principal components of the training examples, in the same units (n, *shape)."""
    fitted, rows = train.reshape(len(train), -1), test.reshape(len(test), -1)
    mean = fitted.mean(axis=0, dtype=np.float64)  # taken off in full precision: columns may be far from zero
    pca = principal_components((fitted - mean).astype(np.float32), min(size, *fitted.shape))
    back: Array = pca.inverse_transform(pca.transform((rows - mean).astype(np.float32))) + mean
    return back.reshape(test.shape)


def pca_error(train: Array, test: Array, size: int) -> float:
    """The mean squared error that PCA of equal width leaves on the test examples, in squared units of theirs."""
    return mean_squared_error(test, pca_reconstruction(train, test, size))
