"""Rows of a file by their places are the rows of the map, whatever became of the file meanwhile."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data.memmap import Rows
from isthmus.errors import DataError


def mapped(path: Path, values: np.ndarray, mode: str = "r") -> np.ndarray:
    np.save(path, values)
    return np.load(path, mmap_mode=mode)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_rows_of_any_slice_of_a_map_are_read(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    dtype = data.draw(st.sampled_from([np.uint8, np.int16, np.float32, ">f8"]))
    shape = data.draw(st.sampled_from([(40, 3), (40, 2, 5), (40, 1, 1, 7)]))
    values = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    begin, step = data.draw(st.integers(0, 20)), data.draw(st.integers(1, 4))
    part = mapped(tmp_path_factory.getbasetemp() / "x.npy", values)[begin::step]
    positions = np.array(data.draw(st.lists(st.integers(0, len(part) - 1), max_size=30)), np.int64)
    rows = Rows(part)
    assert rows.descriptor >= 0
    found = rows(positions)
    assert found.dtype == part.dtype
    np.testing.assert_array_equal(found, np.asarray(part)[positions])


@pytest.mark.parametrize("kind", ["array", "written", "private", "backwards", "columns", "nameless", "empty"])
def test_maps_that_are_not_files_of_whole_rows_are_read_as_arrays(kind: str, tmp_path: Path) -> None:
    values, positions = np.arange(60.0).reshape(20, 3), np.array([3, 3, 19, 0])
    if kind == "nameless":
        with tempfile.TemporaryFile() as file:
            values.tofile(file)
            file.flush()
            part = np.memmap(file, np.float64, "r", shape=(20, 3))
    elif kind == "empty":
        part, positions = mapped(tmp_path / "x.npy", values)[:0], positions[:0]
    else:
        held = mapped(tmp_path / "x.npy", values, {"written": "r+", "private": "c"}.get(kind, "r"))
        part = {"array": values, "backwards": held[::-1], "columns": held[:, ::2]}.get(kind, held)
    if kind == "private":
        part[3] = -1
    rows = Rows(part)
    assert rows.descriptor < 0
    np.testing.assert_array_equal(rows(positions), np.asarray(part)[positions])


def test_a_replaced_file_is_not_read(tmp_path: Path) -> None:
    held = mapped(tmp_path / "x.npy", np.arange(60.0).reshape(20, 3))
    np.save(tmp_path / "y.npy", np.arange(60.0).reshape(20, 3) + 1)
    os.replace(tmp_path / "y.npy", tmp_path / "x.npy")
    np.testing.assert_array_equal(Rows(held)(np.array([5])), [[15.0, 16.0, 17.0]])
    (tmp_path / "x.npy").unlink()
    np.testing.assert_array_equal(Rows(held)(np.array([5])), [[15.0, 16.0, 17.0]])


@pytest.mark.promise(18)
def test_a_file_truncated_while_it_is_read_raises_an_error(tmp_path: Path) -> None:
    rows = Rows(mapped(tmp_path / "x.npy", np.arange(60_000.0).reshape(20_000, 3)))
    os.truncate(tmp_path / "x.npy", 4096)
    with pytest.raises(DataError, match=r"x\.npy was truncated while it was read: row 19999"):
        rows(np.array([0, 19_999]))


def test_no_file_stays_open(tmp_path: Path) -> None:
    held, before = mapped(tmp_path / "x.npy", np.zeros((20, 3))), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        Rows(held)(np.array([1]))
    assert len(os.listdir("/proc/self/fd")) == before
