"""Split conformal prediction: the rank of a threshold, and p-values, from scores of normal examples held out for calibration."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["conformal_p_values", "conformal_rank", "required_examples"]

Doubles = NDArray[np.float64]


def conformal_rank(rate: float, n: int) -> int:
    """The rank of the threshold among n ascending calibration scores, ⌊rate (n + 1)⌋; 0 if there are too few for this false-alarm rate."""
    # the factor corrects a product that is rounded below an integer
    return math.floor(rate * (n + 1) * (1 + 1e-12))


def required_examples(rate: float) -> int:
    """The least number of calibration examples for this false-alarm rate."""
    return math.ceil(1 / rate) - 1


def conformal_p_values(calibration_scores: Doubles, scores: Any) -> Doubles:
    """(1 + number of calibration scores that are not higher) / (n_calibration + 1), for scores (n,): (n,)."""
    lower = np.searchsorted(calibration_scores, scores, side="right")
    p_values: Doubles = np.divide(1.0 + lower, 1.0 + len(calibration_scores), dtype=np.float64)
    return p_values
