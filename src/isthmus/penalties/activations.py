"""Penalties on the distribution of the codes of a batch."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Generator, Tensor

from isthmus.nn.variables import Variables
from isthmus.penalties.base import Pass, WeightedPenalty, codes
from isthmus.records import record

__all__ = ["MMD", "ActivationKL"]


@record
class MMD(WeightedPenalty):
    """The maximum mean discrepancy between the codes of a batch and N(0, 1).

    With a plain code it gives a Wasserstein autoencoder (Tolstikhin et al. 2018), with `Gaussian` an InfoVAE (Zhao et al. 2019): codes
    can then be sampled from N(0, 1). The penalty is ``weight`` times the unbiased estimate of the squared discrepancy, which is 0 on
    average where the distributions agree, and thus sometimes negative. It counts once for each example.

    ``kernel`` is "imq", c / (c + distance²), compared with as many draws from N(0, 1), or "rbf", exp(-distance² / c), whose mean over
    N(0, 1) is computed exactly. The kernels of all ``scales`` are added up: c is a scale times the expected squared distance of two
    draws from N(0, 1), which is twice the number of units.
    """

    scales: Annotated[tuple[PositiveFloat, ...], Field(min_length=1, max_length=256)] = (0.1, 0.2, 0.5, 1, 2, 5, 10)
    kernel: Literal["imq", "rbf"] = "imq"

    @property
    def stochastic(self) -> bool:
        return self.kernel == "imq"

    @property
    def normal_codes(self) -> bool:
        return True

    def workspace(self, batch_size: int, units: int) -> int:
        return 6 * batch_size**2 * len(self.scales)

    def __call__(self, seen: Pass, variables: Variables, generator: Generator) -> Float[Tensor, ""]:
        z = codes(seen)
        count, units = z.shape[1:]
        if count < 2:  # no pair to estimate from
            return 0 * z.sum()
        if self.kernel == "imq":
            prior = torch.empty_like(z).normal_(generator=generator)
            to_prior, within_prior = self._kernel(z, prior).mean(), self._of_pairs(prior)
        else:
            squares, sizes = z.square().sum(-1), [2 * units * scale for scale in self.scales]
            means = [(c / (c + 2)) ** (units / 2) * torch.exp(-squares / (c + 2)) for c in sizes]
            to_prior = sum(means, z.new_zeros(())).mean()
            within_prior = z.new_full((), sum((c / (c + 4)) ** (units / 2) for c in sizes))
        return self.weight * (self._of_pairs(z) - 2 * to_prior + within_prior)

    def _kernel(self, x: Float[Tensor, "draws n units"], y: Float[Tensor, "draws m units"]) -> Tensor:
        """The sum of the kernels of all scales, (draws, n, m)."""
        squares = x.square().sum(-1)[..., None] + y.square().sum(-1)[:, None] - 2 * x @ y.mT
        sizes = [2 * x.shape[-1] * scale for scale in self.scales]
        if self.kernel == "imq":
            return sum((c / (c + squares.clamp(min=0)) for c in sizes), torch.zeros_like(squares))
        return sum((torch.exp(-squares.clamp(min=0) / c) for c in sizes), torch.zeros_like(squares))

    def _of_pairs(self, z: Float[Tensor, "draws n units"]) -> Float[Tensor, ""]:
        """The mean of the kernel over all pairs of different examples of a draw."""
        n = z.shape[1]
        others = 1 - torch.eye(n, dtype=z.dtype, device=z.device)
        return (self._kernel(z, z) * others).sum() / (len(z) * n * (n - 1))


@record
class ActivationKL(WeightedPenalty):
    """The Kullback-Leibler divergence of the mean activation of each unit from ``target`` (Ng 2011, "Sparse autoencoder").

    A unit is then active in a fraction ``target`` of the examples. The mean is that of the batch, and of all positions of a code; the
    divergences of all units are added up, and their sum counts once for each example.

    It is made for units in (0, 1): ``Identity(64, "sigmoid")``. Means beyond a hundredth of ``target`` from 0, or of 1 - ``target`` from
    1, continue along the tangent: other activations, such as "relu", are pulled toward ``target`` too, but the penalty is then no
    divergence.
    """

    target: Annotated[float, Field(gt=0, lt=1)] = 0.05

    @property
    def stochastic(self) -> bool:
        return False

    def __call__(self, seen: Pass, variables: Variables, generator: Generator) -> Float[Tensor, ""]:
        target, mean = self.target, seen.code.z.flatten(0, -2).mean(0)
        q = mean.clamp(target / 100, 1 - (1 - target) / 100)
        divergence = target * torch.log(target / q) + (1 - target) * torch.log((1 - target) / (1 - q))
        slope = (1 - target) / (1 - q) - target / q
        return self.weight * (divergence + slope * (mean - q)).sum()
