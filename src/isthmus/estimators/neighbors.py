"""The distance of examples to the nearest reference examples, alone and with the reconstruction error and tail probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.memmap import random_subset
from isthmus.estimators.score_terms import FLOOR, TINY, implausible_terms, log_scales, standardized_logs
from isthmus.nn.invariant import dense

__all__ = [
    "EQUAL",
    "MAX_REFERENCES",
    "MOST_ROWS",
    "NEIGHBORS",
    "TABLE_WEIGHTS",
    "NeighborDistance",
    "TableScore",
    "TailProbability",
    "choose_references",
]

Doubles = NDArray[np.float64]

NEIGHBORS = 5  # nearest references whose distances are averaged
MAX_REFERENCES, MAX_VALUES = 10_000, 2**23  # references, and values in all of them
_BLOCK = 128  # references whose distances to all others are computed at a time
_VALUES = 2**22  # of nearest references whose exact distances are computed at a time: of a batch up to 5,461 features
TABLE_WEIGHTS = (2, 1, 1)  # of distance, error and tail probability, see docs/log.md
_MIN_DEVIATION = 0.2  # of a feature, in root mean variances of all: rare categories are distant, but not without bound
EQUAL = 1e-3  # of a deviation: values that differ by less are equal
MOST_ROWS = 2**53  # of errors, whose number a file does not state
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class NeighborDistance:
    """The mean Euclidean distance to the `NEIGHBORS` nearest references.

    Features are divided by their standard deviation over the references, so that a rare category is as distant as an unusual number.

    Attributes:
        references: (m, d), in model units.
        deviations: the divisors, (d,).
    """

    references: NDArray[np.float32]
    deviations: Doubles

    @classmethod
    def fit(cls, rows: NDArray[Any]) -> Self:
        """The distance to rows (m, d)."""
        references = np.ascontiguousarray(rows, dtype=np.float32)
        variances = references.var(0, dtype=np.float64)
        varying = variances > 0
        least = _MIN_DEVIATION**2 * (variances[varying].mean() if varying.any() else 1.0)
        return cls(references, np.where(varying, np.sqrt(np.maximum(variances, least)), 1.0))

    def __call__(self, x: Doubles, observed: NDArray[np.bool_]) -> tuple[Doubles, NDArray[np.bool_]]:
        """The distances of examples (n, d) from the references that are nearest to them, over their observed values: (n,).

        One reference that is equal does not count: it may be the example itself. Missing values are imputed in x. The squared distance
        is scaled to all features; without an observed value it is NaN. The bits of an example do not depend on the other examples.

        Returns:
            The distances, and whether a reference did not count, both (n,).
        """
        nearest, own = self._nearest(x, torch.from_numpy(observed), NEIGHBORS + 1)
        if nearest.shape[1] > 1:
            nearest = torch.where(own[:, None], nearest[:, 1:], nearest[:, :-1])
        return nearest.mean(1).numpy(), own.numpy()

    def radius(self) -> float:
        """The largest distance of a reference from the center of all."""
        return math.sqrt(float(self._prepared[1].max()))

    def __getstate__(self) -> dict[str, Any]:
        """The fields, without what is prepared from them."""
        return {"references": self.references, "deviations": self.deviations}

    @cached_property
    def _prepared(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The references in deviations from their center (m, d), their squared norms (m,), the center (d,), and which vary (d,)."""
        scaled = torch.from_numpy(self.references / self.deviations)
        center, varying = scaled.mean(0), torch.from_numpy(self.references.max(0) > self.references.min(0))
        return scaled - center, (scaled - center).square().sum(1), center, varying

    def _nearest(self, rows: Doubles, observed: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The distances to the nearest references, ascending, and whether a row is equal to one of them apart from rounding.

        Constants of single and of double precision differ by more than other values, and do not tell rows apart.
        """
        references, norms, center, varying = self._prepared
        x = torch.from_numpy(rows / self.deviations) - center
        # |r|² - 2 x·r orders the references, but is rounded; the distances of the nearest are then exact
        order = norms - 2 * dense(x, references)
        nearest = order.topk(min(count, len(references)), largest=False).indices
        rows_at_once = max(1, _VALUES // (nearest.shape[1] * x.shape[1]))
        found = list[tuple[Tensor, Tensor]]()
        for row, known, indices in zip(*(each.split(rows_at_once) for each in (x, observed, nearest)), strict=True):
            differences = row[:, None] - references[indices]
            squares = torch.where(known[:, None], differences.square(), 0).sum(-1)
            own = ((differences.abs() <= EQUAL) | ~(known[:, None] & varying)).all(-1).any(1)
            found.append(((squares * (x.shape[1] / known.sum(1)[:, None])).sqrt().sort(1).values, own))
        distances, equal = (torch.cat(each) for each in zip(*found, strict=True))
        return distances, equal


@dataclass(frozen=True, eq=False)
class TailProbability:
    """How far out the values of an example lie, each column by itself, all to the same side.

    The share of references with a value as low, of those as high, and the geometric mean over columns of one over it; the larger of the
    two sides. After ECOD (Li et al. 2022, "ECOD: Unsupervised outlier detection using empirical cumulative distribution functions").
    Values within a thousandth of a deviation are equal, as single and double precision round them in other ways. Constant columns do
    not count.

    Attributes:
        columns: the values of the references, ascending, (v, m).
        varying: which of the d features are not constant, (v,).
        tolerances: differences that do not count, (v,).
    """

    columns: NDArray[np.float32]
    varying: NDArray[np.int64]
    tolerances: Doubles

    @classmethod
    def fit(cls, neighbors: NeighborDistance) -> Self:
        """The tails of the references of a distance."""
        columns = np.sort(np.ascontiguousarray(neighbors.references.T), axis=1)
        varying = np.flatnonzero(columns[:, 0] < columns[:, -1])
        return cls(columns[varying], varying, EQUAL * neighbors.deviations[varying])

    def __call__(self, x: NDArray[Any], observed: NDArray[np.bool_], own: NDArray[np.bool_]) -> Doubles:
        """One over the probabilities of examples (n, d), the mean over their observed values: (n,), at least 1.

        An example that is a reference (``own``, (n,)) does not count as one. Without an observed value it is NaN.
        """
        count, own = self.columns.shape[1], own.astype(int)[:, None]
        as_low = self._places(x[:, self.varying] + self.tolerances, "right")
        as_high = count - self._places(x[:, self.varying] - self.tolerances, "left")
        sides = [np.log((count - own + 1) / (number - own + 0.5)) for number in (as_low, as_high)]
        low, high = (np.where(observed[:, self.varying], side, 0).sum(1) for side in sides)
        known = observed[:, self.varying].sum(1)
        return np.where(observed.any(1), np.exp(np.maximum(low, high) / np.maximum(known, 1)), np.nan)

    def _places(self, x: Doubles, side: Literal["left", "right"]) -> NDArray[np.int64]:
        """The numbers of references before values (n, v), and with those that are equal for "right", (n, v)."""
        places = np.empty(x.shape, np.int64)
        for number, (column, values) in enumerate(zip(self.columns, x.astype(np.float32).T, strict=True)):
            places[:, number] = column.searchsorted(values, side)
        return places


@dataclass(frozen=True, eq=False)
class TableScore:
    """The distance to the nearest references, the mean squared error and the tail probability, as standardized logarithms.

    See `score_terms.log_scales`. The distance counts twice.

    Attributes:
        neighbors: the distance to the references.
        floors: a hundredth of the mean distance, error and inverse tail probability, (3,); files of older versions have no tails, (2,).
        centers, spreads: mean and standard deviation of the logarithms over normal examples, as many.
    """

    neighbors: NeighborDistance
    floors: Doubles
    centers: Doubles
    spreads: Doubles

    @classmethod
    def fit(cls, rows: NDArray[Any], errors: Doubles) -> Self:
        """The score on normal examples: the references (m, d), in model units, and mean squared errors (n,)."""
        neighbors, finite = NeighborDistance.fit(rows), errors[np.isfinite(errors)]
        distances, tails = _of_references(neighbors)
        return cls(neighbors, *log_scales([distances, finite if finite.size else np.zeros(1), tails]))

    def implausible(self) -> str:
        """What no `fit` can produce, for a message; "" if `fit` can produce all."""
        n = len(self.neighbors.references)
        counts = np.array([n, MOST_ROWS, n])[: len(self.floors)]  # of the errors at most
        if problem := implausible_terms(self.floors, self.centers, self.spreads, counts):
            return problem
        if self.floors[0] > max(2 * FLOOR * self.neighbors.radius() * (1 + _ROUNDING), TINY):
            return "has a floor that is larger than the distances of references"
        return ""

    def __call__(self, x: Doubles, observed: NDArray[np.bool_], errors: Doubles) -> Doubles:
        """The score of examples (n, d), see `NeighborDistance`, with their mean squared errors (n,): (n,), higher for anomalies.

        NaN without observed values.
        """
        distances, own = self.neighbors(x, observed)
        values = [distances, errors]
        if len(self.floors) == len(TABLE_WEIGHTS):
            values.append(self._tails(x, observed, own))
        weights = np.array(TABLE_WEIGHTS[: len(values)]) / sum(TABLE_WEIGHTS[: len(values)])
        terms = standardized_logs(np.stack(values), self.floors, self.centers, self.spreads)
        score: Doubles = (weights[:, None] * terms).sum(0)
        return score

    def __getstate__(self) -> dict[str, Any]:
        """The fields, without what is prepared from them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def _tails(self) -> TailProbability:
        return TailProbability.fit(self.neighbors)


def _of_references(neighbors: NeighborDistance) -> tuple[Doubles, Doubles]:
    """The distance and the inverse tail probability of each reference (m,), which does not count as its own neighbor."""
    tails, found = TailProbability.fit(neighbors), list[tuple[Doubles, Doubles]]()
    for block in np.split(neighbors.references, range(_BLOCK, len(neighbors.references), _BLOCK)):
        observed = np.ones(block.shape, bool)
        distances, own = neighbors(block.astype(np.float64), observed)
        found.append((distances, tails(block, observed, own)))
    distances, inverse = (np.concatenate(each) for each in zip(*found, strict=True))
    return distances, inverse


def choose_references(counts: Sequence[int], n_features: int, seed: int) -> list[NDArray[np.int64]]:
    """The row numbers of references in several arrays: all, or a random subset of at most `MAX_REFERENCES` rows and `MAX_VALUES` values.

    Args:
        counts: the number of rows of each array.
        n_features: of an example in model units.
        seed: draws the subset.
    """
    limit = max(NEIGHBORS + 1, min(MAX_REFERENCES, MAX_VALUES // max(1, n_features)))
    chosen, ends = random_subset(sum(counts), limit, seed), np.cumsum(counts)
    parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    return [part - (end - count) for part, end, count in zip(parts, ends, counts, strict=True)]
