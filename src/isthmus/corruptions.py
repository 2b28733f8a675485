"""Corruptions of the encoder's input. The target of the reconstruction stays clean.

A corruption acts in model units (see `scaling`; images are in [0, 1]). It keeps the shape and draws from the given generator.
With ``fixed=True`` each example is corrupted in the same way in every epoch, as if a corrupted copy of the data were stored.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import NonNegativeFloat
from torch import Generator, Tensor

from isthmus.records import Fraction, Record, record

__all__ = ["Clean", "GaussianNoise", "Masking", "Occlusion", "SaltAndPepper"]


class Level(NamedTuple):
    """The field that sets the strength of a corruption, its unit, and usual values from weak to strong."""

    field: str
    unit: str
    usual: tuple[float, ...]


class Corrupted(NamedTuple):
    """Corrupted examples (b, *shape), and which values of the target the loss counts, (b, *shape); None: all."""

    x: Float[Tensor, "b *x"]
    counted: Bool[Tensor, "b *x"] | None


@record
class Corruption(Record):
    """The contract of a corruption. ``fixed``: the same corruption of an example in every epoch."""

    level: ClassVar[Level | None] = None  # None if the corruption has no strength

    _: KW_ONLY
    fixed: bool = False

    @property
    def corrupts(self) -> bool:
        """Whether it changes anything."""
        return True

    @property
    def hides_region(self) -> bool:
        """Whether it hides a connected region of each example, which the autoencoder then completes."""
        return False

    @property
    def stochastic(self) -> bool:
        """Whether it draws random numbers. If not, a training step need not seed a generator."""
        return True

    @property
    def makes_missing(self) -> bool:
        """Whether it sets values to missing. This requires an autoencoder with ``missing="allow"``."""
        return False

    @property
    def marks(self) -> bool:
        """Whether the loss counts only some values of an example: `marked` says which."""
        return type(self).marked is not Corruption.marked

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        """Corrupted examples (b, *shape), in model units: a new tensor, or x itself if nothing changes.

        Args:
            x: the examples (b, *shape), in model units. It is not changed.
            generator: for the random numbers.
        """
        return self.marked(x, generator).x

    def marked(self, x: Float[Tensor, "b *x"], generator: Generator) -> Corrupted:
        """Corrupted examples, and which values of the target the loss counts: by default all.

        A corruption defines this method or `__call__`.

        Args:
            x: the examples (b, *shape), in model units. It is not changed.
            generator: for the random numbers.
        """
        return Corrupted(self(x, generator), None)


@record
class Clean(Corruption):
    """No corruption: the plain autoencoder."""

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


@record
class Occlusion(Corruption):
    """Only a part of each example is visible; the rest is set to ``value``.

    ``visible`` is the visible fraction. ``keep`` selects the visible part: the "top" rows, the "left" columns, a "window" (a block at a
    random position with the proportions of the image), or "around" (everything except such a block). For a row of a table or a flat
    image, "top" and "left" are its first values.
    """

    level: ClassVar = Level("visible", "visible fraction of the example", (0.75, 0.5, 1 / 3, 0.25, 0.1))

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
        """True for a run of a fraction of one axis. ``place`` in [0, 1) is its start, relative to the room that is left."""
        side = x.shape[1 + axis]
        long = math.floor(side * share + 0.5)
        begin = (place * (side - long + 1)).floor().clamp(max=side - long)
        index = torch.arange(side, device=x.device)
        run = (index >= begin[:, None]) & (index < begin[:, None] + long)
        return run.reshape([len(x)] + [side if i == axis else 1 for i in range(x.ndim - 1)])
