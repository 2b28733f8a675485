"""Classes, and gray levels as ordered classes."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Generator, Tensor
from torch.nn import functional as F

from isthmus.likelihoods.base import NO_VARIABLES, Likelihood, Support
from isthmus.nn.variables import Variables
from isthmus.records import Count, record

__all__ = ["Categorical", "DiscretizedLogistic", "draw_class"]

_LEAST_LOG_SCALE = -7.0  # of a logistic density over [-1, 1], as in PixelCNN++


@record
class Categorical(Likelihood):
    """A probability of each of ``classes`` classes, by logits (cross-entropy). Values are the whole numbers 0 to ``classes`` - 1.

    Pixels are such classes in van den Oord, Kalchbrenner & Kavukcuoglu 2016, "Pixel recurrent neural networks".

    The encoder sees each value as ``classes`` zeros and ones; a value between two classes, such as a corruption makes, as the nearest
    one. The reconstruction is the most probable class, which has no gradient.
    """

    classes: Annotated[int, Field(ge=2, lt=2**31)]

    @property
    def density(self) -> bool:
        return False

    @property
    def support(self) -> Support:
        return Support(0, self.classes - 1, integers=True)

    @property
    def nominal(self) -> bool:
        return True

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape, self.classes)

    def encoder_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] * self.classes) if len(shape) > 2 else (*shape, self.classes)

    def encoder_input(self, x: Float[Tensor, "b *x"]) -> Float[Tensor, "b *h"]:
        one_hot = (self._indices(x)[..., None] == torch.arange(self.classes, device=x.device)).to(x.dtype)
        return one_hot.flatten(-2) if x.ndim > 3 else one_hot  # more channels, not one more side of a volume

    def costs(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        return -F.log_softmax(y, -1).gather(y.ndim - 1, self._indices(x)[..., None])[..., 0]

    def mean(self, y: Float[Tensor, "b *y"]) -> Float[Tensor, "b *x"]:
        return y.argmax(-1).to(y.dtype)

    def draw(self, y: Float[Tensor, "b *y"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        return draw_class(y, generator).to(y.dtype)

    def _indices(self, x: Tensor) -> Tensor:
        return x.round().clamp(0, self.classes - 1).long()


@record
class DiscretizedLogistic(Likelihood):
    """A mixture of ``mixtures`` logistic densities, rounded to ``levels`` gray levels: a probability of each level.

    From Salimans et al. 2017, "PixelCNN++", section 2.1, without its coupling of colors. Values are in [0, 1], at equal distances;
    ``levels`` = 256 for bytes. The decoder outputs the logits, locations and log scales of the components. The reconstruction is the mean
    before rounding, which differs from that of the levels by less than half a level.
    """

    mixtures: Count = 5
    levels: Annotated[int, Field(ge=2, le=2**16)] = 256

    @property
    def density(self) -> bool:
        return False

    @property
    def support(self) -> Support:
        return Support(0, 1, levels=self.levels)

    @property
    def measure(self) -> str:
        return f"{self.levels} levels"

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape, 3 * self.mixtures)

    def costs(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        logits, location, log_scale = self._components(y)
        half, x = 1 / (self.levels - 1), (2 * x - 1)[..., None]
        upper, lower = ((x + side - location) * torch.exp(-log_scale) for side in (half, -half))
        # sigmoid(upper) - sigmoid(lower), as a product, which keeps its digits
        width = torch.log(-torch.expm1(-2 * half * torch.exp(-log_scale)))
        middle = F.logsigmoid(upper) + F.logsigmoid(-lower) + width
        log_mass = torch.where(
            x < half - 1, F.logsigmoid(upper), torch.where(x > 1 - half, F.logsigmoid(-lower), middle)
        )
        return -torch.logsumexp(F.log_softmax(logits, -1) + log_mass, -1)

    def mean(self, y: Float[Tensor, "b *y"]) -> Float[Tensor, "b *x"]:
        logits, location, log_scale = self._components(y)
        # of each component the integral of 1 - F over [-1, 1]: scale * (softplus(above) - softplus(below)), twice without loss of digits
        below, width = (location - 1) * torch.exp(-log_scale), 2 * torch.exp(-log_scale)
        wide = torch.log1p(torch.sigmoid(below) * torch.expm1(width.clamp(max=1)))
        inside = torch.where(width < 1, wide, F.logsigmoid(-below) - F.logsigmoid(-below - width))
        inside = torch.exp(log_scale) * inside
        return 0.5 * (F.softmax(logits, -1) * inside).sum(-1)

    def draw(self, y: Float[Tensor, "b *y"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        logits, location, log_scale = self._components(y)
        chosen = draw_class(logits, generator)[..., None]
        location, log_scale = (each.gather(-1, chosen)[..., 0] for each in (location, log_scale))
        uniform = torch.empty_like(location).uniform_(generator=generator).clamp(1e-7, 1 - 1e-7)
        x = 0.5 * (location + torch.exp(log_scale) * torch.logit(uniform) + 1)
        return (x.clamp(0, 1) * (self.levels - 1)).round() / (self.levels - 1)

    def _components(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logits, locations in [-1, 1] and log scales of the components, each (b, *shape, mixtures)."""
        logits, location, raw = y.unflatten(-1, (3, self.mixtures)).unbind(-2)
        return logits, location, torch.logaddexp(raw, torch.full_like(raw, _LEAST_LOG_SCALE))


def draw_class(logits: Float[Tensor, "*b classes"], generator: Generator) -> Tensor:
    """Random class indices, by the largest of the logits with Gumbel noise.

    Args:
        logits: unnormalized log probabilities, the classes last.
        generator: for the random numbers.
    """
    noise = torch.empty_like(logits).exponential_(generator=generator).clamp(min=torch.finfo(logits.dtype).tiny)
    return (logits - noise.log()).argmax(-1)
