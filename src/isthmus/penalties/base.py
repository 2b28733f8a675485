"""The contract of a penalty, and sums of penalties."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, NamedTuple

from jaxtyping import Float
from pydantic import AfterValidator, InstanceOf, NonNegativeFloat
from torch import Generator, Tensor

from isthmus.bottlenecks.base import Code, Posterior
from isthmus.nn.variables import Variables
from isthmus.records import MAX_STEPS, Record, record
from isthmus.schedules import Constant, Schedule

__all__ = ["NoPenalty", "Pass", "Penalty", "Shapes", "Sum", "WeightedPenalty", "codes", "per_draw"]


@dataclass(frozen=True)
class Pass:
    """A forward pass in training: what a penalty may look at. All tensors are in model units.

    Attributes:
        x: the encoder's input (b, *shape), perhaps corrupted; missing values are replaced.
        target: the examples (b, *shape); NaN where values are missing.
        context: labels or covariates (b, context), None without.
        h: the encoder's output (b, *positions, encoder_outputs).
        code: the code that the decoder received, (draws * b, *positions, size).
        y: the decoder's output (draws * b, *outputs).
        posterior: the normal posterior of the code, None if there is none.
        encode: x (n, *shape) -> h, with the context of the batch if n = b.
        deterministic: h -> the code used at inference.
        decode: codes (n, *positions, size) -> y, with the context of the batch if n is a multiple of b.
        mean: y -> reconstructions (n, *shape).
        draw: y -> examples (n, *shape), sampled from the likelihood.
    """

    x: Float[Tensor, "b *x"]
    target: Float[Tensor, "b *x"]
    context: Float[Tensor, "b context"] | None
    h: Float[Tensor, "b *positions encoder_outputs"]
    code: Code
    y: Float[Tensor, "codes *y"]
    posterior: Posterior | None
    encode: Callable[[Tensor], Tensor]
    deterministic: Callable[[Tensor], Code]
    decode: Callable[[Tensor], Tensor]
    mean: Callable[[Tensor], Tensor]
    draw: Callable[[Tensor, Generator], Tensor]


class Shapes(NamedTuple):
    """The shapes of a model, from which a penalty makes its learned tensors."""

    example: tuple[int, ...]
    code: tuple[int, ...]
    context: int | None


class Penalty(Record):
    """The contract of a penalty. Its weights, if it has any, learn with those of the model, by the same optimizer."""

    @property
    def terms(self) -> tuple[Penalty, ...]:
        """The penalties that are added up: itself, unless it is a sum."""
        return (self,)

    @property
    def stochastic(self) -> bool:
        """Whether it draws random numbers. If not, a training step need not seed a generator."""
        return True

    @property
    def needs_context(self) -> bool:
        """Whether it requires labels or covariates: ``fit(X, y)``."""
        return False

    @property
    def needs_classes(self) -> bool:
        """Whether the y that it requires must be classes, not covariates."""
        return False

    @property
    def normal_codes(self) -> bool:
        """Whether codes follow N(0, 1) after training, so that new ones can be sampled from it."""
        return False

    @property
    def adversarial(self) -> bool:
        """Whether a part of it learns against the model. The optimizer that "auto" stands for then forgets quickly."""
        return False

    @property
    def schedule(self) -> Schedule:
        """The factor on the penalty over the course of training, such as a warm-up."""
        return Constant()

    def variables(self, shapes: Shapes, generator: Generator) -> Variables:
        """The learned tensors and running state of this penalty.

        Args:
            shapes: the shapes of the model.
            generator: for initial values that are random.

        Raises:
            RecordError: it does not apply to such a model.
        """
        return Variables()

    def workspace(self, batch_size: int, units: int) -> int:
        """About how many values it allocates in a training step, if that grows faster than the batch: by default none.

        Args:
            batch_size: the number of examples of a batch.
            units: the number of units of a code, at all positions together.
        """
        return 0

    def passes(self, units: int) -> int:
        """How many further passes through encoder or decoder a training step keeps for it, such as for derivatives: by default none.

        Args:
            units: the number of units of a code, at all positions together.
        """
        return 0

    def __call__(self, seen: Pass, variables: Variables, generator: Generator) -> Float[Tensor, "..."]:
        """The penalty, in nats: of each example, (b,), or of the batch as a whole, (), which counts once for each example.

        Args:
            seen: the forward pass.
            variables: those of `variables`.
            generator: for the random numbers.
        """
        raise NotImplementedError

    def __add__(self, other: Penalty) -> Penalty:
        """Both penalties. `NoPenalty` adds nothing.

        Args:
            other: another penalty.
        """
        if not isinstance(other, Penalty):
            return NotImplemented
        terms = (*self.terms, *other.terms)
        return terms[0] if len(terms) == 1 else Sum(terms) if terms else self


@record
class WeightedPenalty(Penalty):
    """A penalty times ``weight``, and times the factor of ``schedule`` over the course of training."""

    weight: NonNegativeFloat
    _: KW_ONLY
    schedule: InstanceOf[Schedule] = Constant()


@record
class NoPenalty(Penalty):
    """No penalty."""

    @property
    def terms(self) -> tuple[Penalty, ...]:
        return ()

    @property
    def stochastic(self) -> bool:
        return False


def _flat(penalties: tuple[Penalty, ...]) -> tuple[Penalty, ...]:
    """The terms of all penalties: a sum holds no sums."""
    terms = tuple(term for penalty in penalties for term in penalty.terms)
    if len(terms) > MAX_STEPS:
        raise ValueError(f"a sum has at most {MAX_STEPS} terms, not {len(terms):,}")
    return terms


@record
class Sum(Penalty):
    """Several penalties, added up: what ``MMD(10) + Contractive(0.1)`` makes."""

    penalties: Annotated[tuple[InstanceOf[Penalty], ...], AfterValidator(_flat)]

    @property
    def terms(self) -> tuple[Penalty, ...]:
        return self.penalties

    @property
    def stochastic(self) -> bool:
        return any(term.stochastic for term in self.penalties)

    @property
    def needs_context(self) -> bool:
        return any(term.needs_context for term in self.penalties)

    @property
    def normal_codes(self) -> bool:
        return any(term.normal_codes for term in self.penalties)

    @property
    def adversarial(self) -> bool:
        return any(term.adversarial for term in self.penalties)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.penalties)) if len(self.penalties) > 1 else f"Sum({self.penalties!r})"


def codes(seen: Pass) -> Float[Tensor, "draws b units"]:
    """The codes that the decoder received, each as one vector: all features at all positions.

    Args:
        seen: the forward pass.

    Returns:
        (draws, b, units): a code for each draw of each example.
    """
    return seen.code.z.reshape(-1, len(seen.x), math.prod(seen.code.z.shape[1:]))


def per_draw(cost: Float[Tensor, "codes"], seen: Pass) -> Float[Tensor, "b"]:
    """The cost of each example: the mean over its draws.

    Args:
        cost: of each code, (draws * b,).
        seen: the forward pass.

    Returns:
        (b,).
    """
    return cost.reshape(-1, len(seen.x)).mean(0)
