"""The summary of a data set, and of its pairs with targets, on the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.cli.console import counted, print_line, print_notes, print_table
from isthmus.cli.sound import print_sound
from isthmus.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.data import Dataset
    from isthmus.data.options import ReadOptions
    from isthmus.data.tables.table_encoding import TableEncoding
    from isthmus.data.tables.text_columns import TextColumns

__all__ = ["print_data"]

_MAX_HINT = 2000  # characters of the suggested options
_MAX_COLUMNS = 40  # columns in the printed table


def print_data(data: str, options: ReadOptions, target: str | None = None) -> None:
    """Prints a summary of a data set, the notes of reading it, the columns of a table with their contents, and pairs with a target."""
    from isthmus.data.sound.folder import holds_sound

    if holds_sound(data):
        print_sound(Path(data), options)
    else:
        _print_data(data, options)
    if target is not None:
        _print_pairs(data, options, target)


def _print_pairs(data: str, options: ReadOptions, target: str) -> None:
    """Prints how a data set and its targets are paired."""
    from isthmus.experiments.run_record import DataSource

    dataset = DataSource(data, options, target=target).read()
    own = len(DataSource(data, options).read().notes)  # printed already
    print_notes(dataset.notes[own:])
    parts = {"training": dataset.target, "test": dataset.test_target, "validation": dataset.validation_target}
    for name, values in parts.items():
        if values is not None:
            print_line(f"{counted(len(values), f'{name} pair')} of {dataset.name} and {dataset.target_name}")


def _print_data(data: str, options: ReadOptions) -> None:
    """Prints the summary, the notes and the columns."""
    from isthmus.data.readers import read_with_texts
    from isthmus.data.tables.summary import drop_option, overview, text_content

    def read(options: ReadOptions, names: Sequence[str]) -> tuple[Dataset, TextColumns]:
        return read_with_texts(data, options, names)

    dataset, contents, texts, skip_title = overview(read, options, _MAX_COLUMNS)
    rows = [] if dataset is None else _print_dataset(dataset, contents)
    for name, kind in list(contents.items())[: max(_MAX_COLUMNS - len(rows), 0)]:
        missing = "-"
        if dataset is not None and texts.found(name):
            kind, n_missing, n = text_content(texts.labels(name), options.na_values)
            missing = _count_and_fraction(n_missing, n)
        rows.append([printable(name), kind, missing, "-", "-", "-"])
    if rows:
        print_table(["column", "content", "missing", "min", "mean", "max"], rows)
    n_features = 0 if dataset is None else _n_columns(dataset)
    n_columns = n_features + _n_left_out(dataset) + len(contents)
    if n_columns > len(rows) > 0:
        print_line(f"and {n_columns - len(rows):,} more columns")
    if not contents:
        return
    if dataset is None:
        hint = f"; if the table is below a title: --skip-lines {skip_title}" if skip_title else ""
        print_line(
            f"no column can be used as a feature: at least one column of numbers, categories or dates is required{hint}"
        )
        return
    hint = drop_option(list(contents))
    hint = hint if len(hint) <= _MAX_HINT else "--drop or --columns and patterns such as 'gene_*'"
    print_line(f"{n_features:,} of {counted(n_columns, 'column')} can be features, with {hint}")


def _print_dataset(dataset: Dataset, blocking: Collection[str]) -> list[list[str]]:
    """Prints the summary and the notes; returns the rows of the table of columns, which is empty for other data."""
    import numpy as np

    from isthmus.data.sentinels import sentence, sentinels
    from isthmus.data.series.window_array import windows_of

    print_line(dataset.summary())
    requested = "left out as requested:"
    print_notes([note for note in dataset.notes if not (blocking and note.startswith(requested))])
    if (windows := windows_of(dataset.train)) is not None:
        channels = dataset.columns or tuple(f"channel {number}" for number in range(windows.rows.shape[1]))
        return _numeric_rows(np.asarray(windows.rows), channels)
    if dataset.kind != "table" or dataset.train.ndim != 2:
        return []
    if dataset.table is not None:
        return _encoded_rows(dataset, dataset.table)
    if warning := sentence(sentinels(dataset.train, dataset.kind, dataset.columns)):
        print_notes([warning])
    numbered = (str(number) for number in count())
    names = dataset.columns or tuple(
        islice((name for name in numbered if name not in blocking), dataset.train.shape[1])
    )
    return _numeric_rows(dataset.train, names)


def _numeric_rows(table: NDArray[Any], names: Sequence[str]) -> list[list[str]]:
    """The rows of the table of columns, of the columns of numbers of a table, or the channels of a series."""
    import numpy as np

    from isthmus.data.blocks import BlockRows
    from isthmus.data.tables.summary import numeric_content

    if isinstance(table, BlockRows):
        return _rows_of_totals(table, names)
    rows = []
    for column, name in enumerate(names[:_MAX_COLUMNS]):
        values = np.asarray(table[:, column], float)
        known = values[~np.isnan(values)]
        statistics = [f"{value:.6g}" for value in (known.min(), known.mean(), known.max())] if len(known) else ["-"] * 3
        rows.append(
            [name, numeric_content(values), _count_and_fraction(len(values) - len(known), len(values)), *statistics]
        )
    return rows


def _rows_of_totals(table: NDArray[Any], names: Sequence[str]) -> list[list[str]]:
    """`_numeric_rows` of rows that are not in memory: they are read once. Whether all values differ is not searched."""
    from isthmus.data.tables.summary import totals_of

    rows = []
    totals = totals_of(table, dict.fromkeys(range(len(names[:_MAX_COLUMNS])), 0))
    for name, each in zip(names, totals.values(), strict=False):
        constant = ", constant" if each.low == each.high else ""
        statistics = [f"{value:.6g}" for value in (each.low, each.mean, each.high)]
        if each.n == each.n_missing:
            rows.append([name, "nothing", _count_and_fraction(each.n_missing, each.n), "-", "-", "-"])
        else:
            rows.append([name, f"numbers{constant}", _count_and_fraction(each.n_missing, each.n), *statistics])
    return rows


def _n_columns(dataset: Dataset) -> int:
    """The number of columns that are features, or channels."""
    return dataset.train.shape[-1] if dataset.table is None else len(dataset.table.columns)


def _n_left_out(dataset: Dataset | None) -> int:
    """The number of columns that are left out, as they have no kind that can be learned."""
    return 0 if dataset is None or dataset.table is None else len(dataset.table.left_out)


def _encoded_rows(dataset: Dataset, table: TableEncoding) -> list[list[str]]:
    """The rows of the table of columns: those with an encoding, then those that are left out."""
    from isthmus.data.tables.summary import encoded_content, totals_of

    columns, begins = table.columns[:_MAX_COLUMNS], [*accumulate((each.width for each in table.columns), initial=0)]
    totals = totals_of(dataset.train, {begins[at]: len(column.categories) for at, column in enumerate(columns)})
    rows = list[list[str]]()
    for column, begin in zip(columns, begins, strict=False):
        content, *statistics = encoded_content(column, totals[begin])
        missing = _count_and_fraction(totals[begin].n_missing, totals[begin].n)
        rows.append([printable(column.name), content, missing, *statistics])
    left_out = [[printable(name), f"left out: {reason}", "-", "-", "-", "-"] for name, reason in table.left_out]
    return [*rows, *left_out[: _MAX_COLUMNS - len(rows)]]


def _count_and_fraction(n_missing: int, n: int) -> str:
    """The number of missing values, and their fraction of all values."""
    return f"{n_missing:,} ({n_missing / n:.2g} of all)" if n_missing else "0"
