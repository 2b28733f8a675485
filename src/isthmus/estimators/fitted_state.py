"""The fitted attributes of an autoencoder, in one object. Training replaces it as a whole, so an error never leaves it half changed."""

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
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.errors import NotPossibleError
from isthmus.estimators.checkpoint import ResumeState
from isthmus.estimators.context import ContextEncoding
from isthmus.estimators.training_data import TrainingData
from isthmus.model import Model
from isthmus.training.config import Precision
from isthmus.training.state import Report, State, end_run

__all__ = ["PICKLE_DEVICE", "FittedAttribute", "FittedAttributes", "move_to_cpu"]

PICKLE_DEVICE = "cpu"  # the type of device whose tensors any machine can unpickle

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class FittedAttributes:
    """The result of training.

    Attributes:
        records: the resolved components, by name.
        kind: the meaning of the axes of examples.
        columns: the names of the features, None if the examples had none.
        context: the encoding of y, None if no component uses y.
        table: how the columns of a table become features, None for numbers alone and other data.
        state: the state from which further training continues.
        data: the examples of the current training run. They are neither copied nor pickled.
        interrupted: the interrupted training run of a loaded checkpoint.
        training: the lock of the current training run, which is held while the weights change.
        loaded: whether the model comes from a file. Its memory is then limited, since the file may come from a stranger.
        max_memory: the limit in bytes that the user gave on loading, None for the default.
    """

    model: Model
    records: Mapping[str, Any]
    shape: tuple[int, ...]
    code_shape: tuple[int, ...]
    kind: Kind
    precision: Precision
    seed: int
    columns: NDArray[np.object_] | None = None
    context: ContextEncoding | None = None
    table: TableEncoding | None = None
    history: tuple[Report, ...] = ()
    seconds: float = 0.0
    state: State = field(default_factory=State)
    data: TrainingData | None = None
    interrupted: ResumeState | None = None
    training: AbstractContextManager[Any] | None = None
    loaded: bool = False
    max_memory: int | None = None

    def context_rows(self, y: Any, count: int, complete: bool) -> NDArray[Any]:
        """The context (n, context) that y means, in the dtype of the weights; ``complete``: a missing label is an error."""
        assert self.context is not None
        rows = self.context.encode(y, count, complete)
        return rows.astype(np.float64) if self.model.dtype == torch.float64 else rows

    def weights_locked(self) -> AbstractContextManager[Any]:
        """A context in which no training step changes the weights."""
        return self.training or nullcontext()

    def copy_for_training(self) -> Self:
        """A copy with its own model and optimizer, to be trained further. An unfinished training run is ended in the copy."""
        with self.weights_locked():
            model, state = self._copy(self.state)
        end_run(model, state)
        if model.update_variables():  # the parameters have changed, so the optimizer's moments no longer fit
            state.optimizer = None
        return replace(self, model=model.eval(), state=state, data=None, interrupted=None, training=None)

    def copy_for_resuming(self) -> Self:
        """A copy with its own model and optimizer, in the state of the interrupted training run."""
        assert self.interrupted is not None
        model, state = self._copy(self.interrupted.state)
        return replace(self, model=model, state=state, interrupted=None)

    def _copy(self, state: State) -> tuple[Model, State]:
        """Copies model and state together, since they share parameters. The records are immutable and not copied."""
        try:
            return deepcopy((self.model, state), {id(record): record for record in self.records.values()})
        except (RuntimeError, TypeError) as error:
            raise NotPossibleError(
                f"the user-defined modules cannot be copied, and training requires a copy ({error}); keep only weights in them"
            ) from None

    def tensors(self) -> Iterator[Tensor]:
        """All tensors: of the model, of the state, and of an interrupted training run."""
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
        if self.model.device.type == PICKLE_DEVICE:
            return self._without_training()
        moved = deepcopy(self)
        move_to_cpu(moved.tensors())
        if moved.interrupted is not None:
            moved.interrupted.device = PICKLE_DEVICE
        return vars(moved)

    def _without_training(self) -> dict[str, Any]:
        return vars(self) | {"data": None, "training": None}


def move_to_cpu(tensors: Iterable[Tensor]) -> None:
    """Moves tensors to the CPU in place, so that a machine without a GPU can unpickle them."""
    for tensor in tensors:
        moved = tensor.detach().to(PICKLE_DEVICE)
        if isinstance(tensor, nn.Parameter):
            moved = nn.Parameter(moved, tensor.requires_grad)
        torch.utils.swap_tensors(tensor, moved)


class FittedAttribute(Generic[T]):
    """An attribute such as ``model_``, read from the fitted attributes. It does not exist if `read` returns None."""

    def __init__(self, read: Callable[[FittedAttributes], T | None]) -> None:
        self.read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, estimator: Any, owner: type | None = None) -> T:
        if estimator is None:
            return self  # type: ignore[return-value]  # accessed on the class
        value = None if estimator._fitted is None else self.read(estimator._fitted)
        if value is None:
            raise AttributeError(f"'{type(estimator).__name__}' object has no attribute '{self.name}'")
        return value

    def __set__(self, estimator: Any, value: Any) -> NoReturn:
        raise AttributeError(f"{self.name} is read-only: only training sets it")
