"""Ray: the same tasks, on the nodes of a cluster."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from isthmus.errors import DataError, IsthmusError, NotPossibleError, RecordError
from isthmus.io.ray_cluster import connected, imported_ray
from isthmus.scaleout.job import Job
from isthmus.scaleout.local import TRIES
from isthmus.scaleout.tasks import Task
from isthmus.scaleout.work import Done
from isthmus.scaleout.worker import Opening, attempt, opening_of
from isthmus.text import printable

__all__ = ["RayEngine"]

_AHEAD = 2  # tasks in flight for each core
_REASONS = {
    "OutOfMemoryError": "it used too much memory, and its node ended it",
    "WorkerCrashedError": "its process ended",
    "NodeDiedError": "its node ended",
    "LocalRayletDiedError": "its node ended",
}


class RayEngine:
    """A cluster of Ray, or a local instance of it.

    Args:
        address: of the cluster, such as 10.0.0.1:6379 or auto; None: a local instance.
        jobs: the tasks that run at the same time; None: one for each core of the cluster.

    Raises:
        NotPossibleError: Ray is not installed.
    """

    def __init__(self, address: str | None = None, jobs: int | None = None) -> None:
        if jobs is not None and jobs < 1:
            raise RecordError(f"invalid jobs={jobs}: expected at least 1")
        _ray()
        self._address, self._jobs = address, jobs
        self.described = "Ray" if address is None else f"Ray at {address}"

    def results(self, job: Job, tasks: Sequence[Task], base: str) -> Iterator[Done]:
        """What comes of each task, in the order in which they end.

        Raises:
            NotPossibleError: there is no cluster, or its nodes do not have isthmus or the model.
        """
        ray = _ray()
        with connected(ray, self._address, self._jobs, TRIES):
            yield from self._all(ray, opening_of(job, base), job, tasks)

    def _all(self, ray: Any, opening: str, job: Job, tasks: Sequence[Task]) -> Iterator[Done]:
        """The tasks, of which only some are in flight at once."""
        at_once = self._jobs or max(1, int(ray.cluster_resources().get("CPU", 1))) * _AHEAD
        remote = ray.remote(num_cpus=1, max_retries=TRIES, retry_exceptions=False)(_do)
        given = ray.put(opening)
        waiting, flying = iter(tasks), dict[Any, Task]()
        while True:
            for task in waiting:
                flying[remote.remote(given, json.dumps(task))] = task
                if len(flying) >= at_once:
                    break
            if not flying:
                return
            ended, _ = ray.wait(list(flying), num_returns=1, timeout=1.0)  # so that signals are seen
            for reference in ended:
                task = flying.pop(reference)
                yield _seen(_answer(ray, reference, task), Path(job.out, task.out))


def _ray() -> Any:
    """The module `ray`."""
    try:
        return imported_ray()
    except ModuleNotFoundError:
        raise NotPossibleError("--engine ray needs Ray, which is not installed: pip install 'isthmus[ray]'") from None


@lru_cache(maxsize=1)
def _opened(text: str) -> Opening:
    """A job that this process has opened; it stays open for the tasks that follow."""
    return Opening(text)


def _do(opening: str, task: str) -> str:
    """A task, on the node that Ray chose."""
    node = socket.gethostname()
    try:
        opened = _opened(opening)
        if not Path(opened.job.out).is_dir():
            raise DataError(
                f"there is no folder {opened.job.out} for the results: give one that all nodes see at the same path"
            )
    except (IsthmusError, OSError) as error:
        return Done(Task(*json.loads(task)).key, "failed", error=f"on node {node}: {error}").to_json()
    return attempt(opened, task).to_json()


def _answer(ray: Any, reference: Any, task: Task) -> Done:
    """What came of a task; an end that Ray reports is a failure in words."""
    try:
        return Done.from_json(ray.get(reference))
    except ray.exceptions.RayError as error:
        kinds = [each.__name__ for each in type(error).__mro__]
        reason = next((words for kind, words in _REASONS.items() if kind in kinds), printable(str(error).strip(), 300))
        return Done(task.key, "failed", error=f"{reason}, also when it was tried again")


def _seen(done: Done, path: Path) -> Done:
    """The result, which must be seen from here too."""
    if done.state == "failed" or path.is_file():
        return done
    error = f"a node wrote {path}, which is not here: give a folder for the results that all nodes see at the same path"
    return Done(done.key, "failed", error=error)
