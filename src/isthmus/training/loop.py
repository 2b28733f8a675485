"""The engine: a generator of reports. The caller prints, saves, draws or stops.

The order of examples is a function of (random_state, epoch) alone and all noise of (random_state, step). Losses stay on the device
until a report is due. At a report the `State` and the model hold everything that decides how training goes on: kept in a file and read
again, they go on as if nothing had been.
"""

from __future__ import annotations

import time

import torch

from isthmus.model import Trainable
from isthmus.nn.device import enable_malloc_reuse
from isthmus.training.batches import Epochs, Source
from isthmus.training.config import TrainingConfig
from isthmus.training.contention import Company
from isthmus.training.divergence import DivergenceGuard
from isthmus.training.early_stopping import EarlyStopping
from isthmus.training.state import Costs, Report, ReportEvery, Reports, State, due, end_round
from isthmus.training.step import Step

__all__ = ["train"]


def train(
    model: Trainable,
    examples: Source,
    plan: TrainingConfig,
    validation: Source | None = None,
    every: ReportEvery = None,
    state: State | None = None,
) -> Reports:
    """Trains the model, in place, and reports at the end of each epoch and also each ``every`` steps, or when that says so.

    With a state it goes on from there, and moves it; the schedule runs over this round's steps. A round that was left goes on where it was.
    With a plan's patience it ends when the validation loss has not improved for so many epochs; however it ends, the best weights stay.
    Where losses are not finite it goes back to where the epoch began, three times at most, and takes a fifth of the step size from there.

    Raises:
        DivergenceError: smaller steps did not help either.
    """
    state = _begun(model, plan, State() if state is None else state)
    stopping = EarlyStopping(model, validation, plan, state)
    guard = DivergenceGuard(model, examples, plan, state)
    batches = Epochs(examples, plan.batch_size, plan.random_state)
    steps, step = plan.steps(len(examples)), Step(model, examples, plan, state)
    company, began = _company(model, plan), time.perf_counter() - state.seconds
    try:
        while state.done < steps and not stopping.exhausted:
            place = state.done % batches.per_epoch
            if place == 0:
                guard.keep()
            raw, index = batches.next(place, state.epoch)
            lr = plan.optimizer.lr * plan.optimizer.schedule(state.done / steps) * guard.slowdown
            state.costs.add(step(raw, index, lr))
            state.step, state.done = state.step + 1, state.done + 1
            company.look()
            complete = place == batches.per_epoch - 1 or state.done == steps
            if not complete and not due(every, state.done):
                continue
            means = state.costs.means()
            if guard.went_back(means, raw, index, place, steps):
                batches.restart()
                continue
            if complete:
                state.epoch, state.costs = state.epoch + 1, Costs()
            val_loss = stopping.after_epoch() if complete else None
            state.seconds = time.perf_counter() - began
            yield Report.of(state, steps, means, val_loss, lr, complete)
    finally:
        end_round(model, state)


def _begun(model: Trainable, plan: TrainingConfig, state: State) -> State:
    """The state with all that a round needs."""
    state.threads = plan.threads
    if state.optimizer is None:
        state.optimizer = plan.optimizer.build(model.parameters())
    enable_malloc_reuse()
    return state


def _company(model: Trainable, plan: TrainingConfig) -> Company:
    return Company(1 if model.device.type != "cpu" else plan.threads or torch.get_num_threads())
