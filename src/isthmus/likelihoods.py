"""Likelihoods: the reconstruction loss, as a negative log-likelihood in nats per example.

The decoder's output ``y`` is the parameter of a distribution over examples ``x``. ``nll(y, x)`` is the negative log-likelihood, summed
over the values of an example; ``mean(y)`` is the reconstruction. Both are in model units (see `scaling`). `Model.nll` converts
densities to the units of the data.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat
from torch import Tensor

from isthmus.nn.variables import Variables
from isthmus.records import Record, record

__all__ = ["Bernoulli", "Normal"]

NO_VARIABLES = Variables()
_CERTAIN = 200.0  # a logit whose sigmoid is exactly 1, also in float64
_LONGEST = 100  # 2**-100 is far above the smallest float32
_DECAY = 0.95  # of the running mean of squared errors, per step
_LEAST = 1e-3  # the smallest learned scale


class Likelihood(Record):
    """The contract of a likelihood: a distribution over examples, given the decoder's output."""

    @property
    def density(self) -> bool:
        """Whether it is a density, which depends on the unit of the values, and not a probability mass."""
        return True

    @property
    def expects_unit_interval(self) -> bool:
        """Whether examples must be in [0, 1] in model units."""
        return False

    def variables(self) -> Variables:
        """The learned tensors and running state of this likelihood."""
        return Variables()

    def nll(
        self,
        y: Float[Tensor, "b *x"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        observed: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        """-log p(x | y), in nats per example.

        Args:
            y: the decoder's output, (b, *shape).
            x: the examples, (b, *shape), in model units; finite also where values are missing.
            variables: those of `variables`.
            observed: (b, *shape), False where a value is missing and does not count. None if none is missing.

        Returns:
            (b,), in nats per example.
        """
        raise NotImplementedError

    def mean(self, y: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        """The reconstruction: the distribution's mean, in model units.

        Args:
            y: the decoder's output, (b, *shape).
        """
        raise NotImplementedError


def mask_missing(values: Tensor, observed: Tensor | None) -> Tensor:
    """The values, with 0 where they were not observed. The gradients there are 0 too."""
    return values if observed is None else torch.where(observed, values, 0)


class CrossEntropy(torch.autograd.Function):
    """The cross-entropy of logits y, summed over each example, and its gradient, with one sigmoid for both.

    It is max(y, 0) - x y - log sigmoid(abs(y)). The sigmoids are at least 1/2, so the logarithm of a product of many of them replaces
    many logarithms.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor) -> Tensor:
        share = torch.sigmoid(y)
        scratch = 1 - share
        runs = torch.maximum(scratch, share, out=scratch).reshape(len(y), -1, _run(math.prod(y.shape[1:])))
        logs = runs.prod(-1).log_().sum(1)
        nll = torch.clamp(y, min=0, out=scratch).addcmul_(x, y, value=-1).flatten(1).sum(1).sub_(logs)
        ctx.save_for_backward(share.sub_(x))
        return nll

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * grad.reshape(-1, *[1] * (slope.ndim - 1)), None


@lru_cache
def _run(numbers: int) -> int:
    """How many sigmoids to multiply: a divisor of their number, small enough that the product keeps its precision."""
    return max(run for run in range(1, _LONGEST + 1) if numbers % run == 0)


@record
class Bernoulli(Likelihood):
    """Binary cross-entropy with logits: a probability mass for binary examples, and the usual loss for gray levels in [0, 1].

    For gray levels it is not a likelihood: its minimum is the entropy of the pixels, not zero.
    """

    @property
    def density(self) -> bool:
        return False

    @property
    def expects_unit_interval(self) -> bool:
        return True

    def nll(
        self,
        y: Float[Tensor, "b *x"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        observed: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        if observed is not None:  # the loss and the gradient of a certain and correct prediction are exactly zero
            y, x = y.masked_fill(~observed, _CERTAIN), x.masked_fill(~observed, 1.0)
        nll: Tensor = CrossEntropy.apply(y, x)  # type: ignore[no-untyped-call]  # PyTorch's
        return nll

    def mean(self, y: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        return torch.sigmoid(y)


@record
class Normal(Likelihood):
    """A normal density around the decoder's output, with one standard deviation for all values, in model units.

    With a fixed ``scale`` the gradient is that of the squared error divided by ``scale``². With ``scale="learned"`` it is the optimal
    scale in closed form, the root mean squared error (Rybkin, Daniilidis & Levine 2021, "Simple and effective VAE training with
    calibrated decoders", section 3). It is a running mean over the observed values of the last training steps. It starts at 1 and is
    at least 1e-3, so that a perfect reconstruction does not drive it to zero.

    Examples:
        >>> Autoencoder(4, likelihood=Normal(), epochs=1, random_state=0).fit(X).likelihood_
        Normal()
    """

    scale: PositiveFloat | Literal["learned"] = 1.0

    def variables(self) -> Variables:
        names = ("log_scale", "squares", "counts") if self.scale == "learned" else ()
        return Variables(buffers={name: torch.zeros((), dtype=torch.float32) for name in names})

    def nll(
        self,
        y: Float[Tensor, "b *x"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        observed: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        errors = mask_missing(x - y, observed)
        numbers = math.prod(y.shape[1:]) if observed is None else observed.flatten(1).sum(1).to(y.dtype)
        if self.scale == "learned":
            if variables.training and "squares" in variables:  # in files of older formats the scale is a parameter
                self._follow(errors, numbers, variables)
            log_scale = variables["log_scale"].clamp(min=math.log(_LEAST))
            squares = ((errors * torch.exp(-log_scale)) ** 2).flatten(1)
            return 0.5 * squares.sum(1) + numbers * (log_scale + 0.5 * math.log(2 * math.pi))
        squares = ((errors / self.scale) ** 2).flatten(1)
        return 0.5 * squares.sum(1) + numbers * (math.log(self.scale) + 0.5 * math.log(2 * math.pi))

    def mean(self, y: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        return y

    @staticmethod
    @torch.no_grad()
    def _follow(errors: Float[Tensor, "b *x"], numbers: int | Float[Tensor, "b"], variables: Variables) -> None:
        """One step of the running mean, weighted by the number of observed values. Without any, the scale does not change."""
        squares, counts = variables["squares"], variables["counts"]
        squares.mul_(_DECAY).add_(errors.square().sum())
        counts.mul_(_DECAY).add_(numbers.sum() if isinstance(numbers, Tensor) else numbers * len(errors))
        mean = squares / counts.clamp(min=1e-30)
        found = 0.5 * torch.log(mean.clamp(min=_LEAST**2))
        variables["log_scale"].copy_(torch.where(counts > 0, found, variables["log_scale"]))
