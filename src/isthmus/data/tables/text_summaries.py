"""Columns of texts and categories in few values, as in `column_summaries`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.column_kinds import have_zone, is_text
from isthmus.data.tables.column_summaries import ColumnSummary, Extremes, without_nan

__all__ = ["HELD", "summary_of"]

HELD = 10_000  # different values that are held: no column has so many categories, unless the user or its type says so
_MOST_CATEGORIES = 2**16 + 1  # that are held where a column may have as many: one more than an encoding has


class _Texts(ColumnSummary):
    """Texts and categories: the different values in the order in which they come, up to a number, and how often each one occurs.

    Args:
        kind: the type of the column.
        words: texts in lower case that may mean a missing value, or may not: their rows are counted.
        most: the number of different values that are held.
    """

    def __init__(self, kind: Any, words: Collection[str], most: int) -> None:
        super().__init__(kind)
        arrow = pyarrow()
        self._type = kind.value_type if arrow.types.is_dictionary(kind) else kind
        self._values, self._declared = arrow.array([], self._type), arrow.array([], self._type)
        self._counts, self.most, self._capped = np.zeros(0, np.int64), most, False
        self._words, self._word_counts = arrow.array(sorted(words), arrow.string()), Counter[str]()
        self._dates = _Dates(self._words) if is_text(kind) else None

    @property
    def capped(self) -> bool:
        return self._capped

    @property
    def words(self) -> Counter[str]:
        return self._word_counts

    def add(self, column: Any) -> None:
        column, arrow = without_nan(column), pyarrow()
        super().add(column)
        column = column if arrow.types.is_dictionary(column.type) else column.dictionary_encode()
        dictionary = column.dictionary.cast(self._type)
        if arrow.types.is_dictionary(self.kind):
            self._declared = arrow.concat_arrays([self._declared, dictionary]).unique()
        indices = np.asarray(column.indices.drop_null(), np.int64)
        self.n_missing += self._add_values(dictionary, indices)

    def _add_values(self, dictionary: Any, indices: npt.NDArray[np.int64]) -> int:
        """Adds known rows, as the numbers of their values; returns how many are missing values themselves."""
        arrow = pyarrow()
        counts = np.bincount(indices, minlength=len(dictionary))
        present = np.flatnonzero(counts)
        firsts = np.full(len(dictionary), len(indices), np.int64)
        np.minimum.at(firsts, indices, np.arange(len(indices)))
        present = present[firsts[present].argsort()]  # in the order in which they come
        values, counts = dictionary.take(arrow.array(present)), counts[present]
        missing = np.asarray(values.is_null())
        values, n_missing, counts = values.drop_null(), int(counts[missing].sum()), counts[~missing]
        self._count_words(values, counts)
        if self._dates is not None:
            self._dates.add(values)
        known = arrow.compute.index_in(values, value_set=self._values)
        new = np.asarray(known.is_null())
        self._counts[np.asarray(known.drop_null(), np.int64)] += counts[~new]
        room = self.most - len(self._values)
        self._capped = self._capped or int(new.sum()) > room
        added = np.flatnonzero(new)[:room]
        self._values = arrow.concat_arrays([self._values, values.take(arrow.array(added))])
        self._counts = np.concatenate([self._counts, counts[added]])
        return n_missing

    def _count_words(self, values: Any, counts: npt.NDArray[np.int64]) -> None:
        """Counts the rows that hold one of the words."""
        if not len(self._words) or not is_text(self.kind):
            return
        compute = pyarrow().compute
        lower = compute.utf8_lower(values)
        marked = np.asarray(compute.is_in(lower, value_set=self._words.cast(lower.type)))
        for text, count in zip(
            values.filter(pyarrow().array(marked)).to_pylist(), counts[marked].tolist(), strict=True
        ):
            self._word_counts[text] += count

    def counts(self) -> dict[Any, int]:
        return dict(zip(self._values.to_pylist(), self._counts.tolist(), strict=True))

    def without(self, words: Collection[str]) -> ColumnSummary:
        arrow = pyarrow()
        other = _Texts(self.kind, (), self.most)
        lower = arrow.compute.utf8_lower(self._values) if is_text(self._type) else self._values
        kept = np.asarray(
            arrow.compute.invert(arrow.compute.is_in(lower, value_set=arrow.array(sorted(words), lower.type)))
        )
        n_words = sum(count for text, count in self._word_counts.items() if text.lower() in words)
        other.n, other.n_missing, other._capped = self.n, self.n_missing + n_words, self._capped
        other._values, other._counts = self._values.filter(arrow.array(kept)), self._counts[kept]
        other._declared, other._dates = self._declared, self._dates
        return other

    def reduced(self) -> Any:
        arrow, known = pyarrow(), self._values
        if self._dates is not None:
            known = arrow.concat_arrays([known, self._dates.shown(self._type)])
            known = known.unique() if not self._capped else known
        known = self._repeated(known, HELD + 1)
        if arrow.types.is_dictionary(self.kind):
            indices = arrow.compute.index_in(known, value_set=self._declared)
            if len(self._declared) < 2 ** (self.kind.index_type.bit_width - 1):
                indices = indices.cast(self.kind.index_type)
            known = arrow.DictionaryArray.from_arrays(indices, self._declared, ordered=self.kind.ordered)
        return self._with_missing(known)


class _Dates:
    """Texts that may be dates: the first and the last one, the finest, with and without a zone, and one that is no date.

    Args:
        words: texts in lower case that may mean a missing value: they say nothing about dates.
    """

    def __init__(self, words: Any) -> None:
        self._words, self._moments, self._odd = words, dict[bool, Extremes](), list[str]()
        self._texts = dict[Any, str]()

    def add(self, values: Any) -> None:
        """Adds different texts, unless one of the former is no date."""
        arrow, compute = pyarrow(), pyarrow().compute
        if self._odd or not len(values):
            return
        lower = compute.utf8_lower(values)
        values = values.filter(compute.invert(compute.is_in(lower, value_set=self._words.cast(lower.type))))
        zoned = have_zone(values)
        for with_zone, texts in ((True, values.filter(zoned)), (False, values.filter(compute.invert(zoned)))):
            kind = arrow.timestamp("us", tz="UTC" if with_zone else None)
            try:
                moments = texts.cast(kind)
            except arrow.ArrowInvalid:
                self._odd.append(next(text for text in texts.to_pylist() if not _is_moment(text, kind)))
                return
            if len(texts):
                self._hold(moments, texts, with_zone)

    def _hold(self, moments: Any, texts: Any, with_zone: bool) -> None:
        """Holds the texts of the moments that show something."""
        extremes = self._moments.setdefault(with_zone, Extremes(moments.type))
        extremes.add(moments)
        held = extremes.held
        rows = pyarrow().compute.index_in(held, value_set=moments)
        for moment, row in zip(held, rows.to_pylist(), strict=True):
            if row is not None:
                self._texts.setdefault((with_zone, moment), texts[row].as_py())

    def shown(self, kind: Any) -> Any:
        """The texts that are held, of a type."""
        held = [
            self._texts[with_zone, moment] for with_zone, extremes in self._moments.items() for moment in extremes.held
        ]
        return pyarrow().array([*held, *self._odd], kind)


def _is_moment(text: str, kind: Any) -> bool:
    """Whether pyarrow reads a text as a moment of a type."""
    try:
        pyarrow().array([text]).cast(kind)
    except pyarrow().ArrowInvalid:
        return False
    return True


def summary_of(kind: Any, words: Collection[str] = (), stated: str = "") -> ColumnSummary:
    """The summary of a column that has no rows yet.

    Args:
        kind: the type of the column, of pyarrow.
        words: of texts: those in lower case that may mean a missing value.
        stated: what the user says that the values mean, or "".
    """
    if stated in {"category", "ordered"} or pyarrow().types.is_dictionary(kind):
        return _Texts(kind, words, _MOST_CATEGORIES)
    return _Texts(kind, words, HELD) if is_text(kind) else Extremes(kind)
