"""Parquet tables: what pandas adds to them, ids, and whole numbers that float64 does not have."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from isthmus.data import read


def test_the_pandas_index_in_parquet_is_excluded_unless_requested(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"a": [0.5, 1.5, 2.5], "__index_level_0__": [7, 3, 9]}), path)
    found = read(path)
    assert found.columns == ("a",)
    assert "left out: column '__index_level_0__', the index that pandas wrote" in found.notes
    assert read(path, columns="a,__index_level_0__").columns == ("a", "__index_level_0__")
    named = read(path, id="__index_level_0__")
    assert named.ids is not None
    assert named.ids.tolist() == ["7", "3", "9"]


@pytest.mark.parametrize("kind", [pyarrow.int64(), pyarrow.float64()])
def test_ids_in_parquet_are_named_as_in_text(kind: pyarrow.DataType, tmp_path: Path) -> None:
    path, n = tmp_path / "x.parquet", 20
    ids = pyarrow.array(range(n), kind), pyarrow.array([(7 * each) % n * 3 for each in range(n)], kind)
    classes = pyarrow.array([each % 3 for each in range(n)], kind)
    parquet.write_table(pyarrow.table({"row": ids[0], "key": ids[1], "class": classes}), path)
    note = " ".join(read(path).notes)
    assert "row (it counts the rows), key are a different whole number in every row" in note
    assert "class" not in note


@pytest.mark.parametrize("other", [0.5, None])
def test_integers_of_parquet_beyond_2_53_are_exact_or_named(other: float | None, tmp_path: Path) -> None:
    path, large = tmp_path / "x.parquet", 2**53 + 1
    parquet.write_table(pyarrow.table({"large": [large, -large], "small": [1, 2]}), path)
    exact = read(path)
    assert exact.train.tolist() == [[large, 1], [-large, 2]]
    assert not exact.notes
    second = {"large": [1, -large], "other": [other, 1]}
    parquet.write_table(pyarrow.table(second), path)
    assert any("read rounded" in note and ": large;" in note for note in read(path).notes)
    ids = read(path, id="large").ids
    assert ids is not None
    assert ids.tolist() == ["1", str(-large)]
