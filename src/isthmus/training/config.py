"""The settings of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from isthmus.augmentations import Augmentation, NoAugmentation
from isthmus.corruptions import Corruption
from isthmus.errors import RecordError
from isthmus.optimizers import Optimizer
from isthmus.text import quoted

__all__ = ["Precision", "TrainingConfig", "autocast"]

Precision = Literal["auto", "float32", "bfloat16", "float64"]

NO_AUGMENTATION = NoAugmentation()
_MAX_EPOCHS, _MAX_TOL = 1e9, 1e300  # a run with more epochs never ends; near the largest float, differences are lost


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a training run: augmentation, corruption, optimizer, length, batch size, random state, precision and threads."""

    corruption: Corruption
    optimizer: Optimizer
    epochs: float
    batch_size: int
    random_state: int
    precision: Precision = "float32"
    patience: int | None = None  # stop after this many epochs without an improvement by ``tol`` nats
    tol: float = 0.0
    augmentation: Augmentation = NO_AUGMENTATION
    threads: int | None = None  # CPU threads; None: PyTorch's setting
    adaptive_threads: bool = False  # one thread while other programs need the processor: the bits must not depend on it
    scheduled: bool = True  # whether the schedules of penalties apply; else they have their full weight

    def __post_init__(self) -> None:
        for name, value, limit in (("epochs", self.epochs, _MAX_EPOCHS), ("tol", self.tol, _MAX_TOL)):
            if not value <= limit:
                raise RecordError(f"invalid {name}={quoted(value, 20)}: expected at most {limit:g}")

    def steps(self, n: int) -> int:
        """The number of steps of a run on n examples."""
        return max(1, round(self.epochs * math.ceil(n / self.batch_size)))


def autocast(precision: Precision) -> torch.dtype | None:
    """The dtype of autocast for matrix products and convolutions; None: the dtype of the model."""
    return torch.bfloat16 if precision == "bfloat16" else None
