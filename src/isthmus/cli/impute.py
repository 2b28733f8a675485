"""The verb that replaces missing values."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from isthmus.cli.console import array_path, counted, print_line, print_notes, write_array, write_frame, write_table
from isthmus.cli.data_options import DataOptions, takes_data
from isthmus.cli.options import Out, Run
from isthmus.cli.transform import path_for

if TYPE_CHECKING:
    from pathlib import Path

    from isthmus.data import Dataset
    from isthmus.data.tables.table_encoding import TableEncoding

__all__ = ["impute"]

_TABLES = (".csv", ".parquet")


@takes_data
def impute(run: Run, data_options: DataOptions, out: Out = None) -> None:
    """Replace the missing values of --data, or of all data of the run, by reconstructions; write .csv, .parquet or .npy.

    A table is written as .csv or .parquet with its column names: of numbers ids first and labels last, of other columns too all columns
    that nobody left out, in their order. Other data are written as .npy.
    """
    from isthmus.data.validation import Examples
    from isthmus.errors import RecordError
    from isthmus.experiments import run_data, run_record

    if out is not None:  # before anything is read
        array_path(out, "", (*_TABLES, ".npy"))
    source = data_options.source or run_record.source_of(run).without_target()
    ae, dataset = run_data.load_examples(run, source, parts="train", all_columns=True)
    print_notes([*dataset.notes, *run_data.data_changes(run, dataset, ae.missing, data_options.source)])
    tables = (*_TABLES, ".npy") if dataset.train.ndim == 2 else (".npy", *_TABLES)
    path = path_for(out, "whole", ae, tables)
    if path.suffix in _TABLES and dataset.train.ndim != 2:
        raise RecordError(
            f"--out {path}: a {path.suffix} file requires a table, but these examples have shape {ae.shape_}: "
            "give a name that ends in .npy"
        )
    if dataset.table is not None and dataset.frame is None and path.suffix in _TABLES:
        at_once = source.options.replace(cache=sys.maxsize, hold_out="rows")  # the table is written from memory
        dataset = run_data.load_examples(run, replace(source, options=at_once), parts="train", all_columns=True)[1]
    examples = Examples(dataset.train, dataset.columns, dataset.kind, dataset.positions(), dataset.table)
    _write(path, dataset, ae.impute(examples, dataset.train_labels))


def _write(path: Path, dataset: Dataset, values: Any) -> None:
    """Writes the complete examples (n, *shape), and prints how many values were missing."""
    from isthmus.data.tables.arrow import pyarrow

    if dataset.table is not None and path.suffix in _TABLES:
        _write_whole(path, dataset, dataset.table, values)
    elif path.suffix == ".npy":
        write_array(path, values)
    elif path.suffix == ".parquet":
        names = dataset.columns or [f"column {number}" for number in range(values.shape[1])]
        frame = pyarrow().table(dict(zip(names, values.T, strict=True)))
        ids = "" if dataset.ids is None else f", and {dataset.id_name or 'the ids'} as text"
        print_line(f"written as {values.dtype} numbers{ids}: a table of numbers does not keep the types of its file")
        write_frame(path, frame, dataset.ids, dataset.id_name, dataset.train_labels, dataset.label_name)
    else:
        id_column, label_column = ([name] if name else [] for name in (dataset.id_name, dataset.label_name))
        header = None if dataset.columns is None else [*id_column, *dataset.columns, *label_column]
        write_table(path, header, values, dataset.train_labels, dataset.ids)
    _print_imputed(dataset, values.size)


def _write_whole(path: Path, dataset: Dataset, table: TableEncoding, values: Any) -> None:
    """Writes a table of a file whose missing cells are replaced, with its columns that are no features."""
    import numpy as np

    from isthmus.data.tables.columns import listed

    whole = table.impute(dataset.frame, np.asarray(dataset.train), values)
    write_frame(path, whole, dataset.ids, dataset.id_name, dataset.train_labels, dataset.label_name)
    known = (*table.names, dataset.id_name, dataset.label_name)
    others = [name for name in whole.column_names if name not in known]
    if others:
        print_line(f"unchanged, as they are no features: {listed(others)}")


def _print_imputed(dataset: Dataset, size: int) -> None:
    """Prints how many values were missing: of a table cells, as a date has several features."""
    from isthmus.data.missing import count_missing

    n_missing = count_missing(dataset.train)
    if dataset.table is not None and dataset.frame is not None:
        n_missing, size = dataset.table.count_missing(dataset.frame), len(dataset.train) * len(dataset.table.columns)
    print_line(f"imputed: {counted(n_missing, 'missing value')} of {size:,}")
