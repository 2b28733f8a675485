"""What an encoder gets to learn labels by: a linear softmax on codes, alone and joined to it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from isthmus.architectures.base import blank
from isthmus.model import Losses, Model, Trainable
from isthmus.nn.invariant import dense

__all__ = ["Head", "Net"]

Array = NDArray[Any]


class Head(Trainable):
    """A linear softmax on codes: its units are codes less their mean, over the deviation of all their numbers together.

    Args:
        codes: (n, k) codes that mean and deviation are taken of.
        classes: how many labels there are.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, codes: Array, classes: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.shape = codes.shape[1:]
        mean = codes.mean(0, dtype=np.float64)
        deviation = math.sqrt(
            np.square(codes - mean).mean()
        )  # of all: what hardly varies among few must not be blown up
        self.register_buffer("shift", torch.as_tensor(mean, dtype=dtype))
        self.register_buffer("scale", torch.as_tensor(deviation or 1.0, dtype=dtype))
        linear = blank(nn.Linear, codes.shape[1], classes).to(dtype)
        assert isinstance(linear, nn.Linear)
        self.linear = linear
        for parameter in linear.parameters():
            nn.init.zeros_(parameter)  # all labels alike: there is a single optimum, and nothing to draw

    @property
    def device(self) -> torch.device:
        return self.shift.device

    def normalize(self, raw: Tensor) -> Tensor:
        return (raw.to(self.shift.dtype) - self.shift) / self.scale

    def forward(self, x: Tensor, target: Tensor, generator: Generator, autocast: torch.dtype | None = None) -> Losses:
        """-log p(label), in nats, of codes x (b, k) and the numbers of their labels (b,)."""
        return self.score(x, target)

    def logits(self, x: Tensor) -> Tensor:
        """(b, classes), the same bits wherever in a batch a code stands."""
        return dense(x, self.linear.weight, self.linear.bias)

    def score(self, x: Tensor, target: Tensor) -> Losses:
        logits = self.linear(x)
        right = (logits.detach().argmax(1) == target).to(x.dtype).mean()
        return Losses(F.cross_entropy(logits, target, reduction="none"), x.new_zeros(len(x)), {"accuracy": right})


class Net(Trainable):
    """An encoder and the head on its point codes, as one; the decoder stays out of it."""

    def __init__(self, model: Model, head: Head) -> None:
        super().__init__()
        self.encoder, self.code_memory, self.head = model.encoder, model.code_memory, head
        self.shape, self._of = model.shape, (model,)  # in a tuple, so that the decoder is none of its parts

    @property
    def model(self) -> Model:
        """The autoencoder whose encoder it is."""
        return self._of[0]

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def stochastic(self) -> bool:
        return self.model.architecture.stochastic

    @property
    def cuda_graph_safe(self) -> bool:
        return self.model.cuda_graph_safe

    def normalize(self, raw: Tensor) -> Tensor:
        return self.model.normalize(raw)

    def forward(self, x: Tensor, target: Tensor, generator: Generator, autocast: torch.dtype | None = None) -> Losses:
        """-log p(label), in nats, of examples x (b, *shape) in model units and the numbers of their labels (b,)."""
        return self._scored(self.model.represent(x, generator, autocast), target)

    def score(self, x: Tensor, target: Tensor) -> Losses:
        return self._scored(self.model.encode(x), target)

    def logits(self, raw: Tensor) -> Tensor:
        """What is said of raw examples (b, *x): (b, classes)."""
        return self.head.logits(self.head.normalize(self.model.encode(self.normalize(raw)).flatten(1)))

    def _scored(self, z: Tensor, target: Tensor) -> Losses:
        return self.head.score(self.head.normalize(z.flatten(1)), target)
