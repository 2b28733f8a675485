"""The files that are read: their blocks, their columns and their rows."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from isthmus.data.arrays import read_npy
from isthmus.data.file_sets import FileSet
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.arrow_files import open_arrow
from isthmus.errors import DataError
from isthmus.io.files import open_regular, shown
from isthmus.io.memory_limit import check_memory

__all__ = ["InputFile", "Rows", "check_unchanged", "columns_of", "describe", "rows_of"]

_SLICE = 2**14  # rows of a block of an array
_BUFFER = 2**16  # bytes of a column that are read at once
_BYTES = 8  # of a value in a compressed batch, which is in memory as a whole
_SMALLER = "write the file without compression, with smaller batches, or as Parquet"
_ARROW_END, _PARQUET_END = b"ARROW1", b"PAR1"


class InputFile(NamedTuple):
    """A file, without its values.

    Attributes:
        path: of the file.
        name: relative to the folder of all files, with / between folders.
        kind: "parquet", "arrow" or "npy".
        size: in bytes.
        mtime_ns: the time of the last change, in nanoseconds since 1970.
        footer: the SHA-256 of the description of its columns and blocks.
        sizes: the rows of each block: a row group, a record batch, or a slice of an array.
        columns: the names of the columns; None for an array.
        types: what each of them holds.
        width: the values of a row.
        constants: the columns in the names of its folders, such as year=2024/: names and values, as they are
            copied to the results. `columns` has them too.
    """

    path: Path
    name: str
    kind: str
    size: int
    mtime_ns: int
    footer: str
    sizes: tuple[int, ...]
    columns: tuple[str, ...] | None
    types: tuple[str, ...]
    width: int
    constants: tuple[tuple[str, int | str | None], ...] = ()


class Rows(NamedTuple):
    """Some neighboring rows of a file.

    Attributes:
        first: the number of the first one in the file, from 0.
        values: a pyarrow table, or an array (n, *shape).
    """

    first: int
    values: Any


def columns_of(path: Path, kind: str) -> tuple[str, ...]:
    """The names of the columns of a table in a file."""
    with _damage_as_data_error(path), open_regular(path) as file:
        if kind == "parquet":
            return tuple(pyarrow().parquet.ParquetFile(file).schema_arrow.names)
        return tuple(pyarrow().ipc.open_file(file).schema.names)


def describe(files: FileSet, number: int) -> InputFile:
    """One of the files, without its values.

    Raises:
        DataError: it is damaged.
    """
    path = files.files[number]
    how = {"parquet": _describe_parquet, "arrow": _describe_arrow, "npy": _describe_npy}[files.format]
    with _damage_as_data_error(path):
        stat = path.stat()
        footer, sizes, schema, width = how(path)
    columns, types = (
        (None, ()) if schema is None else (_unique(tuple(schema.names), path), tuple(map(str, schema.types)))
    )
    name = path.relative_to(files.base).as_posix()
    constants = tuple((each.name, each.kept[number]) for each in files.partitions)
    twice = next((each for each, _ in constants if each in (columns or ())), None)
    if twice is not None:
        raise DataError(
            f"column {twice!r} of {shown(path)} is in the file and in the name of its folder: rename one of them"
        )
    if columns is not None:
        columns = (*columns, *(name for name, _ in constants))
        types = (*types, *(str(pyarrow().scalar(value).type) for _, value in constants))
    described = (footer, sizes, columns, types, width, constants)
    return InputFile(path.absolute(), name, files.format, stat.st_size, stat.st_mtime_ns, *described)


def check_unchanged(path: Path, size: int, mtime_ns: int) -> None:
    """`DataError` if a file is not there any more, or has changed since it was described."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise DataError(
            f"there is no file {shown(path)} now: put it back, or with --engine ray give a folder that all machines see at the same path"
        ) from None
    if (stat.st_size, stat.st_mtime_ns) != (size, mtime_ns):
        raise DataError(f"{shown(path)} has changed since the work began: run the same command again")


def rows_of(
    path: Path, kind: str, blocks: range, first: int, at_once: int, columns: Sequence[str] | None
) -> Iterator[Rows]:
    """The rows of some neighboring blocks, some at a time.

    Args:
        path: the file.
        kind: its format.
        blocks: the numbers of the blocks.
        first: the number of their first row in the file.
        at_once: the largest number of rows that are read together.
        columns: those that are read; None: all.

    Raises:
        DataError: the file is damaged.
    """
    if kind == "npy":
        values = read_npy(path)
        end = min(len(values), blocks.stop * _SLICE)
        yield from (Rows(begin, values[begin : min(end, begin + at_once)]) for begin in range(first, end, at_once))
        return
    read = _parquet_batches if kind == "parquet" else _arrow_batches
    batches = read(path, blocks, at_once, columns)
    while True:
        with _damage_as_data_error(path):
            batch = next(batches, None)
        if batch is None:
            return
        yield Rows(first, pyarrow().Table.from_batches([batch]))
        first += len(batch)


def _parquet_batches(path: Path, blocks: range, at_once: int, columns: Sequence[str] | None) -> Iterator[Any]:
    with open_regular(path) as file:
        table = pyarrow().parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)  # a row group may be large
        yield from table.iter_batches(at_once, row_groups=list(blocks), columns=columns, use_threads=False)


def _arrow_batches(path: Path, blocks: range, at_once: int, columns: Sequence[str] | None) -> Iterator[Any]:
    with closing(open_arrow(path)) as file:
        names = file.schema.names if columns is None else columns
        for number in blocks:
            needed = _BYTES * file.unpacked_of(number) * len(names)
            check_memory(needed, f"a compressed batch of {shown(path)}", how=_SMALLER)
            yield from file.batches(number, at_once, names)


@contextmanager
def _damage_as_data_error(path: Path) -> Iterator[None]:
    """Errors of pyarrow become a `DataError` that names the file."""
    try:
        yield
    except (pyarrow().ArrowException, OSError, UnicodeDecodeError, OverflowError, KeyError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise DataError(f"{shown(path)} is damaged or cannot be read ({reason}): write it again") from error


def _describe_parquet(path: Path) -> tuple[str, tuple[int, ...], Any, int]:
    with open_regular(path) as file:
        metadata = pyarrow().parquet.ParquetFile(file).metadata
        footer = _footer(file, path, 8, _PARQUET_END)
        sizes = tuple(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
        schema = metadata.schema.to_arrow_schema()
    return footer, sizes, schema, max(1, len(schema))


def _describe_arrow(path: Path) -> tuple[str, tuple[int, ...], Any, int]:
    with open_regular(path) as file:
        if file.read(len(_ARROW_END)) != _ARROW_END:
            raise DataError(
                f"{shown(path)} is no Arrow file with a list of its batches, as streams and Feather files of version 1 are none: write it "
                "with pyarrow.ipc.new_file, or as Parquet"
            )
        footer = _footer(file, path, 10, _ARROW_END)
    with closing(open_arrow(path)) as opened:
        return footer, tuple(opened.sizes), opened.schema, max(1, len(opened.schema))


def _describe_npy(path: Path) -> tuple[str, tuple[int, ...], None, int]:
    values = read_npy(path)
    if values.ndim < 2:
        raise DataError(f"{shown(path)} has the shape {values.shape}: expected examples, (n, *shape)")
    sizes = tuple(min(_SLICE, len(values) - begin) for begin in range(0, len(values), _SLICE))
    footer = hashlib.sha256(f"{values.shape} {values.dtype.str} {values.flags.f_contiguous}".encode()).hexdigest()
    return footer, sizes, None, math.prod(values.shape[1:])


def _footer(file: Any, path: Path, tail: int, mark: bytes) -> str:
    """The SHA-256 of the description at the end of a file: its length, in four bytes, stands before the mark."""
    end = file.seek(0, os.SEEK_END)
    file.seek(end - tail)
    last = file.read(tail)
    length = int.from_bytes(last[: tail - len(mark)][:4], "little")
    if not last.endswith(mark) or length + tail > end:
        raise DataError(f"{shown(path)} is damaged: its end is missing; write it again")
    file.seek(end - tail - length)
    return hashlib.sha256(file.read(length)).hexdigest()


def _unique(names: tuple[str, ...], path: Path) -> tuple[str, ...]:
    """The names; `DataError` if one occurs twice."""
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise DataError(f"column {twice!r} occurs twice in {shown(path)}: rename one of them")
    return names
