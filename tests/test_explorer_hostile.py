"""Odd data and hostile requests on the explorer page: numbers, dates, pasted text, and models that are replaced."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from explored_models import Linear, asked
from starlette.applications import Starlette

from isthmus.errors import DataError
from isthmus.explorer import maps, routes
from isthmus.explorer.explored import Explored
from isthmus.explorer.known import colors_of
from isthmus.explorer.pasted import pasted_row
from isthmus.explorer.view import Column, View
from isthmus.runtime.manifest import Port
from isthmus.serving import Entry

X = np.random.default_rng(0).normal(size=(9, 3))
COLUMNS = [Column("size", "number", ()), Column("place", "category", ("a; b", "c")), Column("__proto__", "number", ())]


class Mixed(Linear):
    """A table with a date, and a model that is told a whole number."""

    def __init__(self) -> None:
        super().__init__(np.eye(3), (3,), X, kind="table")
        day, y = Port("when", "int64", (), "when", "date"), Port("y", "int64", ())
        self.entries = {**self.entries, "reconstruct": Entry((day, y), (day,))}


def app_of(models: dict[str, Any]) -> Starlette:
    return Starlette(routes=routes(models.__getitem__, lambda: list(models)))


@pytest.mark.parametrize("given", ["now", "today", "20260131", "99999999-01-01", "9999999", "2026-13-01", "NaT "])
def test_what_is_no_date_is_refused(given: str) -> None:
    with pytest.raises(DataError, match="which is no date"):
        View(Mixed()).inputs([given])


@pytest.mark.parametrize("given", ["2026-01-31", "2026-01-31 10:30", "2026-01-31T10:30:05Z", "2026-01", "0099-01-01"])
def test_dates_are_read(given: str) -> None:
    (values,) = View(Mixed()).inputs([given]).values()
    assert str(values[0]).startswith(given.rstrip("Z").replace(" ", "T"))


def test_a_label_that_is_a_whole_number_is_not_rounded() -> None:
    view = View(Mixed())
    assert view.y_input(2.0)["y"].tolist() == [2]
    with pytest.raises(DataError, match=r"y is 1\.5"):
        view.y_input(1.5)


def test_rows_keep_all_digits_and_infinite_values_are_none() -> None:
    view = View(Linear(np.eye(4), (4,), kind="table"))
    values = np.array([[16777217, 0.1, np.inf, np.nan]])
    assert view.contents([values]) == [[16777217.0, 0.1, None, None]]
    assert view.contents([values.astype(np.float32)]) == [[16777216.0, 0.1, None, None]]


def test_whole_numbers_that_differ_have_different_names_in_the_legend() -> None:
    assert colors_of([1234567.0, 1234568.0, None])["names"] == ["1234567", "1234568"]
    assert colors_of([True, False])["kind"] == "categories"


def test_a_date_colors_the_map_as_a_date() -> None:
    model = Mixed()
    days = np.array(["2026-01-31", "2026-02-28", "NaT"], "datetime64[us]").astype(np.int64)
    known = Explored(Linear(np.eye(3), (3,), X, kind="table")).known
    assert known is not None
    known.view = View(model)
    known.examples = type(known.examples)({"when": days})
    assert known.colors("column:0")["names"] == ["2026-01-31", "2026-02-28"]
    assert known.colors("column:0")["values"] == [0, 1, -1]
    known.examples = type(known.examples)({"when": days[0] + 86_400_000_000 * np.arange(101)})
    scale = known.colors("column:0")
    assert (scale["kind"], scale["high"] - scale["low"]) == ("numbers", 98)
    assert (scale["low_name"], scale["high_name"]) == ("2026-02-01", "2026-05-10")


@pytest.mark.parametrize("text", ["a" * 200_000, '"' + "a" * 200_000 + '",1,2'])
def test_a_pasted_text_that_is_no_row_gets_a_sentence(text: str) -> None:
    with pytest.raises(DataError):
        pasted_row(text, COLUMNS)


def test_a_separator_inside_a_quoted_cell_is_none() -> None:
    assert pasted_row('1,"a; b",2', COLUMNS)[0] == ["1", "a; b", "2"]
    assert pasted_row('size,place,__proto__\n1,"a; b",2', COLUMNS)[0] == ["1", "a; b", "2"]


def test_a_name_that_is_given_twice_is_refused() -> None:
    with pytest.raises(DataError, match="'size' more than once"):
        pasted_row("size,size,place\n1,2,c", COLUMNS)


def test_one_map_is_computed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = 0, 0

    class Slow:
        def __init__(self, **_: Any) -> None:
            pass

        def fit_transform(self, codes: Any) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            time.sleep(0.05)
            running -= 1
            return codes[:, :2]

    monkeypatch.setattr("sklearn.manifold.TSNE", Slow)
    threads = [threading.Thread(target=maps.map_of, args=("tsne", X)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@pytest.mark.thorough  # umap-learn is compiled when it is first used
def test_umap_keeps_groups_apart() -> None:
    pytest.importorskip("umap")
    codes = np.concatenate([X, X + 100, X - 100])
    points = maps.map_of("umap", codes)
    assert points.shape == (27, 2)
    distances = np.linalg.norm(points[:, None] - points, axis=2) + 99 * np.eye(27)
    assert (distances.argmin(1) // 9 == np.arange(27) // 9).all()


def test_a_score_that_cannot_be_computed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    explored = Explored(Linear(np.eye(3), (3,), X, kind="table"))
    assert explored.known is not None

    def fails() -> Any:
        raise DataError("no scores")

    monkeypatch.setattr(explored.known, "scores", fails)
    for _ in range(100):
        found = explored.analyze({"held_out": 0})
        if not found["ranking"]:
            break
        time.sleep(0.01)
    assert found["ranking"] is False
    assert found["lower"] is None


def test_a_page_of_a_model_that_was_replaced_is_told_to_reload() -> None:
    models = {"linear": Linear(np.eye(3), (3,), X, kind="table")}
    app = app_of(models)
    version = asked(app, "state")[1]["version"]
    assert asked(app, "held_out", {"index": 0, "version": version})[0] == 200
    models["linear"] = Linear(np.eye(3)[:, :2], (3,), X, kind="table")
    models["linear"].version = "1" * 12
    status, answer = asked(app, "decode", {"code": [0, 0, 0], "version": version})
    assert (status, answer["error"]) == (
        409,
        "the model was replaced by another version after this page was opened: reload the page",
    )
    assert asked(app, "decode", {"code": [0, 0]})[0] == 200


def test_a_model_that_went_is_not_kept() -> None:
    import gc
    import weakref

    models = {name: Linear(np.eye(3), (3,), X, kind="table") for name in ("gone", "linear")}
    app = app_of(models)
    assert asked(app, "state", name="gone")[0] == 200
    gone = weakref.ref(models.pop("gone"))
    assert asked(app, "state")[0] == 200
    gc.collect()
    assert gone() is None
