"""The explorer page in Chromium with hostile addresses and names, large examples, many steps, and models that are replaced."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from explored_models import Linear
from PIL import Image
from playwright.sync_api import expect
from starlette.applications import Starlette
from test_explorer_page import View, browser, choose, hash_of, pixels, served, slide  # noqa: F401  # a fixture
from test_explorer_page import pytestmark as needs_browser

from isthmus.explorer import routes
from isthmus.serving import ServedModel

pytestmark = [*needs_browser, pytest.mark.thorough]
NAME = '"><img src=x onerror=alert(1)>__proto__&x=1#%é'
RNG = np.random.default_rng(0)


class Failing(Linear):
    """Whose scores of many rows cannot be computed."""

    def compute(self, entry: str, inputs: Any) -> Any:
        if entry == "score" and len(next(iter(inputs.values()))) > 1:
            raise ValueError("no scores")
        return super().compute(entry, inputs)


class Free(Linear):
    """Images of which no range is known."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.described = {**self.described, "range": None}


@pytest.fixture(scope="module")
def models() -> dict[str, ServedModel]:
    few = RNG.normal(size=(9, 64)) * 50 + 1000
    labels = np.array(["<script>alert(1)</script>", "__proto__", "length"], dtype=object)[np.arange(9) % 3]
    free = few.reshape(9, 8, 8).copy()
    free[1, 0, 0] = np.nan
    return {
        NAME: Linear(np.eye(5), (5,), few[:, :5], kind="table", labels=labels),
        "many": Linear(np.eye(400)[:, :2], (400,), RNG.normal(size=(9, 400)), kind="table", missing=True),
        "replaced": Linear(np.eye(5), (5,), few[:, :5], kind="table"),  # by a test
        "sound": Linear(np.ones((48_000, 1)) / np.sqrt(48_000), (48_000, 1), np.ones((2, 48_000, 1)), kind="series"),
        "large": Linear(
            np.ones((196_608, 1)) / np.sqrt(196_608), (256, 256, 3), np.ones((2, 256, 256, 3)), detects=True
        ),
        "free": Free(np.eye(64)[:, :9], (8, 8), free, missing=True),
        "failing": Failing(np.eye(5), (5,), few[:, :5], kind="table"),
    }


@pytest.fixture(scope="module")
def address(models: dict[str, ServedModel]) -> Iterator[str]:
    with served(Starlette(routes=routes(models.__getitem__, lambda: list(models)))) as found:
        yield found


@pytest.fixture
def view(browser: Any, address: str) -> Iterator[View]:  # noqa: F811
    view = View(browser, address)
    view.page.on("dialog", lambda dialog: view.errors.append(dialog.message))
    yield view
    view.context.close()
    assert not view.errors


@pytest.mark.parametrize(
    "more",
    [
        "map=constructor",
        "map=__proto__",
        "tab=toString&color=__proto__",
        "code=1:1e308,99:3,-1:2,2:NaN&hide=0-999999,5-1",
        "x=1e308&to=-1e9&noise=Infinity&at=-3",
        "row=[[],{},1,2,3]",
        "y={}&row={}&x=NaN",
    ],
)
def test_a_hostile_address_leaves_a_page_that_works(view: View, more: str) -> None:
    page = view.open(f"model={quote(NAME, safe='')}&{more}")
    expect(page.locator("#title")).to_have_text(NAME)
    choose(page, "held")
    page.fill("#number", "2")
    page.locator("#number").blur()
    view.title("Example: <b>2</b>, label length")
    expect(page.locator("#alert")).to_be_hidden()
    expect(page.locator("#panel-sliders, #panel-restore, #panel-walk").filter(visible=True)).to_have_count(1)
    assert page.locator("#map").get_attribute("data-map") == "pca"
    assert page.evaluate("({}).polluted") is None


def test_another_map_in_the_address_of_an_open_page_is_no_error(view: View) -> None:
    page = view.open("model=many")
    page.evaluate("location.hash = '#model=many&map=%22%5D'")
    page.wait_for_timeout(300)
    expect(page.locator("#alert")).to_be_hidden()


def test_an_endless_sound_and_a_large_image_of_a_detector_are_drawn(view: View) -> None:
    page = view.open("model=sound&tab=restore&noise=0.5")
    expect(page.locator("#restored svg")).to_be_visible()
    page = view.open("model=large")
    expect(page.locator("#comparison figure")).to_have_count(4)


def test_images_of_unknown_range_with_missing_pixels_are_drawn_and_given(view: View, tmp_path: Path) -> None:
    page = view.open("model=free&x=1")
    assert len(set(pixels(page, "#comparison canvas"))) > 20
    Image.fromarray(np.tile(np.arange(0, 256, 32, dtype=np.uint8), (8, 1))).save(tmp_path / "ramp.png")
    page.set_input_files("#file", tmp_path / "ramp.png")
    view.title("Example: ramp.png")
    expect(page.locator("#notes")).to_contain_text("not part of the address")
    as_it_is = pixels(page, "#comparison canvas")
    page.check("#invert")
    expect(page.locator("#notes")).to_contain_text("swapped")
    assert as_it_is[0] < 20 < 200 < pixels(page, "#comparison canvas")[0]


def test_a_file_that_is_dropped_beside_the_box_is_taken(view: View) -> None:
    page = view.open("model=free")
    page.evaluate("""async () => {
        const canvas = new OffscreenCanvas(8, 8);
        canvas.getContext("2d");
        const files = new DataTransfer();
        files.items.add(new File([await canvas.convertToBlob()], "black.png", { type: "image/png" }));
        for (const kind of ["dragover", "drop"]) {
            const event = new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true });
            document.querySelector("h1").dispatchEvent(event);
            if (!event.defaultPrevented) throw new Error("the browser leaves the page");
        }
    }""")
    view.title("Example: black.png")


def test_a_row_that_is_too_long_for_the_address_is_said_to_be_missing_there(view: View) -> None:
    page = view.open("model=many")
    choose(page, "own")
    page.fill("#pasted", ",".join(["0.12345"] * 400))
    page.click("#use-pasted")
    view.title("Example: the pasted row")
    expect(page.locator("#notes")).to_contain_text("not part of the address")
    assert "row=" not in hash_of(page)


def test_a_key_that_is_held_is_one_entry_of_the_history(view: View) -> None:
    page = view.open(f"model={quote(NAME, safe='')}")
    before = page.evaluate("history.length")
    page.focus("#dimension-0")
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    assert "code=0:" in hash_of(page)
    assert page.evaluate("history.length") == before + 1
    slide(page, "#dimension-1", 990)
    assert page.evaluate("history.length") == before + 2


def test_scores_that_cannot_be_computed_are_asked_for_once(view: View) -> None:
    page = view.open("model=failing")
    page.wait_for_timeout(2000)
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(4000)
    assert asked == []


def test_the_last_of_two_answers_that_cross_is_not_shown(view: View) -> None:
    page = view.open("model=many")

    def late(route: Any) -> None:
        if '"held_out":3' in route.request.post_data:
            time.sleep(0.5)
        route.continue_()

    page.route("**/analyze", late)
    page.evaluate("for (const x of [3, 4]) { number.value = x; number.dispatchEvent(new Event('change')); }")
    page.wait_for_timeout(900)
    view.title("Example: <b>4</b>")


def test_an_answer_that_comes_late_leaves_the_form_that_the_user_chose(view: View) -> None:
    page = view.open("model=many")
    asked = list[Any]()
    page.route("**/analyze", lambda route: asked.append(route))
    page.click("#next")
    choose(page, "own")
    page.wait_for_timeout(100)
    asked[0].continue_()
    view.title("Example: <b>1</b>")
    expect(page.locator("#own")).to_be_visible()
    expect(page.locator("#held-form")).to_be_hidden()


def test_a_page_whose_model_was_replaced_says_so(view: View, models: dict[str, ServedModel]) -> None:
    page = view.open("model=replaced")
    models["replaced"] = Linear(np.eye(7), (7,), RNG.normal(size=(9, 7)), kind="table")
    models["replaced"].version = "1" * 12
    page.click("#next")
    expect(page.locator("#alert")).to_contain_text("The model was replaced by another version")
    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    expect(page.locator("#lead")).to_contain_text("rows of 7 columns")
