"""A training step as a CUDA graph: captured once, then replayed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

from isthmus.trainable import Losses, Trainable

__all__ = ["CapturedStep", "GraphedStep", "can_capture"]

Rates: TypeAlias = "tuple[float | Tensor, ...]"  # the learning rate, and factors of penalties
Work: TypeAlias = Callable[[Tensor, Tensor, Rates], Losses]

_WARMUP_STEPS = 5  # libraries choose their kernels and allocate memory in these steps, before one is captured


class GraphedStep:
    """Runs some steps eagerly, then captures one and replays it.

    A step that cannot be captured runs eagerly: a batch of another size, a layer that draws from the global generators, or a module
    of the user.
    """

    def __init__(self, work: Work, batch_size: int, generator: Generator) -> None:
        self.work, self.batch_size, self.generator = work, batch_size, generator
        self.captured: CapturedStep | None = None
        self.eager_steps: float = _WARMUP_STEPS

    def __call__(self, raw: Tensor, index: Tensor, rates: tuple[float, ...]) -> Losses:
        """Runs the step on one batch."""
        if self.eager_steps <= 0 and self.captured is None and len(raw) == self.batch_size:
            self._capture(raw, index, len(rates))
        if self.captured is not None and len(raw) == self.batch_size:
            return self.captured(raw, index, rates)
        self.eager_steps -= 1
        # a tensor, as in the captured step, so that both compute the same bits
        as_captured = raw.is_cuda and self.captured is None and self.eager_steps < math.inf
        return self.work(raw, index, _as_tensors(rates, raw.device) if as_captured else rates)

    def _capture(self, raw: Tensor, index: Tensor, count: int) -> None:
        try:
            self.captured = CapturedStep(self.work, raw, index, self.generator, count)
        except RuntimeError:  # an operation synchronizes with the host: run all steps eagerly
            self.eager_steps = math.inf


class CapturedStep:
    """A step as a CUDA graph. Batches are copied into its static input tensors; the losses are its static output tensors.

    Raises:
        RuntimeError: the step cannot be captured.
    """

    def __init__(self, work: Work, raw: Tensor, index: Tensor, generator: Generator, count: int = 1) -> None:
        self.raw, self.index = raw.clone(), index.clone()
        self.rates = _as_tensors((0.0,) * count, raw.device)
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(generator)
        with torch.cuda.graph(self.graph):
            self.losses = work(self.raw, self.index, self.rates)

    def __call__(self, raw: Tensor, index: Tensor, rates: tuple[float, ...]) -> Losses:
        """Replays the step on another batch of the same size."""
        self.raw.copy_(raw)
        self.index.copy_(index)
        for tensor, rate in zip(self.rates, rates, strict=True):
            tensor.fill_(rate)
        self.graph.replay()
        return self.losses


def _as_tensors(rates: tuple[float, ...], device: torch.device) -> tuple[Any, ...]:
    """Each rate as a tensor of its own."""
    return tuple(torch.full((), rate, dtype=torch.float32, device=device) for rate in rates)


def can_capture(model: Trainable) -> bool:
    """Whether a step of the model can be captured: the model is on CUDA and has no modules of the user."""
    return model.device.type == "cuda" and model.cuda_graph_safe
