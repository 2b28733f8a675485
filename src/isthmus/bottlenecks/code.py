"""The output of a bottleneck, and its slopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Code", "SlopeOfInput", "with_autograd"]


class Code(NamedTuple):
    """The output of a bottleneck: the code, features last, and its penalty."""

    z: Float[Tensor, "b *positions size"]
    penalty: Float[Tensor, "b"]  # nats per example
    stats: Mapping[str, Float[Tensor, ""]] = {}  # means over the batch, reported with the losses


SlopeOfInput: TypeAlias = Callable[[Tensor, float], Tensor]
"""Gives the slope of a loss by the encoder's output, from that by the code and the factor of the penalties in the loss."""


def with_autograd(code: Code, h: Tensor) -> tuple[Code, SlopeOfInput]:
    """A code without gradients, and what gives the slope by h, from which it was computed.

    Args:
        code: a function of h.
        h: the encoder's output, (b, *positions, encoder_outputs), a leaf.
    """
    z, penalty = code.z, code.penalty

    def slope(of_z: Tensor, factor: float) -> Tensor:
        terms = [torch.dot(z.flatten(), of_z.flatten())] if z.requires_grad else []
        terms += [penalty.sum() * factor] if penalty.requires_grad else []
        return torch.autograd.grad(sum(terms[1:], terms[0]), h)[0] if terms else torch.zeros_like(h)

    return Code(z.detach(), penalty.detach(), {name: value.detach() for name, value in code.stats.items()}), slope
