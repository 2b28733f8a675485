"""Where training stands, and what it reports of that."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import TypeAlias

import torch
from torch import Tensor

from isthmus.errors import RecordError
from isthmus.model import Losses, Trainable
from isthmus.optimizers import OptimizerState
from isthmus.text import quoted

__all__ = ["Best", "Costs", "Report", "ReportEvery", "Reports", "State", "check_every", "due", "end_round"]


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
    val_loss: float | None
    lr: float
    complete: bool  # whether the epoch, or training, is over
    stats: Mapping[str, float] = field(default_factory=dict)
    layer: int | None = None  # that is trained alone, from 1; None where all are

    @classmethod
    def of(
        cls, state: State, steps: int, means: Mapping[str, float], val_loss: float | None, lr: float, complete: bool
    ) -> Report:
        """Of where a round stands, and of the mean costs since its epoch began."""
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
ReportEvery: TypeAlias = "int | Callable[[int], bool] | None"  # each so many steps, or a question asked after each


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
    optimizer: OptimizerState | None = None
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


def end_round(model: Trainable, state: State) -> None:
    """Leaves the best weights in the model, and of the state what the next round goes on from."""
    if state.best is not None and state.best.weights:
        model.load_state_dict(state.best.weights)
    state.done, state.seconds, state.retries = 0, 0.0, 0
    state.costs, state.good, state.best = Costs(), {}, None


def check_every(every: ReportEvery) -> None:
    """`RecordError` unless it says when to report."""
    if not (every is None or callable(every) or (isinstance(every, Integral) and int(every) > 0)):
        raise RecordError(
            f"every={quoted(every)} cannot be: give a number of steps from 1 on, a function of it, or None"
        )


def due(every: ReportEvery, done: int) -> bool:
    """Whether a report is wanted after so many steps."""
    if callable(every):
        return every(done)
    return every is not None and done % every == 0
