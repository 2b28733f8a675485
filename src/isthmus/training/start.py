"""Weights that training takes from examples before its first step."""

from __future__ import annotations

import torch

from isthmus.augmentations import Augmentation
from isthmus.data.memmap import random_subset
from isthmus.trainable import Trainable
from isthmus.training.batches import Source, chunk_size
from isthmus.training.encoder_input import augmented
from isthmus.training.rng import RandomStream, seeded

__all__ = ["start"]

_MOST = 4096  # examples that are read at once


@torch.no_grad()
def start(model: Trainable, examples: Source, augmentation: Augmentation, random_state: int) -> None:
    """Shows a model as many random examples as it requires before the first step, augmented and not corrupted.

    Args:
        model: changed in place.
        examples: the training examples.
        augmentation: of the training.
        random_state: of the training.
    """
    if not model.start_examples:
        return
    generator = seeded(model.device, random_state, RandomStream.START)
    rows = torch.as_tensor(random_subset(len(examples), model.start_examples, random_state))
    inputs, targets = [], []
    for index in rows.split(chunk_size(_MOST, model.shape)):
        x = model.normalize(examples[index])
        x, target = augmented(model, augmentation, x, examples.target(x, index), generator)
        inputs.append(x)
        targets.append(target)
    model.start(torch.cat(inputs), torch.cat(targets))
