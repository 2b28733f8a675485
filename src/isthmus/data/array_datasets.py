"""Files of one array, or of images, as data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from isthmus.data.annotated import read_h5ad
from isthmus.data.arrays import read_npy
from isthmus.data.dataset import Dataset
from isthmus.data.idx import read_idx
from isthmus.data.images import read_images
from isthmus.data.kinds import kind_of
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.sound.windows import sound_rows
from isthmus.data.sparse_files import read_mtx
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["read_arrays", "with_checked_parts"]

Array = npt.NDArray[Any]


def read_arrays(path: Path, kind: str, options: ReadOptions, reused: Reused | None) -> Dataset:
    """The data set of a file of one array, or of images."""
    if kind == "images":
        return read_images(path, options, reused)
    if kind == "h5ad":
        return read_h5ad(path, options)
    if kind == "sound":
        return sound_rows(path, reused)
    if kind == "mtx":
        return read_mtx(path)
    if kind == "npy":
        return _array_dataset(path, read_npy(path))
    return _array_dataset(path, read_idx(path))


def _array_dataset(path: Path, values: Array) -> Dataset:
    """A data set of one array. uint8 with three or more axes is images."""
    inferred = kind_of(values)
    return Dataset(path.name, values, source=shown(path), kind="images" if inferred == "images" else None)


def with_checked_parts(data: Dataset) -> Dataset:
    """The data set, after a check that the shapes of its parts and labels fit."""
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
