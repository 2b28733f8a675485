"""The state of a training run, and its reports."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import TypeAlias

import torch
from torch import Tensor

from isthmus.errors import RecordError
from isthmus.optimizer_state import OptimizerState
from isthmus.text import quoted
from isthmus.trainable import Losses, Trainable

__all__ = ["Best", "Costs", "Report", "ReportEvery", "Reports", "State", "check_every", "end_run", "report_due"]


@dataclass(frozen=True)
class Report:
    """Progress of a training run, and mean losses since the start of the epoch, in nats per example.

    ``loss`` is ``nll`` + ``penalty``. With a schedule, such as a warm-up, ``penalty`` has the factor of each step. ``val_loss`` has the
    bottleneck's penalty at its full weight in every epoch, so that early stopping compares like with like, and no terms of ``penalty=``,
    which belong to training. In a warm-up it is therefore above ``loss`` for this reason alone.
    """

    epoch: int  # the current epoch, from 1
    step: int
    steps: int
    seconds: float
    loss: float
    nll: float
    penalty: float
    val_loss: float | None
    lr: float
    complete: bool  # whether the epoch, or training, has ended
    stats: Mapping[str, float] = field(default_factory=dict)
    layer: int | None = None  # the layer in layer-wise training, from 1; None: the whole model

    @classmethod
    def of(
        cls, state: State, steps: int, means: Mapping[str, float], val_loss: float | None, lr: float, complete: bool
    ) -> Report:
        """The report of a state. ``means`` are the mean losses and statistics since the start of the epoch."""
        stats = {name: mean for name, mean in means.items() if name not in {"loss", "nll", "penalty"}}
        return cls(
            epoch=state.epoch + (not complete),
            step=state.done,
            steps=steps,
            seconds=state.seconds,
            loss=means["loss"],
            nll=means["nll"],
            penalty=means["penalty"],
            val_loss=val_loss,
            lr=lr,
            complete=complete,
            stats=stats,
        )


Reports: TypeAlias = "collections.abc.Generator[Report, None, None]"
ReportEvery: TypeAlias = "int | Callable[[int], bool] | None"  # the steps between reports, or a function of the step


class Costs:
    """Sums of losses on the device, in double precision. The host reads them once per report."""

    def __init__(self, count: int = 0, batches: int = 0, sums: Mapping[str, Tensor] | None = None) -> None:
        self.count, self.batches, self.sums = count, batches, dict(sums or {})

    def add(self, losses: Losses) -> None:
        """Adds one batch, which must not be larger than the first."""
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
    """The lowest validation loss so far, its epoch and its weights."""

    loss: float
    epoch: int
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class State:
    """The state of training: counts over all runs and the optimizer, for a warm start, and the progress of the current run."""

    epoch: int = 0  # epochs and steps of all runs
    step: int = 0
    optimizer: OptimizerState | None = None  # None: a new one is built
    done: int = 0  # steps of the current run, as are all fields below
    seconds: float = 0.0
    retries: int = 0  # recoveries from divergence
    costs: Costs = field(default_factory=Costs)  # since the start of the epoch
    good: dict[str, Tensor] = field(default_factory=dict)  # tensors of model and optimizer at the start of the epoch
    best: Best | None = None
    threads: int | None = None

    @property
    def position(self) -> tuple[object, ...]:
        """Where the training stands; processes that stand elsewhere would not take the same steps."""
        best = None if self.best is None else (self.best.loss, self.best.epoch, len(self.best.weights))
        return self.epoch, self.step, self.done, self.retries, self.costs.count, best

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor of the state; the model's own weights are not among them."""
        yield from () if self.optimizer is None else self.optimizer.tensors().values()
        yield from (*self.costs.sums.values(), *self.good.values())
        yield from () if self.best is None else self.best.weights.values()


def end_run(model: Trainable, state: State) -> None:
    """Restores the best weights, and resets the fields of the current run."""
    if state.best is not None and state.best.weights:
        model.load_state_dict(state.best.weights)
    state.done, state.seconds, state.retries = 0, 0.0, 0
    state.costs, state.good, state.best = Costs(), {}, None


def check_every(every: ReportEvery) -> None:
    """Raises `RecordError` unless ``every`` is valid."""
    if not (every is None or callable(every) or (isinstance(every, Integral) and int(every) > 0)):
        raise RecordError(
            f"invalid every={quoted(every)}: expected a number of steps of at least 1, a function of the step, or None"
        )


def report_due(every: ReportEvery, done: int) -> bool:
    """Whether a report is due after this many steps."""
    if callable(every):
        return every(done)
    return every is not None and done % every == 0
