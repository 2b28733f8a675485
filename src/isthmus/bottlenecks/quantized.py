"""Entries of a learned codebook."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat
from torch import Generator, Tensor
from torch.nn import functional as F

from isthmus.bottlenecks.base import Bottleneck, Code, per_example
from isthmus.memory import Memory
from isthmus.products import dense
from isthmus.records import Count, Fraction, record

__all__ = ["VectorQuantized"]

_DISTANCES = 2**22
_COPIES = 3


@record
class VectorQuantized(Bottleneck):
    """VQ-VAE (van den Oord, Vinyals & Kavukcuoglu 2017): each place of the code is the nearest of ``entries`` learned vectors.

    The codebook follows the encoder as a running mean of what is assigned to each entry (their appendix A.1); an entry whose
    running count falls below ``revive`` starts again at a random output of the encoder, so that none stays dead, and the very first
    step fills the whole codebook in this way. The penalty is ``commitment`` times the squared distance to the entry.
    """

    entries: Count = 512
    commitment: NonNegativeFloat = 0.25
    decay: Fraction = 0.99
    revive: NonNegativeFloat = 0.01

    @property
    def discrete(self) -> bool:
        return True

    @property
    def products(self) -> int:
        return self.entries * self.size

    @property
    def beside(self) -> int:
        """Distances of some places from all entries; in training which entry each has, in eight bytes and in four."""
        return _COPIES * _rows_at_once(self.entries) * self.entries

    def memory(self, generator: Generator) -> Memory:
        codebook = torch.empty(self.entries, self.size, dtype=torch.float32).normal_(generator=generator)
        return Memory(
            buffers={
                "codebook": codebook,
                "counts": codebook.new_zeros(self.entries),
                "sums": torch.zeros_like(codebook),
            }
        )

    def __call__(self, h: Float[Tensor, "b *places width"], memory: Memory, generator: Generator) -> Code:
        if memory.training:
            rows = h.detach().reshape(-1, self.size)
            self._revive(rows, memory, generator)
            index = nearest(rows, memory["codebook"])
            code = self._code(h, index, memory)
            self._follow(rows, index, memory)
            return code
        return self.point(h, memory)

    def point(self, h: Float[Tensor, "b *places width"], memory: Memory) -> Code:
        return self._code(h, nearest(h.detach().reshape(-1, self.size), memory["codebook"]), memory)

    def _code(self, h: Float[Tensor, "b *places width"], index: Int[Tensor, "rows"], memory: Memory) -> Code:
        e = memory["codebook"][index].reshape(h.shape)
        share = torch.bincount(index, minlength=self.entries).to(torch.float32) / len(index)
        perplexity = torch.exp(-(share * torch.log(share.clamp(min=1e-12))).sum())
        z = e + (h - h.detach())  # straight through: e forwards, to the last bit, the identity backwards
        return Code(z, self.commitment * per_example((h - e) ** 2), {"perplexity": perplexity})

    @torch.no_grad()
    def _revive(self, rows: Float[Tensor, "rows size"], memory: Memory, generator: Generator) -> None:
        dead = (memory["counts"] < self.revive)[:, None]
        draw = torch.randint(len(rows), (self.entries,), generator=generator, device=generator.device)
        memory["codebook"].copy_(torch.where(dead, rows[draw], memory["codebook"]))
        memory["sums"].copy_(torch.where(dead, memory["codebook"], memory["sums"]))
        memory["counts"].copy_(torch.where(dead[:, 0], 1.0, memory["counts"]))

    @torch.no_grad()
    def _follow(self, rows: Float[Tensor, "rows size"], index: Int[Tensor, "rows"], memory: Memory) -> None:
        """One step of an exponential moving average; with decay=0 it is one step of k-means."""
        size = _rows_at_once(self.entries)
        counts, sums = torch.zeros_like(memory["counts"]), torch.zeros_like(memory["sums"])
        for some, part in zip(index.split(size), rows.split(size), strict=True):
            chosen = F.one_hot(some, self.entries).to(rows.dtype)
            counts, sums = counts + chosen.sum(0), sums + chosen.T @ part
        memory["counts"].mul_(self.decay).add_(counts, alpha=1 - self.decay)
        memory["sums"].mul_(self.decay).add_(sums, alpha=1 - self.decay)
        means = memory["sums"] / memory["counts"].clamp(min=1e-12)[:, None]
        memory["codebook"].copy_(torch.where(memory["counts"][:, None] > 0, means, memory["codebook"]))


def nearest(rows: Float[Tensor, "rows size"], codebook: Float[Tensor, "entries size"]) -> Int[Tensor, "rows"]:
    """The index of the codebook's entry at the least Euclidean distance from each row.

    Of many rows some at a time, always equally many, so that a row meets the same instructions wherever it stands.
    """
    size, norms = _rows_at_once(len(codebook)), codebook.square().sum(1)
    if len(rows) <= size:
        return (norms - dense(2 * rows, codebook)).argmin(1)
    whole = F.pad(rows, (0, 0, 0, -len(rows) % size))
    return torch.cat([(norms - dense(2 * part, codebook)).argmin(1) for part in whole.split(size)])[: len(rows)]


def _rows_at_once(entries: int) -> int:
    """How many rows are compared with all entries at once: their distances are a few million numbers."""
    return max(1, _DISTANCES // entries)
