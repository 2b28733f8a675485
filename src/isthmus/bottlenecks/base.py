"""The contract of a bottleneck, and the code that comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from isthmus.errors import NotPossibleError
from isthmus.memory import Memory
from isthmus.records import Count, Record, record

__all__ = ["Activation", "Bottleneck", "Code", "activate", "per_example"]

Activation = Literal["linear", "relu", "elu", "gelu", "silu", "sigmoid", "tanh"]

_FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


class Code(NamedTuple):
    """What a bottleneck makes of the encoder's output: one number per feature, features last."""

    z: Float[Tensor, "b *places size"]
    penalty: Float[Tensor, "b"]  # nats per example
    stats: Mapping[str, Float[Tensor, ""]] = {}  # means over the batch, for the reports


@record
class Bottleneck(Record):
    """Says what the code may be and what it costs. ``size`` numbers reach the decoder."""

    size: Count

    @property
    def width(self) -> int:
        """How many numbers are wanted from the encoder."""
        return self.size

    @property
    def draws(self) -> bool:
        """Whether training draws random numbers for it; False saves the seeding of a step."""
        return True

    @property
    def discrete(self) -> bool:
        """Whether codes are some of finitely many, so that nothing lies between two of them."""
        return False

    @property
    def products(self) -> int:
        """How often it multiplies with what it has learned, at one place of a code."""
        return 0

    @property
    def beside(self) -> int:
        """Numbers that it takes at most beside the codes, of however many examples."""
        return 0

    def memory(self, generator: Generator) -> Memory:
        """The tensors that this bottleneck learns or keeps."""
        return Memory()

    def __call__(self, h: Float[Tensor, "b *places width"], memory: Memory, generator: Generator) -> Code:
        """The code in training: it may be drawn at random, and running state moves while ``memory.training``."""
        raise NotImplementedError

    def point(self, h: Float[Tensor, "b *places width"], memory: Memory) -> Code:
        """The code in use: the same each time."""
        raise NotImplementedError

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "*shape"]:
        """Codes of a shape (n, *places, size) drawn from the prior; `NotPossibleError` if there is none."""
        more = "" if self.discrete else "; method='gmm' fits a density to the codes of examples instead"
        raise NotPossibleError(f"{type(self).__name__} has no prior to sample from, Gaussian has{more}")


def activate(h: Tensor, activation: Activation) -> Tensor:
    """The activation function by its name."""
    return h if activation == "linear" else _FUNCTIONS[activation](h)


def per_example(cost: Float[Tensor, "b *rest"]) -> Float[Tensor, "b"]:
    """The sum over everything but the examples."""
    return cost.flatten(1).sum(1)
