"""One file of columns with types, Parquet or Arrow, as groups of rows that are read when they are needed."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from isthmus.data.memmap import release_pages
from isthmus.data.tables.arrow import pyarrow
from isthmus.errors import DataError
from isthmus.io.files import open_regular, shown

__all__ = ["ArrowFile", "Stamp", "damage_named", "open_arrow"]

Stamp = tuple[int, int]  # bytes of a file, and when it was changed

_PARQUET = {".parquet", ".pq"}
_BUFFER = 1 << 16  # bytes of a column that are read at once
_FEATHER_1 = b"FEA1"


class ArrowFile(ABC):
    """An open file.

    Attributes:
        path: of the file.
        name: its path, safe to print.
        stamp: which content it has.
        schema: the types of its columns, of pyarrow.
        sizes: the rows of each group.
    """

    schema: Any
    sizes: Sequence[int]

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.name, self._file = path, shown(path), file
        status = os.fstat(file.fileno())
        self.stamp: Stamp = (status.st_size, status.st_mtime_ns)

    @abstractmethod
    def _batches(self, group: int, rows: int, names: Sequence[str]) -> Iterator[Any]:
        """The rows of a group in batches of at most `rows`, with at least the columns of these names."""

    def batches(self, group: int, rows: int, names: Sequence[str]) -> Iterator[Any]:
        """`_batches`, whose errors name the file.

        Args:
            group: its number, from 0.
            rows: of a batch, at most.
            names: of the columns to read; without any, those that take least.

        Raises:
            DataError: the file is damaged, or has other rows than it states.
        """
        batches, seen = self._batches(group, rows, names), 0
        while True:
            with damage_named(self.name):
                batch = next(batches, None)
            if batch is None:
                break
            seen += len(batch)
            yield batch
        if seen != self.sizes[group]:
            raise DataError(
                f"{self.name} is damaged: it declares {self.sizes[group]:,} rows in a group, but {seen:,} are there"
            )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class _ParquetFile(ArrowFile):
    """A Parquet file, in row groups. The metadata of a damaged column can abort the process: only the counts of rows are used."""

    def __init__(self, path: Path, file: BinaryIO, texts: Collection[str] = ()) -> None:
        super().__init__(path, file)
        with damage_named(self.name):
            self._table = pyarrow().parquet.ParquetFile(
                file, read_dictionary=sorted(texts), buffer_size=_BUFFER, pre_buffer=False
            )  # pages are read when they are needed: a whole group may be large
            self.schema = self._table.schema_arrow
            metadata = self._table.metadata
            self.sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
            if sum(self.sizes) != metadata.num_rows:
                raise DataError(
                    f"{self.name} is damaged: its footer declares {metadata.num_rows:,} rows, but {sum(self.sizes):,} are there"
                )

    def _batches(self, group: int, rows: int, names: Sequence[str]) -> Iterator[Any]:
        yield from self._table.iter_batches(rows, row_groups=[group], columns=list(names))


class _IpcFile(ArrowFile):
    """An Arrow or Feather file, in its batches. It is memory-mapped, as a batch may be large."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(path, file)
        with damage_named(self.name):
            self._map = np.memmap(file, mode="r")
            self.schema = self._reader([]).schema
            lean = self._reader(self.schema.names[:1])  # of a compressed file only one column is read
            self.sizes = [lean.get_batch(number).num_rows for number in range(lean.num_record_batches)]

    def _reader(self, names: Sequence[str]) -> Any:
        """A reader of some columns; without names of all."""
        arrow, wanted = pyarrow(), set(names)
        positions = None
        if names:
            positions = [position for position, name in enumerate(self.schema.names) if name in wanted]
        options = arrow.ipc.IpcReadOptions(included_fields=positions)
        return arrow.ipc.open_file(arrow.py_buffer(self._map), options=options)

    def _batches(self, group: int, rows: int, names: Sequence[str]) -> Iterator[Any]:
        yield from _slices(self._reader(names or self.schema.names[:1]).get_batch(group), rows)
        release_pages(self._map)


class _IpcStream(ArrowFile):
    """An Arrow file in the format of a stream, as `datasets` writes it, in its batches."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(path, file)
        with damage_named(self.name):
            self._map = np.memmap(file, mode="r")
            content = pyarrow().BufferReader(pyarrow().py_buffer(self._map))
            stream = pyarrow().ipc.open_stream(content)
            self.schema = stream.schema
            if any(pyarrow().types.is_dictionary(field.type) for field in self.schema):
                raise DataError(
                    f"{self.name} is a stream of Arrow with dictionaries, which cannot be read from the middle: write it as a file "
                    "(pyarrow.ipc.new_file, or Parquet)"
                )
            self._starts, self.sizes = list[int](), list[int]()
            while True:
                start = content.tell()
                try:
                    batch = stream.read_next_batch()
                except StopIteration:
                    break
                self._starts.append(start)
                self.sizes.append(batch.num_rows)

    def _batches(self, group: int, rows: int, names: Sequence[str]) -> Iterator[Any]:
        ipc, content = pyarrow().ipc, pyarrow().py_buffer(self._map)
        yield from _slices(ipc.read_record_batch(content[self._starts[group] :], self.schema), rows)
        release_pages(self._map)


def _slices(batch: Any, rows: int) -> Iterator[Any]:
    """A batch in parts of at most `rows` rows. Each is validated: in a damaged file a text may begin outside of it."""
    for begin in range(0, batch.num_rows, rows):
        part = batch.slice(begin, rows)
        part.validate(full=True)
        yield part


def open_arrow(path: Path, texts: Collection[str] = ()) -> ArrowFile:
    """Opens a Parquet, Arrow or Feather file; the metadata are read, and no value.

    Args:
        path: the file.
        texts: the columns of text of a Parquet file that are read as different texts and their numbers.

    Raises:
        DataError: the file is damaged, a link, or no regular file.
    """
    file = open_regular(path)
    try:
        opened = _opened(path, file, texts)
        with damage_named(opened.name):
            opened.schema.names  # noqa: B018  # an error if they are no UTF-8
        return opened
    except BaseException:
        file.close()
        raise


def _opened(path: Path, file: BinaryIO, texts: Collection[str]) -> ArrowFile:
    """A file in its format."""
    if path.suffix.lower() in _PARQUET:
        return _ParquetFile(path, file, texts)
    head = file.read(6)
    file.seek(0)
    if head.startswith(_FEATHER_1):
        raise DataError(f"{shown(path)} is a Feather file of version 1: write it again with version 2, or as Parquet")
    return _IpcFile(path, file) if head == b"ARROW1" else _IpcStream(path, file)


@contextmanager
def damage_named(name: str) -> Iterator[None]:
    """Errors of pyarrow become a `DataError`."""
    try:
        yield
    except (pyarrow().ArrowException, OSError, UnicodeDecodeError) as error:
        kind = "Parquet" if Path(name).suffix.lower() in _PARQUET else "Arrow"
        raise DataError(f"{name} is a damaged {kind} file ({error}): write it again") from error
