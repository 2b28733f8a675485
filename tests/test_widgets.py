"""The sliders of a notebook: what is drawn is what the autoencoder decodes, in Python and in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import traitlets

from isthmus import Autoencoder, latent_traversal, widgets
from isthmus.architectures import MLP, Conditional
from isthmus.bottlenecks import Gaussian, Identity, VectorQuantized
from isthmus.errors import NotPossibleError, RecordError

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FOLDER = Path(str(widgets.__file__)).parent
RNG = np.random.default_rng(0)
IMAGES = (RNG.random((40, 6, 5)) * 255).astype(np.uint8)
SERIES = RNG.normal(size=(40, 12, 2)).cumsum(1)
TABLE = pd.DataFrame(
    {"length": RNG.normal(size=40), "<b>kind": np.array(["x", "y"])[np.arange(40) % 2], "n": np.arange(40)}
)

KINDS = {"length": "number", "<b>kind": "category", "n": "integer"}


def trained(X: Any, bottleneck: Any, **more: Any) -> Autoencoder:
    return Autoencoder(bottleneck, architecture=MLP((8,)), epochs=2, random_state=0, **more)


@pytest.fixture(scope="module")
def fitted() -> dict[str, tuple[Autoencoder, Any]]:
    """An autoencoder of images, of series and of a table, with examples."""
    return {
        "images": (trained(IMAGES, Gaussian(4)).fit(IMAGES), IMAGES),
        "series": (trained(SERIES, Identity(3), kind="series").fit(SERIES), SERIES),
        "table": (trained(TABLE, Identity(2), kinds=KINDS).fit(TABLE), TABLE),
    }


def test_an_image_is_drawn_as_it_is_decoded(fitted: Any) -> None:
    ae, X = fitted["images"]
    widget = widgets.explore(ae, X)
    widget.example = 7
    assert np.frombuffer(widget.original, np.uint8).tolist() == X[7].reshape(-1).tolist()
    np.testing.assert_allclose(widget.code, ae.transform(X)[7], rtol=1e-6)
    code = np.array([1.0, -2, 0.5, 0])
    widget.code = code.tolist()
    wanted = ae.decode(code[None].astype(np.float32))[0].clip(0, 255).reshape(-1)
    np.testing.assert_allclose(np.frombuffer(widget.decoded, np.uint8), wanted, atol=0.51)
    assert widget.drawing == {"kind": "image", "height": 6, "width": 5, "channels": 1}


def test_the_dimensions_are_those_of_the_traversal(fitted: Any) -> None:
    ae, X = fitted["images"]
    found = latent_traversal.traverse(ae, X, n_units=2, steps=2)
    widget = widgets.explore(ae, X, n_units=2)
    assert [each["unit"] for each in widget.units] == found.units.tolist()
    assert [[each["low"], each["high"]] for each in widget.units] == found.values.tolist()
    assert widget.note == "Shown: 2 of 4 dimensions, those of largest variance."


def test_a_series_is_drawn_by_channel(fitted: Any) -> None:
    ae, X = fitted["series"]
    widget = widgets.explore(ae, X)
    widget.example = 3
    drawn = np.frombuffer(widget.original, np.float32).reshape(12, 2)
    np.testing.assert_allclose(drawn, X[3], rtol=1e-6)
    np.testing.assert_allclose(widget.drawing["ranges"], np.stack([X.min((0, 1)), X.max((0, 1))], 1))
    np.testing.assert_allclose(
        np.frombuffer(widget.decoded, np.float32).reshape(12, 2), ae.reconstruct(X)[3], rtol=1e-5
    )


def test_a_table_is_drawn_by_column_in_the_words_of_the_column(fitted: Any) -> None:
    ae, X = fitted["table"]
    widget = widgets.explore(ae, X)
    widget.example = 39
    assert widget.drawing["names"] == ["length", "<b>kind", "n"]
    assert widget.original_texts[1:] == ["y", "39"]
    length, kind, number = np.frombuffer(widget.original, np.float32)
    assert (np.isnan(kind), number) == (True, 1.0)
    np.testing.assert_allclose(length, (X.length[39] - X.length.min()) / np.ptp(X.length), rtol=1e-5)
    made = ae.reconstruct(X).iloc[39]
    assert widget.texts[1:] == [made["<b>kind"], str(made["n"])]


def test_a_conditional_autoencoder_decodes_with_the_label_of_the_example() -> None:
    labels = np.arange(40) % 2
    ae = Autoencoder(2, architecture=Conditional(MLP((8,))), epochs=3, random_state=0).fit(IMAGES, labels)
    widget, drawn = widgets.explore(ae, IMAGES, labels), []
    for row in (0, 1):
        widget.example = row
        widget.code = [0.1, 0.2]
        drawn.append(np.frombuffer(widget.decoded, np.uint8))
        wanted = ae.decode(np.array([[0.1, 0.2]], np.float32), labels[row : row + 1])[0].clip(0, 255).reshape(-1)
        np.testing.assert_allclose(drawn[row], wanted, atol=0.51)
    assert (drawn[0] != drawn[1]).any()


def test_every_setting_is_answered_once(fitted: Any) -> None:
    widget = widgets.explore(*fitted["images"])
    first = widget.answered
    own, decoded = list(widget.code), widget.decoded
    widget.code = [0.0, 0.5, 1.0, 2.0]
    widget.example = 5
    assert widget.answered == first + 2
    widget.example = 0
    assert (list(widget.code), widget.decoded) == (own, decoded)


def test_invalid_input_is_refused_with_a_sentence(fitted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ae, X = fitted["images"]
    widget = widgets.explore(ae, X)
    for code in ([1.0], [float("nan")] * 4):
        with pytest.raises(traitlets.TraitError, match="invalid code: expected 4 finite numbers"):
            widget.code = code
    widget.example = 10_000
    assert widget.example == 39
    with pytest.raises(RecordError, match="invalid n_units=0"):
        widgets.explore(ae, X, n_units=0)
    with pytest.raises(NotPossibleError, match="entries of a codebook"):
        widgets.explore(trained(IMAGES, VectorQuantized(2, codebook_size=4)).fit(IMAGES), IMAGES)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "isthmus.widgets.sliders", raising=False)
    with pytest.raises(NotPossibleError, match=r"pip install 'isthmus\[notebook\]'"):
        widgets.explore(ae, X)


def test_of_many_examples_the_first_can_be_picked_and_this_is_said(fitted: Any) -> None:
    ae, X = fitted["images"]
    widget = widgets.explore(ae, np.tile(X, (30, 1, 1)))
    assert widget.n_examples == 1000
    assert widget.note == "Shown: the first 1,000 of 1,200 examples."


def test_the_page_loads_nothing() -> None:
    for name in ("explore.js", "explore.css"):
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert not re.search(r"https?:|//[a-z]+\.|\bimport\b|@import|url\(|innerHTML|eval\(", text)


PAGE = '<!DOCTYPE html><html lang="en"><head><title>x</title></head><body></body></html>'
START = """async ([source, style, state]) => {
  const sheet = document.createElement("style");
  sheet.textContent = style;
  document.head.append(sheet);
  const unpack = (state) => Object.fromEntries(Object.entries(state).map(([name, value]) => [name, name === "original" || name === "decoded"
    ? new DataView(Uint8Array.from(atob(value), (c) => c.charCodeAt(0)).buffer) : value]));
  const values = unpack(state), listeners = [];
  let changed = {};
  const take = (text) => {
    const fresh = Object.entries(unpack(JSON.parse(text)));
    Object.assign(values, Object.fromEntries(fresh));
    for (const [name] of fresh) listeners.filter(([event]) => event === `change:${name}`).forEach(([, call]) => call());
  };
  const model = {
    get: (name) => values[name],
    set: (name, value) => { values[name] = changed[name] = value; },
    save_changes: () => { const sent = changed; changed = {}; window.python(JSON.stringify(sent)).then(take); },
    on: (event, call) => listeners.push([event, call]),
    off: () => {},
  };
  const module = await import("data:text/javascript;base64," + source);
  module.default.render({ model, el: document.body });
}"""


class Page:
    """A widget in a browser, joined with the real one in Python as a notebook joins them."""

    def __init__(self, page: Any, widget: Any) -> None:
        self.page, self.widget, self.requests = page, widget, list[str]()
        page.on("request", lambda request: self.requests.append(request.url))
        page.set_content(PAGE)
        page.expose_function("python", self.receive)
        source = base64.b64encode((FOLDER / "explore.js").read_bytes()).decode()
        page.evaluate(START, [source, (FOLDER / "explore.css").read_text(), self.state()])

    def state(self) -> dict[str, Any]:
        """The traits as they go to a page."""
        names = (
            "drawing",
            "units",
            "example",
            "n_examples",
            "note",
            "code",
            "own_code",
            "original_texts",
            "texts",
            "answered",
        )
        state = {name: getattr(self.widget, name) for name in names}
        return state | {name: base64.b64encode(getattr(self.widget, name)).decode() for name in ("original", "decoded")}

    def receive(self, text: str) -> str:
        """What the page sends, and what changed."""
        before, sent = self.state(), json.loads(text)
        for name, value in sent.items():
            setattr(self.widget, name, value)
        return json.dumps({name: value for name, value in self.state().items() if value != before[name]})

    def pixels(self, place: int) -> list[int]:
        """The red values of a canvas."""
        read = "(c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 0)"
        found: list[int] = self.page.locator("canvas").nth(place).evaluate(read)
        return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is here to show a page: install the package chromium")
@pytest.mark.parametrize("width", [360, 1100])
def test_a_browser_decodes_while_a_slider_moves(width: int, browser: Any, fitted: Any) -> None:
    ae, X = fitted["images"]
    page = browser.new_page(viewport={"width": width, "height": 800})
    errors = list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    widget = widgets.explore(ae, X)
    shown = Page(page, widget)
    assert shown.pixels(0) == X[0].reshape(-1).tolist()
    slider = page.get_by_role("slider").first
    unit = widget.units[0]["unit"]
    before = widget.code[unit]
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('output').textContent !== ''")
    page.wait_for_timeout(100)
    assert widget.code[unit] > before
    assert shown.pixels(1) == np.frombuffer(widget.decoded, np.uint8).tolist()
    page.keyboard.press("End")
    page.wait_for_timeout(100)
    np.testing.assert_allclose(widget.code[unit], max(widget.units[0]["high"], before), rtol=1e-6)
    page.get_by_role("button", name="Next").click()
    page.wait_for_timeout(100)
    assert widget.example == 1
    assert shown.pixels(0) == X[1].reshape(-1).tolist()
    assert page.get_by_role("spinbutton").input_value() == "1"
    slider.fill(str(widget.units[0]["low"]))
    page.get_by_role("button", name="Back to the example").click()
    page.wait_for_timeout(100)
    np.testing.assert_allclose(float(slider.input_value()), ae.transform(X)[1, unit], rtol=1e-6)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert errors == []
    assert [url for url in shown.requests if not url.startswith("data:")] == []
    page.close()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is here to show a page: install the package chromium")
def test_a_browser_shows_tables_and_series(browser: Any, fitted: Any) -> None:
    page = browser.new_page(viewport={"width": 700, "height": 800})
    widget = widgets.explore(*fitted["table"])
    Page(page, widget)
    cells = page.locator("tbody tr").nth(1).locator("th, td").all_inner_texts()
    assert [cell.strip() for cell in cells] == ["<b>kind", widget.original_texts[1], widget.texts[1]]
    assert page.locator("meter:visible").count() == 4  # of the two columns with a range
    page.close()
    page = browser.new_page(viewport={"width": 700, "height": 800})
    Page(page, widgets.explore(*fitted["series"]))
    drawn = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v > 128).length"
    assert all(page.locator("canvas").nth(place).evaluate(drawn) > 300 for place in (0, 1))
    page.close()
