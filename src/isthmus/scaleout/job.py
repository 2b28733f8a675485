"""What is computed, with which model: one record for all tasks, which goes to each worker as JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

from isthmus.data.options import ReadOptions

__all__ = ["FORMAT", "VERBS", "Job", "Verb", "hash_of", "sha256_of"]

Verb = Literal["encode", "score", "detect", "reconstruct"]

VERBS: tuple[Verb, ...] = get_args(Verb)
FORMAT = 1  # of the results: a new number makes all of them again
_BLOCK = 1 << 20  # bytes


class Job(NamedTuple):
    """The computation that all tasks share.

    Attributes:
        verb: what is computed.
        run: as the user named it, for messages.
        model: the model file, or the exported folder.
        sha256: of the model file, or of the description of the exported folder.
        runtime: "torch" for a model file, "onnx" for an exported folder.
        options: the options of reading that the user gave or the run has, by name.
        arguments: further arguments of the computation, by name.
        keep: the columns that are copied to the results.
        out: the folder of the results.
        threads: of each process.
    """

    verb: Verb
    run: str
    model: str
    sha256: str
    runtime: Literal["torch", "onnx"]
    options: dict[str, Any]
    arguments: dict[str, Any]
    keep: tuple[str, ...]
    out: str
    threads: int = 1

    @property
    def read_options(self) -> ReadOptions:
        """The options of reading."""
        return ReadOptions(**self.options)

    def identity(self) -> dict[str, Any]:
        """What the values of the results depend on, besides the rows."""
        return {
            "format": FORMAT,
            "verb": self.verb,
            "runtime": self.runtime,
            "model": self.sha256,
            "options": self.options,
            "arguments": self.arguments,
            "keep": list(self.keep),
        }

    def to_json(self) -> str:
        """All fields as one line."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record of `to_json`."""
        fields = json.loads(text)
        return cls(**fields | {"keep": tuple(fields["keep"])})


def hash_of(described: dict[str, Any]) -> str:
    """The SHA-256 of plain values, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of the content of a file, as hexadecimal digits."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
