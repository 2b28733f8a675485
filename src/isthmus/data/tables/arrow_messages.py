"""What an Arrow file states of its batches, without their values. Its descriptions are FlatBuffers: tables whose fields have numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from isthmus.data.tables.arrow import pyarrow

__all__ = ["BatchHeader", "batch_header", "batch_offsets", "batch_starts"]

_END = 10  # bytes after the footer: its length and a mark
_BLOCK = 3  # of 8 bytes: an offset, the length of the header, and that of the values
_BATCHES = 3  # the numbers of the fields
_HEADER, _LENGTH, _COMPRESSION = 2, 0, 3
_OLD_COMPRESSION = b"ARROW:experimental_compression"  # the key in files of Arrow 0.17


class BatchHeader(NamedTuple):
    """What is stated of a batch: its rows, and whether its values are compressed."""

    rows: int
    packed: bool


def batch_offsets(content: Any) -> list[int]:
    """Where the batches of a file begin, from its footer.

    Args:
        content: the bytes of a file, a buffer of pyarrow.

    Raises:
        pyarrow.ArrowInvalid: the footer is damaged.
    """
    with _damage():
        end = content.size - _END
        footer = content[end - int.from_bytes(content[end : end + 4], "little") : end]
        place = _field(footer, _table(footer, 0), _BATCHES)
        if place is None:
            return []
        start = _table(footer, place)
        (count,) = struct.unpack_from("<I", footer, start)
        blocks = np.frombuffer(footer, "<i8", _BLOCK * count, start + 4)
        return [int(offset) for offset in blocks[::_BLOCK]]


def batch_starts(content: Any) -> list[int]:
    """Where the batches of a stream begin, from its messages one after the other.

    Args:
        content: the bytes of a stream, a buffer of pyarrow.

    Raises:
        pyarrow.ArrowException, OSError: the stream is damaged.
    """
    reader, starts = pyarrow().BufferReader(content), list[int]()
    while True:
        start = reader.tell()
        try:
            message = pyarrow().ipc.read_message(reader)
        except EOFError:
            return starts
        if message.type == "record batch":
            starts.append(start)


def batch_header(content: Any) -> BatchHeader:
    """What is stated of a batch.

    Args:
        content: the bytes of a file from the batch on, a buffer of pyarrow.

    Raises:
        pyarrow.ArrowInvalid: there is no batch.
    """
    with _damage():
        message = pyarrow().ipc.read_message(content)
        if message.type != "record batch":
            raise ValueError(f"a {message.type} is where a batch should be")
        header = message.metadata
        place = _field(header, _table(header, 0), _HEADER)
        if place is None:
            raise ValueError("a batch is without a description")
        batch = _table(header, place)
        length = _field(header, batch, _LENGTH)
        (rows,) = (0,) if length is None else struct.unpack_from("<q", header, length)
        if rows < 0:
            raise ValueError(f"a batch has {rows:,} rows")
        packed = _field(header, batch, _COMPRESSION) is not None or _OLD_COMPRESSION in header.to_pybytes()
        return BatchHeader(rows, packed)


def _table(content: Any, place: int) -> int:
    """Where the table, or the list, begins to which a place refers."""
    return place + int(struct.unpack_from("<I", content, place)[0])


def _field(content: Any, table: int, number: int) -> int | None:
    """The place of a field of a table; None if it has its default value."""
    fields = table - struct.unpack_from("<i", content, table)[0]
    (size,) = struct.unpack_from("<H", content, fields)
    entry = 4 + 2 * number
    if entry + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", content, fields + entry)
    return table + offset if offset else None


@contextmanager
def _damage() -> Iterator[None]:
    """What cannot be read is an error of pyarrow."""
    try:
        yield
    except (struct.error, ValueError, IndexError, EOFError) as error:
        raise pyarrow().ArrowInvalid(f"the description of its batches cannot be read: {error}") from error
