"""Counts: whole numbers from 0, such as words of documents, purchases, or molecules of genes in cells.

The encoder sees log(1 + count). Rates are exp(y), which beyond y = 20 continues as a straight line, so that it does not overflow.
The number of all counts of an example (its library size, or length) is given to `Multinomial`; the others have no offset for it, and the
code has to express it.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat
from torch import Generator, Tensor
from torch.nn import functional as F

from isthmus.errors import NotPossibleError
from isthmus.likelihoods.base import NO_VARIABLES, Likelihood, Support, mask_uncounted
from isthmus.nn.variables import Variables
from isthmus.records import record

__all__ = ["Multinomial", "NegativeBinomial", "Poisson", "ZeroInflated"]

_STEEPEST = 20.0  # exp(20) is 485 million
_LEAST_DISPERSION = 1e-6  # hardly to be told from a Poisson distribution
_IMPOSSIBLE = -1e30  # a logit without probability; finite, so that an example with nothing else has no NaN
_SHIFT = 10.0  # from here on the asymptotic series of log gamma has all digits


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
        return "counts"

    def encoder_input(self, x: Float[Tensor, "b *x"]) -> Float[Tensor, "b *h"]:
        return torch.log1p(x.clamp(min=0))  # a corruption may make them negative


@record
class Poisson(Counts):
    """A Poisson distribution of each count. The decoder outputs log rates (as in Lopez et al. 2018, "scVI", without its library size)."""

    def costs(
        self, y: Float[Tensor, "b *x"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        return _rate(y) - x * _log_rate(y) + torch.lgamma(x + 1)

    def mean(self, y: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        return _rate(y)

    def draw(self, y: Float[Tensor, "b *x"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        return torch.poisson(_rate(y), generator=generator)


@record
class NegativeBinomial(Counts):
    """A negative binomial distribution of each count: of mean m its variance is m + ``dispersion`` · m², more than a Poisson's.

    The decoder outputs log means. ``dispersion`` is a number, or "learned": one of each feature, by gradient, or "predicted": the decoder
    outputs its logarithm too, of each value (Eraslan et al. 2019, "Single-cell RNA-seq denoising using a deep count autoencoder"; Lopez
    et al. 2018, "Deep generative modeling for single-cell transcriptomics"). torch.distributions' ``total_count`` is 1 / ``dispersion``.
    """

    dispersion: PositiveFloat | Literal["learned", "predicted"] = "learned"

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape, 2) if self.dispersion == "predicted" else shape

    def variables(self, shape: tuple[int, ...]) -> Variables:
        learned = {"log_dispersion": torch.zeros(shape, dtype=torch.float32)} if self.dispersion == "learned" else {}
        return Variables(parameters=learned)

    def costs(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        log_mean, log_dispersion = _log_rate(self._first(y)), self._log_dispersion(y, variables)
        total_count = torch.exp(-log_dispersion)
        log_ratio = F.logsigmoid(-log_mean - log_dispersion)  # of total_count / (total_count + mean)
        return torch.lgamma(x + 1) - _log_rising(x, total_count) - x * log_mean - (x + total_count) * log_ratio

    def mean(self, y: Float[Tensor, "b *y"]) -> Float[Tensor, "b *x"]:
        return _rate(self._first(y))

    def draw(self, y: Float[Tensor, "b *y"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
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

    def costs(
        self, y: Float[Tensor, "b *y"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        logit, inner = y[..., 0], _inner(y)
        present = self.of.costs(inner, x, variables) - F.logsigmoid(-logit)
        return torch.where(x == 0, -torch.logaddexp(F.logsigmoid(logit), -present), present)

    def mean(self, y: Float[Tensor, "b *y"]) -> Float[Tensor, "b *x"]:
        return torch.sigmoid(-y[..., 0]) * self.of.mean(_inner(y))

    def draw(self, y: Float[Tensor, "b *y"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        present = torch.bernoulli(torch.sigmoid(-y[..., 0]), generator=generator)
        return present * self.of.draw(_inner(y), variables, generator)


@record
class Multinomial(Counts):
    """A multinomial distribution of the counts of an example, given their total. The decoder outputs logits, one for each feature.

    From Liang et al. 2018, "Variational autoencoders for collaborative filtering", here with its constant, so that it is a probability.
    How large the total is costs nothing. The reconstruction of an example has its total; what `decode` and `sample` return, without an
    example, are the shares of the features, which add up to 1. Missing values are left out of the total.
    """

    @property
    def measure(self) -> str:
        return "counts, given their total"

    def costs(
        self, y: Float[Tensor, "b *x"], x: Float[Tensor, "b *x"], variables: Variables = NO_VARIABLES
    ) -> Float[Tensor, "b *x"]:
        return self._costs(y, x, None)

    def nll(
        self,
        y: Float[Tensor, "b *x"],
        x: Float[Tensor, "b *x"],
        variables: Variables = NO_VARIABLES,
        counted: Bool[Tensor, "b *x"] | None = None,
    ) -> Float[Tensor, "b"]:
        return self._costs(y, x, counted).flatten(1).sum(1)

    def mean(self, y: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        return F.softmax(y.flatten(1), 1).view_as(y)

    def reconstruction(
        self, y: Float[Tensor, "b *x"], x: Float[Tensor, "b *x"], counted: Bool[Tensor, "b *x"] | None = None
    ) -> Float[Tensor, "b *x"]:
        shares = self.mean(y)
        totals, seen = (mask_uncounted(each, counted).flatten(1).sum(1) for each in (x, shares))
        scale = totals / seen.clamp(min=torch.finfo(y.dtype).tiny)
        return shares * scale.reshape(-1, *[1] * (y.ndim - 1))

    def draw(self, y: Float[Tensor, "b *x"], variables: Variables, generator: Generator) -> Float[Tensor, "b *x"]:
        raise NotPossibleError(
            "Multinomial cannot draw examples, whose totals it takes as given; use its mean, the shares"
        )

    @staticmethod
    def _costs(y: Tensor, x: Tensor, counted: Tensor | None) -> Tensor:
        """The cost of each value that counts; each count has an equal part in the cost of their arrangements."""
        if counted is not None:
            y, x = y.masked_fill(~counted, _IMPOSSIBLE), x.masked_fill(~counted, 0.0)
        log_shares = F.log_softmax(y.flatten(1), 1).view_as(y)
        total = x.flatten(1).sum(1).reshape(-1, *[1] * (x.ndim - 1))
        arrangements = torch.lgamma(total + 1) / total.clamp(min=1)
        costs = torch.lgamma(x + 1) - x * (log_shares + arrangements)
        return costs if counted is None else torch.where(counted, costs, 0)


def _rate(y: Tensor) -> Tensor:
    return torch.exp(y.clamp(max=_STEEPEST)) * (1 + F.relu(y - _STEEPEST))


def _log_rate(y: Tensor) -> Tensor:
    return y.clamp(max=_STEEPEST) + torch.log1p(F.relu(y - _STEEPEST))


def _inner(y: Tensor) -> Tensor:
    """What the distribution of a zero-inflated one takes of the decoder's output."""
    return y[..., 1] if y.shape[-1] == 2 else y[..., 1:]


def _log_rising(x: Tensor, r: Tensor) -> Tensor:
    """log(gamma(x + r) / gamma(r)) - x log(r), for r > 0, without the loss of digits for large r."""
    small, large = r.clamp(max=_SHIFT), r.clamp(min=_SHIFT)
    direct = torch.lgamma(x + small) - torch.lgamma(small) - x * torch.log(small)
    series = (x + large - 0.5) * torch.log1p(x / large) - x + _stirling(x + large) - _stirling(large)
    return torch.where(r < _SHIFT, direct, series)


def _stirling(z: Tensor) -> Tensor:
    """What log gamma(z) has beyond Stirling's formula, for z of at least 10."""
    inverse = 1 / z
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
