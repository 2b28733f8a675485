"""Codes in two dimensions: PCA with NumPy, t-SNE with scikit-learn, UMAP with umap-learn."""

from __future__ import annotations

import warnings
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import NotPossibleError

__all__ = ["MAPS", "map_of", "principal_components"]

Array = NDArray[Any]
MAPS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
_FEWEST = 5  # points of t-SNE and UMAP
_ONE_AT_A_TIME = Lock()  # of the maps that take long, whatever the number of models and pages


def map_of(kind: str, codes: Array) -> Array:
    """Positions of codes.

    Args:
        kind: of `MAPS`.
        codes: (n, d).

    Returns:
        (n, 2), centered, the farthest at a distance of about 1 along an axis.

    Raises:
        NotPossibleError: there are too few codes, or a package is missing.
    """
    points = principal_components(codes)[0] if kind == "pca" else _neighbor_map(kind, codes)
    centered: Array = points - (points.min(0) + points.max(0)) / 2
    return np.asarray(centered / max(float(np.abs(centered).max()), 1e-12))


def principal_components(codes: Array) -> tuple[Array, Array]:
    """The first two principal components.

    Args:
        codes: (n, d).

    Returns:
        Positions (n, 2), and the share of the variance along each axis (2,). The signs are such that the largest weight is positive.
    """
    centered = codes.astype(np.float64) - codes.mean(0)
    wide = centered.shape[1] > centered.shape[0]
    values, vectors = np.linalg.eigh(centered @ centered.T if wide else centered.T @ centered)
    values, vectors = values[::-1][:2].clip(0), vectors[:, ::-1][:, :2]
    points = vectors * np.sqrt(values) if wide else centered @ vectors
    points = points * np.sign(points[np.abs(points).argmax(0), np.arange(points.shape[1])] + 1e-300)
    shares = values / max(float((centered**2).sum()), 1e-300)
    lacking = 2 - points.shape[1]
    return np.pad(points, ((0, 0), (0, lacking))), np.pad(shares, (0, lacking))


def _neighbor_map(kind: str, codes: Array) -> Array:
    """t-SNE or UMAP, from the principal components, with a fixed random state."""
    name, count = MAPS[kind], len(codes)
    if count < _FEWEST:
        raise NotPossibleError(f"{name} needs at least {_FEWEST} examples, and there are {count}: use PCA")
    try:
        with _ONE_AT_A_TIME, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fixed random state is slower, says umap-learn
            if kind == "tsne":
                from sklearn.manifold import TSNE

                perplexity = min(30.0, (count - 1) / 3)
                return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(codes))
            from umap import UMAP

            return np.asarray(UMAP(n_neighbors=min(15, count - 1), random_state=0).fit_transform(codes))
    except ModuleNotFoundError as error:
        package = {"umap": "umap-learn", "sklearn": "scikit-learn"}.get(str(error.name), str(error.name))
        raise NotPossibleError(f"{name} needs {package}, which is not installed: pip install {package}") from None
