"""Priors: densities over codes, a field of variational bottlenecks.

A prior may be learned, together with the weights of the model. A code (*positions, size) has one density, in nats.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from isthmus.nn.variables import Variables
from isthmus.records import Count, Record, record

__all__ = ["Mixture", "StandardNormal", "VampPrior"]

_LOG_2_PI = math.log(2 * math.pi)
_LOWEST = -1e30  # a log-density far below any other; the sum of many is still finite in float32


class Prior(Record):
    """The contract of a prior: `log_density` and `sample`; everything else has a default."""

    @property
    def anchors(self) -> int:
        """The number of pseudo-inputs. Their encoder outputs are ``variables["anchors"]``, (anchors, *positions, 2 * size)."""
        return 0

    @property
    def closed_form(self) -> bool:
        """Whether `divergences` has a closed form."""
        return type(self).divergences is not Prior.divergences

    @property
    def standard_normal(self) -> bool:
        """Whether it is N(0, 1) for each unit, so that the ranges of its values are known."""
        return False

    @property
    def components(self) -> int:
        """The number of densities that are compared with each code."""
        return 0

    def variables(self, size: int, generator: Generator) -> Variables:
        """The learned tensors of this prior.

        Args:
            size: features of the code, at each position.
            generator: for initial values that are random.
        """
        return Variables()

    def log_density(self, z: Float[Tensor, "b *positions size"], variables: Variables) -> Float[Tensor, "b"]:
        """log p(z), summed over positions and features, in nats.

        Args:
            z: codes (b, *positions, size).
            variables: those of `variables`.
        """
        raise NotImplementedError

    def sample(self, shape: tuple[int, ...], variables: Variables, generator: Generator) -> Float[Tensor, "*shape"]:
        """Codes sampled from the prior, on the generator's device.

        Args:
            shape: of all codes together, (n, *positions, size).
            variables: those of `variables`.
            generator: for the random numbers.
        """
        raise NotImplementedError

    def divergences(
        self,
        mean: Float[Tensor, "b *positions size"],
        log_variance: Float[Tensor, "b *positions size"],
        variables: Variables,
    ) -> Float[Tensor, "b *positions size"] | None:
        """The Kullback-Leibler divergence of a normal posterior of each unit from the prior, in nats; None without a closed form.

        Args:
            mean, log_variance: of the posterior, (b, *positions, size).
            variables: those of `variables`.
        """
        return None

    def mean_log_density(
        self,
        mean: Float[Tensor, "b *positions size"],
        log_variance: Float[Tensor, "b *positions size"],
        variables: Variables,
    ) -> Float[Tensor, "b"]:
        """The mean of log p(z) over a normal posterior, without random numbers, in nats.

        It is that over 2 * size sigma points (Julier & Uhlmann 1997): for each unit, the posterior's mean shifted by plus and minus
        sqrt(size) standard deviations, at all positions. It is exact where log p is quadratic, as that of a normal density.

        Args:
            mean, log_variance: of the posterior, (b, *positions, size).
            variables: those of `variables`.
        """
        total, units = mean.new_zeros(mean.shape[0]), torch.arange(mean.shape[-1], device=mean.device)
        shift = _sigma_shift(log_variance)
        for unit in range(len(units)):
            alone = torch.where(units == unit, shift, 0)
            total = total + self.log_density(mean + alone, variables) + self.log_density(mean - alone, variables)
        return total / (2 * len(units))


@record
class StandardNormal(Prior):
    """N(0, 1) for each unit: the prior of the variational autoencoder (Kingma & Welling 2014)."""

    @property
    def standard_normal(self) -> bool:
        return True

    def log_density(self, z: Float[Tensor, "b *positions size"], variables: Variables) -> Float[Tensor, "b"]:
        return -0.5 * (z.square() + _LOG_2_PI).flatten(1).sum(1)

    def sample(self, shape: tuple[int, ...], variables: Variables, generator: Generator) -> Float[Tensor, "*shape"]:
        return torch.empty(shape, dtype=torch.float32, device=generator.device).normal_(generator=generator)

    def divergences(
        self,
        mean: Float[Tensor, "b *positions size"],
        log_variance: Float[Tensor, "b *positions size"],
        variables: Variables,
    ) -> Float[Tensor, "b *positions size"]:
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


@record
class Mixture(Prior):
    """A mixture of normal densities with learned means, scales and weights, for the vector at each position of a code.

    It was compared with `VampPrior` in its paper (Tomczak & Welling 2018, section 2, "MoG").
    """

    components: Count = 10

    def variables(self, size: int, generator: Generator) -> Variables:
        means = torch.empty(self.components, size, dtype=torch.float32).normal_(generator=generator)
        return Variables({"means": means, "log_scales": torch.zeros_like(means), "logits": means.new_zeros(len(means))})

    def log_density(self, z: Float[Tensor, "b *positions size"], variables: Variables) -> Float[Tensor, "b"]:
        densities = self._densities(z.reshape(-1, z.shape[-1]), variables)
        return self._mixed(densities.sum(-1), variables).reshape(z.shape[0], -1).sum(1)

    def mean_log_density(
        self,
        mean: Float[Tensor, "b *positions size"],
        log_variance: Float[Tensor, "b *positions size"],
        variables: Variables,
    ) -> Float[Tensor, "b"]:
        rows, shift = mean.reshape(-1, mean.shape[-1]), _sigma_shift(log_variance).reshape(-1, mean.shape[-1])
        center, plus, minus = (
            _bounded(self._densities(each, variables)) for each in (rows, rows + shift, rows - shift)
        )
        rest = center.sum(-1, keepdim=True) - center  # each sigma point differs in one unit alone
        both = (self._mixed((rest + each).transpose(1, 2), variables) for each in (plus, minus))
        return (next(both) + next(both)).mean(-1).reshape(mean.shape[0], -1).sum(1) / 2

    @torch.no_grad()
    def sample(self, shape: tuple[int, ...], variables: Variables, generator: Generator) -> Float[Tensor, "*shape"]:
        names = ("means", "log_scales", "logits")
        means, log_scales, logits = (variables[name].to(generator.device) for name in names)
        count = math.prod(shape[:-1])
        chosen = torch.multinomial(logits.softmax(0), count, replacement=True, generator=generator)
        noise = torch.empty(count, shape[-1], dtype=means.dtype, device=means.device).normal_(generator=generator)
        return (means[chosen] + log_scales[chosen].exp() * noise).reshape(shape)

    def _densities(self, rows: Float[Tensor, "rows size"], variables: Variables) -> Float[Tensor, "rows k size"]:
        """The log-density of each unit in each component."""
        return _log_normal(rows[:, None], variables["means"], 2 * variables["log_scales"])

    def _mixed(self, densities: Float[Tensor, "*rows k"], variables: Variables) -> Float[Tensor, "*rows"]:
        """The log-density of the mixture from those of its components."""
        return torch.logsumexp(densities + variables["logits"].log_softmax(0), dim=-1)


@record
class VampPrior(Prior):
    """The mixture of the posteriors of ``components`` pseudo-inputs (Tomczak & Welling 2018, "VAE with a VampPrior").

    The pseudo-inputs are learned examples. The first training step sets them to random examples of its batch.
    """

    components: Count = 50

    @property
    def anchors(self) -> int:
        return self.components

    def log_density(self, z: Float[Tensor, "b *positions size"], variables: Variables) -> Float[Tensor, "b"]:
        densities = self._densities(z, variables).flatten(2).sum(-1)
        return torch.logsumexp(densities, dim=-1) - math.log(self.components)

    def mean_log_density(
        self,
        mean: Float[Tensor, "b *positions size"],
        log_variance: Float[Tensor, "b *positions size"],
        variables: Variables,
    ) -> Float[Tensor, "b"]:
        shift = _sigma_shift(log_variance)
        center, plus, minus = (
            _bounded(self._densities(each, variables))
            .reshape(mean.shape[0], self.components, -1, mean.shape[-1])
            .sum(2)
            for each in (mean, mean + shift, mean - shift)
        )
        rest = center.sum(-1, keepdim=True) - center  # each sigma point differs in one unit alone, at all positions
        both = (torch.logsumexp(rest + each, dim=1) for each in (plus, minus))
        return (next(both) + next(both)).mean(-1) / 2 - math.log(self.components)

    @torch.no_grad()
    def sample(self, shape: tuple[int, ...], variables: Variables, generator: Generator) -> Float[Tensor, "*shape"]:
        mean, log_variance = variables["anchors"].to(generator.device).chunk(2, dim=-1)
        chosen = torch.randint(len(mean), (shape[0],), generator=generator, device=generator.device)
        noise = torch.empty(shape, dtype=mean.dtype, device=mean.device).normal_(generator=generator)
        return mean[chosen] + torch.exp(0.5 * log_variance[chosen]) * noise

    def _densities(
        self, z: Float[Tensor, "b *positions size"], variables: Variables
    ) -> Float[Tensor, "b k *positions size"]:
        """The log-density of each unit in the posterior of each pseudo-input."""
        return _log_normal(z[:, None], *variables["anchors"].chunk(2, dim=-1))


def _log_normal(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """The log-density of each value of z in a normal density."""
    return -0.5 * ((z - mean).square() * torch.exp(-log_variance) + log_variance + _LOG_2_PI)


def _bounded(log_densities: Tensor) -> Tensor:
    """Log-densities that are finite, so that they can be subtracted."""
    return log_densities.clamp(min=_LOWEST)


def _sigma_shift(log_variance: Float[Tensor, "b *positions size"]) -> Float[Tensor, "b *positions size"]:
    """The distance of sigma points from the mean."""
    return math.sqrt(log_variance.shape[-1]) * torch.exp(0.5 * log_variance)
