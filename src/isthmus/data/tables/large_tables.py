"""Parquet and Arrow files whose rows stay in them, as a data set: one pass over the rows finds out what their encoding depends on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.label_columns import labels_from_codes
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.column_kinds import infer_kind, is_text
from isthmus.data.tables.column_summaries import ColumnSummary
from isthmus.data.tables.columns import NotNumericError, SelectedColumns, check_kind_names, listed
from isthmus.data.tables.encoded_datasets import check_known_kinds, notes_on_values, typed_kinds
from isthmus.data.tables.encoded_table import EncodedTable
from isthmus.data.tables.missing_words import USUAL_WORDS, given_words, notes_on_words
from isthmus.data.tables.mixed_tables import COLLECTED, mostly_numbers, newly_found, stated_kinds
from isthmus.data.tables.number_columns import is_inexact, number_marks, without_marks
from isthmus.data.tables.numbers import rounded_note
from isthmus.data.tables.parquet_tables import plain_texts, selected_columns
from isthmus.data.tables.row_arrays import MAX_IN_MEMORY
from isthmus.data.tables.table_blocks import ColumnBlocks, EncodedRows, NumberRows, TableBlocks, rows_at_once
from isthmus.data.tables.table_encoding import LeftOut, TableEncoding
from isthmus.data.tables.table_files import TableBatch, TableFiles
from isthmus.data.tables.text_columns import TextColumns
from isthmus.data.tables.text_summaries import summary_of
from isthmus.errors import DataError
from isthmus.io.memory_limit import check_memory
from isthmus.text import printable

__all__ = ["LargeTable", "read_large"]

Array = npt.NDArray[Any]
_BYTES_PER_ROW = 16  # of a column that is held: a number and a label


class LargeTable:
    """Files whose rows stay in them, and the columns that are held beside them.

    Args:
        files: the files.
        options: the user's.
        reused: the run for which the files are read.
        held: the names of columns that are held, such as those of weights and groups.

    Attributes:
        n_values: of all rows.
    """

    def __init__(
        self, files: TableFiles, options: ReadOptions, reused: Reused | None, held: Collection[str] = ()
    ) -> None:
        self.files, self.kinds, self.known = files, options.given_kinds(), None if reused is None else reused.table
        self.options, self.reused, self.stated = stated_kinds(options, reused)
        self.marks = number_marks(self.options.na_values)
        self.texts, self.columns, self.selected = self._select()
        learned = {*self.texts.selected, *(() if self.known is None else (name for name, _ in self.known.left_out))}
        merged = self.options if reused is None else self.options.over(reused.options)
        check_kind_names(self.kinds, self.columns, learned, merged, files.name)
        self.mixed = bool(self.known is not None or self.texts.features & {*self.texts.selected} or self.kinds)
        first = {name: position for position, name in reversed(list(enumerate(self.columns)))}
        self.learned = {first[name]: name for name in self.texts.selected}
        self._held = {first[name]: list[Any]() for name in held if name in first}
        if self.selected.labels is not None:
            self._held[self.selected.labels] = []
        self.n_values = files.n_rows * len(self.texts.selected)

    def _select(self) -> tuple[TextColumns, tuple[str, ...], SelectedColumns]:
        """The columns that are learned. The types of the files say which ones are no numbers."""
        fixed, found = {name for name, kind in self.stated.items() if kind in COLLECTED}, set[str]()
        while True:
            texts = TextColumns((), fixed | found)
            try:
                return texts, *selected_columns(self.files, self.options, self.reused, texts)
            except NotNumericError as error:
                new = newly_found(error, texts, found, self.stated, self.reused is None)
                if not new:
                    raise
                found |= new

    def read(self) -> Dataset:
        """The data set. All rows are read once.

        Raises:
            DataError: the columns cannot be learned, or a file is damaged.
        """
        files, selected = self.files, self.selected
        if self.mixed and len(set(self.texts.selected)) < len(self.texts.selected):
            twice = next(name for name in self.texts.selected if self.texts.selected.count(name) > 1)
            raise DataError(f"column {printable(twice)!r} occurs twice in {files.name}: rename one of them")
        files.check_declared_sizes(len(self.texts.selected))
        check_memory(_BYTES_PER_ROW * len(self._held) * files.n_rows, f"the labels, weights and groups of {files.name}")
        files.read_texts_as_numbers(plain_texts(files, [*self.learned.values()] if self.mixed else []))
        label = None if selected.labels is None else self.columns[selected.labels]
        ids: Any = None if selected.id is None else ColumnBlocks(files, selected.id)
        dataset = Dataset(
            files.files.title,
            np.empty((0, 1)),
            source=files.name,
            file_rows=files.file_rows(),
            notes=(*files.notes(), *files.notes_on_memory(len(self.texts.selected)), *selected.notes),
            kind="table",
            ids=ids,
            id_name=None if selected.id is None else self.columns[selected.id],
            label_name=label,
            hold_out=self.options.hold_out,
        )
        dataset = self._encoded(dataset) if self.mixed else self._numbers(dataset)
        if label is None:
            return dataset
        labels, notes = labels_from_codes(*self._codes(label))
        return replace(dataset, train_labels=labels, notes=(*dataset.notes, *notes))

    def _numbers(self, dataset: Dataset) -> Dataset:
        """The data set of numbers alone."""
        positions, dtypes, inexact = self.selected.features, set[np.dtype[Any]](), set[int]()
        rows = NumberRows(positions, None, self.marks)
        for batch in self._batches(positions):
            dtypes.add(rows.dtype_of(batch))
            inexact |= {position for position in positions if is_inexact(batch.columns[position])}
        dtype = np.result_type(*dtypes)
        names = [self.columns[position] for position in positions]
        inexact |= {position for position in positions if self.columns[position] in self.files.rounded}
        rounded = [self.columns[position] for position in sorted(inexact)] if dtype.kind == "f" else []
        features = NumberRows(positions, dtype, self.marks)
        train: Any = TableBlocks(self.files, positions, len(positions), dtype, features)
        return replace(
            dataset,
            train=train,
            columns=tuple(names),
            notes=(*dataset.notes, *([rounded_note(listed(rounded))] if rounded else [])),
        )

    def _batches(self, positions: Sequence[int]) -> Iterator[TableBatch]:
        """All rows in batches, of which the columns that are held are kept."""
        wanted = [*dict.fromkeys([*positions, *self._held])]
        for batch in self.files.batches(rows_at_once(len(wanted)), wanted):
            for position, parts in self._held.items():
                column = batch.columns[position]
                parts.append(column if pyarrow().types.is_dictionary(column.type) else column.dictionary_encode())
            yield batch

    def _codes(self, name: str) -> tuple[list[Any], npt.NDArray[np.int64]]:
        """The different values of a column that is held, and the number of that of each row; -1 where it is missing."""
        position = next(position for position in self._held if self.columns[position] == name)
        column = pyarrow().chunked_array(self._held[position]).unify_dictionaries().combine_chunks()
        if isinstance(column, pyarrow().ChunkedArray):
            column = column.chunk(0)
        return column.dictionary.to_pylist(), np.asarray(column.indices.fill_null(-1))

    def held(self, name: str) -> Array | None:
        """The values of a column that is held (n,), once the rows are read; None if there is none of this name.

        Args:
            name: of the column.
        """
        if name not in {self.columns[position] for position in self._held}:
            return None
        labels, _ = labels_from_codes(*self._codes(name))
        return labels.astype(object)

    def _encoded(self, dataset: Dataset) -> Dataset:
        """The data set of columns of any kind."""
        fields = {name: self.files.schema.field(position) for position, name in self.learned.items()}
        given = given_words(self.options)
        summaries = {
            name: summary_of(each.type, USUAL_WORDS | given, self.stated.get(name, "")) for name, each in fields.items()
        }
        seen, known = EncodedTable(np.empty((0, 0)), {}, {}), self.known
        if known is not None:
            dates = {column.name for column in known.columns if column.kind == "date"}
            words = {name: given | USUAL_WORDS if name in dates else given for name in self._text_columns()}
            rows = self._rows(known, words)
        for batch in self._batches([*self.learned]):
            if known is not None:
                seen = seen.joined(rows.encoded(batch))
            for position, name in self.learned.items():
                summaries[name].add(without_marks(batch.columns[position], self.marks))
        notes = [*dataset.notes]
        if known is None:
            self._check_texts(summaries)
            words = self._words(summaries, given)
            known = self._fit(summaries, words, dataset.name)
            made = [f"{dataset.name}: {known.file_note()}"]
        else:
            check_known_kinds(known, self.kinds, _frame(summaries))
            made = notes_on_values(seen, dataset.name, self.reused is not None and self.reused.missing)
        notes += self._notes_on_words(summaries, words, dataset.name)
        rounded = [name for name in self.learned.values() if name in self.files.rounded]
        notes += [rounded_note(listed(rounded))] if rounded else []
        rows, width = self._rows(known, words), len(known.features)
        train: Any = TableBlocks(self.files, [*rows.columns], width, np.dtype(np.float64), rows)
        return replace(dataset, train=train, columns=known.features, table=known, notes=(*notes, *made))

    def _rows(self, table: TableEncoding, words: Mapping[str, Collection[str]]) -> EncodedRows:
        """What encodes the columns that an encoding has."""
        names = set(table.names)
        columns = {position: name for position, name in self.learned.items() if name in names}
        return EncodedRows(table, columns, {name: words[name] for name in words if name in names}, self.marks)

    def _text_columns(self) -> list[str]:
        """The columns that hold text."""
        return [name for position, name in self.learned.items() if is_text(self.files.schema.field(position).type)]

    def _words(self, summaries: Mapping[str, ColumnSummary], given: set[str]) -> dict[str, set[str]]:
        """The words that mean a missing value, for each column of text."""
        usual = {name: summaries[name].without(USUAL_WORDS).reduced() for name in self._text_columns()}
        return {name: given | USUAL_WORDS if infer_kind(each).kind == "date" else given for name, each in usual.items()}

    def _check_texts(self, summaries: Mapping[str, ColumnSummary]) -> None:
        """`NotNumericError` if most values of a column of text that nobody gave a kind are numbers."""
        found = {*self._text_columns()} & self.texts.features - self.stated.keys()
        numbers = {name for name in found if mostly_numbers(summaries[name].counts(), self.options)}
        if numbers:
            texts = TextColumns((), self.texts.features - numbers)
            selected_columns(self.files, self.options, self.reused, texts)

    def _fit(
        self, summaries: Mapping[str, ColumnSummary], words: Mapping[str, Collection[str]], name: str
    ) -> TableEncoding:
        """The encoding of the table."""
        known = {each: summary.without(words.get(each, ())) for each, summary in summaries.items()}
        capped = [each for each, summary in known.items() if summary.capped and each not in self.stated]
        types = pyarrow().types
        unused = [each for each in capped if types.is_dictionary(known[each].kind)]
        frame = _frame({each: summary for each, summary in known.items() if each not in unused})
        kinds = {each: kind for each, kind in self.kinds.items() if kind != "drop"}
        table, _ = TableEncoding.fit_encode(frame, typed_kinds(kinds, frame))
        reasons = dict(table.left_out)
        texts = {each for each in capped if reasons.get(each, "").startswith(("unique", "free text"))}
        reasons |= {each: f"more than {summaries[each].most:,} different values" for each in (*texts, *unused)}
        left_out = tuple(LeftOut(*each) for each in reasons.items())
        return table.model_copy(update={"left_out": left_out})

    def _notes_on_words(
        self, summaries: Mapping[str, ColumnSummary], words: Mapping[str, Collection[str]], name: str
    ) -> list[str]:
        """Notes on words that mean missing values, and on those that may and are read as they are."""
        missing, kept = Counter[str](), Counter[str]()
        for column, own in words.items():
            for text, count in summaries[column].words.items():
                (missing if text.lower() in own else kept)[text] += count
        return notes_on_words(missing, kept, name)


def _frame(summaries: Mapping[str, ColumnSummary]) -> Any:
    """A short table with the same encoding. Missing values make all columns of one length."""
    arrow, columns = pyarrow(), {name: summary.reduced() for name, summary in summaries.items()}
    n = max((len(column) for column in columns.values()), default=0)
    return arrow.table(
        {
            name: arrow.concat_arrays([column, arrow.nulls(n - len(column), column.type)])
            for name, column in columns.items()
        }
    )


def read_large(
    files: TableFiles, options: ReadOptions, reused: Reused | None, held: Collection[str]
) -> LargeTable | None:
    """The files as a table whose rows stay in them; None if all values are few enough to be held in memory.

    Args:
        files: the files.
        options: the user's; `cache` is the memory for the values.
        reused: the run for which the files are read.
        held: the names of columns that are held beside the rows.
    """
    if options.window is not None:
        return None
    table = LargeTable(files, options, reused, held)
    limit = MAX_IN_MEMORY if options.cache is None else options.cache
    return table if 8 * table.n_values > limit or options.hold_out == "files" else None
