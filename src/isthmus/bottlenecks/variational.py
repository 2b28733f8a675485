"""A distribution over codes, and a prior to draw new ones from."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Generator, Tensor

from isthmus.bottlenecks.base import Bottleneck, Code, per_example
from isthmus.memory import Memory
from isthmus.records import record

__all__ = ["Gaussian"]


@record
class Gaussian(Bottleneck):
    """The variational autoencoder (Kingma & Welling 2014): a normal per number of the code, N(0, 1) its prior.

    The penalty is ``beta`` times the Kullback-Leibler divergence to the prior, so with beta=1 the loss is -ELBO; other values
    make it a beta-VAE (Higgins et al. 2017). The encoder gives the means and the logarithms of the variances; the point code is the mean.
    """

    beta: NonNegativeFloat = 1.0

    @property
    def width(self) -> int:
        return 2 * self.size

    def __call__(self, h: Float[Tensor, "b *places width"], memory: Memory, generator: Generator) -> Code:
        mean, log_variance = h.chunk(2, dim=-1)
        noise = torch.empty_like(mean).normal_(generator=generator)
        kl = self._kl(mean, log_variance)
        return Code(mean + torch.exp(0.5 * log_variance) * noise, self.beta * kl, {"kl": kl.mean()})

    def point(self, h: Float[Tensor, "b *places width"], memory: Memory) -> Code:
        mean, log_variance = h.chunk(2, dim=-1)
        kl = self._kl(mean, log_variance)
        return Code(mean, self.beta * kl, {"kl": kl.mean()})

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "*shape"]:
        return torch.empty(shape, dtype=torch.float32, device=generator.device).normal_(generator=generator)

    @staticmethod
    def _kl(mean: Tensor, log_variance: Tensor) -> Float[Tensor, "b"]:
        return 0.5 * per_example(mean**2 + torch.exp(log_variance) - 1 - log_variance)
