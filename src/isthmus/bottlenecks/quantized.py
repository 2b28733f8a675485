"""Vector quantization: codes are entries of a learned codebook."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat
from torch import Generator, Tensor
from torch.nn import functional as F

from isthmus.bottlenecks.base import Bottleneck, Code, Problem, per_example
from isthmus.nn.invariant import dense
from isthmus.nn.variables import Variables
from isthmus.records import Count, Fraction, record

__all__ = ["VectorQuantized"]

_DISTANCES = 2**22
_COPIES = 3


@record
class VectorQuantized(Bottleneck):
    """VQ-VAE (van den Oord, Vinyals & Kavukcuoglu 2017): each position of the code is the nearest of ``codebook_size`` vectors.

    The codebook is an exponential moving average of the encoder outputs assigned to each entry (their appendix A.1), with the factor
    ``decay``. An entry whose running count falls below ``dead_threshold`` is set to a random encoder output; the first step initializes
    the whole codebook in this way. The penalty is ``commitment`` times the squared distance to the entry.
    """

    codebook_size: Count = 512
    commitment: NonNegativeFloat = 0.25
    decay: Fraction = 0.99
    dead_threshold: NonNegativeFloat = 0.01

    @property
    def discrete(self) -> bool:
        return True

    @property
    def multiplications(self) -> int:
        return self.codebook_size * self.size

    @property
    def shared_values(self) -> int:
        """Distances between a block of positions and all entries; in training also one-hot assignments, in 8 and in 4 bytes."""
        return _COPIES * _rows_at_once(self.codebook_size) * self.codebook_size

    def variables(self, generator: Generator) -> Variables:
        codebook = torch.empty(self.codebook_size, self.size, dtype=torch.float32).normal_(generator=generator)
        return Variables(
            buffers={
                "codebook": codebook,
                "counts": codebook.new_zeros(self.codebook_size),
                "sums": torch.zeros_like(codebook),
            }
        )

    def __call__(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables, generator: Generator
    ) -> Code:
        if variables.training:
            rows = h.detach().reshape(-1, self.size)
            self._revive(rows, variables, generator)
            index = nearest(rows, variables["codebook"])
            code = self._code(h, index, variables)
            self._follow(rows, index, variables)
            return code
        return self.deterministic(h, variables)

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        return self._code(h, nearest(h.detach().reshape(-1, self.size), variables["codebook"]), variables)

    def indices(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables
    ) -> Int[Tensor, "b *positions"]:
        return nearest(h.reshape(-1, self.size), variables["codebook"]).reshape(h.shape[:-1])

    def lookup(self, indices: Int[Tensor, "b *positions"], variables: Variables) -> Float[Tensor, "b *positions size"]:
        return variables["codebook"][indices]

    def remedy(self, problem: Problem) -> str:
        ours = {
            "dead units": "",
            "codebook collapse": "raise bottleneck.dead_threshold, train longer, or reduce bottleneck.codebook_size",
        }
        return ours.get(problem, super().remedy(problem))

    def _code(
        self, h: Float[Tensor, "b *positions encoder_outputs"], index: Int[Tensor, "rows"], variables: Variables
    ) -> Code:
        e = variables["codebook"][index].reshape(h.shape)
        share = torch.bincount(index, minlength=self.codebook_size).to(torch.float32) / index.shape[0]
        perplexity = torch.exp(-(share * torch.log(share.clamp(min=1e-12))).sum())
        z = e + (h - h.detach())  # straight-through estimator: exactly e forward, the identity backward
        return Code(z, self.commitment * per_example((h - e) ** 2), {"perplexity": perplexity})

    @torch.no_grad()
    def _revive(self, rows: Float[Tensor, "rows size"], variables: Variables, generator: Generator) -> None:
        dead = (variables["counts"] < self.dead_threshold)[:, None]
        draw = torch.randint(len(rows), (self.codebook_size,), generator=generator, device=generator.device)
        variables["codebook"].copy_(torch.where(dead, rows[draw], variables["codebook"]))
        variables["sums"].copy_(torch.where(dead, variables["codebook"], variables["sums"]))
        variables["counts"].copy_(torch.where(dead[:, 0], 1.0, variables["counts"]))

    @torch.no_grad()
    def _follow(self, rows: Float[Tensor, "rows size"], index: Int[Tensor, "rows"], variables: Variables) -> None:
        """One step of the exponential moving average; with decay=0 it is one step of k-means."""
        size = _rows_at_once(self.codebook_size)
        counts, sums = torch.zeros_like(variables["counts"]), torch.zeros_like(variables["sums"])
        weights = variables.weights
        each = None if weights is None else weights.repeat_interleave(len(rows) // len(weights))
        for begin, (some, part) in enumerate(zip(index.split(size), rows.split(size), strict=True)):
            chosen = F.one_hot(some, self.codebook_size).to(rows.dtype)
            if each is not None:
                chosen = chosen * each[begin * size :][: len(some), None]
            counts, sums = counts + chosen.sum(0), sums + chosen.T @ part
        variables["counts"].mul_(self.decay).add_(counts, alpha=1 - self.decay)
        variables["sums"].mul_(self.decay).add_(sums, alpha=1 - self.decay)
        means = variables["sums"] / variables["counts"].clamp(min=1e-12)[:, None]
        variables["codebook"].copy_(torch.where(variables["counts"][:, None] > 0, means, variables["codebook"]))


def nearest(rows: Float[Tensor, "rows size"], codebook: Float[Tensor, "entries size"]) -> Int[Tensor, "rows"]:
    """The index of the codebook entry nearest to each row, by Euclidean distance.

    Many rows are processed in blocks of equal size, so that the result of a row does not depend on its position.
    """
    size, norms = _rows_at_once(len(codebook)), codebook.square().sum(1)
    if torch.compiler.is_exporting() or rows.shape[0] <= size:  # a graph is for batches of any size
        return (norms - dense(2 * rows, codebook)).argmin(1)
    whole = F.pad(rows, (0, 0, 0, -rows.shape[0] % size))
    return torch.cat([(norms - dense(2 * part, codebook)).argmin(1) for part in whole.split(size)])[: rows.shape[0]]


def _rows_at_once(entries: int) -> int:
    """The number of rows compared with all entries at once: a few million distances."""
    return max(1, _DISTANCES // entries)
