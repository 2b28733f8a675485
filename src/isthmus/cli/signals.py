"""SIGTERM, SIGHUP and Ctrl-C. Only the command line handles signals."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from isthmus.cli.console import fail

__all__ = ["SignalHandler", "Terminated", "resumed_by_same_command", "termination_as_exception"]


_HANGUP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()  # Windows does not have it


_ONE = 0.3  # seconds in which signals are one


class Terminated(KeyboardInterrupt):
    """SIGTERM, or SIGHUP when the terminal closes, as an exception with the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class SignalHandler:
    """Records SIGTERM and Ctrl-C inside the context, so that a checkpoint can be saved. A second signal ends the process at once.

    Signals within 0.3 seconds are one: schedulers stop all processes of a job, and torchrun hands on to its own what it got.
    """

    def __init__(self) -> None:
        self.signal = 0  # the number of the received signal

    def __enter__(self) -> Self:
        self._previous = _install(self._record, signal.SIGINT, signal.SIGTERM)
        self._watched = _second_ends(self._previous)
        self._watched.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._watched.__exit__(None, None, None)
        _restore(self._previous)

    def _record(self, number: int, _: FrameType | None) -> None:
        self.signal = self.signal or number


@contextmanager
def _second_ends(numbers: Collection[int]) -> Iterator[None]:
    """Inside the context the second of these signals ends the process.

    A thread sees to it: handlers in Python wait for the end of a call of PyTorch, such as one that waits for another process.
    """
    if not numbers:
        yield
        return
    here, system = socket.socketpair()
    system.setblocking(False)

    def watch() -> None:
        first = None
        while received := here.recv(64):  # the numbers of signals
            number, now = next((each for each in received if each in numbers), None), time.monotonic()
            if number is not None and first is not None and now - first > _ONE:
                os._exit(128 + number)
            first = now if first is None and number is not None else first

    thread, before = threading.Thread(target=watch, daemon=True), signal.set_wakeup_fd(system.fileno())
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        system.close()
        thread.join()
        here.close()


@contextmanager
def termination_as_exception() -> Iterator[list[int]]:
    """Inside the context, SIGTERM and SIGHUP raise `Terminated`, so that temporary files are removed.

    Yields:
        A list, to which the numbers of received signals are appended.
    """
    received: list[int] = []

    def terminate(number: int, _: FrameType | None) -> None:
        received.append(number)
        raise Terminated(number)

    previous = _install(terminate, signal.SIGTERM, *_HANGUP)
    try:
        yield received
    finally:
        _restore(previous)


@contextmanager
def resumed_by_same_command(where: str) -> Iterator[None]:
    """After a signal inside the context: one sentence, where the finished runs are and how to continue, and the signal's exit code."""
    try:
        with termination_as_exception():
            yield
    except KeyboardInterrupt as stop:
        code = 128 + (stop.number if isinstance(stop, Terminated) else signal.SIGINT)
        fail(f"stopped: {where}; the same command resumes", code)


def _install(handler: Callable[[int, FrameType | None], None], *numbers: int) -> dict[int, Any]:
    """Installs a handler for these signals; returns the previous handlers of those that are handled now."""
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers in the main thread only
        return {}
    # a signal that is ignored stays ignored, as nohup requires; None is a handler in C, which Python cannot restore
    handled = [number for number in numbers if signal.getsignal(number) not in {signal.SIG_IGN, None}]
    return {number: signal.signal(number, handler) for number in handled}


def _restore(previous: dict[int, Any]) -> None:
    """Restores the handlers that `_install` replaced."""
    for number, handler in previous.items():
        signal.signal(number, handler)
