"""Inference: results are bit-identical for any grouping and order of rows.

All batches have one size and are padded; each is computed by one thread, and several threads compute different batches. The batch size
depends only on the model and is a multiple of 32, or 1: PyTorch computes the elements of a tensor in groups of up to 32, and the remainder
with other instructions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.context_array import context_of
from isthmus.data.memmap import release_pages
from isthmus.errors import DataError
from isthmus.estimators.memory_estimate import bounded_batch_size, footprint
from isthmus.estimators.overflow import ComputableRange
from isthmus.model import Model
from isthmus.nn.device import enable_malloc_reuse, no_autocast, onednn_matmul, threads
from isthmus.training.batches import to_torch_dtype

__all__ = ["in_batches"]

Array = NDArray[np.generic]

_RELEASE_INTERVAL = 100  # batches between releases of the pages of a memory map
_MAX_PARALLEL_BYTES = 2**30  # of the batches that are computed at the same time
_MIN_PARALLEL_SECONDS = 5e-3  # of work, for which starting further threads pays


def in_batches(
    function: Callable[..., Tensor],
    rows: Array,
    model: Model,
    check: Callable[[float, str, int], None] | None = None,
    computable: ComputableRange | Literal["all"] | None = None,
    context: Array | None = None,
    batch_size: Literal[1] | None = None,
) -> Array:
    """Applies a function of a model to rows in batches.

    Args:
        function: maps a batch (size, *row) to results (size, *result). With a context it gets that of the batch too.
        rows: (n, *row), in raw units.
        check: called before the results are allocated, with their size in bytes, a description of them, and the size of the rows in bytes.
        computable: the range of values that the rows may have. None: that of the model's examples; "all": no check.
        context: (n, context), the context of each row; without it that of the rows if they carry one.
        batch_size: 1 where rows are large and few; None: that of the architecture.

    Returns:
        The results, (n, *result).

    Raises:
        DataError: a value is outside the range, or the result of a row is not finite.
    """
    enable_malloc_reuse()
    context = _context_of_rows(rows, model) if context is None else context
    computable = None if computable == "all" else ComputableRange.examples(model) if computable is None else computable
    size = batch_size or bounded_batch_size(model, model.architecture.inference_batch_size)
    device, max_threads = model.device, torch.get_num_threads()
    begins, n_remaining = iter(range(0, len(rows), size)), math.ceil(len(rows) / size) - 1

    @torch.inference_mode()
    def compute(begin: int) -> tuple[int, Array]:
        part = to_torch_dtype(np.asarray(rows[begin : begin + size]))
        if computable is not None:
            computable.check_inputs(part, begin)
        given = [part] if context is None else [part, np.asarray(context[begin : begin + size])]
        batch = [_padded(each, size).to(device) for each in given]
        results = function(*batch).cpu().numpy()[: len(part)]
        if computable is not None:
            computable.check_results(results, part, begin)
        return begin, results

    with no_autocast(), onednn_matmul(), threads(1 if device.type == "cpu" else max_threads):
        started = time.perf_counter()
        _, first = compute(next(begins))
        if check is not None:
            check(len(rows) * first[0].nbytes, f"the results of {len(rows):,} examples", rows.nbytes)
        results: Array = np.empty((len(rows), *first.shape[1:]), first.dtype)
        results[:size] = first
        long = n_remaining * (time.perf_counter() - started) > _MIN_PARALLEL_SECONDS
        if device.type != "cpu" or model.architecture.stochastic or not long:  # modules of the user may have state
            max_threads = 1
        needed = footprint(model)
        batch_bytes = size * needed.inference_bytes + needed.shared_bytes
        n_threads = max(1, min(max_threads, n_remaining, _MAX_PARALLEL_BYTES // batch_bytes))
        for count, (begin, result) in enumerate(parallel_map(compute, begins, n_threads), start=2):
            results[begin : begin + size] = result
            if count % _RELEASE_INTERVAL == 0:
                release_pages(rows)
    return results


def _context_of_rows(rows: Array, model: Model) -> Array | None:
    """The context that rows carry; `DataError` if a conditional model gets none."""
    context = context_of(rows)
    if context is None and model.architecture.context is not None:
        raise DataError(
            f"this autoencoder is conditional ({model.architecture!r}), and the rows have no context: pass y"
        )
    return context


def _padded(part: Array, size: int) -> Tensor:
    """Rows as a tensor of a fixed number of rows; the others are zero."""
    batch = torch.zeros(size, *part.shape[1:], dtype=torch.from_numpy(np.empty(0, part.dtype)).dtype)
    batch.numpy()[: len(part)] = part
    return batch


def parallel_map(
    function: Callable[[int], tuple[int, Array]], begins: Iterator[int], n_threads: int
) -> Iterator[tuple[int, Array]]:
    """Maps a function over batch positions with this many threads. The results are in order; each call uses one thread."""
    if n_threads == 1:
        yield from map(function, begins)
        return
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting = [pool.submit(function, begin) for _, begin in zip(range(2 * n_threads), begins, strict=False)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(function, begin) for _, begin in zip(range(1), begins, strict=False)]
