"""Images that several processes decode together: each decodes its own, and receives those of the others."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.nn.processes import Processes
from isthmus.training.batches import Source, WrappedSource

__all__ = ["shared_reading"]


def shared_reading(source: Source, processes: Processes) -> Source:
    """The source, where reading is slow as a source of which each process decodes a part. All processes read the same rows."""
    return SharedSource(source, processes) if source.decodes and processes.size > 1 else source


class SharedSource(WrappedSource):
    """Examples of a source. An example is decoded by the process that its index says, so that it does not depend on its batch."""

    def __init__(self, source: Source, processes: Processes) -> None:
        self.source, self.processes = source, processes

    def __getitem__(self, index: Tensor) -> Tensor:
        owners, size = index.cpu() % self.processes.size, self.processes.size
        counts = torch.bincount(owners, minlength=size)
        most, own = int(counts.max()), self.source[self._own(index)]
        padded = own.new_zeros(most, *own.shape[1:])
        padded[: len(own)] = own
        parts = self.processes.collect(padded, most * size).split(most)
        by_owner = torch.cat([part[:count] for part, count in zip(parts, counts.tolist(), strict=True)])
        return torch.empty_like(by_owner).index_copy_(0, owners.argsort(stable=True).to(own.device), by_owner)

    def prefetch(self, index: Tensor) -> None:
        self.source.prefetch(self._own(index))

    def _own(self, index: Tensor) -> Tensor:
        """The indices of examples that this process decodes."""
        return index[index % self.processes.size == self.processes.rank]
