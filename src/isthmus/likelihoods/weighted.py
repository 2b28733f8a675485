"""A likelihood in which some columns count more than others."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Generator, Tensor

from isthmus.errors import RecordError
from isthmus.likelihoods.base import NO_VARIABLES, Likelihood, Support
from isthmus.likelihoods.normal import Normal
from isthmus.native import Kernels
from isthmus.nn.variables import Variables
from isthmus.records import record

__all__ = ["MAX_WEIGHT", "Weighted"]

MAX_WEIGHT = 1e6
"""The largest weight of a column: float32 adds 1 to a million exactly, and larger weights only let the loss overflow."""


@record
class Weighted(Likelihood):
    """Another likelihood, whose costs of each column are multiplied by a weight: a weighted sum of nats, not a log-probability.

    A weight of 2 makes a column count like two equal ones, and 0 leaves it out of the loss; the encoder sees it all the same. Losses and
    scores are weighted, and evaluations say so; errors and reconstructions are in the units of the data and are not. A learned scale is
    one for all columns with a weight above 0.

    Args:
        of: the likelihood.
        weights: one for each column of a table, or for each channel (the last axis) of other examples. (): all are 1.
            At most a million.

    Examples:
        >>> table = np.random.default_rng(0).normal(size=(100, 3))
        >>> ae = Autoencoder(1, likelihood=Weighted(Normal("learned"), (5, 1, 1)), random_state=0).fit(table)
        >>> error = ae.reconstruction_error(table, per_feature=True).mean(0)
        >>> bool(error[0] < error[1:].min())
        True
    """

    of: Likelihood = Normal("learned")
    weights: tuple[Annotated[float, Field(ge=0, le=MAX_WEIGHT)], ...] = ()

    @model_validator(mode="after")
    def _has_costs_of_single_values(self) -> Weighted:
        if self.weights and self.of.given_total:
            raise ValueError(
                f"{self.of!r} takes the total of each example as given, so that its values have no costs of their own: use a likelihood "
                "without a total"
            )
        return self

    @property
    def inner(self) -> Likelihood | None:
        return self.of

    @property
    def weighted(self) -> bool:
        return len(set(self.weights) | {1.0}) > 1 or self.of.weighted

    @property
    def unweighted(self) -> Likelihood:
        return self.of.unweighted

    def weights_of(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return self.of.weights_of(shape) * self._each(shape)

    @property
    def density(self) -> bool:
        return self.of.density

    def densities(self, shape: tuple[int, ...]) -> bool | NDArray[np.bool_] | NDArray[np.float64]:
        of = self.of.densities(shape)
        return of * np.broadcast_to(self._each(shape), shape) if self.weights and np.any(of) else of

    @property
    def support(self) -> Support:
        return self.of.support

    @property
    def parts(self) -> tuple[tuple[Likelihood, tuple[int, ...]], ...]:
        return self.of.parts

    @property
    def columns(self) -> tuple[int, ...]:
        return self.of.columns

    @property
    def measure(self) -> str:
        return f"{self.of.measure}, columns weighted {self.weights}" if self.weighted else self.of.measure

    @property
    def nominal(self) -> bool:
        return self.of.nominal

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        self._each(shape)  # checks it
        return self.of.outputs(shape)

    def encoder_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.of.encoder_shape(shape)

    def encoder_input(self, x: Float[Tensor, "b *x"]) -> Float[Tensor, "b *h"]:
        return self.of.encoder_input(x)

    def variables(self, shape: tuple[int, ...]) -> Variables:
        return self.of.variables(shape)

    def costs(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        costs = self.of.costs(y, x, variables)
        return costs * torch.as_tensor(self._each(tuple(x.shape[1:]))).to(costs) if self.weights else costs

    def nll(
        self,
        y: Float[Tensor, "b *y"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        counted: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        if not self.weights:
            return self.of.nll(y, x, variables, counted)
        if variables.training:  # learned scales follow the errors
            seen = torch.as_tensor(self._each(tuple(x.shape[1:])) > 0).to(x.device).expand(x.shape)
            with torch.no_grad():
                self.of.nll(y.detach(), x, variables, seen if counted is None else seen & counted)
        return super().nll(y, x, variables, counted)

    def with_slope(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables, factor: float, kernels: Kernels
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b *y"]]:
        if type(self) is not Weighted or self.weights:
            return super().with_slope(y, x, variables, factor, kernels)
        return self.of.with_slope(y, x, variables, factor, kernels)

    def mean(self, y: Float[Tensor, "b *y"]) -> Float[Tensor, "b *x"]:
        return self.of.mean(y)

    def reconstruction(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], counted: Bool[Tensor, "b *x"] | None = None
    ) -> Float[Tensor, "b *x"]:
        return self.of.reconstruction(y, x, counted)

    def draw(self, y: Float[Tensor, "b *y"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        return self.of.draw(y, variables, generator)

    def _each(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """The weight of each value on the last axis: the values of a category have that of their column."""
        widths = self.of.columns or (1,) * shape[-1]
        if not self.weights:
            return np.ones(sum(widths))
        if len(self.weights) != len(widths):
            what = "columns" if len(shape) == 1 else "channels (the last axis)"
            raise RecordError(
                f"Weighted has {len(self.weights):,} weights, and the examples have {len(widths):,} {what}: give one weight for each"
            )
        if not any(self.weights):
            raise RecordError(
                "Weighted: all weights are zero, so that nothing is learned; give at least one column a positive weight"
            )
        return np.repeat(np.asarray(self.weights, dtype=np.float64), widths)
