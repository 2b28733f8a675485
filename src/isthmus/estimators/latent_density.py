"""A density for codes that have no prior: a mixture of normals, fitted to the codes of examples after training."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

__all__ = ["ROWS", "Mixture", "fit"]

Array = NDArray[Any]

ROWS = 5_000  # codes that a mixture is fitted to at most
AXES = 64  # principal axes of the codes that it spreads along at most
COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # as many normals are tried
_EACH = 5  # codes for each normal, at least
_NONE = 1e-10  # the share of the variance from which on an axis is one


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of k normals on the principal axes of codes of d numbers.

    Attributes:
        shares: how often each normal is drawn, (k,); their sum is 1.
        means, roots: of each normal on the axes, (k, a), and the lower triangle L (k, a, a) of its covariance L Lᵀ.
        origin, axes: the mean of the codes (d,), and a orthogonal directions (a, d).
        low, high: the least and the greatest number that the codes have in each place, (d,).
    """

    shares: Array
    means: Array
    roots: Array
    origin: Array
    axes: Array
    low: Array
    high: Array

    def draw(self, n: int, seed: int) -> Array:
        """New codes (n, d), no number beyond those of the codes that it was fitted to: what a ReLU gave stays positive."""
        rng = np.random.default_rng(seed)
        which = rng.choice(len(self.shares), size=n, p=self.shares)
        noise = rng.standard_normal((n, len(self.axes)))
        positions = self.means[which] + np.einsum("nij,nj->ni", self.roots[which], noise)
        drawn: Array = np.clip(self.origin + positions @ self.axes, self.low, self.high)
        return drawn


def fit(codes: Array) -> Mixture:
    """The mixture of codes (n, d), after Ghosh et al. 2020, "From variational to deterministic autoencoders".

    Normals with covariances of their own, on at most `AXES` principal axes of the codes, which hold nearly all of a code's variance
    unless it is a large map. Of 1, 2, 3, 4, 6, ... 32 normals so many as have the least Bayesian information criterion (Schwarz 1978).
    """
    values = codes.astype(np.float64)
    origin, low, high = values.mean(0), values.min(0), values.max(0)
    if (low == high).all():  # nothing varies
        return Mixture(np.ones(1), np.zeros((1, 0)), np.zeros((1, 0, 0)), low, np.zeros((0, len(low))), low, high)
    axes = _axes(values - origin)
    best = _least((values - origin) @ axes.T / np.square(axes).sum(1))
    roots = np.linalg.cholesky(best.covariances_)
    return Mixture(best.weights_ / best.weights_.sum(), best.means_, roots, origin, axes, low, high)


def _axes(centered: Array) -> Array:
    """The principal axes along which there is anything, all as long as the first one's standard deviation."""
    most = min(AXES, *centered.shape)
    pca = PCA(most, svd_solver="covariance_eigh").fit(centered)
    kept = pca.explained_variance_ > _NONE * pca.explained_variance_[0]
    axes: Array = pca.components_[kept] * np.sqrt(pca.explained_variance_[:1])[:, None]
    return axes


def _least(points: Array) -> GaussianMixture:
    """The mixture of least information criterion; the search ends where more normals do not help."""
    best, least = None, np.inf
    for count in COMPONENTS:
        if count > 1 and count * _EACH > len(points):
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # nearly converged is good enough to draw from
            mixture = GaussianMixture(count, random_state=0).fit(points)
        criterion = mixture.bic(points)
        if criterion >= least:
            break
        best, least = mixture, criterion
    return best
