"""Excel files that are small and become large: counted before a library makes objects of them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from isthmus import data
from isthmus.errors import DataError, MemoryLimitError

openpyxl = pytest.importorskip("openpyxl")

SHEET, SPACE = "xl/worksheets/sheet1.xml", "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
ROW = "<row><c><v>1</v></c><c><v>2</v></c></row><row><c><v>3</v></c><c><v>5</v></c></row>"


def book(path: Path, inside: str, times: int = 0, part: str = SHEET, head: str = ROW) -> Path:
    """An Excel file, one part of which is replaced: by rows and then a text many times."""
    whole = openpyxl.Workbook()
    whole.active.append([1.5, 2.5])
    whole.save(path.with_suffix(".plain"))
    with zipfile.ZipFile(path.with_suffix(".plain")) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.namelist():
            if each != part:
                new.writestr(each, old.read(each))
        around = ("worksheet", "sheetData") if part == SHEET else ("a", "b")
        text = f'<{around[0]} xmlns="{SPACE}"><{around[1]}>{head}{inside * times}</{around[1]}></{around[0]}>'
        new.writestr(part, text)
    return path


@pytest.mark.parametrize(
    ("inside", "part", "said"),
    [
        ("<row/>", SHEET, "holds more than 2,097,152 rows or texts"),
        ("<x:row />", SHEET, "holds more than 2,097,152 rows or texts"),
        ("<c/>", SHEET, "holds more than 1,048,576 tags in one row or part"),
        ("<row/>", "xl/styles.xml", "holds more than 1,048,576 tags in one row or part"),
        ("<a/>", "docProps/core.xml", "holds more than 1,048,576 tags in one row or part"),
        ("<si/>", "xl/sharedStrings.xml", "holds more than 2,097,152 rows or texts"),
    ],
)
def test_a_small_file_of_many_tags_is_refused_before_it_is_parsed(
    inside: str, part: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tag becomes an object: such a file of 0.4 MB took 4 GB."""
    monkeypatch.setattr(openpyxl, "load_workbook", None)
    path = book(tmp_path / "t.xlsx", inside, 2_200_000, part)
    with pytest.raises(DataError, match=f"t.xlsx {said}, more than a sheet may have: if you trust it, save it as .csv"):
        data.load(path)


def test_entities_are_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", '<!DOCTYPE a [<!ENTITY b "<c/>">]>', 1, "docProps/core.xml")
    with pytest.raises(DataError, match=r"declares types of its own"):
        data.load(path)


def test_rows_with_a_distant_last_column_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row with one cell at its end is filled up to it: 7 kB became 4 GB."""
    path = book(tmp_path / "t.xlsx", '<row><c r="XFD1"><v>1</v></c></row>', 100, head="")
    assert data.load(path, header=False).train.nbytes < 1 << 26
    monkeypatch.setattr("isthmus.io.memory_limit._USUAL", 1 << 20)
    monkeypatch.setattr("isthmus.io.memory_limit._SMALL", 1 << 20)
    monkeypatch.setattr("isthmus.io.memory_limit._PROPORTION", 1)
    with pytest.raises(MemoryLimitError, match=r"the table of .*t\.xlsx would take about"):
        data.load(path, header=False)


def test_a_row_with_an_excessive_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library counts up to it: 5 kB took hours."""
    monkeypatch.setattr("isthmus.data.tables.excel._MAX_LINES", 2000)
    path = book(tmp_path / "t.xlsx", '<row r="2000000000"><c><v>1</v></c><c><v>2</v></c></row>', 1)
    with pytest.raises(
        DataError,
        match=r"t\.xlsx has too many empty rows or cells, before line 2001: if you trust it, save it as \.csv",
    ):
        data.load(path, header=False)


@pytest.mark.parametrize("cell", ['<c r="ZZZ1"/>', '<c r="ZZZ1"><v>1</v></c>'])
def test_many_rows_with_a_distant_last_column_take_little_time(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below ordinary rows, which say how wide the table is: 7 kB took minutes."""
    path = book(tmp_path / "t.xlsx", f"<row>{cell}</row>", 20_000, head=ROW * 150)
    monkeypatch.setattr("isthmus.data.tables.excel._MAX_REACH", 1 << 22)
    with pytest.raises(
        DataError, match=r"too many empty rows or cells, before line|has 18278 cells and the first rows 2"
    ):
        data.load(path, header=False)


def test_a_tag_across_two_chunks_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("isthmus.data.tables.workbooks._MAX_ROWS", 1000)
    for size in (7, 300, 1024):
        monkeypatch.setattr("isthmus.data.tables.workbooks._CHUNK", size)
        assert data.load(book(tmp_path / "t.xlsx", ROW, 499), header=False).train.shape == (1000, 2)
        with pytest.raises(DataError, match="holds more than 1,000 rows"):
            data.load(book(tmp_path / "t.xlsx", ROW, 500), header=False)
