"""Cells of text as numbers, one block of rows at a time. How a column writes its numbers is learned from all of its cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.tables import cells
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.columns import listed
from isthmus.text import printable

__all__ = ["EXACT", "Numbers", "RelearnError", "WordsError", "rounded_note"]

Array = npt.NDArray[Any]

EXACT = 2.0**53  # whole numbers up to here are exact in float64
_ROUNDED = "rounded, as whole numbers beyond 2^53 are not exact"
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
        self._saw_comma, self._saw_point, self._saw_either = (np.zeros(width, bool) for _ in range(3))
        self._saw_three, self._saw_bare = np.zeros(width, bool), np.zeros(width, bool)
        self._rows = 0
        self.forget()

    def forget(self) -> None:
        """Starts at the first row again. What was learned about the columns stays."""
        width, self._rows = len(self.comma), 0
        self.marks: Counter[str] = Counter()
        self.examples: dict[str, dict[int, str]] = {kind: {} for kind in _KINDS}
        self.whole = np.ones(width, bool)

    def convert(self, columns: Sequence[Any]) -> Array:
        """Columns of text as numbers, (n, width), NaN where a value is missing.

        Raises:
            WordsError: a cell is not a number.
            RelearnError: the decimal mark of earlier rows was misunderstood.
        """
        n, compute = len(columns[0]), self.arrow.compute
        flat = self.arrow.concat_arrays(columns)
        flat = compute.utf8_trim_whitespace(flat)
        plain = self._matches(flat, cells.PLAIN)
        values = np.full(len(flat), np.nan)
        column_of = np.repeat(np.arange(len(columns)), n)
        odd = np.flatnonzero(~plain)
        if self._european and self._decimal is None:
            self._find_points(flat, plain, column_of)
        odd, other = self._without_missing(flat, odd)
        ways = self._learn(flat, plain, column_of, odd, other)
        easy = plain & ~self.comma[column_of]
        values[easy] = self._cast(flat.filter(self.arrow.array(easy)))
        bad = self._fill_plain(values, np.flatnonzero(plain & self.comma[column_of]), flat, column_of)
        bad = np.concatenate([bad, self._fill_others(values, odd, other, column_of, ways)])
        if len(bad):
            rows, first = bad % n, dict[int, str]()
            for index in bad[np.argsort(rows, kind="stable")]:
                first.setdefault(int(column_of[index]), flat[int(index)].as_py())
            raise WordsError(int(rows.min()), first)
        for number in self._missing_numbers:
            hit = values == number
            values[hit] = np.nan
            self.marks[f"{number:g}"] += int(hit.sum())
        self._find_losses(values, flat, column_of, n)
        self._rows += n
        return np.ascontiguousarray(values.reshape(len(columns), n).T)

    def notes(self, names: Sequence[str], where: str) -> list[str]:
        """Notes for the user about how the cells were read."""
        notes = []
        if total := sum(self.marks.values()):
            kinds = ", ".join(
                f"'{printable(mark, 20)}' {count:,}" for mark, count in self.marks.most_common(8) if count
            )
            notes.append(f"missing values in {where}: {total:,} ({kinds})")
        ambiguous = self._saw_three & self._saw_bare & ~self._saw_point & ~self.comma
        self.examples["points"] = {k: v for k, v in self.examples["points"].items() if ambiguous[k] or self.comma[k]}
        if self.comma.any():
            self.examples["decimal"] = self.examples["points"] | self.examples["decimal"]
            notes.append(self._note("decimal", names, "with a decimal comma", "else --decimal ., decimal='.'"))
        elif ambiguous.any():
            notes.append(self._note("points", names, "with a decimal point", "else --decimal ',', decimal=','"))
        self.examples["grouped"] = {k: v for k, v in self.examples["grouped"].items() if not self.comma[k]}
        notes.append(self._note("grouped", names, "with commas between thousands", "else --decimal ',', decimal=','"))
        zeros = "as numbers, without the zeros in front"
        notes.append(self._note("zeros", names, zeros, "if it is a code or id, name it with --id, or drop it"))
        notes.append(self._note("large", names, _ROUNDED, _IF_ID))
        notes.append(self._note("truth", names, "with true as 1 and false as 0"))
        return [note for note in notes if note]

    def _note(self, kind: str, names: Sequence[str], how: str, otherwise: str = "") -> str:
        """A note about the columns of which there are examples of a kind; "" if there are none."""
        examples = self.examples[kind]
        if not examples:
            return ""
        column, cell = next(iter(sorted(examples.items())))
        which = listed([names[each] for each in sorted(examples)])
        example = printable(cell, 40)
        if kind not in {"large", "truth"}:
            example += f" is {_value(cell, bool(self.comma[column])):.15g}"
        return f"read {how}: {which} ({example})" + (f"; {otherwise}" if otherwise else "")

    def _matches(self, texts: Any, pattern: str) -> Array:
        matches = self.arrow.compute.match_substring_regex(texts, pattern)
        return np.asarray(matches.to_numpy(zero_copy_only=False), bool)

    def _cast(self, texts: Any) -> Array:
        return np.asarray(self.arrow.compute.cast(texts, self.arrow.float64()).to_numpy(zero_copy_only=False))

    def _without_missing(self, flat: Any, odd: Array) -> tuple[Array, Any]:
        """Of the cells that are not plain numbers, those that are not missing: their positions and texts."""
        compute = self.arrow.compute
        texts = flat.take(self.arrow.array(odd))
        lower = compute.utf8_lower(texts)
        missing = np.asarray(
            compute.is_in(lower, value_set=self._marks.cast(lower.type)).to_numpy(zero_copy_only=False), bool
        )
        if missing.any():
            for each in compute.value_counts(lower.filter(self.arrow.array(missing))).to_pylist():
                self.marks[each["values"]] += each["counts"]
        return odd[~missing], texts.filter(self.arrow.array(~missing))

    def _learn(self, flat: Any, plain: Array, column_of: Array, odd: Array, other: Any) -> dict[str, Any]:
        """Masks of the ways in which the other cells are written. Decides the decimal mark of their columns."""
        compute = self.arrow.compute
        if not len(odd):
            return {}
        text = compute.replace_substring(other, cells.MINUS, "-")
        spaced = self._matches(text, cells.SPACED)
        if spaced.any():
            joined = compute.replace_substring_regex(text, cells.SPACES, "")
            text = compute.if_else(self.arrow.array(spaced), joined, text)
        either, grouped, points = (
            self._matches(text, each) for each in (cells.AMBIGUOUS, cells.GROUPED, cells.POINT_GROUPS)
        )
        comma = self._matches(text, cells.COMMA) & ~either
        if self._decimal is None:
            columns = column_of[odd]
            self._saw_comma[columns[comma | points]] = True
            self._saw_point[columns[grouped]] = True
            self._saw_either[columns[either]] = True
            undecided = np.zeros(len(self.comma), bool)
            undecided[columns[comma | points | either]] = True
            some = np.flatnonzero(plain & undecided[column_of])
            cell = flat.take(self.arrow.array(some))
            fraction = np.asarray(compute.match_substring(cell, ".").to_numpy(zero_copy_only=False), bool)
            self._saw_point[column_of[some[fraction & ~self._matches(cell, cells.THREE)]]] = True
            self._decide()
        return {"text": text, "either": either, "comma": comma, "grouped": grouped, "points": points}

    def _find_points(self, flat: Any, plain: Array, column_of: Array) -> None:
        """Finds columns that have points only before three digits: points between thousands if other columns have decimal commas."""
        compute, some = self.arrow.compute, np.flatnonzero(plain & ~self._saw_point[column_of])
        texts = flat.take(self.arrow.array(some))
        point = np.asarray(compute.match_substring(texts, ".").to_numpy(zero_copy_only=False), bool)
        self._saw_bare[column_of[some[~point]]] = True
        fractions, columns = texts.filter(self.arrow.array(point)), column_of[some[point]]
        three = self._matches(fractions, cells.THREE)
        self._saw_point[columns[~three]] = True
        self._saw_three[columns[three]] = True
        self._example("points", columns, three, fractions)
        self._decide()

    def _decide(self) -> None:
        """Decides the decimal mark of each column from what was seen of all."""
        saw = bool(self._saw_comma.any())
        either = self._saw_either & (self._european or saw)
        comma = ~self._saw_point & (self._saw_comma | either | (self._saw_three & (self._european and saw)))
        changed = bool((comma != self.comma).any())
        self.comma = comma
        if changed and self._rows:
            raise RelearnError

    def _fill_plain(self, values: Array, some: Array, flat: Any, column_of: Array) -> Array:
        """Fills in plain cells of columns with a decimal comma, where points separate thousands. Returns the positions of the others."""
        if not len(some):
            return some
        compute = self.arrow.compute
        texts = flat.take(self.arrow.array(some))
        pointed = np.asarray(compute.match_substring(texts, ".").to_numpy(zero_copy_only=False), bool)
        wrong = pointed & ~self._matches(texts, cells.THREE)
        right = self.arrow.array(~wrong)
        values[some[~wrong]] = self._cast(compute.replace_substring(texts.filter(right), ".", ""))
        return some[wrong]

    def _fill_others(self, values: Array, odd: Array, other: Any, column_of: Array, ways: dict[str, Any]) -> Array:
        """Fills in the cells that are numbers with their column's decimal mark. Returns the positions of the others."""
        if not len(odd):
            return odd
        compute, text = self.arrow.compute, ways["text"]
        comma, left = self.comma[column_of[odd]], np.ones(len(odd), bool)
        lower = np.asarray(compute.utf8_lower(text).to_numpy(zero_copy_only=False), object)
        for word, value in cells.TRUTHS.items():
            true = lower == word
            values[odd[true]], left[true] = value, False
            self._example("truth", column_of[odd], true, other)
        plain = self._matches(text, cells.PLAIN) & left
        as_comma = comma & (ways["comma"] | ways["either"] | ways["points"])
        as_point = ~comma & (ways["grouped"] | ways["either"])
        for which, out in ((as_comma, "."), (as_point, ","), (plain, "")):
            mask = self.arrow.array(which)
            clean = text.filter(mask)
            clean = compute.replace_substring(clean, out, "") if out else clean
            values[odd[which]] = self._cast(compute.replace_substring(clean, ",", "."))
            left &= ~which
        self._example("decimal", column_of[odd], as_comma, other)
        self._example("grouped", column_of[odd], as_point, other)
        return odd[left]

    def _find_losses(self, values: Array, flat: Any, column_of: Array, n: int) -> None:
        """Finds columns whose cells lose information as numbers, and columns of whole numbers."""
        zeros = np.asarray(self.arrow.compute.starts_with(flat, "0").to_numpy(zero_copy_only=False), bool)
        for what, some, pattern in (
            ("zeros", np.flatnonzero(zeros), "^0[0-9]+$"),
            ("large", np.flatnonzero(np.isfinite(values) & (np.abs(values) >= EXACT)), "^[+-]?[0-9]+$"),
        ):
            if len(some):
                texts = flat.take(self.arrow.array(some))
                self._example(what, column_of[some], self._matches(texts, pattern), texts)
        whole = (np.isnan(values) | (values == np.round(values))).reshape(-1, n)
        self.whole &= whole.all(1)

    def _example(self, what: str, columns: Array, which: Array, texts: Any) -> None:
        """Stores one cell of each column as its example."""
        for column in np.unique(columns[which]):
            first = (
                int(np.flatnonzero(which & (columns == column))[0]) if int(column) not in self.examples[what] else None
            )
            if first is not None:
                self.examples[what][int(column)] = texts[first].as_py()


def _value(cell: str, comma: bool) -> float:
    """The number in a cell, which must hold one, with a decimal comma or point."""
    text = re.sub(cells.SPACES, "", cell.replace(cells.MINUS, "-"))
    return float(text.replace(".", "").replace(",", ".") if comma else text.replace(",", ""))


def rounded_note(names: str) -> str:
    """A note about columns with whole numbers that float64 cannot represent exactly."""
    return f"read {_ROUNDED}: {names}; {_IF_ID}"
