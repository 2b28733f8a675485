"""Being asked to stop: by the system, or by Ctrl-C. Only the command line listens."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

__all__ = ["SignalHandler", "Terminated", "terminable"]


_HANGUP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()  # Windows has none


class Terminated(KeyboardInterrupt):
    """SIGTERM, or the end of the terminal (SIGHUP), raised as Ctrl-C is: with the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class SignalHandler:
    """Within, SIGTERM and Ctrl-C are noted, so that what is under way can be kept; the second one ends the process at once."""

    def __init__(self) -> None:
        self.signal = 0  # the number of the one that came

    def __enter__(self) -> Self:
        self._before = _listen(self._note, signal.SIGINT, signal.SIGTERM)
        return self

    def __exit__(self, *_: object) -> None:
        _listen_no_more(self._before)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal:
            os._exit(128 + number)
        self.signal = number


@contextmanager
def terminable() -> Iterator[list[int]]:
    """Within, SIGTERM and SIGHUP raise `Terminated`, so that nothing half-written stays; the numbers of those that came."""
    heard: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        heard.append(number)
        raise Terminated(number)

    before = _listen(end, signal.SIGTERM, *_HANGUP)
    try:
        yield heard
    finally:
        _listen_no_more(before)


def _listen(answer: Callable[[int, FrameType | None], None], *numbers: int) -> dict[int, Any]:
    """Lets a function answer these signals; returns who answered those that it answers now."""
    if threading.current_thread() is not threading.main_thread():  # elsewhere Python allows none
        return {}
    # one that is ignored stays so: somebody wants the process to live on; None is a library's, which Python cannot put back
    heard = [number for number in numbers if signal.getsignal(number) not in {signal.SIG_IGN, None}]
    return {number: signal.signal(number, answer) for number in heard}


def _listen_no_more(before: dict[int, Any]) -> None:
    for number, answer in before.items():
        signal.signal(number, answer)
