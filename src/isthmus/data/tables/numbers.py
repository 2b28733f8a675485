"""Cells of text as numbers, one block of rows at a time. How a column writes its numbers is learned from all of its cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.tables import cells
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.columns import listed
from isthmus.text import printable

__all__ = ["EXACT", "TRUTH_NOTE", "Numbers", "RelearnError", "WordsError", "rounded_note"]

Array = npt.NDArray[Any]

EXACT = 2.0**53  # whole numbers up to here are exact in float64
_ROUNDED = "rounded, as whole numbers beyond 2^53 are not exact"
TRUTH_NOTE = "read with true as 1 and false as 0"
_KINDS = ("decimal", "grouped", "zeros", "large", "truth", "points")  # of notes
_IF_ID = "if it is an id, name it with --id, or drop it"


class RelearnError(Exception):
    """Later cells of a column contradict its first ones: the table must be read again with what was learned."""


class WordsError(Exception):
    """Cells that are not numbers.

    Attributes:
        row: the first row with such a cell, in its block.
        cells: the first such cell of each column, by the index of the feature.
    """

    def __init__(self, row: int, cells: dict[int, str]) -> None:
        self.row, self.cells = row, cells


class Numbers:
    """Converts the cells of some columns to numbers.

    Args:
        width: the number of columns.
        na_values: marks of a missing value in addition to the usual ones. Numbers among them are compared by value.
        decimal: the decimal mark, if the user gives it.
        european: whether "1,234" has a decimal comma if nothing in the table decides it.

    Attributes:
        comma: (columns,), True where the decimal mark is a comma.
        marks: how often each mark of a missing value occurs.
        examples: for each kind of note, a cell of each column that it is about.
        whole: (columns,), True where a column holds whole numbers only.
    """

    def __init__(self, width: int, na_values: Sequence[str], decimal: str | None, european: bool) -> None:
        self.arrow = pyarrow()
        words = sorted(
            cells.MARKS | {mark.strip() for mark in na_values} | {mark.strip().lower() for mark in na_values}
        )
        self._marks = self.arrow.array(words)
        self._missing_numbers = [value for mark in na_values if (value := cells.value_of(mark)) is not None]
        self._decimal, self._european = decimal, european
        self.comma = np.full(width, decimal == ",")
        self._saw_comma, self._saw_point, self._saw_ambiguous = (np.zeros(width, bool) for _ in range(3))
        self._saw_three_digits, self._saw_no_point = np.zeros(width, bool), np.zeros(width, bool)
        self._rows = 0
        self.forget()

    def forget(self) -> None:
        """Starts at the first row again. What was learned about the columns stays."""
        width, self._rows = len(self.comma), 0
        self.marks: Counter[str] = Counter()
        self.examples: dict[str, dict[int, str]] = {kind: {} for kind in _KINDS}
        self.whole = np.ones(width, bool)

    def convert(self, columns: Sequence[Any], n: int) -> Array:
        """Columns of text as numbers, (n, width), NaN where a value is missing.

        Raises:
            WordsError: a cell is not a number.
            RelearnError: the decimal mark of earlier rows was misunderstood.
        """
        if not columns:
            return np.empty((n, 0))
        compute = self.arrow.compute
        flat = self.arrow.concat_arrays(columns)
        flat = compute.utf8_trim_whitespace(flat)
        plain = self._matches(flat, cells.PLAIN)
        values = np.full(len(flat), np.nan)
        column_of = np.repeat(np.arange(len(columns)), n)
        not_plain = np.flatnonzero(~plain)
        if self._european and self._decimal is None:
            self._find_points(flat, plain, column_of)
        not_plain, other = self._without_missing(flat, not_plain)
        masks = self._classify(flat, plain, column_of, not_plain, other)
        castable = plain & ~self.comma[column_of]
        values[castable] = self._cast(flat.filter(self.arrow.array(castable)))
        invalid = self._fill_plain(values, np.flatnonzero(plain & self.comma[column_of]), flat, column_of)
        invalid = np.concatenate([invalid, self._fill_others(values, not_plain, other, column_of, masks)])
        if len(invalid):
            rows, first = invalid % n, dict[int, str]()
            for index in invalid[np.argsort(rows, kind="stable")]:
                first.setdefault(int(column_of[index]), flat[int(index)].as_py())
            raise WordsError(int(rows.min()), first)
        for number in self._missing_numbers:
            is_missing = values == number
            values[is_missing] = np.nan
            self.marks[f"{number:g}"] += int(is_missing.sum())
        self._find_losses(values, flat, column_of, n)
        self._rows += n
        return np.ascontiguousarray(values.reshape(len(columns), n).T)

    def truths(self, names: Sequence[str]) -> frozenset[str]:
        """The names of the columns with true or false."""
        return frozenset(names[column] for column in self.examples["truth"])

    def notes(self, names: Sequence[str], where: str) -> list[str]:
        """Notes for the user about how the cells were read."""
        notes = []
        if total := sum(self.marks.values()):
            kinds = ", ".join(
                f"'{printable(mark, 20)}' {count:,}" for mark, count in self.marks.most_common(8) if count
            )
            notes.append(f"missing values in {where}: {total:,} ({kinds})")
        ambiguous = self._saw_three_digits & self._saw_no_point & ~self._saw_point & ~self.comma
        self.examples["points"] = {k: v for k, v in self.examples["points"].items() if ambiguous[k] or self.comma[k]}
        if self.comma.any():
            self.examples["decimal"] = self.examples["points"] | self.examples["decimal"]
            notes.append(self._note("decimal", names, "with a decimal comma", "else --decimal ., decimal='.'"))
        elif ambiguous.any():
            notes.append(self._note("points", names, "with a decimal point", "else --decimal ',', decimal=','"))
        self.examples["grouped"] = {k: v for k, v in self.examples["grouped"].items() if not self.comma[k]}
        notes.append(self._note("grouped", names, "with commas between thousands", "else --decimal ',', decimal=','"))
        zeros = "as numbers, without the zeros in front"
        notes.append(
            self._note("zeros", names, zeros, "a code is read as it stands with --kind NAME=category, an id with --id")
        )
        notes.append(self._note("large", names, _ROUNDED, _IF_ID))
        notes.append(self._note("truth", names, TRUTH_NOTE.removeprefix("read ")))
        return [note for note in notes if note]

    def _note(self, kind: str, names: Sequence[str], how: str, otherwise: str = "") -> str:
        """A note about the columns of which there are examples of a kind; "" if there are none."""
        examples = self.examples[kind]
        if not examples:
            return ""
        column, cell = next(iter(sorted(examples.items())))
        columns = listed([names[each] for each in sorted(examples)])
        example = printable(cell, 40)
        if kind not in {"large", "truth"}:
            example += f" is {cells.value_with(cell, bool(self.comma[column])):.15g}"
        return f"read {how}: {columns} ({example})" + (f"; {otherwise}" if otherwise else "")

    def _matches(self, texts: Any, pattern: str) -> Array:
        """A mask of the texts that match a pattern."""
        matches = self.arrow.compute.match_substring_regex(texts, pattern)
        return np.asarray(matches.to_numpy(zero_copy_only=False), bool)

    def _cast(self, texts: Any) -> Array:
        """Plain numbers as float64."""
        return np.asarray(self.arrow.compute.cast(texts, self.arrow.float64()).to_numpy(zero_copy_only=False))

    def _without_missing(self, flat: Any, not_plain: Array) -> tuple[Array, Any]:
        """Of the cells that are not plain numbers, those that are not missing: their positions and texts."""
        compute = self.arrow.compute
        texts = flat.take(self.arrow.array(not_plain))
        lower = compute.utf8_lower(texts)
        missing = np.asarray(
            compute.is_in(lower, value_set=self._marks.cast(lower.type)).to_numpy(zero_copy_only=False), bool
        )
        if missing.any():
            for each in compute.value_counts(lower.filter(self.arrow.array(missing))).to_pylist():
                self.marks[each["values"]] += each["counts"]
        return not_plain[~missing], texts.filter(self.arrow.array(~missing))

    def _classify(self, flat: Any, plain: Array, column_of: Array, not_plain: Array, other: Any) -> dict[str, Any]:
        """Masks of the cells that are not plain numbers, by notation. Decides the decimal mark of their columns."""
        compute = self.arrow.compute
        if not len(not_plain):
            return {}
        text = compute.replace_substring(other, cells.MINUS, "-")
        spaced = self._matches(text, cells.SPACED)
        if spaced.any():
            joined = compute.replace_substring_regex(text, cells.SPACES, "")
            text = compute.if_else(self.arrow.array(spaced), joined, text)
        ambiguous, grouped, points = (
            self._matches(text, each) for each in (cells.AMBIGUOUS, cells.GROUPED, cells.POINT_GROUPS)
        )
        comma = self._matches(text, cells.COMMA) & ~ambiguous
        if self._decimal is None:
            columns = column_of[not_plain]
            self._saw_comma[columns[comma | points]] = True
            self._saw_point[columns[grouped]] = True
            self._saw_ambiguous[columns[ambiguous]] = True
            undecided = np.zeros(len(self.comma), bool)
            undecided[columns[comma | points | ambiguous]] = True
            indices = np.flatnonzero(plain & undecided[column_of])
            cell = flat.take(self.arrow.array(indices))
            fraction = np.asarray(compute.match_substring(cell, ".").to_numpy(zero_copy_only=False), bool)
            self._saw_point[column_of[indices[fraction & ~self._matches(cell, cells.THREE)]]] = True
            self._decide()
        return {"text": text, "ambiguous": ambiguous, "comma": comma, "grouped": grouped, "points": points}

    def _find_points(self, flat: Any, plain: Array, column_of: Array) -> None:
        """Finds columns that have points only before three digits: points between thousands if other columns have decimal commas."""
        compute, indices = self.arrow.compute, np.flatnonzero(plain & ~self._saw_point[column_of])
        texts = flat.take(self.arrow.array(indices))
        point = np.asarray(compute.match_substring(texts, ".").to_numpy(zero_copy_only=False), bool)
        self._saw_no_point[column_of[indices[~point]]] = True
        fractions, columns = texts.filter(self.arrow.array(point)), column_of[indices[point]]
        three = self._matches(fractions, cells.THREE)
        self._saw_point[columns[~three]] = True
        self._saw_three_digits[columns[three]] = True
        self._store_examples("points", columns, three, fractions)
        self._decide()

    def _decide(self) -> None:
        """Decides the decimal mark of each column from what was seen in all columns."""
        any_comma = bool(self._saw_comma.any())
        ambiguous = self._saw_ambiguous & (self._european or any_comma)
        comma = ~self._saw_point & (
            self._saw_comma | ambiguous | (self._saw_three_digits & (self._european and any_comma))
        )
        changed = bool((comma != self.comma).any())
        self.comma = comma
        if changed and self._rows:
            raise RelearnError

    def _fill_plain(self, values: Array, indices: Array, flat: Any, column_of: Array) -> Array:
        """Fills in plain cells of columns with a decimal comma, where points separate thousands. Returns the positions of the others."""
        if not len(indices):
            return indices
        compute = self.arrow.compute
        texts = flat.take(self.arrow.array(indices))
        pointed = np.asarray(compute.match_substring(texts, ".").to_numpy(zero_copy_only=False), bool)
        wrong = pointed & ~self._matches(texts, cells.THREE)
        right = self.arrow.array(~wrong)
        values[indices[~wrong]] = self._cast(compute.replace_substring(texts.filter(right), ".", ""))
        return indices[wrong]

    def _fill_others(
        self, values: Array, not_plain: Array, other: Any, column_of: Array, masks: dict[str, Any]
    ) -> Array:
        """Fills in the cells that are numbers with their column's decimal mark. Returns the positions of the others."""
        if not len(not_plain):
            return not_plain
        compute, text = self.arrow.compute, masks["text"]
        comma, left = self.comma[column_of[not_plain]], np.ones(len(not_plain), bool)
        lower = np.asarray(compute.utf8_lower(text).to_numpy(zero_copy_only=False), object)
        for word, value in cells.TRUTHS.items():
            true = lower == word
            values[not_plain[true]], left[true] = value, False
            self._store_examples("truth", column_of[not_plain], true, other)
        plain = self._matches(text, cells.PLAIN) & left
        as_comma = comma & (masks["comma"] | masks["ambiguous"] | masks["points"])
        as_point = ~comma & (masks["grouped"] | masks["ambiguous"])
        for mask, separator in ((as_comma, "."), (as_point, ","), (plain, "")):
            clean = text.filter(self.arrow.array(mask))
            clean = compute.replace_substring(clean, separator, "") if separator else clean
            values[not_plain[mask]] = self._cast(compute.replace_substring(clean, ",", "."))
            left &= ~mask
        self._store_examples("decimal", column_of[not_plain], as_comma, other)
        self._store_examples("grouped", column_of[not_plain], as_point, other)
        return not_plain[left]

    def _find_losses(self, values: Array, flat: Any, column_of: Array, n: int) -> None:
        """Finds columns whose cells lose information as numbers, and columns of whole numbers."""
        zeros = np.asarray(self.arrow.compute.starts_with(flat, "0").to_numpy(zero_copy_only=False), bool)
        for kind, indices, pattern in (
            ("zeros", np.flatnonzero(zeros), "^0[0-9]+$"),
            ("large", np.flatnonzero(np.isfinite(values) & (np.abs(values) >= EXACT)), "^[+-]?[0-9]+$"),
        ):
            if len(indices):
                texts = flat.take(self.arrow.array(indices))
                self._store_examples(kind, column_of[indices], self._matches(texts, pattern), texts)
        whole = (np.isnan(values) | (values == np.round(values))).reshape(-1, n)
        self.whole &= whole.all(1)

    def _store_examples(self, kind: str, columns: Array, mask: Array, texts: Any) -> None:
        """Stores one of the masked cells of each column as an example."""
        for column in np.unique(columns[mask]):
            first = (
                int(np.flatnonzero(mask & (columns == column))[0]) if int(column) not in self.examples[kind] else None
            )
            if first is not None:
                self.examples[kind][int(column)] = texts[first].as_py()


def rounded_note(names: str) -> str:
    """A note about columns with whole numbers that float64 cannot represent exactly."""
    return f"read {_ROUNDED}: {names}; {_IF_ID}"
