"""Counts: whole numbers from 0, such as words of documents, purchases, or molecules of genes in cells.

The encoder sees log(1 + count). Rates are exp(y), which beyond y = 20 continues as a straight line, so that it does not overflow.
The number of all counts of an example is its total: the library size of a cell, the length of a document. `Multinomial` takes it as given.
So do the others with total="observed", as an offset: the decoder outputs the shares of the features, and the mean of each is its share of
the total of the example. Without an offset the code has to express the total too.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat
from torch import Generator, Tensor
from torch.nn import functional as F

from isthmus.errors import NotPossibleError
from isthmus.likelihoods.base import NO_VARIABLES, Likelihood, Support, mask_uncounted
from isthmus.likelihoods.totals import IMPOSSIBLE, log_shares, shares, totals, with_total
from isthmus.nn.log_gamma import SHIFT, log_gamma, stirling
from isthmus.nn.variables import Variables
from isthmus.records import record

__all__ = ["Multinomial", "NegativeBinomial", "Poisson", "ZeroInflated"]

_STEEPEST = 20.0  # exp(20) is 485 million
_LEAST_DISPERSION = 1e-6  # hardly to be told from a Poisson distribution
_LEAST_TOTAL = 1e-30  # an example without counts has means of 1e-30, whose logarithms are finite


class Counts(Likelihood):
    """The contract of a distribution of counts."""

    @property
    def density(self) -> bool:
        return False

    @property
    def support(self) -> Support:
        return Support(0, math.inf, integers=True)

    @property
    def measure(self) -> str:
        return "counts, given their total" if self.given_total else "counts"

    def encoder_input(self, x: Float[Tensor, "b *x"]) -> Float[Tensor, "b *h"]:
        return torch.log1p(x.clamp(min=0))  # a corruption may make them negative

    def costs(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        return self.counted_costs(y, x, variables, None)

    def nll(
        self,
        y: Float[Tensor, "b *y"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        counted: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        return mask_uncounted(self.counted_costs(y, x, variables, counted), counted).flatten(1).sum(1)

    def counted_costs(self, y: Tensor, x: Tensor, variables: Variables, counted: Tensor | None) -> Tensor:
        """The costs (b, *shape), where only the values that count add up to the total of an example.

        Args:
            y, x, variables, counted: as for `nll`.
        """
        raise NotImplementedError


@record
class WithTotal(Counts):
    """The contract of a distribution of each count, whose means the decoder outputs, or their shares of the observed total."""

    _: KW_ONLY
    total: Literal["observed"] | None = None

    @property
    def given_total(self) -> bool:
        return self.total is not None

    def mean(self, y: Float[Tensor, "b *y"]) -> Float[Tensor, "b *x"]:
        return _rate(self._first(y)) if self.total is None else shares(self._first(y))

    def reconstruction(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], counted: Bool[Tensor, "b *x"] | None = None
    ) -> Float[Tensor, "b *x"]:
        return self.mean(y) if self.total is None else with_total(self.mean(y), x, counted)

    def log_means(self, y: Tensor, x: Tensor, counted: Tensor | None) -> Tensor:
        """The logarithms of the means (b, *shape).

        Args:
            y: what `outputs` says, without the axis of parameters.
            x: the examples (b, *shape), whose totals count.
            counted: (b, *shape), False where a value is missing. None if all count.
        """
        if self.total is None:
            return _log_rate(y)
        if counted is not None:
            y, x = y.masked_fill(~counted, IMPOSSIBLE), x.masked_fill(~counted, 0.0)
        return log_shares(y) + torch.log(totals(x).clamp(min=_LEAST_TOTAL))

    def _check_draw(self) -> None:
        if self.total is not None:
            raise NotPossibleError(
                f"{self!r} cannot draw examples, whose totals it takes as given; use its mean, the shares"
            )

    def _first(self, y: Tensor) -> Tensor:
        """The parameter of `log_means` in the decoder's output."""
        return y


@record
class Poisson(WithTotal):
    """A Poisson distribution of each count. The decoder outputs log rates; with ``total="observed"`` logits, as of a softmax.

    With ``total="observed"`` the rate of a feature is its share times the total of the example (as in Lopez et al. 2018, "Deep generative
    modeling for single-cell transcriptomics", with the observed library size). The reconstruction of an example has its total; what
    `decode` and `sample` return, without an example, are the shares. Missing values are left out of the total.
    """

    def counted_costs(self, y: Tensor, x: Tensor, variables: Variables, counted: Tensor | None) -> Tensor:
        log_rate = self.log_means(y, x, counted)
        rate = _rate(y) if self.total is None else torch.exp(log_rate)
        return rate - x * log_rate + log_gamma(x + 1)

    def draw(self, y: Float[Tensor, "b *x"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        self._check_draw()
        return torch.poisson(_rate(y), generator=generator)


@record
class NegativeBinomial(WithTotal):
    """A negative binomial distribution of each count: of mean m its variance is m + ``dispersion`` · m², more than a Poisson's.

    The decoder outputs log means. ``dispersion`` is a number, or "learned": one of each feature, by gradient, or "predicted": the decoder
    outputs its logarithm too, of each value (Eraslan et al. 2019, "Single-cell RNA-seq denoising using a deep count autoencoder"; Lopez
    et al. 2018, "Deep generative modeling for single-cell transcriptomics"). torch.distributions' ``total_count`` is 1 / ``dispersion``.

    With ``total="observed"`` it outputs logits, and the mean of a feature is its share times the total of the example: the model of Lopez
    et al. with the observed library size. See `Poisson` for what then is returned.
    """

    dispersion: PositiveFloat | Literal["learned", "predicted"] = "learned"

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape, 2) if self.dispersion == "predicted" else shape

    def variables(self, shape: tuple[int, ...]) -> Variables:
        learned = {"log_dispersion": torch.zeros(shape, dtype=torch.float32)} if self.dispersion == "learned" else {}
        return Variables(parameters=learned)

    def counted_costs(self, y: Tensor, x: Tensor, variables: Variables, counted: Tensor | None) -> Tensor:
        log_mean, log_dispersion = self.log_means(self._first(y), x, counted), self._log_dispersion(y, variables)
        total_count = torch.exp(-log_dispersion)
        log_ratio = F.logsigmoid(-log_mean - log_dispersion)  # of total_count / (total_count + mean)
        return log_gamma(x + 1) - _log_rising(x, total_count) - x * log_mean - (x + total_count) * log_ratio

    def draw(self, y: Float[Tensor, "b *y"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        self._check_draw()
        mean = self.mean(y)
        total_count = torch.exp(-self._log_dispersion(y, variables)).expand_as(mean).contiguous()
        rate = mean * torch._standard_gamma(total_count, generator=generator) / total_count
        return torch.poisson(rate, generator=generator)

    def _first(self, y: Tensor) -> Tensor:
        return y[..., 0] if self.dispersion == "predicted" else y

    def _log_dispersion(self, y: Tensor, variables: Variables) -> Tensor:
        if self.dispersion == "predicted":
            raw = y[..., 1]
        elif self.dispersion == "learned":
            raw = variables["log_dispersion"]
        else:
            return y.new_full((), math.log(self.dispersion))
        return torch.logaddexp(raw, torch.full_like(raw, math.log(_LEAST_DISPERSION)))


@record
class ZeroInflated(Counts):
    """Counts that are 0 for another reason too, with a probability that the decoder outputs for each value (Lambert 1992).

    ``of`` is the distribution otherwise. "Zero-inflated Poisson regression" is Lambert's title; with `NegativeBinomial` it is the
    reconstruction loss of Eraslan et al. 2019 and Lopez et al. 2018. The decoder outputs the logit of the further zero, then what ``of``
    takes.
    """

    of: Poisson | NegativeBinomial = Poisson()

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        own = self.of.outputs(shape)
        return (*shape, 2 if own == shape else 1 + own[-1])

    def variables(self, shape: tuple[int, ...]) -> Variables:
        return self.of.variables(shape)

    @property
    def given_total(self) -> bool:
        return self.of.given_total

    def counted_costs(self, y: Tensor, x: Tensor, variables: Variables, counted: Tensor | None) -> Tensor:
        logit, inner = y[..., 0], _inner(y)
        present = self.of.counted_costs(inner, x, variables, counted) - F.logsigmoid(-logit)
        return torch.where(x == 0, -torch.logaddexp(F.logsigmoid(logit), -present), present)

    def mean(self, y: Float[Tensor, "b *y"]) -> Float[Tensor, "b *x"]:
        return torch.sigmoid(-y[..., 0]) * self.of.mean(_inner(y))

    def reconstruction(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], counted: Bool[Tensor, "b *x"] | None = None
    ) -> Float[Tensor, "b *x"]:
        return torch.sigmoid(-y[..., 0]) * self.of.reconstruction(_inner(y), x, counted)

    def draw(self, y: Float[Tensor, "b *y"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        present = torch.bernoulli(torch.sigmoid(-y[..., 0]), generator=generator)
        return present * self.of.draw(_inner(y), variables, generator)


@record
class Multinomial(Counts):
    """A multinomial distribution of the counts of an example, given their total. The decoder outputs logits, one for each feature.

    From Liang et al. 2018, "Variational autoencoders for collaborative filtering", here with its constant, so that it is a probability.
    How large the total is costs nothing. The reconstruction of an example has its total; what `decode` and `sample` return, without an
    example, are the shares of the features, which add up to 1. Missing values are left out of the total.

    ``input`` is what the encoder sees: "log", the logarithms log(1 + count), or "unit", the counts divided by their Euclidean length, as
    Liang et al. do.
    """

    input: Literal["log", "unit"] = "log"

    @property
    def given_total(self) -> bool:
        return True

    def encoder_input(self, x: Float[Tensor, "b *x"]) -> Float[Tensor, "b *h"]:
        return super().encoder_input(x) if self.input == "log" else F.normalize(x.flatten(1), dim=1).view_as(x)

    def counted_costs(self, y: Tensor, x: Tensor, variables: Variables, counted: Tensor | None) -> Tensor:
        if counted is not None:
            y, x = y.masked_fill(~counted, IMPOSSIBLE), x.masked_fill(~counted, 0.0)
        total = totals(x)
        arrangements = log_gamma(total + 1) / total.clamp(min=1)  # each count has an equal part in their cost
        return log_gamma(x + 1) - x * (log_shares(y) + arrangements)

    def mean(self, y: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        return shares(y)

    def reconstruction(
        self, y: Float[Tensor, "b *x"], x: Float[Tensor, "b *x"], counted: Bool[Tensor, "b *x"] | None = None
    ) -> Float[Tensor, "b *x"]:
        return with_total(self.mean(y), x, counted)

    def draw(self, y: Float[Tensor, "b *x"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        raise NotPossibleError(
            "Multinomial cannot draw examples, whose totals it takes as given; use its mean, the shares"
        )


def _rate(y: Tensor) -> Tensor:
    return torch.exp(y.clamp(max=_STEEPEST)) * (1 + F.relu(y - _STEEPEST))


def _log_rate(y: Tensor) -> Tensor:
    return y.clamp(max=_STEEPEST) + torch.log1p(F.relu(y - _STEEPEST))


def _inner(y: Tensor) -> Tensor:
    """What the distribution of a zero-inflated one takes of the decoder's output."""
    return y[..., 1] if y.shape[-1] == 2 else y[..., 1:]


def _log_rising(x: Tensor, r: Tensor) -> Tensor:
    """log(gamma(x + r) / gamma(r)) - x log(r), for r > 0, without the loss of digits for large r."""
    small, large = r.clamp(max=SHIFT), r.clamp(min=SHIFT)
    direct = log_gamma(x + small) - log_gamma(small) - x * torch.log(small)
    series = (x + large - 0.5) * torch.log1p(x / large) - x + stirling(x + large) - stirling(large)
    return torch.where(r < SHIFT, direct, series)
