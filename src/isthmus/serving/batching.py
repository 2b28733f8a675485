"""Requests that are computed together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from isthmus.serving.served_model import ServedModel
from isthmus.serving.settings import Settings

__all__ = ["Batcher", "BusyError", "Computation"]

Array = NDArray[Any]


class BusyError(Exception):
    """There are too many requests: the client may try again later."""


class Computation(NamedTuple):
    """What was computed together.

    Attributes:
        entry: its name.
        requests: whose rows were computed.
        rows: that were computed.
        seconds: that it took.
    """

    entry: str
    requests: int
    rows: int
    seconds: float


class Batcher:
    """A model whose requests are joined while it computes. All methods but the constructor are called on the event loop.

    Args:
        model: the model.
        settings: the limits.
        observe: is told of each computation, on the event loop.
    """

    def __init__(
        self, model: ServedModel, settings: Settings, observe: Callable[[Computation], None] | None = None
    ) -> None:
        self.model = model

    @property
    def queued(self) -> int:
        """The number of requests that wait."""
        raise NotImplementedError

    async def submit(self, entry: str, inputs: Mapping[str, Array], deadline: float) -> list[Array]:
        """The outputs of an entry.

        Args:
            entry: its name.
            inputs: what `ServedModel.checked` returned.
            deadline: by the clock of the event loop.

        Raises:
            DataError: values are too far from those of the training data to compute with.
            BusyError: too many requests wait, or the model is closed.
            TimeoutError: the deadline has passed.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Takes no more requests, and returns when those that it has are computed."""
        raise NotImplementedError
