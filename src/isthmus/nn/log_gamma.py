"""The logarithm of the gamma function, also in operations that exporters know."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["SHIFT", "log_gamma", "stirling"]

SHIFT = 10.0  # from where Stirling's series has the digits of double precision


def log_gamma(x: Tensor) -> Tensor:
    """The logarithm of the gamma function of positive numbers.

    Exporters have no operation for it, so that for them it is Stirling's series in double precision: below 10 that of x + 10, less
    log(x (x + 1) ... (x + 9)).

    Args:
        x: positive numbers.
    """
    if not torch.compiler.is_exporting():
        return torch.lgamma(x)
    exact = x.double()
    shifted = torch.where(exact < SHIFT, exact + SHIFT, exact)
    rising = exact.clamp(max=SHIFT)
    product = rising
    for step in range(1, int(SHIFT)):
        product = product * (rising + step)
    series = (
        (shifted - 0.5) * shifted.log() - shifted + _number(0.5 * math.log(2 * math.pi), shifted) + stirling(shifted)
    )
    return torch.where(exact < SHIFT, series - product.log(), series).to(x.dtype)


def stirling(z: Tensor) -> Tensor:
    """What log gamma(z) has beyond Stirling's formula, for z of at least 10.

    Args:
        z: numbers.
    """
    inverse = 1 / z
    square = inverse * inverse
    first, second, third, fourth, fifth = (_number(1 / each, z) for each in (12, 360, 1260, 1680, 1188))
    return inverse * (first - square * (second - square * (third - square * (fourth - square * fifth))))


def _number(value: float, like: Tensor) -> Tensor | float:
    """A number in the precision of a tensor: exporters write the numbers of Python in single precision."""
    return torch.tensor(value, dtype=like.dtype) if torch.compiler.is_exporting() else value
