"""Normal densities."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat
from torch import Generator, Tensor

from isthmus.likelihoods.base import NO_VARIABLES, Likelihood, mask_uncounted
from isthmus.nn.variables import Variables
from isthmus.records import record

__all__ = ["Normal"]

_DECAY = 0.95  # of the running mean of squared errors, per step
_LEAST = 1e-3  # the smallest learned scale


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

    def variables(self, shape: tuple[int, ...]) -> Variables:
        names = ("log_scale", "squares", "counts") if self.scale == "learned" else ()
        return Variables(buffers={name: torch.zeros((), dtype=torch.float32) for name in names})

    def nll(
        self,
        y: Float[Tensor, "b *x"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        counted: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        errors = mask_uncounted(x - y, counted)
        numbers = math.prod(y.shape[1:]) if counted is None else counted.flatten(1).sum(1).to(y.dtype)
        if self.scale == "learned":
            if variables.training and "squares" in variables:  # in files of older formats the scale is a parameter
                self._follow(errors, numbers, variables)
            log_scale = variables["log_scale"].clamp(min=math.log(_LEAST))
            squares = ((errors * torch.exp(-log_scale)) ** 2).flatten(1)
            return 0.5 * squares.sum(1) + numbers * (log_scale + 0.5 * math.log(2 * math.pi))
        squares = ((errors / self.scale) ** 2).flatten(1)
        return 0.5 * squares.sum(1) + numbers * (math.log(self.scale) + 0.5 * math.log(2 * math.pi))

    def costs(
        self, y: Float[Tensor, "b *x"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        if self.scale == "learned":
            log_scale = variables["log_scale"].clamp(min=math.log(_LEAST))
            return 0.5 * ((x - y) * torch.exp(-log_scale)) ** 2 + log_scale + 0.5 * math.log(2 * math.pi)
        return 0.5 * ((x - y) / self.scale) ** 2 + math.log(self.scale) + 0.5 * math.log(2 * math.pi)

    def mean(self, y: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        return y

    def draw(self, y: Float[Tensor, "b *x"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        scale = variables["log_scale"].exp() if self.scale == "learned" else self.scale
        return y + scale * torch.empty_like(y).normal_(generator=generator)

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
