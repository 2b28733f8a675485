"""Activation functions by name: functions for bottlenecks, layers for architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Activation", "activate", "activation_layers"]

Activation = Literal["linear", "relu", "elu", "gelu", "silu", "sigmoid", "tanh"]

_FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
_LAYERS = {"relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def activate(h: Tensor, activation: Activation) -> Tensor:
    """Applies an activation function to a tensor of any shape."""
    return h if activation == "linear" else _FUNCTIONS[activation](h)


def activation_layers(activation: Activation) -> list[nn.Module]:
    """The layer of an activation function, in a list that is empty for "linear"."""
    return [] if activation == "linear" else [_LAYERS[activation]()]
