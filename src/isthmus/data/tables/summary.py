"""What the columns of a table hold, those that cannot be learned among them: looked at, instead of refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.options import ReadOptions
from isthmus.data.tables.cells import MARKS, is_date, kind_of
from isthmus.data.tables.columns import NoColumnError, NotNumericError
from isthmus.data.tables.text_columns import TextColumns
from isthmus.text import command

__all__ = ["drop_of", "look", "numbers_held", "words_held"]

Reads = Callable[[ReadOptions, TextColumns], Dataset]

_FEW = 10  # rows, of which little can be said


def look(read: Reads, options: ReadOptions, most: int) -> tuple[Dataset | None, dict[str, str], TextColumns]:
    """Data without the columns that cannot be learned, None where no other is left; what those hold, by name; and their cells.

    A table is read from its beginning where a column turns out to be one of those, and to its end once.

    Args:
        most: columns whose cells are kept.

    Raises:
        DataError: the data cannot be read for another reason.
    """
    blocking = dict[str, str]()
    while True:
        texts = TextColumns(list(blocking)[:most])
        try:
            dataset = read(options.replace(drop=(*options.drop, *blocking)), texts)
            return dataset, blocking, texts
        except NotNumericError as error:
            if set(error.contents) <= set(blocking):
                raise
            blocking |= error.contents
        except NoColumnError:
            if not blocking:
                raise
            return None, blocking, texts


def words_held(cells: Sequence[Any], na_values: Collection[str]) -> tuple[str, int, int]:
    """What a column that cannot be learned holds, how many of its cells are missing, and how many there are.

    Its cells are taken as labels are: "None" and "NA" are text beside text, as they are there; beside dates they are missing.
    """
    text = [str(each) for each in cells if each is not None]
    marks = MARKS | {mark.strip().lower() for mark in na_values}
    known = [each for each in text if each.strip().lower() not in marks]
    if not all(is_date(each) for each in known):
        known = text
    kinds = {"dates" if is_date(each) else "numbers" if kind_of(each) == "number" else "text" for each in known}
    held, different = " and ".join(sorted(kinds)), len(set(known))
    if different == 1:
        held = f"{held}, constant"
    elif different == len(cells) >= _FEW:
        held = f"{held}, unique in every row"
    return held, len(cells) - len(known), len(cells)


def numbers_held(values: npt.NDArray[Any]) -> str:
    """What a column of numbers holds."""
    known = values[~np.isnan(values)]
    if not len(known):
        return "nothing"
    if known.min() == known.max():
        return "numbers, constant"
    if len(known) == len(values) >= _FEW and (known == np.round(known)).all():
        if (np.diff(known) == 1).all():
            return "numbers, counts the rows"
        if len(np.unique(known)) == len(known):
            return "numbers, unique in every row"
    return "numbers"


def drop_of(names: Sequence[str]) -> str:
    """The part of a command that leaves columns out, as a shell takes it."""
    if any("," in name or name != name.strip() for name in names):
        return command(*(word for name in names for word in ("--drop", name)))
    return command("--drop", ",".join(names))
