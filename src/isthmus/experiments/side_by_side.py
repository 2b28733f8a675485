"""The trials of a sweep: one after the other in this process, or several at the same time in worker processes or with Ray."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Literal

from isthmus.errors import IsthmusError, IsthmusWarning, RecordError
from isthmus.experiments.shared_examples import check_packable, pack, shared_folder
from isthmus.experiments.trial import SweepContext, Trial, folder_name, is_trained, trial
from isthmus.experiments.trial_workers import Task, failure, in_processes
from isthmus.text import quoted
from isthmus.training.state import Report

__all__ = ["Engine", "check_engine", "trained"]

Engine = Literal["local", "ray"]
_MAX_JOBS = 1024


def check_engine(jobs: int | None, engine: str, address: str | None) -> None:
    """`RecordError` for a number of processes or an engine that does not exist; `NotPossibleError` where Ray is not installed."""
    if jobs is not None and (not isinstance(jobs, Integral) or isinstance(jobs, bool) or not 0 < jobs <= _MAX_JOBS):
        raise RecordError(
            f"invalid jobs={quoted(jobs, 20)}: expected the number of trainings at the same time, such as 2"
        )
    if engine not in {"local", "ray"}:
        raise RecordError(f"invalid engine={quoted(engine, 20)}: expected local or ray")
    if address is not None and engine != "ray":
        raise RecordError("address= is that of a Ray cluster: give engine='ray' too")
    if engine == "ray":
        from isthmus.experiments.ray_trials import check_ray

        check_ray()


def trained(
    tasks: Sequence[Task], context: SweepContext, jobs: int | None, engine: str, address: str | None
) -> Generator[tuple[int, Trial]]:
    """Trains the trials that are not in the folder yet; yields each one with its number when it has ended.

    A trial that fails is yielded with its reason. Side by side, each training uses one thread; where nothing is left to train, no
    process starts.

    Args:
        tasks: all trials.
        context: what they share.
        jobs: the number of trainings at the same time; None for one after the other in this process, or for Ray as many as it has
            processors.
        engine: "local" or "ray".
        address: of a running Ray cluster; None starts one on this machine.

    Raises:
        IsthmusError: without jobs, the first error of a user.
        NotPossibleError: the workers cannot start, or own components cannot be sent to them.
    """
    if jobs is None and engine == "local":
        yield from _one_after_the_other(tasks, context)
        return
    with ExitStack() as stack:
        temporary = context.folder is None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) if context.folder is None else context.folder
        for number, ended in _side_by_side(tasks, replace(context, folder=folder), jobs, engine, address):
            yield number, replace(ended, folder="") if temporary else ended


def _one_after_the_other(tasks: Sequence[Task], context: SweepContext) -> Generator[tuple[int, Trial]]:
    """Those that are in the folder come first: what cannot be read is said before hours of training."""
    for task in sorted(tasks, key=lambda task: not _is_there(task, context)):
        try:
            yield task.number, trial(task.ae, task.values, context, task.title, task.several)
        except (IsthmusError, OSError):
            raise
        except Exception as error:
            yield task.number, _failed(task, failure(error))


def _side_by_side(
    tasks: Sequence[Task], context: SweepContext, jobs: int | None, engine: str, address: str | None
) -> Generator[tuple[int, Trial]]:
    by_number = {task.number: task for task in tasks}
    left = []
    for task in tasks:
        if _is_there(task, context):
            yield task.number, _read(task, context)
        else:
            left.append(task)
    if not left:
        return
    check_packable([task.ae for task in left])
    assert context.folder is not None
    with shared_folder(context.folder) as shared:
        sent = replace(context, watch=None, folder=context.folder.resolve())
        if engine == "ray":
            from isthmus.experiments.ray_trials import in_ray

            news = in_ray(pack(sent, shared, same_machine=False), left, jobs, address, shared)
        else:
            news = in_processes(pack(sent, shared), left, min(jobs or 1, len(left)))
        shown = dict[int, _Shown]()
        with closing(news):
            for each in news:
                task = by_number[each.number]
                if each.warning:
                    warnings.warn(f"{task.title}: {each.warning}", IsthmusWarning, stacklevel=2)
                if each.report is not None and context.watch is not None:
                    if each.number not in shown:
                        shown[each.number] = _Shown(context, task.title)
                    shown[each.number].show(each.report)
                if each.ended:
                    if each.number in shown:
                        shown.pop(each.number).end()
                    failed = each.failed or ("" if _is_there(task, context) else "its folder does not hold its result")
                    yield each.number, _failed(task, failed) if failed else _read(task, context, new=True)


def _is_there(task: Task, context: SweepContext) -> bool:
    return context.folder is not None and is_trained(context.folder / _folder_name(task))


def _folder_name(task: Task) -> str:
    return folder_name(task.values, int(task.ae.random_state) if task.several else None)  # type: ignore[arg-type]  # its own


def _read(task: Task, context: SweepContext, new: bool = False) -> Trial:
    """A complete trial from its folder."""
    return replace(trial(task.ae, task.values, context, task.title, task.several), new=new)


def _failed(task: Task, reason: str) -> Trial:
    """A trial without result, and a warning."""
    warnings.warn(f"{task.title}: failed: {reason}", IsthmusWarning, stacklevel=2)
    state = int(task.ae.random_state)  # type: ignore[arg-type]  # its own
    return Trial(task.values, state, None, {}, "", failed=reason)


class _Shown:
    """The reports of a trial in another process, given to the callback as if it trained here."""

    def __init__(self, context: SweepContext, title: str) -> None:
        assert context.watch is not None
        self.waiting = deque[Report]()
        self.shown = context.watch(self._reports(), title, math.prod(context.examples.values.shape[1:]))

    def _reports(self) -> Iterator[Report]:
        while self.waiting:
            yield self.waiting.popleft()

    def show(self, report: Report) -> None:
        """Gives the callback one report."""
        self.waiting.append(report)
        next(self.shown, None)

    def end(self) -> None:
        """Tells the callback that no further reports come."""
        for _ in self.shown:
            pass
