"""One step of training: spoil, reconstruct, move the weights. On a GPU all of it is recorded once, and replayed as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Generator, Tensor

from isthmus.corruptions import Corruption
from isthmus.devices import fast_products, threads
from isthmus.errors import RecordError
from isthmus.model import Losses, Trainable
from isthmus.optimizers import Optimizer, Stepping
from isthmus.randomness import Purpose, reseed
from isthmus.redirection import drawing_again
from isthmus.sources import Resident, Source

__all__ = ["Plan", "Precision", "Spoiling", "Step", "autocast"]

Precision = Literal["auto", "float32", "bfloat16", "float64"]
Work: TypeAlias = Callable[[Tensor, Tensor, "float | Tensor"], Losses]

_EPOCHS, _TOL = 1e9, 1e300  # beyond, nothing ends and nothing can be told apart
_EAGER = 5  # steps before one is recorded: libraries choose their kernels and take their memory meanwhile


@dataclass(frozen=True)
class Plan:
    """How to train: what is spoilt, how weights move, how long, in batches of how many, from which random state, on
    how many threads."""

    corruption: Corruption
    optimizer: Optimizer
    epochs: float
    batch_size: int
    random_state: int
    precision: Precision = "float32"
    patience: int | None = None  # epochs without an improvement by ``tol`` nats, after which it stops
    tol: float = 0.0
    threads: int | None = None  # of the processor; None: as many as PyTorch is set to

    def __post_init__(self) -> None:
        for name, value, most in (("epochs", self.epochs, _EPOCHS), ("tol", self.tol, _TOL)):
            if not value <= most:
                given = f"{value:g}" if isinstance(value, float) else f"a number of {len(str(value))} digits"
                raise RecordError(f"{name}: {given} cannot be: give {most:g} at most")

    def steps(self, n: int) -> int:
        """Of a round on n examples."""
        return max(1, round(self.epochs * math.ceil(n / self.batch_size)))


class Step:
    """Steps of one round of training, each on a batch; the noise of a step is a function of (random_state, its number) alone.

    On CUDA the fifth step and those after it are replayed from a recording: a whole step is one launch. What cannot be recorded (a batch
    of another size, layers that draw from the global generators, modules of the user's) is done as on any other device.
    """

    def __init__(self, model: Trainable, examples: Source, plan: Plan, optimizer: Stepping) -> None:
        self.model, self.examples, self.plan, self.optimizer = model, examples, plan, optimizer
        self.device = model.device
        self.generator = Generator(self.device)
        self.spoil = Spoiling(model, examples, plan)
        self.draws = self.spoil.draws or model.draws
        self.recording: Recording | None = None
        self.eager = _EAGER if self.spoil.records and recordable(model) else math.inf

    def __call__(self, raw: Tensor, index: Tensor, number: int, rate: float) -> Losses:
        """One step on raw examples (b, *shape) of some places in the data; what it cost, without a graph."""
        if self.draws:
            reseed(self.generator, self.plan.random_state, Purpose.NOISE, number)
        index = index.to(self.device)
        if (
            self.device.type == "cuda" and self.eager < math.inf and self.recording is None
        ):  # as the recording will have it
            rate = torch.full((), rate, dtype=torch.float32, device=self.device)  # type: ignore[assignment]
        if self.eager <= 0 and self.recording is None and len(raw) == self.plan.batch_size:
            self._record(raw, index)
        if self.recording is not None and len(raw) == self.plan.batch_size:
            return self.recording(raw, index, rate)
        self.eager -= 1
        return self._work(raw, index, rate)

    def _work(self, raw: Tensor, index: Tensor, rate: float | Tensor) -> Losses:
        model = self.model
        with fast_products(), threads(self.plan.threads):
            x = model.inwards(raw)
            spoilt, target = self.spoil(x, index, self.generator), self.examples.target(x, index)
            losses: Losses = model(spoilt, target, self.generator, autocast(self.plan.precision))
            self._descend(losses, rate)
        stats = {name: value.detach() for name, value in losses.stats.items()}
        return Losses(losses.nll.detach(), losses.penalty.detach(), stats)

    def _descend(self, losses: Losses, rate: float | Tensor) -> None:
        """Moves the weights against the gradient of the mean loss."""
        count, record = len(losses.nll), self.plan.optimizer
        weight = {"example": 1 / count, "feature": 1 / (count * math.prod(self.model.shape)), "batch": 1.0}[record.per]
        self.optimizer.zero_grad()
        parts = [part for part in (losses.nll, losses.penalty) if part.requires_grad]
        if parts:  # as one number: for gradients of its own, PyTorch imports half a second of symbols
            total = torch.dot(sum(parts[1:], parts[0]), torch.full_like(parts[0], weight))
            with drawing_again():
                total.backward()
        if record.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), record.clip)
        self.optimizer.step(rate)

    def _record(self, raw: Tensor, index: Tensor) -> None:
        try:
            self.recording = Recording(self._work, raw, index, self.generator)
        except RuntimeError:  # something within makes the host wait: then every step is done anew
            self.eager = math.inf


class Recording:
    """A step as a CUDA graph: fixed tensors that a batch is copied into, and fixed ones that its costs come out of.

    Raises:
        RuntimeError: the step cannot be recorded.
    """

    def __init__(self, work: Work, raw: Tensor, index: Tensor, generator: Generator) -> None:
        self.raw, self.index = raw.clone(), index.clone()
        self.rate = torch.zeros((), dtype=torch.float32, device=raw.device)
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(generator)
        with torch.cuda.graph(self.graph):
            self.losses = work(self.raw, self.index, self.rate)

    def __call__(self, raw: Tensor, index: Tensor, rate: float) -> Losses:
        """The step on another batch of the same size."""
        self.raw.copy_(raw)
        self.index.copy_(index)
        self.rate.fill_(rate)
        self.graph.replay()
        return self.losses


def recordable(model: Trainable) -> bool:
    """Whether a step of the model may be recorded: on CUDA, and of parts that we know."""
    return model.device.type == "cuda" and model.records


class Spoiling:
    """Applies the corruption: fresh in each step, or the same for an example each time."""

    def __init__(self, model: Trainable, examples: Source, plan: Plan) -> None:
        self.corruption, self.random_state = plan.corruption, plan.random_state
        self.copy: Tensor | None = None
        self.draws = plan.corruption.draws and not plan.corruption.once
        if plan.corruption.once and isinstance(examples, Resident):
            everything = torch.arange(len(examples)).split(plan.batch_size)
            self.copy = torch.cat([self._once(model.inwards(examples[index]), index) for index in everything])
        self.records = self.copy is not None or not plan.corruption.once

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


def autocast(precision: Precision) -> torch.dtype | None:
    """The type that products and convolutions are computed in, where it is not the model's own."""
    return torch.bfloat16 if precision == "bfloat16" else None
