"""The order of the examples of an epoch, in pieces: a function of (random_state, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from isthmus.training.rng import RandomStream, seeded

__all__ = ["Order", "ascending", "from_place", "shuffled"]


def shuffled(n: int, random_state: int, epoch: int) -> Tensor:
    """The indices (n,) of all examples in random order, for sources that can read any example at once."""
    return torch.randperm(n, generator=seeded("cpu", random_state, RandomStream.ORDER, epoch))


def ascending(n: int, size: int) -> Iterator[Tensor]:
    """The indices from 0 to before n, in parts of this size."""
    for begin in range(0, n, size):
        yield torch.arange(begin, min(begin + size, n))


def from_place(pieces: Iterable[Tensor], begin: int) -> Iterator[Tensor]:
    """The pieces of an order without its first ``begin`` indices."""
    for piece in pieces:
        if begin < len(piece):
            yield piece[begin:]
        begin = max(0, begin - len(piece))


class Order:
    """An order of examples that comes in pieces, cut into parts of other sizes."""

    def __init__(self, pieces: Iterable[Tensor]) -> None:
        self.pieces, self.rest = iter(pieces), torch.empty(0, dtype=torch.int64)

    def peek(self, size: int) -> Tensor:
        """The next indices, as many as there are but at most ``size``; the next part begins with them."""
        while len(self.rest) < size:
            piece = next(self.pieces, None)
            if piece is None:
                break
            self.rest = torch.cat([self.rest, piece]) if len(self.rest) else piece
        return self.rest[:size]

    def part(self, size: int) -> Tensor:
        """The next indices, as many as there are but at most ``size``."""
        part = self.peek(size)
        self.rest = self.rest[len(part) :]
        return part

    def parts(self, size: int) -> Iterator[Tensor]:
        """The remaining order in parts of this size; the last one may be smaller."""
        while len(part := self.part(size)):
            yield part
