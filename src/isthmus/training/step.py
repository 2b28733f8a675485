"""One step of training: corrupt, reconstruct, move the weights."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from isthmus.model import Losses, Trainable
from isthmus.nn.device import onednn_matmul, threads
from isthmus.nn.module_rng import drawing_again
from isthmus.training import cuda_graph
from isthmus.training.batches import Source
from isthmus.training.config import TrainingConfig, autocast
from isthmus.training.corrupted_input import InputCorruption
from isthmus.training.rng import RandomStream, reseed
from isthmus.training.state import State

__all__ = ["Step"]


class Step:
    """Steps of one round of training, each on a batch; the noise of a step is a function of (random_state, its number) alone.

    On CUDA a step is recorded and replayed (`isthmus.training.cuda_graph`).
    """

    def __init__(self, model: Trainable, examples: Source, plan: TrainingConfig, state: State) -> None:
        assert state.optimizer is not None
        self.model, self.examples, self.plan, self.state, self.optimizer = model, examples, plan, state, state.optimizer
        self.device = model.device
        self.generator = Generator(self.device)
        self.corrupt = InputCorruption(model, examples, plan)
        self.stochastic = self.corrupt.stochastic or model.stochastic
        records = self.corrupt.records and cuda_graph.recordable(model)
        self.descend = cuda_graph.Recorder(self._work, plan.batch_size, self.generator) if records else self._work

    def __call__(self, raw: Tensor, index: Tensor, lr: float) -> Losses:
        """One step on raw examples (b, *shape) of some places in the data; what it cost, without a graph."""
        if not self.model.training:  # a report may have been looked at
            self.model.train()
        if self.stochastic:
            reseed(self.generator, self.plan.random_state, RandomStream.NOISE, self.state.step)
        return self.descend(raw, index.to(self.device), lr)

    def _work(self, raw: Tensor, index: Tensor, rate: float | Tensor) -> Losses:
        model = self.model
        with onednn_matmul(), threads(self.plan.threads):
            x = model.normalize(raw)
            corrupted, target = self.corrupt(x, index, self.generator), self.examples.target(x, index)
            losses: Losses = model(corrupted, target, self.generator, autocast(self.plan.precision))
            self._descend(losses, rate)
        stats = {name: value.detach() for name, value in losses.stats.items()}
        return Losses(losses.nll.detach(), losses.penalty.detach(), stats)

    def _descend(self, losses: Losses, rate: float | Tensor) -> None:
        """Moves the weights against the gradient of the mean loss."""
        count, record = len(losses.nll), self.plan.optimizer
        weight = {"example": 1 / count, "feature": 1 / (count * math.prod(self.model.shape)), "batch": 1.0}[
            record.loss_reduction
        ]
        self.optimizer.zero_grad()
        parts = [part for part in (losses.nll, losses.penalty) if part.requires_grad]
        if parts:  # as one number: for gradients of its own, PyTorch imports half a second of symbols
            total = torch.dot(sum(parts[1:], parts[0]), torch.full_like(parts[0], weight))
            with drawing_again():
                total.backward()
        if record.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), record.clip)
        self.optimizer.step(rate)
