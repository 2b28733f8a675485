"""A bottleneck of one tutorial that is not part of isthmus: no recipe, command or model file can name it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from isthmus.bottlenecks import Bottleneck, Code, Gaussian
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
        return self._consistent.encoder_outputs

    def __call__(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables, generator: Generator
    ) -> Code:
        mean, s = h.chunk(2, dim=-1)
        noise = torch.empty_like(mean).normal_(generator=generator)
        return self.deterministic(h, variables)._replace(z=mean + torch.exp(s) * noise)  # consistent: exp(s / 2)

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        return self._consistent.deterministic(h, variables)

    def sample(self, shape: tuple[int, ...], variables: Variables, generator: Generator) -> Float[Tensor, "*shape"]:
        return self._consistent.sample(shape, variables, generator)

    @property
    def _consistent(self) -> Gaussian:
        """The consistent form, which has the same penalty."""
        return Gaussian(self.size)
