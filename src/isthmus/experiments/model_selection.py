"""Which of several values to take, from their errors on validation examples: the elbow, the one-standard-error rule, the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Choice", "elbow", "select", "within_one_error"]

Rule = Literal["elbow", "one standard error", "best"]

_BEND = 0.1  # of the way from the first error to the last: a curve that is bent by less counts as straight
_FALL = 0.05  # by which the whole curve has to fall
_FEWEST = 3  # points that can have a bend
_LEAST = 1e-9  # of the largest error: smaller ones are as good as none, and have a logarithm so


class Choice(NamedTuple):
    """The place of the value to take, by which rule, and why in a sentence."""

    place: int
    rule: Rule
    why: str


def select(values: Sequence[Any], errors: ArrayLike, *, size: bool = False) -> Choice:
    """The value to take, by its errors (n values, m random states), of which less is better.

    For sizes (each value costs more than the one before): the `elbow` of the mean errors; where there is none, the smallest
    within one standard error of the best, if there are several random states. For anything else, and for sizes of one
    state: the value of the least mean error; of equal ones the first.
    """
    table = np.asarray(errors, dtype=np.float64)
    means, best, close = table.mean(1), int(table.mean(1).argmin()), within_one_error(table)
    if size:
        bend = elbow(values, means)
        if bend is not None:
            return Choice(bend, "elbow", f"the elbow: {_pace(values, means, bend)}")
        straight = f"no elbow, {_straightness(values, means)}"
        if close[0] != best:
            why = f"the smallest within one standard error of the best, {values[best]}; {straight}"
            return Choice(close[0], "one standard error", why)
        return Choice(best, "best", f"the least error; {straight}: take fewer where room is dear")
    others = [values[place] for place in close if place != best]
    shared = (
        f"; within one standard error of it: {', '.join(map(str, others))}" if others and table.shape[1] > 1 else ""
    )
    return Choice(best, "best", f"the least error{shared}")


def elbow(values: Sequence[float], errors: ArrayLike) -> int | None:
    """Where a falling curve bends most, or None where it is as good as straight, bends the other way, or has fewer than 3 points.

    Kneedle (Satopaa et al. 2011), with logarithms on both axes, so that neither units nor the sizes tried invent a bend: a power law
    is straight. Both axes are brought to [0, 1]; the elbow is the point furthest below the line from the first to the last,
    and has to be 0.1 below. As more room cannot hurt but by chance, the errors are first replaced by the nearest that never
    rise (isotonic regression). Errors that are not all above zero, as nats may be, keep a linear axis.

    Args:
        values: (n,) sizes above zero, rising.
        errors: (n,) the error at each.
    """
    if len(values) < _FEWEST:
        return None
    x, y = np.log2(np.asarray(values, dtype=np.float64)), _falling(np.asarray(errors, dtype=np.float64))
    if y is None:
        return None
    across, down = (x - x[0]) / (x[-1] - x[0]), (y - y[-1]) / (y[0] - y[-1])
    below = 1 - across - down
    place = int(below.argmax())
    return place if below[place] >= _BEND else None


def _falling(errors: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The nearest errors that never rise, as logarithms where that can be; None where they do not fall to speak of."""
    from sklearn.isotonic import IsotonicRegression

    positive = errors.min() >= 0 < errors.max()
    y = np.log(np.maximum(errors, errors.max() * _LEAST)) if positive else errors
    smooth: NDArray[np.float64] = IsotonicRegression(increasing=False).fit_transform(np.arange(len(y)), y)
    least = -np.log(1 - _FALL) if positive else 1e-12 * float(np.abs(y).max())
    return smooth if smooth[0] - smooth[-1] > least else None


def _straightness(values: Sequence[float], means: NDArray[np.float64]) -> str:
    """Why a curve has no elbow."""
    if len(values) < _FEWEST:
        return f"that takes at least {_FEWEST} sizes"
    if _falling(means) is None:
        return "larger codes have no smaller error to speak of"
    return "nowhere does the error begin to fall more slowly"


def _pace(values: Sequence[float], means: NDArray[np.float64], bend: int) -> str:
    """How fast the error falls before and after the elbow."""
    doublings = np.log2(np.asarray(values, dtype=np.float64))
    before, after = doublings[bend] - doublings[0], doublings[-1] - doublings[bend]
    if means.min() <= 0:
        steps = (means[0] - means[bend]) / before, (means[bend] - means[-1]) / after
        return f"up to it a doubling takes {steps[0]:.3g} off, beyond it {steps[1]:.3g}"
    shares = 1 - (means[bend] / means[0]) ** (1 / before), 1 - (means[-1] / means[bend]) ** (1 / after)
    beyond = f"{shares[1]:.0%}" if shares[1] > 0 else "nothing"
    return f"up to it a doubling takes {shares[0]:.0%} off the error, beyond it {beyond}"


def within_one_error(errors: ArrayLike) -> list[int]:
    """The places whose mean error is within one standard error of the least (Breiman et al. 1984), of errors (n values, m states).

    The standard error is that of the best one's mean over random states; with one state only what equals the best is within it.
    """
    table = np.asarray(errors, dtype=np.float64)
    means, states = table.mean(1), table.shape[1]
    best = int(means.argmin())
    error = table[best].std(ddof=1) / np.sqrt(states) if states > 1 else 0.0
    return [int(place) for place in np.flatnonzero(means <= means[best] + error)]
