"""Where training takes examples from, in raw units: all of them on the device, or from a file a few batches at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.memmap import Rows
from isthmus.training.rng import RandomStream, seeded

__all__ = [
    "Epochs",
    "InMemorySource",
    "LabeledSource",
    "MemmapSource",
    "Source",
    "SubsetSource",
    "gathered",
    "native",
    "rows_within",
]

_FETCHED = 2048  # examples
_TOGETHER = 2**21  # numbers of examples that pass through a model at once, whose layers make many of each


class Source(Protocol):
    """Examples in raw units that can be gathered by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Tensor:
        """The examples at some places, on the device."""

    def target(self, x: Tensor, index: Tensor) -> Tensor:
        """What is to be said of the examples x in model units that are at some places: they themselves."""
        return x


class InMemorySource(Source):
    """Examples that live on the device, in the narrowest type."""

    def __init__(self, examples: NDArray[np.generic], device: torch.device) -> None:
        self.tensor = torch.from_numpy(np.require(native(examples), requirements=["C", "W"])).to(device)

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.tensor.index_select(0, index.to(self.tensor.device))


class MemmapSource(Source):
    """Examples that stay in a file and are read a few batches at a time."""

    def __init__(self, examples: NDArray[np.generic], device: torch.device) -> None:
        self.rows, self.device = Rows(examples), device

    def __len__(self) -> int:
        return len(self.rows.values)

    def __getitem__(self, index: Tensor) -> Tensor:
        rows = self.rows(index.cpu().numpy())
        return torch.from_numpy(native(rows)).to(self.device)


class SubsetSource(Source):
    """Some examples of a source."""

    def __init__(self, source: Source, positions: Tensor) -> None:
        self.source, self.positions = source, positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.source[self.positions[index.cpu()]]


class LabeledSource(Source):
    """Examples of a source, and what is to be said of each instead: labels (n,) on the device."""

    def __init__(self, source: Source, labels: Tensor) -> None:
        self.source, self.labels = source, labels

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.source[index]

    def target(self, x: Tensor, index: Tensor) -> Tensor:
        return self.labels.index_select(0, index.to(self.labels.device))


class Epochs:
    """The batches of one epoch after the other, in an order that is a function of (random_state, epoch) alone."""

    def __init__(self, examples: Source, batch_size: int, random_state: int) -> None:
        self.examples, self.batch_size, self.random_state = examples, batch_size, random_state
        self.per_epoch = math.ceil(len(examples) / batch_size)
        self.batches: Iterator[tuple[Tensor, Tensor]] | None = None

    def next(self, place: int, epoch: int) -> tuple[Tensor, Tensor]:
        """The batch at a place of an epoch, from 0, and the places of its examples; others than the next one only at first."""
        if place == 0 or self.batches is None:
            generator = seeded("cpu", self.random_state, RandomStream.ORDER, epoch)
            order = torch.randperm(len(self.examples), generator=generator)
            self.batches = gathered(self.examples, order[place * self.batch_size :], self.batch_size)
        return next(self.batches)

    def restart(self) -> None:
        """The next batch is one of another place."""
        self.batches = None


def gathered(examples: Source, order: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The examples in an order, batch by batch, with their places; some batches are fetched together, which is faster."""
    together = batch_size * max(1, _FETCHED // batch_size)
    for positions in order.split(together):
        yield from zip(examples[positions].split(batch_size), positions.split(batch_size), strict=True)


def rows_within(most: int, shape: tuple[int, ...]) -> int:
    """How many examples of a shape to look at together: as many as asked for, but of large ones only so many as memory bears."""
    return max(1, min(most, _TOGETHER // math.prod(shape)))


def native(examples: NDArray[np.generic]) -> NDArray[np.generic]:
    """The examples in a type that PyTorch computes with."""
    wider = {"u2": np.int32, "u4": np.int64, "u8": np.float64}.get(examples.dtype.str[1:])
    return examples if wider is None else examples.astype(wider)
