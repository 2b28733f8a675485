"""Files of columns with types as one table, whose rows are read in batches when they are needed."""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from isthmus.data.file_sets import FileSet
from isthmus.data.locations import FileRows
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.arrow_files import ArrowFile, Stamp, damage_named, open_arrow
from isthmus.data.tables.column_kinds import is_text
from isthmus.data.tables.number_columns import is_inexact
from isthmus.data.tables.unified_schemas import checked_schema, unified_schema
from isthmus.errors import DataError
from isthmus.io.files import shown
from isthmus.io.memory_limit import check_memory
from isthmus.text import printable

__all__ = ["RowGroup", "TableBatch", "TableFiles"]

_OPEN = 4  # files that are open at one time
_LARGE_BATCH = 2**26  # bytes of values that are in memory together
_MAX_UNPACKED = 2**30  # bytes of values that any file may declare
_MAX_RATIO = 1000  # bytes of values that a larger file may declare for each of its bytes


class RowGroup(NamedTuple):
    """A group of rows: the numbers of its file and of the group in it, and how many rows it has."""

    file: int
    group: int
    rows: int


class TableBatch(NamedTuple):
    """Some rows: columns of pyarrow (rows,), by their positions in the table, and the file that they are from."""

    columns: dict[int, Any]
    rows: int
    file: str


class _State(NamedTuple):
    stamp: Stamp
    rows: int
    unpacked: int  # rows that are in memory together, as they are compressed together


class TableFiles:
    """The files of a table, which have the same columns, by name. The types of a column are unified, such as whole numbers and fractions.

    Args:
        files: the files.

    Attributes:
        files: as given.
        name: the pattern, the folder or the only file, safe to print.
        schema: of all columns, of pyarrow: those of the first file, and those in the names of folders.
        groups: the groups of rows of all files, in their order.
        rounded: the names of columns with whole numbers that became float64 and are not exact in it, as far as they were read.
        texts: the columns of text that are read as different texts and their numbers, as a file may repeat a long one.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        DataError: a file is damaged; files have other columns, or types that cannot be unified.
    """

    def __init__(self, files: FileSet) -> None:
        pyarrow()
        self.files, self.name = files, shown(files.pattern)
        self.groups, self.rounded, self.texts = list[RowGroup](), set[str](), frozenset[str]()
        self._open: OrderedDict[int, ArrowFile] = OrderedDict()
        weakref.finalize(self, _close, self._open)
        self._states, first, schemas = list[_State](), "", list[Any]()
        for number, path in enumerate(files.files):
            file = self._file(number, path)
            self.groups += [RowGroup(number, group, rows) for group, rows in enumerate(file.sizes) if rows]
            self._states.append(_State(file.stamp, sum(file.sizes), file.unpacked))
            if not schemas:
                schemas, first = [checked_schema(file.schema, file.name, len(files.files) > 1)], file.name
            elif not schemas[0].equals(file.schema):
                schemas = [unified_schema(schemas[0], file.schema, first, file.name)]
        self.schema: Any = schemas[0]
        self._own = frozenset(self.schema.names)
        self._add_partitions()

    @property
    def n_rows(self) -> int:
        """The number of rows of all files."""
        return sum(state.rows for state in self._states)

    def file_rows(self) -> FileRows | None:
        """Which rows are from which file; None for a single one."""
        return FileRows.of(tuple(map(shown, self.files.files)), [state.rows for state in self._states])

    @property
    def n_bytes(self) -> int:
        """The bytes of all files."""
        return sum(state.stamp[0] for state in self._states)

    def notes(self) -> list[str]:
        """What the files are, and what was left out; nothing for a single file."""
        n = len(self.files.files)
        if n == 1 and not self.files.notes:
            return []
        counts = f"{n:,} file{'s' * (n > 1)}, {self.n_rows:,} rows in {len(self.groups):,} group{'s' * (len(self.groups) != 1)}"
        return [f"{self.name} is {counts}", *self.files.notes]

    def check_declared_sizes(self, width: int) -> None:
        """`DataError` if a file declares far more bytes of values than it has.

        Args:
            width: the number of columns that are read.
        """
        for path, state in zip(self.files.files, self._states, strict=True):
            declared, size = state.rows * width * 8, state.stamp[0]
            if declared > max(_MAX_UNPACKED, _MAX_RATIO * size):
                raise DataError(
                    f"{shown(path)} declares {declared:,} bytes of values in a file of {size:,} bytes, which is out of proportion; "
                    "if you trust it, write it again with compression='none' and use_dictionary=False"
                )

    def notes_on_memory(self, width: int) -> list[str]:
        """A note if a file has large groups that are in memory as a whole, as they are compressed.

        Args:
            width: the number of columns that are read.

        Raises:
            MemoryLimitError: the memory does not suffice for one.
        """
        number = max(range(len(self._states)), key=lambda each: self._states[each].unpacked)
        rows, name = self._states[number].unpacked, shown(self.files.files[number])
        needed = 8 * rows * width
        check_memory(needed, f"a compressed batch of {name}")
        if needed <= _LARGE_BATCH:
            return []
        return [
            f"{name} has compressed batches of up to {rows:,} rows, each of which takes {needed >> 20:,} MiB of memory: write it without "
            "compression, with smaller batches, or as Parquet"
        ]

    def read_nulls_as_numbers(self, names: Collection[str]) -> None:
        """Columns without a type, as all of their values are missing, are columns of numbers.

        Args:
            names: of columns of numbers.
        """
        for place, field in enumerate(self.schema):
            if field.name in names and pyarrow().types.is_null(field.type):
                self.schema = self.schema.set(place, field.with_type(pyarrow().float64()))

    def read_folders_as_texts(self, names: Collection[str]) -> None:
        """Columns in the names of folders are texts from now on, such as 01, also if all of them are whole numbers.

        Args:
            names: of the columns.
        """
        for each in self.files.partitions:
            if each.name in names:
                place = self.schema.get_field_index(each.name)
                self.schema = self.schema.set(place, pyarrow().field(each.name, pyarrow().string()))

    def read_texts_as_numbers(self, names: Collection[str]) -> None:
        """Reads the columns of these names as different texts and their numbers from now on.

        Args:
            names: of columns of text.
        """
        self.texts = self._own & {*names}
        self.close()

    def batches(self, rows: int, positions: Sequence[int]) -> Iterator[TableBatch]:
        """All rows in batches.

        Args:
            rows: of a batch, at most.
            positions: of the columns to read.
        """
        for group in self.groups:
            yield from self.batches_of(group, rows, positions)

    def batches_of(self, group: RowGroup, rows: int, positions: Sequence[int]) -> Iterator[TableBatch]:
        """The rows of a group in batches.

        Args:
            group: one of `groups`.
            rows: of a batch, at most.
            positions: of the columns to read.

        Raises:
            DataError: the file is damaged, or was changed since its schema was read.
        """
        path = self.files.files[group.file]
        self._check_unchanged(group.file, path)
        file = self._file(group.file, path)
        if file.stamp != self._states[group.file].stamp:
            raise _changed(path)
        fields = {position: self.schema.field(position) for position in positions}
        own = [field.name for field in fields.values() if field.name in self._own]
        for batch in file.batches(group.group, rows, own):
            with damage_named(file.name):
                columns = {each: self._column(batch, each, field, group.file) for each, field in fields.items()}
                for column in columns.values():
                    _check_texts(column)
            yield TableBatch(columns, len(batch), file.name)
            self._check_unchanged(group.file, path)  # a mapped file is read later

    def __getstate__(self) -> dict[str, Any]:
        """All but the open files, for copies and other processes."""
        return self.__dict__ | {"_open": OrderedDict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy, which opens files of its own."""
        self.__dict__.update(state)
        weakref.finalize(self, _close, self._open)

    def close(self) -> None:
        """Closes all files. They are opened again when they are needed."""
        _close(self._open)

    def _file(self, number: int, path: Path) -> ArrowFile:
        """A file, which stays open until others are needed."""
        if number not in self._open:
            self._open[number] = open_arrow(path, self.texts)
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(number)
        return self._open[number]

    def _check_unchanged(self, number: int, path: Path) -> None:
        """`DataError` if a file has another content than before: its rows are not mixed with others."""
        try:
            status = os.stat(path)
        except OSError as error:
            raise DataError(f"{shown(path)} was removed while it was read ({error.strerror}): start again") from None
        if (status.st_size, status.st_mtime_ns) != self._states[number].stamp:
            raise _changed(path)

    def _column(self, batch: Any, position: int, field: Any, number: int) -> Any:
        """A column of a batch in its type in the table; one in the name of the folder is the same in all rows."""
        if field.name not in self._own:
            own = next(each for each in self.files.partitions if each.name == field.name)
            values = own.texts if is_text(field.type) else own.values
            return pyarrow().repeat(pyarrow().scalar(values[number], field.type), len(batch))
        place = batch.schema.get_field_index(field.name)
        if place < 0:  # a single file may have a name twice
            same = self.schema.get_all_field_indices(field.name).index(position)
            place = batch.schema.get_all_field_indices(field.name)[same]
        column, kind, types = batch.column(place), field.type, pyarrow().types
        if column.type == kind:
            return column
        content = column.type.value_type if types.is_dictionary(column.type) else column.type
        if types.is_null(content):  # so pandas writes a column without any value
            return pyarrow().nulls(len(column), kind)
        if field.name in self.texts:
            return column
        if types.is_dictionary(column.type) and not types.is_dictionary(kind):
            column = column.dictionary_decode()
        if types.is_floating(kind) and is_inexact(column):
            self.rounded.add(field.name)
        return column.cast(kind, safe=not types.is_floating(kind))

    def _add_partitions(self) -> None:
        """Adds the columns in the names of folders to the schema."""
        arrow = pyarrow()
        for each in self.files.partitions:
            name = each.name
            if name in self._own:
                raise DataError(
                    f"column {printable(name)!r} of {self.name} is in the files and in the names of their folders: rename one of them"
                )
            self.schema = self.schema.append(arrow.field(name, arrow.string() if each.are_texts else arrow.int64()))


def _changed(path: Path) -> DataError:
    return DataError(f"{shown(path)} was changed while it was read: start again when nothing writes to it")


def _close(files: OrderedDict[int, ArrowFile]) -> None:
    while files:
        files.popitem()[1].close()


def _check_texts(column: Any) -> None:
    """An error of pyarrow for texts that are no UTF-8, and for categories that do not exist."""
    types = pyarrow().types
    if is_text(column.type) or types.is_dictionary(column.type):
        column.validate(full=True)
        if types.is_dictionary(column.type):
            column.dictionary.validate(full=True)
