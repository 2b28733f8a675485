"""Penalties on dependent units of a code."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Generator, Tensor

from isthmus.errors import NotPossibleError
from isthmus.nn.variables import Variables
from isthmus.penalties.base import Pass, WeightedPenalty, codes
from isthmus.records import record

__all__ = ["DIP", "TotalCorrelation", "log_shares"]


@record
class TotalCorrelation(WeightedPenalty):
    """The total correlation of the codes: how far their distribution is from that of independent units (β-TC-VAE, Chen et al. 2018).

    It is the mean of log q(z) - Σ log q(z_unit), in nats, where q is the mean of the posteriors of all training examples. As the loss of
    a variational autoencoder has it once already, ``Gaussian(10) + TotalCorrelation(5)`` weights it 6 times in all.

    q is estimated from the posteriors of the batch. ``examples`` is the number of training examples: with it, the estimate of q is
    unbiased (stratified sampling, their appendix C.2). Without it all examples of the batch weigh the same: minibatch-weighted sampling
    up to a constant, so that its gradient is the same. Memory grows with the square of the batch size.
    """

    examples: Annotated[int, Field(gt=1, lt=2**31)] | None = None

    @property
    def stochastic(self) -> bool:
        return False

    def workspace(self, batch_size: int, units: int) -> int:
        return 6 * batch_size**2 * units

    def __call__(self, seen: Pass, variables: Variables, generator: Generator) -> Float[Tensor, "b"]:
        if seen.posterior is None:
            raise NotPossibleError(
                "TotalCorrelation requires a normal posterior of the code: choose the bottleneck Gaussian, or TotalCorrelationCritic"
            )
        mean, log_variance = (each.flatten(1) for each in seen.posterior)
        deviation = (codes(seen)[:, :, None] - mean) * torch.exp(-0.5 * log_variance)
        logs = -0.5 * (deviation.square() + log_variance + math.log(2 * math.pi))  # draws, code, posterior, unit
        shares = log_shares(len(mean), self.examples or len(mean), logs)
        joint = torch.logsumexp(logs.sum(-1) + shares, 2)
        units = torch.logsumexp(logs + shares[..., None], 2).sum(-1)
        return self.weight * (joint - units).mean(0)


def log_shares(b: int, examples: int, like: Tensor) -> Float[Tensor, "b b"]:
    """The logarithm of the weight of each posterior (column) in the estimate of the density at each code (row).

    The example of the code itself is one of all ``examples``; the other ones of the batch stand for all others.

    Args:
        b: the number of examples of the batch.
        examples: the number of training examples.
        like: a tensor of the same dtype and device.
    """
    others = math.log((examples - 1) / (examples * (b - 1))) if b > 1 else 0.0
    return like.new_full((b, b), others).fill_diagonal_(-math.log(examples))


@record
class DIP(WeightedPenalty):
    """Disentangled inferred prior: the covariance of the codes is made that of N(0, 1) (DIP-VAE, Kumar et al. 2018).

    The penalty is ``weight`` times the sum of the squared covariances of different units, plus ``weight`` times ``diagonal`` times the
    sum of squared differences between variances and 1. The covariance is that of the batch, and the penalty counts once for each
    example. ``version`` "I" takes the covariance of the posterior's means, or of a code without posterior; "II" that of the codes,
    which is this plus the mean variance of the posteriors. The paper has ``diagonal=10`` with "I" and 1 with "II".
    """

    diagonal: NonNegativeFloat = 1.0
    version: Literal["I", "II"] = "II"

    @property
    def stochastic(self) -> bool:
        return False

    def __call__(self, seen: Pass, variables: Variables, generator: Generator) -> Float[Tensor, ""]:
        if seen.posterior is None and self.version == "II":
            raise NotPossibleError(
                'DIP(version="II") requires a normal posterior of the code: choose the bottleneck Gaussian, or version="I"'
            )
        means = codes(seen)[0] if seen.posterior is None else seen.posterior.mean.flatten(1)
        centered = means - means.mean(0)
        covariance = centered.T @ centered / max(1, len(means) - 1)
        variances = covariance.diagonal()
        dependence = covariance.square().sum() - variances.square().sum()
        if self.version == "II" and seen.posterior is not None:
            variances = variances + seen.posterior.log_variance.flatten(1).exp().mean(0)
        return self.weight * (dependence + self.diagonal * (variances - 1).square().sum())
