"""Rows through the model in batches of one fixed size, padded, each on one thread: any grouping or order of rows gives the same bits.

The size depends on the model alone, and is a multiple of 32 or 1: PyTorch computes the numbers of a tensor 32 at a time or fewer and
what is left over, at its end and at the end of each thread's part, by other instructions. Batches are spread over the threads.
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

from isthmus.data.memmap import release_pages
from isthmus.estimators.memory_estimate import examples_at_once, footprint
from isthmus.estimators.overflow import ComputableRange
from isthmus.model import Model
from isthmus.nn.device import enable_malloc_reuse, no_autocast, onednn_matmul, threads
from isthmus.training.batches import to_torch_dtype

__all__ = ["in_batches"]

Array = NDArray[np.generic]

_BATCHES = 100  # between givings back
_TOGETHER = 2**30  # bytes of the batches that are computed side by side
_LONG = 5e-3  # seconds of work from which on a second thread is worth its beginning


def in_batches(
    function: Callable[[Tensor], Tensor],
    rows: Array,
    model: Model,
    check: Callable[[float, str, int], None] | None = None,
    computable: ComputableRange | Literal["all"] | None = None,
) -> Array:
    """What a function of a model, (size, *row) -> (size, *result), gives for rows (n, *row): (n, *result).

    check: told the bytes of all results, what they are, and the bytes of the rows, before they are taken.
        bearing: what is borne of rows, examples of the model where nothing is said; "all" lets pass what is not finite.

    Raises:
        DataError: a number is too large to compute with, or what comes of a row is not finite.
    """
    enable_malloc_reuse()
    computable = None if computable == "all" else ComputableRange.examples(model) if computable is None else computable
    size, device, available = (
        examples_at_once(model, model.architecture.inference_batch_size),
        model.device,
        torch.get_num_threads(),
    )
    begins, others = iter(range(0, len(rows), size)), math.ceil(len(rows) / size) - 1

    @torch.inference_mode()
    def computed(begin: int) -> tuple[int, Array]:
        part = to_torch_dtype(np.asarray(rows[begin : begin + size]))
        if computable is not None:
            computable.check_inputs(part, begin)
        batch = torch.zeros(size, *part.shape[1:], dtype=torch.from_numpy(np.empty(0, part.dtype)).dtype)
        batch.numpy()[: len(part)] = part
        with no_autocast():
            made = function(batch.to(device)).cpu().numpy()[: len(part)]
        if computable is not None:
            computable.check_results(made, part, begin)
        return begin, made

    with no_autocast(), onednn_matmul(), threads(1 if device.type == "cpu" else available):
        started = time.perf_counter()
        _, first = computed(next(begins))
        if check is not None:
            check(len(rows) * first[0].nbytes, f"what comes of {len(rows):,} examples", rows.nbytes)
        results: Array = np.empty((len(rows), *first.shape[1:]), first.dtype)
        results[:size] = first
        long = others * (time.perf_counter() - started) > _LONG
        if device.type != "cpu" or model.architecture.stochastic or not long:  # own modules may keep what they see
            available = 1
        taken = footprint(model)
        many = max(1, min(available, others, _TOGETHER // (size * taken.use + taken.shared)))
        for count, (begin, result) in enumerate(spread(computed, begins, many), start=2):
            results[begin : begin + size] = result
            if count % _BATCHES == 0:
                release_pages(rows)
    return results


def spread(
    function: Callable[[int], tuple[int, Array]], begins: Iterator[int], many: int
) -> Iterator[tuple[int, Array]]:
    """What a function gives for numbers, in their order, by so many threads, each of which computes on its own."""
    if many == 1:
        yield from map(function, begins)
        return
    with ThreadPoolExecutor(many, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting = [pool.submit(function, begin) for _, begin in zip(range(2 * many), begins, strict=False)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(function, begin) for _, begin in zip(range(1), begins, strict=False)]
