"""The tutorials in full: minutes to an hour each. `pytest -m slow` runs them, `pytest -m slow -k keras-simple` one."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from isthmus.experiments.reproduction import kept, markdown, reproduce
from isthmus.experiments.tutorials import TUTORIALS, Tutorial

PUBLISHED = [tutorial for tutorial in TUTORIALS if any(any(system.published.values()) for system in tutorial.systems)]
WITHIN = {"test per pixel": 0.02, "test per digit": 0.015, "test MSE": 0.1}


@pytest.mark.slow
@pytest.mark.parametrize(
    "tutorial",
    [
        pytest.param(
            tutorial,
            id=tutorial.id,
            marks=[pytest.mark.fashion_mnist] * any(s.data == "fashion_mnist" for s in tutorial.systems),
        )
        for tutorial in PUBLISHED
    ],
)
def test_the_published_figure_is_reached(tutorial: Tutorial) -> None:
    result = next(reproduce(tutorial))
    for name, published in result.system.published.items():
        if published is not None and name in WITHIN:
            assert result.figures[name] <= published * (1 + WITHIN[name])


@pytest.mark.fashion_mnist
def test_the_tutorial_on_clothes_learns_them() -> None:
    """Its parameters are those that it printed; five of its 200 epochs bring the cross-entropy near the 0.271 of them all."""
    tutorial = next(tutorial for tutorial in TUTORIALS if tutorial.id == "fashion-deep")
    result = next(reproduce(tutorial, ["epochs=5"]))
    assert result.figures["encoder parameters"] == 236_436
    assert result.figures["decoder parameters"] == 237_200
    floor = 0.24217  # the mean entropy of a test pixel: nothing can be below
    assert floor < result.figures["test per pixel"] < 0.31
    assert (result.dataset.train.shape, result.dataset.test.shape) == ((60_000, 28, 28), (10_000, 28, 28))  # type: ignore[union-attr]


def test_a_finished_tutorial_is_kept_and_tabled(tmp_path_factory: pytest.TempPathFactory) -> None:
    from isthmus.experiments.reproduction import keep

    folder = tmp_path_factory.mktemp("reproduction")
    tutorial = next(tutorial for tutorial in TUTORIALS if tutorial.id == "tf-simple")
    assert kept(tutorial, folder) is None
    (row,) = (keep(result, folder, ["epochs=0.01"]) for result in reproduce(tutorial, ["epochs=0.01"]))
    assert kept(tutorial, folder, ["epochs=0.01"]) == [row]
    assert kept(tutorial, folder) is None  # what was overridden is not the tutorial
    assert "| tf-simple | 784-32-784, ReLU code, Adam | - | loss per pixel 0." in markdown([row])
    assert (folder / "tf-simple/figures/reconstructions.png").exists()


def test_what_the_tutorial_watches_is_written_as_training_goes(
    public_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("watched")
    watched = next(tutorial for tutorial in TUTORIALS if tutorial.id == "fashion-deep")
    for _ in reproduce(watched, ["epochs=0.02", "architecture.hidden=4"], folder=folder):
        pass
    assert (folder / "fashion-deep/figures/epoch-001/sheet.png").exists()
    board = next(tutorial for tutorial in TUTORIALS if tutorial.id == "keras-conv")
    for _ in reproduce(board, ["epochs=0.005"], folder=folder):
        pass
    assert list((folder / "keras-conv").glob("events.*"))


ROOT = Path(__file__).parents[1]
PAGES = {"docs/reproduction.md": "table", "README.md": "tutorials", "README.zh-CN.md": "tutorials"}


def tables_script() -> Any:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES)
def test_every_tutorial_has_its_row_with_figures(page: str) -> None:
    text, mark = (ROOT / page).read_text(encoding="utf-8"), PAGES[page]
    _, _, *lines = text.partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- /{mark} -->")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    measured = [row[0].strip("`") for row in rows if re.search(r"\d", row[3])]
    assert len(measured) == len(rows)
    assert [tutorial.id for tutorial in TUTORIALS if tutorial.id not in measured] == []


def test_the_pages_are_left_alone_where_results_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tables_script()
    (tmp_path / "docs").mkdir()
    for page in PAGES:
        (tmp_path / page).write_text((ROOT / page).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"holds no results of tf-simple, .*: no page is written; ") as end:
        script.main(tmp_path)
    assert "\n" not in str(end.value)
    for page in PAGES:
        assert (tmp_path / page).read_bytes() == (ROOT / page).read_bytes()
