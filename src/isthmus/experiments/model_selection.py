"""Model selection by validation errors: the elbow, the one-standard-error rule, the lowest error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Choice", "elbow", "select", "within_one_error"]

Rule = Literal["elbow", "one standard error", "best"]

_MIN_BEND = 0.1  # of the difference between first and last error; below this a curve counts as straight
_MIN_FALL = 0.05  # relative decrease from the first to the last error
_MIN_POINTS = 3  # for an elbow
_ERROR_FLOOR = 1e-9  # of the largest error: keeps logarithms finite


class Choice(NamedTuple):
    """The index of the chosen value, the rule, and the reason in a sentence."""

    place: int
    rule: Rule
    why: str


def select(values: Sequence[Any], errors: ArrayLike, *, size: bool = False) -> Choice:
    """Chooses a value by its errors.

    Sizes (each costs more than the one before) are chosen by the `elbow` of the mean errors. Without an elbow, and with several
    random states, the smallest size within one standard error of the best is chosen. Otherwise it is the lowest mean error, the
    first of equal ones.

    Args:
        values: (n,) the values.
        errors: (n, m) error of each value for each random state; lower is better.
        size: whether the values are sizes, in rising order.

    Returns:
        Index of the value, the rule, and the reason.
    """
    table = np.asarray(errors, dtype=np.float64)
    means, best, near = table.mean(1), int(table.mean(1).argmin()), within_one_error(table)
    if size:
        bend = elbow(values, means)
        if bend is not None:
            return Choice(bend, "elbow", f"the elbow: {_rates(values, means, bend)}")
        reason = f"no elbow, {_reason_without_elbow(values, means)}"
        if near[0] != best:
            why = f"the smallest within one standard error of the best, {values[best]}; {reason}"
            return Choice(near[0], "one standard error", why)
        return Choice(best, "best", f"the lowest error; {reason}: choose a smaller size if code size matters")
    others = [values[place] for place in near if place != best]
    shared = (
        f"; within one standard error of it: {', '.join(map(str, others))}" if others and table.shape[1] > 1 else ""
    )
    return Choice(best, "best", f"the lowest error{shared}{_reason_to_doubt(values, table, best, near)}")


def elbow(values: Sequence[float], errors: ArrayLike) -> int | None:
    """The elbow of a falling error curve (Kneedle, Satopaa et al. 2011).

    Both axes are logarithmic, so that a power law is straight and has no elbow, in any unit and for any grid. Both are normalized
    to [0, 1]. The elbow is the point furthest below the line from the first to the last point, by at least 0.1. A larger code
    raises the error only by chance, so isotonic regression makes the errors non-increasing first. Errors that are not
    all positive, such as nats, keep a linear axis.

    Args:
        values: (n,) positive sizes, rising.
        errors: (n,) the error of each.

    Returns:
        Index of the elbow. None where the curve is nearly straight, bends the other way, or has fewer than 3 points.
    """
    if len(values) < _MIN_POINTS:
        return None
    x, y = np.log2(np.asarray(values, dtype=np.float64)), _non_increasing(np.asarray(errors, dtype=np.float64))
    if y is None:
        return None
    across, down = (x - x[0]) / (x[-1] - x[0]), (y - y[-1]) / (y[0] - y[-1])
    below = 1 - across - down
    place = int(below.argmax())
    return place if below[place] >= _MIN_BEND else None


def _non_increasing(errors: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The errors after isotonic regression, as logarithms where all are positive; None where they fall by less than 5 %."""
    from sklearn.isotonic import IsotonicRegression

    positive = errors.min() >= 0 < errors.max()
    y = np.log(np.maximum(errors, errors.max() * _ERROR_FLOOR)) if positive else errors
    smooth: NDArray[np.float64] = IsotonicRegression(increasing=False).fit_transform(np.arange(len(y)), y)
    least = -np.log(1 - _MIN_FALL) if positive else 1e-12 * float(np.abs(y).max())
    return smooth if smooth[0] - smooth[-1] > least else None


def _reason_without_elbow(values: Sequence[float], means: NDArray[np.float64]) -> str:
    """Why a curve has no elbow."""
    if len(values) < _MIN_POINTS:
        return f"which requires at least {_MIN_POINTS} sizes"
    if _non_increasing(means) is None:
        return "larger codes do not lower the error noticeably"
    return "the error falls at about the same rate at all sizes"


def _reason_to_doubt(values: Sequence[Any], table: NDArray[np.float64], best: int, near: Sequence[int]) -> str:
    """Names the values further than one standard error away whose mean the random states do not tell from the best one."""
    if table.shape[1] < 2:
        return ""
    means, deviations = table.mean(1), table.std(1, ddof=1)
    close = means - means[best] <= np.maximum(deviations, deviations[best])
    named = ", ".join(str(values[place]) for place in np.flatnonzero(close).tolist() if place not in near)
    return f"; its lead over {named} is within the standard deviation over random states" if named else ""


def _rates(values: Sequence[float], means: NDArray[np.float64], bend: int) -> str:
    """How fast the error falls before and after the elbow."""
    doublings = np.log2(np.asarray(values, dtype=np.float64))
    before, after = doublings[bend] - doublings[0], doublings[-1] - doublings[bend]
    if means.min() <= 0:
        steps = (means[0] - means[bend]) / before, (means[bend] - means[-1]) / after
        return f"below it doubling the size lowers the error by {steps[0]:.3g}, above it by {steps[1]:.3g}"
    shares = 1 - (means[bend] / means[0]) ** (1 / before), 1 - (means[-1] / means[bend]) ** (1 / after)
    beyond = f"by {shares[1]:.0%}" if shares[1] > 0 else "not at all"
    return f"below it doubling the size lowers the error by {shares[0]:.0%}, above it {beyond}"


def within_one_error(errors: ArrayLike) -> list[int]:
    """Indices whose mean error is within one standard error of the lowest (Breiman et al. 1984).

    The standard error is that of the best value's mean over random states; with one state it is 0.

    Args:
        errors: (n values, m random states).
    """
    table = np.asarray(errors, dtype=np.float64)
    means, states = table.mean(1), table.shape[1]
    best = int(means.argmin())
    error = table[best].std(ddof=1) / np.sqrt(states) if states > 1 else 0.0
    return [int(place) for place in np.flatnonzero(means <= means[best] + error)]
