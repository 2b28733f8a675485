"""Metrics: errors, PSNR, structural similarity and cross-entropy of arrays of equal shape (n, *shape), PCA as a baseline, and rankings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.sparse_rows import is_sparse
from isthmus.data.validation import as_examples
from isthmus.errors import DataError, RecordError
from isthmus.nn.principal import principal_components

__all__ = [
    "WINDOW",
    "bernoulli_entropy",
    "cross_entropies",
    "cross_entropy",
    "entropies",
    "mean_squared_error",
    "ndcg_at_k",
    "pca_error",
    "pca_reconstruction",
    "principal_components",
    "psnr",
    "recall_at_k",
    "structural_similarities",
]

WINDOW = 11
"""The width of the window of a structural similarity, in pixels (Wang et al. 2004)."""

Array = NDArray[Any]
_EPSILON = 1e-7  # probabilities are clipped to [epsilon, 1 - epsilon]
_TINY = 1e-300  # keeps the logarithm finite, so that 0 log 0 is 0
_SIGMA = 1.5  # standard deviation of the window's weights, in pixels


def mean_squared_error(x: Array, y: Array) -> float:
    """The mean of (x - y)², in squared units of x.

    Args:
        x: examples, of any shape.
        y: their reconstructions, of the same shape.
    """
    return float(np.square(x.astype(np.float64) - y).mean())


def psnr(error: float, data_range: float) -> float:
    """Peak signal-to-noise ratio, 10 log10(data_range² / mean squared error).

    Args:
        error: mean squared error, in squared units of the data.
        data_range: range of the data, in units of the data.

    Returns:
        The ratio in dB; infinite for zero error.
    """
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def structural_similarities(x: Tensor, y: Tensor, data_range: float) -> Tensor:
    """SSIM of images: 1 for equal images (Wang, Bovik, Sheikh & Simoncelli 2004).

    Means, variances and covariance are taken in a Gaussian window of 11 x 11 pixels with a standard deviation of 1.5 pixels. The
    result is the mean over all positions of the window within the image, and over the channels.

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
    """The weighted mean in the window at each position within the image: (n, h, w) -> (n, h - 10, w - 10)."""
    weights = [math.exp(-0.5 * ((i - WINDOW // 2) / _SIGMA) ** 2) for i in range(WINDOW)]
    for axis in (1, 2):
        length = x.shape[axis] - WINDOW + 1
        total = x.narrow(axis, 0, length) * (weights[0] / sum(weights))
        for i in range(1, WINDOW):
            total.add_(x.narrow(axis, i, length), alpha=weights[i] / sum(weights))
        x = total
    return x


def cross_entropies(x: Tensor, p: Tensor) -> Tensor:
    """Binary cross-entropies, -(x log p + (1 - x) log(1 - p)) of each value. p is clipped to [1e-7, 1 - 1e-7].

    Args:
        x: values in [0, 1], of any shape.
        p: probabilities in [0, 1], of the same shape.

    Returns:
        Nats, of the same shape.
    """
    p = p.clamp(_EPSILON, 1 - _EPSILON)
    return -(x * p.log() + (1 - x) * torch.log1p(-p))


def entropies(x: Tensor) -> Tensor:
    """Bernoulli entropies: the lower bound of `cross_entropies`, reached at p = x.

    Args:
        x: values in [0, 1], of any shape.

    Returns:
        Nats, of the same shape.
    """
    return -sum((p * p.clamp_min(_TINY).log() for p in (x, 1 - x)), torch.zeros_like(x))


def cross_entropy(x: Array, p: Array) -> float:
    """The mean of `cross_entropies` over all values.

    Args:
        x: values in [0, 1], of any shape.
        p: probabilities in [0, 1], of the same shape.

    Returns:
        Nats per dimension.
    """
    return float(cross_entropies(*(torch.tensor(side, dtype=torch.float64, device="cpu") for side in (x, p))).mean())


def bernoulli_entropy(x: Array) -> float:
    """The mean of `entropies`: the lower bound of `cross_entropy` for these x.

    Args:
        x: values in [0, 1], of any shape.

    Returns:
        Nats per dimension.
    """
    return float(entropies(torch.tensor(x, dtype=torch.float64, device="cpu")).mean())


def pca_reconstruction(train: Array, test: Array, size: int, scale: Array | float = 1.0) -> Array:
    """Reconstructs the test examples by the first ``size`` principal components of the training examples.

    Args:
        train: examples (m, *shape) that PCA is fitted on.
        test: examples (n, *shape) to reconstruct.
        size: number of components.
        scale: divisor of all features, or of each feature, before PCA.

    Returns:
        Reconstructions (n, *shape), in the units of the examples.
    """
    fitted, rows, unit = train.reshape(len(train), -1), test.reshape(len(test), -1), np.reshape(scale, -1)
    mean = fitted.mean(axis=0, dtype=np.float64)  # subtracted in double precision: columns may be far from zero
    pca = principal_components(((fitted - mean) / unit).astype(np.float32), min(size, *fitted.shape))
    reconstructed: Array = pca.inverse_transform(pca.transform(((rows - mean) / unit).astype(np.float32))) * unit + mean
    return reconstructed.reshape(test.shape)


def pca_error(train: Array, test: Array, size: int) -> float:
    """The mean squared error of PCA with ``size`` components on the test examples, in squared units of the data.

    Args:
        train: examples (m, *shape) that PCA is fitted on.
        test: examples (n, *shape) that the error is measured on.
        size: number of components.
    """
    return mean_squared_error(test, pca_reconstruction(train, test, size))


def recall_at_k(scores: Array, held_out: Any, k: int = 20, *, seen: Any = None) -> NDArray[np.float64]:
    """The recall of k recommended items: the number of held-out items among them / min(k, number of held-out items).

    From Liang et al. 2018, "Variational autoencoders for collaborative filtering".

    Args:
        scores: the score of each item for each user (n, items), such as the reconstruction of the items that the user has; the largest
            is recommended first. Of equal scores the earlier item comes first.
        held_out: the items to find (n, items), an array or a sparse matrix: all that are not 0.
        k: the number of recommended items.
        seen: the items that a user has already (n, items), likewise; they are not recommended. None: there are none.

    Returns:
        (n,), from 0 to 1; NaN for a user without held-out items. `numpy.nanmean` gives the figure of a table.

    Raises:
        DataError: the shapes differ, a score is NaN, or an item is both seen and held out.
        RecordError: k is below 1.

    Examples:
        >>> scores = np.array([[0.9, 0.5, 0.4, 0.1]])
        >>> metrics.recall_at_k(scores, np.array([[0, 1, 0, 1]]), k=2, seen=np.array([[1, 0, 0, 0]]))
        array([0.5])
    """
    hits, relevant = _hits(scores, held_out, k, seen)
    with np.errstate(invalid="ignore"):
        recall: NDArray[np.float64] = hits.sum(1) / np.minimum(k, relevant)
    return recall


def ndcg_at_k(scores: Array, held_out: Any, k: int = 100, *, seen: Any = None) -> NDArray[np.float64]:
    """The normalized discounted cumulative gain of k recommended items: a held-out item at rank r counts 1 / log2(r + 1).

    The sum is divided by that of an ideal ranking, so that it is 1 if all held-out items come first (Järvelin & Kekäläinen 2002; Liang et
    al. 2018).

    Args:
        scores, held_out, k, seen: as for `recall_at_k`.

    Returns:
        (n,), from 0 to 1; NaN for a user without held-out items.

    Raises:
        DataError, RecordError: as for `recall_at_k`.

    Examples:
        >>> metrics.ndcg_at_k(np.array([[0.9, 0.5, 0.4, 0.1]]), np.array([[1, 0, 1, 0]]), k=3).round(3)
        array([0.92])
    """
    hits, relevant = _hits(scores, held_out, k, seen)
    gains = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(hits.shape[1], relevant)]
    with np.errstate(invalid="ignore"):
        ndcg: NDArray[np.float64] = (hits * gains).sum(1) / ideal
    return ndcg


def _hits(scores: Array, held_out: Any, k: int, seen: Any) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each of the first items is held out (n, at most k), and the number of held-out items (n,)."""
    if k < 1:
        raise RecordError(f"invalid k={k}: expected at least 1, the number of recommended items")
    ranked, wanted = np.array(as_examples(scores).values, np.float64), _marked(held_out)
    excluded = np.zeros_like(wanted) if seen is None else _marked(seen)
    if not ranked.shape == wanted.shape == excluded.shape:
        shapes = f"scores {ranked.shape}, held_out {wanted.shape}" + (
            "" if seen is None else f", seen {excluded.shape}"
        )
        raise DataError(f"the shapes differ ({shapes}): pass a row for each user and a column for each item")
    both = np.argwhere(wanted & excluded)
    if len(both):
        user, item = both[0].tolist()
        raise DataError(f"item {item} of user {user} is both seen and held out: leave it out of one of them")
    ranked[excluded] = -np.inf
    first = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(wanted, first, axis=1), wanted.sum(1)


def _marked(items: Any) -> NDArray[np.bool_]:
    """Which items (n, items) are not 0."""
    values = np.asarray(as_examples(items).values if is_sparse(items) else items)
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise DataError("items contain NaN: give 0 where an item is not marked (NaN is neither marked nor unmarked)")
    marked: NDArray[np.bool_] = values != 0
    return marked
