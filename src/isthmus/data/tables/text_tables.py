"""Text and Excel files as data sets: both are tables of text cells, which are converted to numbers in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.label_columns import labels_from_cells
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.cells import MARKS, kind_of
from isthmus.data.tables.column_errors import not_numeric
from isthmus.data.tables.columns import SelectedColumns, expected_names, select_columns, unique_names
from isthmus.data.tables.dialect import sniff
from isthmus.data.tables.excel import Sheet
from isthmus.data.tables.growing import FilePart, read_as
from isthmus.data.tables.id_columns import id_notes, odd_id_notes
from isthmus.data.tables.numbers import Numbers, RelearnError, WordsError
from isthmus.data.tables.row_arrays import concatenated
from isthmus.data.tables.rows import Block, RowCount, filled, text_blocks
from isthmus.data.tables.text_columns import TextColumns
from isthmus.data.tables.textfile import TextFile
from isthmus.errors import DataError

__all__ = ["read_csv", "read_excel"]

Array = npt.NDArray[Any]

_EMPTY, _COUNTS_ROWS = "which has no name and is empty", "which has no name and counts rows"
_NAMES_ROWS = "which has no name and another text in every row"


class _TextTable(NamedTuple):
    """A table of text cells.

    Attributes:
        name: of the file, for messages.
        names: the column names, if the table has any.
        width: the number of columns.
        sample: some rows.
        title: lines that may be a title above the names.
        blocks: reads all rows, from the first one at each call.
        rows: counts what is left out while they are read.
        notes: for the user.
        european: whether "1,234" has a decimal comma if nothing else in the table decides it.
    """

    name: str
    names: tuple[str, ...] | None
    width: int
    sample: list[list[str]]
    title: range
    blocks: Callable[[], Iterator[Block]]
    rows: RowCount
    notes: tuple[str, ...]
    european: bool = False


def read_csv(
    path: Path,
    options: ReadOptions,
    reused: Reused | None = None,
    texts: TextColumns | None = None,
    part: FilePart | None = None,
) -> Dataset:
    """The numeric columns of a text file, float64. Its format is detected and reported in the notes.

    Cells are separated by commas, semicolons, tabs, bars or blanks. The file may be compressed (gzip, bzip2, xz, zstd, or the only
    file of a zip archive). It is UTF-8, UTF-16 with a byte order mark, or else cp1252. Above 256 MiB the values are mapped from a
    temporary file.

    Args:
        path: the file.
        options: which columns to use; options of the format override its detection.
        reused: the run for which the examples are read.
        texts: collects the cells of columns that are not learned.
        part: the lines to read; None for all.

    Raises:
        DataError: a column to learn holds text, a row has too few or too many cells, or the table is empty.
    """
    texts, left_out = texts or TextColumns(), 0 if part is None else part.left_out
    skipped = options.skipped() if part is None else part.without(options.skipped())
    with TextFile(path, options.encoding, skipped, None if part is None else part.content()) as file:
        try:
            dataset = _read_text(file, options, reused, texts, left_out)
        except UnicodeDecodeError as error:
            if options.encoding is not None or file.encoding != "utf-8":
                raise _wrong_encoding(file, error) from error
            file.encoding = "cp1252"
            try:
                dataset = _read_text(file, options, reused, texts, left_out)
            except UnicodeDecodeError as second:
                raise _wrong_encoding(file, second) from second
            note = f"{file.name} is not UTF-8, and was read as cp1252 (Western European; else --encoding, encoding=)"
            dataset = replace(dataset, notes=(note, *dataset.notes))
    return replace(dataset, name=path.name)


def _wrong_encoding(file: TextFile, error: UnicodeDecodeError) -> DataError:
    return DataError(
        f"{file.name} is not text in {file.encoding} (byte {error.object[error.start]:#04x}): "
        "save it as UTF-8, or give its encoding (--encoding, encoding=)"
    )


def _read_text(
    file: TextFile, options: ReadOptions, reused: Reused | None, texts: TextColumns, left_out: int
) -> Dataset:
    dialect = sniff(file, options, expected_names(options, reused))._replace(left_out=left_out)
    texts.read_as = read_as(file, dialect)
    rows = RowCount()
    table = _TextTable(
        file.name,
        dialect.names,
        dialect.width,
        dialect.sample,
        dialect.title,
        lambda: text_blocks(file, dialect, rows),
        rows,
        dialect.notes,
        dialect.delimiter != ",",
    )
    return _dataset(table, options, reused, texts)


def read_excel(
    path: Path, options: ReadOptions, reused: Reused | None = None, texts: TextColumns | None = None
) -> Dataset:
    """The numeric columns of a sheet of an Excel file (.xlsx), read with openpyxl; see `read_csv`.

    Raises:
        ModuleNotFoundError: openpyxl is not installed.
        DataError: as `read_csv`, or the file is damaged.
    """
    with Sheet(path, options) as sheet:
        rows = RowCount()
        table = _TextTable(
            sheet.name,
            sheet.names,
            sheet.width,
            sheet.sample,
            sheet.title,
            lambda: sheet.blocks(rows),
            rows,
            sheet.notes,
        )
        return replace(_dataset(table, options, reused, texts or TextColumns()), name=path.name)


def _dataset(table: _TextTable, options: ReadOptions, reused: Reused | None, texts: TextColumns) -> Dataset:
    """A table of text cells as a data set."""
    columns, name_notes = (
        unique_names(table.names, table.name) if table.names is not None else (tuple(map(str, range(table.width))), [])
    )
    if len(columns) != table.width:
        raise DataError(
            f"{table.name} has {len(columns)} column names, but its rows have {table.width} cells: give every row as many cells as names"
        )
    excluded, parts = _excluded(table, columns), None
    marks = MARKS | {mark.strip().lower() for mark in options.na_values}
    while parts is None:
        selected = select_columns(columns, table.names is not None, options, reused, table.name, excluded)
        numeric = texts.begin(columns, selected.features, _to_labels(marks), selected.dropped)
        selected = selected._replace(features=tuple(numeric))
        features = [columns[position] for position in numeric]
        numbers = Numbers(len(features), options.na_values, options.decimal, table.european)
        try:
            parts = _read_rows(table, columns, selected, numbers, excluded, texts, options)
        except _NotEmptyError as error:
            excluded = {position: reason for position, reason in excluded.items() if position != error.position}
    values, label_cells, ids, lines = parts
    if not len(values):
        raise DataError(f"{table.name} has no rows of data: give at least one")
    labels, label_notes = (None, ()) if selected.labels is None else labels_from_cells(label_cells, marks)
    notes = [*table.notes, *_relevant(name_notes, excluded, columns), *table.rows.notes(table.name), *selected.notes]
    notes += [*numbers.notes(features, table.name), *id_notes(values, numbers.whole, features), *label_notes]
    _learn(texts, numbers, features)
    notes += [] if selected.id is None else odd_id_notes(ids, lines, columns[selected.id], options)
    return Dataset(
        table.name,
        values,
        train_labels=labels,
        columns=tuple(features) if table.names is not None else None,
        source=table.name,
        notes=tuple(notes),
        kind="table",
        ids=None if selected.id is None else np.asarray(ids),
        id_name=None if selected.id is None else columns[selected.id],
        label_name=None if selected.labels is None else columns[selected.labels],
        lines=lines,
    )


def _learn(texts: TextColumns, numbers: Numbers, features: list[str]) -> None:
    """Says how the numbers were written."""
    texts.truths = numbers.truths(features)
    if texts.read_as is not None and numbers.comma.any():
        texts.read_as.options["decimal"] = ","


def _to_labels(marks: frozenset[str]) -> Callable[[list[Any]], Array]:
    """The conversion of cells to labels, given the marks of a missing one."""
    return lambda cells: labels_from_cells(cells, marks)[0]


def _relevant(notes: list[str], excluded: Mapping[int, str], columns: tuple[str, ...]) -> list[str]:
    """The notes about names, without the one on columns without a name if all of these are left out."""
    nameless = [position for position, name in enumerate(columns) if name == f"Unnamed: {position}"]
    all_excluded = all(position in excluded for position in nameless)
    return [note for note in notes if not (all_excluded and "without a name" in note)]


class _NotEmptyError(Exception):
    """A column that is empty in the sample has a cell further down."""

    def __init__(self, position: int) -> None:
        self.position = position


def _excluded(table: _TextTable, columns: tuple[str, ...]) -> dict[int, str]:
    """Columns to leave out, with the reason: those without name and cells, and a first one without name that counts or names rows."""
    excluded = {}
    for position, name in enumerate(columns if table.names is not None else ()):
        if name != f"Unnamed: {position}":
            continue
        cells = [row[position].strip() for row in table.sample if len(row) == len(columns)]
        if not any(cells):
            excluded[position] = _EMPTY
        elif position == 0 and cells[0] in {"0", "1"} and cells == [str(int(cells[0]) + n) for n in range(len(cells))]:
            excluded[position] = _COUNTS_ROWS
        elif (
            position == 0 and len(set(cells)) == len(cells) > 1 and not any(kind_of(cell) == "number" for cell in cells)
        ):
            excluded[position] = _NAMES_ROWS
    return excluded


def _read_rows(
    table: _TextTable,
    columns: tuple[str, ...],
    selected: SelectedColumns,
    numbers: Numbers,
    excluded: Mapping[int, str],
    texts: TextColumns,
    options: ReadOptions,
) -> tuple[Array, list[str], list[str], Array]:
    """The features, the cells of labels and ids, and the line of each row."""
    empty = [position for position, reason in excluded.items() if reason == _EMPTY]
    labels, ids, lines = list[str](), list[str](), list[Array]()

    def blocks() -> Iterator[Array]:
        for block in table.blocks():
            for position in empty:
                if filled([block.columns[position]]).any():
                    raise _NotEmptyError(position)
            try:
                values = numbers.convert([block.columns[position] for position in selected.features], len(block.lines))
            except WordsError as error:
                raise not_numeric(error, block, columns, selected, table.name, table.title, options) from None
            if selected.labels is not None:
                labels.extend(_trimmed(block.columns[selected.labels]).to_pylist())
            if selected.id is not None:
                ids.extend(_trimmed(block.columns[selected.id]).to_pylist())
            texts.add(lambda position: _trimmed(block.columns[position]))  # noqa: B023  # called immediately
            lines.append(block.lines)
            yield values

    while True:
        labels.clear()
        ids.clear()
        lines.clear()
        texts.forget()
        numbers.forget()
        try:
            values = concatenated(blocks(), len(selected.features), table.name)
        except RelearnError:
            continue
        return values, labels, ids, np.concatenate(lines) if lines else np.empty(0, np.int64)


def _trimmed(column: Any) -> Any:
    return pyarrow().compute.utf8_trim_whitespace(column)
