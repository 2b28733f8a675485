"""Tables: text and Excel files as cells, of which numbers are made in one place; Parquet, whose columns have types already."""

from __future__ import annotations

import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.label_columns import ids_from_values, labels_from_cells, labels_from_column
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.cells import MARKS
from isthmus.data.tables.columns import BlockedError, Chosen, also_held, choose, known_names, listed, unique_names
from isthmus.data.tables.dialect import sniff
from isthmus.data.tables.excel import Sheet
from isthmus.data.tables.numbers import EXACT, Numbers, RelearnError, WordsError, is_date, rounded_note
from isthmus.data.tables.rows import Block, RowCount, filled, text_blocks
from isthmus.data.tables.text_columns import TextColumns
from isthmus.data.tables.textfile import TextFile
from isthmus.errors import DataError
from isthmus.io.files import open_regular, shown
from isthmus.text import command, printable

__all__ = ["read_csv", "read_excel", "read_parquet"]

Array = npt.NDArray[Any]

_ROWS = 10_000  # rows read together
_UNPACKED = 2**30  # bytes of numbers that any Parquet file may promise
_GROWTH = 1000  # and beyond that, for each byte of it
_INDEX = re.compile(r"__index_level_\d+__")  # as pandas calls an index without a name
_TYPED = 200  # characters of a name that a person may be asked to type
_IN_MEMORY = 256 << 20  # bytes of numbers; more of them go through a temporary file


class Cells(NamedTuple):
    """A table of text: the names that stand in it, if any; its width; a sample of rows; and its blocks, anew each time.

    european: whether "1,234" has a decimal comma where nothing in the table says otherwise.
    """

    name: str
    names: tuple[str, ...] | None
    width: int
    sample: list[list[str]]
    blocks: Callable[[], Iterator[Block]]
    rows: RowCount
    notes: tuple[str, ...]
    european: bool = False


def read_csv(
    path: Path, options: ReadOptions, reused: Reused | None = None, texts: TextColumns | None = None
) -> Dataset:
    """A table of numbers, float64, from a text file; how it is written is found out, and told in the notes.

    Between cells stand commas, semicolons, tabs, bars or blanks; the file may be packed (gzip, bzip2, xz, zstd, or alone in a zip
    archive), UTF-8, UTF-16 with its mark, or else cp1252. Of more than 256 MiB the numbers go into a temporary file, and stay there.

    Args:
        path: the file.
        options: which columns, and how the file is to be read where it is not to be found out.
        reused: the run that the examples are for.
        texts: columns that are not learned, whose cells are to be kept.

    Raises:
        DataError: a column to learn holds text, a row has too few or too many cells, or nothing is there.
    """
    with TextFile(path, options.encoding, options.skipped()) as file:
        try:
            found = _read_text(file, options, reused, texts)
        except UnicodeDecodeError as error:
            if options.encoding is not None or file.encoding != "utf-8":
                raise _undecoded(file, error) from error
            file.encoding = "cp1252"
            try:
                found = _read_text(file, options, reused, texts)
            except UnicodeDecodeError as second:
                raise _undecoded(file, second) from second
            note = f"{file.name} is not UTF-8, and was read as cp1252 (Western European; else --encoding, encoding=)"
            found = replace(found, notes=(note, *found.notes))
    return replace(found, name=path.name)


def _undecoded(file: TextFile, error: UnicodeDecodeError) -> DataError:
    what = f"{file.name} is no text in {file.encoding} (byte {error.object[error.start]:#04x})"
    return DataError(f"{what}: save it as UTF-8, or say its encoding (--encoding, encoding=)")


def _read_text(file: TextFile, options: ReadOptions, reused: Reused | None, texts: TextColumns | None) -> Dataset:
    dialect = sniff(file, options, known_names(options, reused))
    rows = RowCount()
    table = Cells(
        file.name,
        dialect.names,
        dialect.width,
        dialect.sample,
        lambda: text_blocks(file, dialect, rows),
        rows,
        dialect.notes,
        dialect.delimiter != ",",
    )
    return _read_cells(table, options, reused, texts or TextColumns())


def read_excel(
    path: Path, options: ReadOptions, reused: Reused | None = None, texts: TextColumns | None = None
) -> Dataset:
    """A table of numbers from a sheet of an Excel file (.xlsx), by way of openpyxl; see `read_csv`.

    Raises:
        ModuleNotFoundError: openpyxl is not installed.
        DataError: as `read_csv`, or the file is damaged.
    """
    with Sheet(path, options) as sheet:
        rows = RowCount()
        table = Cells(sheet.name, sheet.names, sheet.width, sheet.sample, lambda: sheet.blocks(rows), rows, sheet.notes)
        return replace(_read_cells(table, options, reused, texts or TextColumns()), name=path.name)


def _read_cells(table: Cells, options: ReadOptions, reused: Reused | None, texts: TextColumns) -> Dataset:
    """The data set that a table of text is."""
    columns, renamed = (
        unique_names(table.names, table.name) if table.names is not None else (tuple(map(str, range(table.width))), [])
    )
    if len(columns) != table.width:
        raise DataError(
            f"the rows of {table.name} have {table.width} cells and its names are {len(columns)}: even them"
        )
    aside, found = _aside(table, columns), None
    marks = {mark.strip().lower() for mark in options.na_values} | MARKS
    while found is None:
        chosen = choose(columns, table.names is not None, options, reused, table.name, aside)
        features = [columns[place] for place in chosen.features]
        numbers = Numbers(len(features), options.na_values, options.decimal, table.european)
        try:
            texts.begin(columns, lambda cells: labels_from_cells(cells, marks)[0])
            found = _gather(table, columns, chosen, numbers, aside, texts)
        except _NotAsideError as error:
            aside = {place: why for place, why in aside.items() if place != error.place}
    values, labels, ids, lines = found
    if not len(values):
        raise DataError(f"{table.name} has no rows of data: give at least one")
    target, said = (None, ()) if chosen.labels is None else labels_from_cells(labels, marks)
    notes = [*table.notes, *_renamed(renamed, aside, columns), *table.rows.notes(table.name), *chosen.notes]
    notes += [*numbers.notes(features, table.name), *_ids(values, numbers.whole, features), *said]
    return Dataset(
        table.name,
        values,
        train_labels=target,
        columns=tuple(features) if table.names is not None else None,
        source=table.name,
        notes=tuple(notes),
        kind="table",
        ids=None if chosen.id is None else np.asarray(ids),
        id_name=None if chosen.id is None else columns[chosen.id],
        label_name=None if chosen.labels is None else columns[chosen.labels],
        lines=lines,
    )


def _renamed(notes: list[str], aside: Mapping[int, str], columns: tuple[str, ...]) -> list[str]:
    """What a user should hear of names; nothing of columns that are left out."""
    nameless = [columns[place] for place in range(len(columns)) if columns[place] == f"Unnamed: {place}"]
    quiet = all(columns.index(name) in aside for name in nameless)
    return [note for note in notes if not (quiet and "without a name" in note)]


class _NotAsideError(Exception):
    """A column that seemed empty is not."""

    def __init__(self, place: int) -> None:
        self.place = place


def _aside(table: Cells, columns: tuple[str, ...]) -> dict[int, str]:
    """Columns that nobody wants: nameless ones that are empty, and a nameless first one that counts rows."""
    aside = {}
    for place, name in enumerate(columns if table.names is not None else ()):
        if name != f"Unnamed: {place}":
            continue
        seen = [row[place].strip() for row in table.sample if len(row) == len(columns)]
        if not any(seen):
            aside[place] = "which has no name and is empty"
        elif place == 0 and seen[0] in {"0", "1"} and seen == [str(int(seen[0]) + n) for n in range(len(seen))]:
            aside[place] = "which has no name and counts rows"
    return aside


def _gather(
    table: Cells,
    columns: tuple[str, ...],
    chosen: Chosen,
    numbers: Numbers,
    aside: Mapping[int, str],
    texts: TextColumns,
) -> tuple[Array, list[str], list[str], Array]:
    """Numbers, cells of labels and ids, and lines, of all rows."""
    empty = [place for place, why in aside.items() if why.endswith("is empty")]
    labels, ids, lines = list[str](), list[str](), list[Array]()

    def blocks() -> Iterator[Array]:
        for block in table.blocks():
            for place in empty:
                if filled([block.columns[place]]).any():
                    raise _NotAsideError(place)
            try:
                values = numbers.convert([block.columns[place] for place in chosen.features])
            except WordsError as error:
                raise _text_error(error, block, columns, chosen, table.name) from None
            if chosen.labels is not None:
                labels.extend(_texts(block.columns[chosen.labels]))
            if chosen.id is not None:
                ids.extend(_texts(block.columns[chosen.id]))
            texts.add(lambda place: _trimmed(block.columns[place]))  # noqa: B023  # asked at once
            lines.append(block.lines)
            yield values

    while True:
        labels.clear()
        ids.clear()
        lines.clear()
        texts.forget()
        numbers.forget()
        try:
            values = _together(blocks(), len(chosen.features), table.name)
        except RelearnError:
            continue
        return values, labels, ids, np.concatenate(lines) if lines else np.empty(0, np.int64)


def _texts(column: Any) -> list[str]:
    return _trimmed(column).to_pylist()  # type: ignore[no-any-return]


def _trimmed(column: Any) -> Any:
    return pyarrow().compute.utf8_trim_whitespace(column)


def _text_error(error: WordsError, block: Block, columns: tuple[str, ...], chosen: Chosen, name: str) -> DataError:
    """The sentence on columns that hold no numbers, with what to do about it."""
    first, cell = next(iter(error.found.items()))
    wrong = {columns[chosen.features[place]]: _kind_of(error.found[place]) for place in sorted(error.found)}
    one = columns[chosen.features[first]]
    more = also_held(wrong, one)
    where = f"line {block.lines[error.row]} of {name}"
    if "\n" in cell:
        return DataError(
            f"a cell in {where} spans several lines ('{printable(cell, 60)}'): a quotation mark may not be closed"
        )
    line = int(block.lines[error.row])
    below = line > 1 and len(columns) == 1 and any(mark in cell for mark in ",;\t|")  # the table begins further down
    lines = f"1-{line - 1}" if below and line > 2 else str(line - below)
    return BlockedError(
        f"column '{printable(one)}' holds {wrong[one]} ({where} has '{printable(cell, 60)}'){more}: "
        f"{_remedy(one, chosen, list(wrong), lines)}",
        wrong,
    )


def _kind_of(cell: str) -> str:
    return "dates" if is_date(cell) else "text"


def _remedy(column: str, chosen: Chosen, wrong: Sequence[str] = (), lines: str = "") -> str:
    """What to do with columns that hold no numbers."""
    plain = [each for each in wrong if "," not in each] if 1 < len(wrong) <= 10 else []
    out = ",".join(plain) if len(plain) == len(wrong) > 1 else column
    said = f"leave {'it' if out == column else 'them'} out (--drop {_typed(out)}, in Python drop={_written(out)})"
    if chosen.labels is None:
        said += f", or name it as the labels (--labels {_typed(column)}, labels={_written(column)})"
    if chosen.id is None:
        said += f", or as what names the rows (--id {_typed(column)}, id={_written(column)})"
    if lines:
        said += f"; or leave out lines that are no rows, such as a title, units or a total (--skip-lines {lines}, skip_lines='{lines}')"
    return said


def _typed(word: str) -> str:
    """A name as a shell takes it."""
    return command(_short(word))


def _written(word: str) -> str:
    """A name as Python takes it."""
    return ascii(_short(word)) if not word.isprintable() else repr(_short(word))


def _short(word: str) -> str:
    """A name; of one that nobody types the beginning."""
    return word if len(word) <= _TYPED else printable(word)


def _ids(values: Array, whole: Array, names: Sequence[str]) -> list[str]:
    """A sentence on columns of whole numbers that are different in every row, as ids are."""
    n, found = len(values), []
    if n < _FEW or values.nbytes > _IN_MEMORY:
        return []
    for place in np.flatnonzero(whole).tolist():
        column = np.asarray(values[:, place])
        if np.isnan(column).any() or column.max() / 2 - column.min() / 2 < (n - 1) / 2:
            continue
        if (column[1:] - 1 == column[:-1]).all():
            found.append(f"{printable(names[place])} (it counts the rows)")
        elif len(np.unique(column)) == n:
            found.append(printable(names[place]))
    if not found:
        return []
    which = f"{listed(found)} {'is' if len(found) == 1 else 'are'} a different whole number in every row, as ids are"
    return [f"{which}; what names the rows is not learned if it is named with --id, id="]


_FEW = 10  # rows, of which little can be said


def _together(blocks: Iterator[Array], width: int, name: str) -> Array:
    """Blocks of rows as one array: in memory, or, of more than 256 MiB, in a temporary file."""
    kept, size = list[Array](), 0
    for block in blocks:
        kept.append(block)
        size += block.nbytes
        if size > _IN_MEMORY:
            return _in_a_file(chain(kept, blocks), block.dtype, width, name)
    return np.concatenate(kept) if kept else np.empty((0, width))


def read_parquet(
    path: Path, options: ReadOptions, reused: Reused | None = None, texts: TextColumns | None = None
) -> Dataset:
    """A table of numbers from a Parquet file, in the type that holds all its columns; nulls become NaN.

    Of more than 256 MiB the numbers go into a temporary file, and stay there: the result is a memory map.

    Args:
        path: the file.
        options: which columns.
        reused: the run that the examples are for.
        texts: columns that are not learned, whose cells are to be kept.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        DataError: the file is damaged, or a column other than the labels holds no numbers, or an extension type.
    """
    arrow, name = pyarrow(), shown(path)
    with open_regular(path) as file:
        with _undamaged(name):
            table = arrow.parquet.ParquetFile(file)
            columns, chosen = _check_parquet(table, options, reused, name)
        _in_proportion(table.metadata.num_rows * len(chosen.features) * 8, os.fstat(file.fileno()).st_size, name)
        cells: list[Any] = []
        ids: list[Any] = []
        large: set[int] = set()
        texts = texts or TextColumns()
        texts.begin(columns, lambda cells: labels_from_column(cells)[0])
        values = _parquet_values(table, chosen, name, cells, ids, large, texts)
    if len(values) != table.metadata.num_rows:
        raise DataError(
            f"{name} is damaged: its footer promises {table.metadata.num_rows:,} rows and {len(values):,} are there"
        )
    found, said = (None, ()) if chosen.labels is None else labels_from_column(cells)
    features = [columns[place] for place in chosen.features]
    rounded = [features[place] for place in sorted(large)] if values.dtype.kind == "f" else []
    notes = [*chosen.notes, *([rounded_note(listed(rounded))] if rounded else [])]
    return Dataset(
        path.name,
        values,
        train_labels=found,
        columns=tuple(features),
        source=name,
        notes=(*notes, *_ids(values, _whole(values), features), *said),
        kind="table",
        ids=None if chosen.id is None else ids_from_values(ids),
        id_name=None if chosen.id is None else columns[chosen.id],
        label_name=None if chosen.labels is None else columns[chosen.labels],
    )


def _parquet_values(
    table: Any,
    chosen: Chosen,
    name: str,
    cells: list[Any],
    ids: list[Any],
    large: set[int],
    texts: TextColumns,
) -> Array:
    """The numbers of all rows, in memory or, of more than 256 MiB, in a temporary file; what else is gathered joins the rest."""
    width = len(chosen.features)
    if table.metadata.num_rows * width * 8 > _IN_MEMORY:
        kinds = {block.dtype for block in _blocks(table, chosen, name, [], [], set(), TextColumns())}
        dtype = np.result_type(*(kinds or {np.dtype(np.float64)}))
        return _in_a_file(_blocks(table, chosen, name, cells, ids, large, texts), dtype, width, name)
    blocks = list(_blocks(table, chosen, name, cells, ids, large, texts))
    return np.concatenate(blocks) if blocks else np.empty((0, width))


def _in_proportion(promised: int, size: int, name: str) -> None:
    """`DataError` where a file promises many more bytes of numbers than it has."""
    limit = max(_UNPACKED, _GROWTH * size)
    if promised > limit:
        raise DataError(
            f"{name} promises {promised:,} bytes of numbers in {size:,}, which is out of proportion: write it anew with "
            "compression='none' and use_dictionary=False, if you trust it"
        )


@contextmanager
def _undamaged(name: str) -> Iterator[None]:
    """What pyarrow complains of within is a `DataError`."""
    try:
        yield
    except (pyarrow().ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name} is a damaged Parquet file ({error}): write it again") from error


def _blocks(
    table: Any,
    chosen: Chosen,
    name: str,
    cells: list[Any],
    ids: list[Any],
    large: set[int],
    texts: TextColumns,
) -> Iterator[Array]:
    """The numbers, some rows at a time, so that memory grows with what is there; the labels join the cells.

    The features with whole numbers that float64 does not have exactly join the large ones.
    """
    batches = table.iter_batches(_ROWS)
    while True:
        with _undamaged(name):
            batch = next(batches, None)
            if batch is None:
                return
            block, labels, named = _from_arrow(batch, chosen)
            large |= _large(batch, chosen)
            texts.add(batch.column)
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
    types = pyarrow().types

    # pyarrow aborts the process when asked for the metadata of a damaged column, so only its batches are asked for
    if table.metadata.num_rows == 0:
        raise DataError(f"{name} has no rows of data: give at least one")
    columns = tuple(table.schema_arrow.names)
    aside = {place: "the index that pandas wrote" for place, each in enumerate(columns) if _INDEX.fullmatch(each)}
    chosen = choose(columns, True, options, reused, name, aside)
    wrong, features = dict[str, str](), set(chosen.features)
    for index, field in enumerate(table.schema_arrow):
        kind = field.type
        if isinstance(kind, pyarrow().BaseExtensionType):
            raise DataError(f"column {field.name!r} of {name} has the extension type {kind}: save it as a plain type")
        number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
        if index in features and not number:
            wrong[field.name] = _held(kind)
    if wrong:
        first = next(iter(wrong))
        more = also_held(wrong, first)
        raise BlockedError(
            f"column {first!r} of {name} holds {wrong[first]}{more}: {_remedy(first, chosen, list(wrong))}", wrong
        )
    return columns, chosen


def _held(kind: Any) -> str:
    """What a type of Arrow other than numbers holds, in a word."""
    types = pyarrow().types
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return "text" if text else "dates" if types.is_date(kind) or types.is_timestamp(kind) else str(kind)


def _large(batch: Any, chosen: Chosen) -> set[int]:
    """The features of which a whole number lies beyond 2^53."""
    found = set[int]()
    for feature, place in enumerate(chosen.features):
        column = batch.column(place)
        if pyarrow().types.is_integer(column.type) and column.type.bit_width == 64:
            ends = pyarrow().compute.min_max(column).as_py()
            if ends["max"] is not None and max(-ends["min"], ends["max"]) > EXACT:
                found.add(feature)
    return found


def _whole(values: Array) -> Array:
    """Which columns hold whole numbers in every row."""
    if values.dtype.kind != "f" or values.nbytes > _IN_MEMORY:
        return np.full(values.shape[1], values.dtype.kind in "iu")
    return np.asarray((values == np.round(values)).all(0))


def _from_arrow(batch: Any, chosen: Chosen) -> tuple[Array, list[Any], list[Any]]:
    columns = [batch.column(place).to_numpy(zero_copy_only=False) for place in chosen.features]
    plain = [column.astype(np.float64) if column.dtype == object else column for column in columns]  # bool with nulls
    rest = [[] if place is None else batch.column(place).to_pylist() for place in (chosen.labels, chosen.id)]
    return np.column_stack(plain), rest[0], rest[1]
