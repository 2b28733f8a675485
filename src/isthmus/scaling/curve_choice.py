"""Which curve suits a feature, on held-out values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.scaling.curves import Curves, line

__all__ = ["best_curve"]

Doubles = NDArray[np.float64]

_FEWEST, _SKEWED = 50, 1.0  # observed values, and the skewness, of a column for which curves are tried
_FREQUENT = 0.05  # the share of a value, such as 0, that does not count where curves are compared
_GAIN, _ERRORS = 0.05, 2.0  # the least gain in nats per value and in standard errors
_LIMIT = 10.0  # of the gain of one value


class _MakesCurves(Protocol):
    """A scaling that makes a curve of a feature."""

    def curve(self, column: Doubles, precision: float) -> Curves: ...


How = TypeVar("How", bound=_MakesCurves)


def best_curve(column: Doubles, candidates: Sequence[How], precision: float) -> How | None:
    """The curve under which held-out values are more probable.

    Args:
        column: (n,) the observed values of a feature.
        candidates: what makes curves; the first comes first where two are as good.
        precision: the relative rounding error of the values.

    Returns:
        One of the candidates; None if standardization is as good.
    """
    held_out, used = np.split(np.random.default_rng(0).permutation(column), [len(column) // 5])
    values, counts = np.unique(used, return_counts=True)
    held_out = held_out[~np.isin(held_out, values[counts > _FREQUENT * len(used)])]  # such values have no density
    few = (
        len(column) < _FEWEST or len(held_out) < _FEWEST // 5 or len(values) < 3
    )  # a curve through two values is a line
    if few or np.mean(((used - used.mean()) / used.std()) ** 3) <= _SKEWED:
        return None
    best, most = None, _log_densities(line(float(used.mean()), float(used.std())), held_out)
    for how in candidates:
        found = _log_densities(how.curve(used, precision), held_out)
        gains = np.clip(found - most, -_LIMIT, _LIMIT)
        if gains.mean() > max(_GAIN, _ERRORS * gains.std() / np.sqrt(len(gains))):
            best, most = how, found
    return best


def _log_densities(curve: Curves, column: Doubles) -> Doubles:
    """The logarithm of the density of values if the curve makes them standard normal, up to a constant, (n,)."""
    curve = Curves(*map(torch.from_numpy, curve))
    x = curve.bend(torch.from_numpy(column[:, None]))
    densities: Doubles = (curve.log_slopes(x) - x.square() / 2)[:, 0].numpy()
    return densities
