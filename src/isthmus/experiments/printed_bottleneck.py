"""A bottleneck of one tutorial that is not part of isthmus: no recipe, command or model file can name it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from isthmus.bottlenecks import Bottleneck, Code, per_example
from isthmus.nn.variables import Variables
from isthmus.records import record

__all__ = ["PrintedGaussian"]


@record
class PrintedGaussian(Bottleneck):
    """The code of the tutorial keras-vae as printed: the standard deviation is exp(s), but the penalty uses exp(s) as the variance.

    The penalty is therefore not the divergence of the sampled distribution, and the loss is not a bound on the likelihood.
    `isthmus.bottlenecks.Gaussian` is the consistent form. The encoder gives the means and s; the deterministic code is the mean.
    """

    @property
    def encoder_outputs(self) -> int:
        return 2 * self.size

    def __call__(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables, generator: Generator
    ) -> Code:
        mean, s = h.chunk(2, dim=-1)
        noise = torch.empty_like(mean).normal_(generator=generator)
        return Code(mean + torch.exp(s) * noise, self._charged(mean, s))  # consistent: exp(s / 2)

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        mean, s = h.chunk(2, dim=-1)
        return Code(mean, self._charged(mean, s))

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "*shape"]:
        return torch.empty(shape, dtype=torch.float32, device=generator.device).normal_(generator=generator)

    @staticmethod
    def _charged(mean: Tensor, s: Tensor) -> Float[Tensor, "b"]:
        return 0.5 * per_example(mean**2 + torch.exp(s) - 1 - s)
