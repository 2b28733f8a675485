"""Rows in blocks as a source of batches. An epoch reads each block once; a thread reads the next ones while the last ones are used.

A full shuffle would read any row at any time. Instead the blocks are shuffled, so many that follow one another are joined to a window
as fit into memory, and the rows of each window are shuffled. The order is a function of (random_state, epoch) alone, and no array has
an entry for each row of the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.blocks import BlockRows
from isthmus.training.batches import InMemorySource, Source, SubsetSource, WrappedSource, to_tensor
from isthmus.training.order import Order, from_place
from isthmus.training.rng import RandomStream, seeded

__all__ = ["BlockSource", "MaskedSource", "Subset", "Windows", "source_of_blocks", "subset"]

Numbers = NDArray[np.int64]

WINDOW_BYTES = 64 << 20  # of the rows of a window; two windows are in memory
_LEAST = 2  # blocks of a window
_INDEX_BYTES = 16  # of a row in the order of a window


class Windows:
    """The windows of an epoch: which blocks each has, in the order in which they are read.

    Args:
        sizes: (blocks,), the number of rows of each block.
        limit: the number of rows of a window; it has at least two blocks in any case, where there are two.
        random_state, epoch: determine the order.
        runs: (blocks,), the number of the run of each block: runs are shuffled, and the blocks of a run stay in their order.
    """

    def __init__(self, sizes: Numbers, limit: int, random_state: int, epoch: int, runs: Numbers | None = None) -> None:
        self.random_state, self.epoch = random_state, epoch
        run_of = np.arange(len(sizes)) if runs is None else np.unique(runs, return_inverse=True)[1]
        n_runs = int(run_of.max(initial=-1)) + 1
        shuffled = torch.randperm(n_runs, generator=seeded("cpu", random_state, RandomStream.ORDER, epoch)).numpy()
        order = shuffled.argsort()[run_of].argsort(kind="stable")
        order = order[sizes[order] > 0]
        self.blocks, self.window_of, self.place = list[Numbers](), np.zeros_like(sizes), np.zeros_like(sizes)
        begin = rows = 0
        for at, size in enumerate(sizes[order].tolist()):
            if at - begin >= _LEAST and rows + size > limit and len(order) - at >= _LEAST:
                self._close(order[begin:at], sizes)
                begin, rows = at, 0
            rows += size
        self._close(order[begin:], sizes)
        self.rows = [int(sizes[blocks].sum()) for blocks in self.blocks]

    def _close(self, blocks: Numbers, sizes: Numbers) -> None:
        self.window_of[blocks] = len(self.blocks)
        self.place[blocks] = np.cumsum(sizes[blocks]) - sizes[blocks]
        self.blocks.append(blocks)

    def order(self, number: int, offsets: Numbers) -> Tensor:
        """The indices of the rows of a window, in random order.

        Args:
            number: of the window.
            offsets: (blocks + 1,), the first row of each block.
        """
        index = (self.epoch << 32) + number
        indices = np.concatenate([np.arange(offsets[block], offsets[block + 1]) for block in self.blocks[number]])
        generator = seeded("cpu", self.random_state, RandomStream.WINDOW, index)
        return torch.from_numpy(indices)[torch.randperm(len(indices), generator=generator)]


class BlockSource(Source):
    """Rows in blocks, read in windows. A thread reads one window while the last one is used; it ends when reading stops.

    Args:
        rows: the examples.
        device: the device of batches.
        window_bytes: of the rows of a window; None for the usual number.
    """

    def __init__(self, rows: BlockRows, device: torch.device, window_bytes: int | None = None) -> None:
        self.rows, self.device, self.sizes, self.offsets = rows, device, rows.sizes, rows.offsets
        self.runs = rows.runs
        self.limit = max(1, (window_bytes or WINDOW_BYTES) // (rows.nbytes // max(1, len(rows)) + _INDEX_BYTES))
        self.windows: Windows | None = None
        self.pool: ThreadPoolExecutor | None = None
        self.held: dict[int, Future[NDArray[Any]]] = {}  # by the number of the window

    @property
    def in_blocks(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self.rows)

    def follow(self, other: Source) -> None:
        """Reads the same windows as another source of as many rows, whose blocks may be others."""
        assert isinstance(other, BlockSource)
        self.sizes, self.offsets, self.limit, self.runs = other.sizes, other.offsets, other.limit, other.runs

    def order(self, random_state: int, epoch: int, begin: int = 0) -> Iterator[Tensor]:
        self.stop_prefetch()
        windows = self.windows = Windows(self.sizes, self.limit, random_state, epoch, self.runs)
        for number, rows in enumerate(windows.rows):
            if begin < rows:
                yield from from_place([windows.order(number, self.offsets)], begin)
            begin = max(0, begin - rows)

    def __getitem__(self, index: Tensor) -> Tensor:
        positions = index.cpu().numpy()
        rows = self.rows.take(positions) if self.windows is None else self._from_windows(self.windows, positions)
        return to_tensor(rows).to(self.device)

    def _from_windows(self, windows: Windows, positions: Numbers) -> NDArray[Any]:
        """Rows of the windows, of which earlier ones are then forgotten, and the next one is read."""
        blocks = self.offsets[1:].searchsorted(positions, side="right")
        of, places = windows.window_of[blocks], windows.place[blocks] + positions - self.offsets[blocks]
        rows = np.empty((len(positions), *self.rows.shape[1:]), self.rows.dtype)
        needed = np.unique(of).tolist()
        for number in needed:
            self._read(windows, number)
            chosen = of == number
            rows[chosen] = self.held[number].result()[places[chosen]]
        for number in [number for number in self.held if number < needed[-1]]:
            del self.held[number]
        if needed[-1] + 1 < len(windows.rows):
            self._read(windows, needed[-1] + 1)
        return rows

    def _read(self, windows: Windows, number: int) -> None:
        """Begins to read a window in the background, unless it was read already."""
        if self.pool is None:
            self.pool = ThreadPoolExecutor(1, "isthmus blocks")
        if number not in self.held:
            self.held[number] = self.pool.submit(self._window, windows.blocks[number], windows.rows[number])

    def _window(self, blocks: Numbers, count: int) -> NDArray[Any]:
        """The rows of the blocks of a window, one block after the other."""
        window, at = np.empty((count, *self.rows.shape[1:]), self.rows.dtype), 0
        for block in blocks.tolist():
            for number, start, stop in self.rows.spans(int(self.offsets[block]), int(self.offsets[block + 1])):
                window[at : at + stop - start] = self.rows.part(number, start, stop)
                at += stop - start
        return window

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Masks (n,) of the training and the validation examples: each row is held out with this probability."""
        held = torch.rand(len(self), generator=generator, dtype=torch.float32) < fraction
        if not held.any():
            held[int(torch.randint(len(self), (1,), generator=generator))] = True
        return ~held, held

    def stop_prefetch(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
        self.pool, self.windows, self.held = None, None, {}


class MaskedSource(WrappedSource):
    """The examples of a mask (n,), under the indices that they have in the source: nothing else is stored for each example."""

    def __init__(self, source: Source, mask: Tensor) -> None:
        self.source, self.positions, self.count = source, mask, int(mask.sum())

    def __len__(self) -> int:
        return self.count

    def order(self, random_state: int, epoch: int, begin: int = 0) -> Iterator[Tensor]:
        pieces = self.source.order(random_state, epoch)
        return from_place((piece[self.positions[piece]] for piece in pieces), begin)

    def indices(self, size: int) -> Iterator[Tensor]:
        return Order(piece[self.positions[piece]] for piece in self.source.indices(size)).parts(size)

    def at(self, places: Tensor) -> Tensor:
        wanted, found, before = places.sort(), list[Tensor](), 0
        for piece in self.indices(1 << 20):
            inside = (wanted.values >= before) & (wanted.values < before + len(piece))
            found.append(piece[wanted.values[inside] - before])
            before += len(piece)
        return torch.cat(found)[wanted.indices.argsort()] if found else places


def source_of_blocks(rows: BlockRows, device: torch.device) -> Source:
    """Rows in blocks as a source: on the device where all of them fit into one window, which is shuffled as a whole."""
    return InMemorySource(np.asarray(rows), device) if rows.nbytes <= WINDOW_BYTES else BlockSource(rows, device)


Subset: TypeAlias = SubsetSource | MaskedSource  # its `positions` are indices, or a mask of examples in blocks


def subset(source: Source, rows: Tensor) -> Subset:
    """Some examples of a source, by their indices, or by a mask (n,) of examples in blocks."""
    return MaskedSource(source, rows) if rows.dtype == torch.bool else SubsetSource(source, rows)
