"""A run looked at from the command line: its page, its JSON, and other data beside its own."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_cli import run

import isthmus

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table with labels, pictures of another kind of data, and the run looked at on these."""
    folder = tmp_path_factory.mktemp("review")
    rng = np.random.default_rng(0)
    for name, shift in (("own", 0.0), ("other", 4.0)):
        kinds = rng.integers(0, 3, 300)
        X = (rng.normal(size=(300, 12, 12)) + 4 * np.eye(3)[kinds].repeat(4, 1)[:, :, None] + shift).astype(np.float32)
        np.savez(folder / f"{name}.npz", x_train=X[:200], x_test=X[200:], y_train=kinds[:200], y_test=kinds[200:])
    words = (
        "variational",
        "kind=images",
        "epochs=8",
        "architecture.hidden=16",
        "bottleneck.size=4",
        "--data",
        "own.npz",
    )
    done = run("train", *words, "--out", "r", cwd=folder, every_figure=True)
    assert done.returncode == 0, done.stderr
    assert "k-means" not in done.stdout  # short: the whole is on the page
    assert "k-means" in (folder / "r/report.html").read_text()
    return folder


def read(folder: Path, name: str) -> Any:
    return isthmus.data.load(folder / f"{name}.npz")


def test_all_metrics_are_printed_and_are_plain_json(folder: Path) -> None:
    told = json.loads(run("evaluate", "r", "--json", cwd=folder).stdout)
    own = read(folder, "own")
    ae = isthmus.load(folder / "r")
    wanted = isthmus.evaluate(ae, own.test, own.test_labels, train=own.train, train_labels=own.train_labels).to_dict()
    assert told.pop("data") == "own.npz"
    for figures in (told, wanted):
        del figures["cost"]["encode_per_second"], figures["cost"]["reconstruct_per_second"]  # timed
    assert told == wanted
    assert len(told["codes"]["kl"]) == 4
    assert told["errors"]["ssim"] is not None
    done = run("evaluate", "r", cwd=folder)
    for word in ("SSIM", "Active units", "k-means clusters", "200 training examples", "written: r/report.html"):
        assert word in done.stdout


@pytest.mark.thorough
def test_other_data_are_compared_with_own_data(folder: Path) -> None:
    told = json.loads(run("evaluate", "r", "--data", "other.npz", "--json", cwd=folder, every_figure=True).stdout)
    ae, own, other = isthmus.load(folder / "r"), read(folder, "own"), read(folder, "other")
    ours, theirs = (ae.reconstruction_error(part.test).mean() for part in (own, other))
    assert told["errors"]["mse"] == pytest.approx(theirs, rel=1e-5)
    assert told["own"]["errors"]["mse"] == pytest.approx(ours, rel=1e-5)
    assert told["times_as_large"]["mse"] == pytest.approx(theirs / ours, rel=1e-5)
    mean = own.train.reshape(200, -1).mean(0, dtype=np.float64)
    axes = np.linalg.svd(own.train.reshape(200, -1) - mean, full_matrices=False)[2][:4]
    errors = [
        np.square((part.test.reshape(100, -1) - mean) @ (np.eye(144) - axes.T @ axes)).mean() for part in (own, other)
    ]
    assert told["times_as_large"]["pca_mse"] == pytest.approx(errors[1] / errors[0], rel=1e-3)
    assert f"{theirs / ours:.0f} times as large as on own.npz" in told["sentence"]
    assert told["advice"] == told["own"]["advice"]
    page = (folder / "r/report.html").read_text()
    part = page.split("<h2>On other data</h2>")[1].split("<h2>")[0]
    assert html.escape(told["sentence"]) in part
    assert part.count("<img ") == 2
    assert run("evaluate", "r", "--data", "own.npz", cwd=folder).returncode == 0  # the same file is no other data
    assert "On other data" not in (folder / "r/report.html").read_text()


def test_without_own_data_only_other_data_are_evaluated(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "r", tmp_path / "r")
    shutil.copy(folder / "other.npz", tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "r/figures").iterdir()}
    done = run("evaluate", "r", "--data", "other.npz", "--json", cwd=tmp_path, every_figure=True)
    told = json.loads(done.stdout)
    assert "own.npz" in told["note"]
    assert "figures on other.npz alone" in told["note"]
    assert "own" not in told
    assert "figures on other.npz alone" in (tmp_path / "r/report.html").read_text()
    assert {path.name: path.read_bytes() for path in (tmp_path / "r/figures").iterdir()} == before


@pytest.mark.thorough
def test_a_model_file_gets_a_page_in_the_requested_folder(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "r/model.safetensors", tmp_path / "m.safetensors")
    data = str(folder / "own.npz")
    done = run("evaluate", "m.safetensors", "--data", data, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--out" in done.stdout.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]
    assert run("evaluate", "m.safetensors", "--data", data, "--out", "page", cwd=tmp_path).returncode == 0
    assert "isthmus.load(&#x27;m.safetensors&#x27;)" in (tmp_path / "page/report.html").read_text()
    wrong = run("evaluate", "m.safetensors", "--data", data, "--out", "m.safetensors", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert run("evaluate", "m.safetensors", "--data", "no.npy", "--out", "new", cwd=tmp_path).returncode == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.thorough
def test_requested_figures_stay_on_the_page(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "r", tmp_path / "r")
    shutil.copy(folder / "own.npz", tmp_path)
    assert run("plot", "r", "sheet", cwd=tmp_path).returncode == 0
    assert run("evaluate", "r", cwd=tmp_path, every_figure=True).returncode == 0
    assert "A sheet of 100 pairs" in (tmp_path / "r/report.html").read_text()


MEASURE = """<!DOCTYPE html><html><body><iframe id="page" style="width:{width}px;height:600px;border:0" srcdoc="{page}"></iframe>
<script>onload = () => {{
  const view = document.getElementById("page").contentWindow, root = view.document.documentElement;
  const asked = view.performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:"));
  const shown = [...view.document.images].filter(i => i.naturalWidth > 0).length;
  document.body.textContent = JSON.stringify({{width: root.scrollWidth, height: root.scrollHeight, asked, shown}});
}}</script></body></html>"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is here to show a page: install the package chromium")
@pytest.mark.parametrize("width", [pytest.param(390, marks=pytest.mark.thorough), 1280])
def test_a_browser_shows_the_complete_page_without_network(width: int, folder: Path, tmp_path: Path) -> None:
    assert run("evaluate", "r", "--data", "other.npz", cwd=folder).returncode == 0
    source = (folder / "r/report.html").read_text()
    (tmp_path / "m.html").write_text(MEASURE.format(width=width, page=html.escape(source)))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={tmp_path / 'c'}"]
    shot = [
        f"--screenshot={tmp_path / 's.png'}",
        f"--window-size={max(width, 500)},900",
        f"file://{folder}/r/report.html",
    ]
    measure = ["--dump-dom", f"file://{tmp_path}/m.html"]
    dom, _ = (
        subprocess.run([str(CHROMIUM), *options, *more], capture_output=True, text=True, check=True, timeout=120).stdout
        for more in (measure, shot)
    )
    found = json.loads(re.search(r"\{.*\}", dom)[0])  # type: ignore[index]
    assert found["width"] <= width
    assert found["height"] > 2000
    assert found["asked"] == []
    assert found["shown"] == source.count("<img ") > 5
    pixels = np.asarray(Image.open(tmp_path / "s.png").convert("L"))
    assert 0.01 < (pixels < 128).mean() < 0.5  # neither blank nor black
