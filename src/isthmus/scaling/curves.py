"""Monotone curves, one for each feature: raw units <-> model units where an affine map does not suit skewed numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor
from torch.nn.functional import pad

from isthmus.data.memmap import random_subset, selected_rows
from isthmus.data.validation import blocks
from isthmus.nn.places import places

__all__ = ["Curves", "by_logarithm", "by_quantiles", "joined", "line", "some_rows"]

Doubles = NDArray[np.float64]

_MOST_ROWS, _MOST_VALUES = 100_000, 1 << 24  # of the examples that curves are fitted to
_REACH = math.log(
    10.0
)  # the logarithm continues as its tangent below a tenth of the least and above ten times the largest value
_ROUNDED = 1e-6  # of logarithms
_GAP = 64  # the smallest distance of knots, in rounding errors of the largest
_ROUNDING = 2.0**-52  # of float64
_INSIDE = 1e-6  # the distance of neighboring intervals of ranks, in their length
_RARE = 5  # rows, at least, of each different value on average, in a feature of which all are frequent
_END = 0.1  # the distance of the first and the last rank from 0 and 1, in rows


class Curves(NamedTuple):
    """A strictly increasing curve for each of d features, in double precision.

    It is linear between k knots, and continues beyond them with its average slope. Where the tangents differ, it is linear in the
    logarithm of raw + shift.

    Attributes:
        knots: (d, k) raw values or logarithms, strictly increasing.
        values: (d, k) model units at the knots, strictly increasing.
        shift: (d,) the number that is added before the logarithm; 0 without one.
        gap: (d,) the distance from a frequent value to the knots at both sides of it, between which model units become this value; 0 if
            no value is frequent, and with a logarithm.
        tangents: (d, 2) the logarithms beyond which the logarithm continues as its tangent; 0 and 0 without a logarithm.
    """

    knots: Any
    values: Any
    shift: Any
    gap: Any
    tangents: Any

    def bend(self, raw: Tensor) -> Tensor:
        """Raw examples (b, *shape) in model units. NaN stays."""
        flat = raw.flatten(1).double()
        moved = flat + self.shift
        bounded = torch.clamp(moved, *self.tangents.exp().unbind(1))
        logarithms = bounded.log() + (moved - bounded) / bounded
        return _through(torch.where(self._logarithmic, logarithms, flat), self.knots, self.values).reshape(raw.shape)

    def unbend(self, x: Tensor) -> Tensor:
        """The inverse of `bend`: examples (b, *shape) in raw units."""
        flat = x.flatten(1).double()
        at = self._at_frequent_values(flat, _through(flat, self.values, self.knots))
        bounded = torch.clamp(at, *self.tangents.unbind(1))
        powers = bounded.exp() * (1 + at - bounded) - self.shift
        return torch.where(self._logarithmic, powers, at).reshape(x.shape)

    def log_slopes(self, x: Tensor) -> Tensor:
        """The logarithm of the derivative of `bend` at the examples that become x, (b, *shape) in model units."""
        flat = x.flatten(1).double()
        columns = torch.arange(len(self.knots), device=x.device)
        outer = _slopes(self.knots, self.values)[columns, _place(flat, self.values)].log()
        inner = -torch.clamp(_through(flat, self.values, self.knots), *self.tangents.unbind(1))  # of the logarithm
        return torch.where(self._logarithmic, outer + inner, outer).reshape(x.shape)

    def _at_frequent_values(self, x: Tensor, at: Tensor) -> Tensor:
        """The raw values ``at`` (b, d) of x, exact between the knots at both sides of a frequent value."""
        if not torch.compiler.is_exporting() and not self.gap.any():  # a graph has no branches
            return at
        close = self.knots.diff(dim=1) < 1.5 * self.gap[:, None]
        frequent = pad(close, (1, 0)) & pad(close, (0, 1))  # knots
        columns, place = torch.arange(len(self.knots), device=x.device), _place(x, self.values)
        for side in (place - 1, place):
            knot = side.clamp(0, self.knots.shape[1] - 1)
            inside = (side == knot) & frequent[columns, knot]
            at = torch.where(inside, self.knots[columns, knot], at)
        return at

    def problem(self) -> str:
        """Why these are no curves that a fit can give; "" if nothing is wrong. A swapped pair of tangents would be no logarithm."""
        if not all(side.isfinite().all() for side in self):
            return "a value of a curve is not finite"
        if not all((side.diff(dim=1) > 0).all() for side in (self.knots, self.values)):
            return "the knots of a curve do not increase"
        plain = (self.tangents == 0).all(1) & (self.shift == 0) & (self.gap >= 0)
        apart = (self.tangents[:, 1] - self.tangents[:, 0] >= 2 * _REACH - _ROUNDED) & (self.gap == 0)
        return "" if (plain | apart).all() else "the tangents of a logarithm are too near, or in the wrong order"

    @property
    def _logarithmic(self) -> Tensor:
        """Whether each curve is linear in the logarithm, (d,)."""
        logarithmic: Tensor = self.tangents[:, 0] < self.tangents[:, 1]
        return logarithmic


def _through(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """The curve through (knots, values), at x (b, d)."""
    columns, place = torch.arange(len(knots), device=x.device), _place(x, knots)
    start = (place - 1).clamp(min=0)
    return values[columns, start] + (x - knots[columns, start]) * _slopes(knots, values)[columns, place]


def _place(x: Tensor, knots: Tensor) -> Tensor:
    """The number of knots below each value (b, d)."""
    if torch.compiler.is_exporting():
        return places(x, knots)
    return torch.searchsorted(knots, x.T.contiguous()).T.contiguous()  # noise is drawn in the order of the memory


def _slopes(knots: Tensor, values: Tensor) -> Tensor:
    """The slopes below, between and above the knots, (d, k + 1)."""
    outer = (values[:, -1:] - values[:, :1]) / (knots[:, -1:] - knots[:, :1])
    return torch.cat([outer, values.diff(dim=1) / knots.diff(dim=1), outer], 1)


def some_rows(values: NDArray[Any]) -> Doubles:
    """At most 100,000 examples, a random subset of more, as rows (m, d) in double precision: curves are fitted to them.

    Args:
        values: the examples (n, *shape).
    """
    most = max(2, min(_MOST_ROWS, _MOST_VALUES // max(1, math.prod(values.shape[1:]))))
    chosen = selected_rows(values, random_subset(len(values), most))
    rows = np.concatenate([block.astype(np.float64) for _, block in blocks(chosen)])
    return rows.reshape(rows.shape[0], -1)


def line(shift: float, scale: float) -> Curves:
    """The curve (raw - shift) / scale of one feature."""
    return _curve(np.array([shift, shift + scale]), np.array([0.0, 1.0]))


def by_logarithm(column: Doubles, shift: float) -> Curves:
    """The curve log(raw + shift), standardized.

    Args:
        column: (n,) the observed values of one feature, above -shift and not all equal.
        shift: the number that is added.
    """
    logarithms = np.log(column + shift)
    center, deviation = logarithms.mean(), logarithms.std()
    curve = _curve(center + deviation * np.array([-1.0, 1.0]), np.array([-1.0, 1.0]))
    tangents = np.array([[logarithms.min() - _REACH, logarithms.max() + _REACH]])
    return curve._replace(shift=np.array([shift]), tangents=tangents)


def by_quantiles(column: Doubles, count: int, normal: bool, precision: float, intervals: bool = False) -> Curves:
    """The curve through quantiles. Of equal values it takes the middle of their ranks.

    Args:
        column: (n,) the observed values of one feature, not all equal.
        count: the largest number of quantiles.
        normal: whether model units are those of a standard normal distribution; else ranks from 0 to 1.
        precision: the relative rounding error of the values.
        intervals: whether all ranks of a frequent value lead back to this value. Frequent is each value of a feature with at most
            ``count`` different ones in five times as many rows, and of others a value with the ranks of two quantiles.
    """
    ordered = np.sort(column)
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(np.int64)
    different = np.unique(ordered)
    few = intervals and len(different) <= min(count, len(ordered) // _RARE)
    precision = max(precision, _ROUNDING) if intervals else precision  # that of whole numbers is 0
    gap = _GAP * precision * float(np.abs(ordered[[0, -1]]).max())
    knots = _apart(different if few else np.unique(ordered[places]), gap)
    first, last = np.searchsorted(ordered, knots, "left"), np.searchsorted(ordered, knots, "right")
    ranks = (first + last) / (2 * len(ordered))
    frequent = intervals & (last - first >= (1 if few else 2 * len(ordered) / count))
    if not frequent.any():
        return _curve(knots, ndtri(ranks) if normal else ranks)
    ends = np.clip(np.stack([first, last]) / len(ordered), _END / len(ordered), 1 - _END / len(ordered))
    knots, ranks = _with_intervals(knots, ranks, ends, frequent, gap / 4)
    return _curve(knots, ndtri(ranks) if normal else ranks)._replace(gap=np.array([gap / 4]))


def _with_intervals(
    knots: Doubles, ranks: Doubles, ends: Doubles, frequent: NDArray[np.bool_], side: float
) -> tuple[Doubles, Doubles]:
    """Knots and their ranks (k,), with two more knots close to each frequent one, at the first and the last (2, k) of its ranks."""
    inside = _INSIDE * (ends[1] - ends[0])
    kept = np.stack([frequent, np.ones_like(frequent), frequent], 1)
    steps = np.stack([knots - side, knots, knots + side], 1)
    return steps[kept], np.stack([ends[0] + inside, ranks, ends[1] - inside], 1)[kept]


def _apart(knots: Doubles, gap: float) -> Doubles:
    """The knots without those that are hardly below the next one. The first and the last one stay."""
    kept = [knots[-1]]
    for knot in knots[-2:0:-1]:
        if kept[-1] - knot > gap and knot - knots[0] > gap:
            kept.append(knot)
    return np.array([knots[0], *kept[::-1]])


def _curve(knots: Doubles, values: Doubles) -> Curves:
    """One curve that is not linear in a logarithm."""
    return Curves(knots[None], values[None], np.zeros(1), np.zeros(1), np.zeros((1, 2)))


def joined(curves: Sequence[Curves]) -> Curves:
    """The curves of several features as one: further knots continue those that have fewer.

    Args:
        curves: one for each feature.
    """
    count = max(each.knots.shape[1] for each in curves)
    return Curves(
        np.concatenate([_continued(each.knots, count) for each in curves]),
        np.concatenate([_continued(each.values, count) for each in curves]),
        np.concatenate([each.shift for each in curves]),
        np.concatenate([each.gap for each in curves]),
        np.concatenate([each.tangents for each in curves]),
    )


def _continued(points: Doubles, count: int) -> Doubles:
    """Points (1, k) and further ones at their average distance, (1, count)."""
    distance = (points[0, -1] - points[0, 0]) / (points.shape[1] - 1)
    return np.concatenate([points, points[:, -1:] + distance * np.arange(1, count - points.shape[1] + 1)], 1)
