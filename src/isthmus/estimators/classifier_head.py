"""The networks of a classifier: a linear softmax on codes, and the encoder with this softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from isthmus.architectures.base import blank
from isthmus.corruptions import Corrupted, Corruption
from isthmus.model import Model
from isthmus.nn.invariant import dense
from isthmus.trainable import Batch, Losses, Trainable

__all__ = ["Head", "Net"]

Array = NDArray[Any]


class Head(Trainable):
    """A linear softmax on standardized codes: their mean is subtracted, and one scale is common to all their values.

    Args:
        codes: (n, k), for the mean and the scale.
        classes: the number of classes.
        dtype: the dtype of the weights.
        weights: (n,), of the examples, with mean 1; None if all are 1.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, codes: Array, classes: int, dtype: torch.dtype, weights: Array | None = None) -> None:
        super().__init__()
        self.shape = codes.shape[1:]
        each = 1 if weights is None else weights[:, None]
        mean = (codes * each).mean(0, dtype=np.float64)
        # one scale for all values: a scale per value would amplify those that hardly vary
        deviation = math.sqrt((np.square(codes - mean) * each).mean())
        self.register_buffer("shift", torch.as_tensor(mean, dtype=dtype))
        self.register_buffer("scale", torch.as_tensor(deviation or 1.0, dtype=dtype))
        linear = blank(nn.Linear, codes.shape[1], classes).to(dtype)
        assert isinstance(linear, nn.Linear)
        self.linear = linear
        for parameter in linear.parameters():
            nn.init.zeros_(
                parameter
            )  # all classes start equally probable; the problem is convex and needs no random start

    @property
    def device(self) -> torch.device:
        return self.shift.device

    def normalize(self, raw: Tensor) -> Tensor:
        return (raw.to(self.shift.dtype) - self.shift) / self.scale

    def forward(self, batch: Batch, generator: Generator, autocast: torch.dtype | None = None) -> Losses:
        """The cross-entropy in nats of codes (b, k) and class indices (b,)."""
        return self.score(batch)

    def logits(self, x: Tensor) -> Tensor:
        """The logits (b, classes) of codes (b, k), bit-identical in any batch."""
        return dense(x, self.linear.weight, self.linear.bias)

    def score(self, batch: Batch) -> Losses:
        return self.losses(batch.x, batch.target)

    def losses(self, x: Tensor, target: Tensor) -> Losses:
        """The cross-entropy in nats of codes x (b, k) and class indices (b,)."""
        logits = self.linear(x)
        accuracy = (logits.detach().argmax(1) == target).to(x.dtype).mean()
        return Losses(F.cross_entropy(logits, target, reduction="none"), x.new_zeros(len(x)), {"accuracy": accuracy})


class Net(Trainable):
    """An encoder with a softmax on its deterministic codes. The decoder is not part of it."""

    def __init__(self, model: Model, head: Head) -> None:
        super().__init__()
        self.encoder, self.code_memory, self.head = model.encoder, model.code_memory, head
        self.shape, self._autoencoder = (
            model.shape,
            (model,),
        )  # a tuple, so that the decoder does not become a submodule

    @property
    def model(self) -> Model:
        """The model whose encoder is used."""
        return self._autoencoder[0]

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

    def corrupt(self, corruption: Corruption, x: Tensor, generator: Generator) -> Corrupted:
        return self.model.corrupt(corruption, x, generator)

    def forward(self, batch: Batch, generator: Generator, autocast: torch.dtype | None = None) -> Losses:
        """The cross-entropy in nats of examples (b, *shape) in model units and class indices (b,)."""
        return self._losses(self.model.represent(batch.x, generator, autocast), batch.target)

    def score(self, batch: Batch) -> Losses:
        return self._losses(self.model.encode(batch.x), batch.target)

    def logits(self, raw: Tensor) -> Tensor:
        """The logits (b, classes) of raw examples (b, *shape)."""
        return self.head.logits(self.head.normalize(self.model.encode(self.normalize(raw)).flatten(1)))

    def _losses(self, z: Tensor, target: Tensor) -> Losses:
        return self.head.losses(self.head.normalize(z.flatten(1)), target)
