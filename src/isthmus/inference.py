"""Rows through the model in batches of one fixed size, padded: any grouping or order of rows gives the same bits.

The size depends on the model alone: what its architecture says, and fewer where examples are so large that their layers would not fit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.mapped import give_pages_back
from isthmus.devices import fast_products, keep_memory
from isthmus.footprint import examples_at_once
from isthmus.model import Model
from isthmus.sources import native, rows_within

__all__ = ["in_batches"]

_BATCHES = 100  # between givings back


@torch.inference_mode()
def in_batches(
    function: Callable[[Tensor], Tensor],
    rows: NDArray[np.generic],
    model: Model,
    check: Callable[[float, str, int], None] | None = None,
) -> NDArray[np.generic]:
    """What a function of a model, (size, *row) -> (size, *result), gives for rows (n, *row): (n, *result).

    check: told the bytes of all results, what they are, and the bytes of the rows, before they are taken.
    """
    keep_memory()
    results: NDArray[np.generic] | None = None
    size, device = rows_within(model.architecture.at_once, model.shape), model.shift.device
    size = examples_at_once(model, size)
    for begin in range(0, len(rows), size):
        part = np.asarray(rows[begin : begin + size])
        batch = np.zeros((size, *part.shape[1:]), part.dtype)
        batch[: len(part)] = part
        with fast_products():
            result = function(torch.from_numpy(native(batch)).to(device)).cpu().numpy()
        if results is None:
            if check is not None:
                check(len(rows) * result[0].nbytes, f"what comes of {len(rows):,} examples", rows.nbytes)
            results = np.empty((len(rows), *result.shape[1:]), result.dtype)
        results[begin : begin + len(part)] = result[: len(part)]
        if (begin // size + 1) % _BATCHES == 0:
            give_pages_back(rows)
    assert results is not None, "no rows"
    return results
