"""The contract of a bottleneck, and its output, the code."""

from __future__ import annotations

from typing import Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Generator, Tensor

from isthmus.bottlenecks.code import Code, SlopeOfInput, with_autograd
from isthmus.errors import NotPossibleError
from isthmus.native import Kernels
from isthmus.nn.variables import Variables
from isthmus.records import Count, Record, record
from isthmus.schedules import Constant, Schedule

__all__ = ["Bottleneck", "Code", "Posterior", "Problem", "per_example"]


Problem = Literal["dead units", "unused units", "codebook collapse", "worse than PCA"]
"""Problems of codes that `isthmus.evaluate` detects; `Bottleneck.remedy` recommends what to do."""


class Posterior(NamedTuple):
    """A normal posterior of each unit of a code."""

    mean: Float[Tensor, "b *positions size"]
    log_variance: Float[Tensor, "b *positions size"]


@record
class Bottleneck(Record):
    """The contract of a bottleneck. The code has ``size`` features, at each position if it has positions."""

    size: Count

    @property
    def encoder_outputs(self) -> int:
        """The number of features that the encoder outputs, at each position of the code."""
        return self.size

    @property
    def stochastic(self) -> bool:
        """Whether training draws random numbers for it. If not, a training step need not seed a generator."""
        return type(self).__call__ is not Bottleneck.__call__

    @property
    def draws(self) -> int:
        """The number of codes that training draws for each example. `combine` joins their losses."""
        return 1

    @property
    def anchors(self) -> int:
        """The number of pseudo-inputs: learned examples that the encoder sees too.

        Their encoder outputs are ``variables["anchors"]``, (anchors, *positions, encoder_outputs).
        """
        return 0

    @property
    def schedule(self) -> Schedule:
        """The factor on the penalty over the course of training, such as a warm-up. Scores always have the full penalty."""
        return Constant()

    @property
    def thread_invariant(self) -> bool:
        """Whether its bits in training do not depend on the number of threads, where the encoder's do not."""
        return False

    @property
    def discrete(self) -> bool:
        """Whether codes are elements of a finite set, so that they cannot be interpolated."""
        return False

    @property
    def has_prior(self) -> bool:
        """Whether codes can be sampled from a prior."""
        return type(self).sample is not Bottleneck.sample

    @property
    def has_posterior(self) -> bool:
        """Whether each unit has a normal `posterior`."""
        return type(self).posterior is not Bottleneck.posterior

    @property
    def normal_prior(self) -> bool:
        """Whether the prior is N(0, 1) for each unit, so that the range of its codes is known."""
        return self.has_prior

    @property
    def rescales_gradients(self) -> bool:
        """Whether `combine` changes the gradient of the codes. Penalties cannot look at such codes."""
        return False

    @property
    def sparse(self) -> bool:
        """Whether most units of a code are meant to be zero."""
        return False

    @property
    def codebook_size(self) -> int | None:
        """The number of entries of the codebook to which `indices` refers; None without a codebook."""
        return None

    @property
    def multiplications(self) -> int:
        """The number of multiplications with learned tensors, for each position of a code."""
        return 0

    @property
    def workspace(self) -> int:
        """The number of values that it allocates besides the code, for each position of a code."""
        return 0

    @property
    def shared_values(self) -> int:
        """The maximum number of values that it allocates besides the codes, for any number of examples."""
        return 0

    def variables(self, generator: Generator) -> Variables:
        """The learned tensors and running state of this bottleneck.

        Args:
            generator: for initial values that are random.
        """
        return Variables()

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        """The code used at inference. It draws no random numbers.

        Args:
            h: the encoder's output, (b, *positions, encoder_outputs).
            variables: those of `variables`.

        Returns:
            The code (b, *positions, size), with its penalty in nats per example, (b,).
        """
        raise NotImplementedError

    def __call__(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables, generator: Generator
    ) -> Code:
        """The code used in training; by default the one used at inference.

        It may draw random numbers, and updates running state while ``variables.training``. With several ``draws`` it returns them one
        after the other, (draws * b, *positions, size): the first draw of all examples first.
        """
        return self.deterministic(h, variables)

    def with_slope(
        self,
        h: Float[Tensor, "b *positions encoder_outputs"],
        variables: Variables,
        generator: Generator,
        kernels: Kernels,
    ) -> tuple[Code, SlopeOfInput]:
        """The code used in training, without gradients, and the slope of a loss by h: by default that of autograd.

        Args:
            h: the encoder's output, (b, *positions, encoder_outputs), which does not change before the slope is asked for.
            variables: those of `variables`; none of them is learned.
            generator: for the random numbers.
            kernels: those that compute the rest of the step.
        """
        h = h.detach().requires_grad_()
        return with_autograd(self(h, variables, generator), h)

    def combine(
        self,
        nll: Float[Tensor, "draws b"],
        penalty: Float[Tensor, "draws b"],
        z: Float[Tensor, "codes *positions size"],
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
        """The reconstruction loss and the penalty of each example from those of its draws: by default their means.

        Args:
            nll: the reconstruction loss of each draw, (draws, b), in nats.
            penalty: the penalty of each draw, (draws, b), in nats.
            z: the codes, (draws * b, *positions, size).

        Returns:
            (b,) and (b,), in nats per example.
        """
        return nll.mean(0), penalty.mean(0)

    def weighted(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables, generator: Generator
    ) -> Code:
        """One draw for importance sampling. Its penalty is log q(z | h) - log p(z): of the posterior, and of the prior.

        Args:
            h: the encoder's output, (b, *positions, encoder_outputs).
            variables: those of `variables`.
            generator: for the random numbers.

        Raises:
            NotPossibleError: there is no posterior density.
        """
        raise NotPossibleError(f"{type(self).__name__} has no posterior density; Gaussian has one")

    def posterior(self, h: Float[Tensor, "b *positions encoder_outputs"]) -> Posterior | None:
        """The mean and the log-variance of a normal posterior; None if there is none. The code used at inference is its mean.

        Args:
            h: the encoder's output, (b, *positions, encoder_outputs).
        """
        return None

    def divergences(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables
    ) -> Float[Tensor, "b *positions size"] | None:
        """The Kullback-Leibler divergence of each unit from the prior, in nats; None if there is no posterior density.

        Args:
            h: the encoder's output, (b, *positions, encoder_outputs).
            variables: those of `variables`.

        Returns:
            (b, *positions, size), in nats.
        """
        return None

    def indices(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables
    ) -> Int[Tensor, "b *positions"] | None:
        """The index of the codebook entry at each position of a code; None without a codebook.

        Args:
            h: the encoder's output, (b, *positions, encoder_outputs).
            variables: those of `variables`.

        Returns:
            (b, *positions), counted from 0.
        """
        return None

    def lookup(self, indices: Int[Tensor, "b *positions"], variables: Variables) -> Float[Tensor, "b *positions size"]:
        """The codes of indices, as `indices` gives them.

        Args:
            indices: (b, *positions), counted from 0.
            variables: those of `variables`.

        Raises:
            NotPossibleError: there is no codebook.
        """
        raise NotPossibleError(f"{type(self).__name__} has no codebook; VectorQuantized has one")

    def remedy(self, problem: Problem) -> str:
        """A recommendation for a problem that evaluation has detected, in terms of the bottleneck's fields; "" if it is no problem.

        Args:
            problem: what evaluation has detected.
        """
        return "lower optimizer.lr or reduce bottleneck.size" if problem == "dead units" else ""

    def sample(self, shape: tuple[int, ...], variables: Variables, generator: Generator) -> Float[Tensor, "*shape"]:
        """Codes of a shape (n, *positions, size), sampled from the prior; `NotPossibleError` if there is none.

        Args:
            shape: of all codes together, (n, *positions, size).
            variables: those of `variables`.
            generator: for the random numbers.

        Raises:
            NotPossibleError: there is no prior.
        """
        more = "" if self.discrete else "; method='gmm' fits a Gaussian mixture to the codes of examples instead"
        raise NotPossibleError(f"{type(self).__name__} has no prior to sample from; Gaussian has one{more}")


def per_example(cost: Float[Tensor, "b *rest"]) -> Float[Tensor, "b"]:
    """The sum over all axes except the first.

    Args:
        cost: (b, ...), in nats.

    Returns:
        (b,), in nats per example.
    """
    return cost.flatten(1).sum(1)
