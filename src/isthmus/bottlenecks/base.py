"""The contract of a bottleneck, and the code that comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Generator, Tensor

from isthmus.errors import NotPossibleError
from isthmus.nn.variables import Variables
from isthmus.records import Count, Record, record

__all__ = ["Bottleneck", "Code", "Problem", "per_example"]


Problem = Literal["dead units", "unused units", "codebook collapse", "worse than PCA"]
"""What `isthmus.evaluate` can find wrong with codes; `Bottleneck.remedy` says what to do about it."""


class Code(NamedTuple):
    """What a bottleneck makes of the encoder's output: one number per feature, features last."""

    z: Float[Tensor, "b *positions size"]
    penalty: Float[Tensor, "b"]  # nats per example
    stats: Mapping[str, Float[Tensor, ""]] = {}  # means over the batch, for the reports


@record
class Bottleneck(Record):
    """Says what the code may be and what it costs. ``size`` numbers reach the decoder."""

    size: Count

    @property
    def encoder_outputs(self) -> int:
        """How many features the encoder gives, at each place of a code."""
        return self.size

    @property
    def stochastic(self) -> bool:
        """Whether training draws random numbers for it; False saves the seeding of a step."""
        return type(self).__call__ is not Bottleneck.__call__

    @property
    def discrete(self) -> bool:
        """Whether codes are some of finitely many, so that nothing lies between two of them."""
        return False

    @property
    def has_prior(self) -> bool:
        """Whether codes can be drawn from a prior that training draws them to."""
        return type(self).sample is not Bottleneck.sample

    @property
    def sparse(self) -> bool:
        """Whether most units of a code are to be zero: it is wider than it needs to be, on purpose."""
        return False

    @property
    def codebook_size(self) -> int | None:
        """How many entries a codebook has, of which ``indices`` says the places; None where there is none."""
        return None

    @property
    def products(self) -> int:
        """How often it multiplies with what it has learned, at one place of a code."""
        return 0

    @property
    def beside(self) -> int:
        """Numbers that it takes at most beside the codes, of however many examples."""
        return 0

    def variables(self, generator: Generator) -> Variables:
        """The tensors that this bottleneck learns or keeps."""
        return Variables()

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        """The code in use: the same each time."""
        raise NotImplementedError

    def __call__(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables, generator: Generator
    ) -> Code:
        """The code in training, by default the one in use: it may be drawn, and running state moves while ``variables.training``."""
        return self.deterministic(h, variables)

    def divergences(
        self, h: Float[Tensor, "b *positions encoder_outputs"]
    ) -> Float[Tensor, "b *positions size"] | None:
        """The Kullback-Leibler divergence of each unit from the prior, in nats; None where the posterior is no density."""
        return None

    def indices(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables
    ) -> Int[Tensor, "b *positions"] | None:
        """Which entry of the codebook each place of a code is; None without a codebook."""
        return None

    def remedy(self, problem: Problem) -> str:
        """What to do about a problem that evaluation has found, in the words of the bottleneck's fields; "" where it is none."""
        return "lower optimizer.lr, or take a smaller bottleneck.size" if problem == "dead units" else ""

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "*shape"]:
        """Codes of a shape (n, *positions, size) drawn from the prior; `NotPossibleError` if there is none."""
        more = "" if self.discrete else "; method='gmm' fits a density to the codes of examples instead"
        raise NotPossibleError(f"{type(self).__name__} has no prior to sample from, Gaussian has{more}")


def per_example(cost: Float[Tensor, "b *rest"]) -> Float[Tensor, "b"]:
    """The sum over everything but the examples."""
    return cost.flatten(1).sum(1)
