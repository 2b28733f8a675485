"""Augmentations: changes of example and target alike, drawn anew at every training step.

An augmentation acts in model units (see `scaling`; images are in [0, 1]) before the corruption, and draws from the given generator.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Generator, Tensor

from isthmus.records import Record, record

__all__ = ["NoAugmentation"]


class Augmentation(Record):
    """The contract of an augmentation."""

    @property
    def augments(self) -> bool:
        """Whether it changes anything."""
        return True

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of augmented examples: by default that of the examples.

        Args:
            shape: of one example.

        Raises:
            RecordError: it does not apply to examples of this shape.
        """
        return shape

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *y"]:
        """Augmented examples (b, *self.shape(shape)), in model units: a new tensor, or x itself if nothing changes.

        Args:
            x: the examples (b, *shape), in model units. NaN where values are missing.
            generator: for the random numbers.
        """
        raise NotImplementedError


@record
class NoAugmentation(Augmentation):
    """No augmentation."""

    @property
    def augments(self) -> bool:
        return False

    def __call__(self, x: Float[Tensor, "b *x"], generator: Generator) -> Float[Tensor, "b *x"]:
        return x
