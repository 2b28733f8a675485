"""Sources of examples in raw units: all examples on the device, or a file that is read a few batches at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.memmap import Rows
from isthmus.training.rng import RandomStream, seeded

__all__ = [
    "ContextSource",
    "Epochs",
    "InMemorySource",
    "LabeledSource",
    "MemmapSource",
    "PairedSource",
    "Source",
    "SubsetSource",
    "WeightedSource",
    "chunk_size",
    "iter_batches",
    "to_tensor",
    "to_torch_dtype",
]

_PREFETCH = 2048  # examples
_MAX_ELEMENTS = 2**21  # values of one chunk of examples; the layers of a model produce several times as many


class Source(Protocol):
    """Examples in raw units, accessed by index."""

    @property
    def in_memory(self) -> bool:
        """Whether all examples are held on the device."""
        return False

    @property
    def paired(self) -> bool:
        """Whether targets are other examples."""
        return False

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Tensor:
        """The examples (b, *shape) at these indices (b,), on the device."""

    def target(self, x: Tensor, index: Tensor) -> Tensor:
        """The targets of examples x (b, *shape) in model units at these indices. By default they are x."""
        return x

    def context(self, index: Tensor) -> Tensor | None:
        """The context (b, context) of the examples at these indices; None without."""
        return None

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The indices of training and of validation examples, ascending: this fraction, drawn at random, and at least one."""
        held = max(1, round(len(self) * fraction))
        order = torch.randperm(len(self), generator=generator)
        return order[held:].sort().values, order[:held].sort().values

    def weights(self, index: Tensor) -> Tensor | None:
        """The weights (b,) of the losses of the examples at these indices, on the device; None if all are 1."""
        return None


class InMemorySource(Source):
    """Examples that are held on the device, in their own dtype."""

    @property
    def in_memory(self) -> bool:
        return True

    def __init__(self, examples: NDArray[np.generic], device: torch.device) -> None:
        self.tensor = to_tensor(examples).to(device)

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.tensor.index_select(0, index.to(self.tensor.device))


class MemmapSource(Source):
    """Examples in a memory-mapped file, or sparse ones, read a few batches at a time."""

    def __init__(self, examples: NDArray[np.generic], device: torch.device) -> None:
        self.rows, self.device = Rows(examples), device

    def __len__(self) -> int:
        return len(self.rows.values)

    def __getitem__(self, index: Tensor) -> Tensor:
        rows = self.rows(index.cpu().numpy())
        return to_tensor(rows).to(self.device)


class SubsetSource(Source):
    """A subset of the examples of a source, by index."""

    def __init__(self, source: Source, positions: Tensor) -> None:
        self.source, self.positions = source, positions

    @property
    def paired(self) -> bool:
        return self.source.paired

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.source[self.positions[index.cpu()]]

    def target(self, x: Tensor, index: Tensor) -> Tensor:
        return self.source.target(x, self.positions[index.cpu()])

    def context(self, index: Tensor) -> Tensor | None:
        return self.source.context(self.positions[index.cpu()])


class LabeledSource(Source):
    """Examples of a source with labels (n,) on the device as their targets."""

    def __init__(self, source: Source, labels: Tensor) -> None:
        self.source, self.labels = source, labels

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.source[index]

    def target(self, x: Tensor, index: Tensor) -> Tensor:
        return self.labels.index_select(0, index.to(self.labels.device))


class WrappedSource(Source):
    """Examples of a source, with all that it knows of them; a subclass changes one thing."""

    source: Source

    @property
    def in_memory(self) -> bool:
        return self.source.in_memory

    @property
    def paired(self) -> bool:
        return self.source.paired

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.source[index]

    def target(self, x: Tensor, index: Tensor) -> Tensor:
        return self.source.target(x, index)

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.source.split(fraction, generator)

    def context(self, index: Tensor) -> Tensor | None:
        return self.source.context(index)

    def weights(self, index: Tensor) -> Tensor | None:
        return self.source.weights(index)


class ContextSource(WrappedSource):
    """Examples of a source with a context (n, context) on the device."""

    def __init__(self, source: Source, context: Tensor) -> None:
        self.source, self.rows = source, context

    def context(self, index: Tensor) -> Tensor:
        return self.rows.index_select(0, index.to(self.rows.device))


class PairedSource(WrappedSource):
    """Examples of a source with other examples as their targets, which are normalized alike."""

    def __init__(self, source: Source, targets: Source, normalize: Callable[[Tensor], Tensor]) -> None:
        self.source, self.targets, self.normalize = source, targets, normalize

    @property
    def paired(self) -> bool:
        return True

    def target(self, x: Tensor, index: Tensor) -> Tensor:
        return self.normalize(self.targets[index])


class WeightedSource(WrappedSource):
    """Examples of a source with a weight (n,) of the loss of each, on the device."""

    def __init__(self, source: Source, weights: Tensor) -> None:
        self.source, self.rows = source, weights

    def weights(self, index: Tensor) -> Tensor:
        return self.rows.index_select(0, index.to(self.rows.device))


class Epochs:
    """The batches of successive epochs. The order of examples depends only on (random_state, epoch)."""

    def __init__(self, examples: Source, batch_size: int, random_state: int) -> None:
        self.examples, self.batch_size, self.random_state = examples, batch_size, random_state
        self.per_epoch = math.ceil(len(examples) / batch_size)
        self.batches: Iterator[tuple[Tensor, Tensor]] | None = None

    def next(self, batch_index: int, epoch: int) -> tuple[Tensor, Tensor]:
        """The batch with this index in the epoch, from 0, and the indices of its examples.

        Only the first call, and the first one after `restart`, may skip batches.
        """
        if batch_index == 0 or self.batches is None:
            generator = seeded("cpu", self.random_state, RandomStream.ORDER, epoch)
            order = torch.randperm(len(self.examples), generator=generator)
            self.batches = iter_batches(self.examples, order[batch_index * self.batch_size :], self.batch_size)
        return next(self.batches)

    def restart(self) -> None:
        """Allows the next call to start at any batch."""
        self.batches = None


def iter_batches(examples: Source, order: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of examples in the given order, with their indices. Several batches are fetched at once, which is faster.

    After the first batch, whose examples show their shape, these are as many as `chunk_size` allows.
    """
    first, rest = order[:batch_size], order[batch_size:]
    x = examples[first]
    yield x, first
    if len(rest):
        prefetched = batch_size * max(1, chunk_size(_PREFETCH, tuple(x.shape[1:])) // batch_size)
        for positions in rest.split(prefetched):
            yield from zip(examples[positions].split(batch_size), positions.split(batch_size), strict=True)


def chunk_size(limit: int, shape: tuple[int, ...]) -> int:
    """The number of examples of this shape per chunk: at most `limit`, and fewer for large examples, to bound memory."""
    return max(1, min(limit, _MAX_ELEMENTS // math.prod(shape)))


def to_torch_dtype(examples: NDArray[np.generic]) -> NDArray[np.generic]:
    """The examples in a dtype that PyTorch can compute with: uint16 becomes int32, uint32 int64, uint64 float64."""
    dtype = {"u2": np.int32, "u4": np.int64, "u8": np.float64}.get(examples.dtype.str[1:])
    return examples if dtype is None else examples.astype(dtype)


def to_tensor(examples: NDArray[np.generic]) -> Tensor:
    """The examples as a tensor, without a copy where that is possible.

    NumPy calls a reversed axis of one element contiguous, and PyTorch does not take it.
    """
    values = np.require(to_torch_dtype(examples), requirements=["C", "W"])
    return torch.from_numpy(values if min(values.strides) >= 0 else values.copy())
