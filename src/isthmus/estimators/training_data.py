"""The examples of a training run, and the hashes by which resuming recognizes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from numpy.typing import NDArray

from isthmus.data.series.window_array import windows_of
from isthmus.data.statistics import Fingerprint

__all__ = ["ExampleSet", "TrainingData"]

Array = NDArray[Any]


class ExampleSet(NamedTuple):
    """Examples with what belongs to each: its context (n, context), the target (n, *shape) if it is another example, its weight and its
    group (n,).

    ``weights`` have mean 1, and are None if all are the same. ``groups`` are numbers.
    """

    examples: Array
    context: Array | None = None
    targets: Array | None = None
    weights: Array | None = None
    groups: Array | None = None

    def hash(self, examples: str | None = None) -> str:
        """A hash of everything; ``examples`` is that of the examples, if it is known."""
        first = examples or Fingerprint.of(self.examples)
        parts = {name: value for name, value in self._asdict().items() if name != "examples"}
        others = [f"{name} {Fingerprint.of(value)}" for name, value in parts.items() if value is not None]
        return hashlib.blake2b("\n".join([first, *others]).encode(), digest_size=16).hexdigest() if others else first


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The examples of a training run, and the hashes by which resuming recognizes them."""

    training: ExampleSet
    validation: ExampleSet | None
    fingerprint: str | None = None  # the hash of the training examples, if already computed

    @cached_property
    def hashes(self) -> tuple[str, str | None]:
        """The hashes of the training and the validation examples, computed at first use."""
        return self.training.hash(self.fingerprint), None if self.validation is None else self.validation.hash()

    def identity(self, stopping: bool) -> tuple[str, str | None]:
        """`hashes`, and where early stopping holds out windows of a series in time, also which of them share rows."""
        examples, validation = self.hashes
        windows = windows_of(self.training.examples)
        if windows is None or validation is not None or not stopping:
            return examples, validation
        places = (Fingerprint.of(each) for each in (windows.begins, windows.groups))
        return hashlib.blake2b("\n".join([examples, *places]).encode(), digest_size=16).hexdigest(), None
