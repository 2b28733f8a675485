"""Variational codes: a distribution over codes, and a prior to sample from."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import InstanceOf, NonNegativeFloat, model_validator
from torch import Generator, Tensor

from isthmus.bottlenecks.base import Bottleneck, Code, Posterior, Problem, per_example
from isthmus.bottlenecks.code import SlopeOfInput
from isthmus.native import Kernels
from isthmus.nn.variables import Variables
from isthmus.priors import Prior, StandardNormal
from isthmus.records import Count, record
from isthmus.schedules import Constant, Schedule

__all__ = ["Gaussian", "ImportanceWeighted"]

_LOG_2_PI = math.log(2 * math.pi)


@record
class Variational(Bottleneck):
    """The contract of bottlenecks with a normal posterior for each unit, and a prior. The encoder outputs means and log-variances."""

    _: KW_ONLY
    prior: InstanceOf[Prior] = StandardNormal()

    @property
    def encoder_outputs(self) -> int:
        return 2 * self.size

    @property
    def anchors(self) -> int:
        return self.prior.anchors

    @property
    def normal_prior(self) -> bool:
        return self.prior.standard_normal

    @property
    def multiplications(self) -> int:
        return self.prior.components * self.size

    @property
    def workspace(self) -> int:
        return self.prior.components * self.size

    def variables(self, generator: Generator) -> Variables:
        return self.prior.variables(self.size, generator)

    def weighted(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables, generator: Generator
    ) -> Code:
        return self._drawn(h, variables, generator)

    def sample(self, shape: tuple[int, ...], variables: Variables, generator: Generator) -> Float[Tensor, "*shape"]:
        return self.prior.sample(shape, variables, generator)

    def posterior(self, h: Float[Tensor, "b *positions encoder_outputs"]) -> Posterior:
        return Posterior(*h.chunk(2, dim=-1))

    def divergences(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables
    ) -> Float[Tensor, "b *positions size"] | None:
        return self.prior.divergences(*self.posterior(h), variables)

    def remedy(self, problem: Problem) -> str:
        return "" if problem == "dead units" else super().remedy(problem)  # its problem is unused units

    def _drawn(
        self,
        h: Float[Tensor, "b *positions encoder_outputs"],
        variables: Variables,
        generator: Generator,
        through_code: bool = False,
    ) -> Code:
        """One draw, and the divergence of its densities. The gradient of log q can be restricted to that through the code."""
        mean, log_variance = self.posterior(h)
        noise, deviation = torch.empty_like(mean).normal_(generator=generator), torch.exp(0.5 * log_variance)
        z = mean + deviation * noise
        log_q = -0.5 * per_example(noise.square() + log_variance + _LOG_2_PI)
        if through_code:
            slope = (-noise / deviation).detach()  # of log q in z
            log_q = log_q.detach() + per_example(slope * (z - z.detach()))
        penalty = log_q - self.prior.log_density(z, variables)
        return Code(z, penalty, {"kl": penalty.mean()})

    def _kl(
        self,
        mean: Float[Tensor, "b *positions size"],
        log_variance: Float[Tensor, "b *positions size"],
        variables: Variables,
    ) -> Float[Tensor, "b"]:
        """The divergence of the posterior from the prior, without random numbers."""
        units = self.prior.divergences(mean, log_variance, variables)
        if units is not None:
            return per_example(units)
        entropy = 0.5 * per_example(log_variance + (_LOG_2_PI + 1))
        return -entropy - self.prior.mean_log_density(mean, log_variance, variables)


@record
class Gaussian(Variational):
    """The variational autoencoder (Kingma & Welling 2014): a normal posterior for each unit, and the prior N(0, 1) or another one.

    The penalty is ``beta`` times the Kullback-Leibler divergence from the prior. With beta=1 the loss is the negative ELBO; other values
    give a beta-VAE (Higgins et al. 2017). The encoder outputs means and log-variances. The code used at inference is the mean.

    A learned ``prior`` (`isthmus.priors`) has no closed form: training takes log q(z | x) - log p(z) of the code that it draws, scores the
    mean over 2 * size sigma points of the posterior.

    ``schedule`` is a factor on the penalty over the course of training, such as `Warmup` or `Cyclic`. ``free_bits`` is the number of nats
    of each unit that cost a constant in training, as a mean over the batch (Kingma et al. 2016, "Improved variational inference with
    inverse autoregressive flow", appendix C.8). Scores have the whole divergence.

    Examples:
        >>> vae = Autoencoder(Gaussian(2, beta=0.5), epochs=1, random_state=0).fit(X)
        >>> vae.sample(3, random_state=0).shape
        (3, 8, 8)
    """

    beta: NonNegativeFloat = 1.0
    _: KW_ONLY
    schedule: InstanceOf[Schedule] = Constant()
    free_bits: NonNegativeFloat = 0.0

    @property
    def thread_invariant(self) -> bool:
        return True

    @model_validator(mode="after")
    def _units_have_a_divergence(self) -> Gaussian:
        if self.free_bits and not self.prior.closed_form:
            raise ValueError(
                f"free_bits needs the divergence of each unit, which has no closed form with {self.prior!r}; "
                "use free_bits=0, or prior=StandardNormal()"
            )
        return self

    def __call__(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables, generator: Generator
    ) -> Code:
        if not self.prior.closed_form:
            code = self.weighted(h, variables, generator)
            return code._replace(penalty=self.beta * code.penalty)
        mean, log_variance = self.posterior(h)
        noise = torch.empty_like(mean).normal_(generator=generator)
        kl = self._kl(mean, log_variance, variables)  # of the same tensors as the code: gradients add up in this order
        cost = self._with_free_bits(h, variables) if self.free_bits and variables.training else kl
        return Code(mean + torch.exp(0.5 * log_variance) * noise, self.beta * cost, {"kl": kl.mean()})

    def with_slope(
        self,
        h: Float[Tensor, "b *positions encoder_outputs"],
        variables: Variables,
        generator: Generator,
        kernels: Kernels,
    ) -> tuple[Code, SlopeOfInput]:
        if type(self) is not Gaussian or self.free_bits or self.prior != StandardNormal() or h.ndim != 2:
            return super().with_slope(h, variables, generator, kernels)
        noise = h.new_empty(len(h), self.size).normal_(generator=generator)
        z, deviation, kl = kernels.normal_codes(h, noise)

        def slope(of_z: Tensor, factor: float) -> Tensor:
            return kernels.normal_slopes(h, noise, deviation, of_z, factor * self.beta)

        return Code(z, self.beta * kl, {"kl": kl.mean()}), slope

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        mean, log_variance = self.posterior(h)
        kl = self._kl(mean, log_variance, variables)
        return Code(mean, self.beta * kl, {"kl": kl.mean()})

    def remedy(self, problem: Problem) -> str:
        lower = f"lower bottleneck.beta={self.beta:g}"
        warm = ", or warm it up: bottleneck.schedule=Warmup" if self.schedule == Constant() else ""
        ours = {
            "unused units": f"{lower}{warm}",
            "worse than PCA": f"{lower}, which trades reconstruction for a smooth code, or train longer (epochs)",
        }
        return ours.get(problem, super().remedy(problem))

    def _with_free_bits(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables
    ) -> Float[Tensor, "b"]:
        """The divergence of units, summed over positions, whose mean over the batch is above ``free_bits``; of others this constant."""
        units = self.divergences(h, variables)
        assert units is not None
        units = units.reshape(len(units), -1, self.size).sum(1)
        return torch.where(units.mean(0) > self.free_bits, units, self.free_bits).sum(1)


@record
class ImportanceWeighted(Variational):
    """The importance-weighted autoencoder (Burda, Grosse & Salakhutdinov 2016): training draws several codes of each example.

    The loss is -log of the mean importance weight p(x | z) p(z) / q(z | x) of the draws, a tighter bound than the ELBO. One draw is
    `Gaussian`. The code used at inference is the posterior's mean, and its score has the divergence from the prior, as that of `Gaussian`;
    `log_likelihood` estimates the bound of many draws.

    The gradient "total" is that of the bound. "dreg" is the doubly reparameterized one (Tucker et al. 2019, equation 8), which has a lower
    variance for the encoder.
    """

    draws: Count = 5
    gradient: Literal["total", "dreg"] = "total"

    @property
    def rescales_gradients(self) -> bool:
        return self.gradient == "dreg" and self.draws > 1

    def __call__(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables, generator: Generator
    ) -> Code:
        if self.draws == 1:
            return Gaussian(self.size, prior=self.prior)(h, variables, generator)
        repeated = h.repeat(self.draws, *[1] * (h.ndim - 1))
        return self._drawn(repeated, variables, generator, through_code=self.rescales_gradients)

    def with_slope(
        self,
        h: Float[Tensor, "b *positions encoder_outputs"],
        variables: Variables,
        generator: Generator,
        kernels: Kernels,
    ) -> tuple[Code, SlopeOfInput]:
        if type(self) is not ImportanceWeighted or self.draws > 1:
            return super().with_slope(h, variables, generator, kernels)
        return Gaussian(self.size, prior=self.prior).with_slope(h, variables, generator, kernels)

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        return Gaussian(self.size, prior=self.prior).deterministic(h, variables)

    def remedy(self, problem: Problem) -> str:
        return f"raise bottleneck.draws={self.draws}" if problem == "unused units" else super().remedy(problem)

    def combine(
        self,
        nll: Float[Tensor, "draws b"],
        penalty: Float[Tensor, "draws b"],
        z: Float[Tensor, "codes *positions size"],
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
        shares = torch.softmax(-(nll + penalty), dim=0).detach()
        if self.rescales_gradients and z.requires_grad:
            again = shares.reshape(-1, *[1] * (z.ndim - 1))
            z.register_hook(lambda gradient: gradient * again)  # the encoder's shares are squared
        # the bound is the weighted loss and the divergence of the shares from equal ones, which has no gradient
        divergence = torch.xlogy(shares, self.draws * shares).sum(0)
        return (shares * nll).sum(0), (shares * penalty).sum(0) + divergence
