"""Recovery from divergence: return to the start of the epoch and continue with a smaller learning rate."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from isthmus.errors import DivergenceError, DivergenceWarning
from isthmus.nn.device import threads
from isthmus.nn.processes import ALONE, Processes
from isthmus.optimizer_state import OptimizerState
from isthmus.trainable import Batch, Trainable
from isthmus.training.batches import Source
from isthmus.training.config import TrainingConfig
from isthmus.training.encoder_input import augmented
from isthmus.training.rng import RandomStream, seeded
from isthmus.training.state import Costs, State

__all__ = ["DivergenceGuard"]

_MAX_RETRIES = 3
_LR_FACTOR = 0.2  # of the learning rate, per retry


class DivergenceGuard:
    """Keeps a copy of model and optimizer from the start of each epoch, and restores it if losses or weights are not finite."""

    def __init__(
        self,
        model: Trainable,
        examples: Source,
        config: TrainingConfig,
        state: State,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.examples, self.config, self.state = model, examples, config, state
        self.processes = processes

    @property
    def lr_factor(self) -> float:
        """The factor on the learning rate: one fifth for each divergence of this run."""
        return _LR_FACTOR**self.state.retries

    def save_epoch_start(self) -> None:
        """Copies all tensors at the start of an epoch. Copies of an earlier epoch are overwritten."""
        saved, current = self.state.good, self._tensors()
        if saved:
            for name, value in current.items():
                saved[name].copy_(value)
        else:
            saved.update({name: value.detach().clone() for name, value in current.items()})

    def recovered(self, losses: Mapping[str, float], raw: Tensor, index: Tensor, batch_index: int, steps: int) -> bool:
        """Returns to the start of the epoch if training has diverged in any process; returns whether it has.

        Args:
            losses: mean losses since the start of the epoch, in nats per example.
            raw, index: the last batch (b, *shape), and the indices of its examples (b,).
            batch_index: the index of the last batch in its epoch, from 0.
            steps: the number of steps of the run.

        Raises:
            DivergenceError: training diverged with the smallest learning rate too.
        """
        with threads(self.config.threads):
            own = self._find_nonfinite(losses, raw, index, last=self.state.done == steps)
        nonfinite = self._first_found(own)
        if nonfinite is None:
            return False
        self._restore(batch_index, f"{nonfinite} at step {self.state.done} of {steps}: training diverged")
        return True

    def _first_found(self, own: str | None) -> str | None:
        """What the first process with something not finite has found: a process that returned alone would wait for the others."""
        if self.processes.size == 1 or not self.processes.most(own is not None):
            return own
        return next(found for found in self.processes.texts(own or "") if found)

    def _restore(self, batch_index: int, reason: str) -> None:
        state, lr = self.state, self.config.optimizer.lr
        if state.retries >= _MAX_RETRIES:
            raise DivergenceError(
                f"{reason}, also with 1/{_LR_FACTOR**-_MAX_RETRIES:.0f} of the learning rate; lower optimizer.lr "
                f"(now {lr:.3g}), or set optimizer.clip=1, or check the scaling"
            )
        with torch.no_grad():
            for name, value in self._tensors().items():
                value.copy_(state.good[name])
        state.step, state.done = state.step - batch_index - 1, state.done - batch_index - 1
        state.retries, state.costs = state.retries + 1, Costs()
        warnings.warn(
            f"{reason}; it continues from step {state.done} with a fifth of the learning rate; lower optimizer.lr "
            f"(now {lr:.3g}), or set optimizer.clip=1",
            DivergenceWarning,
            stacklevel=4,
        )

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors that a step changes, not copies: those of the model and of the optimizer."""
        moments = {f"optimizer.{name}": tensor for name, tensor in self._optimizer.tensors().items()}
        return dict(self.model.state_dict()) | moments

    @property
    def _optimizer(self) -> OptimizerState:
        assert self.state.optimizer is not None
        return self.state.optimizer

    @torch.no_grad()
    def _find_nonfinite(self, losses: Mapping[str, float], raw: Tensor, index: Tensor, last: bool) -> str | None:
        """A sentence that names the first loss, weight or moment that is not finite; None if all are finite.

        No loss is computed after the last step, so the final loss is measured here. Moments are checked too: an infinite one would
        freeze its weight without any other sign.
        """
        model, values = self.model, {name: losses[name] for name in ("loss", "nll", "penalty")}
        if last:
            x = model.normalize(raw)
            generator = seeded(x.device, self.config.random_state, RandomStream.VALIDATION)
            x, target = augmented(model, self.config.augmentation, x, self.examples.target(x, index), generator)
            final = model.eval().score(Batch(x, target, None, self.examples.context(index)))
            values["final loss"] = float(final.total.mean())
        loss = next((f"the {name} is {value}" for name, value in values.items() if not math.isfinite(value)), None)
        if loss is not None:
            return loss
        weight, moment = model.first_nonfinite(), self._optimizer.first_nonfinite()
        return f"the weight {weight} is not finite" if weight else moment and f"the optimizer's {moment} is not finite"
