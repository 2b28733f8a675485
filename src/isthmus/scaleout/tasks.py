"""The division of files into tasks, by a fixed rule: the same files and the same job give the same tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from isthmus.data.result_files import result_ending
from isthmus.scaleout.inputs import InputFile
from isthmus.scaleout.job import Job, hash_of

__all__ = ["Task", "plan"]

_ROWS, _VALUES = 2**18, 2**26  # of a task, unless one block has more
_UNREADABLE = re.compile(r"[^\w.=-]+", re.ASCII)
_STEM = 80  # characters of a name before the hash


class Task(NamedTuple):
    """Some neighboring blocks of a file.

    Attributes:
        path: of the file.
        name: of the file, relative to the folder of all files.
        kind: its format.
        size: of the file, in bytes.
        mtime_ns: when the file was last changed.
        footer: the SHA-256 of the description of its blocks.
        begin, end: the numbers of the first block, and of that after the last one.
        first: the number of the first row in the file.
        rows: the number of rows.
        key: the hash of the task and of its job.
        out: the name of the file of the result.
        constants: the columns in the names of the folders of the file, as names and values, which are
            copied to the results.
    """

    path: str
    name: str
    kind: str
    size: int
    mtime_ns: int
    footer: str
    begin: int
    end: int
    first: int
    rows: int
    key: str
    out: str
    constants: tuple[tuple[str, int | str | None], ...] = ()

    @property
    def where(self) -> str:
        """The rows, in words."""
        return f"{self.name}, rows {self.first:,} to {self.first + self.rows - 1:,}"


def plan(job: Job, files: Sequence[InputFile]) -> tuple[Task, ...]:
    """The tasks of all files, in their order. A file without rows has none."""
    return tuple(task for file in files for task in _tasks(job, file))


def _tasks(job: Job, file: InputFile) -> Iterator[Task]:
    first = 0
    for number, blocks in enumerate(_parts(file.sizes, file.width)):
        rows = sum(file.sizes[block] for block in blocks)
        described: dict[str, Any] = {
            "file": file.name,
            "size": file.size,
            "mtime_ns": file.mtime_ns,
            "footer": file.footer,
            "blocks": [blocks.start, blocks.stop],
            "first": first,
            "rows": rows,
        }
        if file.constants:  # a folder that is added can change numbers to texts
            described["constants"] = [list(each) for each in file.constants]
        key = hash_of(job.identity() | described)
        stem = _UNREADABLE.sub("-", str(PurePosixPath(file.name).with_suffix(""))).lstrip("._-")[:_STEM] or "rows"
        yield Task(
            str(file.path), file.name, file.kind, file.size, file.mtime_ns, file.footer, blocks.start, blocks.stop,
            first, rows, key, f"{stem}-{number:05d}{result_ending(key)}", file.constants,
        )  # fmt: skip
        first += rows


def _parts(sizes: Sequence[int], width: int) -> Iterator[range]:
    """Ranges of blocks of at most `_ROWS` rows and `_VALUES` values, or of one block."""
    most = max(1, min(_ROWS, _VALUES // max(1, width)))
    begin, rows = 0, 0
    for number, size in enumerate(sizes):
        if rows and rows + size > most:
            yield range(begin, number)
            begin, rows = number, 0
        rows += size
    if rows:
        yield range(begin, len(sizes))
