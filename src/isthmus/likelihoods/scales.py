"""Densities with a location and a scale, which is fixed, learned, or predicted for each value."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from isthmus.likelihoods.base import NO_VARIABLES, Likelihood, mask_uncounted
from isthmus.nn.processes import summed
from isthmus.nn.variables import Variables

__all__ = ["DECAY", "LEAST", "LocationScale", "follow"]

LEAST = 1e-3  # the smallest learned or predicted scale, in model units
DECAY = 0.95  # of the running mean of errors, per step


class LocationScale(Likelihood):
    """The contract of a density of (x - location) / scale. The decoder outputs the location; with "predicted" also the scale.

    A predicted scale is exp(the decoder's second output) + 1e-3. A learned one is one for all values: the maximum-likelihood scale of the
    errors, in closed form, as a running mean over the last training steps. Only values that count enter it: with a corruption that marks
    what counts, the hidden ones.
    """

    scale: float | Literal["learned", "predicted"]

    power = 2  # the mean of `_scale_terms` is the scale to this power

    def _standard_costs(self, errors: Tensor) -> Tensor:
        """-log of the density of errors at location 0 and scale 1, in nats."""
        raise NotImplementedError

    def _standard_draw(self, like: Tensor, generator: Generator) -> Tensor:
        """Random errors at location 0 and scale 1, of the shape and dtype of a tensor."""
        raise NotImplementedError

    def _scale_terms(self, errors: Tensor, log_scale: Tensor) -> Tensor:
        """The terms whose mean is the maximum-likelihood scale, to the power of `power`."""
        raise NotImplementedError

    def thread_invariant(self, missing: bool) -> bool:
        return True

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape, 2) if self.scale == "predicted" else shape

    def variables(self, shape: tuple[int, ...]) -> Variables:
        names = ("log_scale", "squares", "counts") if self.scale == "learned" else ()
        return Variables(buffers={name: torch.zeros((), dtype=torch.float32) for name in names})

    def nll(
        self,
        y: Float[Tensor, "b *y"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        counted: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        if self.scale == "learned" and variables.training:
            errors = mask_uncounted(x - y, counted).detach()
            numbers = math.prod(y.shape[1:]) if counted is None else counted.flatten(1).sum(1).to(y.dtype)
            follow(self._scale_terms(errors, variables["log_scale"]), numbers, variables, self.power)
        return super().nll(y, x, variables, counted)

    def costs(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        if isinstance(self.scale, str):
            log_scale = self.log_scale(y, variables)
            return self._standard_costs((x - self.mean(y)) * torch.exp(-log_scale)) + log_scale
        return self._standard_costs((x - y) / self.scale) + math.log(self.scale)

    def mean(self, y: Float[Tensor, "b *y"]) -> Float[Tensor, "b *x"]:
        return y[..., 0] if self.scale == "predicted" else y

    def draw(self, y: Float[Tensor, "b *y"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        location = self.mean(y)
        scale = self.log_scale(y, variables).exp() if isinstance(self.scale, str) else self.scale
        return location + scale * self._standard_draw(location, generator)

    def log_scale(self, y: Float[Tensor, "b *y"], variables: Variables) -> Float[Tensor, "*s"]:
        """The logarithm of a learned or predicted scale: of all values, or of each.

        Args:
            y: the decoder's output.
            variables: those of `variables`.
        """
        if self.scale == "learned":
            return variables["log_scale"].clamp(min=math.log(LEAST))
        return torch.logaddexp(y[..., 1], torch.full_like(y[..., 1], math.log(LEAST)))


@torch.no_grad()
def follow(terms: Tensor, numbers: int | Tensor, variables: Variables, power: int = 2) -> None:
    """One step of the running mean of a learned scale, weighted by the number of values and by the weights of examples.

    Without any, the scale does not change.

    Args:
        terms: (b, *shape), whose mean is the scale to the power of ``power``; 0 where a value does not count.
        numbers: how many values of each example count, of all or (b,).
        variables: the running sums and the scale, which change.
        power: of the scale.
    """
    squares, counts, weights = variables["squares"], variables["counts"], variables.weights
    if weights is not None:
        each = weights.repeat(len(terms) // len(weights))  # of several draws of an example
        terms, numbers = terms * each.reshape(-1, *[1] * (terms.ndim - 1)), numbers * each
    total = terms.flatten(1).sum(1).sum()  # in an order that does not depend on the number of threads
    count = numbers.sum() if isinstance(numbers, Tensor) else total.new_full((), numbers * len(terms))
    total, count = summed(total, count)
    squares.mul_(DECAY).add_(total)
    counts.mul_(DECAY).add_(count)
    mean = squares / counts.clamp(min=1e-30)
    found = torch.log(mean.clamp(min=LEAST**power)) / power
    variables["log_scale"].copy_(torch.where(counts > 0, found, variables["log_scale"]))
