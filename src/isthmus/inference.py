"""Rows through the model in batches of one fixed size, padded: any grouping or order of rows gives the same bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.training import native

__all__ = ["BATCH", "in_batches"]

BATCH = 128


@torch.inference_mode()
def in_batches(
    function: Callable[[Tensor], Tensor], rows: NDArray[np.generic], device: torch.device
) -> NDArray[np.generic]:
    """What a function of (128, *shape) -> (128, *result) gives for rows (n, *shape): (n, *result)."""
    results: NDArray[np.generic] | None = None
    for begin in range(0, len(rows), BATCH):
        part = np.asarray(rows[begin : begin + BATCH])
        batch = np.zeros((BATCH, *part.shape[1:]), part.dtype)
        batch[: len(part)] = part
        result = function(torch.from_numpy(native(batch)).to(device)).cpu().numpy()
        if results is None:
            results = np.empty((len(rows), *result.shape[1:]), result.dtype)
        results[begin : begin + len(part)] = result[: len(part)]
    assert results is not None, "no rows"
    return results
