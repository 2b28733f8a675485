"""A density for sampling codes without a prior: a Gaussian mixture, fitted after training to the codes of examples."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

__all__ = ["MAX_ROWS", "Mixture", "fit"]

Array = NDArray[Any]

MAX_ROWS = 5_000  # codes to which a mixture is fitted
MAX_AXES = 64  # principal axes of the codes
N_COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # numbers of components that are tried
_MIN_ROWS_PER_COMPONENT = 5
_MIN_VARIANCE_RATIO = 1e-10  # of an axis to the first axis; others are rounding errors


@dataclass(frozen=True, eq=False)
class Mixture:
    """A Gaussian mixture with k components on the principal axes of d-dimensional codes.

    Attributes:
        weights: the probabilities of the components, (k,).
        means, covariances_cholesky: of the components, on the a axes: (k, a), and lower triangles L (k, a, a) of the covariances L Lᵀ.
        origin, axes: the mean of the codes (d,), and orthogonal directions (a, d).
        low, high: the minimum and the maximum of each dimension of the codes, (d,).
    """

    weights: Array
    means: Array
    covariances_cholesky: Array
    origin: Array
    axes: Array
    low: Array
    high: Array

    def draw(self, n: int, seed: int) -> Array:
        """Samples codes (n, d), clipped to the range of the fitted codes, so that the outputs of a ReLU stay positive."""
        rng = np.random.default_rng(seed)
        components = rng.choice(len(self.weights), size=n, p=self.weights)
        noise = rng.standard_normal((n, len(self.axes)))
        points = self.means[components] + np.einsum("nij,nj->ni", self.covariances_cholesky[components], noise)
        samples: Array = np.clip(self.origin + points @ self.axes, self.low, self.high)
        return samples


def fit(codes: Array) -> Mixture:
    """The mixture of codes (n, d), after Ghosh et al. 2020, "From variational to deterministic autoencoders".

    The components have full covariances on at most `MAX_AXES` principal axes, which contain nearly all variance unless the code is a large
    map. Their number, from 1 to 32, is that with the lowest Bayesian information criterion (Schwarz 1978).
    """
    values = codes.astype(np.float64)
    origin, low, high = values.mean(0), values.min(0), values.max(0)
    if (low == high).all():  # all codes are equal
        return Mixture(np.ones(1), np.zeros((1, 0)), np.zeros((1, 0, 0)), low, np.zeros((0, len(low))), low, high)
    axes = _axes(values - origin)
    best = _lowest_bic((values - origin) @ axes.T / np.square(axes).sum(1))
    factors = np.linalg.cholesky(best.covariances_)
    return Mixture(best.weights_ / best.weights_.sum(), best.means_, factors, origin, axes, low, high)


def _axes(centered: Array) -> Array:
    """The principal axes with variance, (a, d), all scaled to the first axis' standard deviation."""
    from sklearn.decomposition import PCA  # here, as training and codes do not need it

    max_axes = min(MAX_AXES, *centered.shape)
    pca = PCA(max_axes, svd_solver="covariance_eigh").fit(centered)
    varying = pca.explained_variance_ > _MIN_VARIANCE_RATIO * pca.explained_variance_[0]
    axes: Array = pca.components_[varying] * np.sqrt(pca.explained_variance_[:1])[:, None]
    return axes


def _lowest_bic(points: Array) -> GaussianMixture:
    """The mixture with the lowest information criterion. The search ends when more components do not lower it."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    best, lowest = None, np.inf
    for count in N_COMPONENTS:
        if count > 1 and count * _MIN_ROWS_PER_COMPONENT > len(points):
            break
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # a mixture that has nearly converged is good enough for sampling
            mixture = GaussianMixture(count, random_state=0).fit(points)
        criterion = mixture.bic(points)
        if criterion >= lowest:
            break
        best, lowest = mixture, criterion
    return best
