"""The process that does tasks: `python -m isthmus.scaleout.worker`. It reads JSON lines and answers with JSON lines.

The first line is the job, and the answer to it is "ready". Each further line is a task. The process ends when its input does,
also in the middle of a task: then the process that started it has ended.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import sys
import threading
from functools import cached_property
from typing import IO

from isthmus.data.tables.arrow import pyarrow
from isthmus.errors import IsthmusError
from isthmus.io.memory_limit import get_memory_limit, set_memory_limit
from isthmus.scaleout.computation import Computation
from isthmus.scaleout.job import Job
from isthmus.scaleout.opening import open_computation
from isthmus.scaleout.tasks import Task
from isthmus.scaleout.work import Done, do
from isthmus.text import printable

__all__ = ["READY", "Opening", "attempt", "main", "opening_of"]

READY = "ready"


def opening_of(job: Job, base: str) -> str:
    """What a process that does tasks gets first, as JSON: with the memory limit of this process, and other words in each run.

    A process of Ray may serve several runs. What it could not open in one, it tries again in the next.

    Args:
        job: the job.
        base: the folder of all files.
    """
    return json.dumps(
        {"job": job.to_json(), "base": base, "max_memory": get_memory_limit(), "run": secrets.token_hex(8)}
    )


class Opening:
    """A job in a process that does its tasks.

    Args:
        text: of `opening_of`.
    """

    def __init__(self, text: str) -> None:
        described = json.loads(text)
        self.job, self.base = Job.from_json(described["job"]), str(described["base"])
        set_memory_limit(described["max_memory"])
        pyarrow().set_cpu_count(self.job.threads)

    @property
    def computation(self) -> Computation:
        """The model, with the job's number of threads. One that cannot be opened is not tried again for the next task."""
        if isinstance(self._opened, str):
            raise IsthmusError(
                self._opened
            )  # a new one, as an error keeps the frames of each task that it is raised in
        return self._opened

    @cached_property
    def _opened(self) -> Computation | str:
        if self.job.runtime == "torch":
            import torch

            torch.set_num_threads(self.job.threads)
        try:
            return open_computation(self.job)
        except IsthmusError as error:
            return str(error)


def attempt(opening: Opening, text: str) -> Done:
    """Does a task. A fault that nobody foresaw is part of the result too, so that the other tasks are done."""
    task = Task(*json.loads(text))
    try:
        return do(opening.job, task, lambda: opening.computation, opening.base)
    except Exception as error:
        return Done(task.key, "failed", error=f"{type(error).__name__}: {printable(str(error), 300)}")


def main() -> None:
    """Answers the lines of standard input on standard output; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, lines), daemon=True).start()
    opening = Opening(lines.get())
    _answer(answers, READY)
    while True:
        _answer(answers, attempt(opening, lines.get()).to_json())


def _read(stream: IO[str], lines: queue.SimpleQueue[str]) -> None:
    for line in stream:
        lines.put(line)
    os._exit(0)


def _answer(stream: IO[str], text: str) -> None:
    try:
        stream.write(json.dumps(text) + "\n")
        stream.flush()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
