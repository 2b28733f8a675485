"""From a name or a path to a data set: the kind of file is told by its suffix."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from isthmus.data import builtin
from isthmus.data.arrays import read_npy, read_npz
from isthmus.data.dataset import Dataset
from isthmus.data.files import shown
from isthmus.data.idx import read_idx
from isthmus.data.images import read_images
from isthmus.data.tables import read_csv, read_parquet
from isthmus.errors import DataError

__all__ = ["load", "names", "read"]

_SUFFIXES = (".npy", ".npz", ".csv", ".tsv", ".parquet")
_KINDS = ".npy, .npz, .idx, .idx.gz, .csv, .tsv, .parquet or a folder of images"
_IDX = re.compile(r"[.-]idx\d*(-ubyte)?(\.gz)?$")


def names() -> tuple[str, ...]:
    """The names of the data sets that come with isthmus."""
    return tuple(builtin.__all__)


def load(
    name_or_path: str | os.PathLike[str], *, resize: tuple[int, int] | None = None, labels: str | None = None
) -> Dataset:
    """A data set by its name (mnist, fashion-mnist, ...), or else from a file or folder; ./mnist is always a path.

    Args:
        name_or_path: one of `names()`, or what `read` takes.
        resize: see `read`.
        labels: see `read`.

    Raises:
        FileNotFoundError, DataError: neither a name nor a path, or as `read` says.
    """
    text = os.fspath(name_or_path)
    known = text.lower().replace("-", "_")
    if known in names():
        if resize is not None or labels is not None:
            raise DataError(f"{known} comes as it is: resize= and labels= are for files and folders")
        dataset: Dataset = getattr(builtin, known)()
        return dataset
    if os.path.lexists(text):
        return read(text, resize=resize, labels=labels)
    if os.sep in text or Path(text).suffix:
        raise FileNotFoundError(f"there is no file or folder {shown(text)}: check the path")
    near = difflib.get_close_matches(known, names(), n=1)
    hint = f"; did you mean {near[0]}?" if near else ":"
    raise DataError(f"no data set, file or folder {shown(text)!r}{hint} ({', '.join(names())}, or a path)")


def read(path: str | os.PathLike[str], *, resize: tuple[int, int] | None = None, labels: str | None = None) -> Dataset:
    """Your own data: .npy (memory-mapped), .npz, IDX or gzipped IDX, .csv, .parquet, or a folder of images.

    Args:
        path: a regular file, not a link to one; or a folder.
        resize: (height, width) of every image of a folder.
        labels: the column of a table, or the array of a .npz file, that holds the labels.

    Raises:
        FileNotFoundError: there is nothing at the path.
        DataError: the file or folder cannot be used, with the reason.
    """
    path = Path(path)
    if not os.path.lexists(path):
        raise FileNotFoundError(f"there is no file or folder {shown(path)}: check the path")
    folder, suffix = path.is_dir(), path.suffix.lower()
    if resize is not None and (not folder or len(resize) != 2 or min(resize) < 1):
        raise DataError(f"a resize to {resize} cannot be: it is (height, width) in pixels, for folders of images")
    if not folder and suffix not in _SUFFIXES and not _IDX.search(path.name.lower()):
        raise DataError(f"{shown(path)} is of no known kind: give {_KINDS}")
    if labels is not None and (folder or suffix not in (".npz", ".csv", ".tsv", ".parquet")):
        raise DataError(f"labels={labels!r} cannot be: it names a column of .csv and .parquet, or an array of .npz")
    if folder:
        return read_images(path, resize)
    if suffix == ".npz":
        return _checked(read_npz(path, labels))
    if suffix in (".csv", ".tsv"):
        return read_csv(path, labels)
    if suffix == ".parquet":
        return read_parquet(path, labels)
    if suffix == ".npy":
        return Dataset(path.name, read_npy(path), source=shown(path))
    return Dataset(path.name, read_idx(path), source=shown(path))


def _checked(data: Dataset) -> Dataset:
    """The same, once labels and test part fit the examples."""
    for examples, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        if labels is not None and (examples is None or labels.shape != examples.shape[:1]):
            shape = "none" if examples is None else examples.shape
            raise DataError(f"labels of shape {labels.shape} do not fit examples of shape {shape} in {data.source}")
    if data.test is not None and data.test.shape[1:] != data.train.shape[1:]:
        raise DataError(
            f"test examples of shape {data.test.shape[1:]} do not fit the others of shape {data.train.shape[1:]} "
            f"in {data.source}"
        )
    return data
