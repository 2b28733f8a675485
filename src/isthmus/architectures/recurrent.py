"""Recurrent networks: gated units over time."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import model_validator
from torch import Generator, Tensor, nn

from isthmus.architectures.base import Architecture, Initialization, Pair, blank, initialize
from isthmus.nn.invariant_layers import Dense
from isthmus.nn.layers import LayerSize, SizedLayer
from isthmus.records import Sizes, record

__all__ = ["Recurrent"]

Cell = Literal["gru", "lstm"]


@record
class Recurrent(Architecture):
    """A recurrent network for series (time, channels) or (time,). Further axes are channels too.

    Srivastava, Mansimov & Salakhutdinov 2015, "Unsupervised learning of video representations using LSTMs"; for anomalies
    Malhotra et al. 2016, "LSTM-based encoder-decoder for multi-sensor anomaly detection".

    ``hidden``: the units of the layers of the encoder; the decoder has them in reverse order. ``cell``: "gru" (Cho et al. 2014,
    "Learning phrase representations using RNN encoder-decoder for statistical machine translation") or "lstm" (Hochreiter &
    Schmidhuber 1997, "Long short-term memory"; the bias of the forget gate begins at 1).

    ``code="vector"``: a dense layer makes the code (b, encoder_outputs) from the last state. The decoder receives the code at each time,
    and reconstructs the last time first, as in the first two papers. ``code="sequence"``: the code has features at each time,
    (b, time, encoder_outputs), and encoder and decoder together are causal: a compression at each time, which requires fewer features
    than channels or a bottleneck with a penalty.

    Times are computed one after the other: training takes longer than that of `TCN`, and longer windows are harder to learn.

    Examples:
        >>> windows = isthmus.data.Windows(np.sin(np.arange(400) / 5), length=32)
        >>> Autoencoder(4, architecture=Recurrent(16), epochs=1, random_state=0).fit(windows).code_shape_
        (4,)
    """

    hidden: Sizes = (64,)
    cell: Cell = "gru"
    code: Literal["vector", "sequence"] = "vector"
    initialization: Initialization = "glorot"

    @model_validator(mode="after")
    def _has_layers(self) -> Recurrent:
        if not self.hidden:
            raise ValueError("hidden=() has no layer; give the units of at least one")
        return self

    def positions(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[:1] if self.code == "sequence" else ()

    def build(
        self,
        shape: tuple[int, ...],
        encoder_outputs: int,
        size: int,
        generator: Generator,
        outputs: tuple[int, ...] | None = None,
    ) -> Pair:
        outputs, length = shape if outputs is None else outputs, shape[0]
        channels, features, vector = math.prod(shape[1:]), math.prod(outputs[1:]), self.code == "vector"
        encoder: list[nn.Module] = [
            nn.Flatten(),
            nn.Unflatten(1, torch.Size((length, channels))),
            *(Recurrence(a, b, self.cell) for a, b in pairwise((channels, *self.hidden))),
            *([LastTime()] if vector else []),
            blank(Dense, self.hidden[-1], encoder_outputs),
        ]
        decoder: list[nn.Module] = [
            *([AtEachTime(length)] if vector else []),
            *(Recurrence(a, b, self.cell) for a, b in pairwise((size, *self.hidden[::-1]))),
            blank(Dense, self.hidden[0], features),
            *([LastTimeFirst()] if vector else []),
            nn.Flatten(),
            nn.Unflatten(1, outputs),
        ]
        pair = Pair(nn.Sequential(*encoder), nn.Sequential(*decoder))
        initialize(pair.encoder, self.initialization, generator)
        initialize(pair.decoder, self.initialization, generator)
        for layer in (*encoder, *decoder):
            if isinstance(layer, Recurrence):
                layer.open_forget_gates()
        return pair


class Recurrence(SizedLayer):
    """A layer of gated units: (b, time, features) -> their states (b, time, units). Weights and gates are in PyTorch's order."""

    def __init__(self, features: int, units: int, cell: Cell) -> None:
        super().__init__()
        self.cell, self.units, gates = cell, units, {"gru": 3, "lstm": 4}[cell] * units
        self.inputs, self.states = blank(Dense, features, gates), blank(Dense, units, gates)

    def forward(self, x: Tensor) -> Tensor:
        h = memory = x.new_zeros(x.shape[0], self.units)
        step, states = {"gru": gru_step, "lstm": lstm_step}[self.cell], list[Tensor]()
        for given in self.inputs(x).unbind(1):
            h, memory = step(given, self.states(h), memory)
            states.append(h)
        return torch.stack(states, 1)

    def open_forget_gates(self) -> None:
        """Sets the bias of the forget gates of an LSTM to 1, so that states are kept at first (Gers, Schmidhuber & Cummins 2000)."""
        if self.cell == "lstm":
            assert isinstance(self.inputs.bias, Tensor)
            nn.init.ones_(self.inputs.bias[self.units : 2 * self.units])

    def size_for(self, shape: tuple[int, ...]) -> LayerSize:
        length, features = shape
        gates = {"gru": 3, "lstm": 4}[self.cell]
        # products of input and state, the gates, and about five results of each unit
        values = length * self.units * (3 * gates + 5)
        return LayerSize((length, self.units), values, length * gates * self.units * (features + self.units))


def gru_step(given: Tensor, recurrent: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """A step of gated recurrent units, whose memory is their state.

    Args:
        given, recurrent: (b, 3 units), the products of the input and of the state.
        h: (b, units), the state.

    Returns:
        The next state, twice.
    """
    units = h.shape[1]
    reset, update = torch.sigmoid(given[:, : 2 * units] + recurrent[:, : 2 * units]).chunk(2, 1)
    new = torch.tanh(given[:, 2 * units :] + reset * recurrent[:, 2 * units :])
    h = new + update * (h - new)
    return h, h


def lstm_step(given: Tensor, recurrent: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """A step of long short-term memory.

    Args:
        given, recurrent: (b, 4 units), the products of the input and of the state.
        memory: (b, units).

    Returns:
        The next state and memory.
    """
    into, forget, new, out = (given + recurrent).chunk(4, 1)
    memory = torch.sigmoid(forget) * memory + torch.sigmoid(into) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(memory), memory


class LastTime(SizedLayer):
    """(b, time, features) -> those of the last time (b, features)."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1]

    def size_for(self, shape: tuple[int, ...]) -> LayerSize:
        return LayerSize(shape[1:], 0, 0)


class AtEachTime(SizedLayer):
    """A code (b, size) -> the same at each time (b, time, size)."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, z: Tensor) -> Tensor:
        return z[:, None].expand(-1, self.length, -1)

    def size_for(self, shape: tuple[int, ...]) -> LayerSize:
        return LayerSize((self.length, *shape), self.length * math.prod(shape), 0)


class LastTimeFirst(SizedLayer):
    """(b, time, features) in the reverse order of time."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flip(1)

    def size_for(self, shape: tuple[int, ...]) -> LayerSize:
        return LayerSize(shape, math.prod(shape), 0)
