"""Clean -> spoilt: what the encoder sees instead of the example. The target of the reconstruction stays clean.

A corruption acts in model units (see `scaling`: pictures are in [0, 1]), keeps the shape, and draws from the generator it is given.
``fixed=True`` draws for each example once and for all, as if a spoilt copy of the data lay beside the clean one.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Generator, Tensor

from isthmus.records import Fraction, Record, record

__all__ = ["Clean", "GaussianNoise", "Masking", "Occlusion", "SaltAndPepper"]


class Level(NamedTuple):
    """What says how strong a corruption is: the field, its unit, and usual values, mildest first."""

    field: str
    unit: str
    usual: tuple[float, ...]


@record
class Corruption(Record):
    """A way to spoil examples."""

    level: ClassVar[Level | None] = None  # None where nothing makes it stronger

    _: KW_ONLY
    fixed: bool = False

    @property
    def corrupts(self) -> bool:
        """Whether anything is changed."""
        return True

    @property
    def hides_region(self) -> bool:
        """Whether a connected part of each example is hidden, which the autoencoder completes."""
        return False

    @property
    def stochastic(self) -> bool:
        """Whether it draws random numbers; False saves the seeding of a step."""
        return True

    @property
    def makes_missing(self) -> bool:
        """Whether it makes numbers missing, which takes an autoencoder that knows of such."""
        return False

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        """The spoilt examples: a new tensor, or x itself where nothing is to be done."""
        raise NotImplementedError


@record
class Clean(Corruption):
    """Nothing is spoilt: the plain autoencoder."""

    @property
    def corrupts(self) -> bool:
        return False

    @property
    def stochastic(self) -> bool:
        return False

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        return x


@record
class GaussianNoise(Corruption):
    """Normal noise of standard deviation ``std`` on every number (Vincent et al. 2010, section 3.2); clipped to [0, 1] if asked."""

    level: ClassVar = Level("std", "standard deviation, in model units", (0.1, 0.3, 0.5, 0.7, 0.9, 1.0))

    std: NonNegativeFloat = 0.5
    clip: bool = False

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        noise = torch.empty_like(x).normal_(0.0, self.std, generator=generator)
        corrupted = noise.add_(x)
        return corrupted.clamp_(0, 1) if self.clip else corrupted


@record
class Masking(Corruption):
    """Each number is set to ``value`` with probability ``rate``, independently (Vincent et al. 2008, masking noise).

    With the value "missing" the encoder sees in its place what it sees for a number that is missing; this takes
    an autoencoder with ``missing="allow"``.
    """

    level: ClassVar = Level("rate", "share of the numbers hidden", (0.1, 0.3, 0.5, 0.7, 0.9))

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
    """Each number becomes ``low`` or ``high``, half of the times each, with probability ``rate`` (Vincent et al. 2010)."""

    level: ClassVar = Level("rate", "share of the numbers replaced", (0.1, 0.3, 0.5, 0.7, 0.9))

    rate: Fraction = 0.3
    low: float = 0.0
    high: float = 1.0

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        draw = torch.empty_like(x).uniform_(generator=generator)
        return x.masked_fill(draw < self.rate, self.low).masked_fill(draw < self.rate / 2, self.high)


@record
class Occlusion(Corruption):
    """Only a part of each example is given; the rest is ``value``.

    ``visible`` is the share of the example that stays visible: 1/3 or 1/4, say. ``keep`` says which: "top" rows, "left" columns,
    a "window" (a block of the same proportions as the picture, at a random place, that alone is seen), or "around"
    (everything but such a block). A table row or a flat picture is one line of numbers: "top" and "left" are its beginning.
    """

    level: ClassVar = Level("visible", "visible share of the example", (0.75, 0.5, 1 / 3, 0.25, 0.1))

    visible: Fraction = 1 / 3
    keep: Literal["top", "left", "window", "around"] = "top"
    value: float = 0.0

    @property
    def hides_region(self) -> bool:
        return True

    @property
    def stochastic(self) -> bool:
        return self.keep in {"window", "around"}

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        sides = x.shape[1:3]
        if not self.stochastic:
            axis = 0 if self.keep == "top" or len(sides) == 1 else 1
            seen = self._block(x, axis, x.new_zeros(len(x), dtype=torch.float32), self.visible)
        else:
            share = self.visible if self.keep == "window" else 1 - self.visible
            seen = torch.ones_like(x, dtype=torch.bool)
            for axis in range(len(sides)):
                place = x.new_empty(len(x), dtype=torch.float32).uniform_(generator=generator)
                seen = seen & self._block(x, axis, place, share ** (1 / len(sides)))
            seen = seen if self.keep == "window" else ~seen
        return x.masked_fill(~seen, self.value)

    @staticmethod
    def _block(x: Tensor, axis: int, place: Float[Tensor, "b"], share: float) -> Tensor:
        """True along the run of a share of one axis that begins at the place in [0, 1) of what is free."""
        side = x.shape[1 + axis]
        long = math.floor(side * share + 0.5)
        begin = (place * (side - long + 1)).floor().clamp(max=side - long)
        index = torch.arange(side, device=x.device)
        run = (index >= begin[:, None]) & (index < begin[:, None] + long)
        return run.reshape([len(x)] + [side if i == axis else 1 for i in range(x.ndim - 1)])
