"""The files of results: their record, their checksums, and what else is in their folder."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from isthmus.data.result_files import recorded, result_of
from isthmus.data.tables.arrow import pyarrow
from isthmus.errors import DataError
from isthmus.io.files import regular, shown
from isthmus.scaleout.job import Job
from isthmus.scaleout.tasks import Task

__all__ = ["Inventory", "inventory", "is_done", "record_of"]

_WORDS = {
    "format": "another version of isthmus",
    "verb": "another verb",
    "model": "another model",
    "runtime": "another runtime (--runtime)",
    "options": "other options of reading",
    "arguments": "other options",
    "keep": "other columns to keep",
}


class Inventory(NamedTuple):
    """The files in the folder of results.

    Attributes:
        there: the names of those that the plan has.
        outdated: the results of files that have changed since.
    """

    there: frozenset[str]
    outdated: tuple[Path, ...]


def record_of(job: Job, task: Task, base: str, columns: Sequence[str]) -> dict[str, Any]:
    """What the file of a result says of itself."""
    return {
        "key": task.key,
        "job": job.identity(),
        "base": base,
        "file": task.name,
        "first": task.first,
        "rows": task.rows,
        "columns": [*columns],
    }


def is_done(path: Path, task: Task) -> bool:
    """Whether a file is the whole and undamaged result of a task: its record, its rows and the checksums of its pages."""
    arrow = pyarrow()
    try:
        file = regular(path)
        if isinstance(file, str):
            return False
        with file, arrow.parquet.ParquetFile(file, page_checksum_verification=True) as table:
            record = recorded(table)
            if record is None or record.get("key") != task.key or table.metadata.num_rows != task.rows:
                return False
            return sum(len(batch) for batch in table.iter_batches(use_threads=False)) == task.rows
    except (arrow.ArrowException, OSError, ValueError):
        return False


def inventory(job: Job, tasks: Sequence[Task], base: str, names: Collection[str], unread: Collection[str]) -> Inventory:
    """What is in the folder of the results.

    Args:
        job: the job.
        tasks: the plan.
        base: the folder of the files that are read.
        names: of all these files.
        unread: of those that cannot be read now, whose results stay.

    Raises:
        DataError: the folder has a file that is no result of this job, so that reading all of them would give other rows too.
    """
    planned, out = {task.out for task in tasks}, Path(job.out)
    there, outdated = list[str](), list[Path]()
    for entry in sorted(os.scandir(out), key=lambda entry: entry.name):
        path = out / entry.name
        if entry.name.startswith((".", "_")):  # as readers of folders leave them out
            continue
        if entry.name in planned:
            if not entry.is_file(follow_symlinks=False):
                raise DataError(f"{shown(path)} is not a regular file: remove it")
            there.append(entry.name)
            continue
        record = result_of(path) if entry.is_file(follow_symlinks=False) else None
        if record is None:
            raise DataError(
                f"{shown(path)} is no result of this command: choose another folder for --out, or move it away"
            )
        _check_job(job, record, path)
        if record.get("base") != base or record.get("file") not in names:
            raise DataError(
                f"{shown(path)} has the results of {shown(str(record.get('file')))}, which is not among the files of --data: "
                "choose another folder for --out, or remove it"
            )
        if record["file"] not in unread:
            outdated.append(path)
    return Inventory(frozenset(there), tuple(outdated))


def _check_job(job: Job, record: Mapping[str, Any], path: Path) -> None:
    """`DataError` if a result is of another job."""
    own, other = job.identity(), record.get("job")
    other = other if isinstance(other, dict) else {}
    different = next((name for name, value in own.items() if other.get(name) != value), None)
    if different is not None:
        raise DataError(
            f"{shown(path)} is the result of {_WORDS[different]}: choose another folder for --out, or remove what is there"
        )
