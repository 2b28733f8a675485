"""Normal densities."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat
from torch import Generator, Tensor

from isthmus.likelihoods.base import NO_VARIABLES, mask_uncounted
from isthmus.likelihoods.scales import DECAY, LEAST, LocationScale, follow
from isthmus.native import Kernels
from isthmus.nn.variables import Variables
from isthmus.records import record

__all__ = ["Normal"]


@record
class Normal(LocationScale):
    """A normal density around the decoder's output. ``scale`` is its standard deviation, in model units.

    With a fixed ``scale`` the gradient is that of the squared error divided by ``scale``². With ``scale="learned"`` it is the optimal
    scale in closed form, the root mean squared error (Rybkin, Daniilidis & Levine 2021, "Simple and effective VAE training with
    calibrated decoders", section 3). It is a running mean over the values that count in the last training steps: not over missing ones and,
    with a corruption that marks (``Patches``, ``BlindSpots``), over hidden ones only. It is then the error of a value that the encoder
    does not see, also in scores of complete examples, whose errors are smaller. It starts at 1 and is at least 1e-3, so that a perfect
    reconstruction does not drive it to zero. With ``scale="predicted"`` the decoder outputs mean and
    log scale of each value (Nix & Weigend 1994, "Estimating the mean and variance of the target probability distribution"); the scale is
    at least 1e-3.

    Examples:
        >>> Autoencoder(4, likelihood=Normal(), epochs=1, random_state=0).fit(X).likelihood_
        Normal()
    """

    scale: PositiveFloat | Literal["learned", "predicted"] = 1.0

    def nll(
        self,
        y: Float[Tensor, "b *y"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        counted: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        if self.scale == "predicted":
            return super().nll(y, x, variables, counted)
        errors = mask_uncounted(x - y, counted)
        numbers = math.prod(y.shape[1:]) if counted is None else counted.flatten(1).sum(1).to(y.dtype)
        if self.scale == "learned":
            if variables.training and "squares" in variables:  # in files of older formats the scale is a parameter
                follow(errors.detach().square(), numbers, variables)
            log_scale = self.log_scale(y, variables)
            squares = ((errors * torch.exp(-log_scale)) ** 2).flatten(1)
            return 0.5 * squares.sum(1) + numbers * (log_scale + 0.5 * math.log(2 * math.pi))
        squares = ((errors / self.scale) ** 2).flatten(1)
        return 0.5 * squares.sum(1) + numbers * (math.log(self.scale) + 0.5 * math.log(2 * math.pi))

    def with_slope(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables, factor: float, kernels: Kernels
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b *y"]]:
        if type(self) is not Normal or self.scale == "predicted" or y.shape != x.shape:
            return super().with_slope(y, x, variables, factor, kernels)
        if self.scale == "learned":
            running = (variables["squares"], variables["counts"]) if variables.training else None
            return kernels.normal(y, x, variables["log_scale"], running, DECAY, LEAST, factor)
        return kernels.normal(y, x, y.new_full((), math.log(self.scale)), None, DECAY, 0.0, factor)

    def _standard_costs(self, errors: Tensor) -> Tensor:
        return 0.5 * errors**2 + 0.5 * math.log(2 * math.pi)

    def _standard_draw(self, like: Tensor, generator: Generator) -> Tensor:
        return torch.empty_like(like).normal_(generator=generator)
