"""Reading a data set by its name or path. The suffix of a path determines the reader."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy.typing as npt

from isthmus.data import builtin
from isthmus.data.annotated import annotated_dataset
from isthmus.data.array_datasets import read_arrays, with_checked_parts
from isthmus.data.arrays import read_npz
from isthmus.data.containers import column_names, is_annotated
from isthmus.data.dataset import Dataset
from isthmus.data.file_formats import check_options, format_of
from isthmus.data.file_sets import FileSet, file_set, is_file_set
from isthmus.data.label_classes import similar_names_note
from isthmus.data.npy_shards import read_shards
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.row_roles import role_names, with_roles
from isthmus.data.series.of_table import (
    SERIES,
    SeriesTable,
    check_no_series,
    read_series,
    read_series_rows,
    series_dataset,
    windows_of_rows,
)
from isthmus.data.series.windows import Windows
from isthmus.data.sound.folder import holds_sound
from isthmus.data.sound.windows import read_sound
from isthmus.data.tables.frame import frame_column, read_frame
from isthmus.data.tables.growing import FilePart
from isthmus.data.tables.large_tables import read_large
from isthmus.data.tables.mixed_tables import read_columns
from isthmus.data.tables.parquet_tables import read_files
from isthmus.data.tables.table_files import TableFiles
from isthmus.data.tables.text_columns import TextColumns
from isthmus.data.tables.text_tables import read_csv, read_excel
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["load", "names", "read", "read_appended", "read_labeled_windows", "read_windows", "read_with_texts"]

Array = npt.NDArray[Any]

_TABLES: dict[str, Any] = {"text": read_csv, "excel": read_excel, "parquet": read_files}


def names() -> tuple[str, ...]:
    """The names of the built-in data sets.

    Returns:
        The names, sorted.
    """
    return tuple(builtin.__all__)


def load(
    name_or_path: str | os.PathLike[str] | Any,
    options: ReadOptions | None = None,
    *,
    reused: Reused | None = None,
    download: bool = True,
    **named: Any,
) -> Dataset:
    """Loads a built-in data set by its name, or reads a file, folder or data frame. ./mnist is always a path.

    Args:
        name_or_path: one of `names()`; a path; or a pandas, polars or pyarrow frame, with options such as
            load(frame, drop="when", id="name").
        options, reused, named: see `read`.
        download: whether to download a data set that is not on this machine; False: it is an error.

    Returns:
        The data set, with arrays (n, *shape).

    Raises:
        FileNotFoundError: there is no file or folder at the path.
        DataError: the name is unknown, or the file or folder cannot be used.
        RecordError: an option does not exist or is invalid.

    Examples:
        >>> isthmus.data.load("digits").train.shape
        (1437, 8, 8)
    """
    options = (options or ReadOptions()).replace(**named)
    if not isinstance(name_or_path, str | os.PathLike):
        return read(name_or_path, options, reused=reused)
    text = os.fspath(name_or_path)
    known = text.lower().replace("-", "_")
    if known in names():
        if options.given():
            raise DataError(f"{known} is built in: {'= and '.join(options.given())}= are options for files and folders")
        function = getattr(builtin, known)
        downloads = "download" in signature(function).parameters
        dataset: Dataset = function(download=download) if downloads else function()
        return dataset
    if os.path.lexists(text) or is_file_set(text):
        return read(text, options, reused=reused)
    if os.sep in text or Path(text).suffix:
        raise FileNotFoundError(f"there is no file or folder {shown(text)}: check the path")
    near = difflib.get_close_matches(known, names(), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise DataError(f"no data set, file or folder {shown(text)!r}{hint} ({', '.join(names())}, or a path)")


def read(
    path: str | os.PathLike[str] | Any,
    options: ReadOptions | None = None,
    *,
    reused: Reused | None = None,
    **named: Any,
) -> Dataset:
    """Reads your own data: .npy (memory-mapped), .npz, .mtx, IDX, text table, Excel, Parquet, Arrow, WAV, image, folder, or data frame.

    Args:
        path: a regular file, not a symbolic link; a folder of images, WAV, Parquet, Arrow or .npy files, or a pattern of the last three,
            such as "folder/*.parquet"; a pandas, polars or pyarrow frame; or an AnnData object.
        options: how to read it; by default this is detected from the file.
        reused: the run that the examples are for. Its columns are selected by name, and its options are the defaults.
        named: fields of `ReadOptions` by name: read("x.csv", labels="kind", drop="comment").

    Returns:
        The data set, with arrays (n, *shape). A matrix of scipy.sparse.save_npz or of a Matrix Market file stays sparse (`SparseRows`).
        The rows of large Parquet and Arrow files, and of many large .npy files, stay in the files.

    Raises:
        FileNotFoundError: there is no file or folder at the path.
        DataError: the file or folder cannot be used.
        RecordError: an option does not exist or is invalid.

    Examples:
        >>> np.save("own.npy", X)
        >>> isthmus.data.read("own.npy").train.shape
        (200, 8, 8)
        >>> table = {"petal": [1.4, 4.7], "sepal": [5.1, 7.0], "kind": ["setosa", "versicolor"]}
        >>> isthmus.data.read(pyarrow.table(table), labels="kind").columns
        ('petal', 'sepal')
    """
    options = (options or ReadOptions()).replace(**named)
    merged = _for_series(options, reused)
    if holds_sound(path):
        check_options(Path(path), "sound", options)
        return read_sound(Path(path), merged, reused)
    if merged.window is not None and column_names(path) is None:
        return series_dataset(*read_series(partial(_read, path), merged, reused), options.window is not None)
    check_no_series(merged)
    return _with_note(_read(path, options, reused)[0])


def read_windows(path: str | os.PathLike[str], options: ReadOptions, reused: Reused | None = None) -> Windows:
    """The windows of a long series in a file, with the time and the machine of each row.

    Args:
        path: a table or a .npy file.
        options: how to read it; `ReadOptions.window` is the rows of a window.
        reused: the run that the windows are for.
    """
    return read_series(partial(_read, path), _for_series(options, reused), reused)[1]


def read_labeled_windows(
    path: str | os.PathLike[str], options: ReadOptions, reused: Reused | None = None
) -> tuple[Windows, Array | None]:
    """`read_windows`, and the labels of the rows in the column `ReadOptions.labels`; None without such a column."""
    options = _for_series(options, reused)
    rows = read_series_rows(partial(_read, path), options, reused)
    return windows_of_rows(rows, options), rows.table.train_labels


def read_appended(
    path: str | os.PathLike[str], options: ReadOptions, reused: Reused | None, part: FilePart
) -> SeriesTable:
    """Some rows of a series in a text file that grows; as `read_windows`."""
    return read_series_rows(partial(_read, path, part=part), _for_series(options, reused), reused)


def _for_series(options: ReadOptions, reused: Reused | None) -> ReadOptions:
    """The options, with those of a run that cut windows: how its file was written says nothing about another file."""
    if reused is None:
        return options
    cut = {name: getattr(reused.options, name) for name in SERIES}
    return options.over(ReadOptions(**cut))


def read_with_texts(path: str, options: ReadOptions, names: Sequence[str]) -> tuple[Dataset, TextColumns]:
    """Loads a data set, and also collects the cells of columns that are not features.

    Args:
        path, options: see `load`.
        names: the columns.

    Returns:
        The data set, and the cells.
    """
    if not names:
        return load(path, options), TextColumns()
    dataset, texts = _read(path, options, names=names)
    return _with_note(dataset), texts


def _with_note(dataset: Dataset) -> Dataset:
    """The data set, with a note if class names are similar."""
    note = similar_names_note(dataset.train_labels)
    return replace(dataset, notes=(*dataset.notes, note)) if note else dataset


def _read(
    path: str | os.PathLike[str] | Any,
    options: ReadOptions,
    reused: Reused | None = None,
    names: Sequence[str] = (),
    part: FilePart | None = None,
) -> tuple[Dataset, TextColumns]:
    """The data set from the reader for its kind of file, and the cells of the columns of these names; of a text file perhaps a part."""
    if is_annotated(path):
        return annotated_dataset(path, options), TextColumns()
    if column_names(path) is not None:
        dataset = read_frame(path, options, reused)
        return with_roles(dataset, options, reused, partial(frame_column, path)), TextColumns()
    if not isinstance(path, str | os.PathLike):
        raise DataError(
            f"a {type(path).__name__} is neither a path nor a pandas, polars or pyarrow frame: pass an array to fit directly, "
            "or the result of collect() of a lazy frame"
        )
    path = Path(path)
    files = file_set(path) if is_file_set(path) else None
    if files is None and not os.path.lexists(path):
        raise FileNotFoundError(f"there is no file or folder {shown(path)}: check the path")
    kind = format_of(path) if files is None else files.kind
    check_options(path, kind if files is None else f"{kind} files", options)
    if files is not None and kind == "npy":
        return read_shards(files, options), TextColumns()
    own, roles = options, role_names(options, reused)
    if reused is not None:  # its label and ID columns are optional, and the readers of tables search for them
        optional = reused.options.replace(
            labels=None, id=None, weights=None, by=None, skip_broken=False, cache=None, skip_lines=()
        )
        options = options.over(optional)
    if kind == "parquet":
        tables = TableFiles(files or FileSet((path,), path.parent, os.fspath(path)))
        if (large := read_large(tables, options, reused, roles)) is not None:
            return with_roles(large.read(), own, reused, large.held), TextColumns()
        typed_id = options.id or (None if reused is None else reused.options.id)
        beside = (*roles, *([] if typed_id is None else [typed_id]))
        return _read_table(partial(read_files, tables), own, options, reused, names, beside)
    if kind in _TABLES:
        read = partial(_TABLES[kind], path) if part is None else partial(read_csv, path, part=part)
        return _read_table(read, own, options, reused, names, roles)
    if kind == "npz":
        dataset, others = read_npz(path, options.labels, roles)
        return with_roles(with_checked_parts(dataset), own, reused, lambda name: others.get(name)), TextColumns()
    return read_arrays(path, kind, options, reused), TextColumns()


def _read_table(
    read: Callable[..., Dataset],
    own: ReadOptions,
    options: ReadOptions,
    reused: Reused | None,
    names: Sequence[str],
    beside: Sequence[str],
) -> tuple[Dataset, TextColumns]:
    """The data set of a table that is read at once, and the cells of the columns of these names.

    Args:
        read: reads its columns of numbers, and collects the cells of others.
        own: the user's options.
        options: the user's, with those of the run.
        reused, names: as for `_read`.
        beside: the columns that are no features and that a completed table keeps.
    """
    dataset, texts = read_columns(read, options, reused, tuple(dict.fromkeys((*names, *beside))))
    if dataset.frame is not None:
        dataset = replace(dataset, frame=texts.beside(dataset.frame, beside))
    return with_roles(dataset, own, reused, partial(_collected, texts)), texts


def _collected(texts: TextColumns, name: str) -> list[Any] | None:
    """The cells of a column; None if there is no such column."""
    return texts.labels(name) if texts.found(name) else None
