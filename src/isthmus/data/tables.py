"""Tables: .csv by NumPy's reader, .parquet by pyarrow; numbers by column, and one column of labels if wanted."""

from __future__ import annotations

import csv
import io
import itertools
import os
import shlex
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from isthmus.data.columns import Chosen, choose
from isthmus.data.dataset import Dataset
from isthmus.data.files import open_regular, shown
from isthmus.data.labels import labels_from_cells, labels_from_column
from isthmus.data.options import ReadOptions, Reused
from isthmus.errors import DataError

__all__ = ["read_csv", "read_parquet"]

Array = npt.NDArray[Any]

_MISSING = ("", "na", "n/a", "null", "none", "?")  # beside nan, which float reads
_ROWS = 10_000  # rows read together
_IN_MEMORY = 256 << 20  # bytes of numbers; more of them go through a temporary file


def read_csv(path: Path, options: ReadOptions, reused: Reused | None = None) -> Dataset:
    """A table of numbers, float64, from a text file with commas, semicolons or tabs between its cells.

    The first row is taken for names if none of its cells is a number, or if one of its words stands above a number.
    Empty cells, NA, null, none and ? become NaN.

    Args:
        path: the file, UTF-8.
        options: which columns, and how the file is to be read.
        reused: the run that the examples are for.

    Raises:
        DataError: a column other than the labels holds text, a row has too few or too many cells, or nothing is there.
    """
    name = shown(path)
    with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
        try:
            found = _read_text(file, name, options, reused)
        except UnicodeDecodeError as error:
            raise DataError(f"{name} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
        except csv.Error as error:
            raise DataError(f"{name} cannot be read as a table ({error}): save it as plain CSV") from error
    return replace(found, name=path.name, source=name)


def _read_text(file: TextIO, name: str, options: ReadOptions, reused: Reused | None) -> Dataset:
    """The names of the columns if there are any, the numbers, labels and ids if wanted."""
    delimiter = max(",;\t", key=file.readline().count)
    file.seek(0)
    rows = _rows(file, delimiter)
    first, second = next(rows, []), next(rows, [])
    named = _is_header(first, second) if options.header is None else options.header
    if not (second if named else first):
        raise DataError(f"{name} has no rows of data: give at least one")
    columns = tuple(first) if named else tuple(map(str, range(len(first))))
    chosen = choose(columns, named, options, reused, name)
    file.seek(0)
    if named:
        next(_rows(file, delimiter))
    rows = _rows(file, delimiter)
    values, labels, ids = _parse(rows, columns, chosen, name)
    target, said = (None, ()) if chosen.labels is None else labels_from_cells(labels, _MISSING)
    return Dataset(
        name,
        values,
        train_labels=target,
        columns=tuple(columns[place] for place in chosen.features) if named else None,
        notes=(*chosen.notes, *said),
        kind="table",
        ids=None if chosen.id is None else np.asarray(ids),
        id_name=None if chosen.id is None else columns[chosen.id],
        label_name=None if chosen.labels is None else columns[chosen.labels],
    )


def _rows(file: TextIO, delimiter: str) -> Iterator[list[str]]:
    return (row for row in csv.reader(file, delimiter=delimiter, strict=True) if row)


def _number(cell: str) -> float:
    text = cell.strip()
    if "_" in text:  # Python's float would take 1_000
        raise ValueError(text)
    return np.nan if text.lower() in _MISSING else float(text)


def _is_header(first: list[str], second: list[str]) -> bool:
    def is_word(cell: str) -> bool:
        try:
            _number(cell)
        except ValueError:
            return True
        return False

    def is_number(cell: str) -> bool:
        return not is_word(cell) and cell.strip().lower() not in _MISSING

    if not any(map(is_number, first)):
        return any(map(is_word, first))
    return any(is_word(above) and is_number(below) for above, below in zip(first, second, strict=False))


def _parse(
    rows: Iterator[list[str]], columns: tuple[str, ...], chosen: Chosen, name: str
) -> tuple[Array, list[str], list[str]]:
    """Numbers with NaN for gaps, the cells of the labels and of the ids; the first text elsewhere is named."""
    blocks, labels, ids, count = [], [], [], 0
    while block := list(itertools.islice(rows, _ROWS)):
        values = np.empty((len(block), len(chosen.features)))
        for index, row in enumerate(block):
            if len(row) != len(columns):
                raise DataError(
                    f"row {count + index} of {name} has {len(row)} cells and the first row {len(columns)}: even them"
                )
            if chosen.labels is not None:
                labels.append(row[chosen.labels])
            if chosen.id is not None:
                ids.append(row[chosen.id])
            try:
                values[index] = [_number(row[place]) for place in chosen.features]
            except ValueError:
                raise _text_error(row, columns, chosen, f"row {count + index} of {name}") from None
        blocks.append(values)
        count += len(block)
    return np.concatenate(blocks), labels, ids


def _text_error(row: list[str], columns: tuple[str, ...], chosen: Chosen, where: str) -> DataError:
    for place in chosen.features:
        try:
            _number(row[place])
        except ValueError:
            return DataError(
                f"column {columns[place]!r} holds text ({where} has {row[place]!r}): {_remedy(columns[place], chosen)}"
            )
    raise AssertionError("every cell is a number")


def _remedy(column: str, chosen: Chosen) -> str:
    """What to do with a column that holds no numbers."""
    said = f"leave it out (--drop {shlex.quote(column)}, in Python drop={column!r})"
    if chosen.labels is None:
        said += f", or name it as the labels (--labels {shlex.quote(column)}, labels={column!r})"
    if chosen.id is None:
        said += f", or as what names the rows (--id {shlex.quote(column)}, id={column!r})"
    return said


def read_parquet(path: Path, options: ReadOptions, reused: Reused | None = None) -> Dataset:
    """A table of numbers from a Parquet file, in the type that holds all its columns; nulls become NaN.

    Of more than 256 MiB the numbers go into a temporary file, and stay there: the result is a memory map.

    Args:
        path: the file.
        options: which columns.
        reused: the run that the examples are for.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        DataError: the file is damaged, or a column other than the labels holds no numbers, or an extension type.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("reading .parquet needs pyarrow: pip install 'isthmus[parquet]'") from error
    name = shown(path)
    with open_regular(path) as file:
        with _undamaged(name):
            table = pyarrow.parquet.ParquetFile(file)
            columns, chosen = _check_parquet(table, options, reused, name)
        cells: list[Any] = []
        ids: list[Any] = []
        if table.metadata.num_rows * len(chosen.features) * 8 > _IN_MEMORY:
            kinds = {block.dtype for block in _blocks(table, chosen, name, [], [])} or {np.dtype(np.float64)}
            values = _in_a_file(
                _blocks(table, chosen, name, cells, ids), np.result_type(*kinds), len(chosen.features), name
            )
        else:
            blocks = list(_blocks(table, chosen, name, cells, ids))
            values = np.concatenate(blocks) if blocks else np.empty((0, len(chosen.features)))
    if len(values) != table.metadata.num_rows:
        raise DataError(
            f"{name} is damaged: its footer promises {table.metadata.num_rows:,} rows and {len(values):,} are there"
        )
    found, said = (None, ()) if chosen.labels is None else labels_from_column(cells)
    return Dataset(
        path.name,
        values,
        train_labels=found,
        columns=tuple(columns[place] for place in chosen.features),
        source=name,
        notes=(*chosen.notes, *said),
        kind="table",
        ids=None if chosen.id is None else np.asarray([str(each) for each in ids]),
        id_name=None if chosen.id is None else columns[chosen.id],
        label_name=None if chosen.labels is None else columns[chosen.labels],
    )


@contextmanager
def _undamaged(name: str) -> Iterator[None]:
    """What pyarrow complains of within is a `DataError`."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name} is a damaged Parquet file ({error}): write it again") from error


def _blocks(table: Any, chosen: Chosen, name: str, cells: list[Any], ids: list[Any]) -> Iterator[Array]:
    """The numbers, some rows at a time, so that memory grows with what is there; the labels join the cells."""
    batches = table.iter_batches(_ROWS)
    while True:
        with _undamaged(name):
            batch = next(batches, None)
            if batch is None:
                return
            block, labels, named = _from_arrow(batch, chosen)
        cells += labels
        ids += named
        yield block


def _in_a_file(blocks: Iterator[Array], dtype: np.dtype[Any], width: int, name: str) -> Array:
    """Blocks of rows as one array in a temporary file, mapped into memory; the file has no name, and is gone with the array."""
    rows = 0
    with tempfile.TemporaryFile(prefix="isthmus-") as file:
        for block in blocks:
            rows += len(block)
            try:
                file.write(np.ascontiguousarray(block, dtype).data)
                file.flush()
            except OSError as error:
                place = f"a temporary file in {tempfile.gettempdir()}"
                raise DataError(
                    f"{name} is read through {place}, which failed ({error}); set TMPDIR to another folder"
                ) from error
        if not rows:
            return np.empty((0, width), dtype)
        values: Any = np.memmap(file, dtype, "r", shape=(rows, width))
        descriptor = os.dup(file.fileno())  # under which rows can be read as long as the map is there
        weakref.finalize(values._mmap, os.close, descriptor)
        values.filename = f"/dev/fd/{descriptor}"
        return np.asanyarray(values)


def _check_parquet(
    table: Any, options: ReadOptions, reused: Reused | None, name: str
) -> tuple[tuple[str, ...], Chosen]:
    """The names of all columns, and which are for what; types are judged before anything is read."""
    from pyarrow import BaseExtensionType, types

    # pyarrow aborts the process when asked for the metadata of a damaged column, so only its batches are asked for
    if table.metadata.num_rows == 0:
        raise DataError(f"{name} has no rows of data: give at least one")
    columns = tuple(table.schema_arrow.names)
    chosen = choose(columns, True, options, reused, name)
    for index, field in enumerate(table.schema_arrow):
        kind = field.type
        if isinstance(kind, BaseExtensionType):
            raise DataError(f"column {field.name!r} of {name} has the extension type {kind}: save it as a plain type")
        number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
        if index in chosen.features and not number:
            raise DataError(f"column {field.name!r} of {name} holds {kind}: {_remedy(field.name, chosen)}")
    return columns, chosen


def _from_arrow(batch: Any, chosen: Chosen) -> tuple[Array, list[Any], list[Any]]:
    columns = [batch.column(place).to_numpy(zero_copy_only=False) for place in chosen.features]
    plain = [column.astype(np.float64) if column.dtype == object else column for column in columns]  # bool with nulls
    rest = [[] if place is None else batch.column(place).to_pylist() for place in (chosen.labels, chosen.id)]
    return np.column_stack(plain), rest[0], rest[1]
