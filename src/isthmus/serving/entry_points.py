"""The names by which clients call models: NAME, NAME.encode, NAME.decode, NAME.impute, NAME.score, NAME.detect."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import NamedTuple, Protocol

from isthmus.serving.batching import Batcher
from isthmus.serving.request_error import RequestError
from isthmus.serving.served_model import ServedModel
from isthmus.serving.settings import Settings
from isthmus.text import printable, quoted

__all__ = ["EntryPoint", "FixedRepository", "Repository", "entry_points", "find"]

_MAIN = "reconstruct"  # what is asked by the name of the model alone


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


class EntryPoint(NamedTuple):
    """What a client calls by a name.

    Attributes:
        name: by which it is called.
        batcher: of the model.
        entry: of the model.
    """

    name: str
    batcher: Batcher
    entry: str

    @property
    def model(self) -> ServedModel:
        """The model."""
        return self.batcher.model

    def most_rows(self, settings: Settings) -> int:
        """The rows that a request may have."""
        sides = self.model.entries[self.entry]
        return settings.most_rows(max(sum(prod(port.shape) for port in ports) for ports in sides))


def entry_points(repository: Repository) -> list[EntryPoint]:
    """All that can be called."""
    found = list[EntryPoint]()
    for name in repository.names():
        try:
            batcher = repository.get(name)
        except KeyError:  # it has just gone
            continue
        for entry in batcher.model.entries:
            found.append(EntryPoint(name if entry == _MAIN else f"{name}.{entry}", batcher, entry))
    return found


def find(repository: Repository, name: str, version: str | None = None) -> EntryPoint:
    """What is called by a name.

    Args:
        repository: the models.
        name: NAME, or NAME and an entry after a dot.
        version: of the model; None: any.

    Raises:
        RequestError: there is none, or it has another version.
    """
    base, _, entry = name.rpartition(".")
    for model, asked in ((name, _MAIN), (base, entry if entry != _MAIN else "")):
        try:
            batcher = repository.get(model)
        except KeyError:
            continue
        if asked in batcher.model.entries:
            if version not in {None, batcher.model.version}:
                raise RequestError(
                    404,
                    f"the model {quoted(name)} has the version {batcher.model.version}, not {quoted(version)}: ask for that",
                )
            return EntryPoint(name, batcher, asked)
    raise RequestError(404, f"there is no model {quoted(name)}: {_listed(repository)}")


def _listed(repository: Repository) -> str:
    names = [printable(called.name) for called in entry_points(repository)]
    return f"there are {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}" if names else "no model is served"
