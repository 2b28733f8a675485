"""The notebooks in `examples/` run from the first cell to the last, in an empty folder, and are committed without outputs."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def shown(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell as Jupyter does: its last expression is what it shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last is not None else None


@pytest.mark.thorough
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_its_outputs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    kept = [shown("".join(cell["source"]), names) for cell in cells(path) if cell["cell_type"] == "code"]
    figures = [each for each in kept if isinstance(each, Figure)]
    tables = [each._repr_html_() for each in kept if hasattr(each, "_repr_html_")]
    assert all(each._repr_png_().startswith(b"\x89PNG") for each in figures if hasattr(each, "_repr_png_"))
    assert len(figures) >= 2
    assert len(tables) >= 3  # the data, the estimator, what was measured
    if path.stem == "first-steps":
        assert names["found"].errors.mse < names["found"].pca.mse
    elif path.stem == "sliders":  # the codes that were set, and what the widget drew of the last
        codes, widget = names["codes"], names["widget"]
        assert [code[widget.units[0]["unit"]] for code in codes[1:]] == [-3, 0, 3]
        drawn = np.frombuffer(widget.decoded, np.uint8).reshape(28, 28)
        np.testing.assert_allclose(drawn, names["decoded"][-1].clip(0, 255), atol=0.51)
    else:  # what the text says of the wrong row, and that values filled by the autoencoder are nearer than the means
        printed = capsys.readouterr().out.splitlines()
        assert printed[0].startswith("3 alcohol ")
        assert names["result"].alarms[3]
        by_autoencoder, by_mean = (float(line.split()[1]) for line in printed[1:])
        assert by_autoencoder < by_mean


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    assert path.stat().st_size < 20_000
    for cell in cells(path):
        assert not cell.get("outputs"), "".join(cell["source"])
        assert cell.get("execution_count") is None
