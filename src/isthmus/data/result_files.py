"""Parquet files that an earlier bulk command wrote: results, which are no data beside the files that they were computed from."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from isthmus.data.tables.arrow import pyarrow
from isthmus.errors import DataError
from isthmus.io.files import regular, shown

__all__ = ["RECORD", "check_apart", "recorded", "result_ending", "result_of"]

RECORD = b"isthmus.task"  # the key of the record in the metadata of such a file
_END, _TAIL = b"PAR1", 8  # a Parquet file ends with the length of its description, in four bytes, and this mark
_HASH = 16  # digits of the key in a name


def result_ending(key: str) -> str:
    """How the name of the result of a task ends.

    Args:
        key: of the task.
    """
    return f"-{key[:_HASH]}.parquet"


def recorded(table: Any) -> dict[str, Any] | None:
    """The record in an open Parquet file; None if it has none."""
    try:
        record = json.loads((table.schema_arrow.metadata or {})[RECORD])
    except (KeyError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def result_of(path: Path) -> dict[str, Any] | None:
    """The record of a result of `isthmus.scaleout.run`; None for any other file, also for a damaged one.

    A table that a user makes from results has their record too, as pyarrow copies it. It is no result: its name, its columns or its
    number of rows are not those in the record.

    Args:
        path: of any file.
    """
    try:
        file = regular(path)
        if isinstance(file, str):
            return None
        with file:
            if RECORD not in _description(file):  # without pyarrow, as most files are none
                return None
            file.seek(0)
            with pyarrow().parquet.ParquetFile(file) as table:
                record, rows, columns = recorded(table), table.metadata.num_rows, table.schema_arrow.names
    except (OSError, ValueError):
        return None
    except pyarrow().ArrowException:  # apart, as pyarrow is not loaded for other files
        return None
    if record is None or (record.get("rows"), record.get("columns")) != (rows, columns):
        return None
    return record if path.name.endswith(result_ending(str(record.get("key")))) else None


def check_apart(results: Collection[Path], others: Sequence[Path]) -> None:
    """`DataError` if results of an earlier command may be meant as data: other Parquet files have the same columns.

    Args:
        results: of an earlier command.
        others: the other Parquet files.
    """
    of_results = {tuple(sorted(_columns(path) or ())): path for path in results}
    for path in others:
        columns = _columns(path)
        same = None if columns is None else of_results.get(tuple(sorted(columns)))
        if same is not None:
            raise DataError(
                f"{shown(same)} is a result of an earlier command, and {shown(path)} has the same columns: give a pattern that "
                "matches one kind, or move the results elsewhere"
            )


def _columns(path: Path) -> list[str] | None:
    """The names of the columns of a Parquet file; None if it cannot be read, which its reader says."""
    try:
        file = regular(path)
        if isinstance(file, str):
            return None
        with file, pyarrow().parquet.ParquetFile(file) as table:
            return list(table.schema_arrow.names)
    except (pyarrow().ArrowException, OSError, ValueError):
        return None


def _description(file: FileIO) -> bytes:
    """The description at the end of a Parquet file; empty if there is none."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - _TAIL))
    tail = file.read(_TAIL)
    length = int.from_bytes(tail[:4], "little")
    if not tail.endswith(_END) or length + _TAIL > end:
        return b""
    file.seek(end - _TAIL - length)
    return file.read(length)
