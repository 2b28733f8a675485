"""The rows, times and machines of a series, from an array or a data frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.containers import check_unique_names, column_names
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.date_columns import zone_of
from isthmus.data.tables.frame_columns import arrow_columns, library_of
from isthmus.data.tables.frame_features import has_kinds
from isthmus.data.validation import shaped_examples
from isthmus.errors import DataError, RecordError
from isthmus.text import printable

__all__ = ["SeriesRows", "labels_of", "moments", "read_rows"]

Array = npt.NDArray[Any]
_LISTED = 5  # time zones in a note


class SeriesRows(NamedTuple):
    """The rows of a series, in the order of machines and of time.

    Attributes:
        values: (rows, channels), without a copy if the rows were in this order.
        channels: the names of the channels, or None.
        time: (rows,) datetime64 in UTC, or numbers; None if it is not known.
        machines: (rows,) the number of each row's machine, in the order of their first rows.
        labels: the labels of the machines; () without machines.
        order: (rows,) the number of each row in the given data; None if that is its own number.
        notes: what was done, one sentence each.
        guesses: those notes that state what may not have been meant.
    """

    values: Array
    channels: tuple[str, ...] | None
    time: Array | None
    machines: npt.NDArray[np.int64]
    labels: tuple[Any, ...]
    order: npt.NDArray[np.int64] | None
    notes: tuple[str, ...]
    guesses: tuple[str, ...] = ()


def read_rows(data: Any, time: Any, by: Any, channels: Sequence[str] | None) -> SeriesRows:
    """The rows of an array or a frame, sorted by machine and time if they are not.

    Args:
        data: (rows,) or (rows, channels), or a frame.
        time, by: the time and the machine of each row: the name of a column, an array (rows,), or None.
        channels: the columns of a frame that are channels; None: all others.

    Raises:
        DataError: a column does not exist or cannot be used, or lengths differ; the message names it.
    """
    notes = list[str]()
    if library_of(data) is None:
        if isinstance(time, str) or isinstance(by, str) or channels is not None:
            raise RecordError(
                "time, by and channels name columns, and the data have none: pass a data frame, or arrays of times"
            )
        values, names = _from_array(data), None
    else:
        values, names, time, by = _from_frame(data, time, by, channels, notes)
    times = None if time is None else _times(time, len(values))
    machines, labels = _machines(by, len(values))
    order = np.lexsort((np.arange(len(values)) if times is None else times, machines))
    if bool((np.diff(order) == 1).all()):
        return SeriesRows(values, names, times, machines, labels, None, tuple(notes))
    grouped = bool((order == np.argsort(machines, kind="stable")).all())
    by_time = "the rows were not in the order of time, and are sorted" + (
        " by machine and time" if labels else " by time"
    )
    note = "the rows of a machine are brought together in a copy" if grouped else f"{by_time} in a copy"
    times = None if times is None else times[order]
    return SeriesRows(
        values[order], names, times, machines[order], labels, order, (*notes, note), () if grouped else (note,)
    )


def _from_array(data: Any) -> Array:
    """The values (rows, channels) of an array, without a copy where its dtype allows."""
    if isinstance(data, np.ndarray) and data.ndim == 1:
        data = data[:, None]
    values = shaped_examples(data).values
    if values.ndim != 2:
        raise DataError(
            f"a series has the shape (rows, channels), and this has {values.shape}: pass windows as X itself"
        )
    return values


def _from_frame(
    frame: Any, time: Any, by: Any, channels: Sequence[str] | None, notes: list[str]
) -> tuple[Array, tuple[str, ...], Any, Any]:
    """The values, channels, times and machines of a frame."""
    names = column_names(frame) or ()
    check_unique_names(names)
    named = [each for each in (time, by) if isinstance(each, str)]
    for name in (*named, *(channels or ())):
        if name not in names:
            raise DataError(
                f"there is no column {printable(name)!r}: choose one of {', '.join(map(printable, names[:20]))}"
            )
    if time is None and library_of(frame) == "pandas" and frame.index.dtype.kind == "M":
        time = frame.index.to_series().reset_index(drop=True).to_frame("index")
        notes.append("the index of the frame is the time")
        time = moments("index", arrow_columns(time, ["index"])["index"], notes)
    found = arrow_columns(frame, named)
    time = moments(time, found[time], notes) if isinstance(time, str) else time
    by = labels_of(by, found[by]) if isinstance(by, str) else by
    wanted = [name for name in names if name not in named] if channels is None else list(channels)
    if not wanted:
        raise DataError("no column is left for the channels: give a frame with the values of the series")
    part = _select(frame, names, wanted)
    if has_kinds(part):
        text = [name for name in wanted if has_kinds(_select(frame, names, [name]))]
        raise DataError(
            f"column {printable(text[0])!r} does not hold numbers, and channels must: leave it out with channels={_without(wanted, text)}"
        )
    left_out = [name for name in names if name not in (*wanted, *named)]
    if left_out:
        notes.append(f"left out: {', '.join(map(printable, left_out[:20]))}{', ...' if len(left_out) > 20 else ''}")
    return shaped_examples(part).values, tuple(wanted), time, by


def _without(names: Sequence[str], others: Sequence[str]) -> str:
    """The names without others, as Python writes a short list."""
    kept = [printable(name) for name in names if name not in others]
    return str(kept) if len(kept) < 10 else "[...]"


def _select(frame: Any, names: Sequence[str], wanted: Sequence[str]) -> Any:
    """A frame with some columns of another one."""
    if library_of(frame) == "pandas":
        return frame.iloc[:, [names.index(name) for name in wanted]]
    return frame.select(list(wanted))


def moments(name: str, column: Any, notes: list[str]) -> Array:
    """The times of a column of pyarrow: numbers, or datetime64 in UTC from dates and from text that holds dates.

    Adds a note to `notes` if they have a zone.
    """
    arrow, kind = pyarrow(), column.type
    if column.null_count:
        row = int(np.argmax(np.asarray(column.is_null())))
        raise DataError(f"row {row} of column {printable(name)!r} has no time: drop the row")
    if arrow.types.is_integer(kind) or arrow.types.is_floating(kind):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    zone = zone_of(name, column)
    if zone is not None:
        notes.append(f"the times of {printable(name)!r} have a zone ({_zones(column)}), and are read as UTC")
    try:
        column = column.cast(arrow.timestamp("us", tz=zone), safe=False)
    except (arrow.ArrowException, ValueError) as error:
        raise DataError(
            f"column {printable(name)!r} holds values that are no times ({printable(str(error), 80)}): write them as "
            "2026-11-29 18:30:00, or as numbers"
        ) from None
    return np.asarray(column.cast(arrow.int64()).to_numpy(zero_copy_only=False)).view("datetime64[us]")


def _zones(column: Any) -> str:
    """The zones that a column of times states, in words."""
    zone: str | None = getattr(column.type, "tz", None)
    if zone is not None:
        return printable(zone)
    found = pyarrow().compute.extract_regex(column.unique(), r"(?P<zone>Z|[+-]\d\d(?::?\d\d)?)\s*$")
    zones = sorted(found.field("zone").unique().to_pylist())
    return ", ".join(zones[:_LISTED]) + (", ..." if len(zones) > _LISTED else "")


def labels_of(name: str, column: Any) -> Array:
    """The labels in a column of pyarrow."""
    if column.null_count:
        row = int(np.argmax(np.asarray(column.is_null())))
        raise DataError(f"row {row} of column {printable(name)!r} has no machine: fill it, or drop the row")
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _times(time: Any, count: int) -> Array:
    """The checked times (rows,), datetime64 or numbers."""
    times = np.asarray(time)
    if times.shape != (count,):
        raise DataError(f"time has shape {times.shape}, and there are {count:,} rows: give a time for each row")
    if times.dtype.kind not in "iufM":
        raise DataError(f"time holds {times.dtype} values: pass numbers, or datetime64")
    unknown = np.isnat(times) if times.dtype.kind == "M" else ~np.isfinite(times)
    if unknown.any():
        raise DataError(f"row {int(unknown.argmax())} has no time: drop the row")
    return times.astype("datetime64[us]") if times.dtype.kind == "M" else times


def _machines(by: Any, count: int) -> tuple[npt.NDArray[np.int64], tuple[Any, ...]]:
    """The number of the machine of each row (rows,), in the order of their first rows, and their labels."""
    if by is None:
        return np.zeros(count, np.int64), ()
    labels = np.asarray(by)
    if labels.shape != (count,):
        raise DataError(f"by has shape {labels.shape}, and there are {count:,} rows: give a machine for each row")
    try:
        distinct, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    except TypeError as error:
        raise DataError("by holds labels of several types: convert them to text") from error
    order = np.argsort(first)
    return np.argsort(order)[codes.reshape(-1)], tuple(distinct[order].tolist())
