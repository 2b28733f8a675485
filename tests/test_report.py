"""The page of a run holds everything, escapes everything and asks nobody for anything."""

from __future__ import annotations

import base64
import io
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from isthmus import Autoencoder
from isthmus.architectures import MLP, Modules
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.cli import app
from isthmus.evaluation import Errors, evaluate
from isthmus.experiments.report import write_report
from isthmus.likelihoods import Bernoulli
from isthmus.scaling import NoScaling

X = np.random.default_rng(0).random((80, 6))
AE = Autoencoder(
    Gaussian(2), architecture=MLP((8,)), likelihood=Bernoulli(), scaling=NoScaling(), epochs=3, random_state=0
).fit(X, validation_data=X[:20])
FIGURES = evaluate(AE, X)
EMPTY = {"meta", "img"}  # elements that have no end
NASTY = """<script>alert("x")</script> & 'quoted' "$style" ${title}"""


class Page(HTMLParser):
    """A page read by a parser: its elements, the text of each, and whether each one that begins also ends."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(self.source)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def text(self, *tags: str) -> list[str]:
        return [text for tag, text in self.texts if not tags or tag in tags]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def picture(path: Path, shade: int) -> Path:
    Image.new("L", (20, 10), shade).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[tuple[str, Path, str]]:
    (tmp_path / "figures").mkdir()
    names = {"samples": "New examples.", "losses": "The loss against the epoch."}
    return [(name, picture(tmp_path / "figures" / f"{name}.png", len(name)), alt) for name, alt in names.items()]


@pytest.fixture
def page(tmp_path: Path, pictures: Any) -> Page:
    return Page(write_report(tmp_path, AE, FIGURES, pictures, "variational on digits", "isthmus train variational"))


def test_each_figure_is_embedded_byte_for_byte_with_its_description(page: Page, pictures: Any) -> None:
    held = {str(image["alt"]): str(image["src"]) for image in page.all("img")}
    assert held.keys() == {alt for _, _, alt in pictures}
    for _, path, alt in pictures:
        kind, _, content = held[alt].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content, validate=True) == path.read_bytes()
        assert Image.open(io.BytesIO(base64.b64decode(content))).size == (20, 10)


def test_the_loss_curve_is_in_the_section_on_training(page: Page) -> None:
    training, rest = page.source.split("<h2>Training</h2>")[1].split("<h2>Figures</h2>")
    assert "The loss against the epoch." in training
    assert "The loss against the epoch." not in rest
    assert "New examples." in rest


def test_the_page_loads_nothing_and_runs_no_script(page: Page) -> None:
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "base", "a", "video", "audio", "source"}
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in {"src", "href", "srcset", "action", "poster", "data", "background"} & attributes.keys():
            assert str(attributes[name]).startswith("data:image/png;base64,")
    plain = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page.source)
    for reference in ("http:", "https:", "//", "url(", "@import", "javascript:"):
        assert reference not in plain
    policies = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_the_page_supports_phones_and_dark_mode(page: Page) -> None:
    named = {meta.get("name"): meta.get("content") for meta in page.all("meta")}
    assert named["viewport"] == "width=device-width, initial-scale=1"
    assert named["color-scheme"] == "light dark"
    assert "prefers-color-scheme: dark" in page.source
    assert page.all("html") == [{"lang": "en"}]


def test_names_with_markup_are_escaped(tmp_path: Path) -> None:
    path = picture(tmp_path / "p.png", 1)
    page = Page(write_report(tmp_path, AE, FIGURES, [(NASTY, path, NASTY)], NASTY, NASTY))
    assert not page.all("script")
    assert page.text("h1") == page.text("title") == [NASTY]
    assert page.text("code")[0] == NASTY
    assert [image["alt"] for image in page.all("img")] == [NASTY]
    assert page.text("strong") == [NASTY + "."]
    assert NASTY in page.text("figcaption")


def test_names_that_are_not_unicode_are_shown(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, AE, FIGURES, [], "photos\udcff", None))
    assert page.text("h1") == ["photos\\udcff"]


def test_every_figure_is_shown_with_its_unit(page: Page) -> None:
    shown = page.text("th", "td")
    for row in FIGURES.rows():
        place = shown.index(row[0])
        assert tuple(shown[place : place + 3]) == row


def test_components_are_shown_as_python_code(page: Page) -> None:
    for name in ("corruption", "architecture", "bottleneck", "likelihood", "scaling", "optimizer"):
        assert repr(getattr(AE, f"{name}_")) in page.text("code")
    assert f"{AE.n_parameters_:,}" in page.text("td")
    assert "isthmus train variational" in page.text("code")


def test_the_losses_of_each_epoch_are_folded_away(page: Page) -> None:
    folded = page.source.split("<details>")[1].split("</details>")[0]
    lines = re.findall(r"<tr>(<td>.*?)</tr>", folded)
    assert len(lines) == 3
    for line, report in zip(lines, AE.history_, strict=True):
        cells = re.findall("<td>(.*?)</td>", line)
        assert int(cells[0]) == report.epoch
        figures = (report.loss, report.nll, report.penalty, report.val_loss)
        assert [float(cell) for cell in cells[1:5]] == pytest.approx(figures, rel=1e-5)
    assert "<details open" not in page.source


def test_a_long_training_is_thinned_to_a_thousand_lines_with_both_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = tuple(type(AE.history_[0])(e, e, 2501, 1.0, 3.0, 2.0, 1.0, None, 0.1, True) for e in range(1, 2502))
    monkeypatch.setattr(type(AE), "history_", reports)
    source = Page(write_report(tmp_path, AE, FIGURES, [], "long")).source
    epochs = [int(cell.replace(",", "")) for cell in re.findall("<tr><td>([0-9,]+)</td>", source)]
    assert (epochs[0], epochs[-1]) == (1, 2501)
    assert 500 < len(epochs) <= 1000
    assert "every 3 epochs" in source


def test_the_lines_of_python_and_shell_are_valid(tmp_path: Path) -> None:
    folder = tmp_path / 'a "run" of Ann\'s & <mine>'
    folder.mkdir()
    AE.save(folder / "model.safetensors")
    page = Page(write_report(folder, AE, FIGURES, [], "t"))
    python, shell = page.text("code")[-2:]
    names: dict[str, Any] = {"X": X}
    exec(python, names)
    np.testing.assert_array_equal(names["codes"], AE.encode(X))
    np.testing.assert_array_equal(names["reconstructions"], AE.reconstruct(X))
    verbs = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    assert len(python.splitlines()) == len(shell.splitlines()) == 3
    for line in shell.splitlines():
        words = shlex.split(line)
        assert words[:1] == ["isthmus"]
        assert words[1] in verbs
        assert words[2] == str(folder)


@pytest.mark.parametrize(
    ("mse", "pca", "sentence"),
    [
        (3.0, 4.0, "The mean squared error is 75% of that of PCA with a code of the same size."),
        (10.0, 4.0, "The mean squared error is 2.5 times that of PCA with a code of the same size."),
        (1.0, 0.0, "The mean squared error is 1; that of PCA with a code of the same size is 0."),
        (1.0, None, "to 2 dimensions."),
    ],
)
def test_the_sentence_at_the_top_compares_with_pca(
    mse: float, pca: float | None, sentence: str, tmp_path: Path
) -> None:
    measured = replace(FIGURES, errors=Errors(mse), pca=None if pca is None else Errors(pca))
    page = Page(write_report(tmp_path, AE, measured, [], "t"))
    assert page.text("p")[0].startswith("The autoencoder compresses an example of 6 features to 2 dimensions")
    assert page.text("p")[0].endswith(sentence)


def test_custom_modules_are_requested_in_the_code_to_load(tmp_path: Path) -> None:
    architecture = Modules(nn.Linear(6, 2), nn.Linear(2, 6))
    own = Autoencoder(Identity(2), architecture=architecture, epochs=1, random_state=0).fit(X)
    page = Page(write_report(tmp_path, own, evaluate(own, X), [], "own"))
    assert "architecture=Modules(encoder, decoder))" in page.text("code")[-1]
    assert "On the command line" not in page.text()


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = write_report(tmp_path, AE, FIGURES, [], "old")
    before = path.read_bytes()
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path, AE, FIGURES, [("gone", tmp_path / "gone.png", "Gone.")], "new")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(FileNotFoundError, match="create it first"):
        write_report(tmp_path / "nowhere", AE, FIGURES, [], "new")
    assert not (tmp_path / "nowhere").exists()
