"""The corrupted input of the encoder: with new noise at every step, or with fixed noise for each example."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from isthmus.model import Trainable
from isthmus.training.batches import InMemorySource, Source
from isthmus.training.config import TrainingConfig
from isthmus.training.rng import RandomStream, reseed

__all__ = ["InputCorruption"]


class InputCorruption:
    """Applies the corruption: with new noise at every step, or with fixed noise for each example."""

    def __init__(self, model: Trainable, examples: Source, config: TrainingConfig) -> None:
        self.corruption, self.random_state = config.corruption, config.random_state
        self.corrupted: Tensor | None = None
        self.stochastic = config.corruption.stochastic and not config.corruption.fixed
        if config.corruption.fixed and isinstance(examples, InMemorySource):
            batches = torch.arange(len(examples)).split(config.batch_size)
            self.corrupted = torch.cat(
                [self._corrupt_fixed(model.normalize(examples[index]), index) for index in batches]
            )
        self.cuda_graph_safe = self.corrupted is not None or not config.corruption.fixed

    def __call__(self, x: Tensor, index: Tensor, generator: Generator) -> Tensor:
        if self.corrupted is not None:
            return self.corrupted.index_select(0, index.to(x.device))
        return self._corrupt_fixed(x, index) if self.corruption.fixed else self.corruption(x, generator)

    def _corrupt_fixed(self, x: Tensor, index: Tensor) -> Tensor:
        """Corrupts each example with its own random stream, so that the result does not depend on its batch."""
        generator = Generator(x.device)
        rows = zip(x.split(1), index.tolist(), strict=True)
        return torch.cat(
            [
                self.corruption(row, reseed(generator, self.random_state, RandomStream.FIXED_CORRUPTION, i))
                for row, i in rows
            ]
        )
