"""Tables as people have them are read as they are meant, or refused in a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from hostile_tables import TABLES, Right, Table

from isthmus.data import Dataset, read
from isthmus.data.options import ReadOptions, Reused
from isthmus.errors import DataError

LONGEST = 1_000  # characters of a sentence


def written(table: Table, folder: Path) -> Path:
    path = folder / f"x{table.suffix}"
    path.write_bytes(table.content)
    return path


def check(found: Dataset, right: Right) -> None:
    np.testing.assert_array_equal(found.train, np.array(right.values, float))
    assert found.train.dtype == np.float64
    assert found.kind == "table"
    assert found.columns == right.columns
    notes = "\n".join(found.notes)
    for words in right.notes:
        assert words in notes
    assert all(len(note) < LONGEST and note.isprintable() for note in found.notes)
    if right.labels is not None:
        assert found.train_labels is not None
        assert found.train_labels.tolist() == right.labels
    if right.ids is not None:
        assert found.ids is not None
        assert found.ids.tolist() == right.ids
    assert found.lines is not None
    assert right.lines is None or found.lines.tolist() == right.lines
    assert len(found.lines) == len(found.train)


def test_a_text_far_down_is_no_table_below_a_title(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("".join(f"{i}\n" for i in range(399)) + "n/a; see note\n7\n")
    with pytest.raises(DataError, match=r"\(--skip-lines 400, skip_lines='400'\)"):
        read(tmp_path / "x.csv")


@pytest.mark.parametrize(("ids", "kind"), [("2020-01-{:02}", "dates"), ("{}", "numbers")])
def test_a_total_below_a_table_with_ids_is_noted(ids: str, kind: str, tmp_path: Path) -> None:
    rows = "".join(f"{ids.format(day)};{day},5;{day * day}\n" for day in range(1, 29))
    (tmp_path / "x.csv").write_text(f"day;level;flow\n{rows}Total;420;7714\n")
    found = read(tmp_path / "x.csv", id="day")
    (note,) = [note for note in found.notes if "Total" in note]
    assert note.startswith(f"line 30 has 'Total' in the id column day, whose other cells are {kind}; it is used as an")
    assert note.endswith("(--skip-lines 30, skip_lines='30')")
    assert len(read(tmp_path / "x.csv", id="day", skip_lines=30).train) == 28
    (tmp_path / "y.csv").write_text(f"day;level;flow\n{rows}")
    assert not [note for note in read(tmp_path / "y.csv", id="day").notes if "in the id column" in note]


def test_rows_of_a_sheet_are_skipped_by_number(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["Report"], [], ["a", "b"], ["m", "kg"], [1, 2], [3, 4], ["Total", 6]):
        book.active.append(row)
    book.save(tmp_path / "x.xlsx")
    with pytest.raises(DataError, match=r"--skip-lines 1-2, skip_lines='1-2'"):
        read(tmp_path / "x.xlsx")
    with pytest.raises(DataError, match=r"--skip-lines 1,4, skip_lines='1,4'"):
        read(tmp_path / "x.xlsx", skip_lines=1)
    found = read(tmp_path / "x.xlsx", skip_lines=[1, 4, 7])
    check(found, Right([[1, 2], [3, 4]], ("a", "b"), ("left out of", "as requested: lines 1, 4, 7"), lines=[5, 6]))
    with pytest.raises(DataError, match="has 7 lines, and line 8 cannot be left out"):
        read(tmp_path / "x.xlsx", skip_lines="1,4,7-8")


ODD = """
import sys
from isthmus.cli import main
sys.argv = ["isthmus", "data", "x.csv"]
main()
"""


@pytest.mark.thorough
def test_a_refused_table_ends_the_command_with_one_sentence(tmp_path: Path) -> None:
    rows = "".join(f"{i};2,{i};613,{i};11,25;no\n" for i in range(160))
    (tmp_path / "x.csv").write_text(
        f"Station 7, gauge\n\nday;level;flow;$cost;ok\n-;m;l/s;$;-\n{rows}Total;;48000,1;;\n"
    )
    done = subprocess.run([sys.executable, "-c", ODD], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    sentence = (
        "isthmus: line 3 of x.csv has 1 cell and the first row 2: give all rows the same number of cells, "
        "or leave out lines that are not rows (--skip-lines, skip_lines=)"
    )
    assert done.stderr.strip() == sentence


def test_skipped_lines_apply_to_one_file(tmp_path: Path) -> None:
    """A run whose table ended in a total leaves no row out of another table."""
    (tmp_path / "other.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
    reused = Reused(ReadOptions(skip_lines=4))
    assert len(read(tmp_path / "other.csv", reused=reused).train) == 3


@pytest.mark.promise(27)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_correctly_or_refused_with_one_sentence(name: str, tmp_path: Path) -> None:
    table = TABLES[name]
    path = written(table, tmp_path)
    if isinstance(table.right, Right):
        check(read(path, **table.options), table.right)
        return
    with pytest.raises(DataError, match=table.right) as caught:
        read(path, **table.options)
    sentence = str(caught.value)
    assert len(sentence) < LONGEST
    assert sentence.isprintable()
