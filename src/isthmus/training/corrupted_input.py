"""What the encoder sees in training: examples corrupted afresh in each step, or the same way each time."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from isthmus.model import Trainable
from isthmus.training.batches import InMemorySource, Source
from isthmus.training.config import TrainingConfig
from isthmus.training.rng import RandomStream, reseed

__all__ = ["InputCorruption"]


class InputCorruption:
    """Applies the corruption: fresh in each step, or the same for an example each time."""

    def __init__(self, model: Trainable, examples: Source, plan: TrainingConfig) -> None:
        self.corruption, self.random_state = plan.corruption, plan.random_state
        self.copy: Tensor | None = None
        self.stochastic = plan.corruption.stochastic and not plan.corruption.fixed
        if plan.corruption.fixed and isinstance(examples, InMemorySource):
            everything = torch.arange(len(examples)).split(plan.batch_size)
            self.copy = torch.cat([self._once(model.normalize(examples[index]), index) for index in everything])
        self.records = self.copy is not None or not plan.corruption.fixed

    def __call__(self, x: Tensor, index: Tensor, generator: Generator) -> Tensor:
        if self.copy is not None:
            return self.copy.index_select(0, index.to(x.device))
        return self._once(x, index) if self.corruption.fixed else self.corruption(x, generator)

    def _once(self, x: Tensor, index: Tensor) -> Tensor:
        """Each example with its own stream, so that it is spoilt the same way in whatever batch it comes."""
        generator = Generator(x.device)
        numbers = zip(x.split(1), index.tolist(), strict=True)
        return torch.cat(
            [self.corruption(row, reseed(generator, self.random_state, RandomStream.ONCE, i)) for row, i in numbers]
        )
