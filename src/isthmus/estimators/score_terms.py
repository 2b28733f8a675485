"""The terms of anomaly scores that join several: weights of errors, and logarithms on a common scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOOR", "TINY", "error_weights", "implausible_terms", "log_scales", "standardized_logs"]

Doubles = NDArray[np.float64]

FLOOR = 0.01  # of the mean: equal examples have a distance of 0, whose logarithm is infinite
TINY = 1e-30
# fraction of the mean error, added to that of each feature: features with tiny errors must not dominate the score
_ERROR_FLOOR = 0.1
_PRIOR_ROWS, _PRIOR_SPREAD = 5, 0.5  # of the standard deviation of a logarithm, for few rows
_ROUNDING = 1e-6


def error_weights(usual: Doubles, least: float = TINY) -> Doubles:
    """Factors of the squared errors of features (d,), one over their mean errors ``usual`` (d,); these are at least ``least``."""
    weights: Doubles = 1 / np.maximum(usual + _ERROR_FLOOR * usual.mean(), least)
    return weights


def log_scales(usual: Sequence[Doubles]) -> tuple[Doubles, Doubles, Doubles]:
    """The floor, center and spread of several kinds of values, each (n,) and at least 0, of normal examples: (terms,) each.

    A value v becomes (log(v + floor) - center) / spread, which makes its unit irrelevant. Floors are a hundredth of the mean, centers
    and spreads the mean and standard deviation of the logarithms. The spread of few rows is drawn to 0.5, a usual one.
    """
    floors = np.array([max(FLOOR * float(values.mean()), TINY) for values in usual])
    logarithms = [np.log(values + floor) for values, floor in zip(usual, floors, strict=True)]
    return floors, np.array([each.mean() for each in logarithms]), np.array([*map(_spread, logarithms)])


def standardized_logs(values: Doubles, floors: Doubles, centers: Doubles, spreads: Doubles) -> Doubles:
    """The values (terms, n) as standardized logarithms, (terms, n)."""
    floors, centers, spreads = (each[:, None] for each in (floors, centers, spreads))
    logs: Doubles = (np.log(values + floors) - centers) / spreads
    return logs


def implausible_terms(floors: Doubles, centers: Doubles, spreads: Doubles, counts: Any) -> str:
    """What `log_scales` cannot give for at most this many examples of each term (terms,), for a message; "" if it can give all."""
    if not (np.stack([floors, spreads]) > 0).all():
        return "has a floor or spread that is not above 0"
    # the mean of values is at most 100 floors, so that the mean of log(value + floor) is at most log(101 floors)
    above = centers - np.log(floors)
    if not ((above > -_ROUNDING) & (above < math.log(1 + 1 / FLOOR) + _ROUNDING)).all():
        return "has a center that does not belong to its floor"
    counts = np.asarray(counts)
    least = np.sqrt(_PRIOR_ROWS / (counts + _PRIOR_ROWS)) * _PRIOR_SPREAD
    most = np.maximum(np.log(1 + counts / FLOOR) / 2, _PRIOR_SPREAD)  # no value is above the sum
    if not ((spreads > least * (1 - _ROUNDING)) & (spreads < most * (1 + _ROUNDING))).all():
        return "has a spread that no examples have"
    return ""


def _spread(logarithms: Doubles) -> float:
    """The standard deviation, with a prior of `_PRIOR_ROWS` rows."""
    n = len(logarithms)
    return math.sqrt((n * float(logarithms.var()) + _PRIOR_ROWS * _PRIOR_SPREAD**2) / (n + _PRIOR_ROWS))
