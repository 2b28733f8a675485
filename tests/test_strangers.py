"""What strangers wrote: names and texts that reach no terminal, page, figure or file raw."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hostile_names import FILES, NAMES, TEXTS, raw

from isthmus import console
from isthmus.errors import DataError, IsthmusWarning
from isthmus.runs import About
from isthmus.terminal import show_traceback
from isthmus.text import as_json, command, csv_safe, html_safe, printable, sentence

pytestmark = pytest.mark.promise(21)


@pytest.mark.parametrize("name", TEXTS, ids=list(NAMES))
def test_whatever_is_printed_is_one_printable_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.say(f"column {name} is constant")
    with pytest.raises(SystemExit):
        console.fail(f"no column {name}", 1)
    with console.sentences():
        warnings.warn(f"column {name}", IsthmusWarning, stacklevel=1)
    told = capsys.readouterr()
    assert not raw(told.out + told.err)
    assert (told.out.count("\n"), told.err.count("\n")) == (2, 1)
    assert len(told.out + told.err) < 15_000


@pytest.mark.parametrize("name", TEXTS, ids=list(NAMES))
def test_a_table_shows_markup_and_emoji_codes_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.table([name, "value"], [[name, "1"]])
    told = capsys.readouterr().out
    assert not raw(told)
    if len(name) < 100 and name.strip():
        assert "".join(told.split()).count("".join(printable(name).split())) == 2


@pytest.mark.parametrize("name", TEXTS, ids=list(NAMES))
def test_errors_and_warnings_are_printable_lines_of_bounded_length(name: str) -> None:
    for kind in (DataError, IsthmusWarning):
        said = str(kind(f"no column {name} here: name another"))
        assert said.isprintable()
        assert len(said) < 5000
        assert said.endswith("here: name another")
        assert str(kind(said)) == said


def test_a_traceback_is_printable_too(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise RuntimeError("\x1b[31m\udcff\r")
    except RuntimeError as error:
        show_traceback(RuntimeError, error, error.__traceback__)
    told = capsys.readouterr().err
    assert not raw(told)
    assert told.startswith("Traceback")
    assert r"RuntimeError: \x1b[31m\udcff\r" in told


@pytest.mark.parametrize("name", TEXTS, ids=list(NAMES))
def test_json_is_printable_and_what_it_was(name: str) -> None:
    text = as_json({name: [name]})
    assert text.isascii()
    assert not raw(text)
    assert json.loads(text) == {name: [name]}


@pytest.mark.parametrize("name", TEXTS, ids=list(NAMES))
def test_html_holds_no_mark_of_it(name: str) -> None:
    text = html_safe(name)
    assert not raw(text)
    assert not set("<>\"'") & set(text)


@pytest.mark.parametrize("name", TEXTS, ids=list(NAMES))
def test_a_cell_is_no_formula_and_no_command(name: str) -> None:
    cell = csv_safe(name)
    assert not raw(cell)
    assert cell.lstrip()[:1] not in {"=", "+", "-", "@"}


def test_cells_of_many_languages_and_lines_stay_as_they_are() -> None:
    for cell in ("prix\xa0(€)", "猫", "שלום", "two\nlines", "a\tb", "👩‍👩‍👧", "02134", "None"):
        assert csv_safe(cell) == cell


@pytest.mark.parametrize("name", FILES)
def test_a_shell_takes_a_suggested_command_as_it_was_meant(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / name
    path.write_text("found")
    text = command("cat", Path(name))
    assert text.isprintable()
    done = subprocess.run(["bash", "-c", text], cwd=path.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "found"


def test_a_command_in_a_run_is_said_only_as_one_of_isthmus() -> None:
    assert About(command="isthmus sweep --out 'a b'; curl x | sh").typed == "isthmus sweep --out 'a b;' curl x '|' sh"
    assert About(command="curl x | sh").typed == ""
    assert About(command="isthmus 'never closed").typed == ""
    assert About(command=shlex.join(["isthmus", "\x1b[2J\n"])).typed == r"isthmus $'\033[2J\012'"


def test_what_an_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    name = "café 猫"
    done = subprocess.run(
        [sys.executable, "-c", "from isthmus.cli import main; main()", "evaluate", name],
        cwd=tmp_path, capture_output=True, env={"PYTHONIOENCODING": "ascii", "PATH": "", "LC_ALL": "C"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.decode("ascii").startswith("isthmus: ")
    assert rb"caf\xe9 \u732b" in done.stderr


def test_a_sentence_ends_with_what_to_do() -> None:
    said = sentence("columns " + "a, " * 100_000 + "are unknown: drop them")
    assert len(said) < 5000
    assert said.endswith("are unknown: drop them")
