"""What to do where losses are not finite: back to where the epoch began, and on with smaller steps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from isthmus.errors import DivergenceError, DivergenceWarning
from isthmus.model import Trainable
from isthmus.nn.device import threads
from isthmus.optimizers import OptimizerState
from isthmus.training.batches import Source
from isthmus.training.config import TrainingConfig
from isthmus.training.state import Costs, State

__all__ = ["DivergenceGuard"]

_RETRIES = 3  # after divergences, each with a fifth of the step size
_FIFTH = 0.2


class DivergenceGuard:
    """Keeps all numbers as they were when an epoch began, and takes them back where the losses since are not finite."""

    def __init__(self, model: Trainable, examples: Source, plan: TrainingConfig, state: State) -> None:
        self.model, self.examples, self.plan, self.state = model, examples, plan, state

    @property
    def slowdown(self) -> float:
        """The factor of the step size: a fifth for each divergence of this round."""
        return _FIFTH**self.state.retries

    def keep(self) -> None:
        """Copies all numbers, as an epoch begins, into the copies that are there, or into new ones."""
        kept, now = self.state.good, self._numbers()
        if kept:
            for name, value in now.items():
                kept[name].copy_(value)
        else:
            kept.update({name: value.detach().clone() for name, value in now.items()})

    def went_back(self, losses: Mapping[str, float], raw: Tensor, index: Tensor, place: int, steps: int) -> bool:
        """Whether training has diverged, and stands where the epoch began.

        Args:
            losses: means since the epoch began.
            raw, index: the last batch, and the places of its examples.
            place: of the last step in its epoch, from 0. steps: of the round.

        Raises:
            DivergenceError: smaller steps did not help either.
        """
        with threads(self.plan.threads):
            wrong = self._unsound(losses, raw, index, last=self.state.done == steps)
        if wrong is None:
            return False
        self._go_back(place, f"{wrong} at step {self.state.done} of {steps}: training diverged")
        return True

    def _go_back(self, place: int, what: str) -> None:
        state, lr = self.state, self.plan.optimizer.lr
        if state.retries >= _RETRIES:
            raise DivergenceError(
                f"{what}, with a {_FIFTH**-_RETRIES:.0f}th of the step size too; lower optimizer.lr "
                f"(now {lr:.3g}), or set optimizer.clip=1, or check the scaling"
            )
        with torch.no_grad():
            for name, value in self._numbers().items():
                value.copy_(state.good[name])
        state.step, state.done = state.step - place - 1, state.done - place - 1
        state.retries, state.costs = state.retries + 1, Costs()
        warnings.warn(
            f"{what}; it went back to step {state.done} and takes a fifth of the step size from there; lower optimizer.lr "
            f"(now {lr:.3g}), or set optimizer.clip=1",
            DivergenceWarning,
            stacklevel=4,
        )

    def _numbers(self) -> dict[str, Tensor]:
        """All that a step moves: what changes there changes in the model and the optimizer."""
        moments = {f"optimizer.{name}": tensor for name, tensor in self._optimizer.numbers().items()}
        return dict(self.model.state_dict()) | moments

    @property
    def _optimizer(self) -> OptimizerState:
        assert self.state.optimizer is not None
        return self.state.optimizer

    @torch.no_grad()
    def _unsound(self, losses: Mapping[str, float], raw: Tensor, index: Tensor, last: bool) -> str | None:
        """What is not finite, of losses, weights and moments; what the last step of all leaves behind shows in no loss, and is measured.

        A moment that is infinite would hold its weight still for ever, in silence.
        """
        model, seen = self.model, {name: losses[name] for name in ("loss", "nll", "penalty")}
        if last:
            x = model.normalize(raw)
            left = model.eval().score(x, self.examples.target(x, index))
            seen["loss that is left"] = float(left.total.mean())
        wrong = next((f"the {name} is {value}" for name, value in seen.items() if not math.isfinite(value)), None)
        if wrong is not None:
            return wrong
        weight, moment = model.broken(), self._optimizer.broken()
        return f"the weight {weight} is not finite" if weight else moment and f"the optimizer's {moment} is not finite"
