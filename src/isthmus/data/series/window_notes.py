"""Notes about the windows of a series: how many there are, and which rows are in none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.series.padding import WindowRows
from isthmus.data.series.rows import SeriesRows
from isthmus.data.series.stretches import Stretches
from isthmus.text import printable

__all__ = ["padding_note", "rows_in_no_window", "summary"]

Array = npt.NDArray[Any]
_LISTED = 5  # stretches in a note


def summary(rows: SeriesRows, found: Stretches, count: int, length: int, step: int) -> str:
    """The first note: windows, rows, machines and stretches. `count` is the number of windows."""
    of = f" of {_counted(len(rows.labels), 'machine')}" if rows.labels else ""
    every = "every row" if step == 1 else f"every {step} rows"
    stretches = f"{len(found.begins):,} stretch{'' if len(found.begins) == 1 else 'es'}"
    return (
        f"{_counted(count, 'window')} of {length} rows, {every}, from {_counted(len(rows.values), 'row')}{of} in {stretches} "
        "without a gap"
    )


def rows_in_no_window(rows: SeriesRows, found: Stretches, unused: Array, length: int, step: int) -> list[str]:
    """Notes about rows that are in no window, with the first stretches.

    Args:
        rows, found: the rows and their stretches.
        unused: the numbers of the stretches without a window.
        length, step: of the windows.
    """
    notes = list[str]()
    if step > length:
        notes = [
            f"step={step} (--step) is larger than the length of a window, {length}: the rows between two windows are in no window"
        ]
    if not unused.size:
        return notes
    begins, ends = found.begins[unused], found.ends[unused]
    count = int((ends - begins).sum())

    def named(begin: int, end: int) -> str:
        ordered = range(begin, end) if rows.order is None else sorted(rows.order[begin:end].tolist())
        many = f"rows {ordered[0]:,} to {ordered[-1]:,}" if end - begin > 1 else f"row {ordered[0]:,}"
        return f"{many} of {printable(rows.labels[rows.machines[begin]])}" if rows.labels else many

    listed = [named(*pair) for pair in zip(begins[:_LISTED].tolist(), ends[:_LISTED].tolist(), strict=True)]
    more = f", and {len(unused) - len(listed):,} more stretches" if len(unused) > len(listed) else ""
    many = "1 stretch" if len(unused) == 1 else f"{len(unused):,} stretches"
    are = "1 row is" if count == 1 else f"{count:,} rows are"
    return [
        *notes,
        f"{are} in no window, in {many} of fewer than {length} rows: {', '.join(listed)}{more}; "
        'pad=True (--pad) puts them into windows that are padded with missing values, for missing="allow"',
    ]


def padding_note(rows: SeriesRows, source: WindowRows) -> list[str]:
    """A note about padded stretches, if there are some."""
    if source.places is None:
        return []
    added = len(source.values) - len(rows.values)
    short = int((np.diff(source.places, append=len(source.values)) > 1).sum())
    many = "1 stretch" if short == 1 else f"{short:,} stretches"
    return [f"{many} shorter than a window padded with {_counted(added, 'row')} of missing values"]


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"
