"""Attention over time: small transformers."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import model_validator
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from isthmus.architectures.base import Architecture, Initialization, Pair, blank, initialize
from isthmus.nn.activations import Activation, activation_layers
from isthmus.nn.invariant import batch_invariant
from isthmus.nn.invariant_layers import Dense
from isthmus.nn.layers import LayerSize, SizedLayer
from isthmus.records import Count, record

__all__ = ["Attention"]


@record
class Attention(Architecture):
    """A small transformer for series (time, channels) or (time,), in which each time attends to all others. Further axes are channels too.

    Vaswani et al. 2017, "Attention is all you need", with normalization before each part (Xiong et al. 2020, "On layer normalization in
    the transformer architecture"), learned positions, and without dropout. Encoder and decoder have the same blocks.

    ``features`` are those of each time, divided among the ``heads``; ``hidden`` the units of the dense layers of a block.
    ``code="vector"``: a dense layer makes the code (b, encoder_outputs) from the features of all times. ``code="sequence"``: the code
    has features at each time, (b, time, encoder_outputs): a compression at each time, which requires fewer features than channels or a
    bottleneck with a penalty. Memory and time grow with the square of the length of a window.

    Examples:
        >>> windows = isthmus.data.Windows(np.sin(np.arange(400) / 5), length=32)
        >>> Autoencoder(4, architecture=Attention(16, heads=2), epochs=1, random_state=0).fit(windows).code_shape_
        (4,)
    """

    features: Count = 32
    heads: Count = 4
    blocks: Count = 2
    hidden: Count = 64
    code: Literal["vector", "sequence"] = "vector"
    activation: Activation = "gelu"
    initialization: Initialization = "glorot"

    @model_validator(mode="after")
    def _heads_divide_the_features(self) -> Attention:
        if self.features % self.heads:
            raise ValueError(
                f"features={self.features} cannot be divided among heads={self.heads}; use a multiple of the heads"
            )
        return self

    def positions(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[:1] if self.code == "sequence" else ()

    @property
    def inference_batch_size(self) -> int:
        return 32

    def build(
        self,
        shape: tuple[int, ...],
        encoder_outputs: int,
        size: int,
        generator: Generator,
        outputs: tuple[int, ...] | None = None,
    ) -> Pair:
        outputs, length, sequence = shape if outputs is None else outputs, shape[0], self.code == "sequence"
        channels, each = math.prod(shape[1:]), torch.Size((length, self.features))
        encoder: list[nn.Module] = [
            nn.Flatten(),
            nn.Unflatten(1, torch.Size((length, channels))),
            blank(Dense, channels, self.features),
            *self._blocks(length),
        ]
        decoder: list[nn.Module] = [
            *self._blocks(length),
            blank(Dense, self.features, math.prod(outputs[1:])),
            nn.Flatten(),
            nn.Unflatten(1, outputs),
        ]
        if sequence:
            encoder = [*encoder, blank(Dense, self.features, encoder_outputs)]
            decoder = [blank(Dense, size, self.features), *decoder]
        else:
            encoder = [*encoder, nn.Flatten(), blank(Dense, each.numel(), encoder_outputs)]
            decoder = [blank(Dense, size, each.numel()), nn.Unflatten(1, each), *decoder]
        pair = Pair(nn.Sequential(*encoder), nn.Sequential(*decoder))
        initialize(pair.encoder, self.initialization, generator)
        initialize(pair.decoder, self.initialization, generator)
        return pair

    def _blocks(self, length: int) -> list[nn.Module]:
        """The positions, the blocks, and the normalization of their sum."""
        blocks = [AttentionBlock(self.features, self.heads, self.hidden, self.activation) for _ in range(self.blocks)]
        return [Positions(length, self.features), *blocks, nn.LayerNorm(self.features, dtype=torch.float32)]


class Positions(SizedLayer):
    """Adds learned features of each position: (b, time, features) -> the same shape."""

    def __init__(self, length: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, features, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight

    def size_for(self, shape: tuple[int, ...]) -> LayerSize:
        return LayerSize(shape, math.prod(shape), 0)


class AttentionBlock(SizedLayer):
    """Attention and two dense layers, each of the normalized input and added to it: (b, time, features) -> the same shape."""

    def __init__(self, features: int, heads: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.LayerNorm(features, dtype=torch.float32),
            blank(SelfAttention, features, heads),
            blank(Dense, features, features),
        )
        self.dense = nn.Sequential(
            nn.LayerNorm(features, dtype=torch.float32),
            blank(Dense, features, hidden),
            *activation_layers(activation),
            blank(Dense, hidden, features),
        )
        self.heads, self.hidden = heads, hidden

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        y: Tensor = x + self.dense(x)
        return y

    def size_for(self, shape: tuple[int, ...]) -> LayerSize:
        length, features = shape
        pairs = self.heads * length**2
        # queries, keys and values, with their copies, and the results of the layers; two results of each pair of times
        values = 13 * length * features + 2 * length * self.hidden + 2 * pairs
        weights = 4 * features**2 + 2 * features * self.hidden
        return LayerSize(shape, values, length * weights + 2 * features * length**2)


class SelfAttention(nn.Linear):
    """Multi-head attention of each time to all times, before the map of its result. It is batch-invariant at inference.

    The weights of queries, keys and values lie one after the other, as in `torch.nn.MultiheadAttention`.
    """

    def __init__(self, features: int, heads: int, dtype: torch.dtype | None = None) -> None:
        super().__init__(features, 3 * features, dtype=dtype)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        return batch_invariant(self_attention, x, self.weight, self.bias, self.heads)


def self_attention(x: Tensor, weight: Tensor, bias: Tensor | None, heads: int) -> Tensor:
    """The forward pass of `SelfAttention`: x (b, time, features) and weights (3 features, features) -> (b, time, features)."""
    b, time, features = x.shape
    parts = F.linear(x, weight, bias).reshape(b, time, 3, heads, features // heads)
    query, key, value = parts.permute(2, 0, 3, 1, 4)
    shares = (query @ key.mT / math.sqrt(features // heads)).softmax(-1)
    mixed: Tensor = (shares @ value).transpose(1, 2).reshape(b, time, features)
    return mixed
