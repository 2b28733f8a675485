"""A table of a file with columns of any kind: those that are not read as numbers are collected, and all of them are encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from isthmus.data.dataset import Dataset
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.cells import MARKS, TRUTHS, value_of
from isthmus.data.tables.column_encoding import ColumnEncoding
from isthmus.data.tables.column_kinds import EXACT, GivenKind, checked_kinds, infer_kind, is_text
from isthmus.data.tables.columns import NotNumericError, check_kind_names, listed
from isthmus.data.tables.frame_columns import arrow_columns
from isthmus.data.tables.id_columns import id_notes
from isthmus.data.tables.number_columns import number_marks, without_marks
from isthmus.data.tables.numbers import TRUTH_NOTE
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.data.tables.text_columns import TextColumns
from isthmus.errors import DataError
from isthmus.io.memory_limit import check_memory
from isthmus.text import printable

__all__ = ["encoded_dataset", "known_dataset", "read_columns"]

Reader = Callable[[ReadOptions, Reused | None, TextColumns], Dataset]

_COLLECTED = {"category", "ordered", "date"}  # kinds whose cells are not read as numbers
_WORDS = {"none"}  # a missing value among numbers, and a word like others among texts
_NESTED = (
    "struct",
    "list",
    "large_list",
    "fixed_size_list",
    "map",
)  # types of pyarrow that hold several values in a cell
_LISTED = 8  # marks in a note


def read_columns(
    read: Reader, options: ReadOptions, reused: Reused | None = None, names: Sequence[str] = ()
) -> tuple[Dataset, TextColumns]:
    """Reads a table of a file. If it has columns that are not numbers, or if kinds are given, the data set has an encoding.

    Each time a column turns out not to be numeric, the table is read from its beginning again. It is read to its end once.

    Args:
        read: reads the columns of numbers, and collects the cells of others.
        options: the user's.
        reused: the run for which the table is read; its encoding applies, if it has one.
        names: columns that are not learned, whose cells are collected too.

    Raises:
        DataError: the table cannot be read; a column of numbers has cells that are none; no column can be learned.
        RecordError: a kind does not exist, or a column of the kinds.
    """
    kinds, known = options.given_kinds(), None if reused is None else reused.table
    checked_kinds(kinds, list(kinds))
    if kinds and reused is not None and known is None:
        raise DataError(f"the run was trained on numbers alone: leave out {_flags(kinds)}, or train anew")
    if known is not None and reused is not None:
        reused = reused._replace(features=known.names)
        stated: dict[str, str] = {column.name: column.kind for column in known.columns}
        others = (name for name, kind in kinds.items() if kind == "drop" and name not in known.names)
        stated |= dict.fromkeys((*known.dropped, *others), "drop")
    else:
        stated = {name: kind if isinstance(kind, str) else "ordered" for name, kind in kinds.items()}
    dropped = tuple(name for name, kind in stated.items() if kind == "drop")
    options = options.replace(drop=(*options.drop, *dropped), kinds=())
    read_with = partial(read, options, reused)
    collect = partial(TextColumns, names, whole=reused is not None and reused.all_columns)
    dataset, texts = _without_errors(read_with, collect, stated, reused is None, options)
    learned = {*texts.selected, *(() if known is None else (name for name, _ in known.left_out))}
    merged = options if reused is None else options.over(reused.options)
    check_kind_names(kinds, texts.columns, learned, merged, dataset.source)
    if known is None and not texts.features & set(texts.selected) and not kinds:
        return dataset, texts
    if texts.typed and len(set(texts.selected)) < len(texts.selected):
        twice = next(name for name in texts.selected if texts.selected.count(name) > 1)
        raise DataError(f"column {printable(twice)!r} occurs twice in {dataset.source}: rename one of them")
    if texts.typed:  # then the types of all columns are kept
        texts = collect(texts.selected)
        dataset = read_with(texts)
    arrow, missing = _arrow_table(dataset, texts, options)
    booleans = all(pyarrow().types.is_boolean(arrow.schema.field(name).type) for name in texts.truths)
    read_as = [note for note in dataset.notes if not (booleans and note.startswith(TRUTH_NOTE))]
    dataset = replace(dataset, notes=(*read_as, *missing))
    if known is not None and reused is not None:
        return known_dataset(dataset, arrow, known, kinds, reused.missing), texts
    kept = {name: kind for name, kind in kinds.items() if kind != "drop"}
    return encoded_dataset(dataset, arrow, kept, texts.typed), texts


def _without_errors(
    read: Callable[[TextColumns], Dataset],
    collect: Callable[[Collection[str]], TextColumns],
    stated: Mapping[str, str],
    own: bool,
    options: ReadOptions,
) -> tuple[Dataset, TextColumns]:
    """The columns of numbers, and the collected cells of others: of stated kinds and, of a table with its own encoding, those found."""
    fixed, found = {name for name, kind in stated.items() if kind in _COLLECTED}, set[str]()
    while True:
        texts = collect(fixed | found)
        try:
            dataset = read(texts)
        except NotNumericError as error:
            plain = {name for name, what in error.contents.items() if not what.startswith(_NESTED)} - found
            typed = {name for name in plain if texts.typed and error.contents[name] not in {"text", "dates"}}
            new = plain - set(stated) if own and not error.skip_title and not _is_alone(texts) else set[str]()
            if not new | typed:
                raise
            found |= new | typed
            continue
        numbers = {name for name in found if _are_numbers(texts.column(name), options)}
        if numbers:  # with a few cells that are none: the same error again, of these columns alone
            read(collect(fixed | (found - numbers)))
        return dataset, texts


def encoded_dataset(
    dataset: Dataset, frame: Any, kinds: Mapping[str, str | tuple[str, ...]], typed: bool = True
) -> Dataset:
    """The data set of a data frame, with an encoding of its own, which a note describes; `typed` as for `TableEncoding.fit_encode`."""
    check_memory(24 * frame.shape[0] * frame.shape[1], f"encoding the columns of {dataset.name}")
    table, values = TableEncoding.fit_encode(frame, _typed_kinds(kinds, frame), typed)
    whole = np.array([column.kind == "integer" for column in table.columns for _ in column.features])
    ids = id_notes(values, whole, table.features) if typed else []  # texts were looked at when they were read
    notes = (*dataset.notes, *ids, f"{dataset.name}: {table.file_note()}")
    return replace(dataset, train=values, columns=table.features, table=table, frame=frame, notes=notes)


def _typed_kinds(kinds: Mapping[str, str | tuple[str, ...]], frame: Any) -> dict[str, GivenKind]:
    """Kinds whose ordered categories, given as text, have the type of their column."""
    ordered = {name for name, kind in kinds.items() if not isinstance(kind, str)}
    typed = dict[str, GivenKind](kinds)
    for name, column in arrow_columns(frame, ordered).items():
        values, types = [value_of(label) for label in kinds[name]], pyarrow().types
        if (types.is_integer(column.type) or types.is_floating(column.type)) and None not in values:
            whole = types.is_integer(column.type)
            typed[name] = tuple(int(value) if whole else value for value in values if value is not None)
    return typed


def known_dataset(
    dataset: Dataset, frame: Any, table: TableEncoding, kinds: Mapping[str, str | tuple[str, ...]], missing: bool
) -> Dataset:
    """The data set of a data frame, in the encoding of a run.

    Args:
        dataset: the data set without features.
        frame: its columns.
        table: the encoding.
        kinds: those that the user gave, which must be those of the encoding.
        missing: whether a category that the encoding does not know is missing; else it is an error.
    """
    there = {
        name: kind for name, kind in kinds.items() if name in (*table.names, *(name for name, _ in table.left_out))
    }
    if not (table.agrees_with(there) or table.agrees_with(_typed_kinds(there, frame))):
        raise DataError(
            f"the run was trained on columns of other kinds ({table.summary()}): leave out {_flags(there)}, or train anew"
        )
    check_memory(24 * frame.shape[0] * frame.shape[1], f"encoding the columns of {dataset.name}")
    arrays = arrow_columns(frame, table.names)
    typed = {column.name: _like_training(arrays[column.name], column) for column in table.columns}
    features = table.encode(pyarrow().table(typed))
    notes, sentence = dataset.notes, features.sentence()
    if sentence and not missing:
        raise DataError(
            f"{dataset.name} has {sentence}: correct them, or train with missing=allow, which takes them as missing"
        )
    if sentence:
        notes = (*notes, f"{dataset.name} has {sentence}, which are taken as missing")
    if note := features.note_on_fractions():
        notes = (*notes, f"{dataset.name} has {note}")
    return replace(dataset, train=features.values, columns=table.features, table=table, frame=frame, notes=notes)


def _like_training(column: Any, encoding: ColumnEncoding) -> Any:
    """A column with values of the type of the categories: a file of text has texts where training had numbers, or the other way."""
    arrow, labels = pyarrow(), encoding.categories
    column = column.dictionary_decode() if arrow.types.is_dictionary(column.type) else column
    if not labels or is_text(column.type) == isinstance(labels[0], str):
        return column
    if isinstance(labels[0], str):
        return column.cast(arrow.string())
    by_value = {(float(label)): label for label in labels}
    texts = [None if text is None else text.lower() for text in column.to_pylist()]
    values = [None if text is None else TRUTHS.get(text, value_of(text)) for text in texts]
    known = [
        by_value.get(value, text) if value is not None else text for value, text in zip(values, texts, strict=True)
    ]
    others = {text for text in known if isinstance(text, str)}
    if others:
        raise DataError(
            f"column {printable(encoding.name)!r} holds {printable(min(others), 40)!r}, and its categories are numbers: correct it"
        )
    return arrow.array(known)


def _flags(kinds: Mapping[str, GivenKind]) -> str:
    """Options of kinds, for a message."""
    return f"--kind (kinds=) of {listed(list(kinds))}"


def _is_alone(texts: TextColumns) -> bool:
    """Whether a table has one column: if it is no number, the file may be none at all."""
    return len(texts.selected) == 1


def _are_numbers(column: Any, options: ReadOptions) -> bool:
    """Whether at least half of the values of a column of text are numbers."""
    if not is_text(column.type):
        return False
    marks = MARKS | {mark.strip().lower() for mark in options.na_values}
    counts = pyarrow().compute.value_counts(column.drop_null()).to_pylist()
    known = [(each["values"], each["counts"]) for each in counts if each["values"].strip().lower() not in marks]
    numbers = sum(count for text, count in known if value_of(text) is not None)
    return bool(2 * numbers >= max(1, sum(count for _, count in known)))


def _arrow_table(dataset: Dataset, texts: TextColumns, options: ReadOptions) -> tuple[Any, list[str]]:
    """All columns that are learned as a table of pyarrow, and notes on marks of missing values in columns of text.

    A file whose columns have types states which cells are missing, so that only the marks that the user gave mean it too, except among
    dates, which have no other words.
    """
    usual, given = MARKS - _WORDS, {mark.strip().lower() for mark in options.na_values}
    columns, missing, kept, number = dict[str, Any](), Counter[str](), Counter[str](), 0
    for name in texts.selected:
        if name not in texts.features:
            columns[name], number = _numbers(dataset.train[:, number], name in texts.truths), number + 1
            continue
        column = texts.column(name)
        if is_text(column.type):
            marks = given if texts.typed and not _are_dates(column, usual) else given | usual
            column = _without_words(column, marks, missing)
            _without_words(column, usual, kept)
        columns[name] = without_marks(column, number_marks(options.na_values))
    notes = [f"missing values in columns of text of {dataset.name}: {_counts(missing)}"] if missing else []
    if kept:
        remedy = "if they mean missing values, give them with --na-values (na_values=)"
        notes.append(f"texts of {dataset.name} that are read as they are: {_counts(kept)}; {remedy}")
    return pyarrow().table(columns), notes


def _are_dates(column: Any, marks: Collection[str]) -> bool:
    """Whether all texts but marks of missing values are dates."""
    return infer_kind(_without_words(column, marks, Counter())).kind == "date"


def _without_words(column: Any, words: Collection[str], counts: Counter[str]) -> Any:
    """A column of text, null where it holds one of some words, in lower case; these are counted."""
    arrow, compute = pyarrow(), pyarrow().compute
    lower = compute.utf8_lower(column)
    marked = compute.is_in(lower, value_set=arrow.array(sorted(words), lower.type))
    for each in compute.value_counts(column.filter(marked)).to_pylist():
        counts[each["values"]] += each["counts"]
    return compute.if_else(marked, None, column)


def _counts(words: Counter[str]) -> str:
    """The number of cells with some words, and the most frequent of these."""
    listed = ", ".join(f"'{printable(word, 20)}' {count:,}" for word, count in words.most_common(_LISTED))
    return f"{words.total():,} ({listed})"


def _numbers(values: Any, truths: bool) -> Any:
    """A column of numbers of pyarrow; of booleans where the file has true and false."""
    arrow, values = pyarrow(), np.asarray(values)
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    known = values[~missing]
    if truths and np.isin(known, (0, 1)).all():
        return arrow.array(values == 1, mask=missing)
    if len(known) and values.dtype.kind == "f" and (known == np.round(known)).all() and np.abs(known).max() <= EXACT:
        values = np.where(missing, 0, values).astype(np.int64)
    return arrow.array(values, mask=missing)
