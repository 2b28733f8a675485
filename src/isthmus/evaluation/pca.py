"""PCA of equal width, fitted in model units as the autoencoder sees examples; and which examples are drawn where not all are taken."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.memmap import Rows, random_subset
from isthmus.evaluation.metrics import principal_components

__all__ = ["PCA_ROWS", "Subspace", "most_of", "principal", "sample"]

Array = NDArray[Any]

PCA_ROWS = 100_000
"""PCA is fitted on at most so many examples. Of more, as many are drawn at random."""

_PCA_NUMBERS = 2**26  # nor on more numbers than these, 256 MiB
_BLOCK = 2**22  # numbers read together


class Subspace(NamedTuple):
    """The principal components of some examples: mean and scale (d,) in raw units, k orthonormal axes (k, d) in model units."""

    mean: torch.Tensor
    scale: torch.Tensor
    axes: torch.Tensor

    def centered(self, raw: torch.Tensor) -> torch.Tensor:
        """Examples (n, *shape) as distances from the mean, in model units: (n, d)."""
        return (raw.reshape(len(raw), -1) - self.mean) / self.scale

    def codes(self, raw: torch.Tensor) -> torch.Tensor:
        """The coordinates of examples along the axes, in model units: (n, k)."""
        return self.centered(raw) @ self.axes.T

    def errors(self, centered: torch.Tensor) -> torch.Tensor:
        """What the components leave of `centered` examples: (n, d)."""
        return centered - (centered @ self.axes.T) @ self.axes


def sample(values: Array, most: int) -> tuple[Array, NDArray[np.int64]]:
    """At most so many examples (and no more than 256 MiB hold), and their places; a memory map is read where they lie."""
    positions = random_subset(len(values), most_of(values, most))
    return (np.asarray(values) if len(positions) == len(values) else Rows(values)(positions)), positions


def most_of(values: Array, most: int) -> int:
    """So many examples, or as many as 256 MiB hold."""
    return max(1, min(most, _PCA_NUMBERS // int(values[0].size)))


def principal(values: Array, scale: NDArray[np.float64], size: int) -> tuple[Subspace, str]:
    """The mean and the first ``size`` principal components of examples in model units; or no components, and why.

    Args:
        values: examples (n, *shape).
        scale: of each feature, (d,), in the units of the examples.
        size: the number of components.
    """
    numbers = values[0].size
    chosen = random_subset(len(values), max(1, min(PCA_ROWS, _PCA_NUMBERS // numbers)))
    n, step = len(chosen), max(1, _BLOCK // numbers)
    runs = [slice(begin, begin + step) for begin in range(0, n, step)]
    mean = np.zeros(numbers)
    rows = Rows(values)
    for run in runs:
        mean += rows(chosen[run]).reshape(-1, numbers).sum(0, dtype=np.float64) / n
    axes, missing = np.empty((0, numbers)), ""
    if size >= numbers:
        missing = f"a code of {size:,} numbers for examples of {numbers:,}: PCA would lose nothing"
    elif size >= n:
        missing = f"PCA with {size:,} components needs more than {size:,} examples; it has {n:,}"
    else:
        centered = np.empty((n, numbers), np.float32)
        for (
            run
        ) in runs:  # rounded at last: columns far from zero keep their digits, and those of tiny numbers are there
            centered[run] = (rows(chosen[run]).reshape(-1, numbers) - mean) / scale
        if centered.any():
            axes = principal_components(centered, size).components_.astype(np.float64)
        else:
            missing = "the examples are all the same: there are no principal components"
    return Subspace(*(torch.tensor(part, device="cpu") for part in (mean, scale, axes))), missing
