"""Corruptions of which the loss counts the changed values only, so that copying what is visible earns nothing."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Generator, Tensor

from isthmus.corruptions.base import Corrupted, Corruption, Level
from isthmus.errors import RecordError
from isthmus.records import Count, record

__all__ = ["BlindSpots", "Patches"]

_Rate = Annotated[float, Field(gt=0, le=1)]  # with 0 the loss would count nothing


@record
class Patches(Corruption):
    """Hides whole patches, and the loss counts the hidden values only: a masked autoencoder (He et al. 2022, section 3).

    ``size`` is the number of pixels of both sides of a patch; of a row of values it is the number of consecutive ones.
    ``rate`` is the fraction of patches that are hidden, at least one, the same number in each example. They are set to ``value``, or to
    missing values with ``value="missing"``, which requires an autoencoder with ``missing="allow"``. Patches at the end are smaller if
    sides are no multiples of ``size``. All channels of a pixel are hidden together. A learned scale of the likelihood, as of
    ``Normal("learned")``, is that of hidden values.
    """

    level: ClassVar = Level("rate", "fraction of patches hidden", (0.25, 0.5, 0.75, 0.9))

    size: Count = 4
    rate: _Rate = 0.75
    value: float | Literal["missing"] = 0.0

    @property
    def hides_region(self) -> bool:
        return True

    @property
    def makes_missing(self) -> bool:
        return self.value == "missing"

    def marked(self, x: Float[Tensor, "b *x"], generator: Generator) -> Corrupted:
        """Corrupted examples, and the values that are hidden.

        Args:
            x: the examples (b, *shape), in model units. It is not changed.
            generator: for the random numbers.

        Raises:
            RecordError: one patch covers a whole example.
        """
        sides = x.shape[1:3]
        counts = [math.ceil(side / self.size) for side in sides]
        if math.prod(counts) < 2:
            raise RecordError(
                f"{self!r} covers a whole example of shape {tuple(x.shape[1:])}, so that nothing is left to see: use a smaller size"
            )
        chosen = _draw_exactly(self.rate, math.prod(counts), x, generator).reshape(len(x), *counts)
        for axis, side in enumerate(sides, 1):
            chosen = chosen.repeat_interleave(min(self.size, side), axis).narrow(axis, 0, side)
        hidden = chosen.reshape(*chosen.shape, *[1] * (x.ndim - chosen.ndim)).expand_as(x)
        return Corrupted(x.masked_fill(hidden, math.nan if self.value == "missing" else self.value), hidden)


@record
class BlindSpots(Corruption):
    """Replaces pixels by random neighbors, and the loss counts them only (Krull et al. 2019, "Noise2Void", section 3.3).

    The network cannot copy the pixels that count, so it predicts them from their neighbors. If the data are noisy, and the noise of a
    pixel is independent of that of its neighbors, it learns the clean images without having seen one.

    ``rate`` is the fraction of pixels that are replaced, at least one, the same number in each example. ``radius`` is the largest
    distance of a neighbor, in pixels along each side; the pixel itself is none. All channels of a pixel are replaced together. In a row
    of values neighbors are the values before and after. A learned scale of the likelihood, as of ``Normal("learned")``, is that of the
    replaced pixels: the noise of the data and the error of predicting a pixel from its neighbors.
    """

    level: ClassVar = Level("rate", "fraction of pixels replaced", (0.02, 0.05, 0.1, 0.2, 0.5))

    rate: _Rate = 0.1
    radius: Count = 5

    def marked(self, x: Float[Tensor, "b *x"], generator: Generator) -> Corrupted:
        """Corrupted examples, and the pixels that were replaced.

        Args:
            x: the examples (b, *shape), in model units. It is not changed.
            generator: for the random numbers.

        Raises:
            RecordError: an example has a single pixel.
        """
        height, width = (*x.shape[1:3], 1)[:2]
        n = height * width
        if n < 2:
            raise RecordError(
                f"{self!r} requires examples of several pixels; the shape of an example is {tuple(x.shape[1:])}"
            )
        marked = _draw_exactly(self.rate, n, x, generator)
        draw = torch.empty_like(marked, dtype=torch.float32).uniform_(generator=generator)
        pixels = x.reshape(len(x), n, math.prod(x.shape[3:]))
        neighbors = pixels.gather(1, self._neighbors(height, width, draw)[:, :, None].expand_as(pixels))
        counted = marked[:, :, None].expand_as(pixels).reshape(x.shape)
        return Corrupted(torch.where(counted, neighbors.reshape(x.shape), x), counted)

    def _neighbors(self, height: int, width: int, draw: Float[Tensor, "b n"]) -> Int[Tensor, "b n"]:
        """For each pixel the position of a neighbor within the image. ``draw`` in [0, 1) selects it."""
        pixel = torch.arange(height * width, device=draw.device)
        row, column = pixel // width, pixel % width
        top, left = (row - self.radius).clamp(min=0), (column - self.radius).clamp(min=0)
        high = (row + self.radius).clamp(max=height - 1) - top + 1
        wide = (column + self.radius).clamp(max=width - 1) - left + 1
        others = high * wide - 1
        chosen = torch.minimum((draw * others).long(), others - 1)  # the product may be rounded up
        chosen = chosen + (chosen >= (row - top) * wide + column - left)  # the pixel itself is left out
        return (top + chosen // wide) * width + left + chosen % wide


def _draw_exactly(rate: float, n: int, x: Tensor, generator: Generator) -> Bool[Tensor, "b n"]:
    """True for the same number of n places in each example, drawn at random: a fraction of them, at least one."""
    count = max(1, math.floor(rate * n + 0.5))
    draw = torch.empty((len(x), n), dtype=torch.float32, device=x.device).uniform_(generator=generator)
    return torch.zeros_like(draw, dtype=torch.bool).scatter_(1, draw.topk(count, 1).indices, True)
