"""What all columns of a table hold, including those that cannot be learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.options import ReadOptions
from isthmus.data.tables.cells import MARKS, is_date, kind_of
from isthmus.data.tables.column_encoding import ColumnEncoding
from isthmus.data.tables.columns import NoColumnError, NotNumericError
from isthmus.data.tables.text_columns import TextColumns
from isthmus.data.validation import blocks
from isthmus.text import command, printable

__all__ = [
    "FeatureTotals",
    "Overview",
    "drop_option",
    "encoded_content",
    "numeric_content",
    "overview",
    "text_content",
    "totals_of",
]

Reader = Callable[[ReadOptions, Sequence[str]], tuple[Dataset, TextColumns]]

_MIN_ROWS = 10  # in fewer rows, different values are no evidence


class Overview(NamedTuple):
    """What the columns of a table hold.

    Attributes:
        dataset: the columns that can be learned; None if there are none.
        contents: what each of the other columns holds, by name.
        texts: the cells of the first of these.
        skip_title: the value of --skip-lines that leaves out what may be a title; "" if there is none.
    """

    dataset: Dataset | None
    contents: dict[str, str]
    texts: TextColumns
    skip_title: str = ""


def overview(read: Reader, options: ReadOptions, max_texts: int) -> Overview:
    """Reads a table without the columns that cannot be learned, and collects the cells of these.

    Args:
        read: reads it with other options, and collects the cells of the columns of some names.
        options: the user's.
        max_texts: the number of columns whose cells are collected.

    Raises:
        DataError: the data cannot be read for another reason.
    """
    contents, skip_title = dict[str, str](), ""
    while True:
        try:
            kinds = {name: kind for name, kind in options.given_kinds().items() if name not in contents}
            without = options.replace(drop=(*options.drop, *contents), kinds=kinds)
            dataset, texts = read(without, list(contents)[:max_texts])
            return Overview(dataset, contents, texts, skip_title)
        except NotNumericError as error:
            if set(error.contents) <= set(contents):
                raise
            skip_title = skip_title or error.skip_title
            contents |= error.contents
        except NoColumnError:
            if not contents:
                raise
            return Overview(None, contents, TextColumns(), skip_title)


def text_content(cells: Sequence[Any], na_values: Collection[str]) -> tuple[str, int, int]:
    """What a column that is not numeric holds, how many of its cells are missing, and how many it has.

    Marks of missing values count as in labels: "None" and "NA" are text among text, and missing among dates.
    """
    text = [str(each) for each in cells if each is not None]
    marks = MARKS | {mark.strip().lower() for mark in na_values}
    present = [each for each in text if each.strip().lower() not in marks]
    if not all(is_date(each) for each in present):
        present = text
    kinds = {"dates" if is_date(each) else "numbers" if kind_of(each) == "number" else "text" for each in present}
    content, n_different = " and ".join(sorted(kinds)), len(set(present))
    if n_different == 1:
        content = f"{content}, constant"
    elif n_different == len(cells) >= _MIN_ROWS:
        content = f"{content}, unique in every row"
    return content, len(cells) - len(present), len(cells)


class FeatureTotals:
    """What the values of a feature are together: they are added block by block.

    Args:
        several: the number of its categories, 0 for numbers.

    Attributes:
        n, n_missing: the number of values, and of missing ones.
        low, high, mean: of the known values; NaN if all are missing.
        counts: (categories,), how often each one occurs.
    """

    def __init__(self, several: int = 0) -> None:
        self.n = self.n_missing = 0
        self.low = self.high = math.nan
        self.counts, self._sum = np.zeros(several, np.int64), 0.0

    def add(self, values: npt.NDArray[Any]) -> None:
        """Adds values (k,)."""
        known = values[~np.isnan(values)]
        self.n, self.n_missing = self.n + len(values), self.n_missing + len(values) - len(known)
        if len(known):
            self.low, self.high = np.fmin(self.low, known.min()), np.fmax(self.high, known.max())
            self._sum += float(known.sum(dtype=np.float64))
        if len(self.counts):
            self.counts += np.bincount(known.astype(np.int64), minlength=len(self.counts))

    @property
    def mean(self) -> float:
        return self._sum / (self.n - self.n_missing) if self.n > self.n_missing else math.nan


def totals_of(values: npt.NDArray[Any], features: Mapping[int, int]) -> dict[int, FeatureTotals]:
    """The totals of some features of examples (n, d), which are read once, block by block.

    Args:
        values: the examples.
        features: for their positions the number of categories of each, 0 for numbers.

    Returns:
        The totals by position.
    """
    totals = {position: FeatureTotals(several) for position, several in features.items()}
    for _, block in blocks(values):
        for position, each in totals.items():
            each.add(np.asarray(block[:, position], float))
    return totals


def encoded_content(column: ColumnEncoding, totals: FeatureTotals) -> list[str]:
    """What a column that has an encoding holds, and its least value, mean and largest value as text, "-" where there is none.

    Args:
        column: its encoding.
        totals: of its first feature.
    """
    several = len(column.categories)
    if totals.n == totals.n_missing:
        return ["nothing", "-", "-", "-"]
    constant = ", constant" if totals.low == totals.high else ""
    if column.kind == "boolean":
        return [f"boolean{constant}", "false", f"{totals.mean:.6g}", "true"]
    if column.categories:
        what = "ordered category" if column.kind == "ordered" else "category"
        content = f"{what} of {several:,}" if several > 1 else f"{what}, constant"
        most = column.categories[int(totals.counts.argmax())]
        return [f"{content}, most often {printable(str(most), 30)}", "-", "-", "-"]
    values = (totals.low, totals.mean, totals.high)
    if column.kind == "date":
        ends = [column.decode(np.array([[value] + [0.0] * (column.width - 1)]))[0] for value in values]
        return [f"date{constant}", *(str(each.as_py()) for each in ends)]
    return [f"{column.kind}{constant}", *(f"{value:.6g}" for value in values)]


def numeric_content(values: npt.NDArray[Any]) -> str:
    """What a numeric column holds."""
    present = values[~np.isnan(values)]
    if not len(present):
        return "nothing"
    if present.min() == present.max():
        return "numbers, constant"
    if len(present) == len(values) >= _MIN_ROWS and (present == np.round(present)).all():
        if (np.diff(present) == 1).all():
            return "numbers, counts the rows"
        if len(np.unique(present)) == len(present):
            return "numbers, unique in every row"
    return "numbers"


def drop_option(names: Sequence[str]) -> str:
    """The part of a command that leaves columns out, quoted for a shell."""
    if any("," in name or name != name.strip() for name in names):
        return command(*(word for name in names for word in ("--drop", name)))
    return command("--drop", ",".join(names))
