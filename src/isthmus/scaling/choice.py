"""The scaling that suits some data, and the range of scaled examples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from isthmus.data.kinds import Kind
from isthmus.data.statistics import DataStatistics
from isthmus.scaling.affine import MinMax, NoScaling, Standard, UInt8
from isthmus.scaling.base import Affine, Per, Scaling
from isthmus.scaling.curves import Curves

__all__ = ["Range", "choose", "range_of", "shared_by", "wide_enough", "within"]


class Range(NamedTuple):
    """Minimum and maximum of examples, and whether all values are integers."""

    low: float
    high: float
    all_integers: bool


def shared_by(kind: Kind, ndim: int) -> Per:
    """Which values of examples (n, *shape) share a unit: a feature of a table, a channel of windows or color images, or all."""
    if kind == "table":
        return "feature"
    return "channel" if ndim > (3 if kind == "images" else 2) else "all"


def range_of(statistics: DataStatistics) -> Range:
    """The range of examples."""
    low, high = statistics.min_max(tuple(range(statistics.values.ndim)))
    return Range(float(low), float(high), statistics.all_integers)


def choose(statistics: DataStatistics, kind: Kind, unit_interval: bool = False) -> Scaling:
    """The scaling that ``scaling="auto"`` selects for examples of a kind.

    Tables are standardized by feature and windows by channel. Images in [0, 1] (with a maximum of at least 0.5) are not scaled. Bytes and
    other integers from 0 to 255 are divided by 255. Other images are standardized by channel.

    Args:
        statistics: the statistics of the examples.
        kind: the kind of the examples.
        unit_interval: whether the likelihood expects values in [0, 1].
    """
    values = statistics.values
    low, high, all_integers = range_of(statistics) if kind == "images" or unit_interval else (-np.inf, np.inf, False)
    if low >= 0 and high <= 1 and (all_integers or (kind == "images" and high >= 0.5)):
        return NoScaling()
    if kind == "images" and low >= 0 and high <= 255 and (values.dtype == np.uint8 or (all_integers and high > 127)):
        return UInt8()
    per = shared_by(kind, values.ndim)
    return MinMax(per="all" if kind == "images" else per) if unit_interval else Standard(per=per)


def wide_enough(statistics: DataStatistics) -> np.dtype[Any]:
    """float32 if it represents all values of the examples exactly, otherwise float64."""
    dtype = np.promote_types(statistics.values.dtype, np.float32)
    if statistics.values.dtype.kind in "iu" and dtype == np.float64:
        low, high, _ = range_of(statistics)
        return np.dtype(np.float32 if low >= -(2**24) and high <= 2**24 else np.float64)
    return dtype


def within(
    statistics: DataStatistics, affine: Affine, least: float, largest: float, curves: Curves | None = None
) -> bool:
    """Whether the scaled examples are in [least, largest], as a likelihood expects, apart from rounding."""
    if least == -np.inf and largest == np.inf:
        return True
    if curves is not None:  # they increase: minimum and maximum become minimum and maximum
        both = torch.from_numpy(np.stack(statistics.min_max((0,))).astype(np.float64))
        bent = Curves(*map(torch.as_tensor, curves)).bend(both).numpy()
        return not bool((bent < least - 1e-9).any() or (bent > largest + 1e-9).any())
    ends = statistics.min_max_for(np.broadcast_shapes(affine.shift.shape, affine.scale.shape))
    low, high = ((side.astype(np.float64) - affine.shift) / affine.scale for side in ends)
    return not bool((low < least - 1e-9).any() or (high > largest + 1e-9).any())
