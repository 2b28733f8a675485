"""The engine: a generator of reports. The caller prints, saves, draws or stops.

The order of examples is a function of (random_state, epoch) alone and all noise of (random_state, step). Losses stay on the device
until a report is due.
"""

from __future__ import annotations

import collections.abc
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Generator, Tensor

from isthmus.devices import fast_products, keep_memory
from isthmus.errors import DivergenceError
from isthmus.model import Losses, Model
from isthmus.optimizers import Stepping
from isthmus.randomness import Purpose, reseed, seeded
from isthmus.sources import Source, gathered, rows_within
from isthmus.steps import Plan, Step, autocast

__all__ = ["Report", "Reports", "State", "best_kept", "copied", "train", "validate"]


@dataclass
class State:
    """Where training stands: what another round of training goes on from. A missing optimizer is built anew."""

    epoch: int = 0
    step: int = 0
    optimizer: Stepping | None = None


@dataclass(frozen=True)
class Report:
    """Where training is, and what it cost since the epoch began: all losses in nats per example."""

    epoch: int  # epochs begun, from 1
    step: int
    steps: int
    seconds: float
    loss: float
    nll: float
    penalty: float
    valid: float | None
    lr: float
    complete: bool  # whether the epoch, or training, is over
    stats: Mapping[str, float] = field(default_factory=dict)


Reports: TypeAlias = "collections.abc.Generator[Report, None, None]"


def train(
    model: Model,
    examples: Source,
    plan: Plan,
    validation: Source | None = None,
    every: int | None = None,
    state: State | None = None,
) -> Reports:
    """Trains the model, in place, and reports at the end of each epoch and also each ``every`` steps.

    With a state it goes on from there, and moves it; the schedule runs over this round's steps.

    Raises:
        DivergenceError: the loss of a report, or the one that the last step leaves, is not finite.
    """
    state = State() if state is None else state
    if state.optimizer is None:
        state.optimizer = plan.optimizer.build(model.parameters())
    per_epoch = math.ceil(len(examples) / plan.batch_size)
    steps = max(1, round(plan.epochs * per_epoch))
    keep_memory()
    descend, began, costs = Step(model, examples, plan, state.optimizer), time.perf_counter(), Costs()
    for step in range(steps):
        place = step % per_epoch
        if place == 0:
            costs = Costs()
            order = seeded("cpu", plan.random_state, Purpose.ORDER, state.epoch)
            batches = gathered(examples, torch.randperm(len(examples), generator=order), plan.batch_size)
        raw, index = next(batches)
        rate = plan.optimizer.lr * plan.optimizer.schedule(step / steps)
        if not model.training:  # a report may have been looked at
            model.train()
        costs.add(descend(raw, index, state.step, rate))
        state.step += 1
        complete = place == per_epoch - 1 or step == steps - 1
        state.epoch += complete
        if complete or (every is not None and (step + 1) % every == 0):
            means = costs.means()
            check_sound(model, raw, means, step + 1, steps, rate)
            valid = validate(model, validation, plan) if complete and validation is not None else None
            nll, penalty, loss = means.pop("nll"), means.pop("penalty"), means.pop("loss")
            epoch, seconds = state.epoch + (not complete), time.perf_counter() - began
            yield Report(epoch, step + 1, steps, seconds, loss, nll, penalty, valid, rate, complete, means)


def best_kept(reports: Reports, model: Model, patience: int, tol: float, best: float = math.inf) -> Reports:
    """The same reports, until the validation loss has not improved by tol nats for some epochs; the best weights stay in the model.

    ``best`` is the loss to improve on: of the weights that are there, if they are worth keeping.
    """
    best_epoch, weights = -1, copied(model) if math.isfinite(best) else None
    try:
        for report in reports:
            best_epoch = report.epoch - 1 if best_epoch < 0 else best_epoch  # a warm start does not begin at 1
            if report.valid is not None and report.valid < best - tol:
                best, best_epoch = report.valid, report.epoch
                weights = copied(model)
            yield report
            if report.complete and report.epoch - best_epoch >= patience:
                break
    finally:
        if weights is not None:
            model.load_state_dict(weights)


def copied(model: Model) -> dict[str, Tensor]:
    """The numbers of a model as they are now."""
    return {name: value.clone() for name, value in model.state_dict().items()}


@torch.no_grad()
def validate(model: Model, examples: Source, plan: Plan) -> float:
    """The mean loss on other examples, in nats; what is drawn at random is the same each time."""
    costs, generator = Costs(), Generator(model.shift.device)
    for number, index in enumerate(
        torch.arange(len(examples)).split(max(plan.batch_size, rows_within(500, model.shape)))
    ):
        reseed(generator, plan.random_state, Purpose.VALIDATION, number)
        with fast_products():
            x = model.inwards(examples[index])
            costs.add(model.eval()(plan.corruption(x, generator), x, generator, autocast(plan.precision)))
    return costs.means()["loss"]


class Costs:
    """Losses added up on the device, in double precision; they are read once a report."""

    def __init__(self) -> None:
        self.count, self.batches, self.sums = 0, 0, dict[str, Tensor]()

    def add(self, losses: Losses) -> None:
        """Takes in one batch, none larger than the first."""
        for name, cost in {"nll": losses.nll, "penalty": losses.penalty, **losses.stats}.items():
            if name not in self.sums:
                self.sums[name] = torch.zeros_like(cost, dtype=torch.float64, requires_grad=False)
            total = self.sums[name]
            (total if total.shape == cost.shape else total[: len(cost)]).add_(cost.detach())
        self.count, self.batches = self.count + len(losses.nll), self.batches + 1

    def means(self) -> dict[str, float]:
        """The losses per example, and the mean of each statistic over the batches."""
        counts = {"nll": self.count, "penalty": self.count}
        means = {name: float(sums.sum()) / counts.get(name, self.batches) for name, sums in self.sums.items()}
        return {"loss": means["nll"] + means["penalty"]} | means


@torch.no_grad()
def check_sound(model: Model, raw: Tensor, losses: Mapping[str, float], step: int, steps: int, lr: float) -> None:
    """`DivergenceError` if the losses are not finite; what the last step of all leaves behind shows in none of them, and is measured."""
    seen = {name: losses[name] for name in ("loss", "nll", "penalty")}
    if step == steps:
        x = model.inwards(raw)
        seen["loss that is left"] = float(model.eval().score(x, x).total.mean())
        seen["weight " + (model.broken() or "")] = math.nan if model.broken() else 0.0
    wrong = next((f"the {name} is {value}" for name, value in seen.items() if not math.isfinite(value)), None)
    if wrong is not None:
        raise DivergenceError(
            f"{wrong} at step {step} of {steps}: training diverged; lower optimizer.lr (now {lr:.3g}), "
            "or set optimizer.clip=1, or check the scaling"
        )
