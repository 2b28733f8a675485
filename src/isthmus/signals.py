"""Being asked to stop: by the system, or by Ctrl-C. Only the command line listens."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

__all__ = ["Caught", "Terminated", "terminable"]


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised as Ctrl-C is."""


@contextmanager
def terminable() -> Iterator[None]:
    """Within, SIGTERM raises `Terminated`, for work whose finished parts are kept anyway."""

    def end(*_: object) -> None:
        raise Terminated

    here = threading.current_thread() is threading.main_thread()  # elsewhere Python allows none
    before = signal.signal(signal.SIGTERM, end) if here else None
    try:
        yield
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)


class Caught:
    """Within, SIGTERM and Ctrl-C are noted, so that what is under way can be kept; the second one ends the process at once."""

    def __init__(self) -> None:
        self.signal = 0  # the number of the one that came
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows none
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:  # somebody wants it to live on
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal:
            os._exit(128 + number)
        self.signal = number
