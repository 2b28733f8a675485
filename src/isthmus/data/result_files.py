"""Parquet files that an earlier bulk command wrote: results, which are no data beside the files that they were computed from."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

from isthmus.data.tables.arrow import pyarrow
from isthmus.io.files import regular

__all__ = ["RECORD", "is_result"]

RECORD = b"isthmus.task"  # the key of the record in the metadata of such a file
_END, _TAIL = b"PAR1", 8  # a Parquet file ends with the length of its description, in four bytes, and this mark


def is_result(path: Path) -> bool:
    """Whether a file is a result of `isthmus.scaleout.run`, by its record. A damaged file and one of another format are none."""
    try:
        file = regular(path)
        if isinstance(file, str):
            return False
        with file:
            if RECORD not in _description(file):  # without pyarrow, as most files are none
                return False
            file.seek(0)
            return RECORD in (pyarrow().parquet.ParquetFile(file).metadata.metadata or {})
    except OSError:
        return False
    except pyarrow().ArrowException:
        return False


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
