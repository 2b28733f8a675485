"""Files of one data set whose columns have different types, and messages that name the file and the row within it."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import isthmus
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.pairs import paired
from isthmus.data.tables.column_kinds import is_text
from isthmus.errors import DataError
from isthmus.scaleout.column_types import as_columns

N = 12
NUMBERS = np.random.default_rng(0).random((2 * N, 2))
CENTS = [Decimal(number) / 100 for number in range(N)]
VIEWS = [pa.string_view()] if hasattr(pa, "string_view") else []  # not in the oldest pyarrow
LETTERS = ["x", "y", "z"] * (N // 3)


def write(folder: Path, *parts: Any, **others: Any) -> Path:
    """A folder with a file for each part of a column c, beside two columns of numbers."""
    for number, part in enumerate(parts):
        rows = NUMBERS[number * N : number * N + len(part)]
        table = pa.table({"a": rows[:, 0], "c": part, "b": rows[:, 1]})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=5)
    return folder


def both(folder: Path) -> list[isthmus.data.Dataset]:
    """The folder, read at once and in blocks."""
    small, large = isthmus.data.read(folder), isthmus.data.read(folder, cache=0)
    np.testing.assert_array_equal(np.asarray(small.train), np.asarray(large.train))
    assert (small.table, small.columns) == (large.table, large.columns)
    return [small, large]


@pytest.mark.parametrize(
    ("one", "other", "values"),
    [
        (list(range(N)), CENTS, [*range(N), *map(float, CENTS)]),
        (CENTS, [float(each) for each in CENTS], 2 * [float(each) for each in CENTS]),
        ([True, False] * (N // 2), CENTS, [*[1.0, 0.0] * (N // 2), *map(float, CENTS)]),
        (pa.array(range(N), pa.uint64()), pa.array(range(-N, 0)), [*range(N), *range(-N, 0)]),
        (pa.nulls(N), list(range(N)), [*[np.nan] * N, *range(N)]),
        ([1.5, 2.5] * (N // 2), pa.array([1.5] * N).dictionary_encode(), [*[1.5, 2.5] * (N // 2), *[1.5] * N]),
    ],
)
def test_numbers_of_different_types_are_numbers(tmp_path: Path, one: Any, other: Any, values: list[float]) -> None:
    for data in both(write(tmp_path, one, other)):
        assert data.columns == ("a", "c", "b")
        np.testing.assert_array_equal(np.asarray(data.train)[:, 1], values)


@pytest.mark.parametrize("options", [{}, {"cache": 0}])
@pytest.mark.parametrize("decimals_first", [False, True])
@pytest.mark.promise(26)
def test_ids_and_labels_beside_decimal_numbers_are_exact(tmp_path: Path, options: Any, decimals_first: bool) -> None:
    whole = [2**53 + number for number in range(2 * N)]
    parts = [whole[:N], pa.array(map(Decimal, whole[N:]), pa.decimal128(38, 0))]
    folder, expected = write(tmp_path, *parts[:: -1 if decimals_first else 1]), set(map(str, whole))
    assert set(np.asarray(isthmus.data.read(folder, id="c", **options).ids)) == expected
    assert set(map(str, isthmus.data.read(folder, labels="c", **options).train_labels)) == expected


@pytest.mark.parametrize("options", [{}, {"cache": 0}])
def test_decimal_numbers_that_are_rounded_are_named(tmp_path: Path, options: Any) -> None:
    large = pa.array([Decimal(2**53 + number) for number in range(N)], pa.decimal128(38, 0))
    notes = isthmus.data.read(write(tmp_path, [0.5] * N, large), **options).notes
    assert any("rounded" in note and ": c;" in note for note in notes)


@pytest.mark.parametrize("options", [{}, {"cache": 0}])
def test_decimal_numbers_that_are_rounded_are_named_beside_categories_too(tmp_path: Path, options: Any) -> None:
    whole = pa.array([2**53 + number for number in range(N)])
    for name, numbers in (("a", pa.array([0.5] * N)), ("b", whole)):
        pq.write_table(pa.table({"c": numbers, "letter": pa.array(LETTERS)}), tmp_path / f"{name}.parquet")
    read = isthmus.data.read(tmp_path, **options)
    assert read.table is not None
    assert [note for note in read.notes if "rounded" in note and ": c;" in note]


@pytest.mark.parametrize("kind", [pa.large_string(), *VIEWS, pa.dictionary(pa.int8(), pa.string())])
def test_texts_of_different_types_are_one_category(tmp_path: Path, kind: Any) -> None:
    other = pa.array(LETTERS)
    other = other.dictionary_encode() if pa.types.is_dictionary(kind) else other.cast(kind)
    (tmp_path / "same").mkdir()
    expected = both(write(tmp_path / "same", LETTERS, LETTERS))[0].table
    (tmp_path / "other").mkdir()
    for data in both(write(tmp_path / "other", LETTERS, other)):
        assert expected is not None
        assert data.table is not None
        assert data.table.columns == expected.columns


def test_texts_and_bytes_are_known_without_types_of_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in pyarrow 15."""
    for name in ("is_string_view", "is_binary_view"):
        monkeypatch.delattr(pa.types, name, raising=False)
    assert is_text(pa.large_string())
    assert not is_text(pa.int64())
    table = as_columns(pa.table({"a": pa.array([b"x", b"y"]), "b": [1, 2]}))
    assert table.to_pydict() == {"a": ["x", "y"], "b": [1, 2]}


def test_times_of_different_units_are_the_same_moments(tmp_path: Path) -> None:
    hours = np.arange(N) * 3600
    parts = [pa.array(hours * scale, pa.timestamp(unit)) for unit, scale in (("s", 1), ("ms", 1000), ("ns", 10**9))]
    for data in both(write(tmp_path, *parts[:2])):
        rows = np.asarray(data.train)[:, 1:-1]
        np.testing.assert_array_equal(rows[:N], rows[N:])


@pytest.mark.parametrize(
    ("one", "other"), [([1.5] * N, LETTERS), ([1.5] * N, ["1.5"] * N), (LETTERS, pa.array([0] * N, pa.timestamp("s")))]
)
def test_text_beside_other_values_is_an_error_that_names_the_file(tmp_path: Path, one: Any, other: Any) -> None:
    options: dict[str, Any]
    for options in ({}, {"cache": 0}):
        with pytest.raises(DataError, match=r"column 'c' holds .* in .*part-1\.parquet: write it with one type"):
            isthmus.data.read(write(tmp_path, one, other), **options)


@pytest.mark.parametrize("options", [{}, {"cache": 0}])
@pytest.mark.parametrize("pattern", ["", "part-0.parquet"])
def test_a_column_without_values_is_a_column_of_missing_values_for_a_model_of_numbers(
    tmp_path: Path, options: Any, pattern: str
) -> None:
    reused = Reused(ReadOptions(), ("a", "c", "b"))
    data = isthmus.data.read(write(tmp_path, pa.nulls(N)) / pattern, reused=reused, **options)
    assert data.columns == ("a", "c", "b")
    rows = np.asarray(data.train)
    np.testing.assert_array_equal(rows[:, ::2], NUMBERS[:N])
    assert np.isnan(rows[:, 1]).all()


@pytest.mark.parametrize("options", [{}, {"cache": 0}])
@pytest.mark.promise(16)
def test_a_message_names_the_file_and_the_row_within_it(tmp_path: Path, options: Any) -> None:
    column = np.arange(N, dtype=float)
    column[7] = np.nan
    data = isthmus.data.read(write(tmp_path, list(range(N)), column), **options)
    with pytest.raises(
        DataError, match=re.escape(f"row 7 (the first is 0) of {tmp_path / 'part-1.parquet'}, column 'c'")
    ):
        isthmus.data.validation.check_finite(np.asarray(data.train), 0, data.positions(), None)
    kept = data.positions().some(np.arange(2 * N) != 3)
    assert kept((N + 6, 1)) == f"row 7 (the first is 0) of {tmp_path / 'part-1.parquet'}, column 'c'"
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", column.reshape(6, 2) if number else np.zeros((3, 2)))
    shards = isthmus.data.read(f"{tmp_path}/*.npy", **options)
    assert shards.positions()((3 + 3, 1)) == f"row 3 (the first is 0) of {tmp_path / '1.npy'}, column 1"


@pytest.mark.parametrize("pattern", ["", "part-1.parquet"])
@pytest.mark.promise(16)
def test_a_message_names_the_row_in_the_file_beside_rows_without_a_target(tmp_path: Path, pattern: str) -> None:
    for name in ("noisy", "clean"):
        (tmp_path / name).mkdir()
    column = np.arange(N, dtype=float)
    column[5] = np.nan
    noisy = write(tmp_path / "noisy", np.arange(N, dtype=float), np.arange(N, dtype=float)) / pattern
    clean = write(tmp_path / "clean", column, column) / pattern
    data = paired(isthmus.data.read(noisy), isthmus.data.read(clean))
    last = len(data.train) - 1
    where = rf"row 11 \(the first is 0\) of {re.escape(str(tmp_path / 'noisy/part-1.parquet'))}, column 'a'"
    assert re.fullmatch(where, data.positions()((last, 0)))
    assert re.fullmatch(where, data.positions().some(np.arange(last + 1) > 3)((last - 4, 0)))


def test_a_message_on_a_series_names_the_file_and_the_row_within_it(tmp_path: Path) -> None:
    windows = isthmus.data.readers.read_windows(write(tmp_path, list(range(N)), list(range(N))), ReadOptions(window=4))
    assert windows.at((N // 2, 1, 1)) == f"row {N // 2 + 1} of {tmp_path / 'part-0.parquet'}, channel 'c'"
    assert windows.at((N + 1, 3, 2)) == f"row 4 of {tmp_path / 'part-1.parquet'}, channel 'b'"


def in_folders(base: Path, **folders: list[str]) -> Path:
    """A file of ten rows in each of some folders, such as month=01."""
    for name, values in folders.items():
        for number, value in enumerate(values):
            place = base / f"{name}={value}"
            place.mkdir(parents=True)
            rows = np.random.default_rng(number).random((10, 2))
            pq.write_table(pa.table({"a": rows[:, 0], "b": rows[:, 1]}), place / "part.parquet")
    return base


@pytest.mark.parametrize("options", [{}, {"cache": 0}])
def test_a_folder_alone_has_the_values_that_it_has_in_training(tmp_path: Path, options: Any) -> None:
    """A folder month=01 is a number among numbers, and a text among texts."""
    whole = isthmus.data.read(in_folders(tmp_path / "all", month=["01", "north", "south"]), **options)
    assert any("month (texts)" in note for note in whole.notes)
    alone = isthmus.data.read(
        tmp_path / "all/month=01", reused=Reused(ReadOptions(), table=whole.table, missing=False), **options
    )
    np.testing.assert_array_equal(np.asarray(alone.train), np.asarray(whole.train)[:10])
    numbers = isthmus.data.read(in_folders(tmp_path / "numbers", month=["01", "02"]), **options)
    assert any("month (whole numbers)" in note for note in numbers.notes)
    assert np.asarray(numbers.train)[:, 2].tolist() == [1.0] * 10 + [2.0] * 10
    with pytest.raises(DataError, match="month"):
        isthmus.data.read(
            tmp_path / "all/month=south", reused=Reused(ReadOptions(), numbers.columns, table=numbers.table), **options
        )


@pytest.mark.parametrize("options", [{}, {"cache": 0}])
@pytest.mark.promise(26)
def test_labels_and_groups_of_folders_keep_their_zeros(tmp_path: Path, options: Any) -> None:
    base = in_folders(tmp_path, code=["01", "02"])
    assert set(isthmus.data.read(base, labels="code", **options).train_labels) == {"01", "02"}
    assert set(isthmus.data.read(base, by="code", **options).groups) == {"01", "02"}
    assert set(isthmus.data.read(base, id="code", **options).ids) == {"01", "02"}
    assert set(isthmus.data.read(f"{base}/*2/*", labels="code", **options).train_labels) == {"02"}
