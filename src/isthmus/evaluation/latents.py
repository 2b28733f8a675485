"""The diagnostics of the codes: which of their numbers are used, how often, and how many would do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.validation import blocks
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.inference import in_batches
from isthmus.evaluation.pca import sample
from isthmus.evaluation.reconstruction import TOGETHER

__all__ = ["Codes", "latent_diagnostics", "projected"]

Array = NDArray[Any]
Double = NDArray[np.float64]

ACTIVE = 0.01  # the variance from which on a unit counts as active (Burda, Grosse & Salakhutdinov 2016)
PROJECTED = 1000  # examples whose codes are projected
_SAME = 1e-6  # how far rounding moves a number that does not differ, as a share of it
_WIDEST = 2048  # units, beyond which singular values take minutes


@dataclass(frozen=True)
class Codes:
    """What the codes of some examples use of the room that they have.

    A unit is a number of the code; of a map of codes (h, w, size) it is one of its features, at all places of the map.

    Attributes:
        size: units of a code.
        places: places of a map of codes; 1 where the code is a row.
        dead: units that never differ over the examples, at any place: they say nothing about any. Of a sparse code, units that are
            never active among them.
        frequency: for each unit the share of examples and places at which it is active, that is not zero: (size,).
        active_per_example: the share of units that are active at one place of an example, on average: the mean of ``frequency``.
        effective_rank: exp of the entropy of the singular values' shares of their sum, of the centered codes (Roy & Vetterli 2007):
            1 where all lie on a line, ``size`` where they reach equally far in each direction; 0 where all are the same. None for more
            than 2,048 units.
        enough: the effective rank rounded up.
        mse_projected, mse_unprojected: of at most 1,000 examples, the mean squared error in model units when their codes are projected
            on their first ``enough`` principal components, and when they are not. The components are those of the training codes,
            where there are training examples. None where ``enough`` is not less than ``size``, and for codes of entries of a codebook.
        active_units: units whose posterior mean has a variance over the examples of more than 0.01, at any place
            (Burda, Grosse & Salakhutdinov 2016). None unless the bottleneck is Gaussian.
        kl: Kullback-Leibler divergence of each unit from the prior, in nats per example, summed over places: (size,). None likewise.
        codebook_size: entries of the codebook. None unless the bottleneck is VectorQuantized.
        perplexity: exp of the entropy of how often each entry is chosen: as many entries used equally often would do. None likewise.
        unused_entries: entries that no example chooses. None likewise.
    """

    size: int
    positions: int
    dead: int
    frequency: tuple[float, ...]
    active_per_example: float
    effective_rank: float | None
    enough: int | None
    mse_projected: float | None
    mse_unprojected: float | None
    active_units: int | None
    kl: tuple[float, ...] | None
    codebook_size: int | None
    perplexity: float | None
    unused_entries: int | None

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value and unit of each figure that there is, for people."""
        at, often = ("" if self.positions == 1 else f" at each of {self.positions:,} places"), sorted(self.frequency)
        table: list[tuple[str, str | None, str]] = [
            ("Size of the code", f"{self.size:,}", f"numbers{at}"),
            ("Dead units", f"{self.dead:,}", "never differ over the examples"),
            ("Effective rank", _short(self.effective_rank), "directions that the codes fill"),
        ]
        if often[0] < 1:  # else each unit is always active, as those of a dense code are
            middle = f"least {often[0]:.0%}, median {np.median(often):.0%}, most {often[-1]:.0%} for a unit"
            table.append(
                ("Active per example", f"{self.active_per_example:.1%}", f"of the units are not zero; {middle}")
            )
        if self.kl is not None:
            spread = f"nats per example, in all; from {min(self.kl):.3g} to {max(self.kl):.3g} for a unit"
            table.append(
                ("Active units", f"{self.active_units:,}", f"posterior means with a variance of more than {ACTIVE}")
            )
            table.append(("Divergence from the prior", _short(sum(self.kl)), spread))
        if self.codebook_size is not None:
            table.append(("Codebook's perplexity", _short(self.perplexity), f"of {self.codebook_size:,} entries"))
            table.append(
                ("Unused entries", f"{self.unused_entries:,}", f"of {self.codebook_size:,} are chosen by no example")
            )
        return [(name, value, unit) for name, value, unit in table if value is not None]


class _Moments:
    """Sums over codes (n, places, size), from which means, variances and directions follow; they do not grow with n."""

    def __init__(self, positions: int, size: int) -> None:
        self.count, self.pivot = 0, np.zeros((positions, size))
        self.sum, self.squares, self.active = (np.zeros((positions, size)) for _ in range(3))
        self.low, self.high = np.full((positions, size), np.inf), np.full((positions, size), -np.inf)
        self.outer = np.zeros((size, size)) if size <= _WIDEST else None

    def add(self, z: Double) -> None:
        """Takes in some codes."""
        if not self.count:
            self.pivot = z.mean(0)  # far from zero, squares of the numbers themselves would swallow their differences
        apart = z - self.pivot
        self.count += len(z)
        self.sum += apart.sum(0)
        self.squares += np.square(apart).sum(0)
        self.active += (z != 0).sum(0)
        self.low, self.high = np.minimum(self.low, z.min(0)), np.maximum(self.high, z.max(0))
        if self.outer is not None:
            rows = (z - self.pivot.mean(0)).reshape(-1, z.shape[-1])
            self.outer += rows.T @ rows

    def variance(self) -> Double:
        """Over the examples, at each place: (places, size)."""
        return np.asarray(self.squares / self.count - np.square(self.sum / self.count)).clip(0)

    def mean(self) -> Double:
        """Over examples and places: (size,)."""
        return np.asarray((self.pivot + self.sum / self.count).mean(0))

    def dead(self) -> int:
        """Units that never differ over the examples, but for rounding."""
        apart = self.high - self.low > _SAME * np.maximum(np.abs(self.high), np.abs(self.low))
        return int((~apart.any(0)).sum())

    def directions(self) -> tuple[Double, Double]:
        """Of the centered codes the singular values, greatest first (size,), and the axes (size, size) as rows."""
        assert self.outer is not None
        off = (self.sum / self.count).mean(0)
        squares, axes = np.linalg.eigh(self.outer - self.count * len(self.pivot) * np.outer(off, off))
        return np.sqrt(squares[::-1].clip(0)), axes.T[::-1]


def latent_diagnostics(ae: Autoencoder, values: Array, training: Array | None) -> Codes:
    """The diagnostics of the codes of examples (n, *shape); ``training``, examples it was trained on, if there are."""
    size, positions = ae.code_shape_[-1], math.prod(ae.code_shape_[:-1])
    moments, kl = _Moments(positions, size), np.zeros(size)
    entries, divergent = ae.bottleneck_.codebook_size, False
    counts = np.zeros(entries or 1, np.int64)
    for _, block in blocks(values, TOGETHER):
        z, more = _looked_at(ae, block)
        moments.add(z)
        if entries is not None:
            counts += np.bincount(more.astype(np.int64).ravel(), minlength=len(counts))
        elif more.shape[-1]:
            kl, divergent = kl + more.sum((0, 1)), True
    active = moments.active.sum(0) / (moments.count * positions)
    rank = None if moments.outer is None else _effective_rank(moments.directions()[0])
    enough = None if rank is None else min(size, max(1, math.ceil(rank - 1e-9)))
    errors = (
        None if enough in {None, size} or entries is not None else projected(ae, values, training, int(enough or 0))
    )
    return Codes(
        size=size,
        positions=positions,
        dead=moments.dead(),
        frequency=tuple(active.tolist()),
        active_per_example=float(active.mean()),
        effective_rank=rank,
        enough=enough,
        mse_projected=None if errors is None else errors[0],
        mse_unprojected=None if errors is None else errors[1],
        active_units=int((moments.variance() > ACTIVE).any(0).sum()) if divergent else None,
        kl=tuple((kl / moments.count).tolist()) if divergent else None,
        codebook_size=entries,
        perplexity=float(np.exp(_entropy(counts))) if entries is not None else None,
        unused_entries=int((counts == 0).sum()) if entries is not None else None,
    )


def projected(ae: Autoencoder, values: Array, training: Array | None, size: int) -> tuple[float, float]:
    """The mean squared error in model units of examples whose codes are projected on as many directions, and of the codes themselves."""
    moments = _Moments(math.prod(ae.code_shape_[:-1]), ae.code_shape_[-1])
    for _, block in blocks(values if training is None else training, TOGETHER):
        moments.add(_looked_at(ae, block)[0])
    axes, mean = moments.directions()[1][:size], moments.mean()
    chosen = sample(values, PROJECTED)[0]
    z = ae.encode(chosen)
    scale = ae.model_.scale.cpu().numpy().astype(np.float64)
    flat = mean + (z - mean) @ axes.T @ axes
    small, whole = (np.square((ae.decode(codes.astype(z.dtype)) - chosen) / scale).mean() for codes in (flat, z))
    return float(small), float(whole)


def _looked_at(ae: Autoencoder, block: Array) -> tuple[Double, Double]:
    """The point codes of examples (n, places, size), and the divergence of each number from the prior, or each place's entry."""
    model, size = ae.model_, ae.code_shape_[-1]

    def look(raw: torch.Tensor) -> torch.Tensor:
        h = model.encoder(model.normalize(raw))
        z, more = model.bottleneck.deterministic(h, model.code_memory).z, model.bottleneck.divergences(h)
        indices = model.bottleneck.indices(h, model.code_memory)
        if indices is not None:
            more = indices[..., None].to(z.dtype)
        return z if more is None else torch.cat([z, more], dim=-1)

    found = np.asarray(in_batches(look, block, model), np.float64)
    found = found.reshape(len(block), -1, found.shape[-1])
    return found[..., :size], found[..., size:]


def _effective_rank(values: Double) -> float:
    """exp of the entropy of singular values as shares of their sum; 0 where there is nothing but rounding."""
    values = np.where(values > _SAME * values[0], values, 0.0)
    return float(np.exp(_entropy(values))) if values.any() else 0.0


def _entropy(weights: NDArray[Any]) -> float:
    """Of shares in proportion to weights, in nats."""
    shares = weights[weights > 0] / weights.sum()
    return -float((shares * np.log(shares)).sum())


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:,.3g}"
