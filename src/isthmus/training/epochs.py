"""The batches of epochs, in an order that depends only on (random_state, epoch). The next ones are announced to their source."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable
from typing import TypeAlias

from torch import Tensor

from isthmus.training.batches import Source, chunk_size
from isthmus.training.order import Order

__all__ = ["Batches", "Epochs", "iter_batches", "read_ahead"]

Batches: TypeAlias = "Generator[tuple[Tensor, Tensor], None, None]"  # examples (b, *shape) and their indices (b,)

_FETCHED = 2048  # examples that are fetched at once
_AHEAD = 2  # parts that are announced before they are read


class Epochs:
    """The batches of successive epochs. The order of examples depends only on (random_state, epoch)."""

    def __init__(self, examples: Source, batch_size: int, random_state: int) -> None:
        self.examples, self.batch_size, self.random_state = examples, batch_size, random_state
        self.per_epoch = math.ceil(len(examples) / batch_size)
        self.batches: Batches | None = None

    def next(self, batch_index: int, epoch: int) -> tuple[Tensor, Tensor]:
        """The batch with this index in the epoch, from 0, and the indices of its examples.

        Only the first call, and the first one after `restart`, may skip batches.
        """
        if batch_index == 0 or self.batches is None:
            self.restart()
            order = self.examples.order(self.random_state, epoch, batch_index * self.batch_size)
            self.batches = iter_batches(self.examples, order, self.batch_size)
        return next(self.batches)

    def restart(self) -> None:
        """Allows the next call to start at any batch, and ends the threads that read ahead."""
        if self.batches is not None:
            self.batches.close()
        self.batches = None


def iter_batches(examples: Source, pieces: Iterable[Tensor], batch_size: int) -> Batches:
    """Batches of examples in the order that the pieces give, with their indices. Several batches are fetched at once, which is faster.

    After the first batch, whose examples show their shape, these are as many as `chunk_size` allows.
    """
    order = Order(pieces)
    try:
        examples.prefetch(order.peek((1 + _AHEAD) * batch_size))
        first = order.part(batch_size)
        x = examples[first]
        yield x, first
        fetched = batch_size * max(1, chunk_size(_FETCHED, tuple(x.shape[1:])) // batch_size)
        for several, positions in _read(examples, order.parts(fetched)):
            yield from zip(several.split(batch_size), positions.split(batch_size), strict=True)
    finally:
        examples.stop_prefetch()


def read_ahead(examples: Source, parts: Iterable[Tensor]) -> Batches:
    """The examples of each part of an order, with their indices. A slow source reads the next parts in the background."""
    try:
        yield from _read(examples, parts)
    finally:
        examples.stop_prefetch()


def _read(examples: Source, parts: Iterable[Tensor]) -> Batches:
    following, waiting = iter(parts), deque[Tensor]()
    while True:
        while len(waiting) <= _AHEAD and (part := next(following, None)) is not None:
            waiting.append(part)
        if not waiting:
            return
        for each in waiting:
            examples.prefetch(each)
        index = waiting.popleft()
        yield examples[index], index
