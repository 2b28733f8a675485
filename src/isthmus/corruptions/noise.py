"""Noise: each value changes by itself."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Generator, Tensor

from isthmus.corruptions.base import Corruption, Level
from isthmus.records import Fraction, record

__all__ = ["GaussianNoise", "Masking", "SaltAndPepper"]


@record
class GaussianNoise(Corruption):
    """Additive Gaussian noise (Vincent et al. 2010, section 3.2).

    ``std`` is the standard deviation in model units. ``clip`` clips the result to [0, 1].

    Examples:
        >>> Autoencoder(4, corruption=GaussianNoise(0.3)).set_params(corruption__std=0.4).corruption
        GaussianNoise(std=0.4)
    """

    level: ClassVar = Level("std", "standard deviation, in model units", (0.1, 0.3, 0.5, 0.7, 0.9, 1.0))

    std: NonNegativeFloat = 0.5
    clip: bool = False

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        noise = torch.empty_like(x).normal_(0.0, self.std, generator=generator)
        corrupted = noise.add_(x)
        return corrupted.clamp_(0, 1) if self.clip else corrupted


@record
class Masking(Corruption):
    """Masking noise (Vincent et al. 2008): each value is replaced by ``value`` with probability ``rate``, independently.

    With ``value="missing"`` it is replaced by a missing value. This requires an autoencoder with ``missing="allow"``.
    """

    level: ClassVar = Level("rate", "fraction of values masked", (0.1, 0.3, 0.5, 0.7, 0.9))

    rate: Fraction = 0.5
    value: float | Literal["missing"] = 0.0

    @property
    def makes_missing(self) -> bool:
        return self.value == "missing"

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        hidden = torch.empty_like(x).uniform_(generator=generator) < self.rate
        return x.masked_fill(hidden, math.nan if self.value == "missing" else self.value)


@record
class SaltAndPepper(Corruption):
    """Salt-and-pepper noise (Vincent et al. 2010): a fraction ``rate`` of the values becomes ``low`` or ``high``, half each."""

    level: ClassVar = Level("rate", "fraction of values replaced", (0.1, 0.3, 0.5, 0.7, 0.9))

    rate: Fraction = 0.3
    low: float = 0.0
    high: float = 1.0

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        draw = torch.empty_like(x).uniform_(generator=generator)
        return x.masked_fill(draw < self.rate, self.low).masked_fill(draw < self.rate / 2, self.high)
