"""The contract of a likelihood."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Generator, Tensor

from isthmus.errors import NotPossibleError
from isthmus.native import Kernels
from isthmus.nn.variables import Variables
from isthmus.records import Record

__all__ = ["NO_VARIABLES", "Likelihood", "Support", "mask_uncounted"]

NO_VARIABLES = Variables()
"""The variables of a likelihood that has none."""


class Support(NamedTuple):
    """The values that a likelihood accepts, in model units: from ``low`` to ``high``, perhaps only whole numbers or some levels.

    Attributes:
        low, high: the smallest and the largest value.
        integers: only whole numbers.
        levels: only so many values, at equal distances from ``low`` to ``high``; 0: all.
    """

    low: float = -math.inf
    high: float = math.inf
    integers: bool = False
    levels: int = 0

    @property
    def unit_interval(self) -> bool:
        """Whether these are shares or gray levels in [0, 1], to which data are scaled. Whole numbers are never scaled."""
        return (self.low, self.high) == (0, 1) and not self.integers

    @property
    def step(self) -> float:
        """The distance of neighboring values; 0 if all values between two are accepted."""
        return 1.0 if self.integers else (self.high - self.low) / (self.levels - 1) if self.levels else 0.0


class Likelihood(Record):
    """The contract of a likelihood: a distribution over examples, given the decoder's output.

    A likelihood defines `mean`, and `costs` or `nll`; everything else has a default.
    """

    def thread_invariant(self, missing: bool) -> bool:
        """Whether its bits in training do not depend on the number of threads.

        Args:
            missing: whether values can be missing, which are imputed with the mean.
        """
        return False

    @property
    def density(self) -> bool:
        """Whether it is a density, which depends on the unit of the values, and not a probability mass; `densities` says of which."""
        return True

    def densities(self, shape: tuple[int, ...]) -> bool | NDArray[np.bool_] | NDArray[np.float64]:
        """Which values of an example have a density: all, none, or a mask (*shape) of those that do; or their weights in the loss.

        The logarithm of the scale of these values, times their weight, enters the loss.

        Args:
            shape: of one example, in model units.
        """
        return self.density

    @property
    def support(self) -> Support:
        """The values that it accepts, in model units."""
        return Support()

    @property
    def parts(self) -> tuple[tuple[Likelihood, tuple[int, ...]], ...]:
        """Likelihoods that describe some columns of a table each, and these columns in the units of the data; () if it is one for all."""
        return ()

    @property
    def measure(self) -> str:
        """What its losses are relative to: those of two likelihoods with the same measure are comparable."""
        return "density" if self.density else type(self).__name__

    @property
    def inner(self) -> Likelihood | None:
        """The likelihood whose costs this one changes; None if it changes none."""
        return None

    @property
    def given_total(self) -> bool:
        """Whether it takes the total of an example as given, so that the cost of a value depends on all others of the example."""
        parts = [part for part, _ in self.parts]
        return any(each.given_total for each in (*parts, *([] if self.inner is None else [self.inner])))

    @property
    def weighted(self) -> bool:
        """Whether costs are multiplied by weights, so that their sum is no log-probability."""
        return False

    @property
    def unweighted(self) -> Likelihood:
        """The likelihood without weights of columns."""
        return self

    def weights_of(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """The weight of each value of an example in the loss, (*shape).

        Args:
            shape: of one example, in model units.
        """
        return np.ones(shape)

    @property
    def columns(self) -> tuple[int, ...]:
        """The number of values that each column of a table has, where a category is a block of values; () if each has one."""
        return ()

    @property
    def nominal(self) -> bool:
        """Whether values are names of classes, so that their differences mean nothing."""
        return False

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the decoder's output: that of an example, then an axis of parameters if a value has several.

        Args:
            shape: of one example, as the encoder sees it.

        Raises:
            RecordError: it does not apply to examples of this shape.
        """
        return shape

    def encoder_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what `encoder_input` returns, for examples of a shape.

        Args:
            shape: of one example.
        """
        return shape

    def encoder_input(self, x: Float[Tensor, "b *x"]) -> Float[Tensor, "b *h"]:
        """What the encoder sees of examples: by default the examples. For counts, for example, their logarithms.

        Args:
            x: examples (b, *shape), in model units, perhaps corrupted.
        """
        return x

    def variables(self, shape: tuple[int, ...]) -> Variables:
        """The learned tensors and running state of this likelihood.

        Args:
            shape: of one example.
        """
        return Variables()

    def costs(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        """-log p of each value of an example, in nats.

        Args:
            y: the decoder's output, (b, *outputs(shape)).
            x: the examples, (b, *shape), in model units; finite also where values are missing.
            variables: those of `variables`.

        Returns:
            (b, *shape), in nats. Their sum over an example is `nll`.
        """
        raise NotImplementedError

    def nll(
        self,
        y: Float[Tensor, "b *y"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        counted: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        """-log p(x | y), in nats per example: by default the sum of `costs` over the values that count.

        Args:
            y: the decoder's output, (b, *outputs(shape)).
            x: the examples, (b, *shape), in model units; finite also where values are missing.
            variables: those of `variables`.
            counted: (b, *shape), False where a value is missing or does not count. None if all count.

        Returns:
            (b,), in nats per example.
        """
        return mask_uncounted(self.costs(y, x, variables), counted).flatten(1).sum(1)

    def with_slope(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables, factor: float, kernels: Kernels
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b *y"]]:
        """`nll` where all values count, without a gradient, and its slope by y, times a factor: by default that of autograd.

        Args:
            y: the decoder's output, (b, *outputs(shape)).
            x: the examples, (b, *shape), in model units.
            variables: those of `variables`; none of them is learned.
            factor: on the slope.
            kernels: those that compute the rest of the step.

        Returns:
            (b,), in nats per example, and (b, *outputs(shape)).
        """
        y = y.detach().requires_grad_()
        nll = self.nll(y, x, variables)
        (slope,) = torch.autograd.grad(nll.sum() * factor, y)
        return nll.detach(), slope

    def mean(self, y: Float[Tensor, "b *y"]) -> Float[Tensor, "b *x"]:
        """The reconstruction: the distribution's mean, in model units; for classes the most probable one.

        Args:
            y: the decoder's output, (b, *outputs(shape)).
        """
        raise NotImplementedError

    def reconstruction(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], counted: Bool[Tensor, "b *x"] | None = None
    ) -> Float[Tensor, "b *x"]:
        """The reconstruction of examples: by default `mean`. A likelihood that takes a total of each example as given returns it scaled.

        Args:
            y: the decoder's output, (b, *outputs(shape)).
            x: the examples, (b, *shape), in model units; finite also where values are missing.
            counted: (b, *shape), False where a value is missing. None if all count.
        """
        return self.mean(y)

    def draw(self, y: Float[Tensor, "b *y"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        """Examples drawn from the distribution, in model units.

        Args:
            y: the decoder's output, (b, *outputs(shape)).
            variables: those of `variables`.
            generator: for the random numbers.

        Raises:
            NotPossibleError: the distribution cannot be sampled.
        """
        raise NotPossibleError(f"{type(self).__name__} cannot draw examples; use its mean")


def mask_uncounted(values: Tensor, counted: Tensor | None) -> Tensor:
    """The values, with 0 where they do not count. The gradients there are 0 too."""
    return values if counted is None else torch.where(counted, values, 0)
