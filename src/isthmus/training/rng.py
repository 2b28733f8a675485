"""Generators of their own for everything that is drawn: a stream for each purpose and each step, epoch or example.

The global generators are neither read nor written, and nobody else's drawing changes anything.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Generator

__all__ = ["RandomStream", "reseed", "seeded"]


class RandomStream(IntEnum):
    """What random numbers are for: each purpose has streams of its own."""

    WEIGHTS = 0
    ORDER = 1
    NOISE = 2
    ONCE = 3
    VALIDATION = 4
    SPLIT = 5
    SAMPLE = 6
    LAYER = 7


def seeded(device: torch.device | str, random_state: int, purpose: RandomStream, number: int = 0) -> Generator:
    """A generator of its own for one purpose and one step, epoch or example."""
    return reseed(Generator(device), random_state, purpose, number)


def reseed(generator: Generator, random_state: int, purpose: RandomStream, number: int) -> Generator:
    """The generator set to the beginning of a stream."""
    generator.manual_seed(
        int(np.random.SeedSequence((random_state, purpose, number)).generate_state(1, np.uint64)[0]) >> 1
    )
    return generator
