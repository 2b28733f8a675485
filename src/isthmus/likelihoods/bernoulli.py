"""Binary examples, and values in [0, 1]."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn import functional as F

from isthmus.errors import NotPossibleError
from isthmus.likelihoods.base import NO_VARIABLES, Likelihood, Support
from isthmus.native import Kernels
from isthmus.nn.dense_stack import native_kernels
from isthmus.nn.variables import Variables
from isthmus.records import record

__all__ = ["Bernoulli", "ContinuousBernoulli"]

_CERTAIN = 200.0  # a logit whose sigmoid is exactly 1, also in float64
_LONGEST = 100  # 2**-100 is far above the smallest float32
_NEAR = 0.5  # logits nearer to 0 use the power series, the others the closed form, which there loses its digits
# of log(y / (2 tanh(y / 2))) in y², and of coth(y / 2) / 2 - 1 / y after its first y
_LOG_NORMALIZER = (
    1 / 12,
    -7 / 1440,
    31 / 90720,
    -127 / 4838400,
    73 / 34214400,
    -1.8027895356488832e-07,
    8191 / 523069747200,
)
_MEAN = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000)


class CrossEntropy(torch.autograd.Function):
    """The cross-entropy of logits y, summed over each example, and its gradient, with one sigmoid for both.

    It is max(y, 0) - x y - log sigmoid(abs(y)). The sigmoids are at least 1/2, so the logarithm of a product of many of them replaces
    many logarithms.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, kernels: Kernels | None) -> Tensor:
        ctx.kernels = kernels
        if kernels is not None:
            nll, slope = kernels.cross_entropy(y, x)
            ctx.save_for_backward(slope)
            return nll
        share = torch.sigmoid(y)
        scratch = 1 - share
        runs = torch.maximum(scratch, share, out=scratch).reshape(y.shape[0], -1, _run(math.prod(y.shape[1:])))
        logs = runs.prod(-1).log_().sum(1)
        nll = torch.clamp(y, min=0, out=scratch).addcmul_(x, y, value=-1).flatten(1).sum(1).sub_(logs)
        ctx.save_for_backward(share.sub_(x))
        return nll

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # autograd would take it for linear
            raise NotPossibleError("the cross-entropy of Bernoulli has no second derivative: differentiate its mean")
        (slope,) = ctx.saved_tensors
        if ctx.kernels is not None:
            return ctx.kernels.scale_rows(slope, grad.contiguous()), None, None
        return slope * grad.reshape(-1, *[1] * (slope.ndim - 1)), None, None


def _kernels(y: Tensor, x: Tensor) -> Kernels | None:
    """The native kernels if they can train on logits y and targets x."""
    alike = x.dtype is y.dtype and x.device == y.device and x.shape == y.shape
    return native_kernels(y) if alike and x.is_contiguous() and y.is_contiguous() else None


@lru_cache
def _run(numbers: int) -> int:
    """How many sigmoids to multiply: a divisor of their number, small enough that the product keeps its precision."""
    return max(run for run in range(1, _LONGEST + 1) if numbers % run == 0)


@record
class Bernoulli(Likelihood):
    """Binary cross-entropy with logits: a probability mass for binary examples, and the usual loss for gray levels in [0, 1].

    For gray levels it is not a likelihood: its minimum is the entropy of the pixels, not zero.
    """

    def thread_invariant(self, missing: bool) -> bool:
        return not missing  # the mean is PyTorch's sigmoid, which has other last bits where a thread begins

    @property
    def density(self) -> bool:
        return False

    @property
    def support(self) -> Support:
        return Support(0, 1)

    def costs(
        self, y: Float[Tensor, "b *x"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        return F.binary_cross_entropy_with_logits(y, x, reduction="none")

    def nll(
        self,
        y: Float[Tensor, "b *x"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        counted: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        if counted is not None:  # the loss and the gradient of a certain and correct prediction are exactly zero
            y, x = y.masked_fill(~counted, _CERTAIN), x.masked_fill(~counted, 1.0)
        if torch.compiler.is_exporting():  # to programs whose products depend on addresses
            return self.costs(y, x).flatten(1).sum(1)
        nll: Tensor = CrossEntropy.apply(y, x, _kernels(y, x))  # type: ignore[no-untyped-call]  # PyTorch's
        return nll

    def with_slope(
        self, y: Float[Tensor, "b *x"], x: Float[Tensor, "b *x"], variables: Variables, factor: float, kernels: Kernels
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b *x"]]:
        if type(self) is not Bernoulli or y.shape != x.shape:
            return super().with_slope(y, x, variables, factor, kernels)
        return kernels.cross_entropy(y, x, factor)

    def mean(self, y: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        return torch.sigmoid(y)

    def draw(self, y: Float[Tensor, "b *x"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        return torch.bernoulli(torch.sigmoid(y), generator=generator)


@record
class ContinuousBernoulli(Likelihood):
    """A density for values in [0, 1], proportional to that of `Bernoulli` (Loaiza-Ganem & Cunningham 2019, "The continuous Bernoulli").

    The decoder outputs logits y. The normalizing constant is y / tanh(y / 2). The reconstruction is the mean, which differs from
    sigmoid(y).
    """

    @property
    def support(self) -> Support:
        return Support(0, 1)

    def costs(
        self, y: Float[Tensor, "b *x"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        far = torch.where(y.abs() < _NEAR, 1.0, y.abs())
        near = torch.where(y.abs() < _NEAR, y.square(), 0.0)
        log_normalizer = torch.log(far) - torch.log(torch.tanh(0.5 * far))
        log_normalizer = torch.where(
            y.abs() < _NEAR, math.log(2) + near * _series(_LOG_NORMALIZER, near), log_normalizer
        )
        return F.binary_cross_entropy_with_logits(y, x, reduction="none") - log_normalizer

    def mean(self, y: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        far = torch.where(y.abs() < _NEAR, 1.0, y)
        near = torch.where(y.abs() < _NEAR, y, 0.0)
        odd = torch.where(y.abs() < _NEAR, near * _series(_MEAN, near.square()), 0.5 / torch.tanh(0.5 * far) - 1 / far)
        return 0.5 + odd

    def draw(self, y: Float[Tensor, "b *x"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        size = y.abs().clamp(
            min=1e-6
        )  # the inverse distribution function has no value at 0, and near it hardly changes
        low = torch.log1p(torch.empty_like(y).uniform_(generator=generator) * torch.expm1(-size)) / -size
        return torch.where(y > 0, 1 - low, low)


def _series(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """The polynomial with these coefficients, the constant first."""
    total = torch.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total
