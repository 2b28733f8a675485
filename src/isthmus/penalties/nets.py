"""Small nets of learned tensors, for penalties that learn themselves."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from isthmus.nn.variables import Variables

__all__ = ["apply_net", "net_variables"]


def net_variables(inputs: int, hidden: tuple[int, ...], outputs: int, generator: Generator) -> Variables:
    """The tensors of a dense net, with He's initialization.

    Args:
        inputs: features of its input.
        hidden: sizes of its hidden layers.
        outputs: features of its output.
        generator: for the initial weights.
    """
    tensors: dict[str, Tensor] = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise((inputs, *hidden, outputs))):
        bound = math.sqrt(6 / fan_in)
        weight = torch.empty(fan_out, fan_in, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
        tensors |= {f"weight_{layer}": weight, f"bias_{layer}": torch.zeros(fan_out, dtype=torch.float32)}
    return Variables(tensors)


def apply_net(z: Float[Tensor, "*n inputs"], variables: Variables, frozen: bool = False) -> Float[Tensor, "*n outputs"]:
    """The output of a net, with leaky rectifiers between its layers.

    Args:
        z: the input (..., inputs).
        variables: those of `net_variables`.
        frozen: gradients go through the net to its input, and not to its weights.
    """
    layer = 0
    while f"weight_{layer}" in variables:
        weight, bias = variables[f"weight_{layer}"], variables[f"bias_{layer}"]
        z = F.leaky_relu(z, 0.2) if layer else z
        z = F.linear(z, weight.detach(), bias.detach()) if frozen else F.linear(z, weight, bias)
        layer += 1
    return z
