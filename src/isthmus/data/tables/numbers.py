"""Cells of text as numbers, a block of rows at a time; what a column taught in one block holds for all of it."""

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

__all__ = ["EXACT", "Numbers", "RelearnError", "WordsError", "is_date", "rounded_note"]

Array = npt.NDArray[Any]

EXACT = 2.0**53  # whole numbers up to here are exact in float64
_ROUNDED, _NAMED = "rounded, as whole numbers beyond 2^53 are not exact", "an id is named with --id, or dropped"
_DATE = re.compile(r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([ T].*)?$")


class RelearnError(Exception):
    """A column turned out to be written otherwise than its first cells said: read the table again with what is known now."""


class WordsError(Exception):
    """Cells that are no numbers: the row of the first in its block, and for each such column a cell."""

    def __init__(self, row: int, found: dict[int, str]) -> None:
        self.row, self.found = row, found


class Numbers:
    """Makes numbers of the cells of some columns.

    Args:
        width: how many columns.
        na_values: marks of a missing value beside the usual ones; numbers among them count as missing however they are written.
        decimal: the decimal mark, where the user says it.
        european: whether "1,234" has a decimal comma where nothing in its column or elsewhere says otherwise.
    """

    def __init__(self, width: int, na_values: Sequence[str], decimal: str | None, european: bool) -> None:
        self.arrow = pyarrow()
        words = sorted(
            cells.MARKS | {mark.strip() for mark in na_values} | {mark.strip().lower() for mark in na_values}
        )
        self._marks, self._said = self.arrow.array(words), [mark.strip() for mark in na_values]
        self._missing_numbers = [value for mark in na_values if (value := cells.value_of(mark)) is not None]
        self._decimal, self._european = decimal, european
        self.comma = np.full(width, decimal == ",")  # columns whose decimal mark is a comma
        self._saw_comma, self._saw_point, self._saw_either = (np.zeros(width, bool) for _ in range(3))
        self._saw_three, self._saw_bare = np.zeros(width, bool), np.zeros(width, bool)
        self._rows = 0
        self.forget()

    def forget(self) -> None:
        """Begins at the first row again; what the columns taught stays."""
        width, self._rows = len(self.comma), 0
        self.marks: Counter[str] = Counter()
        self.examples: dict[str, dict[int, str]] = {
            "decimal": {},
            "grouped": {},
            "zeros": {},
            "large": {},
            "truth": {},
            "points": {},
        }
        self.whole = np.ones(width, bool)  # columns of whole numbers alone

    def convert(self, columns: Sequence[Any]) -> Array:
        """The numbers (n, width) of columns of text, NaN where they are missing.

        Raises:
            WordsError: a cell is no number.
            RelearnError: the rows before were understood wrongly.
        """
        n, compute = len(columns[0]), self.arrow.compute
        flat = self.arrow.concat_arrays(columns)
        flat = compute.utf8_trim_whitespace(flat)
        plain = self._is(flat, cells.PLAIN)
        values = np.full(len(flat), np.nan)
        place = np.repeat(np.arange(len(columns)), n)
        odd = np.flatnonzero(~plain)
        if self._european and self._decimal is None:
            self._look_at_points(flat, plain, place)
        texts = self._without_missing(flat, odd)
        odd, other = texts
        kinds = self._learn(flat, plain, place, odd, other)
        easy = plain & ~self.comma[place]
        values[easy] = self._cast(flat.filter(self.arrow.array(easy)))
        bad = self._turn(values, np.flatnonzero(plain & self.comma[place]), flat, place)
        bad = np.concatenate([bad, self._others(values, odd, other, place, kinds)])
        if len(bad):
            rows, first = bad % n, dict[int, str]()
            for index in bad[np.argsort(rows, kind="stable")]:
                first.setdefault(int(place[index]), flat[int(index)].as_py())
            raise WordsError(int(rows.min()), first)
        for number in self._missing_numbers:
            hit = values == number
            values[hit] = np.nan
            self.marks[f"{number:g}"] += int(hit.sum())
        self._look(values, flat, place, n)
        self._rows += n
        return np.ascontiguousarray(values.reshape(len(columns), n).T)

    def notes(self, names: Sequence[str], where: str) -> list[str]:
        """What a user should hear of the cells."""
        found = []
        if total := sum(self.marks.values()):
            kinds = ", ".join(
                f"'{printable(mark, 20)}' {count:,}" for mark, count in self.marks.most_common(8) if count
            )
            found.append(f"missing values in {where}: {total:,} ({kinds})")
        doubted = self._saw_three & self._saw_bare & ~self._saw_point & ~self.comma
        self.examples["points"] = {k: v for k, v in self.examples["points"].items() if doubted[k] or self.comma[k]}
        if self.comma.any():
            self.examples["decimal"] = self.examples["points"] | self.examples["decimal"]
            found.append(self._told("decimal", names, "with a decimal comma", "else --decimal ., decimal='.'"))
        elif doubted.any():
            found.append(self._told("points", names, "with a decimal point", "else --decimal ',', decimal=','"))
        if grouped := {k: v for k, v in self.examples["grouped"].items() if not self.comma[k]}:
            self.examples["grouped"] = grouped
            found.append(
                self._told("grouped", names, "with commas between thousands", "else --decimal ',', decimal=','")
            )
        if self.examples["zeros"]:
            found.append(
                self._told(
                    "zeros",
                    names,
                    "as numbers, without the zeros in front",
                    "a code or id is named with --id, or dropped",
                )
            )
        if self.examples["large"]:
            found.append(
                self._told(
                    "large",
                    names,
                    _ROUNDED,
                    _NAMED,
                )
            )
        if self.examples["truth"]:
            found.append(self._told("truth", names, "with true as 1 and false as 0", ""))
        return [each for each in found if each]

    def _told(self, what: str, names: Sequence[str], how: str, otherwise: str) -> str:
        examples = self.examples[what]
        if not examples:
            return ""
        place, cell = next(iter(sorted(examples.items())))
        which = listed([names[each] for each in sorted(examples)])
        value = (
            f" ({printable(cell, 40)} is {cells_value(cell, bool(self.comma[place])):.15g})"
            if what in {"decimal", "grouped", "zeros", "points"}
            else f" ({printable(cell, 40)})"
        )
        return f"read {how}: {which}{value}" + (f"; {otherwise}" if otherwise else "")

    def _is(self, texts: Any, pattern: str) -> Array:
        found = self.arrow.compute.match_substring_regex(texts, pattern)
        return np.asarray(found.to_numpy(zero_copy_only=False), bool)

    def _cast(self, texts: Any) -> Array:
        return np.asarray(self.arrow.compute.cast(texts, self.arrow.float64()).to_numpy(zero_copy_only=False))

    def _without_missing(self, flat: Any, odd: Array) -> tuple[Array, Any]:
        """Of the cells that are no plain numbers, those that are not missing: where they are, and what they say."""
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

    def _learn(self, flat: Any, plain: Array, place: Array, odd: Array, other: Any) -> dict[str, Any]:
        """Sorts the other cells by how they are written; decides the decimal mark of their columns."""
        compute = self.arrow.compute
        if not len(odd):
            return {}
        text = compute.replace_substring(other, cells.MINUS, "-")
        spaced = self._is(text, cells.SPACED)
        if spaced.any():
            joined = compute.replace_substring_regex(text, cells.SPACES, "")
            text = compute.if_else(self.arrow.array(spaced), joined, text)
        either, grouped, points = (
            self._is(text, each) for each in (cells.AMBIGUOUS, cells.GROUPED, cells.POINT_GROUPS)
        )
        comma = self._is(text, cells.COMMA) & ~either
        if self._decimal is None:
            columns = place[odd]
            self._saw_comma[columns[comma | points]] = True
            self._saw_point[columns[grouped]] = True
            self._saw_either[columns[either]] = True
            asked = np.zeros(len(self.comma), bool)
            asked[columns[comma | points | either]] = True
            some = np.flatnonzero(plain & asked[place])
            cell = flat.take(self.arrow.array(some))
            fraction = np.asarray(compute.match_substring(cell, ".").to_numpy(zero_copy_only=False), bool)
            self._saw_point[place[some[fraction & ~self._is(cell, cells.THREE)]]] = True
            self._decide()
        return {"text": text, "either": either, "comma": comma, "grouped": grouped, "points": points}

    def _look_at_points(self, flat: Any, plain: Array, place: Array) -> None:
        """Which columns have points before three digits alone, which may stand between thousands where others have decimal commas."""
        compute, some = self.arrow.compute, np.flatnonzero(plain & ~self._saw_point[place])
        texts = flat.take(self.arrow.array(some))
        point = np.asarray(compute.match_substring(texts, ".").to_numpy(zero_copy_only=False), bool)
        self._saw_bare[place[some[~point]]] = True
        fractions, columns = texts.filter(self.arrow.array(point)), place[some[point]]
        three = self._is(fractions, cells.THREE)
        self._saw_point[columns[~three]] = True
        self._saw_three[columns[three]] = True
        self._example("points", columns, three, fractions)
        self._decide()

    def _decide(self) -> None:
        saw = bool(self._saw_comma.any())
        either = self._saw_either & (self._european or saw)
        comma = ~self._saw_point & (self._saw_comma | either | (self._saw_three & (self._european and saw)))
        changed = bool((comma != self.comma).any())
        self.comma = comma
        if changed and self._rows:
            raise RelearnError

    def _turn(self, values: Array, some: Array, flat: Any, place: Array) -> Array:
        """Fills in plain cells of columns with a decimal comma, in which a point stands between thousands; returns those that cannot be."""
        if not len(some):
            return some
        compute = self.arrow.compute
        texts = flat.take(self.arrow.array(some))
        pointed = np.asarray(compute.match_substring(texts, ".").to_numpy(zero_copy_only=False), bool)
        wrong = pointed & ~self._is(texts, cells.THREE)
        right = self.arrow.array(~wrong)
        values[some[~wrong]] = self._cast(compute.replace_substring(texts.filter(right), ".", ""))
        return some[wrong]

    def _others(self, values: Array, odd: Array, other: Any, place: Array, kinds: dict[str, Any]) -> Array:
        """Fills in the cells that are numbers in their column's manner; returns those that are none."""
        if not len(odd):
            return odd
        compute, text = self.arrow.compute, kinds["text"]
        comma, left = self.comma[place[odd]], np.ones(len(odd), bool)
        lower = np.asarray(compute.utf8_lower(text).to_numpy(zero_copy_only=False), object)
        for word, value in cells.TRUTHS.items():
            true = lower == word
            values[odd[true]], left[true] = value, False
            self._example("truth", place[odd], true, other)
        plain = self._is(text, cells.PLAIN) & left
        as_comma = comma & (kinds["comma"] | kinds["either"] | kinds["points"])
        as_point = ~comma & (kinds["grouped"] | kinds["either"])
        for which, out in ((as_comma, "."), (as_point, ","), (plain, "")):
            chosen = self.arrow.array(which)
            clean = text.filter(chosen)
            clean = compute.replace_substring(clean, out, "") if out else clean
            values[odd[which]] = self._cast(compute.replace_substring(clean, ",", "."))
            left &= ~which
        self._example("decimal", place[odd], as_comma, other)
        self._example("grouped", place[odd], as_point, other)
        return odd[left]

    def _look(self, values: Array, flat: Any, place: Array, n: int) -> None:
        """Remembers columns whose cells lose something as numbers, and which hold whole numbers alone."""
        zeros = np.asarray(self.arrow.compute.starts_with(flat, "0").to_numpy(zero_copy_only=False), bool)
        for what, some, pattern in (
            ("zeros", np.flatnonzero(zeros), "^0[0-9]+$"),
            ("large", np.flatnonzero(np.isfinite(values) & (np.abs(values) >= EXACT)), "^[+-]?[0-9]+$"),
        ):
            if len(some):
                texts = flat.take(self.arrow.array(some))
                self._example(what, place[some], self._is(texts, pattern), texts)
        whole = (np.isnan(values) | (values == np.round(values))).reshape(-1, n)
        self.whole &= whole.all(1)

    def _example(self, what: str, columns: Array, which: Array, texts: Any) -> None:
        """Keeps one cell of each column."""
        for column in np.unique(columns[which]):
            first = (
                int(np.flatnonzero(which & (columns == column))[0]) if int(column) not in self.examples[what] else None
            )
            if first is not None:
                self.examples[what][int(column)] = texts[first].as_py()


def cells_value(cell: str, comma: bool) -> float:
    """The number in a cell that is known to hold one, with a decimal comma or point."""
    text = re.sub(cells.SPACES, "", cell.replace(cells.MINUS, "-"))
    return float(text.replace(".", "").replace(",", ".") if comma else text.replace(",", ""))


def is_date(cell: str) -> bool:
    """Whether a cell looks like a day."""
    return bool(_DATE.match(cell.strip()))


def rounded_note(names: str) -> str:
    """What a user should hear of columns whose whole numbers float64 does not have."""
    return f"read {_ROUNDED}: {names}; {_NAMED}"
