"""What architectures around another one have in common."""

from __future__ import annotations

from isthmus.architectures.base import Architecture
from isthmus.architectures.mlp import MLP
from isthmus.data.kinds import Kind
from isthmus.records import record

__all__ = ["Wrapping"]


@record
class Wrapping(Architecture):
    """An architecture around another one, which has its properties; a subclass builds the pair.

    Args:
        of: the other architecture.
    """

    of: Architecture = MLP()

    def for_kind(self, kind: Kind) -> Wrapping:
        return self.replace(of=self.of.for_kind(kind))

    @property
    def user_defined(self) -> bool:
        return self.of.user_defined

    @property
    def stochastic(self) -> bool:
        return self.of.stochastic

    @property
    def inference_batch_size(self) -> int:
        return self.of.inference_batch_size

    def positions(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.of.positions(shape)

    def prefers_bfloat16(self, shape: tuple[int, ...]) -> bool:
        return self.of.prefers_bfloat16(shape)

    def supports_bfloat16(self, shape: tuple[int, ...]) -> bool:
        return self.of.supports_bfloat16(shape)
