"""The names by which clients call models: NAME, NAME.encode, NAME.decode, NAME.impute, NAME.score, NAME.detect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from isthmus.serving.batching import Batcher
from isthmus.serving.served_model import ServedModel
from isthmus.serving.settings import Settings

__all__ = ["FixedRepository", "Repository"]


class Repository(Protocol):
    """The models of a server, which may change while it runs."""

    def names(self) -> list[str]:
        """The names of the models."""

    def get(self, name: str) -> Batcher:
        """A model.

        Raises:
            KeyError: there is none of this name.
        """

    def ready(self) -> bool:
        """Whether requests are answered."""


class FixedRepository:
    """Models that stay.

    Args:
        models: the models.
        settings: the limits.
    """

    def __init__(self, models: Iterable[ServedModel], settings: Settings) -> None:
        self._models = {model.name: Batcher(model, settings) for model in models}

    def names(self) -> list[str]:
        """The names of the models."""
        return list(self._models)

    def get(self, name: str) -> Batcher:
        """A model.

        Raises:
            KeyError: there is none of this name.
        """
        return self._models[name]

    def ready(self) -> bool:
        """Whether requests are answered."""
        return True
