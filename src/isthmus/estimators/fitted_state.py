"""The fitted attributes of an autoencoder, in one object: training replaces it as a whole, and an error at any point replaces nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NoReturn, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isthmus.data.kinds import Kind
from isthmus.errors import NotPossibleError
from isthmus.estimators.checkpoint import ResumeState, TrainingData
from isthmus.model import Model
from isthmus.training.config import Precision
from isthmus.training.state import Report, State, end_run

__all__ = ["PICKLED", "FittedAttribute", "FittedAttributes", "to_processor"]

PICKLED = "cpu"  # the kind of device whose tensors any machine can unpickle

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class FittedAttributes:
    """All that a training leaves.

    Attributes:
        records: the choices, by slot.
        kind: what the axes of examples mean.
        columns: the names of the columns, if the examples had any.
        state: what another round of training continues from.
        data: the examples of a round that is under way; they are not copied and not pickled.
        interrupted: the round that a checkpoint was taken of.
        training: where a round is under way, the lock that is held while the weights move.
        loaded: whether a file brought them: others may have chosen how much memory that asks for.
        max_memory: how many bytes a person allowed it then.
    """

    model: Model
    records: Mapping[str, Any]
    shape: tuple[int, ...]
    code_shape: tuple[int, ...]
    kind: Kind
    precision: Precision
    seed: int
    columns: NDArray[np.object_] | None = None
    history: tuple[Report, ...] = ()
    seconds: float = 0.0
    state: State = field(default_factory=State)
    data: TrainingData | None = None
    interrupted: ResumeState | None = None
    training: AbstractContextManager[Any] | None = None
    loaded: bool = False
    max_memory: int | None = None

    def at_rest(self) -> AbstractContextManager[Any]:
        """Within, the weights do not move."""
        return self.training or nullcontext()

    def another_round(self) -> Self:
        """The same with a model and an optimizer of its own, to be trained; a round that was left is over there."""
        with self.at_rest():
            model, state = self._copied(self.state)
        end_run(model, state)
        if model.renew():  # what was a parameter has moments that fit no more
            state.optimizer = None
        return replace(self, model=model.eval(), state=state, data=None, interrupted=None, training=None)

    def resumed(self) -> Self:
        """The same with a model and an optimizer of its own, in the middle of the round that was interrupted."""
        assert self.interrupted is not None
        model, state = self._copied(self.interrupted.state)
        return replace(self, model=model, state=state, interrupted=None)

    def _copied(self, state: State) -> tuple[Model, State]:
        """Model and state, which share their parameters; the records, which never change, are not copied."""
        try:
            return deepcopy((self.model, state), {id(record): record for record in self.records.values()})
        except (RuntimeError, TypeError) as error:
            raise NotPossibleError(
                f"the own modules cannot be copied, and training works on a copy ({error}); keep only weights in them"
            ) from None

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor in it."""
        yield from self.model.parameters()
        yield from self.model.buffers()
        yield from self.state.tensors()
        if self.interrupted is not None:
            yield from self.interrupted.state.tensors()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = object.__new__(type(self))
        vars(copied).update(deepcopy(self._without_training(), memo))
        return copied

    def __getstate__(self) -> dict[str, Any]:
        if self.model.device.type == PICKLED:
            return self._without_training()
        moved = deepcopy(self)
        to_processor(moved.tensors())
        if moved.interrupted is not None:
            moved.interrupted.device = PICKLED
        return vars(moved)

    def _without_training(self) -> dict[str, Any]:
        return vars(self) | {"data": None, "training": None}


def to_processor(tensors: Iterable[Tensor]) -> None:
    """Moves tensors, in place, to where any machine can unpickle them: a GPU may be missing there."""
    for tensor in tensors:
        moved = tensor.detach().to(PICKLED)
        if isinstance(tensor, nn.Parameter):
            moved = nn.Parameter(moved, tensor.requires_grad)
        torch.utils.swap_tensors(tensor, moved)


class FittedAttribute(Generic[T]):
    """An attribute such as ``model_``, which is read from what the last training left; None stands for one that is not there."""

    def __init__(self, read: Callable[[FittedAttributes], T | None]) -> None:
        self.read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, estimator: Any, owner: type | None = None) -> T:
        if estimator is None:
            return self  # type: ignore[return-value]  # asked of the class
        value = None if estimator._fitted is None else self.read(estimator._fitted)
        if value is None:
            raise AttributeError(f"'{type(estimator).__name__}' object has no attribute '{self.name}'")
        return value

    def __set__(self, estimator: Any, value: Any) -> NoReturn:
        raise AttributeError(f"{self.name} is what training left; only training sets it")
