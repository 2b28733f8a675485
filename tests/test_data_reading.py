"""Reading the user's own files: what round-trips, and what is refused before it can do harm."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import struct
import sys
import tempfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from isthmus.data import load, read
from isthmus.data.idx import read_idx_stream
from isthmus.errors import DataError

GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


@contextlib.contextmanager
def little_memory(most: int = 8 << 20) -> Iterator[None]:
    """What runs inside may not allocate more than `most` bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def save_png(path: Path, array: np.ndarray = GRAY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def idx(code: int, shape: tuple[int, ...], content: bytes) -> bytes:
    return bytes((0, 0, code, len(shape))) + np.array(shape, ">u4").tobytes() + content


# --- names and paths --------------------------------------------------------------------------------------------------


def test_data_set_names_may_have_hyphens(tmp_path: Path) -> None:
    assert load("digits").name == load("Digits").name == "digits"
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    assert load(tmp_path / "x.npy").train.shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("fashion", DataError, "did you mean fashion_mnist"),
        ("nothere", DataError, r"folder 'nothere' \(digits"),
        ("nothing like it", DataError, "digits, fashion_mnist, mnist"),
        ("no/such/folder", FileNotFoundError, "no/such/folder"),
        ("nothing.csv", FileNotFoundError, "nothing.csv"),
    ],
)
def test_the_error_for_an_unknown_name_suggests_names(name: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        load(name)


def test_choices_that_do_not_apply_are_errors(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    with pytest.raises(DataError, match="is built in"):
        load("digits", labels="y")
    with pytest.raises(DataError, match="labels='y'"):
        read(tmp_path / "x.npy", labels="y")
    with pytest.raises(DataError, match="resize"):
        read(tmp_path / "x.npy", resize=(2, 2))
    with pytest.raises(DataError, match="resize"):
        read(tmp_path, resize=(0, 2))


@pytest.mark.promise(5)
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".idx", ".idx.gz", ".csv", ".parquet"])
def test_links_pipes_and_empty_files_are_refused(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"empty{suffix}").touch()
    (tmp_path / f"link{suffix}").symlink_to(tmp_path / f"empty{suffix}")
    (tmp_path / f"dangling{suffix}").symlink_to("nowhere")
    os.mkfifo(tmp_path / f"pipe{suffix}")
    for name, reason in (("empty", "empty"), ("link", "link"), ("dangling", "link"), ("pipe", "not a regular file")):
        with pytest.raises(DataError, match=reason):
            read(tmp_path / f"{name}{suffix}")
    with pytest.raises(FileNotFoundError, match="missing"):
        read(tmp_path / f"missing{suffix}")


def test_the_error_for_an_unknown_kind_of_file_lists_the_supported_ones(tmp_path: Path) -> None:
    (tmp_path / "x.doc").write_text("x")
    with pytest.raises(
        DataError,
        match=r"\.npy, \.npz, \.mtx, \.h5ad, \.idx, \.idx\.gz, \.csv, \.tsv, \.parquet, \.arrow, \.feather, \.wav, an image or a folder",
    ):
        read(tmp_path / "x.doc")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".idx", ".idx.gz", ".csv", ".parquet"])
def test_the_error_for_random_bytes_names_the_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"garbage{suffix}"
    for content in (b"\x80\x81\xff\0\0" * 30, b"\x1f\x8b\x08" * 50, b"PAR1" + bytes(50) + b"PAR1", b"PK\x05\x06" * 9):
        path.write_bytes(content)
        with pytest.raises(DataError, match="garbage"):
            read(path)


@pytest.mark.promise(18)
@pytest.mark.parametrize("kind", ["npy", "npz", "idx", "idx.gz", "csv", "parquet", "png", "jpg", "gif", "webp", "tiff"])
def test_damage_at_any_byte_raises_a_data_error_or_is_harmless(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    write_sound_file(path, kind)
    content = path.read_bytes()
    for place in range(0, len(content), len(content) // 25 or 1):
        for damaged in (content[:place], content[:place] + bytes((content[place] ^ 0x81,)) + content[place + 1 :]):
            path.write_bytes(damaged)
            with contextlib.suppress(DataError):
                found = read(tmp_path if kind in ("png", "jpg", "gif", "webp", "tiff") else path)
                assert found.train.size > 0


def write_sound_file(path: Path, kind: str) -> None:
    X = np.arange(24.0).reshape(6, 4)
    if kind == "npy":
        np.save(path, X)
    elif kind == "npz":
        np.savez_compressed(path, x=X)
    elif kind.startswith("idx"):
        content = idx(8, (6, 4), bytes(24))
        path.write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
    elif kind == "csv":
        np.savetxt(path, X, delimiter=",", header="a,b,c,d", comments="")
    elif kind == "parquet":
        pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
        pytest.importorskip("pyarrow.parquet").write_table(pa.table({"a": X[:, 0], "b": X[:, 1]}), path)
    else:
        Image.fromarray(GRAY).save(path)


# --- npy and npz ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_mapped_not_loaded(order: str, tmp_path: Path) -> None:
    X = np.asarray(np.arange(24.0).reshape(2, 3, 4), order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "x.npy", X)
    found = read(tmp_path / "x.npy").train
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    assert (found == X).all()


@pytest.mark.promise(18)
def test_wrong_npy_headers_are_refused_before_allocation(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    for shape in ("(500_000_000_000, 8)", "(3, 8)", "(1, 8)", "(0, 8)", "(-1, 8)", "()", f"({2**62}, {2**62})"):
        path.write_bytes(npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}", bytes(2 * 8 * 8)))
        with little_memory(), pytest.raises(DataError, match=r"x\.npy"):
            read(path)


@pytest.mark.promise(18)
def test_pickled_arrays_are_never_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return sys.exit, ("unpickled",)

    objects = np.array([[Bomb()]], object)
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=objects)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match="never loaded"):
            read(tmp_path / name)


def test_npz_parts_are_found_by_their_usual_names(tmp_path: Path) -> None:
    X, y = np.arange(12).reshape(4, 3), np.arange(4)
    np.savez_compressed(tmp_path / "x.npz", X_train=X, y_train=y[:, None], x_test=X[:2], y_test=y[:2])
    found = read(tmp_path / "x.npz")
    assert found.test is not None
    assert found.train_labels is not None
    assert found.test_labels is not None
    assert (found.train == X).all()
    assert (found.test == X[:2]).all()
    assert (found.train_labels == y).all()
    assert (found.test_labels == y[:2]).all()
    np.savez(tmp_path / "one.npz", anything=X, kinds=y)
    assert (read(tmp_path / "one.npz", labels="kinds").train == X).all()


def test_an_unclear_npz_is_an_error_that_lists_its_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", apples=np.ones((2, 2)), pears=np.ones((2, 2)))
    with pytest.raises(DataError, match="apples, pears"):
        read(tmp_path / "x.npz")
    with pytest.raises(DataError, match=r"'plums'.*apples, pears"):
        read(tmp_path / "x.npz", labels="plums")
    np.savez(tmp_path / "y.npz", x=np.ones((3, 2)), y=np.ones(2))
    with pytest.raises(DataError, match="do not fit"):
        read(tmp_path / "y.npz")


@pytest.mark.promise(18)
def test_wrong_npz_sizes_are_refused_before_unpacking(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    header = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (500_000_000_000, 8), }")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header + bytes(10**5))
    with little_memory(), pytest.raises(DataError, match="states 32,000,000,000"):
        read(path)
    content = bytearray(path.read_bytes())  # now let the archive's list tell the same lie
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(content)
    with little_memory(), pytest.raises(DataError, match=r"x\.npz"):
        read(path)


@given(st.data())
def test_a_damaged_npz_raises_a_data_error_or_gives_the_same_values(data: st.DataObject) -> None:
    X = np.arange(50.0).reshape(10, 5)
    stream = io.BytesIO()
    np.savez_compressed(stream, x=X)
    content = bytearray(stream.getvalue())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.npz")
        path.write_bytes(content)
        try:
            found = read(path)
        except DataError:
            return
    assert (found.train == X).all()


# --- idx --------------------------------------------------------------------------------------------------------------

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


@given(st.data())
def test_every_idx_type_round_trips(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(list(CODES)))
    X = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4)))
    found = read_idx_stream(io.BytesIO(idx(CODES[dtype], X.shape, X.astype(X.dtype.newbyteorder(">")).tobytes())), "x")
    assert found.dtype == X.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, X)


@pytest.mark.promise(18)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_wrong_idx_sizes_are_refused_before_allocation(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(pack(idx(8, (2, 3, 4), bytes(range(24)))))
    assert read(path).train.shape == (2, 3, 4)
    for shape in ((2**32 - 1,) * 3, (3, 3, 4), (1, 3, 4), (0, 3, 4)):
        path.write_bytes(pack(idx(8, shape, bytes(24))))
        with little_memory(), pytest.raises(DataError, match=r"states|empty array"):
            read(path)


@pytest.mark.promise(18)
def test_a_gzip_bomb_is_not_unpacked_beyond_its_header(tmp_path: Path) -> None:
    path = tmp_path / "x.idx.gz"
    path.write_bytes(gzip.compress(idx(8, (2, 3), bytes(10**8)), 1))
    with little_memory(), pytest.raises(DataError, match="has more than"):
        read(path)


def test_a_truncated_gzip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.idx.gz"
    path.write_bytes(gzip.compress(idx(8, (2, 3), bytes(6)))[:-10])
    with pytest.raises(DataError, match=r"x\.idx\.gz"):
        read(path)


# --- csv and parquet --------------------------------------------------------------------------------------------------


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(allow_nan=False)),
    st.sampled_from(",;\t"),
    st.booleans(),
)
def test_csv_round_trips(X: np.ndarray, delimiter: str, named: bool) -> None:
    names = tuple(f"column {index}" for index in range(X.shape[1]))
    lines = ([delimiter.join(names)] if named else []) + [delimiter.join(map(repr, row)) for row in X.tolist()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.csv")
        path.write_text("\n".join(lines))
        found = read(path)
    np.testing.assert_array_equal(found.train, X)
    assert found.columns == (names if named else None)


def test_csv_gaps_become_nan_and_labels_are_set_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('\ufeffage,"town, or village",height\n1,Ulm,\n2,"Bern",1.5\n\nNA,Ulm,3\n', encoding="utf-8")
    found = read(path, labels="town, or village")
    np.testing.assert_array_equal(found.train, [[1, np.nan], [2, 1.5], [np.nan, 3]])
    assert found.columns == ("age", "height")
    assert found.train_labels is not None
    assert found.train_labels.tolist() == ["Ulm", "Bern", "Ulm"]
    path.write_text("label,1x1,1x2\n7,0,255\n3,1,2\n")
    found = read(path, labels="label")
    assert found.train_labels is not None
    assert found.train_labels.dtype == np.int64
    assert found.train.tolist() == [[0, 255], [1, 2]]
    assert found.train_labels.tolist() == [7, 3]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("age,town\n1,2\n3,Ulm\n", r"column 'town' holds text \(line 3 of .*x\.csv has 'Ulm'\).*labels='town'"),
        ("5.1,3.5,7\n4.9,3.0,setosa\n", "column '2' holds text"),
        ("a,b\n1,2\n3\n", "line 3 of .* has 1 cell and the first row 2"),
        ("a,b\n1,2,3\n3,4,5\n", "3 cells and the first row 2"),
        ("a,b\n", "no rows"),
        ("\n\n\n", "no rows"),
        ("a\n1_000\n", "'1_000'"),
        ('a,b\n1,"2\n', "a quotation mark is not closed"),
        ('a,b\n1,"2', "a quotation mark is not closed"),
    ],
)
def test_the_error_for_text_in_a_csv_gives_its_position(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read(tmp_path / "x.csv")


def test_a_missing_label_column_is_an_error_that_lists_the_columns(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"no column 'c' .* a, b"):
        read(tmp_path / "x.csv", labels="c")


def test_parquet_round_trips_with_nulls_as_nan(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    import pyarrow.parquet as pq

    table = pa.table({"a": [1, None, 3], "b": [True, False, None], "town": ["Ulm", "Bern", "Ulm"]})
    pq.write_table(table, tmp_path / "x.parquet")
    found = read(tmp_path / "x.parquet", labels="town")
    np.testing.assert_array_equal(found.train, [[1, 1], [np.nan, 0], [3, np.nan]])
    assert found.columns == ("a", "b")
    assert found.train_labels is not None
    assert found.train_labels.tolist() == ["Ulm", "Bern", "Ulm"]
    whole = read(tmp_path / "x.parquet")
    np.testing.assert_array_equal(whole.train, [[1, 1, 1], [np.nan, 0, 0], [3, np.nan, 1]])
    assert "1 integer, 1 boolean, 1 category (town: 2)" in whole.notes[-1]


@pytest.mark.promise(18)
def test_parquet_extension_types_are_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    import pyarrow.parquet as pq

    values = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((2, 3, 3)))
    pq.write_table(pa.table({"a": [1.0, 2.0], "odd": values}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"'odd' .* extension type"):
        read(tmp_path / "x.parquet", labels="odd")


@pytest.mark.promise(18)
def test_a_truncated_parquet_is_named(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": np.arange(1000.0)}), path)
    content = path.read_bytes()
    for cut in (content[:-1], content[: len(content) // 2], content[:100] + content[200:]):
        path.write_bytes(cut)
        with pytest.raises(DataError, match=r"x\.parquet"):
            read(path)


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(ImportError, match=r"pip install pyarrow$"):
        read(tmp_path / "x.parquet")


# --- images -----------------------------------------------------------------------------------------------------------


def test_sub_folders_are_labels_in_the_order_of_names(tmp_path: Path) -> None:
    for number, name in enumerate(("dog/b.png", "cat/z.png", "cat/deep/a.png", "dog/a.png")):
        save_png(tmp_path / name, GRAY + np.uint8(number))
    found = read(tmp_path)
    assert found.train_labels is not None
    assert found.train_labels.tolist() == ["cat", "cat", "dog", "dog"]
    assert (found.train[:, 0, 0] == [1, 2, 3, 0]).all()
    assert found.test is None
    assert not found.notes


def test_train_and_test_folders_are_the_split(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", "test/cat/1.png"):
        save_png(tmp_path / name)
    found = read(tmp_path)
    assert found.test is not None
    assert found.train_labels is not None
    assert found.test_labels is not None
    assert found.train.shape == (2, 3, 4)
    assert found.test.shape == (1, 3, 4)
    assert found.train_labels.tolist() == ["cat", "dog"]
    assert found.test_labels.tolist() == ["cat"]


@pytest.mark.promise(17)
@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "pgm", "gif", "webp", "jpg"])
def test_every_image_format_is_read(suffix: str, tmp_path: Path) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(GRAY).save(tmp_path / f"x.{suffix}", **options)
    found = read(tmp_path).train[0]
    found = found[..., 0] if found.ndim == 3 else found
    assert np.abs(found.astype(int) - GRAY).max() <= (30 if suffix == "jpg" else 0)


@pytest.mark.promise(17)
@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "pgm", "gif", "webp", "jpg"])
def test_a_truncated_image_is_an_error_that_names_it(suffix: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    for length in (len(content) // 2, 20, 3):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=rf"cut\.{suffix}"):
            read(tmp_path)


@pytest.mark.promise(17)
def test_an_image_of_an_unsupported_format_is_refused_under_any_name(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "x.png", format="ICO")
    with pytest.raises(DataError, match=r"x\.png .*unknown format"):
        read(tmp_path)


@pytest.mark.promise(17)
@pytest.mark.parametrize("side", [8_001, 10_000, 60_000])
def test_the_pixel_limit_applies_to_the_size_in_the_header(side: int, tmp_path: Path) -> None:
    save_png(tmp_path / "x.png")
    content = bytearray((tmp_path / "x.png").read_bytes())
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "x.png").write_bytes(content)
    with little_memory(), pytest.raises(DataError, match=r"x\.png has more than 64 megapixels"):
        read(tmp_path)


@pytest.mark.promise(17)
def test_links_out_of_the_folder_are_counted_not_followed(tmp_path: Path) -> None:
    save_png(tmp_path / "outside" / "secret.png")
    save_png(tmp_path / "inside" / "x.png")
    (tmp_path / "inside" / "link.png").symlink_to(tmp_path / "outside" / "secret.png")
    (tmp_path / "inside" / "more").symlink_to(tmp_path / "outside")
    os.mkfifo(tmp_path / "inside" / "pipe.png")
    found = read(tmp_path / "inside")
    assert len(found.train) == 1
    assert any(note.startswith("2 ") and "link.png" in note and "more" in note for note in found.notes)
    assert any("pipe.png" in note for note in found.notes)


@pytest.mark.promise(17)
def test_skipped_files_are_reported(tmp_path: Path) -> None:
    save_png(tmp_path / "x.png")
    for name in ("readme.txt", ".hidden.png", "Thumbs.db", "x.xcf"):
        (tmp_path / name).touch()
    assert read(tmp_path).notes == (
        "3 other entries are not images and were ignored: .hidden.png, Thumbs.db, readme.txt",
        "images of unsupported formats (1 .xcf) were ignored; convert them to PNG",
    )


@pytest.mark.promise(17)
def test_images_that_differ_in_size_are_named_and_may_be_resized(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    save_png(tmp_path / "b.png", np.full((6, 8), 9, np.uint8))
    with pytest.raises(DataError, match=r"a\.png has 3x4 .*b\.png 6x8; .*resize=\(3, 4\)"):
        read(tmp_path)
    found = read(tmp_path, resize=(5, 7))
    assert found.train.shape == (2, 5, 7)
    assert (found.train[1] == 9).all()


def test_gray_images_among_color_images_become_color_with_a_note(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    save_png(tmp_path / "b.png", np.stack([GRAY, GRAY * 0, GRAY], axis=-1))
    found = read(tmp_path)
    assert found.train.shape == (2, 3, 4, 3)
    assert (found.train[0] == GRAY[..., None]).all()
    assert found.notes == ("1 image was converted from gray to color",)


def test_transparent_pixels_become_white_with_a_note(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", np.stack([GRAY, np.zeros_like(GRAY)], axis=-1))
    found = read(tmp_path)
    assert (found.train == 255).all()
    assert found.train.shape == (1, 3, 4)
    assert "white" in found.notes[0]


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_sixteen_bits_stay_sixteen_bits(suffix: str, tmp_path: Path) -> None:
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    if suffix == "pgm":  # which not every Pillow writes
        (tmp_path / "x.pgm").write_bytes(b"P5 4 3 65535\n" + deep.astype(">u2").tobytes())
    else:
        Image.fromarray(deep).save(tmp_path / f"x.{suffix}")
    found = read(tmp_path).train
    assert found.dtype == np.uint16
    assert (found[0] == deep).all()
    assert read(tmp_path, resize=(2, 2)).train.max() > 255
    save_png(tmp_path / "z.png")
    with pytest.raises(DataError, match=r"bit depth: .*x\..* 16-bit gray .*z\.png 8-bit gray"):
        read(tmp_path)


def test_a_photograph_is_turned_as_its_camera_noted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(np.repeat(np.uint8([[0, 255]]), 16, 0).repeat(16, 1))
    lying.save(tmp_path / "x.jpg", exif=exif)
    found = read(tmp_path).train[0]
    assert found.shape == (32, 16)
    assert found[:8].max() < 30
    assert found[-8:].min() > 225


@pytest.mark.promise(17)
def test_names_that_are_not_utf8_work_also_in_errors(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9/\xff\n.png"
    os.mkdir(os.path.dirname(raw))
    with open(raw, "wb") as file:
        Image.fromarray(GRAY).save(file, "PNG")
    found = read(tmp_path)
    assert found.train_labels is not None
    assert found.train_labels.tolist() == [r"caf\xe9"]
    with open(raw, "wb") as file:
        file.write(b"no image")
    with pytest.raises(DataError, match=r"caf\\xe9/\\xff\\n\.png") as caught:
        read(tmp_path)
    str(caught.value).encode()


def test_an_empty_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="bare has no images"):
        read(tmp_path / "bare")
    (tmp_path / "bare" / "notes.txt").touch()
    with pytest.raises(DataError, match=r"bare has no images \(1 .*notes\.txt"):
        read(tmp_path / "bare")


def test_images_next_to_labeled_folders_are_an_error(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    save_png(tmp_path / "cat" / "b.png")
    with pytest.raises(DataError, match=r"a\.png has no label"):
        read(tmp_path)
