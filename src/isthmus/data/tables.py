"""Tables: .csv by NumPy's reader, .parquet by pyarrow; numbers by column, and one column of labels if wanted."""

from __future__ import annotations

import csv
import io
import itertools
import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.files import open_regular, shown
from isthmus.errors import DataError

__all__ = ["read_csv", "read_parquet"]

Array = npt.NDArray[Any]

_NO_LABEL = "(none)"
_MISSING = ("", "na", "n/a", "null", "none", "?")  # beside nan, which float reads
_ROWS = 10_000  # rows read together
_IN_MEMORY = 256 << 20  # bytes of numbers; more of them go through a temporary file
_LISTED = 10  # names in a message


def read_csv(path: Path, labels: str | None = None) -> Dataset:
    """A table of numbers, float64, from a text file with commas, semicolons or tabs between its cells.

    The first row is taken for names if none of its cells is a number, or if one of its words stands above a number.
    Empty cells, NA, null, none and ? become NaN.

    Args:
        path: the file, UTF-8.
        labels: the column that holds the labels, by name, or by number counted from 0 where there are no names.

    Raises:
        DataError: a column other than the labels holds text, a row has too few or too many cells, or nothing is there.
    """
    name = shown(path)
    with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
        try:
            columns, values, target = _read_text(file, name, labels)
        except UnicodeDecodeError as error:
            raise DataError(f"{name} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
        except csv.Error as error:
            raise DataError(f"{name} cannot be read as a table ({error}): save it as plain CSV") from error
    return Dataset(path.name, values, train_labels=target, columns=columns, source=name, notes=_notes(target))


def _notes(labels: Array | None) -> tuple[str, ...]:
    """What a user should hear of the labels."""
    count = 0 if labels is None or labels.dtype.kind != "U" else int((labels == _NO_LABEL).sum())
    return (
        (f"{count:,} {'row has' if count == 1 else 'rows have'} no label, and {_NO_LABEL} stands for it",)
        if count
        else ()
    )


def _read_text(file: TextIO, name: str, labels: str | None) -> tuple[tuple[str, ...] | None, Array, Array | None]:
    """The names of the columns if there are any, the numbers, and the labels if wanted."""
    delimiter = max(",;\t", key=file.readline().count)
    file.seek(0)
    rows = _rows(file, delimiter)
    first, second = next(rows, []), next(rows, [])
    named = _is_header(first, second)
    if not (second if named else first):
        raise DataError(f"{name} has no rows of data: give at least one")
    columns = tuple(first) if named else tuple(map(str, range(len(first))))
    target = _find_column(labels, columns, name)
    file.seek(0)
    if named:
        next(_rows(file, delimiter))
    try:
        table = np.loadtxt(file, delimiter=delimiter, comments=None, quotechar='"', ndmin=2)
        if table.shape[1] != len(columns):
            raise DataError(
                f"the rows of {name} have {table.shape[1]} cells and its first row {len(columns)}: even them"
            )
        cells: Array | list[str] = table[:, target] if target is not None else []
        values = np.delete(table, target, axis=1) if target is not None else table
    except (DataError, UnicodeDecodeError):
        raise
    except ValueError:  # text or gaps somewhere: the slower reader knows gaps, and says where text is
        file.seek(0)
        rows = itertools.islice(_rows(file, delimiter), int(named), None)
        values, cells = _parse(rows, columns, target, name)
    kept = tuple(column for index, column in enumerate(columns) if index != target)
    return kept if named else None, values, None if target is None else _narrow(cells)


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


def _find_column(labels: str | None, columns: tuple[str, ...], name: str) -> int | None:
    if labels is None:
        return None
    if labels not in columns:
        listed = ", ".join(columns[:_LISTED]) + (", ..." if len(columns) > _LISTED else "")
        raise DataError(f"{name} has no column {labels!r} for the labels; it has {listed}")
    if len(columns) == 1:
        raise DataError(f"{name} has no column beside the labels: give at least one with numbers")
    return columns.index(labels)


def _parse(
    rows: Iterator[list[str]], columns: tuple[str, ...], target: int | None, name: str
) -> tuple[Array, list[str]]:
    """Numbers with NaN for gaps, and the cells of the labels; the first text elsewhere is named."""
    blocks, labels, count = [], [], 0
    while block := list(itertools.islice(rows, _ROWS)):
        values = np.empty((len(block), len(columns) - (target is not None)))
        for index, row in enumerate(block):
            if len(row) != len(columns):
                raise DataError(
                    f"row {count + index} of {name} has {len(row)} cells and the first row {len(columns)}: even them"
                )
            if target is not None:
                labels.append(row.pop(target))
            try:
                values[index] = [_number(cell) for cell in row]
            except ValueError:
                raise _text_error(row, columns, target, f"row {count + index} of {name}") from None
        blocks.append(values)
        count += len(block)
    return np.concatenate(blocks), labels


def _text_error(row: list[str], columns: tuple[str, ...], target: int | None, where: str) -> DataError:
    names = [column for index, column in enumerate(columns) if index != target]
    for column, cell in zip(names, row, strict=True):
        try:
            _number(cell)
        except ValueError:
            return DataError(
                f"column {column!r} holds text ({where} has {cell!r}): drop it, turn it into numbers"
                + ("" if target is not None else f", or name it as the labels: labels={column!r}, or --labels {column}")
            )
    raise AssertionError("every cell is a number")


def _narrow(cells: Array | list[Any]) -> Array:
    """Labels as whole numbers where they are, else as numbers, else as text; where there is none, the text (none)."""
    gaps = [cell is None or str(cell).strip().lower() in _MISSING for cell in cells]
    try:
        numbers = np.asarray([cell for cell, gap in zip(cells, gaps, strict=True) if not gap], np.float64)
    except (TypeError, ValueError):
        numbers = None
    if numbers is None or any(gaps):
        return np.asarray([_NO_LABEL if gap else str(cell) for cell, gap in zip(cells, gaps, strict=True)])
    whole = (np.abs(numbers) < 2**53).all() and (numbers == np.round(numbers)).all()
    return numbers.astype(np.int64) if whole else numbers


def read_parquet(path: Path, labels: str | None = None) -> Dataset:
    """A table of numbers from a Parquet file, in the type that holds all its columns; nulls become NaN.

    Of more than 256 MiB the numbers go into a temporary file, and stay there: the result is a memory map.

    Args:
        path: the file.
        labels: the column that holds the labels.

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
            columns, target = _check_parquet(table, labels, name)
        cells: list[Any] = []
        if table.metadata.num_rows * len(columns) * 8 > _IN_MEMORY:
            kinds = {block.dtype for block in _blocks(table, target, name, [])} or {np.dtype(np.float64)}
            values = _in_a_file(_blocks(table, target, name, cells), np.result_type(*kinds), len(columns), name)
        else:
            blocks = list(_blocks(table, target, name, cells))
            values = np.concatenate(blocks) if blocks else np.empty((0, len(columns)))
    if len(values) != table.metadata.num_rows:
        raise DataError(
            f"{name} is damaged: its footer promises {table.metadata.num_rows:,} rows and {len(values):,} are there"
        )
    found = None if target is None else _narrow(cells)
    return Dataset(path.name, values, train_labels=found, columns=columns, source=name, notes=_notes(found))


@contextmanager
def _undamaged(name: str) -> Iterator[None]:
    """What pyarrow complains of within is a `DataError`."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name} is a damaged Parquet file ({error}): write it again") from error


def _blocks(table: Any, target: int | None, name: str, cells: list[Any]) -> Iterator[Array]:
    """The numbers, some rows at a time, so that memory grows with what is there; the labels join the cells."""
    batches = table.iter_batches(_ROWS)
    while True:
        with _undamaged(name):
            batch = next(batches, None)
            if batch is None:
                return
            block, labels = _from_arrow(batch, target)
        cells += labels
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


def _check_parquet(table: Any, labels: str | None, name: str) -> tuple[tuple[str, ...], int | None]:
    """The names of the columns with numbers, and the place of the labels; types are judged before anything is read."""
    from pyarrow import BaseExtensionType, types

    # pyarrow aborts the process when asked for the metadata of a damaged column, so only its batches are asked for
    if table.metadata.num_rows == 0:
        raise DataError(f"{name} has no rows of data: give at least one")
    columns = tuple(table.schema_arrow.names)
    target = _find_column(labels, columns, name)
    for index, field in enumerate(table.schema_arrow):
        kind = field.type
        if isinstance(kind, BaseExtensionType):
            raise DataError(f"column {field.name!r} of {name} has the extension type {kind}: save it as a plain type")
        number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
        if index != target and not number:
            raise DataError(
                f"column {field.name!r} of {name} holds {kind}: drop it, turn it into numbers"
                + (
                    ""
                    if target is not None
                    else f", or name it as the labels: labels={field.name!r}, or --labels {field.name}"
                )
            )
    return tuple(column for index, column in enumerate(columns) if index != target), target


def _from_arrow(batch: Any, target: int | None) -> tuple[Array, list[Any]]:
    columns = [column.to_numpy(zero_copy_only=False) for index, column in enumerate(batch.columns) if index != target]
    plain = [column.astype(np.float64) if column.dtype == object else column for column in columns]  # bool with nulls
    return np.column_stack(plain), [] if target is None else batch.column(target).to_pylist()
