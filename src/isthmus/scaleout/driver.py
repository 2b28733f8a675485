"""All tasks, from the plan to the result."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from isthmus.data.file_sets import FileSet, file_set, is_file_set
from isthmus.data.options import ReadOptions
from isthmus.errors import DataError, IsthmusWarning, RecordError
from isthmus.io.atomic import check_can_write, lock_folder, remove_leftovers
from isthmus.io.files import shown
from isthmus.io.terminal import interactive
from isthmus.scaleout.bulk_result import BulkResult, Failure
from isthmus.scaleout.computation import Computation
from isthmus.scaleout.inputs import InputFile, describe
from isthmus.scaleout.job import VERBS, Job, Verb
from isthmus.scaleout.local import LocalEngine
from isthmus.scaleout.opening import Runtime, job_of, open_computation
from isthmus.scaleout.outputs import inventory
from isthmus.scaleout.progress import with_progress
from isthmus.scaleout.tasks import Task, plan
from isthmus.scaleout.work import ROW, Done, kept, notes_on_columns
from isthmus.text import printable

__all__ = ["Bulk", "Engine", "EngineName", "engine_of", "files_of", "finished", "prepare", "run"]

EngineName = Literal["local", "ray"]

_SINGLE = {".parquet": "parquet", ".pq": "parquet", ".npy": "npy"} | dict.fromkeys(
    (".arrow", ".feather", ".ipc"), "arrow"
)
_MOST_NOTES = 20  # different ones that workers give


class Engine(Protocol):
    """What does tasks."""

    described: str

    def results(self, job: Job, tasks: Sequence[Task], base: str) -> Iterator[Done]:
        """What comes of each task, in the order in which they end."""


@dataclass(frozen=True)
class Bulk:
    """A job, its files and its tasks.

    Attributes:
        job: the job.
        base: the folder of all files.
        names: of all files, relative to it.
        tasks: by their keys, in order.
        broken: the files that cannot be read.
        notes: for the user.
    """

    job: Job
    base: str
    names: tuple[str, ...]
    tasks: dict[str, Task]
    broken: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Count:
    """What came of the tasks so far."""

    done: int = 0
    skipped: int = 0
    rows: int = 0
    rows_there: int = 0
    failures: list[Failure] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)  # an ordered set


def run(
    verb: Verb,
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    keep: Sequence[str] = (),
    jobs: int | None = None,
    engine: EngineName = "local",
    address: str | None = None,
    runtime: Runtime = "auto",
    options: ReadOptions | None = None,
    **arguments: Any,
) -> BulkResult:
    """Applies a model to all rows of many files. Each row is in the results once; what is there already is not computed again.

    Args:
        verb: "encode", "score", "detect" or "reconstruct".
        model: a run folder, a model file, for "detect" a detector, or an exported folder.
        data: a pattern such as "folder/*.parquet", or a folder of Parquet, Arrow or .npy files.
        out: the folder of the results, one Parquet file for each task.
        keep: columns of the files that are copied to the results.
        jobs: the number of processes, of one thread each; None: one for each core.
        engine: "local" for processes of this machine, "ray" for Ray.
        address: of a Ray cluster; None: a local instance of Ray.
        runtime: "torch"; "onnx" for an export; "auto": an export of the same model beside the run if there is one.
        options: how to read the files.
        arguments: of the verb: indices=True of "encode", samples= and random_state= of "score".

    Returns:
        The numbers of files, tasks and rows, the seconds, and the files and rows without a result.

    Raises:
        DataError: no file can be read, or the folder of the results has other files.
        FolderInUseError: another process writes into the folder of the results.
        NotPossibleError: the model cannot do it.
        RecordError: an argument is invalid, or a column of the results would have the name of another one.

    Examples:
        >>> ae.save("model.safetensors")
        >>> np.save("part-0.npy", X), np.save("part-1.npy", X)
        (None, None)
        >>> isthmus.scaleout.run("encode", "model.safetensors", "part-*.npy", "codes", jobs=1).rows
        400
    """
    unknown = next((name for name in arguments if name not in ("indices", "samples", "random_state")), None)
    if unknown is not None:
        raise RecordError(f"there is no argument {unknown!r}: expected indices, samples or random_state")
    if verb not in VERBS:
        raise RecordError(f"invalid verb {printable(verb)!r}: expected one of {', '.join(VERBS)}")
    found = job_of(
        verb, Path(model), Path(out), options or ReadOptions(), keep=keep, runtime=runtime, arguments=arguments
    )
    bulk = prepare(found.job, files_of(data, out), found.notes)
    return finished(bulk, engine_of(engine, jobs, address), warn, quiet=not interactive())


def warn(note: str) -> None:
    """A note as a warning."""
    warnings.warn(note, IsthmusWarning, stacklevel=3)


def engine_of(name: EngineName, jobs: int | None = None, address: str | None = None) -> Engine:
    """The engine of a name; `RecordError` for an address without Ray."""
    if name == "ray":
        from isthmus.scaleout.ray_engine import RayEngine

        return RayEngine(address, jobs)
    if name != "local":
        raise RecordError(f"invalid engine {printable(name)!r}: expected local or ray")
    if address is not None:
        raise RecordError("address= is for engine=ray: leave it out")
    return LocalEngine(jobs)


def files_of(data: str | os.PathLike[str], out: str | os.PathLike[str]) -> FileSet:
    """The files of a pattern or a folder, without those in the folder of the results; also a single Parquet, Arrow or .npy file."""
    path = Path(data)
    if is_file_set(path) or path.suffix.lower() not in _SINGLE or not path.is_file():
        return file_set(path, Path(out))
    return FileSet((path,), path.parent, os.fspath(data), format=_SINGLE[path.suffix.lower()])  # type: ignore[arg-type]  # one of three


def prepare(job: Job, files: FileSet, notes: Sequence[str] = ()) -> Bulk:
    """The plan. Nothing is written.

    Raises:
        DataError: no file can be read.
        NotPossibleError: the model cannot do it.
        RecordError: a column of the results would have the name of another one.
    """
    described, broken = list[InputFile](), list[Failure]()
    for number, name in enumerate(files.names()):
        try:
            described.append(describe(files, number))
        except (DataError, OSError) as error:
            broken.append(Failure(name, str(error)))
    if not described:
        raise DataError(f"none of the files can be read, of which the first is: {broken[0].error}")
    computation = open_computation(job)
    described, lacking = _with_columns(job, computation, described)
    notes = [*files.notes, *notes, *notes_on_columns(job, computation, described)]
    tasks = {task.key: task for task in plan(job, described)}
    base = str(files.base.resolve())
    return Bulk(job, base, files.names(), tasks, (*broken, *lacking), tuple(notes))


def _with_columns(
    job: Job, computation: Computation, files: Sequence[InputFile]
) -> tuple[list[InputFile], list[Failure]]:
    """The files that have the columns to keep, and the others."""
    if ROW in computation.names:
        raise RecordError(
            f"the results have a column {ROW!r} with the numbers of rows, and the model has a column {ROW!r} too: rename it"
        )
    made = (ROW, *computation.names)
    known, lacking = list[InputFile](), list[Failure]()
    for file in files:
        columns = file.columns or ()
        twice = next((name for name in kept(job, computation, columns) if name in made), None)
        if twice is not None:
            raise RecordError(
                f"the results have a column {twice!r}, and the column {twice!r} of the files is copied to them: rename it, or leave it out"
            )
        missing = next((name for name in job.keep if name not in columns), None)
        if missing is None:
            known.append(file)
        else:
            lacking.append(Failure(file.name, f"it has no column {missing!r}, which is to be kept"))
    if not known:
        missing = next(name for name in job.keep if name not in (files[0].columns or ()))
        raise RecordError(f"no file has a column {missing!r} to keep (--keep, keep=): {files[0].name} has none")
    return known, lacking


def finished(bulk: Bulk, engine: Engine, note: Callable[[str], None], quiet: bool = False) -> BulkResult:
    """Does all tasks, with progress on standard error.

    Args:
        bulk: the plan.
        engine: what does the tasks.
        note: is called with each note for the user.
        quiet: show no progress.

    Raises:
        DataError: the folder of the results has other files.
        FolderInUseError: another process writes into it.
        OSError: nothing can be written into it.
    """
    for each in (*bulk.notes, *(f"{failure.where} is left out: {failure.error}" for failure in bulk.broken)):
        note(each)
    began, count, out = time.perf_counter(), _Count(failures=list(bulk.broken)), Path(bulk.job.out)
    with lock_folder(out):
        remove_leftovers(out)
        there = _check(bulk, note)
        if any(task.out not in there for task in bulk.tasks.values()):
            check_can_write(out)
        dones = engine.results(bulk.job, list(bulk.tasks.values()), bulk.base)
        if not quiet:
            dones = with_progress(dones, bulk.tasks, bulk.job.verb, lines=not interactive())
        try:
            for done in dones:
                task = bulk.tasks[done.key]
                _add(count, done if task.out in there else _of_now(done, task), task, note)
        finally:
            remove_leftovers(out)
        if len(count.notes) > _MOST_NOTES:
            note(f"{len(count.notes) - _MOST_NOTES:,} more notes like these")
        place = {task.where: i for i, task in enumerate(bulk.tasks.values())}
        count.failures.sort(key=lambda failure: place.get(failure.where, -1))  # tasks end in any order
        _check(replace(bulk, broken=tuple(count.failures)), note)
    seconds = time.perf_counter() - began
    return BulkResult(
        bulk.job.out, len(bulk.names), len(bulk.tasks), count.done, count.skipped, count.rows, count.rows_there,
        seconds, tuple(count.failures),
    )  # fmt: skip


def _check(bulk: Bulk, note: Callable[[str], None]) -> frozenset[str]:
    """`DataError` for other files in the folder of the results; those of files that have changed since are removed. Returns the others."""
    unread = {each.where for each in bulk.broken}
    found = inventory(bulk.job, list(bulk.tasks.values()), bulk.base, set(bulk.names), unread)
    for path in found.outdated:
        path.unlink()
    if found.outdated:
        first, more = found.outdated[0].name, len(found.outdated) - 1
        others = f" and {more:,} more" if more else ""
        note(f"removed {shown(first)}{others}: results of files that have changed since")
    return found.there


def _of_now(done: Done, task: Task) -> Done:
    """A result that was not there at the beginning: of a process that ended after it wrote the result and before it said so."""
    return done._replace(state="done", rows=task.rows) if done.state == "skipped" else done


def _add(count: _Count, done: Done, task: Task, note: Callable[[str], None]) -> None:
    """Adds a task that has ended."""
    for each in done.notes:
        if each not in count.notes and len(count.notes) < _MOST_NOTES:
            note(f"{task.name}: {each}")
        count.notes[each] = None
    if done.state == "failed":
        count.failures.append(Failure(task.where, done.error))
        note(f"no result for {task.where}: {done.error}")
        return
    if done.state == "again":
        note(f"{shown(task.out)} was damaged, and was made again")
    count.done += done.state != "skipped"
    count.skipped += done.state == "skipped"
    count.rows += done.rows
    count.rows_there += task.rows if done.state == "skipped" else 0
