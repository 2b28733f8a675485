"""From a name or a path to a data set: the kind of file is told by its suffix."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy.typing as npt

from isthmus.data import builtin
from isthmus.data.arrays import read_npy, read_npz
from isthmus.data.containers import column_names
from isthmus.data.dataset import Dataset
from isthmus.data.idx import read_idx
from isthmus.data.images import ENDINGS, OTHER_KINDS, read_images
from isthmus.data.kinds import kind_of
from isthmus.data.label_classes import similar_names_note
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.frame import read_frame
from isthmus.data.tables.parquet_tables import read_parquet
from isthmus.data.tables.text_columns import TextColumns
from isthmus.data.tables.text_tables import read_csv, read_excel
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["load", "names", "read", "read_with_texts"]

Array = npt.NDArray[Any]

_SUFFIXES = {".npy": "npy", ".npz": "npz", ".parquet": "parquet", ".pq": "parquet", ".xlsx": "excel", ".xlsm": "excel"}
_SUFFIXES |= dict.fromkeys((".csv", ".tsv", ".txt", ".tab", ".dat"), "text")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")  # around text
_TABLE = {"labels", "columns", "drop", "id", "na_values"}
_TAKES = {  # the options that make sense for a kind
    "images": {"resize", "split", "pages", "skip_broken"},
    "npy": set[str](),
    "npz": {"labels"},
    "idx": set[str](),
    "text": {*_TABLE, "header", "delimiter", "decimal", "comment", "encoding", "skip_lines"},
    "excel": {*_TABLE, "header", "decimal", "sheet", "skip_lines"},
    "parquet": _TABLE,
}
_FOR = dict.fromkeys(("columns", "drop", "id", "na_values", "header"), "table") | {  # what an option is for
    "labels": "table and no .npz file",
    **dict.fromkeys(("resize", "split", "pages", "skip_broken"), "image or folder of images"),
    "sheet": "Excel file",
    "skip_lines": "text or Excel file",
    **dict.fromkeys(("delimiter", "decimal", "comment", "encoding"), "text file"),
}
_KINDS = (
    ".npy, .npz, .idx, .idx.gz, .csv, .tsv, .parquet, an image or a folder of images; or .txt, .dat, .xlsx, "
    "or text as .gz, .bz2, .xz, .zst, .zip"
)
_IDX = re.compile(r"[.-]idx\d*(-ubyte)?(\.gz)?$")


def names() -> tuple[str, ...]:
    """The names of the data sets that come with isthmus."""
    return tuple(builtin.__all__)


def load(
    name_or_path: str | os.PathLike[str] | Any,
    options: ReadOptions | None = None,
    *,
    reused: Reused | None = None,
    download: bool = True,
    **named: Any,
) -> Dataset:
    """A data set by its name (mnist, fashion-mnist, ...), or else from a file, folder or data frame; ./mnist is always a path.

    Args:
        name_or_path: one of `names()`, what `read` takes, or a pandas, polars or pyarrow frame, of which `columns`, `drop`,
            `id` and `labels` choose: load(frame, drop="when", id="name").
        options, reused, named: see `read`.
        download: whether a data set that is not on this machine is fetched; else it is an error that says how.

    Returns:
        The data set; its arrays are (n, *shape).

    Raises:
        FileNotFoundError, DataError: neither a name nor a path, or as `read` says.

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
            raise DataError(f"{known} comes as it is: {'= and '.join(options.given())}= are for files and folders")
        function = getattr(builtin, known)
        fetches = "download" in signature(function).parameters
        dataset: Dataset = function(download=download) if fetches else function()
        return dataset
    if os.path.lexists(text):
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
    """Your own data: .npy (memory-mapped), .npz, IDX or gzipped IDX, .csv, .parquet, an image, or a folder of images; or a data frame.

    Args:
        path: a regular file, not a link to one; or a folder; or a pandas, polars or pyarrow frame.
        options: how to read it, where the file does not say so.
        reused: the run that the examples are for: its columns are taken by name, its options hold where nothing else is said.
        named: fields of `ReadOptions` by name: read("x.csv", labels="kind", drop="comment").

    Returns:
        The data set; its arrays are (n, *shape).

    Raises:
        FileNotFoundError: there is nothing at the path.
        DataError: the file or folder cannot be used, with the reason.
        RecordError: there is no such option.

    Examples:
        >>> np.save("own.npy", X)
        >>> isthmus.data.read("own.npy").train.shape
        (200, 8, 8)
        >>> table = {"petal": [1.4, 4.7], "sepal": [5.1, 7.0], "kind": ["setosa", "versicolor"]}
        >>> isthmus.data.read(pyarrow.table(table), labels="kind").columns
        ('petal', 'sepal')
    """
    return _noted(_read(path, (options or ReadOptions()).replace(**named), reused))


def read_with_texts(path: str, options: ReadOptions, texts: TextColumns) -> Dataset:
    """`load`, which keeps the cells of some columns of a table that are not learned."""
    return load(path, options) if not texts.names else _noted(_read(path, options, texts=texts))


def _noted(found: Dataset) -> Dataset:
    """The same, with a note where names of classes look alike."""
    said = similar_names_note(found.train_labels)
    return replace(found, notes=(*found.notes, said)) if said else found


def _read(
    path: str | os.PathLike[str] | Any,
    options: ReadOptions,
    reused: Reused | None = None,
    texts: TextColumns | None = None,
) -> Dataset:
    """The examples, by the reader of their kind."""
    if column_names(path) is not None:
        return read_frame(path, options, reused)
    if not isinstance(path, str | os.PathLike):
        raise DataError(
            f"a {type(path).__name__} is no path and no pandas, polars or pyarrow frame: an array needs no reading, "
            "a lazy frame its collect()"
        )
    path = Path(path)
    if not os.path.lexists(path):
        raise FileNotFoundError(f"there is no file or folder {shown(path)}: check the path")
    kind = _kind(path)
    if options.resize is not None and (kind != "images" or min(options.resize) < 1):
        raise DataError(f"invalid resize={options.resize}: expected (height, width) in pixels, for images")
    for name, value in options.given().items():
        if name not in _TAKES[kind]:
            raise DataError(f"invalid {name}={value!r}: {shown(path)} is no {_FOR[name]}")
    if reused is not None:  # whose labels and id the readers of tables look for themselves
        options = options.over(reused.options.replace(labels=None, id=None, skip_broken=False, skip_lines=()))
    if kind == "images":
        return read_images(path, options, reused)
    if kind == "npz":
        return _checked(read_npz(path, options.labels))
    if kind == "text":
        return read_csv(path, options, reused, texts)
    if kind == "excel":
        return read_excel(path, options, reused, texts)
    if kind == "parquet":
        return read_parquet(path, options, reused, texts)
    if kind == "npy":
        return _bare(path, read_npy(path))
    return _bare(path, read_idx(path))


def _bare(path: Path, values: Array) -> Dataset:
    """An array that nothing is said of; bytes of three or more axes are images."""
    meant = kind_of(values)
    return Dataset(path.name, values, source=shown(path), kind="images" if meant == "images" else None)


def _kind(path: Path) -> str:
    """The kind of reader for a path."""
    if path.is_dir() or path.suffix.lower() in ENDINGS:
        return "images"
    name = path.name.lower()
    packed = next((name.removesuffix(each) for each in _PACKED if name.endswith(each)), None)
    kind = "idx" if _IDX.search(name) else _SUFFIXES.get(Path(packed or name).suffix)
    if packed is not None and kind not in {"idx", "text"}:
        kind = "text" if name.endswith(".zip") else None
    if kind is None and path.suffix.lower() in OTHER_KINDS:
        raise DataError(f"{shown(path)} is an image of another kind ({path.suffix.lower()}): convert it to PNG")
    if kind is None:
        raise DataError(f"{shown(path)} is of no known kind: give {_KINDS}")
    return kind


def _checked(data: Dataset) -> Dataset:
    """The same, once labels and test part fit the examples."""
    for examples, labels in (
        (data.train, data.train_labels),
        (data.test, data.test_labels),
        (data.validation, data.validation_labels),
    ):
        if labels is not None and (examples is None or labels.shape != examples.shape[:1]):
            shape = "none" if examples is None else examples.shape
            raise DataError(f"labels of shape {labels.shape} do not fit examples of shape {shape} in {data.source}")
    if data.test is not None and data.test.shape[1:] != data.train.shape[1:]:
        raise DataError(
            f"test examples of shape {data.test.shape[1:]} do not fit the others of shape {data.train.shape[1:]} "
            f"in {data.source}"
        )
    return data
