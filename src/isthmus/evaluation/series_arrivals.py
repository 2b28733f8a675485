"""The rows that a stream takes: read, checked against those before them, and divided at gaps."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.containers import column_names
from isthmus.data.series.rows import SeriesRows, read_rows
from isthmus.data.series.stretches import intervals_of
from isthmus.data.series.window_positions import WindowPositions
from isthmus.data.tables.date_columns import zone_of
from isthmus.data.tables.frame_columns import arrow_columns, library_of
from isthmus.errors import DataError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.overflow import check_computable
from isthmus.estimators.shape_check import check_shape_and_columns
from isthmus.evaluation.series_alarms import plain_time
from isthmus.evaluation.series_track import Arrived, Track
from isthmus.text import printable

__all__ = ["Form", "by_machine", "continued", "read_part"]

Array = NDArray[Any]
_LISTED = 5  # names in a message


class Form(NamedTuple):
    """What the first rows of a stream had, and later ones must have too.

    Attributes:
        columns: the names of the channels; None without.
        time, by: the kinds of times and of machines; "" without.
    """

    columns: tuple[str, ...] | None
    time: str
    by: str


def read_part(rows: Any, time: Any, by: Any, form: Form | None, ae: Autoencoder, count: int) -> tuple[SeriesRows, Form]:
    """Rows as `read_rows` reads them, and their form.

    Args:
        rows, time, by: as for `read_rows`.
        form: that of the rows before; None for the first ones.
        ae: the autoencoder.
        count: the number of rows before.

    Raises:
        DataError: the rows have another form, are not in the order of time, or have a value that cannot be used.
    """
    names = column_names(rows)
    chosen = None
    if names is not None and form is not None and form.columns is not None:
        own = [name for name in names if not any(isinstance(each, str) and each == name for each in (time, by))]
        changed = sorted({*own} ^ {*form.columns})
        if changed:
            more = f" and {len(changed) - _LISTED:,} more" if len(changed) > _LISTED else ""
            listed = ", ".join(map(printable, changed[:_LISTED]))
            raise DataError(f"the columns of the stream have changed ({listed}{more}): give the same columns each time")
        chosen = form.columns
    read = read_rows(rows, time, by, chosen)
    dates = "dates with a time zone" if _has_zone(rows, time) else "dates"
    kinds = ["" if read.time is None else dates if read.time.dtype.kind == "M" else "numbers"]
    kinds += [type(read.labels[0]).__name__ if read.labels else ""]
    found = Form(read.channels if form is None else form.columns, *kinds)
    if form is not None and found != form:
        what, before, now = (
            ("times", form.time, found.time) if found.time != form.time else ("machines", form.by, found.by)
        )
        raise DataError(
            f"the {what} of the stream have changed from {before or 'none'} to {now or 'none'}: give them in the same way each time"
        )
    check_shape_and_columns(ae, (ae.shape_[0], *read.values.shape[1:]), read.channels, what="the rows")
    _check_order(read, count)
    numbers = count + (np.arange(len(read.values)) if read.order is None else read.order)
    check_computable(read.values[:, None], WindowPositions(read.channels, begins=numbers), ae.missing, None)
    return read, found


def _has_zone(rows: Any, time: Any) -> bool:
    """Whether the times in a column or in the index have a time zone."""
    if isinstance(time, str):
        return zone_of(time, arrow_columns(rows, [time])[time]) is not None
    index = getattr(rows, "index", None) if time is None and library_of(rows) == "pandas" else None
    return getattr(getattr(index, "dtype", None), "tz", None) is not None


def _check_order(read: SeriesRows, count: int) -> None:
    """`DataError` for a row that is older than one before it of its machine."""
    if read.order is None or read.time is None:
        return
    late = np.flatnonzero((np.diff(read.order) < 0) & (np.diff(read.machines) == 0))
    if len(late):
        raise _late(
            count + int(read.order[late[0]]),
            read.time[late[0]],
            read.labels[read.machines[late[0]]] if read.labels else None,
        )


def _late(row: int, time: Any, machine: Any) -> DataError:
    of = "" if machine is None else f" of {printable(machine)}"
    return DataError(
        f"row {row:,} of the stream has the time {plain_time(time)}, and an earlier row{of} has a later time: "
        "give the rows in the order of time"
    )


def by_machine(read: SeriesRows, count: int) -> list[tuple[Any, Arrived]]:
    """The rows of each machine, with its label; None without machines. `count` is the number of rows before."""
    order = np.arange(len(read.values)) if read.order is None else read.order
    parts = np.split(np.arange(len(order)), np.flatnonzero(np.diff(read.machines)) + 1)
    return [
        (
            read.labels[read.machines[own[0]]] if read.labels else None,
            Arrived(read.values[own], count + order[own], None if read.time is None else read.time[own]),
        )
        for own in parts
    ]


def continued(known: Track | None, new: Arrived, gap: float | None, machine: Any) -> tuple[list[Track], list[str], int]:
    """The open stretch of a machine with its new rows, and those that follow after gaps.

    Args:
        known: the open stretch; None for the first rows of the machine.
        new: the rows.
        gap: the longest interval that is no gap.
        machine: its label, for messages.

    Returns:
        The stretches, of which the last one is open; a note for each gap; and the number of rows with the time of the row before them.

    Raises:
        DataError: a row is older than one before it.
    """
    if new.times is None or gap is None:
        return [Track(new) if known is None else known.grown(new)], [], 0
    times = new.times
    if known is not None and known.rows.times is not None:
        times = np.concatenate([known.rows.times[-1:], times])
    steps = intervals_of(times)
    offset = len(new.times) - len(steps)  # of the row that ends the first interval
    late = np.flatnonzero(steps < 0)
    if len(late):
        raise _late(int(new.numbers[late[0] + offset]), new.times[late[0] + offset], machine)
    breaks = np.flatnonzero(steps > gap)
    of = "" if machine is None else f" of {printable(machine)}"
    notes = [
        f"gap{of} from {plain_time(times[each])} to {plain_time(times[each + 1])}: no window crosses it"
        for each in breaks.tolist()
    ]
    cuts = [0, *(breaks + offset).tolist(), len(new.numbers)]
    pieces = [new.part(slice(*pair)) for pair in itertools.pairwise(cuts)]  # the first one may be empty
    first = Track(pieces[0]) if known is None else known.grown(pieces[0])
    tracks = [first, *map(Track, pieces[1:])]
    return [*(each.closed() for each in tracks[:-1]), tracks[-1]], notes, int((steps == 0).sum())
