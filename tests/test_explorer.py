"""What the explorer page asks: codes, maps, dimensions, disturbances and walks of models of which everything is known."""

from __future__ import annotations

import base64
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explored_models import Linear, ask, asked
from sklearn.decomposition import PCA
from starlette.applications import Starlette
from test_cli import run as run_command

from isthmus import data
from isthmus.errors import DataError, NotPossibleError
from isthmus.experiments import run_data
from isthmus.experiments.splits import Split
from isthmus.explorer import routes
from isthmus.explorer.dimensions import dimensions_of
from isthmus.explorer.explored import Explored
from isthmus.explorer.maps import principal_components
from isthmus.explorer.pages import PAGE
from isthmus.explorer.pasted import pasted_row
from isthmus.explorer.view import Column, View
from isthmus.serving import open_model

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
W = np.linalg.qr(RNG.normal(size=(12, 4)))[0]
CODES = RNG.normal(size=(60, 4)) * [1.0, 3.0, 0.5, 2.0]
X = (CODES @ W.T + 0.1 * RNG.normal(size=(60, 12))).reshape(60, 3, 4)
LABELS = np.array(["a", "b", None], dtype=object)[np.arange(60) % 3]
EXPORTED = Path(__file__).parent / "files/exported-1"


def app_of(model: Any, name: str = "linear") -> Starlette:
    models = {name: model}
    return Starlette(routes=routes(models.__getitem__, lambda: list(models)))


@pytest.fixture(scope="module")
def explored() -> Explored:
    return Explored(Linear(W, (3, 4), X, labels=LABELS))


@pytest.fixture(scope="module")
def app() -> Starlette:
    return app_of(Linear(W, (3, 4), X, labels=LABELS))


def floats(text: str) -> Array:
    return np.frombuffer(base64.b64decode(text), "<f4")


def sent(values: Array) -> str:
    return base64.b64encode(values.astype("<f8").tobytes()).decode()


# Codes


def test_the_dimensions_that_move_the_reconstruction_most_come_first(explored: Explored) -> None:
    found = explored.dimensions()["dimensions"]
    low, high = np.percentile(explored.known.codes, [1, 99], axis=0)  # type: ignore[union-attr]
    assert [each["place"] for each in found] == np.argsort(low - high).tolist()  # columns of W have length 1
    assert [each["importance"] for each in found] == pytest.approx(sorted((high - low) / max(high - low))[::-1])
    assert found[0]["low"] == pytest.approx(low[1])


def test_a_dimension_that_changes_nothing_comes_last() -> None:
    idle = np.column_stack([np.zeros(12), W])
    found = Explored(Linear(idle, (3, 4), X)).dimensions()["dimensions"]
    assert found[-1]["place"] == 0
    assert found[-1]["importance"] == 0
    assert found[-1]["low"] < found[-1]["high"]


def test_each_dimension_moves_from_end_to_end_while_the_others_stay() -> None:
    seen = list[Array]()

    def decode(codes: Array, origins: Array) -> list[Array]:
        seen.append(codes)
        np.testing.assert_array_equal((codes == CODES[origins]).sum(1), 3)
        return [codes]

    low, high = CODES.min(0) - 1, CODES.max(0) + 2
    dimensions_of(View(Linear(np.eye(4), (4,), kind="table")), (4,), CODES, (low, high), decode)
    (codes,) = seen
    for place in range(4):
        assert {low[place], high[place]} <= set(codes[:, place])
        assert (codes[:, place] == low[place]).sum() == (codes[:, place] == high[place]).sum() == len(codes) / 8


def test_pca_is_that_of_scikit_learn_up_to_signs() -> None:
    for codes in (CODES, CODES[:3], RNG.normal(size=(5, 40))):
        points, shares = principal_components(codes)
        pca = PCA(2).fit(codes)
        np.testing.assert_allclose(np.abs(points), np.abs(pca.transform(codes)), atol=1e-6)
        np.testing.assert_allclose(shares, pca.explained_variance_ratio_, atol=1e-9)
    assert principal_components(np.ones((4, 1)))[0].shape == (4, 2)


def test_maps_are_computed_in_the_background_and_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    explored = Explored(Linear(W, (3, 4), X))
    assert floats(explored.map("pca")["points"]).size == 120
    monkeypatch.setitem(sys.modules, "umap", None)
    states = {kind: [explored.map(kind)["state"]] for kind in ("tsne", "umap")}
    until = time.monotonic() + 30
    while "computing" in (states["tsne"][-1], states["umap"][-1]) and time.monotonic() < until:
        time.sleep(0.02)
        for kind, seen in states.items():
            seen.append(explored.map(kind)["state"])
    assert states["tsne"][0] == "computing"
    assert states["tsne"][-1] == "ready"
    assert floats(explored.map("tsne")["points"]).size == 120
    assert states["umap"][-1] == "failed"
    assert "pip install umap-learn" in explored.map("umap")["reason"]
    with pytest.raises(DataError, match="pca, tsne, umap"):
        explored.map("x")


def test_colors_are_labels_scores_and_columns() -> None:
    explored = Explored(Linear(W, (12,), X.reshape(60, 12), kind="table", labels=LABELS))
    assert [each["by"] for each in explored.state()["held_out"]["colors"]][:2] == ["label", "column:0"]
    assert explored.colors("label")["names"] == ["a", "b"]
    assert explored.colors("label")["values"][:3] == [0, 1, -1]
    np.testing.assert_allclose(floats(explored.colors("column:3")["values"]), X.reshape(60, 12)[:, 3], rtol=1e-6)
    until = time.monotonic() + 10
    while (found := explored.colors("score"))["state"] == "computing" and time.monotonic() < until:
        time.sleep(0.01)
    residues = X.reshape(60, 12) - X.reshape(60, 12) @ W @ W.T
    np.testing.assert_allclose(floats(found["values"]), -(residues**2).sum(1), rtol=1e-5)
    with pytest.raises(DataError):
        explored.colors("column:99")


# Examples


def test_an_example_its_reconstruction_its_code_and_its_neighbors(explored: Explored) -> None:
    found = explored.analyze({"held_out": 7})
    flat = X.reshape(60, 12)
    np.testing.assert_allclose(floats(found["content"]), flat[7], rtol=1e-6)
    np.testing.assert_allclose(floats(found["reconstruction"]), flat[7] @ W @ W.T, rtol=1e-5)
    np.testing.assert_allclose(found["code"], flat[7] @ W)
    distances = np.linalg.norm(flat @ W - flat[7] @ W, axis=1)
    assert [each["index"] for each in found["neighbors"]] == np.argsort(distances)[1:7].tolist()
    assert found["neighbors"][0]["distance"] == pytest.approx(np.sort(distances)[1])
    assert (found["index"], found["id"], found["label"], found["seen"]) == (7, "<b>7</b>", "b", None)
    assert explored.find("<b>9</b>")["index"] == 9
    with pytest.raises(DataError, match="from 0 to 59"):
        explored.analyze({"held_out": 60})
    with pytest.raises(DataError, match="no held-out example has the ID"):
        explored.find("z")


def test_a_given_example_counts_as_the_same_held_out_one(explored: Explored) -> None:
    given = explored.analyze({"content": sent(X[7])})
    held = explored.analyze({"held_out": 7})
    assert given["score"] == held["score"]
    assert given["reconstruction"] == held["reconstruction"]
    assert given["neighbors"][0]["index"] == 7
    assert given["neighbors"][0]["distance"] == pytest.approx(0, abs=1e-12)
    for wrong in ("", sent(X[7][:2]), "%%%", 3, None):
        with pytest.raises(DataError):
            explored.analyze({"content": wrong})


def test_a_detector_gives_verdict_p_value_and_attributions() -> None:
    explored = Explored(Linear(W, (3, 4), X, detects=True))
    odd = X[7] + 2 * np.eye(12)[5].reshape(3, 4)
    found = explored.analyze({"content": sent(odd)})
    assert (found["anomaly"], found["p_value"]) == (True, 0.25)
    assert np.argmax(found["attributions"]) == 5
    assert sum(found["attributions"]) == pytest.approx(1)


def test_sliders_decode_what_the_example_decodes_to(explored: Explored) -> None:
    found = explored.analyze({"held_out": 3})
    assert explored.decode(found["code"])["content"] == found["reconstruction"]
    moved = [*found["code"]]
    moved[2] += 1.5
    difference = floats(explored.decode(moved)["content"]) - floats(found["reconstruction"])
    np.testing.assert_allclose(difference, 1.5 * W[:, 2], atol=1e-5)
    for wrong in ([1.0] * 3, None, ["a"] * 4, [float("inf")] * 4, [True] * 4):
        with pytest.raises(DataError, match="4 finite numbers"):
            explored.decode(wrong)


def test_a_walk_begins_and_ends_at_the_reconstructions(explored: Explored) -> None:
    found = explored.walk({"held_out": 3}, {"held_out": 8}, 5)
    ends = [explored.analyze({"held_out": i}) for i in (3, 8)]
    assert found["codes"] == [each["code"] for each in ends]
    assert [found["contents"][i] for i in (0, -1)] == [each["reconstruction"] for each in ends]
    middle = sum(floats(each["reconstruction"]) for each in ends) / 2
    np.testing.assert_allclose(floats(found["contents"][2]), middle, atol=1e-5)
    with pytest.raises(DataError, match="2 to 25 steps"):
        explored.walk({"held_out": 3}, {"held_out": 8}, 1000)


# Noise and hidden parts


def test_hidden_cells_take_away_their_pixels_alone() -> None:
    images = RNG.integers(1, 256, (9, 28, 28)).astype(np.uint8)
    explored = Explored(Linear(np.eye(784)[:, :3], (28, 28), images, dtype="uint8"))
    found = explored.analyze({"held_out": 0}, hidden=[0, 15])  # cells are 2 x 2 pixels, 14 in a row
    seen = floats(found["seen"]).reshape(28, 28)
    expected = images[0].astype(float)
    expected[:2, :2] = expected[2:4, 2:4] = 0
    np.testing.assert_array_equal(seen, expected)
    assert "lowest value" in found["notes"][0]
    assert explored.analyze({"held_out": 0})["seen"] is None
    with pytest.raises(DataError, match="196"):
        explored.analyze({"held_out": 0}, hidden=[196])


def test_noise_has_the_spread_that_it_says_and_grows_with_the_slider() -> None:
    images = np.full((2, 60, 60), 0.5)
    explored = Explored(Linear(np.eye(3600)[:, :1], (60, 60), images))
    weak, strong = (floats(explored.analyze({"held_out": 0}, noise=noise)["seen"]) - 0.5 for noise in (0.1, 0.2))
    assert weak.std() == pytest.approx(0.1, rel=0.05)  # of the range, which is 1
    np.testing.assert_allclose(strong, 2 * weak, atol=1e-6)


def test_hidden_columns_are_missing_to_a_model_that_allows_it_and_else_the_mean() -> None:
    table = RNG.normal(5, 2, (50, 12))
    allows = Explored(Linear(W, (12,), table, kind="table", missing=True))
    found = allows.analyze({"held_out": 0}, hidden=[2])
    assert found["seen"][2] is None
    assert found["content"][2] == pytest.approx(table[0, 2], rel=1e-5)
    other = Explored(Linear(W, (12,), table, kind="table")).analyze({"held_out": 0}, hidden=[2])
    assert other["seen"][2] == pytest.approx(table[:, 2].mean(), rel=1e-5)
    assert "mean" in other["notes"][0]


def test_noise_and_hiding_leave_counts_counts() -> None:
    table = RNG.poisson(3, (50, 12)).astype(float)
    explored = Explored(Linear(W, (12,), table, kind="table"))
    seen = np.array(explored.analyze({"held_out": 0}, noise=0.9, hidden=[1])["seen"])
    assert (seen == np.rint(seen)).all()
    assert (seen >= 0).all()
    assert (seen != table[0]).any()


def test_hidden_times_of_a_series_are_those_of_their_cells() -> None:
    series = RNG.normal(size=(20, 48, 2))
    explored = Explored(Linear(np.eye(96)[:, :3], (48, 2), series, kind="series", missing=True))
    assert explored.state()["grid"] == (1, 24)
    seen = floats(explored.analyze({"held_out": 0}, hidden=[0, 23])["seen"]).reshape(48, 2)
    assert np.isnan(seen[[0, 1, 46, 47]]).all()
    np.testing.assert_allclose(seen[2:46], series[0, 2:46], rtol=1e-6)


# A table with columns of several types, exported: there are no held-out examples


def test_an_export_is_explored_from_a_given_row() -> None:
    explored = Explored(open_model(EXPORTED, "exported"))
    state = explored.state()
    assert state["held_out"] is None
    assert "no held-out examples" in state["reason"]
    row = [0.5, 3, "left", 1, "2020-03-01"]
    found = explored.analyze({"content": row})
    assert found["content"] == [0.5, 3.0, "left", 1.0, "2020-03-01"]
    assert found["anomaly"] in {True, False}
    assert found["reconstruction"][2] in {"left", "right", "up"}
    dimensions = explored.dimensions(found["code"])["dimensions"]
    assert all(each["low"] < found["code"][each["place"]] < each["high"] for each in dimensions)
    missing = explored.analyze({"content": row}, hidden=[2])
    assert missing["seen"][2] is None
    with pytest.raises(NotPossibleError, match="held-out examples"):
        explored.analyze({"content": row}, noise=0.5)
    with pytest.raises(NotPossibleError):
        explored.map("pca")
    for place, value, message in ((0, "abc", "no number"), (1, 2.5, "integer"), (4, "soon", "no date")):
        with pytest.raises(DataError, match=message):
            explored.analyze({"content": [*row[:place], value, *row[place + 1 :]]})
    unknown = explored.analyze({"content": [*row[:2], "down", *row[3:]]})
    assert "down" in unknown["notes"][0]


COLUMNS = (Column("age", "number", ()), Column("city", "category", ("Bonn", "Ulm")), Column("n", "integer", ()))


def test_pasted_rows_are_read_by_name_or_by_place_and_guesses_are_said() -> None:
    assert pasted_row("1.5,Ulm,3", COLUMNS)[0] == ["1.5", "Ulm", "3"]
    row, notes = pasted_row("n\tcity\tage\tid\n7\tBonn\t1,5\t9\n8\tUlm\t2\t9\n", COLUMNS)
    assert row == ["1.5", "Bonn", "7"]
    said = " ".join(notes)
    for part in ("names of the columns", "left out: id", "1 more line", "Decimal commas"):
        assert part in said
    row, notes = pasted_row("city;n\nUlm;3", COLUMNS)
    assert row == [None, "Ulm", "3"]
    assert "missing: age" in " ".join(notes)
    assert pasted_row("1\nUlm\n3", COLUMNS)[0] == ["1", "Ulm", "3"]
    for text in ("", " \n", "1,2", "1,2,3,4", "age,city\n1"):
        with pytest.raises(DataError):
            pasted_row(text, COLUMNS)


def test_held_out_rows_of_a_mixed_table_are_those_of_the_split(tmp_path: Path) -> None:
    lines = [f"row {i},{i},{'ab'[i % 2]},{i * 1.5}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["name,x,kind,z", *lines]))
    dataset = data.read(tmp_path / "t.csv", id="name")
    rows = np.array([50, 3, 41])
    found = run_data.held_out(dataset, Split(dataset.train[:40], dataset.train[rows], test_rows=rows))
    assert found.ids.tolist() == ["row 50", "row 3", "row 41"]  # type: ignore[union-attr]
    assert found.frame["x"].to_pylist() == [50, 3, 41]
    assert found.frame["kind"].to_pylist() == ["a", "b", "b"]


# Requests


def test_every_answer_has_a_strict_policy(app: Starlette) -> None:
    for path in ("/", "/explore/page/main.js", "/explore/page/style.css", "/explore/models"):
        status, headers, _ = ask(app, path)
        assert status == 200
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    assert ask(app, "/explore/page/../routes.py")[0] == 404
    assert ask(app, "/explore/page/..%2froutes.py")[0] == 404
    assert ask(app, "/explore/page/routes.py")[0] == 404


@pytest.mark.parametrize(
    ("what", "body", "status"),
    [
        ("analyze", b"{", 400),
        ("analyze", b"[" * 100_000, 400),
        ("analyze", b"[]", 400),
        ("analyze", b"\xff", 400),
        ("analyze", b"{}", 400),
        ("analyze", b'{"example": {"held_out": true}}', 400),
        ("analyze", b'{"example": {"held_out": 1e99}}', 400),
        ("analyze", b'{"example": {"held_out": 1}, "noise": NaN}', 400),
        ("analyze", b'{"example": {"held_out": 1}, "noise": 2}', 400),
        ("analyze", b'{"example": {"held_out": 1}, "hidden": [-1]}', 400),
        ("analyze", b'{"example": {"held_out": 1}, "hidden": ["x"]}', 400),
        ("decode", b'{"code": [1e400, 0, 0, 0]}', 400),
        ("decode", b'{"code": [1' + b"0" * 500 + b", 0, 0, 0]}", 400),
        ("walk", b'{"start": {"held_out": 1}, "end": {"held_out": 2}, "steps": "9"}', 400),
        ("map", b'{"kind": "<b>"}', 400),
        ("row", b'{"text": 3}', 400),
        ("nothing", b"{}", 404),
    ],
)
def test_a_bad_request_gets_one_sentence(app: Starlette, what: str, body: bytes, status: int) -> None:
    found, _, answer = ask(app, f"/explore/models/linear/{what}", body)
    assert found == status
    if what != "nothing":
        error = json.loads(answer)["error"]
        assert "Traceback" not in error
        assert "\n" not in error


def test_requests_of_other_sites_too_large_ones_and_unknown_models_are_refused(app: Starlette) -> None:
    assert ask(app, "/explore/models/linear/state", b"{}", kind="text/plain")[0] == 415
    assert ask(app, "/explore/models/linear/state", b" " * (32 * 2**20 + 1))[0] == 413
    status, answer = asked(app, "state", name="other")
    assert status == 404
    assert "no model 'other'" in answer["error"]


def test_a_model_that_was_replaced_is_looked_at_anew() -> None:
    models = {"linear": Linear(W, (3, 4), X)}
    app = Starlette(routes=routes(models.__getitem__, lambda: list(models)))
    before = asked(app, "decode", {"code": [1, 0, 0, 0]})[1]["content"]
    models["linear"] = Linear(2 * W, (3, 4), X)
    after = asked(app, "decode", {"code": [1, 0, 0, 0]})[1]["content"]
    np.testing.assert_allclose(floats(after), 2 * floats(before))


def test_infinite_numbers_are_null() -> None:
    model = Linear(W, (3, 4), X, detects=True)
    model.described = {**model.described, "detector": {"threshold": -np.inf}}
    assert asked(app_of(model), "state")[1]["detector"]["threshold"] is None


# The page


def test_the_page_has_no_inline_script_or_style_and_names_only_its_own_files() -> None:
    page = (PAGE / "index.html").read_text()
    assert not re.findall(r"<style|\son\w+=|\sstyle=|<script(?![^>]* src=)", page)
    named = re.findall(r'(?:src|href)="explore/page/([^"]+)"', page)
    scripts = {path.name: path.read_text() for path in PAGE.glob("*.js")}
    for text in scripts.values():
        named += re.findall(r'from "\./([^"]+)"', text)
    assert set(named) | {"index.html"} == {path.name for path in PAGE.iterdir()}
    for name, text in scripts.items():
        assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            name
        )
        assert [each for each in re.findall(r"https?://[^\"']+", text) if "w3.org/2000/svg" not in each] == [], name
        assert len(text.splitlines()) <= 300, name


def test_every_id_that_a_script_looks_for_is_on_the_page() -> None:
    scripts = "".join(path.read_text() for path in PAGE.glob("*.js"))
    there = set(re.findall(r'\bid="([^"]+)"', (PAGE / "index.html").read_text())) | set(
        re.findall(r'id: "([^"]+)"', scripts)
    )
    assert set(re.findall(r'\$\("([^"]+)"\)', scripts)) - there - {"brush"} == set()


def test_the_page_needs_no_pytorch() -> None:
    script = "import sys, isthmus.explorer; print([name for name in ('torch', 'sklearn', 'umap', 'scipy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    for words, code, part in (
        (["nowhere"], 1, "nowhere"),
        ([str(EXPORTED), "--data", "digits"], 1, "reads no --data"),
    ):
        done = run_command("explore", *words, "--no-browser", cwd=tmp_path)
        assert done.returncode == code
        assert part in done.stderr
        assert len([line for line in done.stderr.splitlines() if line.startswith("isthmus: ")]) == 1


@pytest.mark.thorough
def test_the_command_serves_the_page_to_this_machine_until_it_is_stopped(tmp_path: Path) -> None:
    shutil.copytree(
        EXPORTED, folder := tmp_path / "v1.2 \udcff<b>"
    )  # a dot is no suffix of a folder, and a byte no letter
    command = [sys.executable, "-c", "from isthmus.cli import main; main()", "explore", str(folder), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"v1\.2 \\udcff<b> is shown at http://127\.0\.0\.1:(\d+)/ ", process.stdout.readline())
            assert found is not None
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
            for host, status in (("localhost", 200), ("evil.example", 421)):
                connection.request("GET", "/explore/models", headers={"Host": host})
                response = connection.getresponse()
                assert response.status == status
                assert (response.read() == rb'{"models":["v1.2 \\udcff<b>"]}') == (status == 200)
            connection.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("lacking", ["decode", "reconstruct", "encode"])
def test_an_export_without_a_part_that_the_page_shows_is_one_sentence(lacking: str) -> None:
    model = open_model(EXPORTED, "exported")
    model.entries = {name: entry for name, entry in model.entries.items() if name != lacking}
    status, answer = asked(app_of(model), "state")
    assert 400 <= status < 500
    assert answer["error"] == f"exported was exported without {lacking}, which the page shows: export all parts"
