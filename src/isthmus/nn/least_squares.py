"""Least squares with weights of rows, and with values that do not count."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["least_squares", "weighted_mean"]

_ROWS = 512  # that are computed with in float64 at once
_VALUES = 2**22  # of matrices of columns that are solved at once
_RTOL = 1e-6  # smaller singular values are rounding


def weighted_mean(rows: Tensor, weights: Tensor) -> Tensor:
    """The mean of rows (n, d) with weights, in float64.

    Args:
        rows: (n, d).
        weights: (n,).

    Returns:
        (d,).
    """
    total = sum(
        (part.double() * of.double()[:, None]).sum(0)
        for part, of in zip(rows.split(_ROWS), weights.split(_ROWS), strict=True)
    )
    return torch.as_tensor(total) / weights.double().sum()


def least_squares(
    z: Tensor, y: Tensor, weights: Tensor, counted: Tensor | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The linear map of z that is nearest to y, by the weighted sum of squares.

    Args:
        z: (n, k).
        y: (n, d), finite.
        weights: (n,), above 0.
        counted: (n, d), False for values of y that do not count, each column by itself. A column without others has its mean.

    Returns:
        The slopes (d, k) and the bias (d,).
    """
    centers, means, roots = weighted_mean(z, weights), weighted_mean(y, weights), weights.double().sqrt()[:, None]
    inverse = torch.linalg.pinv((z.double() - centers) * roots, rtol=_RTOL) * roots.T
    parts = zip(inverse.split(_ROWS, 1), y.split(_ROWS), strict=True)
    slopes = torch.as_tensor(sum(own @ (part.double() - means) for own, part in parts)).T
    bias = means - slopes @ centers
    if counted is not None:
        columns = torch.nonzero(~counted.all(0) & counted.any(0))[:, 0]
        for some in columns.split(max(1, _VALUES // (1 + z.shape[1]) ** 2)):
            moved = y[:, some].double() - means[some]
            own, rest = _of_counted(z.double() - centers, moved, weights.double()[:, None] * counted[:, some])
            slopes[some], bias[some] = own, rest + means[some] - own @ centers
    return slopes.numpy(force=True), bias.numpy(force=True)


def _of_counted(z: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes (d, k) and bias (d,) of y (n, d), where the rows of each column have weights (n, d)."""
    totals = weights.sum(0)
    centers, means = weights.T @ z / totals[:, None], (weights * y).sum(0) / totals
    squares, products = (z.new_zeros(len(totals), *shape) for shape in [(z.shape[1], z.shape[1]), (z.shape[1],)])
    for rows, target, own in zip(*(each.split(_ROWS) for each in (z, y, weights)), strict=True):
        squares += (own.T @ (rows[:, :, None] * rows[:, None]).flatten(1)).reshape(squares.shape)
        products += (own * target).T @ rows
    rounding = _RTOL**2 * squares.diagonal(dim1=1, dim2=2).sum(1)  # of codes that are all the same nothing else remains
    squares -= totals[:, None, None] * centers[:, :, None] * centers[:, None]
    products -= (totals * means)[:, None] * centers
    slopes = torch.linalg.pinv(squares, atol=rounding, rtol=torch.full_like(rounding, _RTOL**2), hermitian=True)
    slopes = (slopes @ products[:, :, None])[:, :, 0]
    return slopes, means - (slopes * centers).sum(1)
