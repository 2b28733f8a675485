"""Variational codes: a distribution over codes, and a prior to sample from."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Generator, Tensor

from isthmus.bottlenecks.base import Bottleneck, Code, Posterior, Problem, per_example
from isthmus.nn.variables import Variables
from isthmus.records import record

__all__ = ["Gaussian"]


@record
class Gaussian(Bottleneck):
    """The variational autoencoder (Kingma & Welling 2014): a normal posterior for each unit, with the prior N(0, 1).

    The penalty is ``beta`` times the Kullback-Leibler divergence from the prior. With beta=1 the loss is the negative ELBO; other values
    give a beta-VAE (Higgins et al. 2017). The encoder outputs means and log-variances. The code used at inference is the mean.

    Examples:
        >>> vae = Autoencoder(Gaussian(2, beta=0.5), epochs=1, random_state=0).fit(X)
        >>> vae.sample(3, random_state=0).shape
        (3, 8, 8)
    """

    beta: NonNegativeFloat = 1.0

    @property
    def encoder_outputs(self) -> int:
        return 2 * self.size

    def __call__(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables, generator: Generator
    ) -> Code:
        mean, log_variance = h.chunk(2, dim=-1)
        noise = torch.empty_like(mean).normal_(generator=generator)
        kl = self._kl(mean, log_variance)
        return Code(mean + torch.exp(0.5 * log_variance) * noise, self.beta * kl, {"kl": kl.mean()})

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        mean, log_variance = h.chunk(2, dim=-1)
        kl = self._kl(mean, log_variance)
        return Code(mean, self.beta * kl, {"kl": kl.mean()})

    def sample(self, shape: tuple[int, ...], variables: Variables, generator: Generator) -> Float[Tensor, "*shape"]:
        return torch.empty(shape, dtype=torch.float32, device=generator.device).normal_(generator=generator)

    def posterior(self, h: Float[Tensor, "b *positions encoder_outputs"]) -> Posterior:
        return Posterior(*h.chunk(2, dim=-1))

    def divergences(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables
    ) -> Float[Tensor, "b *positions size"]:
        mean, log_variance = h.chunk(2, dim=-1)
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)

    def remedy(self, problem: Problem) -> str:
        lower = f"lower bottleneck.beta={self.beta:g}"
        warm = "or warm it up: train with a small beta first, then continue with this one and warm_start=True"
        ours = {
            "dead units": "",
            "unused units": f"{lower}, {warm}",
            "worse than PCA": f"{lower}, which trades reconstruction for a smooth code, or train longer (epochs)",
        }
        return ours.get(problem, super().remedy(problem))

    @staticmethod
    def _kl(mean: Tensor, log_variance: Tensor) -> Float[Tensor, "b"]:
        return 0.5 * per_example(mean**2 + torch.exp(log_variance) - 1 - log_variance)
