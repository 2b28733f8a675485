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
from isthmus.data.tables.cells import MARKS, value_of
from isthmus.data.tables.column_kinds import EXACT, checked_kinds, is_text
from isthmus.data.tables.columns import NotNumericError, check_kind_names
from isthmus.data.tables.encoded_datasets import encoded_dataset, flags_of_kinds, known_dataset
from isthmus.data.tables.missing_words import USUAL_WORDS, are_dates, given_words, notes_on_words, without_words
from isthmus.data.tables.number_columns import number_marks, without_marks
from isthmus.data.tables.numbers import TRUTH_NOTE
from isthmus.data.tables.text_columns import TextColumns
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["COLLECTED", "mostly_numbers", "newly_found", "read_columns", "stated_kinds"]

Reader = Callable[[ReadOptions, Reused | None, TextColumns], Dataset]

COLLECTED = {"category", "ordered", "date"}  # kinds whose cells are not read as numbers
_NESTED = (
    "struct",
    "list",
    "large_list",
    "fixed_size_list",
    "map",
)  # types of pyarrow that hold several values in a cell


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
    options, reused, stated = stated_kinds(options, reused)
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


def stated_kinds(options: ReadOptions, reused: Reused | None) -> tuple[ReadOptions, Reused | None, dict[str, str]]:
    """What the user or the run says that the values of columns mean, by name; and the options for readers, which know no kinds."""
    kinds, known = options.given_kinds(), None if reused is None else reused.table
    checked_kinds(kinds, list(kinds))
    if kinds and reused is not None and known is None:
        raise DataError(f"the run was trained on numbers alone: leave out {flags_of_kinds(kinds)}, or train anew")
    if known is not None and reused is not None:
        reused = reused._replace(features=known.names)
        stated: dict[str, str] = {column.name: column.kind for column in known.columns}
        others = (name for name, kind in kinds.items() if kind == "drop" and name not in known.names)
        stated |= dict.fromkeys((*known.dropped, *others), "drop")
    else:
        stated = {name: kind if isinstance(kind, str) else "ordered" for name, kind in kinds.items()}
    dropped = tuple(name for name, kind in stated.items() if kind == "drop")
    return options.replace(drop=(*options.drop, *dropped), kinds=()), reused, stated


def _without_errors(
    read: Callable[[TextColumns], Dataset],
    collect: Callable[[Collection[str]], TextColumns],
    stated: Mapping[str, str],
    own: bool,
    options: ReadOptions,
) -> tuple[Dataset, TextColumns]:
    """The columns of numbers, and the collected cells of others: of stated kinds and, of a table with its own encoding, those found."""
    fixed, found = {name for name, kind in stated.items() if kind in COLLECTED}, set[str]()
    while True:
        texts = collect(fixed | found)
        try:
            dataset = read(texts)
        except NotNumericError as error:
            new = newly_found(error, texts, found, stated, own)
            if not new:
                raise
            found |= new
            continue
        numbers = {name for name in found if _are_numbers(texts.column(name), options)}
        if numbers:  # with a few cells that are none: the same error again, of these columns alone
            read(collect(fixed | (found - numbers)))
        return dataset, texts


def newly_found(
    error: NotNumericError, texts: TextColumns, found: Collection[str], stated: Collection[str], own: bool
) -> set[str]:
    """The columns of an error that can be collected as columns of another kind; none if it is an error.

    Args:
        error: raised by a reader of columns of numbers.
        texts: the columns that it collected.
        found: the columns that are known to be of another kind.
        stated: the columns whose kind is stated.
        own: whether the table gets an encoding of its own.
    """
    plain = {name for name, what in error.contents.items() if not what.startswith(_NESTED)} - {*found}
    typed = {name for name in plain if texts.typed and error.contents[name] not in {"text", "dates"}}
    return typed | (plain - {*stated} if own and not error.skip_title and not _is_alone(texts) else set())


def _is_alone(texts: TextColumns) -> bool:
    """Whether a table has one column: if it is no number, the file may be none at all."""
    return len(texts.selected) == 1


def _are_numbers(column: Any, options: ReadOptions) -> bool:
    """Whether at least half of the values of a column of text are numbers."""
    if not is_text(column.type):
        return False
    counts = pyarrow().compute.value_counts(column.drop_null()).to_pylist()
    return mostly_numbers({each["values"]: each["counts"] for each in counts}, options)


def mostly_numbers(counts: Mapping[str, int], options: ReadOptions) -> bool:
    """Whether at least half of some texts, each with the number of its rows, are numbers."""
    marks = MARKS | {mark.strip().lower() for mark in options.na_values}
    known = {text: count for text, count in counts.items() if text.strip().lower() not in marks}
    numbers = sum(count for text, count in known.items() if value_of(text) is not None)
    return bool(2 * numbers >= max(1, sum(known.values())))


def _arrow_table(dataset: Dataset, texts: TextColumns, options: ReadOptions) -> tuple[Any, list[str]]:
    """All columns that are learned as a table of pyarrow, and notes on marks of missing values in columns of text.

    A file whose columns have types states which cells are missing, so that only the marks that the user gave mean it too, except among
    dates, which have no other words.
    """
    usual, given = USUAL_WORDS, given_words(options)
    columns, missing, kept, number = dict[str, Any](), Counter[str](), Counter[str](), 0
    for name in texts.selected:
        if name not in texts.features:
            columns[name], number = _numbers(dataset.train[:, number], name in texts.truths), number + 1
            continue
        column = texts.column(name)
        if is_text(column.type):
            marks = given if texts.typed and not are_dates(column, usual) else given | usual
            column = without_words(column, marks, missing)
            without_words(column, usual, kept)
        columns[name] = without_marks(column, number_marks(options.na_values))
    notes = notes_on_words(missing, kept, dataset.name)
    return pyarrow().table(columns), notes


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
