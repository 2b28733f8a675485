"""The log-likelihood of examples by importance sampling."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.estimators.memory_estimate import footprint
from isthmus.model import Model
from isthmus.nn.device import no_autocast, onednn_matmul, threads
from isthmus.training.batches import to_tensor
from isthmus.training.rng import RandomStream, seeded

__all__ = ["log_likelihoods"]

Array = NDArray[Any]
_MAX_BYTES = 2**28  # of the draws that are decoded at the same time
_MAX_DRAWS = 1024


def log_likelihoods(model: Model, values: Array, context: Array | None, samples: int, seed: int) -> NDArray[np.float64]:
    """log p(x) of each example (n,), in nats: the logarithm of the mean of importance weights.

    Each example is computed alone, by one thread, with random numbers that depend on its values and the seed.

    Args:
        model: the model, in evaluation mode.
        values: examples (n, *shape), in raw units.
        context: (n, context), None without.
        samples: draws for each example.
        seed: the random state.
    """
    draws = max(1, min(_MAX_DRAWS, _MAX_BYTES // footprint(model).inference_bytes))
    parallel = model.device.type == "cpu" and not model.architecture.stochastic
    count = max(1, min(torch.get_num_threads(), len(values))) if parallel else 1

    @torch.inference_mode()
    def of(row: int) -> float:
        raw = to_tensor(np.asarray(values[row : row + 1])).to(model.device)
        x = model.normalize(raw)
        given = None if context is None else torch.as_tensor(context[row : row + 1], device=model.device)
        number = int.from_bytes(hashlib.blake2b(x.numpy(force=True).tobytes(), digest_size=8).digest(), "little")
        generator = seeded(model.device, seed, RandomStream.IMPORTANCE, number)
        total = -math.inf  # of the draws so far: memory does not grow with their number
        for begin in range(0, samples, draws):
            weights = model.log_weights(x, min(draws, samples - begin), generator, given).double()
            total = float(np.logaddexp(total, float(torch.logsumexp(weights, 0))))
        return total - math.log(samples)

    with no_autocast(), onednn_matmul(), threads(1 if parallel else torch.get_num_threads()):
        if count == 1:
            return np.array([of(row) for row in range(len(values))])
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return np.array(list(pool.map(of, range(len(values)))))
