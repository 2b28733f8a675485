"""Temporal convolutional networks: causal, dilated convolutions over time."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import model_validator
from torch import Generator, Tensor, nn

from isthmus.architectures.base import Architecture, Initialization, Pair, ReceptiveField, blank, initialize
from isthmus.nn.activations import Activation, activation_layers
from isthmus.nn.invariant_layers import Conv1d, Dense
from isthmus.nn.layers import FeaturesFirst, FeaturesLast, FromChannelsFirst, ToChannelsFirst
from isthmus.records import Count, Sizes, record

__all__ = ["TCN"]


@record
class TCN(Architecture):
    """A temporal convolutional network for series (time, channels) or (time,). Further axes are channels too.

    Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and recurrent networks for sequence modeling".

    Each residual block has two causal convolutions with the same dilation, 1, 2, 4, ... from block to block; the output at a time
    depends on no later input. The blocks of the decoder have the channels and the dilations of the encoder's in reverse order.
    Unlike in the paper there is no weight normalization and no dropout.

    ``code="vector"``: a dense layer makes the code (b, encoder_outputs) from the features of all times. ``code="sequence"``: the code
    has features at each time, (b, time, encoder_outputs), and encoder and decoder together are causal: a compression at each time,
    which requires fewer features than channels or a bottleneck with a penalty. With k blocks the code at a time depends on the last
    1 + 2 (kernel - 1) (2^k - 1) times.

    Examples:
        >>> windows = isthmus.data.Windows(np.sin(np.arange(400) / 5), length=32)
        >>> Autoencoder(4, architecture=TCN((8, 8)), epochs=1, random_state=0).fit(windows).code_shape_
        (4,)
    """

    channels: Sizes = (32, 32, 32, 32)
    kernel: Count = 3
    code: Literal["vector", "sequence"] = "vector"
    activation: Activation = "relu"
    initialization: Initialization = "he"

    @model_validator(mode="after")
    def _has_blocks(self) -> TCN:
        if not self.channels:
            raise ValueError("channels=() has no block; give the channels of at least one")
        return self

    def positions(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[:1] if self.code == "sequence" else ()

    def receptive_field(self, shape: tuple[int, ...]) -> ReceptiveField | None:
        """That of ``code="sequence"``, which treats all times alike: the times on which a reconstruction depends, all of them before it.

        Args:
            shape: of one example.
        """
        if self.code != "sequence":
            return None
        return ReceptiveField(1, 4 * (self.kernel - 1) * (2 ** len(self.channels) - 1), axes=1)

    def supports_bfloat16(self, shape: tuple[int, ...]) -> bool:
        """Not for a single time: there oneDNN's weight gradients are not reproducible.

        Args:
            shape: of one example.
        """
        return shape[0] > 1

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
        outputs, (length, last) = shape if outputs is None else outputs, (shape[0], self.channels[-1])
        inputs, features, sequence = math.prod(shape[1:]), math.prod(outputs[1:]), self.code == "sequence"
        dilations = [2**number for number in range(len(self.channels))]
        down = [self._block(a, b, d) for (a, b), d in zip(pairwise((inputs, *self.channels)), dilations, strict=True)]
        up = [
            self._block(a, b, d)
            for (a, b), d in zip(pairwise((last, *self.channels[::-1])), dilations[::-1], strict=True)
        ]
        encoder: list[nn.Module] = [ToChannelsFirst((length,), inputs), *down]
        decoder: list[nn.Module] = [*up, blank(Conv1d, self.channels[0], features, 1), FromChannelsFirst(outputs)]
        if sequence:
            encoder += [blank(Conv1d, last, encoder_outputs, 1), FeaturesLast()]
            decoder = [FeaturesFirst(), blank(Conv1d, size, last, 1), *decoder]
        else:
            encoder += [nn.Flatten(), blank(Dense, last * length, encoder_outputs)]
            decoder = [blank(Dense, size, last * length), nn.Unflatten(1, torch.Size((last, length))), *decoder]
        pair = Pair(nn.Sequential(*encoder), nn.Sequential(*decoder))
        initialize(pair.encoder, self.initialization, generator)
        initialize(pair.decoder, self.initialization, generator)
        return pair

    def _block(self, a: int, b: int, dilation: int) -> nn.Module:
        """A residual block from a to b features."""
        return CausalBlock(a, b, self.kernel, dilation, self.activation)


class CausalBlock(nn.Module):
    """Two causal convolutions, each followed by the activation, added to the input: (b, features, time) -> (b, features', time)."""

    def __init__(self, a: int, b: int, kernel: int, dilation: int, activation: Activation) -> None:
        super().__init__()
        layers = list[nn.Module]()
        for features in (a, b):
            layers += [
                nn.ConstantPad1d(((kernel - 1) * dilation, 0), 0.0),
                blank(Conv1d, features, b, kernel, dilation=dilation),
            ]
            layers += activation_layers(activation)
        self.layers, self.skip = nn.Sequential(*layers), nn.Identity() if a == b else blank(Conv1d, a, b, 1)
        self.activation = nn.Sequential(*activation_layers(activation))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.layers(x) + self.skip(x))
        return y
