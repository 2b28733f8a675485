"""Tables in many files: the same rows, kinds, labels and notes as from one table in memory, without holding it."""

from __future__ import annotations

import os
import pickle
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

import isthmus
from isthmus.cli import app
from isthmus.data.blocks import BlockRows
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.table_files import TableFiles
from isthmus.errors import DataError, RecordError
from isthmus.training.block_source import source_of_blocks

N = 60
ROLES = {"id": "id", "labels": "animal", "weights": "weight", "by": "patient"}


def some_table(seed: int, n: int = N) -> pa.Table:
    """Columns of all kinds, with missing values, words for missing values, and text that cannot be learned."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "id": [f"{seed}-{row}" for row in range(n)],
            "size": rng.random(n),
            "price": np.round(rng.random(n) * 9, 2),
            "count": pa.array([None if row % 9 == 0 else int(rng.integers(50)) for row in range(n)]),
            "open": pa.array([bool(row % 2) for row in range(n)]),
            "region": rng.choice(["DE", "FR", "IT", "NA"], n),
            "day": [f"20{20 + row % 4}-0{1 + row % 9}-11" if row % 7 else "n/a" for row in range(n)],
            "made": pa.array(rng.integers(10**9, 1.2 * 10**9, n), pa.timestamp("s")),
            "note": [f"text {rng.integers(10**9)}" for _ in range(n)],
            "animal": [None if row % 13 == 0 else str(rng.choice(["cat", "dog", ""])) for row in range(n)],
            "weight": rng.random(n),
            "patient": rng.integers(0, 5, n),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for seed in range(3):
        columns = some_table(seed)
        names = columns.column_names if seed else columns.column_names[::-1]  # the order differs
        pq.write_table(columns.select(names), folder / f"part-{seed}.parquet", row_group_size=25)
    return folder


def one_file(folder: Path, name: str = "one.parquet") -> Path:
    """The rows of a folder in one file."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("part*.parquet"))]
    path = folder.with_name(name)
    pq.write_table(pa.concat_tables([each.select(tables[0].column_names) for each in tables]), path)
    return path


def same(large: isthmus.data.Dataset, small: isthmus.data.Dataset) -> None:
    """The two data sets differ in the memory that they take, and in nothing else."""
    assert isinstance(large.train, BlockRows)
    assert isinstance(small.train, np.ndarray)
    np.testing.assert_array_equal(np.asarray(large.train), np.asarray(small.train))
    assert large.train.dtype == small.train.dtype
    assert large.table == small.table
    for name in ("ids", "train_labels", "weights", "groups"):
        values, expected = getattr(large, name), getattr(small, name)
        assert (values is None) == (expected is None)
        if values is not None:
            assert np.asarray(values).tolist() == expected.tolist()
    assert (large.columns, large.id_name, large.label_name) == (small.columns, small.id_name, small.label_name)


def about_rows(notes: tuple[str, ...]) -> list[str]:
    """The notes without those that name the files."""
    return [note.partition(": ")[2] or note for note in notes if " group" not in note]


def test_columns_of_any_kind_are_encoded_as_in_memory(folder: Path) -> None:
    small = isthmus.data.read(folder, **ROLES)
    large = isthmus.data.read(folder / "*.parquet", cache=0, **ROLES)
    same(large, small)
    same(large, isthmus.data.read(one_file(folder), **ROLES))
    assert sorted(about_rows(large.notes)) == sorted(about_rows(small.notes))
    assert f"{folder}/*.parquet is 3 files, {3 * N} rows in 9 groups" in large.notes
    assert [each.kind for each in large.table.columns if each.name == "day"] == ["date"]
    assert large.summary().count("in 3 files") == 1


@pytest.mark.parametrize(
    "options",
    [
        {"columns": "size,count,open"},
        {"columns": "size,price", "na_values": "0.5"},
        {"drop": "note", "na_values": ["NA", "7"], "kinds": {"count": "category", "region": ["IT", "FR", "DE"]}},
        {"columns": "region,count", "kinds": {"count": "number"}},
    ],
)
def test_options_apply_as_in_memory(folder: Path, options: dict[str, Any]) -> None:
    small, large = isthmus.data.read(folder, **options), isthmus.data.read(folder, cache=0, **options)
    same(large, small)
    assert sorted(about_rows(large.notes)) == sorted(about_rows(small.notes))


@pytest.mark.parametrize(
    "options",
    [
        {"columns": "nothing"},
        {"labels": "nothing"},
        {"kinds": {"nothing": "category"}},
        {"kinds": {"region": "number"}},
        {"kinds": {"region": ["IT", "FR"]}},
        {"columns": "note"},
    ],
)
def test_errors_are_those_of_a_table_in_memory(folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises((DataError, RecordError)) as small:
        isthmus.data.read(folder, **options)
    with pytest.raises(type(small.value)) as large:
        isthmus.data.read(folder, cache=0, **options)
    assert str(large.value) == str(small.value)


def test_a_run_reads_other_files_in_its_encoding(folder: Path, tmp_path: Path) -> None:
    first = isthmus.data.read(folder, **ROLES)
    new = some_table(9).set_column(5, "region", pa.array(["XX"] * N)).append_column("more", pa.array(range(N)))
    pq.write_table(new.drop_columns(["animal"]), tmp_path / "new.parquet", row_group_size=11)
    reused = Reused(ReadOptions(**ROLES), table=first.table)
    small, large = (isthmus.data.read(tmp_path / "new.parquet", reused=reused, cache=cache) for cache in (None, 0))
    same(large, small)
    assert any("categories that the training data did not have: region ('XX': 60)" in note for note in large.notes)
    assert sorted(about_rows(large.notes)) == sorted(about_rows(small.notes))
    with pytest.raises(DataError, match="correct them, or train with missing=allow"):
        isthmus.data.read(tmp_path / "new.parquet", reused=reused._replace(missing=False), cache=0)


def test_types_of_files_are_unified(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"a": pa.array([1, 2], pa.int8()), "b": ["x", "y"], "c": [2**60 + 1, 1]}), tmp_path / "1.pq"
    )
    columns = {"b": pa.array(["z", None], pa.large_string()), "a": [0.5, None], "c": [0.5, 1.5]}
    pq.write_table(pa.table(columns), tmp_path / "2.pq")
    pq.write_table(pa.table(columns).slice(0, 0), tmp_path / "3.pq")  # no rows
    small, large = (isthmus.data.read(tmp_path, cache=cache) for cache in (None, 0))
    same(large, small)
    numbers = [isthmus.data.read(tmp_path, columns="a,c", cache=cache) for cache in (None, 0)]
    assert numbers[0].train[:, 0].tolist()[:3] == [1, 2, 0.5]
    assert all(
        sum(note.startswith("read") and note.partition(": ")[2].startswith("c;") for note in each.notes) == 1
        for each in numbers
    )


def test_a_column_of_text_may_be_empty_in_one_file(tmp_path: Path) -> None:
    shops = [pa.nulls(30), pa.array(["north", None, "south"] * 10), pa.array(["east"] * 30).dictionary_encode()]
    for number, shop in enumerate(shops):
        pq.write_table(pa.table({"x": np.arange(30.0), "shop": shop}), tmp_path / f"{number}.parquet")
    large = isthmus.data.read(tmp_path, cache=0)
    same(large, isthmus.data.read(tmp_path))


def test_files_of_other_columns_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1.0], "b": [1.0]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet has no column 'b', which .*1\.parquet has"):
        isthmus.data.read(tmp_path)
    pq.write_table(pa.table({"a": [1.0], "b": ["x"]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"column 'b' holds double in .*1\.parquet and string in .*2\.parquet"):
        isthmus.data.read(tmp_path)
    (tmp_path / "2.parquet").write_bytes(b"PAR1 no PAR1")
    with pytest.raises(DataError, match=r"2\.parquet is a damaged Parquet file"):
        isthmus.data.read(tmp_path)


def test_columns_in_the_names_of_folders_are_columns(tmp_path: Path) -> None:
    for year, kind in ((2023, "a"), (2024, "b")):
        place = tmp_path / f"year={year}" / f"kind={kind}"
        place.mkdir(parents=True)
        pq.write_table(pa.table({"x": np.arange(9) + 0.5}), place / "0.parquet")
    small, large = (isthmus.data.read(tmp_path, cache=cache) for cache in (None, 0))
    same(large, small)
    assert large.columns == ("x", "year", "kind")
    assert np.asarray(large.train)[::9].tolist() == [[0.5, 2023, 0], [0.5, 2024, 1]]
    assert "the names of the folders hold columns: year (whole numbers), kind (texts)" in large.notes


@pytest.mark.parametrize("kind", ["file", "lz4", "stream"])
def test_arrow_files_are_read_as_parquet_files(folder: Path, tmp_path: Path, kind: str) -> None:
    for seed in range(3):
        table = some_table(seed).select(pq.read_schema(folder / "part-0.parquet").names)
        if kind == "lz4":
            pyarrow.feather.write_feather(table, tmp_path / f"{seed}.feather", chunksize=17)
            continue
        make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
        with make(tmp_path / f"{seed}.arrow", table.schema) as writer:
            writer.write_table(table, 17)
    large = isthmus.data.read(tmp_path, cache=0, **ROLES)
    same(large, isthmus.data.read(tmp_path, **ROLES))
    np.testing.assert_array_equal(np.asarray(large.train), isthmus.data.read(folder, **ROLES).train)


def test_large_groups_are_cut_and_read_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.data.tables.table_blocks._VALUES", 20)
    X = np.random.default_rng(0).random((103, 4))
    for number, part in enumerate((X[:50], X[50:])):
        pq.write_table(
            pa.table({f"c{n}": part[:, n] for n in range(4)}), tmp_path / f"{number}.parquet", row_group_size=42
        )
    rows = isthmus.data.read(tmp_path, cache=0).train
    assert rows.sizes.max() == 5
    assert list(dict.fromkeys(rows.names)) == ["0.parquet", "1.parquet"]
    order = np.random.default_rng(1).permutation(103)
    np.testing.assert_array_equal(rows.take(order), X[order])
    np.testing.assert_array_equal(np.asarray(rows), X)
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(rows))[7:90]), X[7:90])
    for number in (3, 4, 2, 3, 9, 10, 4):  # after one that is not the block before
        np.testing.assert_array_equal(rows.read_block(number), X[rows.offsets[number] : rows.offsets[number + 1]])
    again = copy(rows)
    again.read_block(3), rows.read_block(4)
    np.testing.assert_array_equal(again.read_block(4), rows.read_block(4))


def test_parts_of_a_group_are_trained_on_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a part decodes those before it, unless it follows the one that was read last."""
    monkeypatch.setattr("isthmus.data.tables.table_blocks._VALUES", 20)
    monkeypatch.setattr("isthmus.training.block_source.WINDOW_BYTES", 1000)
    for number in range(3):
        table = pa.table({f"c{n}": np.random.default_rng(number).random(40) for n in range(4)})
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=20)
    rows = isthmus.data.read(tmp_path, cache=0).train
    starts, read = list[tuple[int, int]](), TableFiles.batches_of

    def counted(files: TableFiles, group: Any, *others: Any) -> Any:
        starts.append((group.file, group.group))
        return read(files, group, *others)

    monkeypatch.setattr(TableFiles, "batches_of", counted)
    source = source_of_blocks(rows, torch.device("cpu"))
    indices = torch.cat(list(source.order(0, 1)))
    assert sorted(indices.tolist()) == list(range(120))
    read_rows = torch.cat([source[part] for part in indices.split(7)])
    source.stop_prefetch()
    assert sorted(starts) == [(file, group) for file in range(3) for group in range(2)]
    np.testing.assert_array_equal(read_rows.numpy(), np.asarray(rows)[indices.numpy()])


def test_a_file_that_changes_or_disappears_is_named(tmp_path: Path) -> None:
    for number in range(6):  # more than stay open
        pq.write_table(pa.table({"a": np.arange(9.0) + number, "b": np.arange(9.0)}), tmp_path / f"{number}.parquet")
    rows = isthmus.data.read(tmp_path, cache=0).train
    rows.read_block(3)
    pq.write_table(pa.table({"a": np.zeros(9), "b": np.zeros(9)}), tmp_path / "3.parquet")
    os.utime(tmp_path / "3.parquet", (1, 1))
    with pytest.raises(DataError, match=r"3\.parquet was changed while it was read"):
        rows.read_block(3)
    (tmp_path / "4.parquet").unlink()
    with pytest.raises(DataError, match=r"4\.parquet was removed while it was read|there is no"):
        rows.read_block(4)


def test_more_values_than_are_held_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.data.tables.text_summaries.HELD", 20)
    pq.write_table(pa.table({"x": np.arange(90.0), "t": [f"t{n}" for n in range(90)]}), tmp_path / "x.parquet")
    large = isthmus.data.read(tmp_path / "x.parquet", cache=0)
    assert large.table.left_out == (("t", "more than 20 different values"),)


def test_shards_of_an_array(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8), np.uint8)
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", images[number * 10 : number * 10 + 10])
    small, large = (isthmus.data.read(f"{tmp_path}/*.npy", cache=cache) for cache in (None, 0))
    assert small.kind == large.kind == large.train.kind == "images"
    np.testing.assert_array_equal(np.asarray(large.train), images)
    np.testing.assert_array_equal(small.train, images)
    np.save(tmp_path / "2.npy", images[:, :4])
    with pytest.raises(DataError, match=r"2\.npy was changed"):
        np.asarray(large.train)
    with pytest.raises(DataError, match=r"2\.npy has rows of shape \(4, 8\), uint8, and .*0\.npy of shape \(8, 8\)"):
        isthmus.data.read(tmp_path)
    np.save(tmp_path / "2.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"2\.npy has the shape \(3,\): expected examples"):
        isthmus.data.read(tmp_path)


def test_a_series_in_many_files_is_read_as_one(tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((60, 2))
    for number in range(3):
        part = X[number * 20 : number * 20 + 20]
        pq.write_table(pa.table({"a": part[:, 0], "b": part[:, 1]}), tmp_path / f"{number}.parquet")
    pq.write_table(pa.table({"a": X[:, 0], "b": X[:, 1]}), tmp_path / "_one.parquet")
    windows, expected = (
        isthmus.data.read(tmp_path / name, window=8, step=4).train for name in ("*.parquet", "_one.parquet")
    )
    np.testing.assert_array_equal(np.asarray(windows), np.asarray(expected))
    with pytest.raises(DataError, match="cache"):
        isthmus.data.read(some_text(tmp_path), cache=0)


def some_text(folder: Path) -> Path:
    (folder / "x.csv").write_text("a,b\n1,2\n")
    return folder / "x.csv"


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_a_damaged_file_is_named_and_ends_no_process(tmp_path: Path, kind: str) -> None:
    """A text that begins outside of the file or is no UTF-8, a category that does not exist: a sentence, or values as they are."""
    rng, path = np.random.default_rng(3), tmp_path / ("x.parquet" if kind == "parquet" else "x.arrow")
    table = some_table(0).select(["size", "region", "note", "count"])
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=25)
    else:
        with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(path, table.schema) as writer:
            writer.write_table(table, 25)
    content, refused = path.read_bytes(), 0
    for _ in range(40):
        damaged = bytearray(content)
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            np.asarray(isthmus.data.read(path, cache=0).train)
        except DataError:  # any other error fails
            refused += 1
    assert 0 < refused < 40


def test_a_part_of_a_damaged_set_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in folder.glob("*.parquet"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = (tmp_path / "part-1.parquet").read_bytes()
    (tmp_path / "part-1.parquet").write_bytes(content[:200] + bytes(100) + content[300:])
    with pytest.raises(DataError, match=r"part-1\.parquet is a damaged Parquet file"):
        isthmus.data.read(tmp_path, cache=0)
    monkeypatch.setattr("isthmus.data.tables.table_files._MAX_UNPACKED", 2**20)
    pq.write_table(pa.table({"a": pa.nulls(10**6, pa.int8())}), tmp_path / "many.parquet")
    with pytest.raises(DataError, match=r"many\.parquet declares 8,000,000 bytes of values in a file of"):
        isthmus.data.read(tmp_path / "m*.parquet")


def run(*words: object, code: int = 0) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output + str(result.exception)


def test_the_summary_is_that_of_a_table_in_memory(folder: Path) -> None:
    words = ["data", folder / "*.parquet", "--columns", "size,count,region,day,open"]
    small, large = (run(*words, *cache) for cache in ([], ["--cache", "0"]))
    rows = [text[text.index("column ") :] for text in (small, large)]
    assert rows[0] == rows[1]
    assert "is 3 files, 180 rows in 9 groups" in large


@pytest.mark.thorough
def test_verbs_read_patterns(folder: Path, tmp_path: Path) -> None:
    path = folder / "*.parquet"
    data = isthmus.data.read(path, cache=0, id="id", drop="note,animal,weight,patient")
    ae = isthmus.Autoencoder(2, epochs=1, missing="allow").fit(data.train)
    assert ae.table_ == data.table
    ae.save(tmp_path / "model.safetensors")
    codes = ae.encode(np.asarray(data.train))
    np.testing.assert_array_equal(ae.encode(data.train), codes)
    run(
        "encode",
        tmp_path / "model.safetensors",
        "--data",
        path,
        "--cache",
        "0",
        "--id",
        "id",
        "--out",
        tmp_path / "c.csv",
    )
    lines = (tmp_path / "c.csv").read_text().splitlines()
    assert (lines[1].split(",")[0], lines[-1].split(",")[0], len(lines)) == ("0-0", "2-59", 181)
    words = ["--data", path, "--cache", "0", "--out", tmp_path / "whole.csv"]
    assert "whole.csv, 180 rows of " in run("impute", tmp_path / "model.safetensors", *words)
