"""Worker processes that train the trials of a sweep side by side, one thread each. A worker that dies ends its trial alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import torch

from isthmus.errors import IsthmusError, IsthmusWarning, NotPossibleError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.experiments.resumable import StopSignal
from isthmus.experiments.shared_examples import unpack
from isthmus.experiments.trial import SweepContext, trial
from isthmus.io.memory_limit import lacks_memory
from isthmus.text import sentence
from isthmus.training.state import Report

__all__ = ["News", "Task", "failure", "in_processes"]

_BETWEEN_REPORTS = 0.2  # seconds
_LOOK = 0.1  # seconds between two looks whether to stop
_PATIENCE = 60.0  # seconds that a worker has to write its checkpoint after a stop


class Task(NamedTuple):
    """A trial to train: its number, unfitted autoencoder, values, and title, and whether there are several random states."""

    number: int
    ae: Autoencoder
    values: Mapping[str, Any]
    title: str
    several: bool


class News(NamedTuple):
    """What a worker says of a trial: a report, a warning, or its end, with the reason if it failed."""

    number: int
    report: Report | None = None
    warning: str = ""
    ended: bool = False
    failed: str = ""


def failure(error: BaseException) -> str:
    """The reason of a failed trial in a sentence."""
    text = sentence(str(error) or "no message")
    if lacks_memory(error):
        return f"there is not enough memory for this training: {text}"
    return text if isinstance(error, IsthmusError) else f"{type(error).__name__}: {text}"


def in_processes(packed: bytes, tasks: Sequence[Task], jobs: int) -> Generator[News]:
    """Trains trials in as many processes; yields what they say. When the generator is closed, they write checkpoints and end.

    Args:
        packed: the `SweepContext`, from `pack`.
        tasks: the trials.
        jobs: the number of processes.

    Raises:
        NotPossibleError: a process cannot start.
    """
    waiting, workers = deque(tasks), list[_Worker]()
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                workers.append(_Worker(packed, waiting.popleft()))
            ready = wait([each.connection for each in workers])
            for worker in [each for each in workers if each.connection in ready]:
                news = worker.hear()
                if news is not None:
                    yield news
                if news is not None and news.ended:
                    if worker.alive and waiting:
                        worker.train(waiting.popleft())
                    else:
                        workers.remove(worker)
                        _end([worker])
    finally:
        _end(workers)


class _Worker:
    """A process, and the trial that it trains now."""

    def __init__(self, packed: bytes, task: Task) -> None:
        self.task, self.began, self.alive = task, False, True
        self.connection, theirs = multiprocessing.Pipe()
        spawned = multiprocessing.get_context("spawn").Process(target=_work, args=(theirs, packed, task), daemon=True)
        self.process = spawned
        with _ctrl_c_waits(), suppress(BrokenPipeError):  # of a process that ends before it has read everything
            self.process.start()
        theirs.close()

    def train(self, task: Task) -> None:
        """Gives the process its next trial."""
        self.task = task
        with suppress(OSError):  # it has died, which is heard next
            self.connection.send(task)

    def hear(self) -> News | None:
        """The next news; None when the process has started."""
        try:
            news: News | None = self.connection.recv()
        except (EOFError, OSError):
            self.alive = False
            self.process.join()
            return News(self.task.number, ended=True, failed=self._death())
        self.began = True
        return news

    def _death(self) -> str:
        """How the process died."""
        code = self.process.exitcode or 0
        if code > 0 and not self.began:
            raise NotPossibleError(
                f"a worker process could not start (exit code {code}): in a script, call sweep below "
                "if __name__ == '__main__':, and define your own components in a module"
            )
        if code >= 0:
            return f"the process ended with exit code {code}"
        return f"the process was killed (signal {-code}){', perhaps for lack of memory' * (code == -9)}"


def _end(workers: Sequence[_Worker]) -> None:
    """Ends processes; those that train write a checkpoint first."""
    try:
        for worker in workers:
            with suppress(OSError):
                worker.connection.send(None)
        latest = time.monotonic() + _PATIENCE
        for worker in workers:
            worker.process.join(max(0.0, latest - time.monotonic()))
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Inside the context Ctrl-C waits. A process that starts here never gets it: its parent ends it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would let Ctrl-C through while it starts with the first process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, packed: bytes, task: Task | None) -> None:
    """The work of a process: one trial after the other, until it is stopped or its parent has ended."""
    torch.set_num_threads(1)
    _end_with_parent()
    terminated: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: terminated.append(number))
    stopping = StopSignal(lambda: bool(terminated) or connection.poll(), _LOOK)
    context: SweepContext = replace(unpack(packed), stopping=stopping)
    connection.send(None)
    with suppress(EOFError, OSError, KeyboardInterrupt):  # it is stopped, and its checkpoint is written
        while task is not None:
            connection.send(_outcome(task, context, connection))
            task = connection.recv()
    if terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _end_with_parent() -> None:
    """Ends this process at once when its parent has ended, however that was."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _outcome(task: Task, context: SweepContext, connection: Connection) -> News:
    """Trains one trial, whose result is in its folder."""

    def send(reports: Iterator[Report], *_: Any) -> Iterator[Report]:
        last = 0.0
        for report in reports:
            if report.complete or time.monotonic() - last > _BETWEEN_REPORTS:
                last = time.monotonic()
                connection.send(News(task.number, report))
            yield report

    def warn(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if issubclass(category, IsthmusWarning):
            connection.send(News(task.number, warning=str(message)))
        else:
            shown(message, category, *place)

    with warnings.catch_warnings():
        warnings.simplefilter("always", IsthmusWarning)
        shown, warnings.showwarning = warnings.showwarning, warn  # type: ignore[assignment]
        try:
            trial(task.ae, task.values, replace(context, watch=send), task.title, task.several)
        except Exception as error:
            return News(task.number, ended=True, failed=failure(error))
    return News(task.number, ended=True)
