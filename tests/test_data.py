"""The built-in data sets, where their files come from, and the check of whatever a user passes."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import urllib.error
from email.message import Message
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
import scipy.sparse
import torch

from isthmus import Autoencoder, data
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.data import as_examples, download
from isthmus.data.download import Content, find_or_fetch
from isthmus.data.kinds import image_shape
from isthmus.data.validation import blocks
from isthmus.errors import DataError

CONTENT = b"what was published"
PROMISED = {"file": Content(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())}


# --- built-in ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", data.names())
def test_built_in_data_sets_have_one_label_per_example_and_a_license(
    name: str, public_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, {})
    found = data.load(name)
    assert found.name == name
    assert found.test is not None
    assert found.train_labels is not None
    assert found.test_labels is not None
    assert found.train.shape[1:] == found.test.shape[1:]
    assert (len(found.train), len(found.test)) == (len(found.train_labels), len(found.test_labels))
    assert set(found.train_labels.tolist()) == set(found.test_labels.tolist()) == set(range(10))
    assert found.source
    assert found.license
    assert found.license in found.summary()
    assert getattr(data, name).__doc__.partition("\n")[0].endswith((".", ")."))


def test_the_embedded_mnist_is_the_real_one() -> None:
    found = data.mnist()
    assert found.train.shape == (60_000, 28, 28)
    assert found.train.dtype == np.uint8
    assert found.train.mean() == pytest.approx(33.318421, abs=1e-6)
    assert found.train_labels is not None
    assert found.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    content = b"\0\0\x08\x03" + np.array(found.train.shape, ">u4").tobytes() + found.train.tobytes()
    assert hashlib.sha256(content).hexdigest().startswith("ba891046e6505d7a")  # published by many


@pytest.mark.fashion_mnist
def test_fashion_mnist_is_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, {})
    found = data.load("fashion_mnist")
    assert found.train.shape == (60_000, 28, 28)
    assert found.train.mean() / 255 == pytest.approx(0.2860, abs=1e-4)  # published by many
    assert found.train_labels is not None
    assert np.bincount(found.train_labels).tolist() == [6000] * 10


def test_the_split_of_digits_is_independent_of_global_random_generators() -> None:
    before = np.random.get_state()[1]
    first, second = data.digits(), data.digits()
    assert (np.random.get_state()[1] == before).all()
    assert (first.train == second.train).all()
    assert (first.train_labels == second.train_labels).all()
    assert first.train.max() == 1
    assert first.train.dtype == np.float32
    assert len(first.train) == 1437


def test_importing_loads_no_heavy_library_and_no_data() -> None:
    code = "import sys, isthmus.data; print(*{'torch', 'pandas', 'sklearn', 'PIL', 'rich', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


# --- found or fetched -------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    caches = tmp_path / "cache" / "Library" / "Caches" if sys.platform == "darwin" else tmp_path / "cache"
    return caches / "isthmus" / "set"


def serve(monkeypatch: pytest.MonkeyPatch, answers: dict[str, bytes]) -> list[str]:
    """Stand-ins for the mirrors; every other address has no network. Returns the list of what is asked."""
    asked: list[str] = []

    class Answer(io.BytesIO):
        headers = Message()

    def urlopen(address: str, timeout: float) -> Answer:
        asked.append(address)
        if address not in answers:
            raise urllib.error.URLError("no network")
        return Answer(answers[address])

    monkeypatch.setattr(download.urllib.request, "urlopen", urlopen)
    return asked


@pytest.mark.promise(19)
def test_mirrors_with_wrong_content_are_skipped_without_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "http://forged/file.gz": gzip.compress(b"What was published"),
        "http://garbage/file.gz": b"<html>sorry</html>",
        "http://bomb/file.gz": gzip.compress(bytes(10**7)),
        "http://broken/file.gz": gzip.compress(CONTENT)[:-9],
    }
    right = {"http://good/file.gz": gzip.compress(CONTENT)}
    mirrors = tuple(address.removesuffix("file.gz") for address in (wrong | right))
    asked = serve(monkeypatch, wrong | right)
    assert list(find_or_fetch("set", PROMISED, mirrors)) == [CONTENT]
    assert len(asked) == 5
    assert [path.name for path in cache.iterdir()] == ["file.gz"]
    assert list(find_or_fetch("set", PROMISED, mirrors)) == [CONTENT]
    assert len(asked) == 5


@pytest.mark.promise(19)
def test_no_file_is_left_if_every_mirror_has_wrong_content(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, {"http://forged/file.gz": gzip.compress(b"other")})
    with pytest.raises(DataError, match="hash differs from the published one"):
        list(find_or_fetch("set", PROMISED, ("http://forged/",)))
    assert not list(cache.iterdir())


@pytest.mark.promise(19)
def test_a_mirror_cannot_fill_the_disk(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.BytesIO):
        headers = Message()
        sent = 0

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            Endless.sent += size
            assert Endless.sent < 10 * download.BLOCK
            return bytes(size)

    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: Endless())
    with pytest.raises(DataError):
        list(find_or_fetch("set", PROMISED, ("http://endless/",)))


def test_without_network_the_error_lists_every_place_and_the_remedy(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path / "mine"))
    serve(monkeypatch, {})
    with pytest.raises(DataError) as caught:
        list(find_or_fetch("set", PROMISED, ("http://one/", "http://two/"), (str(tmp_path / "installed"),)))
    sentence = str(caught.value)
    for part in (tmp_path / "mine" / "set", cache, tmp_path / "installed", "http://one/", "http://two/", "no network"):
        assert str(part) in sentence
    assert "set ISTHMUS_DATA" in sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["mine/set/file.gz", "mine/file", "cache", "installed/file.gz"])
def test_a_file_on_this_machine_is_found_packed_or_not_without_network(
    place: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path / "mine"))
    asked = serve(monkeypatch, {})
    path = cache / "file.gz" if place == "cache" else tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(CONTENT) if path.suffix else CONTENT)
    assert list(find_or_fetch("set", PROMISED, ("http://one/",), (str(tmp_path / "installed"),))) == [CONTENT]
    assert not asked


@pytest.mark.promise(19)
def test_a_wrong_file_on_this_machine_is_never_used(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path))
    (tmp_path / "file.gz").write_bytes(gzip.compress(CONTENT[::-1]))
    serve(monkeypatch, {})
    with pytest.raises(DataError, match="with its published hash"):
        list(find_or_fetch("set", PROMISED, ("http://one/",)))


# --- as_examples ------------------------------------------------------------------------------------------------------


def with_value(value: object, dtype: object = float) -> np.ndarray:
    X = np.ones((20, 5), dtype)
    X[17, 3] = value
    return X


def one_array() -> np.ndarray:
    """An array of one object, which is an array."""
    X = np.empty(1, object)
    X[0] = np.ones(2)
    return X


BAD = {
    "NaN": (with_value(np.nan), ValueError, r"contains NaN: row 17, column 3"),
    "infinity": (with_value(-np.inf, np.float32), ValueError, r"contains infinity: row 17, column 3 is -inf"),
    "too large": (with_value(1e300), ValueError, r"too large for float32: row 17, column 3 is 1e\+300"),
    "None": (with_value(None, object), ValueError, r"contains NaN: row 17, column 3"),
    "pandas' NA": (with_value(pd.NA, object), ValueError, r"contains NaN: row 17, column 3"),
    "text object": (with_value("a", object), ValueError, r"text: row 17, column 3 is 'a'"),
    "object": (with_value({"a": 1}, object), TypeError, r"row 17, column 3 .*argument must be .* string.* number"),
    "complex object": (with_value(1j, object), ValueError, "Complex data not supported"),
    "complex": (np.ones((3, 2), complex), ValueError, "Complex data not supported"),
    "text": (np.array([["a", "b"]]), ValueError, "text .the first value is 'a'"),
    "dates": (np.array([["2020-01-01"]], "M8[D]"), ValueError, "dates: row 0, column 0 is 2020-01-01"),
    "structured": (np.zeros((3, 2), [("a", float)]), DataError, "structured array with the fields 'a'"),
    "one axis": (np.ones(3), ValueError, r"Expected 2D array, got 1D array instead.*Reshape your data"),
    "no axis": (np.float64(3), ValueError, "Expected 2D array, got scalar"),
    "no rows": (np.ones((0, 3)), ValueError, "n_samples=0"),
    "no features": (np.ones((12, 0)), ValueError, r"0 feature\(s\) \(shape=\(12, 0\)\) while a minimum of 1 is req"),
    "ragged": ([[1, 2], [3]], ValueError, "same shape"),
    "ragged objects": (np.array([np.ones(2), np.ones(3)], object), ValueError, "arrays of different shapes"),
    "one array in an array": (one_array(), ValueError, "arrays of different shapes"),
    "one axis of objects": (np.array([1, 2], object), ValueError, "Expected 2D array, got 1D"),
    "sparse": (scipy.sparse.csr_array(np.array([[1, 2], [0, np.nan]])), ValueError, "NaN: row 1, column 1"),
    "sparse array of one axis": (scipy.sparse.coo_array(np.ones(3)), DataError, r"Expected 2D array, .*\(3,\).*reshape it"),
    "sparse complex": (scipy.sparse.csr_array(np.eye(3, dtype=complex)), DataError, "Complex data not supported"),
    "sparse tensor": (torch.eye(3).to_sparse(), DataError, r"sparse tensor: pass X\.to_dense\(\), or a scipy"),
    "masked": (np.ma.masked_equal(np.arange(6).reshape(2, 3), 4), ValueError, "NaN: row 1, column 1"),
    "image": (np.where(np.arange(24) == 23, np.nan, 0.0).reshape(2, 3, 4), ValueError, r"row 1, position \(2, 3\)"),
    "frame": (pd.DataFrame({"age": [1.0, None]}), ValueError, r"row 1, column 0 \(feature 'age'\)"),
    "nullable frame": (pd.DataFrame({"age": pd.array([1, None], "Int64")}), ValueError, "NaN: row 1.*'age'"),
    "text among numbers": (pd.DataFrame({"age": [1, "Ulm"]}), ValueError, "column 'age' .*row 1 is 'Ulm', a str"),
    "text alone": (pl.DataFrame({"id": [*"abcdefghijkl"]}), ValueError, r"no column .* can be learned: id \(unique\)"),
    "polars": (pl.DataFrame({"age": [1, None]}), ValueError, "NaN: row 1.*'age'"),
    "lazy polars": (pl.LazyFrame({"age": [1]}), ValueError, "collect"),
}  # fmt: skip


@pytest.mark.promise(16)
@pytest.mark.parametrize("kind", BAD)
def test_invalid_values_are_refused_with_their_position(kind: str) -> None:
    X, error, sentence = BAD[kind]
    with pytest.raises(error, match=sentence):
        as_examples(X)


@pytest.mark.promise(16)
def test_the_largest_float32_value_is_accepted() -> None:
    X = np.array([[np.finfo(np.float32).max], [-np.finfo(np.float32).max], [np.nan]])
    as_examples(X[:2])
    as_examples(X, missing="allow")
    with pytest.raises(DataError, match="NaN: row 2"):
        as_examples(X)


@pytest.mark.promise(13)
def test_blocks_are_of_whole_rows_and_bounded() -> None:
    for wide, multiple in ((2**12, 1), (2**12 + 1, 1), (2**12 + 1, 32), (2**22 // 3, 1), (2**23, 1)):
        values = np.broadcast_to(np.float32(0), (2**24 // wide + 2, wide))
        found = [(begin, len(block)) for begin, block in (blocks(values, multiple) if multiple > 1 else blocks(values))]
        rows = found[0][1]
        assert rows == multiple * max(1, 2**22 // (wide * multiple))
        assert found == [(begin, min(rows, len(values) - begin)) for begin in range(0, len(values), rows)]


@pytest.mark.promise(16)
def test_too_few_examples_are_counted() -> None:
    with pytest.raises(DataError, match=r"n_samples=1 .*minimum of 2"):
        as_examples(np.ones((1, 3)), minimum=2)


@pytest.mark.promise(16)
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("u1", "u1"), ("i8", "i8"), ("f4", "f4"), ("f8", "f8"), ("?", "u1"),
        ("f2", "f4"), (">f4", "f4"), (">i2", "i2"), ("O", "f8"), ("g", "f8"),
    ],
)  # fmt: skip
def test_values_are_unchanged_by_conversion_to_a_supported_dtype(given: str, kept: str) -> None:
    X = np.array([[0, 1, 1], [1, 0, 0]], given)
    values = as_examples(X).values
    assert values.dtype == np.dtype(kept)
    assert values.dtype.isnative
    assert (values == X.astype(float)).all()


@pytest.mark.parametrize(
    "wrap",
    [
        np.asarray,
        np.ndarray.tolist,
        torch.tensor,
        lambda X: torch.tensor(X, requires_grad=True) * 1,
        lambda X: torch.tensor(X, dtype=torch.bfloat16),
        lambda X: pd.DataFrame(X, columns=list("abc")),
        lambda X: pd.DataFrame(X, columns=list("abc")).astype("Float64"),
        lambda X: pl.DataFrame(X, schema=list("abc")),
        np.asfortranarray,
    ],
    ids=["array", "lists", "tensor", "gradient", "bfloat16", "pandas", "nullable", "polars", "fortran"],
)
def test_every_container_gives_the_same_values(wrap: object) -> None:
    X = np.array([[0, 0.5, 1], [-2, 4, 8]])
    examples = as_examples(wrap(X))  # type: ignore[operator]
    assert type(examples.values) is np.ndarray
    assert (examples.values == X).all()
    assert examples.columns in (None, ("a", "b", "c"))


def test_flat_rows_are_reshaped_only_for_images() -> None:
    assert image_shape((784,), "images") == (28, 28)
    assert image_shape((784,), "table") == (784,)
    assert image_shape((65,), "images") == (65,)
    assert image_shape((28, 28, 1), "images") == (28, 28, 1)


def test_an_empty_mask_changes_nothing() -> None:
    X = np.ma.masked_array(np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert as_examples(X).values.dtype == np.uint8


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.float32, torch.float64])
def test_tensors_keep_supported_dtypes(dtype: torch.dtype) -> None:
    """Bytes are pictures of 256 levels, which floats are not."""
    given = torch.ones(2, 3, dtype=dtype)
    assert as_examples(given).values.dtype == given.numpy().dtype


def test_a_data_frame_of_numbers_and_booleans_is_numeric() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [True, False]})
    examples = as_examples(frame)
    assert examples.values.tolist() == [[1, 1], [2, 0]]
    assert examples.columns == ("a", "b")


def test_valid_arrays_are_not_copied() -> None:
    X = np.ones((3, 2), np.float32)
    assert np.shares_memory(as_examples(X).values, X)


def test_a_memory_map_is_not_copied_and_all_values_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.data.validation.BLOCK", 64)
    X = np.ones((1000, 10), np.float32)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert as_examples(mapped).values is mapped
    assert (mapped == X).all()
    X[999, 9] = np.nan
    np.save(tmp_path / "y.npy", X)
    with pytest.raises(DataError, match="row 999, column 9"):
        as_examples(np.load(tmp_path / "y.npy", mmap_mode="r"))


def test_changes_in_a_private_memory_map_survive_the_check(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((1000, 10)))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="c")
    mapped[5] = 7
    as_examples(mapped)
    assert (mapped[5] == 7).all()


def test_changes_of_a_copy_on_write_map_are_not_lost(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((100, 10), np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="c")
    mapped[:] = 2
    mapped.flags.writeable = False
    assert (as_examples(mapped).values == 2).all()
    Autoencoder(Identity(2), architecture=MLP(()), epochs=1).fit(mapped)
    assert (mapped == 2).all()


@pytest.mark.promise(13)
@pytest.mark.skipif(sys.platform != "linux", reason="the system's own figures of memory are read")
@pytest.mark.thorough
def test_a_file_larger_than_the_memory_it_may_take(tmp_path: Path) -> None:
    """Training, encoding and measuring 200 MB that stay in their file take far less memory than they."""
    X = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (250_000, 800))
    X[:] = np.random.default_rng(0).integers(0, 255, (50, 800), np.uint8).repeat(5000, 0)
    del X
    program = f"""
import re, numpy as np
from isthmus import Autoencoder
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.evaluation import evaluate
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
def trained(X):
    ae = Autoencoder(Identity(2), architecture=MLP((8,)), epochs=0.05, batch_size=64, random_state=0).fit(X)
    ae.encode(X)
    evaluate(ae, X[:20_000])
X = np.load({str(tmp_path / "x.npy")!r}, mmap_mode="r")
trained(np.array(X[:20_000]))
before = peak()
trained(X)
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100


LARGE = """
import re, sys, numpy as np
from isthmus import Autoencoder, data
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.evaluation import evaluate
import pyarrow.parquet
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
def trained(X):
    Autoencoder(Identity(2), architecture=MLP((8,)), epochs=20_000 / len(X), batch_size=256, random_state=0).fit(X)
trained(np.random.default_rng(0).integers(0, 255, (5_000, 784), np.uint8))
before = peak()
X = data.read(sys.argv[1]).train
assert X.nbytes > 2e9, X.nbytes
trained(X)
print(peak() - before)
"""


@pytest.mark.promise(13)
@pytest.mark.skipif(sys.platform != "linux", reason="the system's own figures of memory are read")
@pytest.mark.parametrize("kind", ["npy", "parquet", "folder"])
@pytest.mark.thorough
def test_two_gigabytes_train_within_600_mebibytes(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    rng = np.random.default_rng(0)
    if kind == "npy":
        X = np.lib.format.open_memmap(
            path, "w+", np.uint8, (2_600_000, 784)
        )  # where nothing is written it takes no disk
        X[::1000] = rng.integers(0, 255, (2600, 784), np.uint8)
        del X
    else:
        columns = {f"c{i}": np.tile(rng.random(1000), 260) for i in range(100)}
        table = pa.table(columns)
    if kind == "folder":
        path.mkdir()
        for number in range(10):
            pyarrow.parquet.write_table(table, path / f"{number}.parquet", compression="zstd")
    elif kind == "parquet":
        with pyarrow.parquet.ParquetWriter(path, table.schema, compression="zstd") as writer:
            for _ in range(10):
                writer.write_table(table)
    done = subprocess.run([sys.executable, "-c", LARGE, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 600
