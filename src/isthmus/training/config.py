"""How to train: everything that a round of training is told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from isthmus.corruptions import Corruption
from isthmus.errors import RecordError
from isthmus.optimizers import Optimizer

__all__ = ["Precision", "TrainingConfig", "autocast"]

Precision = Literal["auto", "float32", "bfloat16", "float64"]

_EPOCHS, _TOL = 1e9, 1e300  # beyond, nothing ends and nothing can be told apart


@dataclass(frozen=True)
class TrainingConfig:
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


def autocast(precision: Precision) -> torch.dtype | None:
    """The type that products and convolutions are computed in, where it is not the model's own."""
    return torch.bfloat16 if precision == "bfloat16" else None
