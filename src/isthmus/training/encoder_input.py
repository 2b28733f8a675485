"""What a step makes of examples: augmented, then corrupted with new noise at every step, or with fixed noise for each example."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from isthmus.augmentations import Augmentation
from isthmus.corruptions import Corrupted
from isthmus.trainable import Batch, Trainable
from isthmus.training.batches import Source
from isthmus.training.config import TrainingConfig
from isthmus.training.rng import RandomStream, reseed

__all__ = ["EncoderInput", "augmented"]


class EncoderInput:
    """Augments example and target, and corrupts the encoder's input: with new noise at every step, or with fixed noise for each example."""

    def __init__(self, model: Trainable, examples: Source, config: TrainingConfig) -> None:
        self.model, self.examples = model, examples
        self.augmentation, self.corruption = config.augmentation, config.corruption
        self.random_state = config.random_state
        self.fixed: Corrupted | None = None  # a corrupted copy of all examples
        augments, fixed = config.augmentation.augments, config.corruption.fixed
        self.stochastic = augments or (config.corruption.stochastic and not fixed)
        if fixed and not augments and examples.in_memory:
            batches = examples.indices(config.batch_size)
            parts = [self._corrupt_fixed(model.inputs(model.normalize(examples[index])), index) for index in batches]
            self.fixed = _joined(parts)
        copies_state = augments and examples.paired  # of a generator, on the host
        self.cuda_graph_safe = (self.fixed is not None or not fixed) and not copies_state

    def __call__(self, x: Tensor, index: Tensor, generator: Generator) -> Batch:
        """The batch of examples x (b, *shape) in model units at these indices."""
        target, context = self.examples.target(x, index), self.examples.context(index)
        x, target = augmented(self.model, self.augmentation, x, target, generator)
        corrupted, counted = self._corrupt(x, index, generator)
        return Batch(corrupted, target, counted, context, weights=self.examples.weights(index))

    def _corrupt(self, x: Tensor, index: Tensor, generator: Generator) -> Corrupted:
        if self.fixed is not None:
            rows = index.to(x.device)
            counted = self.fixed.counted
            return Corrupted(
                self.fixed.x.index_select(0, rows), None if counted is None else counted.index_select(0, rows)
            )
        return (
            self._corrupt_fixed(x, index)
            if self.corruption.fixed
            else self.model.corrupt(self.corruption, x, generator)
        )

    def _corrupt_fixed(self, x: Tensor, index: Tensor) -> Corrupted:
        """Corrupts each example with its own random stream, so that the result does not depend on its batch."""
        generator = Generator(x.device)
        rows = zip(x.split(1), index.tolist(), strict=True)
        return _joined(
            [
                self.model.corrupt(
                    self.corruption, row, reseed(generator, self.random_state, RandomStream.FIXED_CORRUPTION, i)
                )
                for row, i in rows
            ]
        )


def augmented(
    model: Trainable, augmentation: Augmentation, x: Tensor, target: Tensor, generator: Generator
) -> tuple[Tensor, Tensor]:
    """What the model reconstructs of example and target, augmented alike: a target of its own is changed by the same random numbers."""
    own = target is not x
    if augmentation.augments:
        state = generator.get_state() if own else None
        x = augmentation(x, generator)
        if state is not None:
            generator.set_state(state)
            target = augmentation(target, generator)
    x = model.inputs(x)
    return x, model.inputs(target) if own else x


def _joined(parts: list[Corrupted]) -> Corrupted:
    """Corrupted examples one after the other."""
    counted = [part.counted for part in parts if part.counted is not None]
    return Corrupted(torch.cat([part.x for part in parts]), torch.cat(counted) if counted else None)
