"""A step of training as a CUDA graph: recorded once, and replayed as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Generator, Tensor

from isthmus.model import Losses, Trainable

__all__ = ["Recorder", "Recording", "recordable"]

Work: TypeAlias = Callable[[Tensor, Tensor, "float | Tensor"], Losses]

_EAGER = 5  # steps before one is recorded: libraries choose their kernels and take their memory meanwhile


class Recorder:
    """Does a step as it is for some steps, then records it and replays the recording.

    What cannot be recorded (a batch of another size, layers that draw from the global generators, modules of the user's) is done as on
    any other device.
    """

    def __init__(self, work: Work, batch_size: int, generator: Generator) -> None:
        self.work, self.batch_size, self.generator = work, batch_size, generator
        self.recording: Recording | None = None
        self.eager: float = _EAGER

    def __call__(self, raw: Tensor, index: Tensor, lr: float) -> Losses:
        """The step on one batch."""
        if self.eager <= 0 and self.recording is None and len(raw) == self.batch_size:
            self._record(raw, index)
        if self.recording is not None and len(raw) == self.batch_size:
            return self.recording(raw, index, lr)
        self.eager -= 1
        # a tensor, as the recording will have it
        as_recorded = raw.is_cuda and self.recording is None and self.eager < math.inf
        rate = torch.full((), lr, dtype=torch.float32, device=raw.device) if as_recorded else lr
        return self.work(raw, index, rate)

    def _record(self, raw: Tensor, index: Tensor) -> None:
        try:
            self.recording = Recording(self.work, raw, index, self.generator)
        except RuntimeError:  # something within makes the host wait: then every step is done anew
            self.eager = math.inf


class Recording:
    """A step as a CUDA graph: fixed tensors that a batch is copied into, and fixed ones that its costs come out of.

    Raises:
        RuntimeError: the step cannot be recorded.
    """

    def __init__(self, work: Work, raw: Tensor, index: Tensor, generator: Generator) -> None:
        self.raw, self.index = raw.clone(), index.clone()
        self.rate = torch.zeros((), dtype=torch.float32, device=raw.device)
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(generator)
        with torch.cuda.graph(self.graph):
            self.losses = work(self.raw, self.index, self.rate)

    def __call__(self, raw: Tensor, index: Tensor, rate: float) -> Losses:
        """The step on another batch of the same size."""
        self.raw.copy_(raw)
        self.index.copy_(index)
        self.rate.fill_(rate)
        self.graph.replay()
        return self.losses


def recordable(model: Trainable) -> bool:
    """Whether a step of the model may be recorded: on CUDA, and of parts that we know."""
    return model.device.type == "cuda" and model.records
