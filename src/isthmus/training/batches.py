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
from isthmus.training.order import ascending, shuffled

__all__ = [
    "ContextSource",
    "InMemorySource",
    "LabeledSource",
    "MemmapSource",
    "PairedSource",
    "Source",
    "SubsetSource",
    "WeightedSource",
    "WrappedSource",
    "chunk_size",
    "to_tensor",
    "to_torch_dtype",
]

_MAX_ELEMENTS = 2**21  # values of one chunk of examples; the layers of a model produce several times as many


class Source(Protocol):
    """Examples in raw units, accessed by index."""

    @property
    def in_memory(self) -> bool:
        """Whether all examples are held on the device."""
        return False

    @property
    def decodes(self) -> bool:
        """Whether examples are decoded each time they are read."""
        return False

    @property
    def paired(self) -> bool:
        """Whether targets are other examples."""
        return False

    @property
    def in_blocks(self) -> bool:
        """Whether examples are read in blocks, so that only `order` and `indices` read them fast."""
        return False

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Tensor:
        """The examples (b, *shape) at these indices (b,), on the device."""

    def order(self, random_state: int, epoch: int, begin: int = 0) -> Iterator[Tensor]:
        """The indices of all examples in the random order of an epoch, without the first `begin`, in pieces of any size."""
        yield shuffled(len(self), random_state, epoch)[begin:]

    def indices(self, size: int) -> Iterator[Tensor]:
        """The indices of all examples, ascending, in parts of this size."""
        return ascending(len(self), size)

    def at(self, places: Tensor) -> Tensor:
        """The indices (k,) of the examples in these places of `indices`, which count from 0."""
        return places

    def target(self, x: Tensor, index: Tensor) -> Tensor:
        """The targets of examples x (b, *shape) in model units at these indices. By default they are x."""
        return x

    def context(self, index: Tensor) -> Tensor | None:
        """The context (b, context) of the examples at these indices; None without."""
        return None

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The indices, or masks (n,) of examples in blocks, of training and of validation examples: this fraction, and at least one."""
        held = max(1, round(len(self) * fraction))
        order = torch.randperm(len(self), generator=generator)
        return order[held:].sort().values, order[:held].sort().values

    def follow(self, other: Source) -> None:
        """Reads examples in blocks in the same order as another source of as many examples in blocks."""
        return

    def weights(self, index: Tensor) -> Tensor | None:
        """The weights (b,) of the losses of the examples at these indices, on the device; None if all are 1."""
        return None

    def prefetch(self, index: Tensor) -> None:
        """Announces that the examples at these indices, and their targets, are read soon. A slow source begins to read them."""
        return

    def stop_prefetch(self) -> None:
        """Forgets what was announced, and ends the threads that read it."""
        return


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

    def prefetch(self, index: Tensor) -> None:
        self.source.prefetch(self.positions[index.cpu()])

    def stop_prefetch(self) -> None:
        self.source.stop_prefetch()


class WrappedSource(Source):
    """Examples of a source, with all that it knows of them; a subclass changes one thing."""

    source: Source

    @property
    def in_memory(self) -> bool:
        return self.source.in_memory

    @property
    def paired(self) -> bool:
        return self.source.paired

    @property
    def in_blocks(self) -> bool:
        return self.source.in_blocks

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.source[index]

    def order(self, random_state: int, epoch: int, begin: int = 0) -> Iterator[Tensor]:
        return self.source.order(random_state, epoch, begin)

    def indices(self, size: int) -> Iterator[Tensor]:
        return self.source.indices(size)

    def at(self, places: Tensor) -> Tensor:
        return self.source.at(places)

    def target(self, x: Tensor, index: Tensor) -> Tensor:
        return self.source.target(x, index)

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.source.split(fraction, generator)

    def context(self, index: Tensor) -> Tensor | None:
        return self.source.context(index)

    def weights(self, index: Tensor) -> Tensor | None:
        return self.source.weights(index)

    def prefetch(self, index: Tensor) -> None:
        self.source.prefetch(index)

    def stop_prefetch(self) -> None:
        self.source.stop_prefetch()


class LabeledSource(WrappedSource):
    """Examples of a source with labels (n,) on the device as their targets."""

    def __init__(self, source: Source, labels: Tensor) -> None:
        self.source, self.labels = source, labels

    def target(self, x: Tensor, index: Tensor) -> Tensor:
        return self.labels.index_select(0, index.to(self.labels.device))


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
        if source.in_blocks:
            targets.follow(source)

    @property
    def paired(self) -> bool:
        return True

    @property
    def in_blocks(self) -> bool:
        return self.source.in_blocks or self.targets.in_blocks

    def order(self, random_state: int, epoch: int, begin: int = 0) -> Iterator[Tensor]:
        """The order of the source, or of the targets if these alone are read in blocks. Both read what it requires."""
        read = [each for each in (self.source, self.targets) if each.in_blocks] or [self.source]
        for pieces in zip(*(each.order(random_state, epoch, begin) for each in read), strict=True):
            yield pieces[0]

    def target(self, x: Tensor, index: Tensor) -> Tensor:
        return self.normalize(self.targets[index])

    def prefetch(self, index: Tensor) -> None:
        self.source.prefetch(index)
        self.targets.prefetch(index)

    def stop_prefetch(self) -> None:
        self.source.stop_prefetch()
        self.targets.stop_prefetch()


class WeightedSource(WrappedSource):
    """Examples of a source with a weight (n,) of the loss of each, on the device."""

    def __init__(self, source: Source, weights: Tensor) -> None:
        self.source, self.rows = source, weights

    def weights(self, index: Tensor) -> Tensor:
        return self.rows.index_select(0, index.to(self.rows.device))


def chunk_size(limit: int, shape: tuple[int, ...]) -> int:
    """The number of examples of this shape per chunk: at most `limit`, and fewer for large examples, to bound memory."""
    return max(1, min(limit, _MAX_ELEMENTS // math.prod(shape)))


def to_torch_dtype(examples: NDArray[np.generic]) -> NDArray[np.generic]:
    """The examples in a dtype that PyTorch can compute with: uint16 becomes int32, uint32 int64, uint64 float64."""
    dtype = {"u2": np.int32, "u4": np.int64, "u8": np.float64}.get(examples.dtype.str[1:])
    return examples if dtype is None else examples.astype(dtype)


def to_tensor(examples: NDArray[np.generic]) -> Tensor:
    """The examples as a tensor, without a copy where that is possible."""
    # NumPy calls a reversed axis of one element contiguous, and PyTorch does not take it
    values = np.require(to_torch_dtype(examples), requirements=["C", "W"])
    return torch.from_numpy(values if min(values.strides) >= 0 else values.copy())
