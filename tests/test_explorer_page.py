"""The explorer page in Chromium: each thing that a person does there, with pointer and keyboard, on a phone and on a desk."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from explored_models import Linear
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect, sync_playwright
from starlette.applications import Starlette

from isthmus import Autoencoder, data
from isthmus.architectures import MLP, Conditional
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.explorer import routes
from isthmus.serving import ServedModel, open_model

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is here to show a page: install the package chromium"),
]
EXPORTED = Path(__file__).parent / "files/exported-1"
expect.set_options(timeout=60_000)  # other programs may use the processor
thorough = pytest.mark.thorough
WIDTHS = [pytest.param(360, marks=thorough), pytest.param(1280, marks=thorough)]


NAMES = ["digits", "conditional", "table", "series", "exported"]


class Models:
    """A net of MNIST's size, a conditional one, a table with a detector, a series and an export, each made when it is asked for.

    Args:
        folder: for model files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock = folder, threading.Lock()

    def get(self, name: str) -> ServedModel:
        if name not in NAMES:
            raise KeyError(name)
        with self.lock:
            return self.made(name)

    @cache  # noqa: B019  # of a module of tests
    def made(self, name: str) -> ServedModel:
        rng = np.random.default_rng(0)
        if name == "exported":
            return open_model(EXPORTED, "exported")
        if name == "table":
            weights = np.linalg.qr(rng.normal(size=(6, 3)))[0]
            return Linear(weights, (6,), rng.normal(size=(50, 6)), kind="table", detects=True)
        if name == "series":
            return Linear(np.eye(96)[:, :4], (48, 2), rng.normal(size=(50, 48, 2)).cumsum(1), kind="series")
        digits = data.mnist()
        images, labels = np.asarray(digits.train[:1500]), np.asarray(digits.train_labels)[:1500]
        if name == "digits":
            ae = Autoencoder(Identity(16), architecture=MLP((512, 256)), epochs=2, random_state=0).fit(images)
        else:
            architecture = Conditional(MLP((32,)))
            ae = Autoencoder(Gaussian(2), architecture=architecture, epochs=2, random_state=0).fit(images, labels)
        ae.save(self.folder / f"{name}.safetensors")
        held = data.Dataset("digits", images[:400], train_labels=labels[:400], kind="images")
        return open_model(self.folder / f"{name}.safetensors", name, lambda: held)


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """The address of an application that a thread serves."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = Models(tmp_path_factory.mktemp("models"))
    with served(Starlette(routes=routes(models.get, lambda: NAMES))) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class View:
    """The page in a window. Errors of scripts and of the policy fail the test.

    Args:
        browser: Chromium.
        address: of the server.
        width: of the window.
        scheme: light or dark.
    """

    def __init__(self, browser: Browser, address: str, width: int = 1280, scheme: Any = "light") -> None:
        self.address, self.errors = address, list[str]()
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._said(message.type, message.text))
        self.page.on("request", lambda request: self._asked(request.url))

    def _said(self, kind: str, text: str) -> None:
        expected = ("status of 4", "ERR_INTERNET_DISCONNECTED", "willReadFrequently")  # the last is of `pixels`
        if kind in {"error", "warning"} and not any(each in text for each in expected):
            self.errors.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith(self.address):
            self.errors.append(f"asked for {url}")

    def open(self, view: str) -> Page:
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}#{view}")
        self.page.wait_for_selector("html[data-ready=yes]")
        return self.page

    def title(self, text: str) -> None:
        expect(self.page.locator("#example-title")).to_have_text(text)


@pytest.fixture
def view(browser: Browser, address: str, width: int) -> Iterator[View]:
    view = View(browser, address, width)
    yield view
    view.context.close()
    assert not view.errors


def hash_of(page: Page) -> str:
    page.wait_for_timeout(50)
    return page.evaluate("decodeURIComponent(location.hash)")  # type: ignore[no-any-return]


def pixels(page: Page, selector: str) -> list[int]:
    """The image that a canvas shows."""
    script = "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    return page.locator(selector).first.evaluate(script)  # type: ignore[no-any-return]


def drawing(page: Page, selector: str) -> str:
    """The image that a canvas shows, compressed."""
    return page.locator(selector).first.evaluate("c => c.toDataURL()")  # type: ignore[no-any-return]


def slide(page: Page, selector: str, value: float) -> None:
    page.locator(selector).evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')); }", value
    )


def choose(page: Page, source: str) -> None:
    """Chooses where the example comes from, as a user does.

    Args:
        page: the page.
        source: "held" or "own".
    """
    page.locator("#sources label").filter(has=page.locator(f"[value={source}]")).click()
    expect(page.locator("#held-form" if source == "held" else "#own")).to_be_visible()


# The map


@pytest.mark.parametrize("width", WIDTHS)
def test_a_point_of_the_map_is_shown_selected_zoomed_and_dragged(view: View) -> None:
    page = view.open("model=digits&x=3")
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map").bounding_box()
    assert box is not None
    places = [(x, y) for x in np.linspace(0.3, 0.7, 9) for y in np.linspace(0.3, 0.7, 9)]
    for x, y in places:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.wait_for_timeout(100)
        if page.locator("#map-tip").is_visible():
            break
    expect(page.locator("#map-tip")).to_contain_text("label")
    number = re.findall(r"example (\d+)", page.locator("#map-tip").inner_text())[0]
    page.mouse.down()
    page.mouse.up()
    expect(page.locator("#example-title")).to_contain_text(f"{number}, label")
    assert f"x={number}" in hash_of(page)
    page.mouse.wheel(0, -400)
    expect(page.locator("#map")).not_to_have_attribute("data-zoom", "1.00")
    before = drawing(page, "#map")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.8, steps=3)
    page.mouse.up()
    assert drawing(page, "#map") != before
    expect(page.locator("#example-title")).to_contain_text(f"{number}, label")  # a drag selects nothing
    page.click("#zoom-all")
    expect(page.locator("#map")).to_have_attribute("data-zoom", "1.00")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_map_is_used_by_keyboard(view: View) -> None:
    page = view.open("model=digits&x=3")
    page.focus("#map")
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
        page.wait_for_timeout(60)
    page.wait_for_timeout(300)
    said = page.locator("#status").inner_text()
    assert re.fullmatch(r"example \d+, label \d", said)
    page.keyboard.press("Enter")
    view.title(f"Example: {said.removeprefix('example ')}")
    page.keyboard.press("+")
    expect(page.locator("#map")).to_have_attribute("data-zoom", "1.60")
    page.keyboard.press("0")
    expect(page.locator("#map")).to_have_attribute("data-zoom", "1.00")


@thorough
@pytest.mark.parametrize("width", [1280])
def test_the_map_changes_to_t_sne_when_it_is_ready_and_its_colors_to_scores(view: View) -> None:
    page = view.open("model=digits")
    expect(page.locator("#legend li")).to_have_count(10)
    page.select_option("#map-color", "score")
    expect(page.locator("#legend .scale")).to_be_visible()
    page.locator("[name=map-kind][value=tsne]").check(force=True)
    expect(page.locator("#map-status")).to_contain_text("t-SNE is being computed")
    expect(page.locator("#map")).to_have_attribute("data-map", "tsne", timeout=60_000)
    assert "map=tsne&color=score" in hash_of(page)


# Sliders


def milliseconds_of_steps(page: Page) -> list[float]:
    """The time of each step of a slider in focus, from the key to the drawing; within the page, as asking it from here takes as long."""
    found: list[float] = page.evaluate("""async () => {
        const decoded = document.getElementById("decoded");
        const found = [];
        for (let step = 0; step < 20; step++) {
            await new Promise((then) => {
                const observer = new MutationObserver(() => { observer.disconnect(); then(); });
                observer.observe(decoded, { attributeFilter: ["data-count"] });
                const key = step < 14 ? "ArrowRight" : "ArrowLeft";
                document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
            });
            found.push(Number(decoded.dataset.milliseconds));
            await new Promise(requestAnimationFrame);
        }
        return found;
    }""")
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_sliders_decode_while_they_move_in_less_than_50_milliseconds(view: View) -> None:
    page = view.open("model=digits&x=3")
    expect(page.locator("#sliders input")).to_have_count(8)
    before = pixels(page, "#decoded canvas")
    slider = page.locator("#sliders input").first
    slider.focus()
    rounds = (median(milliseconds_of_steps(page)) for _ in range(10))  # again if other programs took the processor
    assert any(each < 50 for each in rounds)
    assert pixels(page, "#decoded canvas") != before
    name = page.locator("#sliders .code").first.inner_text()
    page.wait_for_timeout(300)  # the address follows a slider that rests
    assert f"code={re.findall(r'[0-9]+', name)[0]}:" in hash_of(page)
    moved, value = pixels(page, "#decoded canvas"), float(slider.input_value())
    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    assert float(page.locator("#sliders input").first.input_value()) == pytest.approx(value, rel=1e-3)
    np.testing.assert_allclose(pixels(page, "#decoded canvas"), moved, atol=2)
    page.click("#sliders-more")
    expect(page.locator("#sliders input")).to_have_count(16)
    page.click("#sliders-reset")
    expect(page.locator("#decoded-note")).to_contain_text("reconstruction of the example")
    assert pixels(page, "#decoded canvas") == before


# Examples


@pytest.mark.parametrize("width", [WIDTHS[0], 1280])
def test_held_out_examples_are_picked_by_number_id_and_neighbor_and_back_goes_back(view: View) -> None:
    page = view.open("model=table&x=2")
    view.title("Example: <b>2</b>")  # text of data is text
    page.click("#next")
    view.title("Example: <b>3</b>")
    page.fill("#number", "17")
    page.press("#number", "Enter")
    view.title("Example: <b>17</b>")
    page.fill("#id", "<b>9</b>")
    page.press("#id", "Enter")
    view.title("Example: <b>9</b>")
    page.go_back()
    view.title("Example: <b>17</b>")
    page.go_forward()
    view.title("Example: <b>9</b>")
    name = page.locator("#neighbors button div").first.inner_text()
    page.locator("#neighbors button").first.click()
    view.title(f"Example: {name}")
    assert page.locator("main b").count() == 0
    page.fill("#id", "nobody")
    page.press("#id", "Enter")
    expect(page.locator("#alert")).to_contain_text("No held-out example has the ID 'nobody'")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_detector_shows_its_verdict_and_the_shares_of_columns(view: View) -> None:
    page = view.open("model=table&row=[9,0,0,0,0,0]")
    expect(page.locator("#verdict")).to_contain_text("Verdict: anomalous. p-value 0.25")
    expect(page.locator("#comparison thead")).to_contain_text("Share in the score")
    shares = [int(text.rstrip("%")) for text in page.locator("#comparison td:last-child").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert 97 <= sum(shares) <= 103


def seven(path: Path) -> Path:
    """A seven on white paper, larger than the model's images and not square."""
    image = Image.new("RGB", (300, 400), (250, 245, 240))
    ImageDraw.Draw(image).line([(90, 110), (210, 110), (130, 310)], fill=(40, 30, 120), width=30)
    image.save(path)
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_an_image_file_is_converted_and_what_was_done_is_said(view: View, tmp_path: Path) -> None:
    page = view.open("model=digits")
    choose(page, "own")
    page.set_input_files("#file", seven(tmp_path / "seven.png"))
    view.title("Example: seven.png")
    for part in ("cut to its middle", "resized from 300 × 400 to 28 × 28", "made gray", "light and dark swapped"):
        expect(page.locator("#notes")).to_contain_text(part)
    expect(page.locator("#notes")).to_contain_text("not part of the address")
    shown = np.array(pixels(page, "#comparison canvas")).reshape(28, 28, 4)[..., 0]
    assert shown[0].max() < 40
    assert shown.max() > 200  # light on dark, as the examples of the model
    page.uncheck("#invert")
    expect(page.locator("#notes")).not_to_contain_text("swapped")
    assert np.array(pixels(page, "#comparison canvas"))[:28].min() > 200
    (tmp_path / "no.png").write_text("no image")
    page.set_input_files("#file", tmp_path / "no.png")
    expect(page.locator("#alert")).to_contain_text("“no.png” cannot be read as an image")


@thorough
@pytest.mark.parametrize("width", [1280])
def test_an_image_file_is_dropped(view: View, tmp_path: Path) -> None:
    page = view.open("model=digits")
    choose(page, "own")
    content = list(seven(tmp_path / "seven.png").read_bytes())
    script = (
        "b => { const d = new DataTransfer(); d.items.add(new File([new Uint8Array(b)], 'dropped.png')); return d; }"
    )
    transfer = page.evaluate_handle(script, content)
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    view.title("Example: dropped.png")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_row_is_typed_or_pasted_and_what_is_wrong_is_said(view: View) -> None:
    page = view.open("model=exported")
    expect(page.locator("#map-note")).to_contain_text("no held-out examples")
    page.fill("[data-column='0']", "0.5")
    page.press("[data-column='0']", "Enter")
    view.title("Example: the typed row")
    expect(page.locator("#sliders input")).to_have_count(2)
    page.select_option("[data-column='2']", "right")
    expect(page.locator("#comparison")).to_contain_text("right")
    assert 'row=[0.5,null,"right",null,null]' in hash_of(page)
    page.click("summary")
    page.fill("#pasted", "kind;x;other\nup;1,5;3")
    page.click("#use-pasted")
    view.title("Example: the pasted row")
    for part in ("first line is taken as the names", "left out: other", "Decimal commas", "missing: n, big, day"):
        expect(page.locator("#notes")).to_contain_text(part)
    expect(page.locator("[data-column='0']")).to_have_value("1.5")
    page.fill("#pasted", "1,2")
    page.click("#use-pasted")
    expect(page.locator("#alert")).to_contain_text("The row has 2 values, and the model has 5 columns")
    page.fill("[data-column='4']", "soon")
    page.press("[data-column='4']", "Enter")
    expect(page.locator("#alert")).to_contain_text("'soon', which is no date")


@thorough
@pytest.mark.parametrize("width", [1280])
def test_a_series_is_pasted(view: View) -> None:
    page = view.open("model=series&x=1")
    expect(page.locator("#comparison svg.lines")).to_have_count(2)
    choose(page, "own")
    page.fill("#pasted", "\n".join(f"{i} {-i}" for i in range(48)))
    page.click("#use-pasted")
    view.title("Example: the pasted values")
    page.fill("#pasted", "1 2 x")
    page.click("#use-pasted")
    expect(page.locator("#alert")).to_contain_text("“x” is no number")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_conditional_model_is_told_another_label(view: View) -> None:
    page = view.open("model=conditional&x=5")
    before, decoded = pixels(page, "#comparison figure:nth-of-type(2) canvas"), pixels(page, "#decoded canvas")
    own = page.locator("#y").input_value()
    page.select_option("#y", "8" if own != "8" else "1")
    page.wait_for_function("([n]) => new URLSearchParams(location.hash.slice(1)).get('y') !== n", arg=[own])
    page.wait_for_timeout(300)
    assert pixels(page, "#comparison figure:nth-of-type(2) canvas") != before
    assert pixels(page, "#decoded canvas") != decoded


# Restoring and walking


@pytest.mark.parametrize("width", WIDTHS)
def test_noise_and_hidden_parts_are_restored(view: View) -> None:
    page = view.open("model=digits&x=3")
    page.click("#tab-restore")
    expect(page.locator("#restored figure")).to_have_count(3)
    slide(page, "#noise", 0.3)
    expect(page.locator("#restored figure")).to_have_count(4)
    expect(page.locator("#restored-note")).to_contain_text("Mean absolute error")
    page.get_by_role("button", name="Left half").click()
    expect(page.locator("#restored-note")).to_contain_text("lowest value")
    assert "hide=0-6,14-20" in hash_of(page)
    page.get_by_role("button", name="Nothing").click()
    slide(page, "#noise", 0)
    expect(page.locator("#restored figure")).to_have_count(3)
    page.locator("#brush").scroll_into_view_if_needed()
    box = page.locator("#brush").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 3, steps=30)
    page.mouse.up()
    expect(page.locator("#restored figure")).to_have_count(4)
    assert "hide=0-13" in hash_of(page)
    page.focus("#brush")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert "hide=0-14" in hash_of(page)
    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    expect(page.locator("#restored figure")).to_have_count(4)


@pytest.mark.parametrize("width", WIDTHS)
def test_columns_are_hidden(view: View) -> None:
    page = view.open("model=table&x=3&tab=restore")
    page.get_by_role("checkbox", name="feature 2").check()
    expect(page.locator("#restored td.far")).to_have_count(1)
    assert "hide=2" in hash_of(page)
    page.goto(f"{view.address}#model=series&x=3&tab=restore&hide=4-8")
    expect(page.locator("#restored svg rect.hidden").first).to_be_attached()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_walk_goes_from_one_example_to_another(view: View) -> None:
    page = view.open("model=digits&x=3")
    page.click("#tab-walk")
    page.fill("#walk-to", "9")
    page.press("#walk-to", "Enter")
    expect(page.locator("#walk-strip button")).to_have_count(9)
    start = pixels(page, "#walked canvas")
    page.locator("#walk-strip button").nth(4).click()
    expect(page.locator("#walk-value")).to_have_text("50%")
    expect(page.locator("#walk-strip button").nth(4)).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(300)
    middle = pixels(page, "#walked canvas")
    assert middle != start
    assert middle == pixels(page, "#walk-strip li:nth-child(5) canvas")
    slide(page, "#walk-at", 1)
    page.wait_for_timeout(300)
    assert pixels(page, "#walked canvas") == pixels(page, "#walk-strip li:nth-child(9) canvas")
    assert "to=9&at=1" in hash_of(page)
    page.check("#walk-pick")
    page.focus("#map")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    page.wait_for_function("() => new URLSearchParams(location.hash.slice(1)).get('to') !== '9'")
    expect(page.locator("#example-title")).to_contain_text("3, label")


# The page as a whole


@pytest.mark.parametrize("width", WIDTHS)
def test_models_are_chosen_and_tabs_are_used_by_keyboard(view: View) -> None:
    page = view.open("model=digits")
    page.select_option("#model", "table")
    expect(page.locator("#title")).to_have_text("table")
    page.focus("#tab-sliders")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel-restore")).to_be_visible()
    assert "model=table" in hash_of(page)
    page.go_back()
    page.go_back()
    expect(page.locator("#title")).to_have_text("digits")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_server_that_went_away_and_a_wrong_address_are_said(view: View) -> None:
    page = view.open("model=nobody&x=99999999")
    expect(page.locator("#alert")).to_contain_text("no held-out example 99999999")
    view.title("Example: 0, label 5")
    view.context.set_offline(True)
    page.click("#next")
    expect(page.locator("#alert")).to_contain_text("The server does not answer")
    view.context.set_offline(False)
    page.click("#next")
    expect(page.locator("#alert")).to_be_hidden()


@thorough
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_window(
    browser: Browser, address: str, width: int, scheme: str
) -> None:
    view, axe = View(browser, address, width, scheme), Axe()
    states = [
        "model=digits&x=3",
        "model=digits&x=3&tab=restore&noise=0.3&hide=3-8",
        "model=digits&x=3&tab=walk&to=7&color=score",
        "model=conditional&x=4",
        "model=table&x=3",
        "model=table&row=[9,0,0,0,0,0]&tab=restore",
        "model=table&x=3&tab=walk&to=7",
        "model=series&x=3&tab=restore&hide=3",
        "model=exported",
        'model=exported&row=[0.5,3,"left",1,"2020-03-01"]',
        "model=digits&x=999999",
    ]
    for state in states:
        page = view.open(state)
        found = axe.run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == [], state
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, state
    view.context.close()
    assert not view.errors
