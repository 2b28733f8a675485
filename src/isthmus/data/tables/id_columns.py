"""Notes on ids: columns that look like ids, and rows whose id is of another kind than the others, as that of a total."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.options import ReadOptions
from isthmus.data.tables.cells import is_date
from isthmus.data.tables.columns import listed
from isthmus.data.tables.header import skip_lines_value
from isthmus.data.tables.row_arrays import MAX_IN_MEMORY
from isthmus.text import is_number, printable

__all__ = ["id_notes", "odd_id_notes"]

Array = npt.NDArray[Any]

_ENDS, _SAMPLE = 3, 100  # rows at each end that are looked at, and rows between that show what ids are
_MIN_ROWS = 10  # in fewer rows, different values are no evidence


def id_notes(values: Array, whole: Array, names: Sequence[str]) -> list[str]:
    """A note about the columns that look like ids, if there are any.

    Args:
        values: the features, (rows, columns).
        whole: (columns,), True where a column holds whole numbers only.
        names: of the columns.
    """
    n, suspects = len(values), []
    if n < _MIN_ROWS or values.nbytes > MAX_IN_MEMORY:
        return []
    for position in np.flatnonzero(whole).tolist():
        column = np.asarray(values[:, position])
        if np.isnan(column).any() or column.max() / 2 - column.min() / 2 < (n - 1) / 2:
            continue
        if (column[1:] - 1 == column[:-1]).all():
            suspects.append(f"{printable(names[position])} (it counts the rows)")
        elif len(np.unique(column)) == n:
            suspects.append(printable(names[position]))
    if not suspects:
        return []
    which = (
        f"{listed(suspects)} {'is' if len(suspects) == 1 else 'are'} a different whole number in every row, as ids are"
    )
    return [f"{which}; a column of ids is not learned if it is named with --id, id="]


def odd_id_notes(ids: Sequence[str], lines: Array, column: str, options: ReadOptions) -> list[str]:
    """A note about a first or last row whose id is text where the other ids are dates or numbers, if there is one.

    Args:
        ids: of the rows, (rows,).
        lines: (rows,), the line of each row.
        column: the name of the column of ids.
        options: of the reading, whose lines to skip the advice repeats.
    """
    n = len(ids)
    if n < _MIN_ROWS:
        return []
    inner = range(_ENDS, n - _ENDS, max(1, n // _SAMPLE))
    kind = "dates" if all(is_date(ids[row]) for row in inner) else "numbers"
    if kind == "numbers" and not all(is_number(ids[row]) for row in inner):
        return []
    odd = [
        row
        for row in (*range(_ENDS), *range(n - _ENDS, n))
        if ids[row] and not is_date(ids[row]) and not is_number(ids[row])
    ]
    if not odd:
        return []
    line = int(lines[odd[-1]])
    value = skip_lines_value(range(line, line + 1), options)
    more = f" ({len(odd)} such rows)" if len(odd) > 1 else ""
    return [
        f"line {line} has {printable(ids[odd[-1]], 40)!r} in the id column {printable(column)}, whose other cells are {kind}"
        f"{more}; it is used as an example: if it is a total or a unit, leave it out (--skip-lines {value}, skip_lines={value!r})"
    ]
