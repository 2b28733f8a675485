"""Early stopping: the weights of the epoch whose validation loss was the least, and when to stop looking for better ones."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Generator, Tensor

from isthmus.errors import DivergenceWarning
from isthmus.model import Trainable
from isthmus.nn.device import onednn_matmul, threads
from isthmus.training.batches import Source, rows_within
from isthmus.training.config import TrainingConfig, autocast
from isthmus.training.rng import RandomStream, reseed
from isthmus.training.state import Best, Costs, State

__all__ = ["EarlyStopping", "validate"]


class EarlyStopping:
    """Measures the validation loss after each epoch, where there is a validation set; with a plan's patience it keeps the best weights."""

    def __init__(self, model: Trainable, validation: Source | None, plan: TrainingConfig, state: State) -> None:
        self.model, self.validation, self.plan, self.state = model, validation, plan, state
        if plan.patience is not None and state.best is None:
            state.best = self._before()

    def _before(self) -> Best:
        """What there is to look back at before the first epoch of a round: the weights of a warm start are worth keeping."""
        warm = self.state.step > 0 and self.validation is not None
        loss = validate(self.model, self.validation, self.plan) if warm and self.validation is not None else math.inf
        return Best(loss, self.state.epoch, copied(self.model) if math.isfinite(loss) else {})

    @property
    def exhausted(self) -> bool:
        """Whether the loss has not improved for too many epochs."""
        best, patience = self.state.best, self.plan.patience
        return best is not None and patience is not None and self.state.epoch - best.epoch >= patience

    def after_epoch(self) -> float | None:
        """The validation loss in nats, None without a validation set; a loss that is not finite is no improvement, and is said."""
        if self.validation is None:
            return None
        state, loss = self.state, validate(self.model, self.validation, self.plan)
        if not math.isfinite(loss):
            warnings.warn(f"the validation loss after epoch {state.epoch} is {loss}", DivergenceWarning, stacklevel=3)
        elif state.best is not None and loss < state.best.loss - self.plan.tol:
            state.best = Best(loss, state.epoch, copied(self.model))
        return loss


@torch.no_grad()
def validate(model: Trainable, examples: Source, plan: TrainingConfig) -> float:
    """The mean loss on other examples, in nats; what is drawn at random is the same each time."""
    costs, generator = Costs(), Generator(model.device)
    for number, index in enumerate(
        torch.arange(len(examples)).split(max(plan.batch_size, rows_within(500, model.shape)))
    ):
        reseed(generator, plan.random_state, RandomStream.VALIDATION, number)
        with onednn_matmul(), threads(plan.threads):
            x = model.normalize(examples[index])
            target = examples.target(x, index)
            costs.add(model.eval()(plan.corruption(x, generator), target, generator, autocast(plan.precision)))
    return costs.means()["loss"]


def copied(model: Trainable) -> dict[str, Tensor]:
    """The numbers of a model as they are now."""
    return {name: value.clone() for name, value in model.state_dict().items()}
