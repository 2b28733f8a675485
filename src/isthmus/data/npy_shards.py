"""Files in the format .npy that are parts of one array: (n_i, *shape) each."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.arrays import read_npy
from isthmus.data.blocks import BlockRows
from isthmus.data.dataset import Dataset
from isthmus.data.file_sets import FileSet
from isthmus.data.kinds import Kind, kind_of
from isthmus.data.locations import FileRows
from isthmus.data.options import ReadOptions
from isthmus.data.tables.row_arrays import MAX_IN_MEMORY
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["ShardRows", "read_shards"]

Array = npt.NDArray[Any]

_VALUES = 1 << 20  # of a block, at most, unless a row has more


class ShardRows(BlockRows):
    """The rows of .npy files, one file after the other. They are read from the files when they are needed.

    Args:
        files: the files.

    Attributes:
        file_sizes: the number of rows of each file.

    Raises:
        DataError: a file is damaged; shapes or dtypes differ.
    """

    def __init__(self, files: FileSet) -> None:
        self.files, self.file_sizes, sizes = files, list[int](), list[int]()
        self._stamps, self._places, self.names = list[tuple[int, int]](), list[tuple[int, int]](), list[str]()
        first, n = "", 0
        for number, (path, name) in enumerate(zip(files.files, files.names(), strict=True)):
            values = read_npy(path)
            if values.ndim < 2:
                raise DataError(
                    f"{shown(path)} has the shape {values.shape}: expected examples (n, d) or (n, ..., channels), as in all files"
                )
            if not number:
                self._row, self._dtype, first = values.shape[1:], values.dtype, shown(path)
            elif (values.shape[1:], values.dtype) != (self._row, self._dtype):
                raise DataError(
                    f"{shown(path)} has rows of shape {values.shape[1:]}, {values.dtype}, and {first} of shape {self._row}, {self._dtype}: "
                    "give all files the same, or read them separately"
                )
            each = max(1, _VALUES // int(np.prod(self._row)))
            starts = range(0, len(values), each)
            sizes += [min(each, len(values) - start) for start in starts]
            self._places += [(number, start) for start in starts]
            self.names += [name] * len(starts)
            self._stamps.append(_stamp(files, number))
            self.file_sizes.append(len(values))
            n += len(values)
        self.sizes, self._shape = np.array(sizes, np.int64), (n, *self._row)
        self.kind = "images" if kind_of(np.empty((1, *self._row), self._dtype)) == "images" else None

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def storage(self) -> str:
        """How the values are stored, for a summary."""
        return f"in {len(self.files.files):,} files"

    def read_block(self, number: int) -> Array:
        """The rows of a block.

        Args:
            number: of the block, from 0.

        Raises:
            DataError: its file was changed.
        """
        file, start = self._places[number]
        if _stamp(self.files, file) != self._stamps[file]:
            raise DataError(
                f"{shown(self.files.files[file])} was changed while it was read: start again when nothing writes to it"
            )
        values = read_npy(self.files.files[file])
        return np.array(values[start : start + int(self.sizes[number])])  # the map is closed with the file


def read_shards(files: FileSet, options: ReadOptions) -> Dataset:
    """The data set of .npy files. uint8 with three or more axes is images. Up to 256 MiB, or `ReadOptions.cache`, they are read at once.

    Args:
        files: the files.
        options: how to read them.
    """
    rows = ShardRows(files)
    limit = MAX_IN_MEMORY if options.cache is None else options.cache
    n = len(files.files)
    notes = (f"{shown(files.pattern)} is {n:,} file{'s' * (n > 1)}, {len(rows):,} rows", *files.notes)
    few = rows.nbytes <= limit and options.hold_out == "rows"
    values: Any = np.asarray(rows) if few else rows
    images: Kind | None = "images" if rows.kind == "images" else None
    return Dataset(
        files.title,
        values,
        source=shown(files.pattern),
        kind=images,
        notes=notes,
        hold_out=options.hold_out,
        file_rows=FileRows.of(tuple(map(shown, files.files)), rows.file_sizes),
    )


def _stamp(files: FileSet, number: int) -> tuple[int, int]:
    """Which content a file has."""
    try:
        status = os.stat(files.files[number])
    except OSError as error:
        raise DataError(
            f"{shown(files.files[number])} was removed while it was read ({error.strerror}): start again"
        ) from None
    return status.st_size, status.st_mtime_ns
