"""The blocks of rows that were read last, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BlockCache"]

Array = npt.NDArray[Any]

_BYTES = 64 << 20  # of all blocks that are kept
_LEAST = 2  # blocks that are kept in any case: two threads may read at the border between them


class BlockCache:
    """Keeps the blocks that were read last: two, and more while all have less than 64 MiB. Threads read one after the other."""

    def __init__(self) -> None:
        self.lock, self.blocks = RLock(), OrderedDict[int, Array]()

    def __call__(self, number: int, read: Callable[[int], Array]) -> Array:
        """The block with a number, read-only; it is read if it is not kept."""
        with self.lock:
            block = self.blocks.pop(number, None)
            if block is None:
                block = np.asarray(read(number)).view()
                block.flags.writeable = False
            self.blocks[number] = block
            while len(self.blocks) > _LEAST and sum(each.nbytes for each in self.blocks.values()) > _BYTES:
                self.blocks.popitem(last=False)
            return block

    def uncached(self, number: int, read: Callable[[int], Array]) -> Array:
        """The block with a number, which is not kept unless it is already."""
        with self.lock:
            block = self.blocks.get(number)
            return np.asarray(read(number)) if block is None else block

    def __reduce__(self) -> tuple[type[BlockCache], tuple[()]]:
        """A copy, also in another process, begins empty."""
        return BlockCache, ()
