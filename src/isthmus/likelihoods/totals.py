"""Totals of the counts of an example, and the shares of its features in it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from isthmus.likelihoods.base import mask_uncounted

__all__ = ["IMPOSSIBLE", "log_shares", "shares", "totals", "with_total"]

IMPOSSIBLE = -1e30
"""A logit without probability; finite, so that an example with nothing else has no NaN."""


def shares(y: Tensor) -> Tensor:
    """The softmax of logits y (b, *shape) over all features of an example."""
    return F.softmax(y.flatten(1), 1).view_as(y)


def log_shares(y: Tensor) -> Tensor:
    """The logarithms of `shares`."""
    return F.log_softmax(y.flatten(1), 1).view_as(y)


def totals(x: Tensor) -> Tensor:
    """The sum of the features of each example (b, *shape), of a shape that broadcasts to the examples."""
    return x.flatten(1).sum(1).reshape(-1, *[1] * (x.ndim - 1))


def with_total(parts: Tensor, x: Tensor, counted: Tensor | None) -> Tensor:
    """Shares (b, *shape), scaled so that those that count add up to the total of the examples x (b, *shape)."""
    total, seen = (totals(mask_uncounted(each, counted)) for each in (x, parts))
    return parts * (total / seen.clamp(min=torch.finfo(parts.dtype).tiny))
