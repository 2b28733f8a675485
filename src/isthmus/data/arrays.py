"""Arrays from .npy and .npz files. Files are never unpickled, and memory is limited by the real size of a file."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.kinds import Kind, kind_of
from isthmus.data.label_columns import labels_from_values
from isthmus.data.labels import unlabeled
from isthmus.data.sparse_files import SPARSE_ARRAYS, sparse_rows
from isthmus.data.tables.columns import listed
from isthmus.errors import DataError
from isthmus.io.files import AXES, open_regular, read_exactly, shown
from isthmus.text import printable

__all__ = ["read_npy", "read_npz"]

Array = npt.NDArray[Any]

_TRAIN = ("x_train", "train_images", "train_x", "train", "x", "data", "images", "arr_0")
_TEST = ("x_test", "test_images", "test_x", "test")
_VALIDATION = ("x_val", "x_valid", "x_validation", "val_images", "valid_images", "val_x", "validation", "val", "valid")
_TRAIN_LABELS = ("y_train", "train_labels", "train_y", "y", "labels", "label", "target")
_TEST_LABELS = ("y_test", "test_labels", "test_y")
_VALIDATION_LABELS = ("y_val", "y_valid", "y_validation", "val_labels", "valid_labels", "val_y")
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, OSError, ValueError, EOFError, NotImplementedError)
_DEFLATE_LIMIT = 1032  # the maximum ratio of deflate compression


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(path: Path) -> Array:
    """The array of a .npy file as a read-only memory map.

    Raises:
        DataError: the file is not a .npy file, contains Python objects, or does not have the size that its header states.
    """
    name = shown(path)
    with open_regular(path) as file:
        header = _read_header(file, name)
        start = file.tell()
        there = file.seek(0, 2) - start
        if there != header.size:
            raise DataError(
                f"{name} is damaged: its header states {header.size:,} bytes, and it has {there:,}; replace the file"
            )
        return np.memmap(
            cast(
                Any, file
            ),  # an open file cannot be replaced after the check, as a path can; the type stub lacks this case
            header.dtype,
            mode="r",
            offset=start,
            shape=header.shape,
            order="F" if header.fortran_order else "C",
        )


def read_npz(path: Path, labels: str | None = None, others: Collection[str] = ()) -> tuple[Dataset, dict[str, Array]]:
    """A data set from a .npz file: the examples, and the validation part, test part and labels if there are any.

    Arrays are found by their usual names, such as x_train and y_train. A file of scipy.sparse.save_npz has sparse examples.

    Args:
        path: the file.
        labels: the name of the array with the labels of the training examples, if it is not one of the usual names.
        others: the names of arrays that hold neither examples nor labels.

    Returns:
        The data set, with arrays (n, *shape) as stored, and those of the other arrays that are there.

    Raises:
        DataError: the file is damaged, or it is not clear which array has the examples (the message lists the names).
    """
    name = shown(path)
    with open_regular(path) as file:
        try:
            archive = zipfile.ZipFile(file)
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            more = {key: members[key] if key == labels else members.pop(key) for key in others if key in members}
            beside = {key: _read_member(archive, info, f"{key} in {name}") for key, info in more.items()}
            read = _read_sparse if members.keys() >= set(SPARSE_ARRAYS) else _read_dense
            return read(path.name, archive, members, labels, name), beside
        except DataError:
            raise
        except _DAMAGED as error:
            raise DataError(f"{name} is a damaged .npz file ({error}); write it again") from error


def _read_dense(
    title: str, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], labels: str | None, name: str
) -> Dataset:
    """A data set from a .npz file of ordinary arrays."""
    chosen: tuple[str | None, ...] = _choose(tuple(members), labels, name)
    validation: Array | None = None
    validation_labels: Array | None = None

    def member(key: str | None) -> Array | None:
        return None if key is None else _read_member(archive, members[key], f"{key} in {name}")

    train, test, train_labels, test_labels = map(member, chosen)
    assert train is not None
    for key in _validation_keys(tuple(members), chosen):
        values = member(key[0])
        if values is not None and _like(values, train):
            validation, validation_labels, chosen = values, member(key[1]), (*chosen, *key)
            break
    notes = _unused(tuple(key for key in members if key not in chosen), chosen, name)
    if validation is not None and test is None:  # folders of images follow the same rule
        test, test_labels, validation, validation_labels = validation, validation_labels, None, None
        notes += (f"{chosen[4]} in {name} is used as the test part",)
    kind: Kind | None = "images" if kind_of(train) == "images" else None  # bytes of three or more axes
    parts = (train, test, _as_labels(train_labels), _as_labels(test_labels))
    held: dict[str, Any] = {"validation": validation, "validation_labels": _as_labels(validation_labels)}
    return Dataset(title, *parts, source=name, kind=kind, notes=notes, **held)


def _read_sparse(
    title: str, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], labels: str | None, name: str
) -> Dataset:
    """A data set from a .npz file of scipy.sparse.save_npz, which may have an array of labels too."""
    if labels is not None and labels not in members:
        raise DataError(
            f"{name} has no array {printable(labels)!r} for the labels; choose one of {listed(list(members))}"
        )
    lower = {key.lower(): key for key in members}
    label_name = labels or next((lower[key] for key in _TRAIN_LABELS if key in lower and key != "data"), None)
    parts = {
        key: _read_member(archive, members[key], f"{key} in {name}", allow_empty=True)
        for key in (*SPARSE_ARRAYS, *([] if label_name is None else [label_name]))
    }
    known = None if label_name is None else _as_labels(parts[label_name])
    others = tuple(key for key in members if key not in parts and key != "_is_array")
    notes = _unused(others, tuple(parts), name)
    return Dataset(title, sparse_rows(parts, name), train_labels=known, source=name, notes=notes)


def _validation_keys(keys: tuple[str, ...], chosen: tuple[str | None, ...]) -> list[tuple[str, str | None]]:
    """Candidates for the validation part and its labels. `_like` decides by shape, since `valid` may also be a mask."""
    lower = {key.lower(): key for key in keys if key not in chosen}
    labels = next((lower[key] for key in _VALIDATION_LABELS if key in lower), None)
    return [(lower[key], labels) for key in _VALIDATION if key in lower]


def _like(values: Array, train: Array) -> bool:
    """Whether an array has numeric examples of the same shape as the training examples."""
    return values.ndim > 1 and values.shape[1:] == train.shape[1:] and values.dtype.kind in "iuf"


def _unused(others: tuple[str, ...], chosen: tuple[str | None, ...], name: str) -> tuple[str, ...]:
    """A note on the arrays that are not used."""
    if not others:
        return ()
    used = listed([key for key in chosen if key is not None])
    return (f"not used: {len(others):,} of the arrays in {name} ({listed(others)}); used: {used}",)


def _choose(keys: tuple[str, ...], labels: str | None, name: str) -> tuple[str, str | None, str | None, str | None]:
    """The names of the arrays with examples, test part, labels and test labels; case is ignored."""
    lower = {key.lower(): key for key in keys}

    def first(wanted: tuple[str, ...]) -> str | None:
        return next((lower[key] for key in wanted if key in lower), None)

    if labels is not None and labels not in keys:
        raise DataError(f"{name} has no array {printable(labels)!r} for the labels; choose one of {listed(keys)}")
    train_labels, test_labels, test = labels or first(_TRAIN_LABELS), first(_TEST_LABELS), first(_TEST)
    others = [key for key in keys if key not in (train_labels, test_labels, test)]
    train = first(tuple(key for key in _TRAIN if lower.get(key) in others)) or (others[0] if len(others) == 1 else None)
    if train is None:
        have = f"it has {len(keys):,} arrays: {listed(keys)}" if keys else "it is empty"
        raise DataError(f"it is not clear which array in {name} has the examples ({have}); name one x_train or X")
    return train, test, train_labels, test_labels


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, allow_empty: bool = False) -> Array:
    """One array. The sizes in its header, in the archive's directory and on disk must agree before it is unpacked."""
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{name} is encrypted, or compressed in a way that NumPy does not use; write it with numpy.savez_compressed"
        )
    with archive.open(info) as stream:
        header = _read_header(stream, name, allow_empty)
        promised = stream.tell() + header.size
        most = info.compress_size * (1 if info.compress_type == zipfile.ZIP_STORED else _DEFLATE_LIMIT)
        if promised != info.file_size or promised > most:
            raise DataError(
                f"{name} is damaged: its header states {promised:,} bytes, and it has at most "
                f"{min(info.file_size, most):,}; replace the file"
            )
        content = read_exactly(stream, header.size, name)
    return np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.fortran_order else "C")


def _read_header(stream: IO[bytes], name: str, allow_empty: bool = False) -> _Header:
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"format version {version}, which only structured arrays use")
        header = _Header(*np.lib.format.read_array_header_1_0(stream))
    except (ValueError, OverflowError, tokenize.TokenError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{name} is not a NumPy array ({reason}); write it with numpy.save") from error
    if header.dtype.hasobject:
        raise DataError(f"{name} contains pickled Python objects, which are never loaded; save a numeric array")
    if header.dtype.kind == "V":
        raise DataError(
            f"{name} contains structured records or raw bytes, not numbers; save each field as a separate array"
        )
    if len(header.shape) > AXES:
        raise DataError(f"{name} has {len(header.shape)} axes; expected at most {AXES}")
    least = 0 if allow_empty else 1
    if min(header.shape, default=0) < least or header.dtype.itemsize == 0:
        raise DataError(f"{name} is an empty array of shape {header.shape}; give an array with examples")
    return header


def _as_labels(labels: Array | None) -> Array | None:
    """Labels (n,); a column (n, 1) is flattened. Missing labels become None."""
    if labels is None or labels.ndim not in {1, 2} or labels.dtype.kind in "SVcO":
        return labels
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    return labels_from_values(list(labels)) if labels.ndim == 1 and unlabeled(labels) else labels
