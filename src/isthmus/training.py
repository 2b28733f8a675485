"""The engine: a generator of reports. The caller prints, saves, draws or stops.

The order of examples is a function of (random_state, epoch) alone and all noise of (random_state, step). Losses stay on the device
until a report is due. At a report the `State` and the model hold everything that decides how training goes on: kept in a file and read
again, they go on as if nothing had been.
"""

from __future__ import annotations

import collections.abc
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Generator, Tensor

from isthmus.company import Company
from isthmus.devices import fast_products, keep_memory, threads
from isthmus.errors import DivergenceError, DivergenceWarning
from isthmus.model import Losses, Trainable
from isthmus.optimizers import Stepping
from isthmus.randomness import Purpose, reseed, seeded
from isthmus.sources import Source, gathered, rows_within
from isthmus.steps import Plan, Step, autocast

__all__ = ["Best", "Costs", "Due", "Report", "Reports", "State", "copied", "train", "validate"]

_RETRIES = 3  # after divergences, each with a fifth of the step size
_FIFTH = 0.2


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
    layer: int | None = None  # that is trained alone, from 1; None where all are


Reports: TypeAlias = "collections.abc.Generator[Report, None, None]"
Due: TypeAlias = "int | Callable[[int], bool] | None"  # each so many steps, or a question asked after each


class Costs:
    """Losses added up on the device, in double precision; they are read once a report."""

    def __init__(self, count: int = 0, batches: int = 0, sums: Mapping[str, Tensor] | None = None) -> None:
        self.count, self.batches, self.sums = count, batches, dict(sums or {})

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


@dataclass
class Best:
    """What early stopping looks back at: the least validation loss, the epoch after which it was, and the weights that had it."""

    loss: float
    epoch: int
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class State:
    """Where training stands: what another round goes on from, and where in a round it is. A missing optimizer is built anew."""

    epoch: int = 0  # epochs and steps of all rounds
    step: int = 0
    optimizer: Stepping | None = None
    done: int = 0  # from here on of the round that runs: steps
    seconds: float = 0.0
    retries: int = 0  # divergences that it has come back from
    costs: Costs = field(default_factory=Costs)  # since the epoch began
    good: dict[str, Tensor] = field(default_factory=dict)  # all numbers as they were when the epoch began
    best: Best | None = None
    threads: int | None = None

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor in it but the model's."""
        yield from () if self.optimizer is None else self.optimizer.numbers().values()
        yield from (*self.costs.sums.values(), *self.good.values())
        yield from () if self.best is None else self.best.weights.values()


def train(
    model: Trainable,
    examples: Source,
    plan: Plan,
    validation: Source | None = None,
    every: Due = None,
    state: State | None = None,
) -> Reports:
    """Trains the model, in place, and reports at the end of each epoch and also each ``every`` steps, or when that says so.

    With a state it goes on from there, and moves it; the schedule runs over this round's steps. A round that was left goes on where it was.
    With a plan's patience it ends when the validation loss has not improved for so many epochs; however it ends, the best weights stay.
    Where losses are not finite it goes back to where the epoch began, three times at most, and takes a fifth of the step size from there.

    Raises:
        DivergenceError: smaller steps did not help either.
    """
    state = State() if state is None else state
    state.threads = plan.threads
    if state.optimizer is None:
        state.optimizer = plan.optimizer.build(model.parameters())
    if plan.patience is not None and state.best is None:
        state.best = found(model, validation, plan, state)
    per_epoch = math.ceil(len(examples) / plan.batch_size)
    steps = plan.steps(len(examples))
    keep_memory()
    descend, began = Step(model, examples, plan, state.optimizer), time.perf_counter() - state.seconds
    company = Company(1 if model.device.type != "cpu" else plan.threads or torch.get_num_threads())
    batches: Iterator[tuple[Tensor, Tensor]] | None = None
    try:
        while state.done < steps and not out_of_patience(state, plan):
            place = state.done % per_epoch
            if place == 0:
                batches = None
                keep(state.good, numbers(model, state.optimizer))
            if batches is None:
                batches = epoch_from(place, examples, plan, state.epoch)
            raw, index = next(batches)
            rate = plan.optimizer.lr * plan.optimizer.schedule(state.done / steps) * _FIFTH**state.retries
            if not model.training:  # a report may have been looked at
                model.train()
            state.costs.add(descend(raw, index, state.step, rate))
            state.step, state.done = state.step + 1, state.done + 1
            company.look()
            complete = place == per_epoch - 1 or state.done == steps
            if not complete and not due(every, state.done):
                continue
            means = state.costs.means()
            with threads(plan.threads):
                wrong = unsound(model, state.optimizer, examples, raw, index, means, last=state.done == steps)
            if wrong is not None:
                go_back(model, state, place, f"{wrong} at step {state.done} of {steps}: training diverged", plan)
                batches = None
                continue
            if complete:
                state.epoch, state.costs = state.epoch + 1, Costs()
            valid = validate(model, validation, plan) if complete and validation is not None else None
            if valid is not None:
                state.best = better(state, valid, model, plan)
            nll, penalty, loss = means.pop("nll"), means.pop("penalty"), means.pop("loss")
            epoch, state.seconds = state.epoch + (not complete), time.perf_counter() - began
            yield Report(epoch, state.done, steps, state.seconds, loss, nll, penalty, valid, rate, complete, means)
    finally:
        end_round(model, state)


def found(model: Trainable, validation: Source | None, plan: Plan, state: State) -> Best:
    """What there is to look back at before the first epoch of a round: the weights of a warm start are worth keeping."""
    loss = validate(model, validation, plan) if state.step > 0 and validation is not None else math.inf
    return Best(loss, state.epoch, copied(model) if math.isfinite(loss) else {})


def end_round(model: Trainable, state: State) -> None:
    """Leaves the best weights in the model, and of the state what the next round goes on from."""
    if state.best is not None and state.best.weights:
        model.load_state_dict(state.best.weights)
    state.done, state.seconds, state.retries = 0, 0.0, 0
    state.costs, state.good, state.best = Costs(), {}, None


def better(state: State, valid: float, model: Trainable, plan: Plan) -> Best | None:
    """What early stopping looks back at now; a loss that is not finite is no improvement, and is said."""
    if not math.isfinite(valid):
        warnings.warn(f"the validation loss after epoch {state.epoch} is {valid}", DivergenceWarning, stacklevel=3)
    elif state.best is not None and valid < state.best.loss - plan.tol:
        return Best(valid, state.epoch, copied(model))
    return state.best


def out_of_patience(state: State, plan: Plan) -> bool:
    """Whether early stopping has seen enough."""
    return state.best is not None and plan.patience is not None and state.epoch - state.best.epoch >= plan.patience


def epoch_from(place: int, examples: Source, plan: Plan, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch, without those that were there already."""
    generator = seeded("cpu", plan.random_state, Purpose.ORDER, epoch)
    order = torch.randperm(len(examples), generator=generator)
    return gathered(examples, order[place * plan.batch_size :], plan.batch_size)


def due(every: Due, done: int) -> bool:
    """Whether a report is wanted after so many steps."""
    if callable(every):
        return every(done)
    return every is not None and done % every == 0


def copied(model: Trainable) -> dict[str, Tensor]:
    """The numbers of a model as they are now."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def numbers(model: Trainable, optimizer: Stepping) -> dict[str, Tensor]:
    """All that a step moves: what changes there changes in the model and the optimizer."""
    moments = {f"optimizer.{name}": tensor for name, tensor in optimizer.numbers().items()}
    return dict(model.state_dict()) | moments


def keep(kept: dict[str, Tensor], now: Mapping[str, Tensor]) -> None:
    """Copies all numbers into the copies that are there, or into new ones."""
    if kept:
        for name, value in now.items():
            kept[name].copy_(value)
    else:
        kept.update({name: value.detach().clone() for name, value in now.items()})


def go_back(model: Trainable, state: State, place: int, what: str, plan: Plan) -> None:
    """To where the epoch began, to go on with smaller steps; `DivergenceError` if that was tried often enough."""
    if state.retries >= _RETRIES:
        raise DivergenceError(
            f"{what}, with a {_FIFTH**-_RETRIES:.0f}th of the step size too; lower optimizer.lr "
            f"(now {plan.optimizer.lr:.3g}), or set optimizer.clip=1, or check the scaling"
        )
    assert state.optimizer is not None
    with torch.no_grad():
        for name, value in numbers(model, state.optimizer).items():
            value.copy_(state.good[name])
    state.step, state.done = state.step - place - 1, state.done - place - 1
    state.retries, state.costs = state.retries + 1, Costs()
    warnings.warn(
        f"{what}; it went back to step {state.done} and takes a fifth of the step size from there; lower optimizer.lr "
        f"(now {plan.optimizer.lr:.3g}), or set optimizer.clip=1",
        DivergenceWarning,
        stacklevel=2,
    )


@torch.no_grad()
def validate(model: Trainable, examples: Source, plan: Plan) -> float:
    """The mean loss on other examples, in nats; what is drawn at random is the same each time."""
    costs, generator = Costs(), Generator(model.device)
    for number, index in enumerate(
        torch.arange(len(examples)).split(max(plan.batch_size, rows_within(500, model.shape)))
    ):
        reseed(generator, plan.random_state, Purpose.VALIDATION, number)
        with fast_products(), threads(plan.threads):
            x = model.inwards(examples[index])
            target = examples.target(x, index)
            costs.add(model.eval()(plan.corruption(x, generator), target, generator, autocast(plan.precision)))
    return costs.means()["loss"]


@torch.no_grad()
def unsound(
    model: Trainable,
    optimizer: Stepping,
    examples: Source,
    raw: Tensor,
    index: Tensor,
    losses: Mapping[str, float],
    last: bool,
) -> str | None:
    """What is not finite, of losses, weights and moments; what the last step of all leaves behind shows in no loss, and is measured.

    A moment that is infinite would hold its weight still for ever, in silence.
    """
    seen = {name: losses[name] for name in ("loss", "nll", "penalty")}
    if last:
        x = model.inwards(raw)
        seen["loss that is left"] = float(model.eval().score(x, examples.target(x, index)).total.mean())
    wrong = next((f"the {name} is {value}" for name, value in seen.items() if not math.isfinite(value)), None)
    if wrong is not None:
        return wrong
    weight, moment = model.broken(), optimizer.broken()
    return f"the weight {weight} is not finite" if weight else moment and f"the optimizer's {moment} is not finite"
