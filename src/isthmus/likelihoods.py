"""How far a reconstruction is from the example: the negative log-likelihood in nats per example.

The decoder's output ``y`` becomes the parameter of a distribution over examples ``x``; ``nll(y, x)`` is its negative logarithm,
summed over an example's numbers, and ``mean(y)`` is the reconstruction. Both are in model units (see `scaling`); what that means for a
density of the data, `Model.nll` adds.
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

NOTHING = Variables()
_CERTAIN = 200.0  # a logit whose sigmoid is 1 exactly, in double precision too
_LONGEST = 100  # 2**-100 is far from the least that float32 holds
_DECAY = 0.95  # of the running mean of squared errors, per step
_LEAST = 1e-3  # scale that is learned


class Likelihood(Record):
    """A distribution over examples, given what the decoder says."""

    @property
    def density(self) -> bool:
        """Whether it is a density of numbers, which depends on their unit, and not a mass."""
        return True

    @property
    def expects_unit_interval(self) -> bool:
        """Whether examples have to lie in [0, 1], in model units."""
        return False

    def variables(self) -> Variables:
        """The tensors that training is to learn for this likelihood."""
        return Variables()

    def nll(
        self,
        y: Float[Tensor, "b *x"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NOTHING,
        observed: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        """-log p(x | y), in nats per example: of all its numbers, or of those observed, whatever finite x holds elsewhere."""
        raise NotImplementedError

    def mean(self, y: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        """The reconstruction: the distribution's mean, in model units."""
        raise NotImplementedError


def only(values: Tensor, observed: Tensor | None) -> Tensor:
    """Values of numbers that were observed, and 0 for the others, whose gradients are then 0 too."""
    return values if observed is None else torch.where(observed, values, 0)


class CrossEntropy(torch.autograd.Function):
    """The cross-entropy of logits y, summed over each example, with its gradient, from one sigmoid.

    It is max(y, 0) - x y - log sigmoid(abs(y)); the logarithms of a run of sigmoids, none below 1/2, are taken as one, of their product.
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
    """How many sigmoids to multiply: a divisor of their number, and so few that their product has all its digits."""
    return max(run for run in range(1, _LONGEST + 1) if numbers % run == 0)


@record
class Bernoulli(Likelihood):
    """Binary cross-entropy with logits: a mass for examples of zeros and ones, the customary score for grey levels in [0, 1].

    For grey levels it is not a density: the least it can reach is the entropy of the pixels, not zero.
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
        variables: Variables = NOTHING,
        observed: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        if observed is not None:  # of what is certain and true the cost and the gradient are exactly zero
            y, x = y.masked_fill(~observed, _CERTAIN), x.masked_fill(~observed, 1.0)
        nll: Tensor = CrossEntropy.apply(y, x)  # type: ignore[no-untyped-call]  # PyTorch's
        return nll

    def mean(self, y: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        return torch.sigmoid(y)


@record
class Normal(Likelihood):
    """A normal density around the decoder's output, of one standard deviation for all numbers, in model units.

    With a fixed ``scale`` the gradient is that of the squared error over ``scale``². A learned one weighs the error against
    the penalty as the data ask: it is the best there is, in closed form, the root of the mean squared error (Rybkin, Daniilidis &
    Levine 2021, "Simple and effective VAE training with calibrated decoders", section 3), as a running mean over the last steps of
    training, of the numbers observed; before the first step it is 1. It is kept above 1e-3, so that a perfect reconstruction does not
    send it to zero.
    """

    scale: PositiveFloat | Literal["learned"] = 1.0

    def variables(self) -> Variables:
        names = ("log_scale", "squares", "counts") if self.scale == "learned" else ()
        return Variables(buffers={name: torch.zeros((), dtype=torch.float32) for name in names})

    def nll(
        self,
        y: Float[Tensor, "b *x"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NOTHING,
        observed: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        errors = only(x - y, observed)
        numbers = math.prod(y.shape[1:]) if observed is None else observed.flatten(1).sum(1).to(y.dtype)
        if self.scale == "learned":
            if variables.training and "squares" in variables:  # in a model of an older file the scale is a parameter
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
        """One step of the running mean, in which a batch counts by its numbers; of none the scale stays. The first step begins it."""
        squares, counts = variables["squares"], variables["counts"]
        squares.mul_(_DECAY).add_(errors.square().sum())
        counts.mul_(_DECAY).add_(numbers.sum() if isinstance(numbers, Tensor) else numbers * len(errors))
        mean = squares / counts.clamp(min=1e-30)
        found = 0.5 * torch.log(mean.clamp(min=_LEAST**2))
        variables["log_scale"].copy_(torch.where(counts > 0, found, variables["log_scale"]))
