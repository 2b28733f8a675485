"""Early stopping: the weights of the epoch with the lowest validation loss, and when to stop."""

from __future__ import annotations

import math
import warnings
from contextlib import closing

import torch
from torch import Generator, Tensor

from isthmus.errors import DivergenceWarning
from isthmus.nn.device import onednn_matmul, threads
from isthmus.nn.processes import ALONE, Processes, sharing
from isthmus.trainable import Batch, Losses, Trainable
from isthmus.training.batches import Source, chunk_size
from isthmus.training.config import TrainingConfig, autocast
from isthmus.training.encoder_input import augmented
from isthmus.training.epochs import read_ahead
from isthmus.training.rng import RandomStream, reseed
from isthmus.training.state import Best, Costs, State

__all__ = ["EarlyStopping", "validate"]


class EarlyStopping:
    """Measures the validation loss after each epoch, if there is a validation set. With a patience it keeps the best weights."""

    def __init__(
        self,
        model: Trainable,
        validation: Source | None,
        config: TrainingConfig,
        state: State,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.validation, self.config, self.state = model, validation, config, state
        self.processes = processes
        if config.patience is not None and state.best is None:
            state.best = self._initial_best()

    def _initial_best(self) -> Best:
        """The best weights before the first epoch: those of a warm start, if there is one, since training may make them worse."""
        warm = self.state.step > 0 and self.validation is not None
        loss = self._measured(self.validation) if warm and self.validation is not None else math.inf
        return Best(loss, self.state.epoch, copy_weights(self.model) if math.isfinite(loss) else {})

    @property
    def should_stop(self) -> bool:
        """Whether the validation loss has not improved for `patience` epochs."""
        best, patience = self.state.best, self.config.patience
        return best is not None and patience is not None and self.state.epoch - best.epoch >= patience

    def validation_loss(self) -> float | None:
        """The validation loss in nats per example, or None without a validation set.

        A loss that is not finite causes a `DivergenceWarning` and does not count as an improvement.
        """
        if self.validation is None:
            return None
        state, loss = self.state, self._measured(self.validation)
        if not math.isfinite(loss):
            warnings.warn(f"the validation loss after epoch {state.epoch} is {loss}", DivergenceWarning, stacklevel=3)
        elif state.best is not None and loss < state.best.loss - self.config.tol:
            state.best = Best(loss, state.epoch, copy_weights(self.model))
        return loss

    def _measured(self, validation: Source) -> float:
        """The validation loss, of which each process computes a part."""
        with sharing(self.processes):
            loss = validate(self.model, validation, self.config)
        return self.processes.same([loss])[0]


@torch.no_grad()
def validate(model: Trainable, examples: Source, config: TrainingConfig) -> float:
    """The mean loss of examples, weighted if they have weights, in nats per example. Random numbers are the same at each call."""
    costs, generator = Costs(), Generator(model.device)
    parts = examples.indices(max(config.batch_size, chunk_size(500, model.shape)))
    with closing(read_ahead(examples, parts)) as batches:
        for number, (raw, index) in enumerate(batches):
            reseed(generator, config.random_state, RandomStream.VALIDATION, number)
            with onednn_matmul(), threads(config.threads):
                x = model.normalize(raw)
                x, target = augmented(model, config.augmentation, x, examples.target(x, index), generator)
                corrupted, counted = config.corruption.marked(x, generator)
                batch = Batch(corrupted, target, counted, examples.context(index), weights=examples.weights(index))
                losses: Losses = model.eval()(batch, generator, autocast(config.precision))
                costs.add(losses.weighted(batch.weights))
    return costs.means()["loss"]


def copy_weights(model: Trainable) -> dict[str, Tensor]:
    """A copy of the current state dict of a model."""
    return {name: value.clone() for name, value in model.state_dict().items()}
