"""`isthmus data` shows what every column of a table holds, those that cannot be learned among them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from isthmus.cli import app
from isthmus.data import read
from isthmus.data.tables import parquet_tables, text_tables
from isthmus.data.tables.numbers import RelearnError
from isthmus.errors import DataError

N = 20
TABLE = {
    "row": list(range(N)),
    "a": [each % 7 + 0.5 for each in range(N)],
    "same": [3.5] * N,
    "when": [f"2020-01-{each + 1:02}" for each in range(N)],
    "odd kind": ["x" if each % 2 else "" for each in range(N)],
    "name": [f"k{each}" for each in range(N)],
}


def shown(path: Path, *words: str) -> dict[str, str]:
    """The lines of `isthmus data`, by their first word."""
    result = CliRunner().invoke(app, ["data", str(path), *words])
    assert result.exit_code == 0, result.output
    return {line.split()[0]: " ".join(line.split()) for line in result.output.splitlines() if line.strip()}


def table(folder: Path, suffix: str, columns: dict[str, list[Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"x{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pyarrow.table(columns), path)
    else:
        lines = zip(*columns.values(), strict=True)
        path.write_text("\n".join([",".join(columns), *(",".join(map(str, line)) for line in lines)]) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_every_column_is_listed_with_its_content_and_the_option_that_drops_it(suffix: str, tmp_path: Path) -> None:
    columns = {name: TABLE[name] for name in ("row", "a", "same")} | {"late one": ["1"] * 15 + ["x"] * 5}
    path = table(tmp_path, suffix, columns)
    found = shown(path)
    assert "numbers, counts the rows" in found["row"]
    assert "numbers 0" in found["a"]
    assert "numbers, constant" in found["same"]
    assert found["late"].startswith("late one numbers and text 0 ")
    assert found["3"] == "3 of 4 columns can be features, with --drop 'late one'"
    words = shlex.split(found["3"].partition("with ")[2])
    assert read(path, drop=words[1]).columns == ("row", "a", "same")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_categories_dates_and_what_is_left_out_are_listed(suffix: str, tmp_path: Path) -> None:
    found = shown(table(tmp_path, suffix, TABLE))
    assert found["row"].startswith("row integer 0 0 9.5 19")
    assert found["a"].startswith("a number 0 0.5 3.35 6.5")
    assert found["when"].startswith("when date 0 2020-01-01 2020-01-11 2020-01-20")
    constant = "odd kind category, constant, most often x 10 (0.5 of all)"
    assert found["odd"].startswith(constant if suffix == ".csv" else "odd kind category of 2, "), (
        "Parquet has empty text"
    )
    assert found["name"].startswith("name left out: unique")
    assert "of 6 columns" not in " ".join(found.values())


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_na_is_text_among_labels_and_missing_among_categories_of_text_files(suffix: str, tmp_path: Path) -> None:
    """A Parquet file has true gaps, so that NA is a word there."""
    oak = "3, most often oak 6 (" if suffix == ".csv" else "4, most often oak 3 ("
    cells = {
        "a": [1, 2, 3, 4, 5, 6],
        "kind": ["oak", "None", "NA", "oak", "", "elm"],
        "when": ["2020-01-01", "NA", "", "2020-01-02", "2020-01-02", "2020-01-03"],
        "late": ["1", "None", "3", "x", "NA", "6"],
    }
    cells, path = {name: 3 * values for name, values in cells.items()}, tmp_path / f"x{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pyarrow.table({k: [None if c == "" else c for c in v] for k, v in cells.items()}), path)
    else:
        rows = zip(*cells.values(), strict=True)
        path.write_text("\n".join([",".join(cells), *(",".join(map(str, row)) for row in rows)]) + "\n")
    for words in ((), ("--labels", "kind"), ("--id", "late")):
        found = shown(path, *words)
        assert "kind" in words or found["kind"].startswith(f"kind category of {oak}")
        assert found["when"].startswith("when date 6 (")
        assert "late" in words or found["late"].startswith("late numbers and text 0 ")
    labels = read(path, labels="kind", drop=["when", "late"]).train_labels
    assert labels is not None
    assert labels.tolist() == 3 * ["oak", "None", "NA", "oak", None, "elm"]


def test_a_table_without_numbers_is_listed(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\nx,2020-01-01\nz,2020-01-02\n")
    found = shown(tmp_path / "x.csv")
    assert found["a"].startswith("a category of 2, most often x")
    assert found["b"].startswith("b date")
    (tmp_path / "one.csv").write_text("a\nx\nz\n")
    found = shown(tmp_path / "one.csv")
    assert found["a"].startswith("a text")
    assert "no column can be used as a feature" in found["no"]


@pytest.mark.parametrize(
    ("title", "lines"), [("Gauge Kiel;;\n", "1"), ("Gauge Kiel\n", "1"), ("Gauge Kiel;;\n;;\n", "1-2")]
)
def test_the_error_for_a_title_above_the_names_says_how_to_skip_it(title: str, lines: str, tmp_path: Path) -> None:
    """A spreadsheet pads it with as many separators as the table has columns."""
    (tmp_path / "x.csv").write_text(f"{title}a;b;c\n1;2;3\n4;5;6\n")
    assert shown(tmp_path / "x.csv")["no"].endswith(f"; if the table is below a title: --skip-lines {lines}")
    again = CliRunner().invoke(app, ["data", str(tmp_path / "x.csv"), "--skip-lines", lines])
    assert again.exit_code == 0
    assert "2 examples" in again.output
    assert "below a title" not in again.output


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_error_lists_the_content_of_each_column(suffix: str, tmp_path: Path) -> None:
    """Of columns of numbers with a cell that is none."""
    columns = {"a": ["1", "2"], "when": ["2020-01-01", "2"], "kind": ["x", "1"], "day": ["2020-01-01", "3"]}
    path = table(tmp_path, suffix, columns)
    expected = r"column 'when' .*holds dates.*; so does day; kind holds text: .*--drop when,kind,day"
    if suffix == ".parquet":
        expected = r"column 'a' .*holds text; so do when, kind, day: .*--drop a,when,kind,day"
    with pytest.raises(DataError, match=expected):
        read(path)


def test_an_invalid_table_keeps_its_error(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\nx,1\nz,2,3\n")
    assert CliRunner().invoke(app, ["data", str(tmp_path / "x.csv")]).exit_code != 0


@pytest.mark.parametrize(
    ("suffix", "module", "function", "readings"),
    [(".csv", text_tables, "text_blocks", 2), (".parquet", parquet_tables, "_blocks", 2)],
)
def test_one_pass_finds_the_content_of_all_columns(
    suffix: str, module: ModuleType, function: str, readings: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text is read from its beginning once more, where its first block shows which columns hold no numbers; typed columns once more."""
    begun, blocks = [], getattr(module, function)

    def counted(*given: Any) -> Iterator[Any]:
        begun.append(given)
        yield from blocks(*given)

    monkeypatch.setattr(module, function, counted)
    found = shown(table(tmp_path, suffix, TABLE))
    assert found["when"].startswith("when date")
    assert found["name"].startswith("name left out: unique")
    assert len(begun) == readings


def test_cells_count_once_where_a_table_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column may turn out to be written otherwise than its first cells said: then its table is read from the first row."""
    taught, blocks = [], text_tables.text_blocks

    def doubted(*given: Any) -> Iterator[Any]:
        yield from blocks(*given)
        if len(taught) < 3:
            taught.append(given)
            raise RelearnError

    monkeypatch.setattr(text_tables, "text_blocks", doubted)
    found = shown(table(tmp_path, ".csv", TABLE))
    assert len(taught) == 3
    assert "category, constant, most often x 10 (0.5 of all)" in found["odd"]
    assert "unique" in found["name"]
