"""A data set of columns of any kind, with an encoding of its own or with that of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from isthmus.data.dataset import Dataset
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.cells import TRUTHS, value_of
from isthmus.data.tables.column_encoding import ColumnEncoding
from isthmus.data.tables.column_kinds import GivenKind, is_text
from isthmus.data.tables.columns import listed
from isthmus.data.tables.encoded_table import EncodedTable
from isthmus.data.tables.frame_columns import arrow_columns
from isthmus.data.tables.id_columns import id_notes
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.errors import DataError
from isthmus.io.memory_limit import check_memory
from isthmus.text import printable

__all__ = [
    "check_known_kinds",
    "encoded_dataset",
    "flags_of_kinds",
    "known_dataset",
    "like_training",
    "notes_on_values",
    "typed_kinds",
]


def encoded_dataset(
    dataset: Dataset, frame: Any, kinds: Mapping[str, str | tuple[str, ...]], typed: bool = True
) -> Dataset:
    """The data set of a data frame, with an encoding of its own, which a note describes; `typed` as for `TableEncoding.fit_encode`."""
    check_memory(24 * frame.shape[0] * frame.shape[1], f"encoding the columns of {dataset.name}")
    table, values = TableEncoding.fit_encode(frame, typed_kinds(kinds, frame), typed)
    whole = np.array([column.kind == "integer" for column in table.columns for _ in column.features])
    ids = id_notes(values, whole, table.features) if typed else []  # texts were looked at when they were read
    notes = (*dataset.notes, *ids, f"{dataset.name}: {table.file_note()}")
    return replace(dataset, train=values, columns=table.features, table=table, frame=frame, notes=notes)


def typed_kinds(kinds: Mapping[str, str | tuple[str, ...]], frame: Any) -> dict[str, GivenKind]:
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
    check_known_kinds(table, kinds, frame)
    check_memory(24 * frame.shape[0] * frame.shape[1], f"encoding the columns of {dataset.name}")
    arrays = arrow_columns(frame, table.names)
    typed = {column.name: like_training(arrays[column.name], column) for column in table.columns}
    features = table.encode(pyarrow().table(typed))
    notes = (*dataset.notes, *notes_on_values(features, dataset.name, missing))
    return replace(dataset, train=features.values, columns=table.features, table=table, frame=frame, notes=notes)


def check_known_kinds(table: TableEncoding, kinds: Mapping[str, str | tuple[str, ...]], frame: Any) -> None:
    """`DataError` if the user gave other kinds than those of an encoding; the frame shows the types of ordered categories."""
    there = {
        name: kind for name, kind in kinds.items() if name in (*table.names, *(name for name, _ in table.left_out))
    }
    if not (table.agrees_with(there) or table.agrees_with(typed_kinds(there, frame))):
        raise DataError(
            f"the run was trained on columns of other kinds ({table.summary()}): leave out {flags_of_kinds(there)}, or train anew"
        )


def notes_on_values(features: EncodedTable, name: str, missing: bool) -> list[str]:
    """Notes on values that a known encoding does not have.

    Args:
        features: the encoded values.
        name: of their data set.
        missing: whether an unknown category is missing; else it is an error.
    """
    notes, sentence = list[str](), features.sentence()
    if sentence and not missing:
        raise DataError(
            f"{name} has {sentence}: correct them, or train with missing=allow, which takes them as missing"
        )
    if sentence:
        notes.append(f"{name} has {sentence}, which are taken as missing")
    if note := features.note_on_fractions():
        notes.append(f"{name} has {note}")
    return notes


def like_training(column: Any, encoding: ColumnEncoding) -> Any:
    """A column with values of the type of the categories: a file of text has texts where training had numbers, or the other way."""
    arrow, labels = pyarrow(), encoding.categories
    column = column.dictionary_decode() if arrow.types.is_dictionary(column.type) else column
    if not labels or is_text(column.type) == isinstance(labels[0], str):
        return column
    if isinstance(labels[0], str):
        try:
            return column.cast(arrow.string())
        except arrow.ArrowException:
            raise DataError(
                f"column {printable(encoding.name)!r} holds {column.type}, and its categories are text: correct it"
            ) from None
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


def flags_of_kinds(kinds: Mapping[str, GivenKind]) -> str:
    """Options of kinds, for a message."""
    return f"--kind (kinds=) of {listed(list(kinds))}"
