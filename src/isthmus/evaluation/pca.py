"""PCA with as many components as the code has dimensions, fitted in model units; and random subsets of examples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.context_array import without_subclass
from isthmus.data.memmap import Rows, random_subset
from isthmus.evaluation.metrics import principal_components

__all__ = ["PCA_ROWS", "Subspace", "principal", "sample", "sample_size"]

Array = NDArray[Any]

PCA_ROWS = 100_000
"""The largest number of examples that PCA is fitted on. Of more, this number is drawn at random."""

_MAX_VALUES = 2**26  # values of the examples that PCA is fitted on: 256 MiB
_BLOCK_VALUES = 2**22  # values read at a time


class Subspace(NamedTuple):
    """The principal components of some examples.

    Attributes:
        mean: mean of the examples (d,), in raw units.
        scale: scale of each feature (d,), in raw units.
        axes: k orthonormal axes (k, d), in model units.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    axes: torch.Tensor

    def centered(self, raw: torch.Tensor) -> torch.Tensor:
        """Examples (n, *shape) minus the mean, in model units: (n, d)."""
        return (raw.reshape(len(raw), -1) - self.mean) / self.scale

    def codes(self, raw: torch.Tensor) -> torch.Tensor:
        """The coordinates of examples along the axes, in model units: (n, k)."""
        return self.centered(raw) @ self.axes.T

    def errors(self, centered: torch.Tensor) -> torch.Tensor:
        """The residuals of `centered` examples after projection onto the axes: (n, d)."""
        return centered - (centered @ self.axes.T) @ self.axes


def sample(values: Array, max_examples: int) -> tuple[Array, NDArray[np.int64]]:
    """A random subset of at most ``max_examples`` examples and 256 MiB, and their row indices; of a memory map only these are read."""
    rows = random_subset(len(values), sample_size(values, max_examples))
    return (without_subclass(values) if len(rows) == len(values) else Rows(values)(rows)), rows


def sample_size(values: Array, max_examples: int) -> int:
    """``max_examples``, or the number of examples that fit in 256 MiB if it is smaller."""
    return max(1, min(max_examples, _MAX_VALUES // int(values[0].size)))


def principal(
    values: Array, scale: NDArray[np.float64], size: int, classes: tuple[int, ...] = ()
) -> tuple[Subspace, str]:
    """The mean and the first ``size`` principal components of examples in model units.

    Args:
        values: examples (n, *shape).
        scale: scale of each feature (d,), in the units of the examples.
        size: number of components.
        classes: for each feature of a table the number of its categories, 0 for a number.

    Returns:
        The subspace, and "". Where PCA is not possible, a subspace without axes, and the reason. The mean of a category is the most
        frequent one.
    """
    n_features = values[0].size
    chosen = random_subset(len(values), max(1, min(PCA_ROWS, _MAX_VALUES // n_features)))
    n, step = len(chosen), max(1, _BLOCK_VALUES // n_features)
    slices = [slice(begin, begin + step) for begin in range(0, n, step)]
    mean = np.zeros(n_features)
    rows = Rows(values)
    for block in slices:
        mean += rows(chosen[block]).reshape(-1, n_features).sum(0, dtype=np.float64) / n
    axes, missing = np.empty((0, n_features)), ""
    if any(classes):
        missing = "a table with categories has no principal components"
        for feature in np.flatnonzero(classes):
            codes = np.concatenate([rows(chosen[block])[:, feature] for block in slices])
            mean[feature] = np.bincount(codes.astype(np.int64)).argmax()
    elif size >= n_features:
        missing = f"a {size:,}-dimensional code of examples with {n_features:,} features: the error of PCA would be 0"
    elif size >= n:
        missing = f"PCA with {size:,} components needs more than {size:,} examples; there are {n:,}"
    else:
        centered = np.empty((n, n_features), np.float32)
        for block in slices:  # rounding to float32 comes last, so that columns far from zero keep their precision
            centered[block] = (rows(chosen[block]).reshape(-1, n_features) - mean) / scale
        if centered.any():
            axes = principal_components(centered, size).components_.astype(np.float64)
        else:
            missing = "all examples are equal, so there are no principal components"
    return Subspace(*(torch.tensor(part, device="cpu") for part in (mean, scale, axes))), missing
