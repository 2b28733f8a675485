"""How examples become pictures and pictures files, whatever is drawn."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from PIL import Image

from isthmus import Autoencoder, data, plots
from isthmus.architectures import MLP
from isthmus.data import ImageArray
from isthmus.errors import DataError, NotPossibleError
from isthmus.plots.figure import png, save_png
from isthmus.plots.grids import as_cells, limits

TABLE = np.random.default_rng(2).normal(size=(60, 20))


@pytest.fixture(scope="module")
def ae() -> Autoencoder:
    return Autoencoder(epochs=1, random_state=0).fit(TABLE)


def test_image_shape_sets_the_shape_of_drawn_rows() -> None:
    assert as_cells(np.zeros((2, 20)), (4, 5)).shape == (2, 4, 5)
    assert as_cells(np.zeros((2, 20))).shape == (2, 20)
    assert as_cells(np.zeros((2, 784))).shape == (2, 784)
    assert as_cells(np.zeros((2, 784)).view(ImageArray)).shape == (2, 28, 28)
    with pytest.raises(DataError, match=r"image_shape=\(4, 6\)"):
        as_cells(np.zeros((2, 20)), (4, 6))
    with pytest.raises(NotPossibleError, match="image_shape"):
        as_cells(np.zeros((2, 3, 4, 5, 6)))


def test_channels_that_are_not_colors_are_drawn_next_to_each_other() -> None:
    image = np.arange(2 * 3 * 2).reshape(1, 2, 3, 2)
    np.testing.assert_array_equal(as_cells(image)[0], np.hstack([image[0, :, :, 0], image[0, :, :, 1]]))


def test_columns_of_very_different_spread_get_scales_of_their_own() -> None:
    table = TABLE * np.where(np.arange(20) == 7, 1e6, 1)
    low, high = limits(table)
    np.testing.assert_array_equal(high, table.max(0))
    assert np.ndim(limits(TABLE)[0]) == 0
    np.testing.assert_array_equal(low, table.min(0))


def test_a_saved_figure_replaces_the_old_one_atomically(tmp_path: Path, ae: Autoencoder) -> None:
    target = tmp_path / "curves.png"
    target.write_bytes(b"old")
    assert save_png(plots.losses(ae), target) == target
    assert target.read_bytes() == png(plots.losses(ae))
    with Image.open(target) as picture:
        assert picture.text == {"Description": plots.losses(ae).get_label()}  # type: ignore[attr-defined]  # PNG's own
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    with pytest.raises(FileNotFoundError):
        save_png(plots.losses(ae), tmp_path / "missing" / "curves.png")


def test_figures_drawn_by_several_threads_are_identical(ae: Autoencoder) -> None:
    expected = png(plots.reconstructions(ae, TABLE))
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(png(plots.reconstructions(ae, TABLE)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


@pytest.mark.thorough
def test_listing_kinds_loads_no_matplotlib_and_drawing_no_pyplot() -> None:
    script = (
        "import sys, numpy as np\n"
        "from isthmus import plots\n"
        "assert 'matplotlib' not in sys.modules and len(plots.__all__) >= 15\n"
        "from isthmus import Autoencoder\n"
        "X = np.random.default_rng(0).random((20, 6))\n"
        "ae = Autoencoder(epochs=1, random_state=0).fit(X)\n"
        "plots.reconstructions(ae, X), plots.latent(ae, X), plots.losses(ae)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_error_for_an_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(AttributeError, match=r"no figure 'scatter'.*latent"):
        plots.scatter  # noqa: B018


def test_windows_of_a_series_are_curves_with_a_scale_for_each_channel() -> None:
    """As images, they were a strip of pixels as wide as the channels, and took gigabytes for long windows."""
    time = np.arange(900)
    series = np.stack([50 + 5 * np.sin(time / 7), np.cos(time / 11)], axis=1)
    windows = data.Windows(series, length=48, step=24)
    ae = Autoencoder(2, architecture=MLP((8,)), epochs=1, random_state=0).fit(windows)
    figure = plots.reconstructions(ae, windows, n=3)
    (axes,) = figure.axes
    assert not axes.images
    (curves,) = [each for each in axes.collections if isinstance(each, LineCollection)]
    drawn = [path.vertices for path in curves.get_paths()]
    assert len(drawn) == 6
    for curve in drawn[:3]:  # of the originals
        assert np.isnan(curve[48:52, 1]).all()
        heights = [float(np.ptp(channel[:, 1])) for channel in (curve[:48], curve[52:])]
        assert min(heights) > 0.5 * max(heights)  # although one channel has five times the range of the other
    assert "channels side by side, each on its own scale" in axes.get_title(loc="left")
    short = data.Windows(series, length=8, step=8)  # with fewer values than a chart has columns
    of_short = Autoencoder(2, architecture=MLP((8,)), epochs=1, random_state=0).fit(short)
    for draw in (plots.traversal, plots.interpolation, plots.neighbors, plots.codes):
        assert not any(axes.images for axes in draw(of_short, short).axes), draw
