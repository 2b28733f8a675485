"""Independent random number streams: one for each purpose and each step, epoch or example.

The global generators are neither read nor changed, so that results do not depend on other code that draws from them.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import numpy as np
import torch
from torch import Generator

__all__ = ["RandomStream", "reseed", "seeded"]

_BLOCK = 64  # seeds that are made at once


class RandomStream(IntEnum):
    """The purpose of random numbers. Each purpose has its own streams."""

    WEIGHTS = 0
    ORDER = 1
    NOISE = 2
    FIXED_CORRUPTION = 3
    VALIDATION = 4
    SPLIT = 5
    SAMPLE = 6
    LAYER = 7
    IMPORTANCE = 8
    LIKELIHOOD = 9
    START = 10
    WINDOW = 11


def seeded(device: torch.device | str, random_state: int, stream: RandomStream, index: int = 0) -> Generator:
    """A new generator for one purpose and one step, epoch or example (``index``)."""
    return reseed(Generator(device), random_state, stream, index)


def reseed(generator: Generator, random_state: int, stream: RandomStream, index: int) -> Generator:
    """Sets the generator to the start of a stream, and returns it."""
    generator.manual_seed(_seeds(random_state, stream, index // _BLOCK)[index % _BLOCK])
    return generator


@lru_cache(maxsize=16)
def _seeds(random_state: int, stream: RandomStream, block: int) -> list[int]:
    """The seeds of a block of indices: one after the other they take a tenth of the time, as caches are warm."""
    indices = range(block * _BLOCK, (block + 1) * _BLOCK)
    states = (np.random.SeedSequence((random_state, stream, i)).generate_state(1, np.uint64)[0] for i in indices)
    return [int(state) >> 1 for state in states]
