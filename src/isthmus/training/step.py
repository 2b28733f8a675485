"""One training step: augment, corrupt, reconstruct, update the weights."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from isthmus.native import Kernels
from isthmus.nn.device import onednn_matmul, threads
from isthmus.nn.module_rng import replay_draws
from isthmus.nn.processes import Processes, sharing
from isthmus.trainable import Batch, GradientPass, Losses, Trainable
from isthmus.training import cuda_graph
from isthmus.training.batches import Source
from isthmus.training.config import TrainingConfig, autocast
from isthmus.training.contention import ContentionMonitor
from isthmus.training.cuda_graph import Rates
from isthmus.training.encoder_input import EncoderInput
from isthmus.training.rng import RandomStream, reseed
from isthmus.training.state import State

__all__ = ["Step"]


class Step:
    """The training step of a run. Its noise depends only on (random_state, step).

    On CUDA the step is captured as a graph and replayed (`isthmus.training.cuda_graph`), unless several processes share it.
    """

    def __init__(
        self, model: Trainable, examples: Source, config: TrainingConfig, state: State, processes: Processes
    ) -> None:
        assert state.optimizer is not None
        self.processes = processes
        self.model, self.examples, self.config, self.state, self.optimizer = (
            model,
            examples,
            config,
            state,
            state.optimizer,
        )
        self.device = model.device
        most = 1 if model.device.type != "cpu" else config.threads or torch.get_num_threads()
        self.contention = ContentionMonitor(most, config.adaptive_threads and model.thread_invariant)
        self.generator = Generator(self.device)
        self.encoder_input = EncoderInput(model, examples, config)
        self.kernel_pass: GradientPass | None = None
        self.stochastic = self.encoder_input.stochastic or model.stochastic
        capture = self.recorded = (
            self.encoder_input.cuda_graph_safe and cuda_graph.can_capture(model) and processes.size == 1
        )
        self.run_step = (
            cuda_graph.GraphedStep(self._train_step, config.batch_size, self.generator) if capture else self._train_step
        )

    def prepare(self) -> None:
        """Chooses what computes gradients: at the beginning, and whenever a caller had the model."""
        alone = self.processes.size == 1 and not self.recorded and autocast(self.config.precision) is None
        self.kernel_pass = self.model.kernel_pass(self.config.batch_size) if alone else None

    def __call__(self, raw: Tensor, index: Tensor, lr: float, progress: float) -> Losses:
        """One step on raw examples (b, *shape) with these indices (b,), after this fraction of the training.

        Returns the losses, detached, in nats per example, times the weights of the examples.
        """
        self.contention.check()
        if not self.model.training:  # the caller may have put it into evaluation mode at a report
            self.model.train()
        if self.stochastic:
            reseed(self.generator, self.config.random_state, RandomStream.NOISE, self.state.step)
        factors = self.model.factors(progress) if self.config.scheduled else None
        return self.run_step(raw, index.to(self.device), (lr, *(factors or ())))

    def _train_step(self, raw: Tensor, index: Tensor, rates: Rates) -> Losses:
        """The work of a step. ``rates`` are the learning rate and the factors of scheduled penalties, if there are any."""
        model, (rate, *factors) = self.model, rates
        count = self.contention.current if self.contention.adaptive else self.config.threads
        with threads(count), sharing(self.processes):
            batch = self.encoder_input(model.normalize(raw), index, self.generator)
            if factors:
                batch = batch._replace(factors=tuple(factors))
            native = self.kernel_pass if self.kernel_pass is not None and self.kernel_pass.takes(batch) else None
            losses = (
                self._gradients(batch) if native is None else native(batch, self.generator, self._weight(len(batch.x)))
            )
            self._update(rate, None if native is None else native.kernels)
        stats = {name: value.detach() for name, value in losses.stats.items()}
        return Losses(losses.nll.detach(), losses.penalty.detach(), stats)

    def _gradients(self, batch: Batch) -> Losses:
        """The losses of a batch. Autograd gives the parameters the gradients of the reduced loss."""
        with onednn_matmul():
            losses: Losses = self.model(batch, self.generator, autocast(self.config.precision))
            losses = losses.weighted(batch.weights)
            self.optimizer.zero_grad()
            terms = [term for term in (losses.nll, losses.penalty) if term.requires_grad]
            if (
                terms
            ):  # backward of a scalar: with gradients given, PyTorch first imports sympy, which takes half a second
                weights = torch.full_like(terms[0], self._weight(len(terms[0])))
                total = torch.dot(sum(terms[1:], terms[0]), weights)
                with replay_draws():
                    total.backward()
        return losses

    def _weight(self, rows: int) -> float:
        """The weight of the loss of each of so many examples."""
        by_reduction = {"example": 1 / rows, "feature": 1 / (rows * math.prod(self.model.shape)), "batch": 1.0}
        return by_reduction[self.config.optimizer.loss_reduction]

    def _update(self, rate: float | Tensor, kernels: Kernels | None) -> None:
        """Updates the weights along the negative gradient, by the kernels if these have computed it."""
        record = self.config.optimizer
        if self.processes.size > 1:
            self.processes.sum_gradients(self.optimizer.parameters, self.model.net_parameters())
        if record.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), record.clip)
        self.optimizer.step(rate, kernels)
