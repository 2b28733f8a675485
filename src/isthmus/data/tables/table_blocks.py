"""The rows of Parquet and Arrow files in blocks: groups of rows, or parts of them, which are read when they are needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.blocks import BlockRows
from isthmus.data.label_columns import ids_from_values
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.column_kinds import is_text
from isthmus.data.tables.encoded_datasets import like_training
from isthmus.data.tables.encoded_table import EncodedTable
from isthmus.data.tables.missing_words import without_words
from isthmus.data.tables.number_columns import without_marks
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.data.tables.table_files import TableBatch, TableFiles
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["ColumnBlocks", "EncodedRows", "NumberRows", "TableBlocks", "rows_at_once"]

Array = npt.NDArray[Any]

_VALUES = 1 << 20  # of a block, at most, unless a row has more
_ROWS = 1 << 17  # of a block, at most: texts may be long
_BATCH = 1 << 13  # rows that are decoded together


def rows_at_once(width: int) -> int:
    """The rows of a block, at most: those of a few batches.

    Args:
        width: the values of a row.
    """
    rows = max(1, min(_ROWS, _VALUES // max(1, width)))
    return rows - rows % _BATCH if rows > _BATCH else rows


class TableBlocks(BlockRows):
    """The rows of files in blocks. A block is a group of rows of a file, or a part of a large one.

    Parts of one group are read fastest one after the other.

    Args:
        files: the files.
        positions: of the columns that are read.
        width: the values of a row.
        dtype: of the values.
        features: converts a batch to rows (rows, width), or (rows,) where `width` is 0.
    """

    kind = "table"

    def __init__(
        self,
        files: TableFiles,
        positions: Sequence[int],
        width: int,
        dtype: np.dtype[Any],
        features: Callable[[TableBatch], Array],
    ) -> None:
        self.files, self.positions, self.features, self._dtype = copy(files), tuple(positions), features, dtype
        self._row, self.each = (width,) if width else (), rows_at_once(max(width, len(positions)))
        sizes, self._places = list[int](), list[tuple[int, int]]()
        for number, group in enumerate(files.groups):
            starts = range(0, group.rows, self.each)
            sizes += [min(self.each, group.rows - start) for start in starts]
            self._places += [(number, start) for start in starts]
        self.sizes, names = np.array(sizes, np.int64), files.files.names()
        self.names = [names[files.groups[number].file] for number, _ in self._places]
        self.runs = np.array([number for number, _ in self._places], np.int64)
        self._next: tuple[tuple[int, int], Iterator[TableBatch]] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return int(self.offsets[-1]), *self._row

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def storage(self) -> str:
        """How the values are stored, for a summary."""
        n = len(self.files.files.files)
        return f"in {n:,} file{'s' * (n > 1)}"

    def read_block(self, number: int) -> Array:
        """The rows of a block.

        Args:
            number: of the block, from 0.

        Raises:
            DataError: its file is damaged, or was changed.
        """
        place, size = self._places[number], int(self.sizes[number])
        kept, self._next = self._next, None
        batches = kept[1] if kept is not None and kept[0] == place else self._from(*place)
        rows = np.empty((size, *self._row), self._dtype)
        done = 0
        while done < size:
            batch = next(batches, None)
            if batch is None or done + batch.rows > size:
                path = self.files.files.files[self.files.groups[place[0]].file]
                raise DataError(f"{shown(path)} is damaged: rows are missing; write it again")
            rows[done : done + batch.rows] = self.features(batch)
            done += batch.rows
        if place[1] + size < self.files.groups[place[0]].rows:
            self._next = (place[0], place[1] + size), batches
        else:
            next(batches, None)  # checks that the group has ended, and closes it
        return rows

    def frames(self) -> Iterator[tuple[int, Any, Array]]:
        """All rows in batches as tables of their columns, with the number of the first row and the features; nothing of numbers alone."""
        first, encoded = 0, self.features
        if not isinstance(encoded, EncodedRows):
            return
        for batch in self.files.batches(min(self.each, _BATCH), self.positions):
            yield first, encoded.frame(batch), encoded(batch)
            first += batch.rows

    def _from(self, group: int, start: int) -> Iterator[TableBatch]:
        """The batches of a group from a row on. Those before are decoded and not used."""
        batches = self.files.batches_of(self.files.groups[group], min(self.each, _BATCH), self.positions)
        while start > 0:
            start -= next(batches).rows
        return batches

    def __getstate__(self) -> dict[str, Any]:
        """All but the open files, for copies and other processes."""
        return self.__dict__ | {"files": copy(self.files), "_next": None}


class NumberRows:
    """Batches as rows of numbers.

    Args:
        positions: of the columns.
        dtype: of the numbers; None for the dtype that holds those of a batch.
        marks: numbers that mean a missing value.
    """

    def __init__(self, positions: Sequence[int], dtype: np.dtype[Any] | None, marks: Sequence[float]) -> None:
        self.positions, self.dtype, self.marks = positions, dtype, marks

    def dtype_of(self, batch: TableBatch) -> np.dtype[Any]:
        """The dtype that holds the numbers of a batch."""
        types = set[np.dtype[Any]]()
        for position in self.positions:
            column = without_marks(batch.columns[position], self.marks)
            kind = np.dtype(column.type.to_pandas_dtype())
            types.add(np.dtype(np.float64) if column.null_count and kind.kind in "iub" else kind)
        return np.result_type(*types)

    def __call__(self, batch: TableBatch) -> Array:
        """The rows (rows, columns) of a batch."""
        rows = np.empty((batch.rows, len(self.positions)), self.dtype or self.dtype_of(batch))
        for number, position in enumerate(self.positions):
            rows[:, number] = without_marks(batch.columns[position], self.marks).to_numpy(zero_copy_only=False)
        return rows


class EncodedRows:
    """Batches as rows of features, in the encoding of a table.

    Args:
        table: the encoding.
        columns: the names of its columns by their positions.
        words: by name, for columns of text: the words that mean a missing value, in lower case.
        marks: numbers that mean a missing value.
    """

    def __init__(
        self,
        table: TableEncoding,
        columns: Mapping[int, str],
        words: Mapping[str, Collection[str]],
        marks: Sequence[float],
    ) -> None:
        self.table, self.columns, self.words, self.marks = table, columns, words, marks
        self._encodings = {column.name: column for column in table.columns}

    def __call__(self, batch: TableBatch) -> Array:
        """The rows (rows, features) of a batch."""
        return self.encoded(batch).values

    def encoded(self, batch: TableBatch) -> EncodedTable:
        """The rows of a batch, with what of its values the encoding does not know."""
        return self.table.encode(self.frame(batch))

    def frame(self, batch: TableBatch) -> Any:
        """The columns of a batch as a table, null where a value is missing."""
        made = dict[str, Any]()
        for position, name in self.columns.items():
            column = batch.columns[position]
            if name in self.words:
                column = _without_words(column, self.words[name])
            encoding = self._encodings[name]
            coded = pyarrow().types.is_dictionary(column.type) and encoding.categories
            same = coded and isinstance(encoding.categories[0], str) and is_text(column.type.value_type)
            made[name] = column if same else like_training(without_marks(column, self.marks), encoding)
        return pyarrow().table(made)


class ColumnBlocks(TableBlocks):
    """The cells of a column of files as texts (n,), such as IDs, which are read when they are needed.

    Args:
        files: the files.
        position: of the column.
    """

    def __init__(self, files: TableFiles, position: int) -> None:
        super().__init__(files, [position], 0, np.dtype(object), partial(_texts, position))


def _texts(position: int, batch: TableBatch) -> Array:
    """The cells of a column as texts."""
    return ids_from_values(batch.columns[position].to_pylist())


def _without_words(column: Any, words: Collection[str]) -> Any:
    """A column of texts, perhaps as different texts and their numbers, null where it holds one of some words."""
    arrow = pyarrow()
    if not arrow.types.is_dictionary(column.type):
        return without_words(column, words, Counter())
    known = without_words(column.dictionary, words, Counter())
    return arrow.DictionaryArray.from_arrays(column.indices, known)
