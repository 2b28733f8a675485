"""The map that shows its examples: what a point shows is its own example, and the piece is whole, small and silent."""

from __future__ import annotations

import base64
import io
import re
import tracemalloc
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.textpath import TextPath
from PIL import Image
from sklearn.datasets import load_wine

from isthmus import Autoencoder
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.errors import DataError, IsthmusWarning, RecordError
from isthmus.plots import interactive
from isthmus.plots.interactive import hover_map

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
GREY = (RNG.integers(0, 2, (30, 8, 6)) * 255).astype(np.uint8)
COLOR = np.repeat(np.repeat(RNG.integers(0, 2, (30, 4, 4, 3)) * 255, 2, 1), 2, 2).astype(np.uint8)


def trained(X: Any) -> Autoencoder:
    return Autoencoder(Identity(2), architecture=MLP((8,)), epochs=1, random_state=0).fit(X)


def parsed(fragment: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<body>{fragment}</body>")  # well formed, or an error


def sheet(tree: ElementTree.Element) -> Array:
    (image,) = tree.iter("image")
    assert image.attrib["href"].startswith("data:image/png;base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(image.attrib["href"].partition(",")[2])))
    assert picture.size == (int(image.attrib["width"]), int(image.attrib["height"]))
    return np.asarray(picture.convert("RGBA"))


def test_the_hint_fits_its_panel() -> None:
    tree = parsed(hover_map(trained(GREY), GREY, kind="latent"))
    (hint,) = tree.findall(".//text[@class='hint']")
    (panel,) = tree.findall("./figure/svg/rect")
    width = TextPath((0, 0), hint.text, size=19).get_extents().width  # the style's size, in a wide font
    assert 2 * float(hint.attrib["x"]) + width <= float(panel.attrib["width"])


@pytest.mark.parametrize("X", [GREY, COLOR], ids=["grey", "color"])
def test_every_point_shows_its_example_and_its_reconstruction(X: Array) -> None:
    ae = trained(X)
    tree = parsed(hover_map(ae, X, kind="latent"))
    pixels, back, seen = sheet(tree), ae.reconstruct(X).clip(0, 255), set()
    width = X.shape[2]
    for point in tree.findall(".//g[@class='p']"):
        index = int(re.findall(r"example (\d+)$", point.findtext("title") or "")[0])
        seen.add(index)
        (window,) = point.iter("svg")
        left, top, across, down = map(int, window.attrib["viewBox"].split())
        cell = pixels[top : top + down, left : left + across]
        original, restored = cell[:, :width], cell[:, -width:]
        assert (cell[:, width:-width, 3] == 0).all(), "air between the two"
        wanted, made = (side[index].reshape(*side.shape[1:3], -1) for side in (X, back))
        np.testing.assert_allclose(original[..., :3], np.broadcast_to(wanted, original[..., :3].shape), atol=30)
        np.testing.assert_allclose(restored[..., :3], np.broadcast_to(made, restored[..., :3].shape), atol=60)
        assert (original[..., 3] == 255).all()
    assert seen == set(range(30))


def test_points_are_at_the_positions_of_their_codes() -> None:
    ae = trained(GREY)
    codes = ae.transform(GREY)
    tree = parsed(hover_map(ae, GREY, kind="latent"))
    at = {}
    for point in tree.findall(".//g[@class='p']"):
        (dot,) = point.findall("circle")
        at[int((point.findtext("title") or "").split()[-1])] = float(dot.attrib["cx"]), -float(dot.attrib["cy"])
    positions = np.array([at[i] for i in range(30)])
    for axis in (0, 1):
        assert np.corrcoef(positions[:, axis], codes[:, axis])[0, 1] > 0.9999


def test_the_page_has_a_description_and_loads_nothing() -> None:
    labels = np.array(["<b>cat</b>", "dog & owl"])[np.arange(30) % 2]
    fragment = hover_map(trained(GREY), GREY, labels, kind="tsne")
    tree = parsed(fragment)
    assert not [node for node in tree.iter() if node.tag in {"script", "link", "iframe", "object", "foreignObject"}]
    assert not [name for node in tree.iter() for name in node.attrib if name.startswith("on")]
    addresses = [value for node in tree.iter() for name, value in node.attrib.items() if name in {"href", "src"}]
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in addresses)
    assert "url(" not in fragment
    assert "@import" not in fragment
    named = {node.attrib["id"] for node in tree.iter() if "id" in node.attrib}
    assert {value[1:] for value in addresses if value[0] == "#"} <= named
    points = tree.findall(".//g[@class='p']")
    assert all(point.attrib["tabindex"] == "0" and point.attrib["role"] == "img" for point in points)
    assert sorted(point.findtext("title") or "" for point in points)[0] == "example 0, label <b>cat</b>"
    assert [item.text for item in tree.iter("li")] == ["<b>cat</b>", "dog & owl"]
    assert "trustworthiness" in (tree.findtext(".//figcaption/strong") or "")


def test_two_maps_on_a_page_do_not_share_names_and_one_is_always_the_same() -> None:
    ae = trained(GREY)
    one, again, other = (hover_map(ae, X, kind="latent") for X in (GREY, GREY, GREY[:20]))
    assert one == again
    ids = [set(re.findall(r' id="([^"]+)"', piece)) for piece in (one, other)]
    assert not ids[0] & ids[1]


def test_a_map_keeps_its_limits_of_points_and_bytes_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = RNG.integers(0, 256, (650, 12, 12, 3)).astype(np.uint8)
    ae = trained(noise)
    monkeypatch.setattr(interactive, "BYTES", 250_000)
    fragment = hover_map(ae, noise, np.arange(650) % 3, kind="latent")
    shown = fragment.count('class="p"')
    assert len(fragment.encode()) <= 250_000
    assert 50 < shown < 600
    assert f"of {shown} of 650 examples" in fragment
    monkeypatch.undo()
    with pytest.warns(IsthmusWarning, match="less than a hundredth of the training range"):
        assert hover_map(ae, noise // 255, kind="latent").count('class="p"') == 600
    assert hover_map(ae, noise, kind="latent", limit=9).count('class="p"') == 9


def test_rows_of_a_table_show_the_features_furthest_from_the_mean() -> None:
    wine = load_wine(as_frame=True)
    ae = trained(wine.data)
    tree = parsed(hover_map(ae, wine.data, wine.target, kind="latent"))
    assert not list(tree.iter("image"))
    values = wine.data.to_numpy()
    apart = np.abs(values - values.mean(0)) / values.std(0)
    for point in tree.findall(".//g[@class='p']"):
        head, *lines = [text.text or "" for text in point.iter("text")]
        index = int(re.findall(r"example (\d+)", head)[0])
        top = np.argsort(-apart[index])[:4]
        made = ae.reconstruct(wine.data[index : index + 1])[0]
        names = [name if len(name) <= 24 else f"{name[:23]}…" for name in wine.data.columns]
        assert lines == [f"{names[j]}: {values[index, j]:.4g} → {made[j]:.4g}" for j in top]


def test_long_tables_are_read_in_blocks_and_large_images_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the table in double precision is eight times as large as a table of bytes."""
    long = np.random.default_rng(0).integers(0, 9, (60_000, 100)).astype(np.uint8)
    ae = trained(long[:300])
    tracemalloc.start()
    hover_map(ae, long, kind="latent", limit=20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 36e6  # the copy alone is 48 MB
    large = RNG.random((8, 90, 45))
    monkeypatch.setattr(interactive, "_MAX_VALUES", 5 * 90 * 45)
    assert "of 5 of 8 examples" in hover_map(trained(large), large, kind="latent")


@pytest.mark.parametrize("labels", [np.linspace(0, 1, 30), np.array([f"kind {i}" for i in range(30)]), np.zeros(30)])
def test_labels_of_any_kind_are_shown(labels: Array) -> None:
    tree = parsed(hover_map(trained(GREY), GREY, labels, kind="latent"))
    assert {f"example {i}, label {str(labels[i])[:24]}" for i in range(30)} == {
        point.findtext("title") for point in tree.findall(".//g[@class='p']")
    }


def test_equal_codes_and_large_images_are_drawn() -> None:
    ae = trained(GREY)
    tree = parsed(hover_map(ae, GREY[:1].repeat(5, 0), kind="latent"))
    assert {dot.attrib["cx"] for dot in tree.iter("circle")} == {"300"}
    large = RNG.random((6, 90, 45))
    tree = parsed(hover_map(trained(large), large, kind="latent"))
    assert {window.attrib["viewBox"].split(" ", 2)[2] for window in tree.findall(".//g/svg")} == {"33 32"}


def test_an_invalid_kind_or_labels_raise_one_sentence() -> None:
    with pytest.raises(RecordError, match="latent, tsne, umap"):
        hover_map(trained(GREY), GREY, kind="pca")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="one label for each"):
        hover_map(trained(GREY), GREY, [1, 2])
