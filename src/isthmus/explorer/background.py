"""What takes seconds, in threads: each thing is computed once, and asked for until it is there."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread
from typing import Any, NamedTuple

from isthmus.errors import IsthmusError
from isthmus.text import sentence

__all__ = ["Background", "Progress"]


class Progress(NamedTuple):
    """How far a computation is.

    Attributes:
        state: "computing", "ready" or "failed".
        value: the result, once it is ready.
        reason: one sentence, if it failed.
    """

    state: str
    value: Any = None
    reason: str = ""


class Background:
    """Computations in threads, by name."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._progress: dict[str, Progress] = {}

    def get(self, name: str, compute: Callable[[], Any]) -> Progress:
        """How far a computation is; the first call starts it.

        Args:
            name: of the computation.
            compute: called once, in a thread of its own.
        """
        with self._lock:
            if name not in self._progress:
                self._progress[name] = Progress("computing")
                Thread(target=self._run, args=(name, compute), daemon=True).start()
            return self._progress[name]

    def _run(self, name: str, compute: Callable[[], Any]) -> None:
        try:
            progress = Progress("ready", compute())
        except IsthmusError as error:
            progress = Progress("failed", reason=str(error))
        except Exception as error:  # whatever it is, the page says it
            progress = Progress("failed", reason=sentence(f"it cannot be computed ({type(error).__name__}: {error})"))
        with self._lock:
            self._progress[name] = progress
