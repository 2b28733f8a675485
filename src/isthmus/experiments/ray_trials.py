"""The trials of a sweep as tasks of Ray, on this machine or on a cluster. A task that dies ends its trial alone.

All machines see the folder of the sweep at the same path: the results, the checkpoints and the shared examples are there.
"""

from __future__ import annotations

import math
import platform
import time
import warnings
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from isthmus.errors import FolderInUseError, IsthmusError, IsthmusWarning, NotPossibleError
from isthmus.experiments.resumable import StopSignal
from isthmus.experiments.shared_examples import unpack
from isthmus.experiments.trial import SweepContext, trial
from isthmus.experiments.trial_workers import News, Task, failure
from isthmus.io.ray_cluster import connected, imported_ray
from isthmus.training.state import Report

__all__ = ["check_ray", "in_ray"]

_STOP = "stop"  # a file in the shared folder, which tells all tasks to write a checkpoint and to end
_LOOK = 1.0  # seconds between two looks for it
_PATIENCE = 60.0  # seconds that a task has to write its checkpoint after a stop
_MACHINES = 3  # on which a trial is tried, if they die
_WITHOUT_PROCESSOR = 600.0  # seconds that a sweep waits for a processor in a cluster that has none
_NO_MACHINE, _STOPPED = "its machine died or left the cluster", "it was stopped"


def check_ray() -> None:
    """`NotPossibleError` where Ray is not installed."""
    if find_spec("ray") is None:
        raise NotPossibleError("engine='ray' requires Ray, which is not installed: pip install 'isthmus[ray]'")


def in_ray(
    packed: bytes, tasks: Sequence[Task], jobs: int | None, address: str | None, shared: Path
) -> Generator[News]:
    """Trains trials as tasks of Ray; yields what they say. When the generator is closed, they write checkpoints and end.

    Args:
        packed: the `SweepContext`, from `pack`.
        tasks: the trials.
        jobs: the largest number of trainings at the same time; None for as many as there are processors.
        address: of a running cluster; None starts Ray on this machine, unless this process uses Ray already.
        shared: the folder of the shared examples.

    Raises:
        NotPossibleError: there is no cluster at the address.
    """
    ray = imported_ray()
    with connected(ray, address, jobs):
        sent, train = ray.put(packed), ray.remote(num_cpus=1, max_retries=0)(_train)
        waiting, running, lost = deque(tasks), dict[Any, Task](), Counter[int]()
        without = _WithoutProcessor(ray)
        try:
            while waiting or running:
                while waiting and len(running) < (jobs or len(tasks)):
                    task = waiting.popleft()
                    running[train.remote(sent, task, str(shared.resolve()))] = task
                ended = ray.wait(list(running), timeout=_LOOK)[0]  # so that signals are seen
                yield from without.said(ended, [*running.values(), *waiting])
                if without.too_long:
                    _cancel(ray, running)
                    return
                for each in ended:
                    task = running.pop(each)
                    if _lost_machine(ray, each):
                        lost[task.number] += 1
                        if lost[task.number] < _MACHINES:
                            waiting.append(task)
                            yield News(
                                task.number,
                                warning=f"{_NO_MACHINE}; the training is tried again where a processor is free",
                            )
                            continue
                    yield from _heard(ray, each, task)
        finally:
            if running:
                (shared / _STOP).touch()
                ray.wait(list(running), num_returns=len(running), timeout=_PATIENCE)


class _WithoutProcessor:
    """The wait for a processor in a cluster that has none: of all its machines, only one without processors is left.

    Attributes:
        too_long: whether it has taken too long.
    """

    def __init__(self, ray: Any) -> None:
        self._ray, self._since, self.too_long = ray, math.inf, False

    def said(self, ended: Sequence[Any], left: Sequence[Task]) -> list[News]:
        """The news of such a wait: a note when it begins, and in the end the failure of what is left.

        Args:
            ended: the tasks that have just ended.
            left: all that have not ended before.
        """
        now = time.monotonic()
        if ended or self._ray.cluster_resources().get("CPU", 0) >= 1:
            self._since = math.inf
            return []
        if self._since == math.inf:
            self._since = now
            note = f"no machine of the Ray cluster has a processor; the sweep waits {_WITHOUT_PROCESSOR / 60:.0f} minutes for one"
            return [News(left[0].number, warning=note)]
        if now - self._since < _WITHOUT_PROCESSOR:
            return []
        self.too_long = True
        reason = f"no machine of the Ray cluster had a processor for {_WITHOUT_PROCESSOR / 60:.0f} minutes"
        return [News(task.number, ended=True, failed=reason) for task in left]


def _cancel(ray: Any, running: dict[Any, Task]) -> None:
    """Takes back tasks that have not begun."""
    for each in running:
        ray.cancel(each)
    running.clear()


def _lost_machine(ray: Any, ended: Any) -> bool:
    """Whether a task has ended with its machine, which is no fault of the task."""
    try:
        ray.get(ended)
    except (ray.exceptions.NodeDiedError, ray.exceptions.LocalRayletDiedError):
        return True
    except ray.exceptions.RayError:
        return False
    return False


def _heard(ray: Any, ended: Any, task: Task) -> list[News]:
    """The news of a task that has ended."""
    try:
        news: list[News] = ray.get(ended)
    except ray.exceptions.OutOfMemoryError:
        reason = "Ray killed the process for lack of memory"
    except ray.exceptions.WorkerCrashedError:
        reason = "the process was killed, perhaps for lack of memory"
    except (ray.exceptions.NodeDiedError, ray.exceptions.LocalRayletDiedError):
        reason = f"{_NO_MACHINE}, {_MACHINES} times"
    except ray.exceptions.RayTaskError as error:
        reason = failure(error.cause if isinstance(error.cause, Exception) else error)
    except ray.exceptions.RayError as error:
        reason = f"Ray ended it ({type(error).__name__})"
    else:
        return news
    return [News(task.number, ended=True, failed=reason)]


def _trial_after_others(task: Task, context: SweepContext) -> None:
    """`trial`, after the end of a task that still writes there: of a machine that is lost, or of a command that was killed."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            trial(task.ae, task.values, context, task.title, task.several)
            return
        except FolderInUseError:
            if time.monotonic() > until:
                raise
        if context.stopping is not None and context.stopping():
            raise KeyboardInterrupt
        time.sleep(_LOOK)


def _train(packed: bytes, task: Task, shared: str) -> list[News]:
    """Trains one trial on a machine of the cluster, whose result is in its folder."""
    if not Path(shared).is_dir():
        raise IsthmusError(
            f"{platform.node()} has no folder {shared}: give one that all machines see at this path (--out)"
        )
    if (Path(shared) / _STOP).exists():  # it waited for a processor until now
        return [News(task.number, ended=True, failed=_STOPPED)]
    torch.set_num_threads(1)
    reports = list[Report]()

    def last(given: Iterator[Report], *_: Any) -> Iterator[Report]:
        for report in given:
            reports[:] = [report]
            yield report

    stopping = StopSignal((Path(shared) / _STOP).exists, _LOOK)
    context: SweepContext = replace(unpack(packed), watch=last, stopping=stopping)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            _trial_after_others(task, context)
            failed = ""
        except KeyboardInterrupt:
            failed = _STOPPED
        except Exception as error:
            failed = failure(error)
    said = [str(each.message) for each in heard if issubclass(each.category, IsthmusWarning)]
    news = [News(task.number, report) for report in reports] + [News(task.number, warning=each) for each in said]
    return [*news, News(task.number, ended=True, failed=failed)]
