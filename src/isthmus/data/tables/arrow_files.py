"""One file of columns with types, Parquet or Arrow, as groups of rows that are read when they are needed."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from isthmus.data.memmap import release_pages
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.arrow_messages import BatchHeader, batch_header, batch_offsets, batch_starts
from isthmus.errors import DataError
from isthmus.io.files import open_regular, shown

__all__ = ["ArrowFile", "Stamp", "damage_named", "open_arrow"]

Stamp = tuple[int, int]  # bytes of a file, and when it was changed

_PARQUET = {".parquet", ".pq"}
_BUFFER = 1 << 16  # bytes of a column that are read at once
_FEATHER_1 = b"FEA1"
_RELEASED = 1 << 26  # bytes that are read before pages are released


class ArrowFile(ABC):
    """An open file.

    Attributes:
        path: of the file.
        name: its path, safe to print.
        stamp: which content it has.
        schema: the types of its columns, of pyarrow.
        sizes: the rows of each group.
        unpacked: the rows of the largest group, if groups are compressed as a whole, so that each is in memory as a whole; else 0.
    """

    schema: Any
    sizes: Sequence[int]
    unpacked = 0

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
        declared = self.rows_of(group)
        if seen != declared:
            raise DataError(f"{self.name} is damaged: it declares {declared:,} rows in a group, but {seen:,} are there")

    def rows_of(self, group: int) -> int:
        """The rows of a group.

        Args:
            group: its number, from 0.
        """
        return self.sizes[group]

    def unpacked_of(self, group: int) -> int:
        """The rows of a group if it is compressed as a whole; else 0.

        Args:
            group: its number, from 0.
        """
        return 0

    def _positions(self, names: Sequence[str]) -> list[int]:
        """The positions of the columns of these names; without any, those that take least."""
        wanted = set(names or self.schema.names[:1])
        return [position for position, name in enumerate(self.schema.names) if name in wanted]

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
    """An Arrow or Feather file, in its batches. It is memory-mapped, as a batch may be large: of values that are not compressed, only the
    rows that are used are read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(path, file)
        with damage_named(self.name):
            self._map = np.memmap(file, mode="r")
            self._content = pyarrow().py_buffer(self._map)
            self.schema = pyarrow().ipc.open_file(self._content).schema
            self._offsets = batch_offsets(self._content)

    def _header(self, group: int) -> BatchHeader:
        with damage_named(self.name):
            return batch_header(self._content[self._offsets[group] :])

    @cached_property
    def _headers(self) -> list[BatchHeader]:
        """Of all groups; who needs a few of many does not read them."""
        return [self._header(group) for group in range(len(self._offsets))]

    @property
    def sizes(self) -> Sequence[int]:  # type: ignore[override]  # it is never set
        """The rows of each group."""
        return [header.rows for header in self._headers]

    @property
    def unpacked(self) -> int:  # type: ignore[override]
        """The rows of the largest compressed group; 0 without any."""
        return max((header.rows for header in self._headers if header.packed), default=0)

    def rows_of(self, group: int) -> int:
        return self._header(group).rows

    def unpacked_of(self, group: int) -> int:
        header = self._header(group)
        return header.rows if header.packed else 0

    def _batches(self, group: int, rows: int, names: Sequence[str]) -> Iterator[Any]:
        if self.unpacked_of(group):
            options = pyarrow().ipc.IpcReadOptions(included_fields=self._positions(names))  # others are not unpacked
            batch = pyarrow().ipc.open_file(self._content, options=options).get_batch(group)
        else:
            batch = pyarrow().ipc.open_file(self._content).get_batch(group).select(self._positions(names))
        yield from _slices(batch, rows, self._map)


class _IpcStream(ArrowFile):
    """An Arrow file in the format of a stream, as `datasets` writes it, in its batches."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(path, file)
        with damage_named(self.name):
            self._map = np.memmap(file, mode="r")
            buffer = pyarrow().py_buffer(self._map)
            self.schema = pyarrow().ipc.open_stream(buffer).schema
            if any(pyarrow().types.is_dictionary(field.type) for field in self.schema):
                raise DataError(
                    f"{self.name} is a stream of Arrow with dictionaries, which cannot be read from the middle: write it as a file "
                    "(pyarrow.ipc.new_file, or Parquet)"
                )
            starts = batch_starts(buffer)
            headers = [batch_header(buffer[start:]) for start in starts]
            self._starts, self.sizes = starts, [header.rows for header in headers]
            self.unpacked = max((header.rows for header in headers if header.packed), default=0)

    def _batches(self, group: int, rows: int, names: Sequence[str]) -> Iterator[Any]:
        ipc, content = pyarrow().ipc, pyarrow().py_buffer(self._map)
        batch = ipc.read_record_batch(content[self._starts[group] :], self.schema)
        yield from _slices(batch.select(self._positions(names)), rows, self._map)


def _slices(batch: Any, rows: int, mapped: np.memmap[Any, Any]) -> Iterator[Any]:
    """A batch in parts of at most `rows` rows, after which the pages of its file are released.

    Each is validated: in a damaged file a text may begin outside of it.
    """
    used = 0
    for begin in range(0, batch.num_rows, rows):
        part = batch.slice(begin, rows)
        part.validate(full=True)
        yield part
        used += part.nbytes
        if used > _RELEASED:
            release_pages(mapped)
            used = 0
    release_pages(mapped)


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
