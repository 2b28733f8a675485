"""The engine: a generator of reports. The caller prints, saves, draws or stops.

The order of examples is a function of (random_state, epoch) alone and all noise of (random_state, step): the global generators are
neither read nor written, and nobody else's drawing changes anything. Losses stay on the device until a report is due.
"""

from __future__ import annotations

import collections.abc
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from isthmus.corruptions import Corruption
from isthmus.data.examples import give_pages_back
from isthmus.devices import fast_products, keep_memory
from isthmus.errors import DivergenceError
from isthmus.model import Losses, Model
from isthmus.optimizers import Optimizer, Stepping

__all__ = [
    "Plan",
    "Report",
    "Reports",
    "Resident",
    "Source",
    "State",
    "Streamed",
    "best_kept",
    "copied",
    "rows_within",
    "seeded",
    "train",
    "validate",
]

_FETCHED = 2048  # examples
_TOGETHER = 2**21  # numbers of examples that pass through a model at once, whose layers make many of each

Precision = Literal["auto", "float32", "bfloat16", "float64"]


class Source(Protocol):
    """Examples in raw units that can be gathered by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Tensor:
        """The examples at some places, on the device."""


class Resident:
    """Examples that live on the device, in the narrowest type."""

    def __init__(self, examples: NDArray[np.generic], device: torch.device) -> None:
        self.tensor = torch.from_numpy(np.require(native(examples), requirements=["C", "W"])).to(device)

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.tensor.index_select(0, index.to(self.tensor.device))


class Streamed:
    """Examples that stay in a file and are read a batch at a time."""

    def __init__(self, examples: NDArray[np.generic], device: torch.device) -> None:
        self.examples, self.device = examples, device

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Tensor) -> Tensor:
        rows = np.asarray(self.examples[index.cpu().numpy()])
        give_pages_back(self.examples)
        return torch.from_numpy(native(rows)).to(self.device)


@dataclass(frozen=True)
class Plan:
    """How to train: what is spoilt, how weights move, how long, in batches of how many, from which random state."""

    corruption: Corruption
    optimizer: Optimizer
    epochs: float
    batch_size: int
    random_state: int
    precision: Precision = "float32"


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


class Purpose(IntEnum):
    """What random numbers are for: each purpose has streams of its own."""

    WEIGHTS = 0
    ORDER = 1
    NOISE = 2
    ONCE = 3
    VALIDATION = 4
    SPLIT = 5
    SAMPLE = 6


def seeded(device: torch.device | str, random_state: int, purpose: Purpose, number: int = 0) -> Generator:
    """A generator of its own for one purpose and one step, epoch or example."""
    return reseed(Generator(device), random_state, purpose, number)


def reseed(generator: Generator, random_state: int, purpose: Purpose, number: int) -> Generator:
    """The generator set to the beginning of a stream."""
    generator.manual_seed(
        int(np.random.SeedSequence((random_state, purpose, number)).generate_state(1, np.uint64)[0] >> 1)
    )
    return generator


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
    device, dtype, b = model.shift.device, autocast(plan.precision), plan.batch_size
    state = State() if state is None else state
    if state.optimizer is None:
        state.optimizer = plan.optimizer.build(model.parameters())
    per_epoch = math.ceil(len(examples) / b)
    steps = max(1, round(plan.epochs * per_epoch))
    keep_memory()
    spoil = Spoiling(model, examples, plan)
    draws = spoil.draws or model.bottleneck.draws or model.draws
    generator, began, costs = Generator(device), time.perf_counter(), Costs()
    for step in range(steps):
        place = step % per_epoch
        if place == 0:
            costs = Costs()
            order = seeded("cpu", plan.random_state, Purpose.ORDER, state.epoch)
            batches = gathered(examples, torch.randperm(len(examples), generator=order), b)
        raw, index = next(batches)
        rate = plan.optimizer.lr * plan.optimizer.schedule(step / steps)
        if draws:
            reseed(generator, plan.random_state, Purpose.NOISE, state.step)
        if not model.training:  # a report may have been looked at
            model.train()
        with fast_products():
            x = model.inwards(raw)
            losses = model(spoil(x, index, generator), x, generator, dtype)
            descend(model, state.optimizer, losses, plan.optimizer, rate)
        costs.add(losses)
        state.step += 1
        complete = place == per_epoch - 1 or step == steps - 1
        state.epoch += complete
        if complete or (every is not None and (step + 1) % every == 0):
            means = costs.means()
            check_sound(model, x, means, step + 1, steps, rate)
            valid = validate(model, validation, plan) if complete and validation is not None else None
            nll, penalty, loss = means.pop("nll"), means.pop("penalty"), means.pop("loss")
            epoch, seconds = state.epoch + (not complete), time.perf_counter() - began
            yield Report(epoch, step + 1, steps, seconds, loss, nll, penalty, valid, rate, complete, means)


def gathered(examples: Source, order: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The examples in an order, batch by batch, with their places; some batches are fetched together, which is faster."""
    together = batch_size * max(1, _FETCHED // batch_size)
    for places in order.split(together):
        yield from zip(examples[places].split(batch_size), places.split(batch_size), strict=True)


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


def descend(model: Model, optimizer: Stepping, losses: Losses, record: Optimizer, rate: float) -> None:
    """One step against the gradient of the mean loss."""
    count = len(losses.nll)
    weight = {"example": 1 / count, "feature": 1 / (count * math.prod(model.shape)), "batch": 1.0}[record.per]
    optimizer.zero_grad()
    parts = [part for part in (losses.nll, losses.penalty) if part.requires_grad]
    torch.autograd.backward(parts, [torch.full_like(part, weight) for part in parts])
    if record.clip is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), record.clip)
    optimizer.step(rate)


class Spoiling:
    """Applies the corruption: fresh in each step, or the same for an example each time."""

    def __init__(self, model: Model, examples: Source, plan: Plan) -> None:
        self.corruption, self.random_state = plan.corruption, plan.random_state
        self.copy: Tensor | None = None
        self.draws = plan.corruption.draws and not plan.corruption.once
        if plan.corruption.once and isinstance(examples, Resident):
            everything = torch.arange(len(examples)).split(plan.batch_size)
            self.copy = torch.cat([self._once(model.inwards(examples[index]), index) for index in everything])

    def __call__(self, x: Tensor, index: Tensor, generator: Generator) -> Tensor:
        if self.copy is not None:
            return self.copy.index_select(0, index.to(x.device))
        return self._once(x, index) if self.corruption.once else self.corruption(x, generator)

    def _once(self, x: Tensor, index: Tensor) -> Tensor:
        """Each example with its own stream, so that it is spoilt the same way in whatever batch it comes."""
        generator = Generator(x.device)
        numbers = zip(x.split(1), index.tolist(), strict=True)
        return torch.cat(
            [self.corruption(row, reseed(generator, self.random_state, Purpose.ONCE, i)) for row, i in numbers]
        )


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
def check_sound(model: Model, x: Tensor, losses: Mapping[str, float], step: int, steps: int, lr: float) -> None:
    """`DivergenceError` if the losses are not finite; what the last step of all leaves behind shows in none of them, and is measured."""
    seen = {name: losses[name] for name in ("loss", "nll", "penalty")}
    if step == steps:
        seen["loss that is left"] = float(model.eval().score(x, x).total.mean())
        seen["weight " + (model.broken() or "")] = math.nan if model.broken() else 0.0
    wrong = next((f"the {name} is {value}" for name, value in seen.items() if not math.isfinite(value)), None)
    if wrong is not None:
        raise DivergenceError(
            f"{wrong} at step {step} of {steps}: training diverged; lower optimizer.lr (now {lr:.3g}), "
            "or set optimizer.clip=1, or check the scaling"
        )


def rows_within(most: int, shape: tuple[int, ...]) -> int:
    """How many examples of a shape to look at together: as many as asked for, but of large ones only so many as memory bears."""
    return max(1, min(most, _TOGETHER // math.prod(shape)))


def autocast(precision: Precision) -> torch.dtype | None:
    """The type that products and convolutions are computed in, where it is not the model's own."""
    return torch.bfloat16 if precision == "bfloat16" else None


def native(examples: NDArray[np.generic]) -> NDArray[np.generic]:
    """The examples in a type that PyTorch computes with."""
    wider = {"u2": np.int32, "u4": np.int64, "u8": np.float64}.get(examples.dtype.str[1:])
    return examples if wider is None else examples.astype(wider)
