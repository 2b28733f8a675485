"""The windows of a table that was read from a file, and the data set that they make."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from isthmus.data.dataset import Dataset
from isthmus.data.options import ReadOptions, Reused, flag_of
from isthmus.data.series.rows import labels_of, moments
from isthmus.data.series.split_in_time import split_in_time
from isthmus.data.series.windows import Windows
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.cells import value_of
from isthmus.data.tables.date_columns import zone_of
from isthmus.data.tables.text_columns import ReadAs, TextColumns
from isthmus.errors import DataError, IsthmusWarning, RecordError
from isthmus.text import printable

__all__ = [
    "SERIES",
    "SeriesTable",
    "check_no_series",
    "read_series",
    "read_series_rows",
    "series_dataset",
    "windows_of_rows",
]

SERIES = {"window", "step", "time", "by", "gap", "pad"}  # the options of `ReadOptions` for windows
_TEST = 0.1  # of the windows of each machine


def check_no_series(options: ReadOptions) -> None:
    """`RecordError` if an option is for windows and there are none."""
    given = next((name for name in sorted(SERIES - {"window", "by"}) if name in options.given()), None)
    if given is not None:
        raise RecordError(
            f"{given}={getattr(options, given)!r} ({flag_of(given)}) is for the windows of a series: give window= (--window) too"
        )


def read_series(
    read: Callable[..., tuple[Dataset, TextColumns]], options: ReadOptions, reused: Reused | None
) -> tuple[Dataset, Windows]:
    """A table of rows in time, and its windows.

    Args:
        read: reads the table with these options, for this run, and collects the cells of columns by name.
        options: the options, with those of the run.
        reused: the run that the windows are for.
    """
    if options.labels is not None:
        raise RecordError(
            f"labels={options.labels!r} (--labels) is for rows of a table, and window= (--window) makes windows: leave one of them out"
        )
    rows = read_series_rows(read, options, reused)
    return rows.table, windows_of_rows(rows, options)


class SeriesTable(NamedTuple):
    """The rows of a series in a table, the times and machines of rows or None, the format of the file, the zone of the times."""

    table: Dataset
    time: Any
    by: Any
    read_as: ReadAs | None
    zone: str | None


def read_series_rows(
    read: Callable[..., tuple[Dataset, TextColumns]], options: ReadOptions, reused: Reused | None
) -> SeriesTable:
    """The rows of a series in a table, which may have labels.

    Args:
        read: reads the table with these options, for this run, and collects the cells of columns by name.
        options: the options, with those of the run.
        reused: the run that the windows are for.
    """
    for name in ("id", "weights"):
        if getattr(options, name) is not None:
            given = f"{name}={getattr(options, name)!r} ({flag_of(name)})"
            raise RecordError(
                f"{given} is for rows of a table, and window= (--window) makes windows: leave one of them out"
            )
    names = [name for name in dict.fromkeys((options.time, options.by)) if name is not None]
    rows = {"window": None, "step": None, "gap": None, "pad": False}
    inner = None if reused is None else reused._replace(options=reused.options.replace(**rows))
    table, texts = read(options.replace(**rows), inner, names)
    lacking = next((name for name in names if not texts.found(name)), None)
    if lacking is not None:
        raise DataError(
            f"{table.source} has no column {printable(lacking)!r}, which the run has as time or machine: add it"
        )
    if table.table is not None:
        columns = table.table.columns
        other = next((each for each in columns if each.kind not in {"number", "integer"}), columns[0])
        raise DataError(
            f"column {printable(other.name)!r} of {table.source} is read as {other.kind}, and the channels of a series are numbers: "
            "leave it out (--drop, drop=), or name it as the time or the machine (--time, --by)"
        )
    cells = {name: texts.labels(name) for name in names}
    notes = list(table.notes)
    zones = list[str | None]()

    def zoned(name: str, column: Any) -> Any:
        zones.append(zone_of(name, column))
        return moments(name, column, notes)

    times = _converted(zoned, options.time, cells, numbers=True)
    machines = _converted(labels_of, options.by, cells)
    return SeriesTable(replace(table, notes=tuple(notes)), times, machines, texts.read_as, next(iter(zones), None))


def windows_of_rows(rows: SeriesTable, options: ReadOptions) -> Windows:
    """The windows of the rows of a table, whose notes include those of the table."""
    assert options.window is not None
    table = rows.table
    with warnings.catch_warnings():  # all warnings are notes too
        warnings.simplefilter("ignore", IsthmusWarning)
        windows = Windows(
            table.train,
            options.window,
            options.step,
            time=rows.time,
            by=rows.by,
            gap=options.gap,
            pad=options.pad,
        )
    return windows.named(table.columns, table.positions(), table.notes)


def _converted(
    convert: Callable[[str, Any], Any], name: str | None, cells: Mapping[str, list[Any]], numbers: bool = False
) -> Any:
    """The cells of a column, converted from pyarrow, texts that are all numbers as `numbers`; None without a name."""
    if name is None:
        return None
    texts = [each for each in cells[name] if each is not None]
    if numbers and texts and all(isinstance(each, str) and value_of(each) is not None for each in texts):
        cells = {name: [None if each is None else value_of(each) for each in cells[name]]}  # such as 0, 0.5, 1
    try:
        column = pyarrow().array(cells[name])
    except pyarrow().ArrowException as error:
        raise DataError(
            f"column {printable(name)!r} holds values of several types ({printable(str(error), 80)}): write all in one way"
        ) from None
    return convert(name, column)


def series_dataset(table: Dataset, windows: Windows, parts: bool) -> Dataset:
    """The windows as a data set, which shares the memory of the rows.

    Args:
        table: the table of the rows.
        windows: its windows.
        parts: whether the latest windows of each machine are the test part. Windows that share rows with it are then left out.
    """
    plain = replace(table, kind="series", notes=windows.notes, columns=windows.columns, lines=None, file_rows=None)
    plain = replace(plain, groups=None, groups_name=None)  # of rows
    if not parts:
        return replace(plain, train=windows.values)
    kept, held = split_in_time(windows.cut, [_TEST])
    left = len(windows) - len(kept) - len(held)
    note = f"the latest {len(held):,} windows are the test part" + (
        f"; {left:,} windows that share rows with it are left out" if left else ""
    )
    return replace(plain, train=windows.values[kept], test=windows.values[held], notes=(*plain.notes, note))
