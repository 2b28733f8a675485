"""Weights that training takes from examples before its first step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from isthmus.augmentations import Augmentation
from isthmus.data.memmap import random_subset
from isthmus.trainable import Trainable
from isthmus.training.batches import Source, chunk_size
from isthmus.training.encoder_input import augmented
from isthmus.training.rng import RandomStream, seeded

__all__ = ["start"]

_MOST = 4096  # examples that are read at once
_PART = 1 << 20  # indices that are held at once


@torch.no_grad()
def start(model: Trainable, examples: Source, augmentation: Augmentation, random_state: int) -> None:
    """Shows a model as many random examples as it requires before the first step, augmented and not corrupted.

    Examples whose weight is 0 are left out.

    Args:
        model: changed in place.
        examples: the training examples.
        augmentation: of the training.
        random_state: of the training.
    """
    if not model.start_examples:
        return
    generator = seeded(model.device, random_state, RandomStream.START)
    rows = _rows(model.start_examples, examples, random_state)
    if not len(rows):
        return
    inputs, targets = [], []
    for index in rows.split(chunk_size(_MOST, model.shape)):
        x = model.normalize(examples[index])
        x, target = augmented(model, augmentation, x, examples.target(x, index), generator)
        inputs.append(x)
        if target is not x:
            targets.append(target)
    x = torch.cat(inputs)
    model.start(x, torch.cat(targets) if targets else x, examples.weights(rows))


def _rows(most: int, examples: Source, random_state: int) -> Tensor:
    """The indices of random examples, without those whose weight is 0."""
    if examples.weights(torch.zeros(1, dtype=torch.int64)) is None:
        return examples.at(torch.as_tensor(random_subset(len(examples), most, random_state)))
    count = sum(len(part) for part in _weighted(examples))
    chosen, begin, found = torch.as_tensor(random_subset(count, most, random_state)), 0, list[Tensor]()
    for part in _weighted(examples):  # once more, which is cheap, for the indices of 10^8 examples are 800 MB
        found.append(part[chosen[(chosen >= begin) & (chosen < begin + len(part))] - begin])
        begin += len(part)
    return torch.cat(found) if found else chosen


def _weighted(examples: Source) -> Iterator[Tensor]:
    """The indices of the examples whose weight is not 0, in parts."""
    for part in examples.indices(_PART):
        weights = examples.weights(part)
        assert weights is not None
        yield part[weights.cpu() > 0]
