"""The contract of a corruption, no corruption, and chains of several."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Annotated, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field, InstanceOf, model_validator
from torch import Generator, Tensor

from isthmus.records import MAX_STEPS, Record, record

__all__ = ["Clean", "Corrupted", "Corruption", "CorruptionChain", "Level"]


class Level(NamedTuple):
    """The field that sets the strength of a corruption, its unit, and usual values from weak to strong."""

    field: str
    unit: str
    usual: tuple[float, ...]


class Corrupted(NamedTuple):
    """Corrupted examples (b, *shape), and which values of the target the loss counts, (b, *shape); None: all."""

    x: Float[Tensor, "b *x"]
    counted: Bool[Tensor, "b *x"] | None


@record
class Corruption(Record):
    """The contract of a corruption. ``fixed``: the same corruption of an example in every epoch."""

    level: ClassVar[Level | None] = None  # None if the corruption has no strength

    _: KW_ONLY
    fixed: bool = False

    @property
    def corrupts(self) -> bool:
        """Whether it changes anything."""
        return True

    @property
    def hides_region(self) -> bool:
        """Whether it hides a connected region of each example, which the autoencoder then completes."""
        return False

    @property
    def stochastic(self) -> bool:
        """Whether it draws random numbers. If not, a training step need not seed a generator."""
        return True

    @property
    def makes_missing(self) -> bool:
        """Whether it sets values to missing. This requires an autoencoder with ``missing="allow"``."""
        return False

    @property
    def steps(self) -> tuple[Corruption, ...]:
        """The corruptions that are applied one after the other: itself, unless it is a chain."""
        return (self,)

    @property
    def marks(self) -> bool:
        """Whether the loss counts only some values of an example: `marked` says which."""
        return type(self).marked is not Corruption.marked

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        """Corrupted examples (b, *shape), in model units: a new tensor, or x itself if nothing changes.

        Args:
            x: the examples (b, *shape), in model units. It is not changed.
            generator: for the random numbers.
        """
        return self.marked(x, generator).x

    def marked(self, x: Float[Tensor, "b *x"], generator: Generator) -> Corrupted:
        """Corrupted examples, and which values of the target the loss counts: by default all.

        A corruption defines this method or `__call__`.

        Args:
            x: the examples (b, *shape), in model units. It is not changed.
            generator: for the random numbers.
        """
        return Corrupted(self(x, generator), None)

    def __rshift__(self, other: Corruption) -> Corruption:
        """This corruption, then the other. `Clean` adds nothing. Either both are fixed or none.

        Args:
            other: another corruption.

        Raises:
            RecordError: one of them is fixed, and the other is not.
        """
        if not isinstance(other, Corruption):
            return NotImplemented
        steps = (*self.steps, *other.steps)
        if len(steps) < 2:
            return steps[0] if steps else self
        return CorruptionChain(steps, fixed=all(step.fixed for step in steps))


@record
class Clean(Corruption):
    """No corruption: the plain autoencoder."""

    @property
    def corrupts(self) -> bool:
        return False

    @property
    def stochastic(self) -> bool:
        return False

    @property
    def steps(self) -> tuple[Corruption, ...]:
        return ()

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        return x


@record
class CorruptionChain(Corruption):
    """Several corruptions, one after the other: what ``GaussianNoise(0.1) >> Masking(0.2)`` makes.

    The loss counts the values that at least one of them marks; all of them if none marks any. ``fixed`` is of the whole.
    """

    corruptions: Annotated[tuple[InstanceOf[Corruption], ...], Field(max_length=MAX_STEPS)]

    @model_validator(mode="after")
    def _fixed_as_a_whole(self) -> CorruptionChain:
        if any(each.fixed for each in self.corruptions):
            if not self.fixed:
                raise ValueError("fixed=True is of the whole chain: give it to all corruptions, or to none of them")
            object.__setattr__(self, "corruptions", tuple(each.replace(fixed=False) for each in self.corruptions))
        return self

    @property
    def corrupts(self) -> bool:
        return any(each.corrupts for each in self.corruptions)

    @property
    def hides_region(self) -> bool:
        return any(each.hides_region for each in self.corruptions)

    @property
    def stochastic(self) -> bool:
        return any(each.stochastic for each in self.corruptions)

    @property
    def makes_missing(self) -> bool:
        return any(each.makes_missing for each in self.corruptions)

    @property
    def marks(self) -> bool:
        return any(each.marks for each in self.corruptions)

    @property
    def steps(self) -> tuple[Corruption, ...]:
        return tuple(step.replace(fixed=self.fixed) for each in self.corruptions for step in each.steps)

    def marked(self, x: Float[Tensor, "b *x"], generator: Generator) -> Corrupted:
        counted: list[Tensor | None] = []
        for each in self.corruptions:
            x, marks = each.marked(x, generator)
            counted += [marks] if each.marks else []
        some = [marks for marks in counted if marks is not None]
        return Corrupted(x, torch.stack(some).any(0) if some and len(some) == len(counted) else None)

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.steps)) if len(self.steps) > 1 else super().__repr__()
