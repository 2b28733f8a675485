"""A region of each example is hidden."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from isthmus.corruptions.base import Corruption, Level
from isthmus.records import Fraction, record

__all__ = ["Occlusion"]


@record
class Occlusion(Corruption):
    """Only a part of each example is visible; the rest is set to ``value``.

    ``visible`` is the visible fraction. ``keep`` selects the visible part: the "top" rows, the "left" columns, a "window" (a block at a
    random position with the proportions of the image), or "around" (everything except such a block). For a row of a table or a flat
    image, "top" and "left" are its first values. "around" is the task of context encoders (Pathak et al. 2016, "Context encoders: Feature
    learning by inpainting"), with a block at any place.
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
