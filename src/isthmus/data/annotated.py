"""AnnData: a matrix of counts with a table of its rows (obs) and one of its columns (var), as single-cell analysis uses it.

Objects are recognized by their attributes; the package anndata is needed for files only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.containers import check_unique_names, column_names, unwrapped
from isthmus.data.dataset import Dataset
from isthmus.data.label_columns import ids_from_values, labels_from_column
from isthmus.data.options import ReadOptions
from isthmus.data.tables.columns import listed
from isthmus.errors import DataError
from isthmus.io.files import open_regular, shown
from isthmus.text import printable

__all__ = ["annotated_dataset", "read_h5ad"]


def annotated_dataset(adata: Any, options: ReadOptions, name: str = "the AnnData") -> Dataset:
    """The matrix X of an AnnData object, with the names of its rows as ids and a column of obs as labels.

    Args:
        adata: the object.
        options: `labels` is the name of the column of obs.
        name: the name of the file, if it is from one.

    Raises:
        DataError: there is no such column, a name of a feature occurs twice, or an option is for other data.
    """
    for option, value in options.given().items():
        if option != "labels":
            raise DataError(f"invalid {option}={value!r}: an AnnData takes labels=, the name of a column of obs")
    columns = column_names(adata) or ()
    check_unique_names(columns)
    known, labels = [str(each) for each in adata.obs.columns], None
    notes: tuple[str, ...] = ()
    if options.labels is not None:
        if options.labels not in known:
            there = f"it has {listed(known)}" if known else "it has none"
            raise DataError(f"obs of {name} has no column {printable(options.labels)!r} for the labels ({there})")
        labels, notes = labels_from_column(list(adata.obs[options.labels]))
    others = [each for each in known if each != options.labels]
    unused = [
        f"{kind} ({listed(names)})" for kind, names in {"obs": others, "layers": list(adata.layers)}.items() if names
    ]
    if unused:
        used = "X" if labels is None else f"X, and {printable(options.labels)} as labels"
        notes = (*notes, f"not used of {name}: {' and '.join(unused)}; used: {used}")
    return Dataset(
        Path(name).name,
        unwrapped(adata).values,
        train_labels=labels,
        columns=columns,
        source=name,
        notes=notes,
        kind="table",
        ids=ids_from_values(list(adata.obs_names)),
        id_name=str(adata.obs_names.name or "name"),
        label_name=options.labels,
    )


def read_h5ad(path: Path, options: ReadOptions) -> Dataset:
    """The data set of an .h5ad file, which the package anndata reads.

    Raises:
        ModuleNotFoundError: anndata is not installed.
        DataError: the file is damaged, or see `annotated_dataset`.
    """
    name = shown(path)
    open_regular(path).close()
    try:
        import anndata
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{name} requires anndata, which is not installed: run pip install anndata"
        ) from error
    try:
        adata = anndata.read_h5ad(path)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError, RuntimeError) as error:
        reason = printable(str(error)).partition("\n")[0]
        raise DataError(f"{name} is a damaged .h5ad file ({reason}): write it again") from error
    if adata.X is None or not np.prod(adata.shape):
        raise DataError(f"{name} has no matrix X with examples and features: write one")
    return annotated_dataset(adata, options, name)
