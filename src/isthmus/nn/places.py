"""The places of values in sorted columns, by operations that exported graphs have too."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["places"]


def places(x: Tensor, columns: Tensor, right: bool = False) -> Tensor:
    """The number of values of each column that are less than x, int64 (b, d): as `torch.searchsorted`, by bisection.

    Args:
        x: (b, d).
        columns: (d, k), each ascending.
        right: counts values that are equal to x too.
    """
    count = columns.shape[1]
    flat, begins = columns.reshape(-1), torch.arange(columns.shape[0], device=x.device) * count
    found = torch.zeros_like(x, dtype=torch.int64)
    step = 1 << max(0, count.bit_length() - 1)
    while step:
        further = found + step
        value = flat[begins + further.clamp(max=count) - 1]
        within = (further <= count) & ((value <= x) if right else (value < x))
        found = torch.where(within, further, found)
        step //= 2
    return found
