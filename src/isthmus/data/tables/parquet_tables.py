"""Parquet and Arrow files as a data set. Their columns have types already."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.label_columns import ids_from_values, labels_from_column
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.column_errors import other_columns, remedy
from isthmus.data.tables.column_kinds import is_text
from isthmus.data.tables.columns import NotNumericError, SelectedColumns, listed, select_columns
from isthmus.data.tables.id_columns import id_notes
from isthmus.data.tables.number_columns import is_inexact, number_marks, without_marks
from isthmus.data.tables.numbers import rounded_note
from isthmus.data.tables.row_arrays import MAX_IN_MEMORY, array_in_file
from isthmus.data.tables.table_files import TableBatch, TableFiles
from isthmus.data.tables.text_columns import TextColumns
from isthmus.errors import DataError
from isthmus.io.memory_limit import check_memory

__all__ = ["BATCH", "plain_texts", "read_files", "selected_columns"]

Array = npt.NDArray[Any]

BATCH = 10_000  # rows read together
_MAX_TEXT = 2**28  # bytes of the texts of a column in a batch
_COPIES = 3  # of the texts in memory, while columns are joined
_INDEX = re.compile(r"__index_level_\d+__")  # the name that pandas gives an index without a name


class _Collected:
    """What is collected in addition to the features while the batches of a file are read.

    Attributes:
        labels, ids: the values of those columns; empty without such a column.
        inexact: the indices of features with whole numbers that float64 cannot represent exactly.
        texts: the cells of columns that are not read as numbers.
        plain: those of them that hold text.
        n_bytes: of their texts so far.
        size: of the file, in bytes.
        marks: numbers that mean a missing value.
    """

    def __init__(self, texts: TextColumns, marks: Sequence[float] = ()) -> None:
        self.plain, self.n_bytes, self.size, self.marks = frozenset[str](), 0, 0, marks
        self.labels, self.ids, self.inexact, self.texts = list[Any](), list[Any](), set[int](), texts


def read_files(
    files: TableFiles, options: ReadOptions, reused: Reused | None = None, texts: TextColumns | None = None
) -> Dataset:
    """The numeric columns of files, in the dtype that holds all of them. Nulls become NaN.

    Above 256 MiB the values are mapped from a temporary file.

    Args:
        files: the files.
        options: which columns to use.
        reused: the run for which the examples are read.
        texts: collects the cells of columns that are not learned.

    Raises:
        DataError: a file is damaged, or a column other than the labels is not numeric or has an extension type.
    """
    name = files.name
    collected = _Collected(texts or TextColumns(), number_marks(options.na_values))
    columns, selected = selected_columns(files, options, reused, collected.texts)
    collected.plain = plain_texts(files, collected.texts.collected)
    files.read_texts_as_numbers(collected.plain)
    collected.size = files.n_bytes
    files.check_declared_sizes(len(collected.texts.selected))
    values = _values(files, selected, collected)
    labels, label_notes = (None, ()) if selected.labels is None else labels_from_column(collected.labels)
    features = [columns[position] for position in selected.features]
    rounded = [features[index] for index in sorted(collected.inexact)] if values.dtype.kind == "f" else []
    rounded += [name for name in collected.texts.selected if name in files.rounded and name not in rounded]
    notes = [*files.notes(), *selected.notes, *([rounded_note(listed(rounded))] if rounded else [])]
    return Dataset(
        files.files.title,
        values,
        train_labels=labels,
        columns=tuple(features),
        source=name,
        file_rows=files.file_rows(),
        notes=(*notes, *id_notes(values, _whole_columns(values), features), *label_notes),
        kind="table",
        ids=None if selected.id is None else ids_from_values(collected.ids),
        id_name=None if selected.id is None else columns[selected.id],
        label_name=None if selected.labels is None else columns[selected.labels],
    )


def _values(files: TableFiles, selected: SelectedColumns, collected: _Collected) -> Array:
    """The features of all rows: in memory, or above 256 MiB in a temporary file, whose dtype a first pass finds out."""
    width = len(selected.features)
    if files.n_rows * width * 8 > MAX_IN_MEMORY:
        first = _Collected(TextColumns(), collected.marks)
        dtypes = {block.dtype for block in _blocks(files, selected, first)}
        dtype = np.result_type(*(dtypes or {np.dtype(np.float64)}))
        return array_in_file(_blocks(files, selected, collected), dtype, width, files.name)
    blocks = list(_blocks(files, selected, collected))
    return np.concatenate(blocks) if blocks else np.empty((0, width))


def _blocks(files: TableFiles, selected: SelectedColumns, collected: _Collected) -> Iterator[Array]:
    """The features, a batch of rows at a time, so that a file that declares too many rows takes no memory for them."""
    others = [each for each in (selected.labels, selected.id) if each is not None]
    for batch in files.batches(BATCH, [*selected.features, *others, *collected.texts.positions]):
        if selected.labels is not None:
            collected.labels += batch.columns[selected.labels].to_pylist()
        if selected.id is not None:
            collected.ids += batch.columns[selected.id].to_pylist()
        collected.inexact |= _inexact_features(batch, selected, files)
        collected.texts.add(lambda position: _cells(batch, position, collected, files))  # noqa: B023  # called immediately
        yield _features(batch, selected, collected.marks)


def selected_columns(
    files: TableFiles, options: ReadOptions, reused: Reused | None, texts: TextColumns
) -> tuple[tuple[str, ...], SelectedColumns]:
    """The names of all columns, and the selected ones that are read as numbers. Types are checked before any value is read."""
    types, name = pyarrow().types, files.name
    if files.n_rows == 0:
        raise DataError(f"{name} has no rows of data: give at least one")
    if reused is not None and reused.table is None:
        files.read_nulls_as_numbers(reused.features or ())
    files.read_folders_as_texts(_texts_of_folders(files, options, reused))
    columns = tuple(files.schema.names)
    excluded = {index: "the index that pandas wrote" for index, each in enumerate(columns) if _INDEX.fullmatch(each)}
    selected = select_columns(columns, True, options, reused, name, excluded)
    texts.typed = True
    to_labels = lambda cells: labels_from_column(cells)[0]  # noqa: E731
    numeric = texts.begin(columns, selected.features, to_labels, selected.dropped)
    selected = selected._replace(features=tuple(numeric))
    wrong, features = dict[str, str](), set(numeric)
    for index, field in enumerate(files.schema):
        kind = field.type
        if isinstance(kind, pyarrow().BaseExtensionType):
            raise DataError(f"column {field.name!r} of {name} has the extension type {kind}: save it as a plain type")
        numeric = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
        if index in features and not numeric:
            wrong[field.name] = _content_of(kind)
    if wrong:
        first = next(iter(wrong))
        others = other_columns(wrong, first)
        raise NotNumericError(
            f"column {first!r} of {name} holds {wrong[first]}{others}: {remedy(first, selected, list(wrong))}", wrong
        )
    return columns, selected


def _texts_of_folders(files: TableFiles, options: ReadOptions, reused: Reused | None) -> set[str]:
    """The columns in the names of folders that are texts: those that were in training, and labels, IDs and groups such as 01."""
    known = set[str]() if reused is None or reused.table is None else {*reused.table.texts}
    given = options if reused is None else options.over(reused.options)
    return known | {
        each.name for each in files.files.partitions if each.padded and each.name in {given.labels, given.id, given.by}
    }


def plain_texts(files: TableFiles, names: Collection[str]) -> frozenset[str]:
    """Those columns that hold text. They are read as different texts and their numbers, as a file may repeat a long one."""
    return frozenset(field.name for field in files.schema if field.name in names and is_text(field.type))


def _cells(batch: TableBatch, position: int, collected: _Collected, files: TableFiles) -> Any:
    """A column of a batch. Texts that were read as different ones and numbers become a column of texts."""
    arrow, column, field = pyarrow(), batch.columns[position], files.schema.field(position)
    if field.name not in collected.plain:
        return column
    column = column if arrow.types.is_dictionary(column.type) else column.dictionary_encode()
    total = arrow.compute.sum(arrow.compute.binary_length(column.dictionary).take(column.indices)).as_py() or 0
    collected.n_bytes += total
    if total > _MAX_TEXT:
        raise DataError(
            f"column {field.name!r} of {batch.file} has texts of {total:,} bytes in {len(column):,} rows: leave it out "
            "(--drop, drop=)"
        )
    check_memory(_COPIES * collected.n_bytes, f"the texts of {files.name}", given=collected.size)
    return column.dictionary_decode().cast(field.type)


def _content_of(kind: Any) -> str:
    """What a column of a type that is not numeric holds, in a word."""
    types = pyarrow().types
    return "text" if is_text(kind) else "dates" if types.is_date(kind) or types.is_timestamp(kind) else str(kind)


def _inexact_features(batch: TableBatch, selected: SelectedColumns, files: TableFiles) -> set[int]:
    """The indices of the features with a whole number beyond 2^53."""
    return {
        feature
        for feature, position in enumerate(selected.features)
        if is_inexact(batch.columns[position]) or files.schema.field(position).name in files.rounded
    }


def _whole_columns(values: Array) -> Array:
    """(columns,), True where a column holds whole numbers only."""
    if values.dtype.kind != "f" or values.nbytes > MAX_IN_MEMORY:
        return np.full(values.shape[1], values.dtype.kind in "iu")
    return np.asarray((values == np.round(values)).all(0))


def _features(batch: TableBatch, selected: SelectedColumns, marks: Sequence[float]) -> Array:
    """The features of a batch, (rows, features), NaN where a number is a mark of a missing value."""
    known = (without_marks(batch.columns[position], marks) for position in selected.features)
    columns = [column.to_numpy(zero_copy_only=False) for column in known]
    return (
        np.empty((batch.rows, 0))
        if not columns
        else np.column_stack(
            [
                column.astype(np.float64) if column.dtype == object else column for column in columns
            ]  # booleans with nulls
        )
    )
