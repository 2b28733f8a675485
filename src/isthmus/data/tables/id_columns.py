"""Columns of whole numbers that look like ids: a different value in every row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.tables.columns import listed
from isthmus.data.tables.row_arrays import MAX_IN_MEMORY
from isthmus.text import printable

__all__ = ["id_notes"]

Array = npt.NDArray[Any]

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
