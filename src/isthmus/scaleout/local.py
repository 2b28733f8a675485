"""Processes of this machine that do tasks. One that is killed is replaced, and its task is tried again."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from isthmus.errors import NotPossibleError, RecordError
from isthmus.scaleout import job as module
from isthmus.scaleout.job import Job
from isthmus.scaleout.tasks import Task
from isthmus.scaleout.work import Done
from isthmus.scaleout.worker import READY, opening_of
from isthmus.text import printable

__all__ = ["TRIES", "LocalEngine", "cores"]

TRIES = 3  # of a task whose process is killed
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalEngine:
    """A pool of processes, each with one thread.

    Args:
        jobs: the number of processes; None: one for each core.
    """

    def __init__(self, jobs: int | None = None) -> None:
        if jobs is not None and jobs < 1:
            raise RecordError(f"invalid jobs={jobs}: expected at least 1")
        self.jobs = jobs or cores()
        self.described = f"{self.jobs} process{'' if self.jobs == 1 else 'es'}"

    def results(self, job: Job, tasks: Sequence[Task], base: str) -> Iterator[Done]:
        """What comes of each task, in the order in which they end.

        Raises:
            NotPossibleError: no process can start.
        """
        pool = _Pool(opening_of(job, base), job.threads, tasks)
        threads = [threading.Thread(target=pool.serve, daemon=True) for _ in range(min(self.jobs, len(tasks)))]
        try:
            for thread in threads:
                thread.start()
            for _ in tasks:
                found = pool.finished.get()
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            pool.stop()
            for thread in threads:
                thread.join(timeout=10)


class _Pool:
    """The tasks that wait, those that are finished, and the processes.

    Args:
        opening: the line that a process gets first.
        threads: of each process.
        tasks: all tasks.
    """

    def __init__(self, opening: str, threads: int, tasks: Sequence[Task]) -> None:
        self.waiting = deque((task, 1) for task in tasks)
        self.finished: queue.SimpleQueue[Done | BaseException] = queue.SimpleQueue()
        self._opening, self._threads = opening, threads
        self._workers, self._stopped, self._lock = list[_Worker](), False, threading.Lock()

    def serve(self) -> None:
        """Gives tasks to a process, and to another one when it is killed, until no task waits."""
        worker = None
        try:
            while not self._stopped:
                try:
                    task, tries = self.waiting.popleft()
                except IndexError:
                    return
                worker = worker or self._started()
                answer = worker.asked(json.dumps(task))
                if answer is not None:
                    self.finished.put(Done.from_json(answer))
                    continue
                reason, worker = worker.end(), None
                if tries < TRIES:
                    self.waiting.append((task, tries + 1))
                else:
                    error = f"its process ended {TRIES} times ({reason}): give it more memory, or use fewer --jobs"
                    self.finished.put(Done(task.key, "failed", error=error))
        except BaseException as error:  # the other threads and the tasks that wait cannot know
            self.finished.put(error)
        finally:
            if worker is not None:
                worker.end()

    def stop(self) -> None:
        """Ends all processes."""
        with self._lock:
            self._stopped = True
            workers = list(self._workers)
        for worker in workers:
            worker.process.kill()

    def _started(self) -> _Worker:
        with self._lock:
            if self._stopped:
                raise InterruptedError("the work has been stopped")
            worker = _Worker(self._threads)
            self._workers.append(worker)
        answer = worker.asked(self._opening)
        if answer != READY:
            reason = worker.end()
            raise NotPossibleError(
                f"a process could not start ({reason}): use fewer --jobs, or look at the installation"
            )
        return worker


class _Worker:
    """A process, which ends when this one does: it reads from a pipe that is then closed."""

    def __init__(self, threads: int) -> None:
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # it is read when the process has ended
        root = str(Path(module.__file__).parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | dict.fromkeys(_THREADS, str(threads)) | {"PYTHONPATH": path}
        self.process: subprocess.Popen[Any] = subprocess.Popen(
            [sys.executable, "-P", "-m", "isthmus.scaleout.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the process that started it
        )

    def asked(self, line: str) -> str | None:
        """The answer to a line; None if the process ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except (OSError, ValueError):
            return None
        return str(json.loads(answer)) if answer.endswith("\n") else None

    def end(self) -> str:
        """Ends the process, and says how it ended."""
        streams = [self.process.stdin, self.process.stdout]
        for stream in filter(None, streams[:1]):
            _closed(stream)
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for stream in filter(None, streams[1:]):
            _closed(stream)
        self._said.seek(0)
        last = self._said.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        self._said.close()
        how = f"signal {_signal(-code)}" if code < 0 else f"exit code {code}"
        return f"{how}; {printable(last, 200)}" if last else how


def _closed(stream: IO[Any]) -> None:
    with suppress(OSError):  # the other end may be gone
        stream.close()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
