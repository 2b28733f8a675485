"""The compressed file, as docs/compressed-file.md specifies it. Every field is checked when it is read; it contains no code."""

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
from isthmus.compression.frequency_tables import (
    MAX_INTEGER,
    MAX_RICE_BITS,
    MAX_ROOT,
    MAX_SHIFT,
    RiceCode,
    Table,
    best_table,
    rice_decode,
    rice_encode,
)
from isthmus.errors import DataError, MemoryLimitError
from isthmus.io.files import open_regular, read_exactly, shown
from isthmus.io.memory_limit import check_memory

__all__ = ["DTYPES", "CompressedFile", "FileContents", "damaged_file_error", "pack", "read"]

DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
_MAGIC, _VERSION, _CHECKSUM_BYTES = b"isthmus\x1a", 1, 8
_HEADER = struct.Struct("<8s4BQ3I16s")
_MAX_PER_BYTE = 1024  # examples, or integers of their codes, per byte of the file
_MAX_ENTRIES = 2 * MAX_INTEGER
_BLOCK_INTEGERS, _MIN_BLOCK_ROWS = 1 << 20, 64  # size of a block in integers, and its least number of examples


@dataclass(frozen=True, eq=False)
class FileContents:
    """The contents of a compressed file.

    Attributes:
        model: 16 bytes that identify the model.
        dtype: dtype of the examples, one of `DTYPES`.
        integers: quantized codes (n, positions, channels).
        steps: (channels,) step of each channel; None where the integers are codebook indices.
    """

    model: bytes
    dtype: str
    integers: NDArray[np.int32]
    steps: NDArray[np.float32] | None


class CompressedFile:
    """A compressed file that was read: its header, and its integers block by block.

    Attributes:
        dtype, steps: as in `FileContents`.
        shape: shape of the integers (n, positions, channels).
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
        self._rows = max(_MIN_BLOCK_ROWS, _BLOCK_INTEGERS // (positions * channels))  # examples of a block
        self._constant = [len(table.roots) == 1 and not table.shift for table in tables]
        varying = [table for table, constant in zip(tables, self._constant, strict=True) if not constant]
        per_example = positions * channels // len(tables)  # integers of an example in a column
        self._decoder = entropy_coder.BlockDecoder(words, n * per_example, varying, self._rows * per_example)

    def blocks(self) -> Iterator[NDArray[np.int32]]:
        """The integers (k, positions, channels), a block of k examples at a time; constant blocks share memory."""
        n, positions, channels = self.shape
        for number, begin in enumerate(range(0, n, self._rows)):
            count = min(self._rows, n - begin)
            if all(self._constant):
                row = np.array([table.low for table in self._tables], np.int32)
                yield np.broadcast_to(row, (count, positions, channels))
                continue
            columns = np.empty((count * positions * channels // len(self._tables), len(self._tables)), np.int32)
            columns[:, np.flatnonzero(~np.array(self._constant))] = self._decoder[number]
            for column in np.flatnonzero(self._constant):
                columns[:, column] = self._tables[column].low
            yield columns.reshape(count, positions, channels)


def pack(contents: FileContents) -> bytes:
    """The bytes of a compressed file, with a table for each channel or one for all, whichever is smaller."""
    n, positions, channels = contents.integers.shape
    columns = contents.integers.reshape(-1, channels)
    by_channel = [best_table(column) for column in columns.T]
    common = best_table(columns.reshape(-1))
    shared = channels > 1 and common[1] < sum(bits for _, bits in by_channel)
    tables = [common[0]] if shared else [table for table, _ in by_channel]
    words = entropy_coder.encode(columns.reshape(-1, len(tables)), tables)
    kind, dtype = int(contents.steps is None), DTYPES.index(contents.dtype)
    counts = (n, positions, channels, len(words))
    parts = [_HEADER.pack(_MAGIC, _VERSION, kind, dtype, shared, *counts, contents.model)]
    parts += [] if contents.steps is None else [contents.steps.astype("<f4").tobytes()]
    parts += [_table_bytes(table) for table in tables] + [words.astype("<u4").tobytes()]
    length = sum(map(len, parts)) + _CHECKSUM_BYTES
    min_length = math.ceil(max(n, _n_coded(n * positions, channels, tables)) / _MAX_PER_BYTE)
    parts.append(bytes(max(0, min_length - length)))
    content = b"".join(parts)
    return content + _checksum(content)


def _checksum(content: bytes | memoryview) -> bytes:
    """The checksum at the end of the file."""
    return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES).digest()


def _n_coded(rows: int, channels: int, tables: Sequence[Table]) -> int:
    """The number of integers; 0 if all are constant and need no bits."""
    return rows * channels if any(len(table.roots) > 1 or table.shift > 0 for table in tables) else 0


def _table_bytes(table: Table) -> bytes:
    """A table of the file."""
    low = 2 * table.low if table.low >= 0 else -2 * table.low - 1
    rice = rice_encode(table.roots)
    ends = np.cumsum(rice.quotients + 1) - 1
    unary = np.ones(ends[-1] + 1, np.uint8)
    unary[ends] = 0
    remainder_bits = (rice.remainders[:, None] >> np.arange(rice.bits) & 1).astype(np.uint8)
    quotients, remainders = (
        np.packbits(bits.reshape(-1), bitorder="little").tobytes() for bits in (unary, remainder_bits)
    )
    header = _varint(low) + _varint(len(table.roots)) + bytes([table.shift, rice.bits]) + _varint(len(quotients))
    return header + quotients + remainders


def _varint(value: int) -> bytes:
    """An integer with seven bits per byte, the lowest first; the eighth bit marks a following byte."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def read(
    path: str | os.PathLike[str],
    model: bytes,
    positions: int,
    channels: int,
    n_features: int = 0,
    max_memory: int | None = None,
) -> CompressedFile:
    """Reads a compressed file and checks all of it.

    Args:
        path: the file.
        model: the 16 bytes that identify the model.
        positions: positions of one of its codes.
        channels: channels of one of its codes.
        n_features: number of features of one example.
        max_memory: the most bytes that all examples may need; None for a limit in proportion to the file.

    Returns:
        The header and the integers.

    Raises:
        FileNotFoundError: the file does not exist.
        PermissionError: the file must not be read.
        DataError: it is a link or not a file, it is damaged, or another model made it.
        MemoryLimitError: its examples need more memory than the limit.
    """
    path = Path(path)
    with open_regular(path) as file:
        content = bytes(read_exactly(file, os.fstat(file.fileno()).st_size, shown(path)))
    try:
        return _Reader(content).contents(model, positions, channels, n_features, max_memory)
    except _OtherModelError as error:
        raise DataError(f"{shown(path)} {error}") from None
    except MemoryLimitError as error:
        raise MemoryLimitError(f"{shown(path)}: {error}") from None
    except (DataError, ValueError, IndexError) as error:
        raise damaged_file_error(path, str(error)) from None


def damaged_file_error(path: str | os.PathLike[str], reason: str) -> DataError:
    """The error for a damaged file."""
    return DataError(f"{shown(path)} is damaged or is not a compressed file: {reason}")


class _OtherModelError(Exception):
    """The file is intact but was made by another model."""


class _Reader:
    """Parses a file from beginning to end. Allocates only memory in proportion to the bytes that are present."""

    def __init__(self, content: bytes) -> None:
        self.content, self.position, self.end = content, 0, len(content) - _CHECKSUM_BYTES

    def contents(
        self, model: bytes, positions: int, channels: int, n_features: int, max_memory: int | None
    ) -> CompressedFile:
        """The checked contents of the file."""
        kind, dtype, shared, n, file_positions, file_channels, n_words, file_model = self._header()
        if file_model != model:
            raise _OtherModelError(
                f"was made by another model ({file_model.hex()}): give the run or model file that compressed it"
            )
        if (file_positions, file_channels) != (positions, channels):
            raise DataError(
                f"its codes have {file_positions} x {file_channels} values, and those of the model {positions} x {channels}"
            )
        steps = None if kind else np.frombuffer(self._take(4 * channels), "<f4").astype(np.float32)
        if steps is not None and not (np.isfinite(steps) & (steps > 0)).all():
            raise DataError("a step is not a number greater than 0")
        tables = [self._table() for _ in range(1 if shared else channels)]
        if max(n, _n_coded(n * positions, channels, tables)) > _MAX_PER_BYTE * len(self.content):
            raise DataError(f"{n:,} examples do not fit in its {len(self.content):,} bytes")
        needed = n * max(n_features * np.dtype(DTYPES[dtype]).itemsize, 4 * positions * channels)
        what = f"unpacking {n:,} examples from {len(self.content):,} bytes"
        check_memory(needed, what, given=len(self.content), max_memory=max_memory)
        words = np.frombuffer(self._take(4 * n_words), "<u4").astype(np.uint32)
        if any(self._take(self.end - self.position)):
            raise DataError("it has other bytes than zeros after its words")
        return CompressedFile(DTYPES[dtype], steps, (n, positions, channels), words, tables)

    def _header(self) -> tuple[Any, ...]:
        """The fields of the header after the version."""
        magic, version, *fields = _HEADER.unpack(self._take(_HEADER.size))
        if magic != _MAGIC:
            raise DataError("its first bytes are not those of a compressed file")
        if version != _VERSION:
            raise DataError(
                f"it has version {version}, and this isthmus reads version {_VERSION}; install a newer isthmus"
            )
        if _checksum(memoryview(self.content)[: self.end]) != self.content[self.end :]:
            raise DataError("its checksum does not match its content")
        kind, dtype, shared, n, positions, channels, *_ = fields
        if max(kind, shared) > 1 or dtype >= len(DTYPES) or min(n, positions, channels) == 0:
            raise DataError("its header has an invalid field")
        return tuple(fields)

    def _take(self, size: int) -> bytes:
        """The next bytes."""
        if size > self.end - self.position:
            raise DataError(f"it is truncated: {size:,} bytes are missing at byte {self.position:,}")
        self.position += size
        return self.content[self.position - size : self.position]

    def _varint(self) -> int:
        """The next integer of up to four bytes."""
        value = 0
        for shift in range(0, 28, 7):
            byte = self._take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise DataError(f"the integer at byte {self.position - 4:,} is too long")

    def _table(self) -> Table:
        """The next table."""
        low, entries = self._varint(), self._varint()
        low = -(low + 1 >> 1) if low & 1 else low >> 1
        shift, bits = self._take(2)
        if not (0 < entries <= _MAX_ENTRIES and shift <= MAX_SHIFT and bits <= MAX_RICE_BITS):
            raise DataError(f"the table before byte {self.position:,} has an invalid field")
        if low << shift < -2 * MAX_INTEGER or (low + entries) << shift > 2 * MAX_INTEGER:
            raise DataError(f"the table before byte {self.position:,} has integers that are too large")
        unary = np.frombuffer(self._take(self._varint()), np.uint8)
        ends = np.flatnonzero(np.unpackbits(unary, bitorder="little") == 0)
        packed_remainders = np.frombuffer(self._take((entries * bits + 7) // 8), np.uint8)
        if len(ends) < entries or ends[entries - 1] // 8 + 1 != len(unary):
            raise DataError(f"the table before byte {self.position:,} has another number of entries than it states")
        remainder_bits = np.unpackbits(packed_remainders, count=entries * bits, bitorder="little").reshape(
            entries, bits
        )
        quotients = np.diff(ends[:entries], prepend=-1) - 1
        roots = rice_decode(RiceCode(bits, quotients, (remainder_bits.astype(np.int64) << np.arange(bits)).sum(1)))
        if not (roots[0] and roots[-1]) or roots.min() < 0 or roots.max() > MAX_ROOT:
            raise DataError(f"the table before byte {self.position:,} has invalid entries")
        return Table(low, shift, roots)
