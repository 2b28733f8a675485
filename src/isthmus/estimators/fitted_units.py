"""The map between raw and model units, fitted to examples: shift and scale, curves, and the fill of missing values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.statistics import DataStatistics, broadcasts
from isthmus.data.validation import Examples, blocks
from isthmus.errors import RecordError
from isthmus.scaling import Affine, Curves, Extent, Scaling, fit_affine

__all__ = ["Units", "fit_units"]


def fit_units(
    scaling: Scaling, examples: Examples, statistics: DataStatistics
) -> tuple[Scaling, Affine, Curves | None]:
    """The scaling without open choices, its shift and scale, and its curves.

    Raises:
        DataError: the scaling does not accept a value.
        RecordError: the scaling does not fit the examples.
    """
    scaling.check(examples.values, examples.at)
    numbers = np.ones(math.prod(examples.values.shape[1:]), np.bool_)
    resolved = scaling.resolved(statistics, numbers, examples.at)
    affine = fit_affine(resolved, statistics)
    return resolved, affine, resolved.curves(statistics, affine, numbers, examples.at)


class Units(NamedTuple):
    """The map, in the dtype of raw examples.

    Attributes:
        affine: shift and scale.
        extent: the range of the training examples.
        curves: the map where it is not affine.
        fill: the initial replacement of missing values, in model units; None if none may be missing.
    """

    affine: Affine
    extent: Extent
    curves: Curves | None
    fill: NDArray[Any] | None = None

    def filled(
        self, scaling: Scaling, affine: Affine, means: NDArray[np.float64] | None, values: NDArray[Any]
    ) -> Units:
        """With the fill of examples (n, *shape) whose means are given; unchanged without means.

        Args:
            scaling: the record.
            affine: shift and scale, in double precision.
            means: the mean of each feature, (*shape), in raw units.
            values: the examples.
        """
        if means is None:
            return self
        if self.curves is None:  # the map as the model has it, so that a value equal to the mean becomes the fill
            affine = self.affine
        else:  # the values that the affine map takes to the means in model units
            means = _bent_means(self.curves, values) * affine.scale + affine.shift
        return self._replace(fill=scaling.fill(affine, means, values, values.shape[1:]))

    def for_shape(self, shape: tuple[int, ...], records: Mapping[str, Any]) -> Units:
        """What was fitted to whole examples, for augmented examples of another shape; `RecordError` if that is not possible."""
        sides = (self.affine.shift, self.affine.scale, self.extent.least)
        if not all(broadcasts(value.shape, shape) for value in sides):
            raise RecordError(
                f"{records['augmentation']!r} changes the shape of examples to {shape}, and the scaling has a value for each feature: "
                "use kind='images', or scaling=Standard(per='channel')"
            )
        if self.fill is None:
            return self
        per_channel = self.fill.ndim == len(shape) and self.fill.shape[-1] == shape[-1]
        axes = tuple(range(self.fill.ndim - 1)) if per_channel else None
        return self._replace(fill=np.broadcast_to(self.fill.mean(axis=axes), shape).copy())


def _bent_means(curves: Curves, values: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of each feature of examples (n, *shape) over its observed values, in model units, (*shape)."""
    bent = Curves(*map(torch.from_numpy, curves))
    sums, counts = (torch.zeros(values.shape[1:], dtype=dtype) for dtype in (torch.float64, torch.int64))
    for _, block in blocks(values):
        x = bent.bend(torch.from_numpy(block.astype(np.float64)))
        sums, counts = sums + x.nansum(0), counts + (~x.isnan()).sum(0)
    means: NDArray[np.float64] = (sums / counts).numpy()
    return means
