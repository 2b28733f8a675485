"""One task: rows are read, computed and written, whole or not at all."""

from __future__ import annotations

import errno
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from isthmus.data.folder_columns import text_of_folder, value_of_folder
from isthmus.data.result_files import RECORD
from isthmus.data.tables.arrow import pyarrow
from isthmus.errors import DataError, IsthmusError, IsthmusWarning
from isthmus.io.atomic import replace_file
from isthmus.io.files import shown
from isthmus.io.memory_limit import check_memory, get_memory_limit
from isthmus.scaleout.computation import Computation
from isthmus.scaleout.inputs import InputFile, Rows, check_unchanged, columns_of, rows_of
from isthmus.scaleout.job import Job
from isthmus.scaleout.outputs import is_done, record_of
from isthmus.scaleout.tasks import Task

__all__ = ["ROW", "Done", "do", "kept", "notes_on_columns"]

ROW = "row"  # the column with the number of a row in its file
_ROWS, _VALUES = 2**16, 2**22  # that are computed together
_BYTES = 32  # of memory for each of these values: as it is read, as a number, as the model takes it, and its result

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows has no quota error

State = Literal["done", "again", "skipped", "failed"]


class Done(NamedTuple):
    """What came of a task.

    Attributes:
        key: of the task.
        state: "done"; "again": what was there was damaged; "skipped": it was there; "failed".
        rows: the number of rows that were written.
        seconds: that it took.
        notes: for the user.
        error: why it failed, in a sentence; "" if it did not.
    """

    key: str
    state: State
    rows: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str = ""

    def to_json(self) -> str:
        """All fields as one line."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record of `to_json`."""
        fields = json.loads(text)
        return cls(**fields | {"notes": tuple(fields["notes"])})


def do(job: Job, task: Task, opened: Callable[[], Computation], base: str) -> Done:
    """Does a task, unless its result is there already. An error that the data cause is part of the result.

    Args:
        job: the job.
        task: the task.
        opened: gives the model of the job, which is loaded only if there is something to compute.
        base: the folder of all files that are read.
    """
    began, target, state = time.perf_counter(), Path(job.out, task.out), "done"
    if target.exists():
        if is_done(target, task):
            return Done(task.key, "skipped", 0, time.perf_counter() - began)
        state = "again"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", IsthmusWarning)
        try:
            check_unchanged(Path(task.path), task.size, task.mtime_ns)
            computation = opened()
            began = time.perf_counter()  # a process loads the model once for all of its tasks
            replace_file(target, _content(job, task, computation, base))
        except (IsthmusError, OSError, MemoryError) as error:
            return Done(task.key, "failed", 0, time.perf_counter() - began, (), _reason(error, target))
    notes = tuple(dict.fromkeys(str(each.message) for each in caught))
    return Done(task.key, state, task.rows, time.perf_counter() - began, notes)  # type: ignore[arg-type]  # of two


def _reason(error: Exception, target: Path) -> str:
    """Why a task failed, in a sentence."""
    if isinstance(error, MemoryError):
        return "there is not enough memory: use fewer --jobs"
    if not isinstance(error, OSError):
        return str(error)
    path = str(target) if error.filename is None else os.fsdecode(error.filename)
    done = "written" if path == str(target) else "read"
    cure = "make room" if error.errno in _FULL else "check the path and its permissions"
    why = error.strerror or type(error).__name__
    return f"{shown(path)} cannot be {done} ({why}): {cure}, and run the same command again"


class _Sink(io.RawIOBase):
    """What a writer of Parquet writes, taken away piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._parts, self._written = list[bytes](), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._parts.append(bytes(data))
        self._written += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._written

    def taken(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _content(job: Job, task: Task, computation: Computation, base: str) -> Iterator[bytes]:
    """The bytes of the file of a result. Neither all rows nor the whole file are in memory at once."""
    sink, writer, rows, record = _Sink(), None, 0, dict[bytes, bytes]()
    for part in _parts(job, task, computation):
        table = _result(job, task, computation, part)
        if writer is None:
            record[RECORD] = json.dumps(record_of(job, task, base, table.column_names)).encode()
            schema = table.schema.with_metadata(record)
            writer = pyarrow().parquet.ParquetWriter(sink, schema, write_page_checksum=True)
        writer.write_table(table.replace_schema_metadata(record).cast(schema))
        rows += len(table)
        yield sink.taken()
    if rows != task.rows or writer is None:
        raise DataError(
            f"{task.name} is damaged: it should have {task.rows:,} rows here, and has {rows:,}; write it again"
        )
    writer.close()
    check_unchanged(Path(task.path), task.size, task.mtime_ns)  # what was read is of the file that the name stands for
    yield sink.taken()


def _parts(job: Job, task: Task, computation: Computation) -> Iterator[Rows]:
    """The rows of a task, some at a time, of the columns that are needed."""
    at_once = _at_once(computation.width, task.name)
    path, blocks = Path(task.path), range(task.begin, task.end)
    if task.kind == "npy":
        yield from rows_of(path, task.kind, blocks, task.first, at_once, None)
        return
    own, constants = columns_of(path, task.kind), dict(task.constants)
    there = (*own, *constants)
    wanted = {*computation.wanted(there), *kept(job, computation, there)}
    columns = [name for name in own if name in wanted]
    for part in rows_of(path, task.kind, blocks, task.first, at_once, columns):
        table = part.values
        for name in filter(wanted.__contains__, constants):
            value = (text_of_folder if name in computation.texts else value_of_folder)(path, name)
            table = table.append_column(name, pyarrow().array([value] * len(table)))
        yield Rows(part.first, table)


def _at_once(width: int, name: str) -> int:
    """The rows of so many values that are computed together; `MemoryLimitError` if the user's limit is too low for one."""
    limit = get_memory_limit()
    if limit is not None:
        check_memory(_BYTES * width, f"one row of {name}", how="use a smaller model")
    fit = _VALUES if limit is None else min(_VALUES, limit // _BYTES)
    return max(1, min(_ROWS, fit // width))


def kept(job: Job, computation: Computation, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that are copied: those that the user named, after that of the ids if the file has it."""
    own = [computation.id] if computation.id in columns and computation.id is not None else []
    return tuple(dict.fromkeys([*own, *job.keep]))


def notes_on_columns(job: Job, computation: Computation, files: Sequence[InputFile]) -> list[str]:
    """Notes if the results have no column that names the rows, and on columns that are copied and have other types in some files.

    Args:
        job: the job.
        computation: the model.
        files: those that are read.
    """
    columns, notes = files[0].columns or (), list[str]()
    if columns and not kept(job, computation, columns):
        notes.append(
            "the results have no column of the files: to copy one that names the rows, give --keep (keep=) or --id (id=)"
        )
    for name in kept(job, computation, columns):
        types = {dict(zip(each.columns or (), each.types, strict=True)).get(name): each.name for each in files[::-1]}
        types.pop(None, None)
        if len(types) > 1:
            (last, where), (first, there) = [*types.items()][-2:]
            notes.append(
                f"column {name!r}, which is copied to the results, holds {first} in {there} and {last} in {where}: what reads all results "
                "at once may require one type: write the files with one type"
            )
    return notes


def _result(job: Job, task: Task, computation: Computation, part: Rows) -> Any:
    """The rows of a result, as a table."""
    arrow, values = pyarrow(), part.values
    columns, count = dict[str, Any](), len(values)
    if hasattr(values, "column_names"):
        there = tuple(values.column_names)
        names = kept(job, computation, there)
        lacking = next((name for name in names if name not in there), None)
        if lacking is not None:
            raise DataError(f"{task.name} has no column {lacking!r}, which --keep names: leave it out, or add it")
        constants = {name: arrow.array([value] * count) for name, value in task.constants}  # not as the model has them
        columns = {name: constants[name] if name in constants else values.column(name) for name in names}
        part = Rows(part.first, values.select(computation.wanted(there)))
    columns[ROW] = arrow.array(np.arange(part.first, part.first + count))
    made: Mapping[str, Any] = _computed(task, computation, part, count)
    return arrow.table(columns | {name: made[name] for name in computation.names})


def _computed(task: Task, computation: Computation, part: Rows, count: int) -> Mapping[str, Any]:
    """The computed columns; errors name the file, and the rows where they count from the first of these."""
    try:
        return computation.compute(part, task.name)
    except IsthmusError as error:
        if task.name in str(error):
            raise
        rows = f"rows {part.first:,} to {part.first + count - 1:,} of {task.name}"
        raise DataError(f"in {rows}, of which the first counts as row 0: {error}") from error
