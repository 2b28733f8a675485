"""What strangers wrote: names and texts that reach no terminal, page, figure or file raw."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hostile_names import FILES, NAMES, TEXTS, raw
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from isthmus import Autoencoder, plots
from isthmus.bottlenecks import Identity
from isthmus.cli import console
from isthmus.data import load
from isthmus.errors import DataError, IsthmusWarning
from isthmus.experiments.run_record import RunInfo
from isthmus.io.terminal import show_traceback
from isthmus.plots.comparison import Line, error_curves, stacked_reconstructions, tradeoff
from isthmus.plots.figure import chart, png
from isthmus.plots.interactive import hover_map
from isthmus.plots.lettering import short_name
from isthmus.text import as_json, command, csv_safe, html_safe, printable, sentence

pytestmark = pytest.mark.promise(21)


@pytest.mark.parametrize("name", TEXTS, ids=list(NAMES))
def test_printed_text_is_one_printable_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.print_line(f"column {name} is constant")
    with pytest.raises(SystemExit):
        console.fail(f"no column {name}", 1)
    with console.warnings_as_notes():
        warnings.warn(f"column {name}", IsthmusWarning, stacklevel=1)
    told = capsys.readouterr()
    assert not raw(told.out + told.err)
    assert (told.out.count("\n"), told.err.count("\n")) == (2, 1)
    assert len(told.out + told.err) < 15_000


@pytest.mark.parametrize("name", TEXTS, ids=list(NAMES))
def test_tables_print_markup_and_emoji_codes_literally(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table([name, "value"], [[name, "1"]])
    told = capsys.readouterr().out
    assert not raw(told)
    if len(name) < 100 and name.strip():
        assert "".join(told.split()).count("".join(printable(name).split())) == 2


def test_a_cell_has_several_lines_only_in_a_table_of_our_own_text(capsys: pytest.CaptureFixture[str]) -> None:
    for multiline, lines in ((False, [r"a\nb"]), (True, ["a", "b"])):
        console.print_table(["cell"], [["a\nb"]], multiline=multiline)
        assert [line.strip() for line in capsys.readouterr().out.splitlines()[3:-1]] == lines


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
def test_json_is_printable_and_unchanged(name: str) -> None:
    text = as_json({name: [name]})
    assert text.isascii()
    assert not raw(text)
    assert json.loads(text) == {name: [name]}


@pytest.mark.parametrize("name", TEXTS, ids=list(NAMES))
def test_html_contains_no_markup_of_names(name: str) -> None:
    text = html_safe(name)
    assert not raw(text)
    assert not set("<>\"'") & set(text)


@pytest.mark.parametrize("name", TEXTS, ids=list(NAMES))
def test_csv_cells_are_not_formulas(name: str) -> None:
    cell = csv_safe(name)
    assert not raw(cell)
    assert cell.lstrip()[:1] not in {"=", "+", "-", "@"}


def test_csv_cells_of_many_languages_are_unchanged() -> None:
    for cell in ("prix\xa0(€)", "猫", "שלום", "two\nlines", "a\tb", "👩‍👩‍👧", "02134", "None"):
        assert csv_safe(cell) == cell


@pytest.mark.parametrize("name", FILES)
def test_a_shell_parses_a_quoted_command_correctly(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / name
    path.write_text("found")
    text = command("cat", Path(name))
    assert text.isprintable()
    done = subprocess.run(["bash", "-c", text], cwd=path.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "found"


def test_a_command_in_a_run_record_is_printed_only_if_it_is_one_of_isthmus() -> None:
    assert (
        RunInfo(command="isthmus sweep --out 'a b'; curl x | sh").quoted_command
        == "isthmus sweep --out 'a b;' curl x '|' sh"
    )
    assert RunInfo(command="curl x | sh").quoted_command == ""
    assert RunInfo(command="isthmus 'never closed").quoted_command == ""
    assert RunInfo(command=shlex.join(["isthmus", "\x1b[2J\n"])).quoted_command == r"isthmus $'\033[2J\012'"


@pytest.mark.thorough
def test_characters_outside_the_encoding_are_escaped(tmp_path: Path) -> None:
    name = "café 猫"
    done = subprocess.run(
        [sys.executable, "-c", "from isthmus.cli import main; main()", "evaluate", name],
        cwd=tmp_path, capture_output=True, env={"PYTHONIOENCODING": "ascii", "PATH": "", "LC_ALL": "C"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.decode("ascii").startswith("isthmus: ")
    assert rb"caf\xe9 \u732b" in done.stderr


def test_a_shortened_error_keeps_its_advice() -> None:
    said = sentence("columns " + "a, " * 100_000 + "are unknown: drop them")
    assert len(said) < 5000
    assert said.endswith("are unknown: drop them")


def drawn(figure: Figure) -> list[str]:
    """The figure drawn as PNG, and the texts that it holds."""
    with Image.open(io.BytesIO(png(figure))) as image:
        assert image.width * image.height < 4_000_000
        assert not raw(image.info["Description"])
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("name", TEXTS, ids=list(NAMES))
def test_figures_show_names_literally(name: str) -> None:
    figure, axes = chart(f"a chart of {name}")
    axes.plot([1, 2], [3, 4], label=name)
    axes.set(xlabel=name, ylabel=name, title=name)
    axes.legend(title=name)
    axes.annotate(name, (1, 3))
    texts = drawn(figure)
    assert not [text for text in texts if not all(line.isprintable() for line in text.split("\n"))]
    assert max(map(len, texts)) < 4000
    if name.isascii() and name.isprintable() and len(name) < 32:
        assert texts.count(name) == 6


def test_figures_show_names_of_columns_classes_and_runs_literally(rng: np.random.Generator) -> None:
    X = pd.DataFrame(rng.normal(size=(60, len(TEXTS))), columns=pd.Index(TEXTS, dtype=object))
    ae = Autoencoder(Identity(2), epochs=1, random_state=0).fit(X)
    values = X.to_numpy()
    assert {"cost ($/kg)", r"$\frac{a$ $x_{$", "+1+1"} <= set(drawn(plots.traversal(ae, values, n=2)))
    labels = np.array((TEXTS * 3)[:60], dtype=object)
    for few in (TEXTS[:15], TEXTS[15:]):
        chosen = np.isin(labels, few)
        assert {short_name(name, 18) for name in few if name.strip()} <= set(
            drawn(plots.latent(ae, values[chosen], labels[chosen]))
        )
    page = hover_map(ae, values, labels, kind="latent")
    assert not raw(page)
    assert "<script" not in page
    assert page.count("<svg") == 1
    points = [(name, 2.0**place, 1.0 + place) for place, name in enumerate(TEXTS[::3])]
    assert {"cost ($/kg)", "\\$ \\$x$ 100\\%"} <= set(drawn(tradeoff(points, [], "$x_{", "error")))
    lines = [Line(name, rng.random((8, 1)) + 1) for name in TEXTS[:3]]
    drawn(error_curves(TEXTS[3:11], lines, [None] * 8, (0, 0, "best"), "field", "error"))
    drawn(stacked_reconstructions(rng.random((2, 4, 4)), dict.fromkeys(TEXTS[:8], rng.random((2, 4, 4)))))


def test_powers_of_ten_are_formatted_as_exponents() -> None:
    figure, axes = chart("log")
    axes.plot([1, 1000], [1, 1000])
    axes.set(xscale="log")
    assert r"$\mathdefault{10^{2}}$" in drawn(figure)
    labels = [tick.label1 for tick in axes.xaxis.get_major_ticks()]
    assert all(label.get_parse_math() for label in labels)


def test_long_names_with_different_ends_differ_in_figures() -> None:
    assert short_name("x" * 500 + " one") != short_name("x" * 500 + " two")
    assert len(short_name("x" * 500)) == 32


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"])
def test_line_separators_in_names_do_not_end_a_line(sign: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f"a{sign}b,c\n1,2\n3,4\n5,6.5\n", encoding="utf-8")
    found = load(tmp_path / "x.csv")
    assert found.columns == (f"a{sign}b", "c")
    assert found.train.tolist() == [[1, 2], [3, 4], [5, 6.5]]
