"""Arrays of h5py, Zarr and others that are like arrays are examples, and stay in their files if they are large."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

from isthmus import Autoencoder, data
from isthmus.architectures import MLP
from isthmus.data import ArrayLikeRows, BlockRows, array_likes, as_examples
from isthmus.errors import DataError
from isthmus.training import block_source

Array = np.ndarray[Any, Any]
X = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is too large for memory."""
    monkeypatch.setattr(array_likes, "IN_MEMORY", 0)
    monkeypatch.setattr(array_likes, "BLOCK_VALUES", 40 * 6)
    monkeypatch.setattr(block_source, "WINDOW_BYTES", 100 * 6 * 4)


class Minimal:
    """What any array has, and nothing else. It notes what is read."""

    def __init__(self, values: Array) -> None:
        self.values, self.shape, self.dtype, self.read = values, values.shape, values.dtype, list[Any]()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: Any) -> Array:
        self.read.append(key)
        return self.values[key]


@pytest.fixture(params=["h5py", "zarr", "zarr in chunks", "minimal"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """X in a file of another library."""
    if request.param == "h5py":
        with h5py.File(tmp_path / "x.h5", "w") as file:
            yield file.create_dataset("x", data=X, chunks=(32, 6), compression="gzip")
    elif request.param == "minimal":
        yield Minimal(X)
    else:
        chunks = (64, 2) if "chunks" in request.param else (300, 6)
        array = zarr.create_array(tmp_path / "x.zarr", shape=X.shape, dtype=X.dtype, chunks=chunks)
        array[:] = X
        yield array


def quick() -> Autoencoder:
    return Autoencoder(2, architecture=MLP((4,)), epochs=2, batch_size=32, random_state=0)


def weights(ae: Autoencoder) -> list[Array]:
    return [each.numpy() for each in ae.model_.state_dict().values()]


def test_a_small_array_of_another_library_gives_the_results_of_the_array(stored: Any) -> None:
    for one, other in zip(weights(quick().fit(X)), weights(quick().fit(stored)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("large")
def test_a_large_array_stays_in_its_file(stored: Any, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["stored"]
    rows = as_examples(stored).values
    assert isinstance(rows, BlockRows)
    assert len(rows.sizes) == {"h5py": 10, "zarr": 1, "zarr in chunks": 5, "minimal": 8}[name]
    np.testing.assert_array_equal(rows, X)
    ae = quick().fit(stored, validation_data=stored)
    assert ae.history_[-1].loss < ae.history_[0].loss
    np.testing.assert_array_equal(ae.encode(stored), ae.encode(X))
    np.testing.assert_array_equal(ae.score_samples(stored), ae.score_samples(X))
    if isinstance(stored, Minimal):
        assert all(isinstance(key, slice) and key.step is None and key.stop - key.start <= 40 for key in stored.read)


@pytest.mark.usefixtures("large")
def test_blocks_have_whole_chunks(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for rows, expected in ((16, 32), (32, 32), (100, 100)):
            rows_in_chunks = ArrayLikeRows(file.create_dataset(f"x{rows}", data=X, chunks=(rows, 3)))
            assert rows_in_chunks.sizes[0] == expected


@pytest.mark.usefixtures("large")
def test_other_types_of_numbers_become_those_of_models(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for dtype in (">f4", np.float16, bool, np.int16):
            expected = as_examples(X.astype(dtype)).values
            rows = as_examples(file.create_dataset(str(np.dtype(dtype)), data=X.astype(dtype))).values
            assert isinstance(rows, BlockRows)
            assert rows.dtype == expected.dtype
            np.testing.assert_array_equal(rows, expected)


def test_images_and_windows_have_the_kind_of_the_array() -> None:
    for values in (np.ones((20, 4, 4), np.uint8), np.ones((20, 8, 2)), np.ones((20, 3), np.uint8)):
        assert as_examples(ArrayLikeRows(values)).kind == as_examples(values).kind


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        rows = ArrayLikeRows(file.create_dataset("x", data=X))
    with pytest.raises(
        DataError, match=r"rows 0 to 299 of X could not be read from the Dataset \(.*: keep its file open"
    ):
        np.asarray(rows)
    wrong = Minimal(X)
    wrong.shape = (300, 7)
    with pytest.raises(
        DataError, match=r"of X have shape \(300, 6\) and type float32, but the Minimal has shape \(300, 7\)"
    ):
        as_examples(wrong)
    with pytest.raises(DataError, match="Expected 2D array"):
        as_examples(Minimal(X[:, 0]))


def test_the_row_of_a_missing_value_is_named(tmp_path: Path) -> None:
    holes = X.copy()
    holes[217, 3] = np.nan
    with pytest.raises(DataError, match="Input X contains NaN: row 217, column 3"):
        quick().fit(ArrayLikeRows(holes))


def test_a_data_set_of_hugging_face_is_read_as_parquet(tmp_path: Path) -> None:
    """The lines of docs/many-files.md, without the download."""
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    rows = {
        "Id": [1, 2, 3, 4],
        "Width": [0.5, 1.5, 2.5, 3.5],
        "Length": [4.0, 1.0, 2.5, 3.0],
        "Species": ["a", "b", "a", "b"],
    }
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "iris.parquet")
    read = data.read(tmp_path / "iris.parquet", labels="Species", id="Id")
    np.testing.assert_array_equal(read.train, np.column_stack([rows["Width"], rows["Length"]]))
    assert (list(read.train_labels), list(read.ids)) == (rows["Species"], ["1", "2", "3", "4"])
