"""The compressed file, read with suspicion: docs/compressed-file.md says byte by byte what is in it. Nothing in it can run."""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.compression import entropy_coder
from isthmus.compression.frequency_tables import MOST, MOST_BITS, ROOTS, SHIFTS, Rice, Table, coded, fitted, uncoded
from isthmus.errors import DataError, MemoryLimitError
from isthmus.io.files import open_regular, read_exactly, shown
from isthmus.io.memory_limit import check_memory

__all__ = ["DTYPES", "Contents", "Packed", "damaged", "packed", "read"]

DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
_MAGIC, _VERSION, _CHECK = b"isthmus\x1a", 1, 8
_HEAD = struct.Struct("<8s4BQ3I16s")
_PER_BYTE = 1024  # examples, and numbers of their codes, that a byte of the file stands for at most
_ENTRIES = 2 * MOST
_TOGETHER, _FEWEST = 1 << 20, 64  # numbers of a block, and its fewest examples


@dataclass(frozen=True, eq=False)
class Contents:
    """What a compressed file holds.

    Attributes:
        model: 16 bytes that name the model.
        dtype: of the examples, one of `DTYPES`.
        numbers: whole numbers (n, places, channels).
        steps: (channels,) what one stands for; None where the numbers are entries of a codebook.
    """

    model: bytes
    dtype: str
    numbers: NDArray[np.int32]
    steps: NDArray[np.float32] | None


class Packed:
    """A compressed file that was read: what its header says, and its whole numbers, some examples at a time.

    Attributes:
        dtype, steps: as of `Contents`.
        shape: of all its numbers (n, places, channels).
    """

    def __init__(
        self,
        dtype: str,
        steps: NDArray[np.float32] | None,
        shape: tuple[int, int, int],
        words: NDArray[np.uint32],
        tables: list[Table],
    ) -> None:
        self.dtype, self.steps, self.shape, self._tables = dtype, steps, shape, tables
        n, positions, channels = shape
        self._rows = max(_FEWEST, _TOGETHER // (positions * channels))  # examples of a block
        self._still = [len(table.roots) == 1 and not table.shift for table in tables]
        moving = [table for table, still in zip(tables, self._still, strict=True) if not still]
        each = positions * channels // len(tables)  # numbers of an example in a column
        self._moving = entropy_coder.Blocks(words, n * each, moving, self._rows * each)

    def blocks(self) -> Iterator[NDArray[np.int32]]:
        """The numbers (k, places, channels) of some examples after others; what never changes takes memory but once."""
        n, positions, channels = self.shape
        for number, begin in enumerate(range(0, n, self._rows)):
            count = min(self._rows, n - begin)
            if all(self._still):
                row = np.array([table.low for table in self._tables], np.int32)
                yield np.broadcast_to(row, (count, positions, channels))
                continue
            columns = np.empty((count * positions * channels // len(self._tables), len(self._tables)), np.int32)
            columns[:, np.flatnonzero(~np.array(self._still))] = self._moving[number]
            for column in np.flatnonzero(self._still):
                columns[:, column] = self._tables[column].low
            yield columns.reshape(count, positions, channels)


def packed(contents: Contents) -> bytes:
    """The bytes of a compressed file. One table serves all channels where that is smaller."""
    n, positions, channels = contents.numbers.shape
    columns = contents.numbers.reshape(-1, channels)
    own = [fitted(column) for column in columns.T]
    one = fitted(columns.reshape(-1))
    shared = channels > 1 and one[1] < sum(bits for _, bits in own)
    tables = [one[0]] if shared else [table for table, _ in own]
    words = entropy_coder.encoded(columns.reshape(-1, len(tables)), tables)
    kind, dtype = int(contents.steps is None), DTYPES.index(contents.dtype)
    counts = (n, positions, channels, len(words))
    parts = [_HEAD.pack(_MAGIC, _VERSION, kind, dtype, shared, *counts, contents.model)]
    parts += [] if contents.steps is None else [contents.steps.astype("<f4").tobytes()]
    parts += [_table(table) for table in tables] + [words.astype("<u4").tobytes()]
    length = sum(map(len, parts)) + _CHECK
    parts.append(bytes(max(0, math.ceil(max(n, _coded(n * positions, channels, tables)) / _PER_BYTE) - length)))
    whole = b"".join(parts)
    return whole + _checksum(whole)


def _checksum(content: bytes | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECK).digest()


def _coded(rows: int, channels: int, tables: Sequence[Table]) -> int:
    """How many numbers there are, unless none takes a bit."""
    return rows * channels if any(len(table.roots) > 1 or table.shift > 0 for table in tables) else 0


def _table(table: Table) -> bytes:
    low = 2 * table.low if table.low >= 0 else -2 * table.low - 1
    rice = coded(table.roots)
    ends = np.cumsum(rice.quotients + 1) - 1
    unary = np.ones(ends[-1] + 1, np.uint8)
    unary[ends] = 0
    rests = (rice.rests[:, None] >> np.arange(rice.bits) & 1).astype(np.uint8)
    said, rest = (np.packbits(bits.reshape(-1), bitorder="little").tobytes() for bits in (unary, rests))
    head = _varint(low) + _varint(len(table.roots)) + bytes([table.shift, rice.bits]) + _varint(len(said))
    return head + said + rest


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    said = bytearray()
    while value > 127:
        said.append(value & 127 | 128)
        value >>= 7
    return bytes([*said, value])


def read(
    path: str | os.PathLike[str],
    model: bytes,
    positions: int,
    channels: int,
    numbers: int = 0,
    max_memory: int | None = None,
) -> Packed:
    """What a compressed file holds, known to be sound.

    Args:
        model: the 16 bytes that name the model that is there.
        places, channels: whole numbers of one of its codes.
        numbers: of one example.
        max_memory: bytes that the examples may take together; None for what is in proportion to the file.

    Raises:
        FileNotFoundError, PermissionError: as the system says.
        DataError: it is a link or no file, it is damaged in which way ever, or another model made it.
        MemoryLimitError: it promises more examples than are in proportion to it.
    """
    path = Path(path)
    with open_regular(path) as file:
        content = bytes(read_exactly(file, os.fstat(file.fileno()).st_size, shown(path)))
    try:
        return _Reader(content).contents(model, positions, channels, numbers, max_memory)
    except _OtherModelError as error:
        raise DataError(f"{shown(path)} {error}") from None
    except MemoryLimitError as error:
        raise MemoryLimitError(f"{shown(path)}: {error}") from None
    except (DataError, ValueError, IndexError) as error:
        raise damaged(path, str(error)) from None


def damaged(path: str | os.PathLike[str], reason: str) -> DataError:
    """What to raise for a file that is not what it ought to be."""
    return DataError(f"{shown(path)} is damaged or is no compressed file: {reason}")


class _OtherModelError(Exception):
    """A sound file of another model."""


class _Reader:
    """Takes a file apart from its beginning on; asks for no memory that the file has not shown to need."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place, self.end = content, 0, len(content) - _CHECK

    def contents(self, model: bytes, positions: int, channels: int, numbers: int, max_memory: int | None) -> Packed:
        head = self._head()
        kind, dtype, shared, n, own_positions, own_channels, count, own_model = head
        if own_model != model:
            raise _OtherModelError(f"was made by another model ({own_model.hex()}): open the run that made it")
        if (own_positions, own_channels) != (positions, channels):
            raise DataError(
                f"its codes are {own_positions} x {own_channels} numbers, and the model's {positions} x {channels}"
            )
        steps = None if kind else np.frombuffer(self._take(4 * channels), "<f4").astype(np.float32)
        if steps is not None and not (np.isfinite(steps) & (steps > 0)).all():
            raise DataError("a step is no number greater than 0")
        tables = [self._table() for _ in range(1 if shared else channels)]
        if max(n, _coded(n * positions, channels, tables)) > _PER_BYTE * len(self.content):
            raise DataError(f"{n:,} examples are more than its {len(self.content):,} bytes can hold")
        asked = n * max(numbers * np.dtype(DTYPES[dtype]).itemsize, 4 * positions * channels)
        what = f"unpacking {n:,} examples from {len(self.content):,} bytes"
        check_memory(asked, what, given=len(self.content), max_memory=max_memory)
        words = np.frombuffer(self._take(4 * count), "<u4").astype(np.uint32)
        if any(self._take(self.end - self.place)):
            raise DataError("something follows its words")
        return Packed(DTYPES[dtype], steps, (n, positions, channels), words, tables)

    def _head(self) -> tuple[Any, ...]:
        magic, version, *head = _HEAD.unpack(self._take(_HEAD.size))
        if magic != _MAGIC:
            raise DataError("it does not begin as one")
        if version != _VERSION:
            raise DataError(
                f"it has version {version}, and this isthmus reads version {_VERSION}; install a newer isthmus"
            )
        if _checksum(memoryview(self.content)[: self.end]) != self.content[self.end :]:
            raise DataError("its checksum is not that of its content")
        kind, dtype, shared, n, positions, channels, *_ = head
        if max(kind, shared) > 1 or dtype >= len(DTYPES) or min(n, positions, channels) == 0:
            raise DataError("its header says what cannot be")
        return tuple(head)

    def _take(self, size: int) -> bytes:
        if size > self.end - self.place:
            raise DataError(f"it is cut short: {size:,} bytes are missing at byte {self.place:,}")
        self.place += size
        return self.content[self.place - size : self.place]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 28, 7):
            byte = self._take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise DataError(f"the number at byte {self.place - 4:,} is too long")

    def _table(self) -> Table:
        low, entries = self._varint(), self._varint()
        low = -(low + 1 >> 1) if low & 1 else low >> 1
        shift, bits = self._take(2)
        if not (0 < entries <= _ENTRIES and shift <= SHIFTS and bits <= MOST_BITS):
            raise DataError(f"the table before byte {self.place:,} cannot be")
        if low << shift < -2 * MOST or (low + entries) << shift > 2 * MOST:
            raise DataError(f"the table before byte {self.place:,} has numbers that are too large")
        unary = np.frombuffer(self._take(self._varint()), np.uint8)
        ends = np.flatnonzero(np.unpackbits(unary, bitorder="little") == 0)
        rest = np.frombuffer(self._take((entries * bits + 7) // 8), np.uint8)
        if len(ends) < entries or ends[entries - 1] // 8 + 1 != len(unary):
            raise DataError(f"the table before byte {self.place:,} has not as many entries as it says")
        flat = np.unpackbits(rest, count=entries * bits, bitorder="little").reshape(entries, bits)
        quotients = np.diff(ends[:entries], prepend=-1) - 1
        roots = uncoded(Rice(bits, quotients, (flat.astype(np.int64) << np.arange(bits)).sum(1)))
        if not (roots[0] and roots[-1]) or roots.min() < 0 or roots.max() > ROOTS:
            raise DataError(f"the table before byte {self.place:,} has entries that cannot be")
        return Table(low, shift, roots)
