"""Principal components of examples, by the solver that is fastest for their sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

__all__ = ["principal_components"]

_WIDE, _VERY_WIDE = 1000, 5000  # features, from which a full eigendecomposition takes seconds, and minutes
_MAX_ARPACK_COMPONENTS = 64  # up to which ARPACK is faster


def principal_components(centered: NDArray[np.float32], size: int) -> PCA:
    """Fits PCA to centered examples (n, d). The array is overwritten.

    The components are exact, except for more than 64 components of examples with at least 5,000 features.

    Args:
        centered: examples (n, d), whose mean is 0.
        size: number of components.

    Returns:
        The fitted PCA of scikit-learn.
    """
    from sklearn.decomposition import PCA

    n_features = centered.shape[1]
    if size >= min(centered.shape) and n_features >= max(_WIDE, len(centered)):
        solver = "full"  # of few examples; their covariance would have a row and a column for each feature
    elif n_features < _WIDE or size >= min(centered.shape):
        solver = "covariance_eigh"
    elif size <= _MAX_ARPACK_COMPONENTS:
        solver = "arpack"
    else:
        solver = "covariance_eigh" if n_features < _VERY_WIDE else "randomized"
    return PCA(size, svd_solver=solver, random_state=0, copy=False).fit(centered)
