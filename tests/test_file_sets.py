"""The files of a data set: what a pattern or a folder stands for, and what is left out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from test_cli import run

from isthmus.data.file_sets import file_set, is_file_set
from isthmus.errors import DataError


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"content")
    return folder


def test_files_are_sorted_by_name_whatever_the_order_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "b.parquet", "a/z.parquet", "a.parquet", "c/d/e.pq")
    expected = ("a.parquet", "a/z.parquet", "b.parquet", "c/d/e.pq")
    assert file_set(tmp_path).names() == expected
    assert file_set(tmp_path / "**").names() == expected
    assert file_set(tmp_path / "**/*.parquet").names() == expected[:3]
    assert file_set(tmp_path / "*.parquet").names() == ("a.parquet", "b.parquet")
    assert file_set(tmp_path / "[ab]*").names() == expected[:3]  # a folder that matches stands for its files
    assert file_set(tmp_path / "*/*.parquet").names() == ("a/z.parquet",)


def test_a_relative_pattern_starts_at_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.npy", "b.npy")
    monkeypatch.chdir(tmp_path)
    assert file_set("?.npy").files == (Path("a.npy"), Path("b.npy"))


def test_hidden_files_and_those_of_writers_are_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", "_SUCCESS", ".a.parquet.crc", "_temporary/0/b.parquet", "notes.txt")
    found = file_set(tmp_path)
    assert found.names() == ("a.parquet",)
    assert found.notes == (
        "3 entries whose names begin with . or _ were left out: .a.parquet.crc, _SUCCESS, _temporary",
        "1 entry of another format was left out: notes.txt",
    )
    assert file_set(tmp_path / "_temporary/0/*").names() == ("b.parquet",)


def test_names_of_folders_hold_columns(tmp_path: Path) -> None:
    write(tmp_path, "year=2023/kind=a%20b/x.parquet", "year=2024/kind=__HIVE_DEFAULT_PARTITION__/x.parquet")
    found = file_set(tmp_path)
    assert [each[:2] for each in found.partitions] == [("year", (2023, 2024)), ("kind", ("a b", None))]
    assert found.notes == ("the names of the folders hold columns: year (whole numbers), kind (texts)",)
    only = file_set(tmp_path / "year=2024")  # has the same columns
    assert [each.name for each in only.partitions] == ["year", "kind"]
    assert only.base == tmp_path
    write(tmp_path, "other/x.parquet")
    with pytest.raises(DataError, match=r"hold no columns, and those of|such as year=2024/"):
        file_set(tmp_path)


def test_errors_name_the_file_and_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", "b.npy", "c.txt")
    with pytest.raises(DataError, match=r"different formats, such as .*a\.parquet and .*b\.npy"):
        file_set(tmp_path)
    with pytest.raises(
        DataError, match=r"matches no .parquet, .* \(1 entry of another format was left out: c.txt\): check"
    ):
        file_set(tmp_path / "*.txt")
    with pytest.raises(DataError, match=r"matches no .parquet"):
        file_set(tmp_path / "x*.parquet")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        file_set(tmp_path / "nowhere/*.parquet")


def test_links_and_pipes_are_refused_and_linked_folders_are_named(tmp_path: Path) -> None:
    write(tmp_path, "real/a.parquet", "set/b.parquet")
    (tmp_path / "set/linked").symlink_to(tmp_path / "real")
    assert file_set(tmp_path / "set").notes == ("1 entry that is a link to a folder was left out: linked",)
    (tmp_path / "set/c.parquet").symlink_to(tmp_path / "real/a.parquet")
    with pytest.raises(DataError, match=r"c\.parquet is a symbolic link"):
        file_set(tmp_path / "set/*.parquet")
    (tmp_path / "set/c.parquet").unlink()
    os.mkfifo(tmp_path / "set/d.parquet")
    with pytest.raises(DataError, match=r"d\.parquet is not a regular file"):
        file_set(tmp_path / "set")


def test_what_is_a_set_of_files(tmp_path: Path) -> None:
    assert is_file_set(write(tmp_path / "tables", "deep/a.parquet"))
    assert is_file_set(tmp_path / "nothing*.parquet")  # an error of the reader says that nothing matches
    assert not is_file_set(write(tmp_path / "photos", "a.parquet", "a.png"))
    assert not is_file_set(write(tmp_path / "sound", "a.npy", "a.wav"))
    assert not is_file_set(write(tmp_path / "others", "a.csv", "_b.parquet"))
    assert not is_file_set(tmp_path / "tables/deep/a.parquet")
    np.save(tmp_path / "what[1].npy", np.zeros(3))
    assert not is_file_set(tmp_path / "what[1].npy")  # a file with such a name


def test_a_pattern_without_quotes_is_named(tmp_path: Path) -> None:
    """The shell replaces it by the names of files."""
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.zeros((3, 2)))
    done = run("score", "run", "--data", "a.npy", "b.npy", "--out", "scores/", cwd=tmp_path)
    assert done.returncode == 2
    assert "put a pattern in quotes, as in --data 'folder/*.parquet'" in done.stderr
    assert "quotes" not in run("score", "run", "nonsense", cwd=tmp_path).stderr


def result(path: Path, columns: list[str] | None = None) -> Path:
    """A result of a bulk command, as far as its record says."""
    columns = columns or ["row", "score"]
    key = "0123456789abcdef0123"
    record = json.dumps({"key": key, "rows": 1, "columns": columns})
    table = pyarrow.table({name: [1.0] for name in columns}).replace_schema_metadata({"isthmus.task": record})
    path.mkdir(parents=True, exist_ok=True)
    path = path / f"part-00000-{key[:16]}.parquet"
    pyarrow.parquet.write_table(table, path)
    return path


def test_results_of_an_earlier_command_are_no_data(tmp_path: Path) -> None:
    made = result(tmp_path / "codes")
    alone = file_set(tmp_path)
    assert alone.names() == (f"codes/{made.name}",)
    assert alone.notes == ("all files are results of an earlier command, and are read as data",)
    write(tmp_path, "a.npy")
    found = file_set(tmp_path)
    assert found.names() == ("a.npy",)
    assert found.notes == (f"1 entry that is a result of an earlier command was left out: {made.name}",)
    (tmp_path / "a.npy").unlink()
    named = pyarrow.table({"isthmus.task": [1.0]})  # a column of this name is no record
    pyarrow.parquet.write_table(named, tmp_path / "b.parquet")
    assert file_set(tmp_path).names() == ("b.parquet",)


@pytest.mark.promise(27)
def test_tables_that_are_made_from_results_are_data(tmp_path: Path) -> None:
    """pyarrow copies the record of a result to each table that is made from it."""
    made = result(tmp_path / "codes")
    table = pyarrow.parquet.read_table(made)
    cases = {"merged.parquet": table, made.name: table.append_column("more", [[1.0]])}
    cases |= {f"twice-{made.name}": pyarrow.concat_tables([table, table])}
    for number, (name, own) in enumerate(cases.items()):
        (tmp_path / f"own{number}").mkdir()
        pyarrow.parquet.write_table(own, tmp_path / f"own{number}" / name)
        assert file_set(tmp_path / f"own{number}").notes == ()
    write(tmp_path, "others/b.parquet")
    assert len(file_set(tmp_path / "o*").files) == 4


@pytest.mark.promise(27)
@pytest.mark.parametrize("where", ["", "deep"])
def test_one_array_among_results_is_not_read_alone(where: str, tmp_path: Path) -> None:
    result(tmp_path)
    write(tmp_path / where, "stray.npy")
    with pytest.raises(DataError, match=r"different formats, such as .*parquet.* and .*stray\.npy|stray\.npy and"):
        file_set(tmp_path)


@pytest.mark.promise(27)
def test_results_beside_tables_with_the_same_columns_are_an_error(tmp_path: Path) -> None:
    made = result(tmp_path / "codes")
    pyarrow.parquet.write_table(pyarrow.table({"score": [1.0], "row": [0]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=rf"{made.name} is a result .*a\.parquet has the same columns: give a pattern"):
        file_set(tmp_path)
