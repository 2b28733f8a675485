"""Latent diagnostics: which units of the codes are used, how often, and how many dimensions suffice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.context_array import attach_context, context_of
from isthmus.data.validation import blocks
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.inference import in_batches
from isthmus.evaluation.pca import sample
from isthmus.evaluation.reconstruction import BLOCK_ROWS

__all__ = ["Codes", "latent_diagnostics", "projected_errors"]

Array = NDArray[Any]
Double = NDArray[np.float64]

ACTIVE_VARIANCE = 0.01  # a unit with a larger variance is active (Burda, Grosse & Salakhutdinov 2016)
MAX_PROJECTED = 1000  # examples whose codes are projected
_ROUNDING = 1e-6  # relative rounding error of a constant unit
_MAX_RANK_SIZE = 2048  # units; singular values of larger codes take minutes


@dataclass(frozen=True)
class Codes:
    """Latent diagnostics: how the codes of some examples use their units.

    A unit is one dimension of the code. In a map of codes (h, w, size) it is one channel, at all positions of the map.

    Attributes:
        size: number of units.
        positions: number of positions of a map of codes; 1 for a flat code.
        dead: units that are constant over the examples at every position, and so carry no information. They include the units
            of a sparse code that are never active.
        frequency: (size,) fraction of examples and positions at which each unit is active, that is, not zero.
        active_per_example: mean fraction of active units: the mean of ``frequency``.
        effective_rank: exp of the entropy of the normalized singular values of the centered codes (Roy & Vetterli 2007): 1 for
            codes on a line, ``size`` for equal variance in all directions, 0 for constant codes. None for more than 2,048 units.
        n_components: the effective rank rounded up.
        mse_projected: mean squared error, in squared model units, of at most 1,000 examples whose codes are projected onto their
            first ``n_components`` principal components. The components are those of the training codes, where training
            examples are given. None for codebooks, and where ``n_components`` equals ``size``.
        mse_unprojected: the same without projection. None in the same cases.
        active_units: units whose posterior mean has a variance above 0.01 over the examples, at any position
            (Burda, Grosse & Salakhutdinov 2016). None unless units have a posterior, as those of `Gaussian`.
        kl: (size,) Kullback-Leibler divergence of each unit from the prior, in nats per example, summed over positions. None
            without a posterior, and where it has no closed form: with a learned prior.
        codebook_size: entries of the codebook. None unless the bottleneck is VectorQuantized.
        perplexity: exp of the entropy of the usage of entries, at most `codebook_size`. None without codebook.
        unused_entries: entries that no example uses. None without codebook.
    """

    size: int
    positions: int
    dead: int
    frequency: tuple[float, ...]
    active_per_example: float
    effective_rank: float | None
    n_components: int | None
    mse_projected: float | None
    mse_unprojected: float | None
    active_units: int | None
    kl: tuple[float, ...] | None
    codebook_size: int | None
    perplexity: float | None
    unused_entries: int | None

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value and unit of each diagnostic that applies, for display."""
        at = "" if self.positions == 1 else f" at each of {self.positions:,} positions"
        frequencies = sorted(self.frequency)
        table: list[tuple[str, str | None, str]] = [
            ("Code size", f"{self.size:,}", f"units{at}"),
            ("Dead units", f"{self.dead:,}", "constant over all examples"),
            ("Effective rank", _short(self.effective_rank), "dimensions that the codes use"),
        ]
        if frequencies[0] < 1:  # in a dense code each unit is always active
            quantiles = f"minimum {frequencies[0]:.0%}, median {np.median(frequencies):.0%}, maximum {frequencies[-1]:.0%} per unit"
            table.append(
                ("Active per example", f"{self.active_per_example:.1%}", f"of the units are not zero; {quantiles}")
            )
        if self.active_units is not None:
            table.append(
                ("Active units", f"{self.active_units:,}", f"posterior means with a variance above {ACTIVE_VARIANCE}")
            )
        if self.kl is not None:
            range_of_kl = f"nats per example, total; from {min(self.kl):.3g} to {max(self.kl):.3g} per unit"
            table.append(("KL divergence from the prior", _short(sum(self.kl)), range_of_kl))
        if self.codebook_size is not None:
            table.append(("Codebook perplexity", _short(self.perplexity), f"of {self.codebook_size:,} entries"))
            table.append(("Unused entries", f"{self.unused_entries:,}", f"of {self.codebook_size:,} entries"))
        return [(name, value, unit) for name, value, unit in table if value is not None]


class _Moments:
    """Running sums over codes (n, positions, size), for means, variances and principal axes; memory does not grow with n."""

    def __init__(self, positions: int, size: int) -> None:
        self.count, self.pivot = 0, np.zeros((positions, size))
        self.sum, self.squares, self.active = (np.zeros((positions, size)) for _ in range(3))
        self.low, self.high = np.full((positions, size), np.inf), np.full((positions, size), -np.inf)
        self.outer = np.zeros((size, size)) if size <= _MAX_RANK_SIZE else None

    def add(self, z: Double) -> None:
        """Adds codes to the sums."""
        if not self.count:
            self.pivot = z.mean(0)  # squares of codes far from zero would round their differences away
        deviations = z - self.pivot
        self.count += len(z)
        self.sum += deviations.sum(0)
        self.squares += np.square(deviations).sum(0)
        self.active += (z != 0).sum(0)
        self.low, self.high = np.minimum(self.low, z.min(0)), np.maximum(self.high, z.max(0))
        if self.outer is not None:
            rows = (z - self.pivot.mean(0)).reshape(-1, z.shape[-1])
            self.outer += rows.T @ rows

    def variance(self) -> Double:
        """Variance over the examples, at each position: (positions, size)."""
        return np.asarray(self.squares / self.count - np.square(self.sum / self.count)).clip(0)

    def mean(self) -> Double:
        """Mean over examples and positions: (size,)."""
        return np.asarray((self.pivot + self.sum / self.count).mean(0))

    def dead(self) -> int:
        """Number of units that are constant over the examples, up to rounding."""
        varies = self.high - self.low > _ROUNDING * np.maximum(np.abs(self.high), np.abs(self.low))
        return int((~varies.any(0)).sum())

    def principal_axes(self) -> tuple[Double, Double]:
        """Singular values of the centered codes, in descending order (size,), and the axes as rows (size, size)."""
        assert self.outer is not None
        offset = (self.sum / self.count).mean(0)
        squares, axes = np.linalg.eigh(self.outer - self.count * len(self.pivot) * np.outer(offset, offset))
        return np.sqrt(squares[::-1].clip(0)), axes.T[::-1]


def latent_diagnostics(ae: Autoencoder, values: Array, training: Array | None, targets: Array | None = None) -> Codes:
    """The diagnostics of the codes of examples.

    Args:
        ae: a fitted autoencoder.
        values: examples (n, *shape).
        training: training examples (m, *shape), or None.
        targets: what reconstructions are compared with (n, *shape); None for the examples.
    """
    size, positions = ae.code_shape_[-1], math.prod(ae.code_shape_[:-1])
    moments, kl = _Moments(positions, size), np.zeros(size)
    entries, has_kl = ae.bottleneck_.codebook_size, False
    counts = np.zeros(entries or 1, np.int64)
    for _, block in blocks(values, BLOCK_ROWS):
        z, extra = _codes_and_extras(ae, block)
        moments.add(z)
        if entries is not None:
            counts += np.bincount(extra.astype(np.int64).ravel(), minlength=len(counts))
        elif extra.shape[-1]:
            kl, has_kl = kl + extra.sum((0, 1)), True
    active = moments.active.sum(0) / (moments.count * positions)
    rank = None if moments.outer is None else _effective_rank(moments.principal_axes()[0])
    n_components = None if rank is None else min(size, max(1, math.ceil(rank - 1e-9)))
    errors = (
        None
        if n_components in {None, size} or entries is not None
        else projected_errors(ae, values, training, int(n_components or 0), targets)
    )
    return Codes(
        size=size,
        positions=positions,
        dead=moments.dead(),
        frequency=tuple(active.tolist()),
        active_per_example=float(active.mean()),
        effective_rank=rank,
        n_components=n_components,
        mse_projected=None if errors is None else errors[0],
        mse_unprojected=None if errors is None else errors[1],
        active_units=int((moments.variance() > ACTIVE_VARIANCE).any(0).sum()) if ae.bottleneck_.has_posterior else None,
        kl=tuple((kl / moments.count).tolist()) if has_kl else None,
        codebook_size=entries,
        perplexity=float(np.exp(_entropy(counts))) if entries is not None else None,
        unused_entries=int((counts == 0).sum()) if entries is not None else None,
    )


def projected_errors(
    ae: Autoencoder, values: Array, training: Array | None, size: int, targets: Array | None = None
) -> tuple[float, float]:
    """The mean squared errors, in squared model units, with codes projected onto ``size`` principal axes, and without projection."""
    moments = _Moments(math.prod(ae.code_shape_[:-1]), ae.code_shape_[-1])
    for _, block in blocks(values if training is None else training, BLOCK_ROWS):
        moments.add(_codes_and_extras(ae, block)[0])
    axes, mean = moments.principal_axes()[1][:size], moments.mean()
    examples, rows = sample(values, MAX_PROJECTED)
    expected = examples if targets is None else np.asarray(targets[rows])
    z = ae.encode(examples)
    scale = ae.model_.scale.cpu().numpy().astype(np.float64)
    projected = mean + (z - mean) @ axes.T @ axes
    made = (ae._decode(attach_context(codes.astype(z.dtype), context_of(examples))) for codes in (projected, z))
    with_projection, without = (np.square(_differences(ae, each, expected) / scale).mean() for each in made)
    return float(with_projection), float(without)


def _differences(ae: Autoencoder, made: Array, true: Array) -> Array:
    """made - true, in raw units; for a category 0 where they are the same, else 1."""
    if not any(ae.scaling_.classes):
        return np.asarray(made - true)
    both = (torch.from_numpy(np.asarray(side, np.float64)) for side in (made, true))
    return ae.scaling_.differences(*both).numpy()


def _codes_and_extras(ae: Autoencoder, block: Array) -> tuple[Double, Double]:
    """The deterministic codes (n, positions, size), and the divergence of each unit or the codebook index of each position."""
    model, size = ae.model_, ae.code_shape_[-1]

    def encode(raw: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        h = model.hidden(model.normalize(raw), None, context)
        z, extra = model.code(h), model.divergences(h)
        indices = model.bottleneck.indices(h, model.code_memory)
        if indices is not None:
            extra = indices[..., None].to(z.dtype)
        return z if extra is None else torch.cat([z, extra], dim=-1)

    both = np.asarray(in_batches(encode, block, model), np.float64)
    both = both.reshape(len(block), -1, both.shape[-1])
    return both[..., :size], both[..., size:]


def _effective_rank(singular_values: Double) -> float:
    """exp of the entropy of the normalized singular values; 0 where all are rounding errors."""
    singular_values = np.where(singular_values > _ROUNDING * singular_values[0], singular_values, 0.0)
    return float(np.exp(_entropy(singular_values))) if singular_values.any() else 0.0


def _entropy(weights: NDArray[Any]) -> float:
    """Entropy of the normalized weights, in nats."""
    p = weights[weights > 0] / weights.sum()
    return -float((p * np.log(p)).sum())


def _short(value: float | None) -> str | None:
    """A number with three digits."""
    return None if value is None else f"{value:,.3g}"
