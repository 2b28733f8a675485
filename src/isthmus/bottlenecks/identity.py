"""Any numbers: the code of the plain autoencoder."""

from __future__ import annotations

from jaxtyping import Float
from torch import Generator, Tensor

from isthmus.bottlenecks.base import Activation, Bottleneck, Code, activate
from isthmus.memory import Memory
from isthmus.records import record

__all__ = ["Identity"]


@record
class Identity(Bottleneck):
    """The encoder's output is the code, through an activation function if wanted; it costs nothing."""

    activation: Activation = "linear"

    @property
    def draws(self) -> bool:
        return False

    def __call__(self, h: Float[Tensor, "b *places width"], memory: Memory, generator: Generator) -> Code:
        return self.point(h, memory)

    def point(self, h: Float[Tensor, "b *places width"], memory: Memory) -> Code:
        return Code(activate(h, self.activation), h.new_zeros(len(h)))
