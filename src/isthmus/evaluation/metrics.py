"""Figures of one number each, for arrays of equal shape (n, *shape)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

__all__ = [
    "WINDOW",
    "bernoulli_entropy",
    "cross_entropies",
    "cross_entropy",
    "entropies",
    "mean_squared_error",
    "pca_error",
    "pca_reconstruction",
    "principal_components",
    "psnr",
    "structural_similarities",
]

WINDOW = 11
"""The width of the window of a structural similarity, in pixels (Wang et al. 2004)."""

Array = NDArray[Any]
_WIDE, _WIDER = 1000, 5000  # numbers, from which on all components of a covariance take seconds, and minutes
_OFF = 1e-7  # how far from 0 and 1 a probability is kept
_TINY = 1e-300  # whose logarithm is finite: 0 log 0 is 0
_SIGMA = 1.5  # pixels: the deviation of its weights
_FEW = 64  # components that are faster found one by one


def mean_squared_error(x: Array, y: Array) -> float:
    """The mean of (x - y)², in squared units of x.

    Args:
        x: examples, of any shape.
        y: their reconstructions, of the same shape.
    """
    return float(np.square(x.astype(np.float64) - y).mean())


def psnr(error: float, data_range: float) -> float:
    """Peak signal-to-noise ratio in decibels: 10 log10(span² / mean squared error); infinite where there is no error.

    Args:
        error: the mean squared error.
        data_range: the range of the data, in the unit whose square the error has.

    Returns:
        Decibels.
    """
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def structural_similarities(x: Tensor, y: Tensor, data_range: float) -> Tensor:
    """SSIM of pictures (n, h, w) or (n, h, w, c): (n,), 1 for equal ones, without unit (Wang, Bovik, Sheikh & Simoncelli 2004).

    Means, variances and covariance are those within a Gaussian window of 11 x 11 pixels and a deviation of 1.5, wherever it lies
    within the picture; the mean is over all such places, and over the channels.

    Args:
        x: images (n, h, w) or (n, h, w, c).
        y: images of the same shape.
        data_range: the range of the data, in the same unit.

    Returns:
        (n,), at most 1, without unit.
    """
    n = len(x)
    x, y = (side.movedim(-1, 1).flatten(0, 1) if side.ndim == 4 else side for side in (x, y))
    mean_x, mean_y = _windowed(x), _windowed(y)
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    covariance = _windowed(x * y) - product
    variances = _windowed(x.square() + y.square()) - squares
    light, contrast = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    positions = (2 * product + light) * (2 * covariance + contrast) / ((squares + light) * (variances + contrast))
    return positions.flatten(1).mean(1).reshape(n, -1).mean(1)


def _windowed(x: Tensor) -> Tensor:
    """The weighted mean in the window around each place where it fits: (n, h, w) -> (n, h - 10, w - 10)."""
    weights = [math.exp(-0.5 * ((i - WINDOW // 2) / _SIGMA) ** 2) for i in range(WINDOW)]
    for axis in (1, 2):
        length = x.shape[axis] - WINDOW + 1
        total = x.narrow(axis, 0, length) * (weights[0] / sum(weights))
        for i in range(1, WINDOW):
            total.add_(x.narrow(axis, i, length), alpha=weights[i] / sum(weights))
        x = total
    return x


def cross_entropies(x: Tensor, p: Tensor) -> Tensor:
    """-(x log p + (1 - x) log(1 - p)) of each number, in nats; x and p lie in [0, 1], p is kept 1e-7 off the ends.

    Args:
        x: values in [0, 1], of any shape.
        p: probabilities in [0, 1], of the same shape.

    Returns:
        Nats, of the same shape.
    """
    p = p.clamp(_OFF, 1 - _OFF)
    return -(x * p.log() + (1 - x) * torch.log1p(-p))


def entropies(x: Tensor) -> Tensor:
    """The least that `cross_entropies` can be, at p = x.

    Args:
        x: values in [0, 1], of any shape.

    Returns:
        Nats, of the same shape.
    """
    return -sum((share * share.clamp_min(_TINY).log() for share in (x, 1 - x)), torch.zeros_like(x))


def cross_entropy(x: Array, p: Array) -> float:
    """The mean of `cross_entropies` over all numbers.

    Args:
        x: values in [0, 1], of any shape.
        p: probabilities in [0, 1], of the same shape.

    Returns:
        Nats per dimension.
    """
    return float(cross_entropies(*(torch.tensor(side, dtype=torch.float64, device="cpu") for side in (x, p))).mean())


def bernoulli_entropy(x: Array) -> float:
    """The mean of `entropies`: the least that `cross_entropy` can be for these x.

    Args:
        x: values in [0, 1], of any shape.

    Returns:
        Nats per dimension.
    """
    return float(entropies(torch.tensor(x, dtype=torch.float64, device="cpu")).mean())


def principal_components(centered: NDArray[np.float32], size: int) -> PCA:
    """The first ``size`` principal components of centered examples (n, d), whose memory it takes.

    They are exact, but for those of many components of very wide examples.

    Args:
        centered: examples (n, d), whose mean is 0.
        size: the number of components.
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


def pca_reconstruction(train: Array, test: Array, size: int, scale: Array | float = 1.0) -> Array:
    """The test examples from their first ``size`` principal components of the training examples, in the same units (n, *shape).

    Args:
        train: examples (m, *shape) that PCA is fitted on.
        test: examples (n, *shape) to reconstruct.
        size: the number of components.
        scale: what numbers are divided by before components are looked for: one for all, or one for each of an example's.
    """
    fitted, rows, unit = train.reshape(len(train), -1), test.reshape(len(test), -1), np.reshape(scale, -1)
    mean = fitted.mean(axis=0, dtype=np.float64)  # taken off in full precision: columns may be far from zero
    pca = principal_components(((fitted - mean) / unit).astype(np.float32), min(size, *fitted.shape))
    back: Array = pca.inverse_transform(pca.transform(((rows - mean) / unit).astype(np.float32))) * unit + mean
    return back.reshape(test.shape)


def pca_error(train: Array, test: Array, size: int) -> float:
    """The mean squared error that PCA of equal width leaves on the test examples, in squared units of theirs.

    Args:
        train: examples (m, *shape) that PCA is fitted on.
        test: examples (n, *shape) that the error is measured on.
        size: the number of components.
    """
    return mean_squared_error(test, pca_reconstruction(train, test, size))
