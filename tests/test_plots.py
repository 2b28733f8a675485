"""The pictures show what they say: pixels, points and curves are held against what the autoencoder computes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from cases import thorough_where
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.stats import norm
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from isthmus import Autoencoder, plots
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.corruptions import GaussianNoise, Occlusion
from isthmus.errors import DataError, NotPossibleError
from isthmus.evaluation import PCAReconstructions, evaluate, pca_reconstructions
from isthmus.experiments.measured_figures import figure_function
from isthmus.plots.figure import png

Array = np.ndarray[Any, Any]


def digits(n: int) -> Array:
    """Bright strokes on black, as bytes (n, 28, 28)."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:28, :28]
    centers = random.uniform(8, 20, (n, 2, 1, 1))
    return (255 * np.exp(-((rows - centers[:, 0]) ** 2 + 0.3 * (columns - centers[:, 1]) ** 2) / 20)).astype(np.uint8)


def train(X: Array, bottleneck: Any, **choices: Any) -> Autoencoder:
    choices = {
        "architecture": MLP((16,)),
        "corruption": GaussianNoise(0.3),
        "precision": "float32",
        "device": "cpu",
        **choices,
    }
    return Autoencoder(bottleneck, epochs=1, batch_size=50, random_state=0, **choices).fit(X)


EXAMPLES: dict[str, Array] = {
    "digits": digits(120),
    "flat": digits(120).reshape(120, 784),
    "color": np.random.default_rng(1).random((60, 9, 7, 3), dtype=np.float32),
    "table": np.random.default_rng(2).normal(size=(60, 20)),
}
X = EXAMPLES["digits"]
THREE = np.arange(120) % 3  # labels
IMPOSSIBLE = {("feature_maps", data) for data in ("digits", "flat", "table")}
IMPOSSIBLE |= {
    ("series_alarms", data) for data in EXAMPLES
}  # which are no windows of a series: test_series_detection.py
IMPOSSIBLE |= {("column_errors", data) for data in EXAMPLES}  # whose columns have no names: test_table_figures.py
KINDS = sorted(set(plots.__all__) - {"umap"})  # whose compiler takes a minute: test_latent_traversal.py


@cache
def system(data: str) -> Autoencoder:
    """A small denoising autoencoder of each kind of data, trained once."""
    choices: dict[str, Any] = {"architecture": Conv((5,), code="map")} if data == "color" else {}
    bottlenecks = {"digits": Gaussian(2), "flat": Identity(5), "color": Identity(4), "table": Identity(3)}
    return train(EXAMPLES[data], bottlenecks[data], **choices)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """t-SNE waits for its threads thousands of times, for long on a busy machine."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def ae() -> Autoencoder:
    return system("digits")


def cell(figure: Figure, row: int, column: int, extra: tuple[int, int] = (0, 0)) -> Array:
    """The 28 x 28 pixels of one cell of a grid; extra: pixels between groups above and to the left of it."""
    drawn = np.ma.getdata(figure.axes[0].images[0].get_array())
    top, left = row * 30 + extra[0], column * 30 + extra[1]
    return np.asarray(drawn[top : top + 28, left : left + 28])


def part(figure: Figure, label: str) -> Any:
    return next(axes for axes in figure.axes if axes.get_label() == label)


def title(figure: Figure) -> str:
    return str(figure.axes[0].get_title(loc="left"))


def row_names(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


@cache
def drawn(kind: str) -> tuple[Figure, bytes]:
    """A figure of the digits, which several tests look at, and its file."""
    figure = figure_function(kind)(system("digits"), X, THREE)
    return figure, png(figure)


@pytest.mark.parametrize("data", thorough_where(EXAMPLES, lambda data: data in {"flat", "color"}))
@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_is_drawn_for_every_kind_of_data_or_gives_a_reason(kind: str, data: str) -> None:
    draw, ae, examples = figure_function(kind), system(data), EXAMPLES[data]
    if (kind, data) in IMPOSSIBLE:
        with pytest.raises(NotPossibleError):
            draw(ae, examples)
        return
    if data == "digits":
        figure, file = drawn(kind)
    else:
        figure = draw(ae, examples, THREE[: len(examples)])
        file = png(figure)
    assert file.startswith(b"\x89PNG")
    assert figure.get_label().endswith("."), "the sentence that tells what is to be seen"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"feature_maps", "tsne", "column_errors", "series_alarms"}))
def test_no_text_of_a_figure_is_cut_off(kind: str) -> None:
    figure, _ = drawn(kind)
    figure.canvas.draw()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.min.min() >= 0
        assert (box.max <= figure.bbox.max).all()


@pytest.mark.parametrize(
    "kind",
    thorough_where(
        sorted(set(KINDS) - {"feature_maps", "column_errors", "series_alarms"}),
        lambda kind: kind not in {"denoising", "latent", "neighbors", "pca", "samples", "traversal", "tsne"},
    ),
)
def test_equal_calls_give_equal_files(kind: str) -> None:
    assert png(figure_function(kind)(system("digits"), X, THREE)) == drawn(kind)[1]


def test_reconstructions_shows_the_originals_over_the_reconstructions(ae: Autoencoder) -> None:
    figure = plots.reconstructions(ae, X)
    restored = ae.reconstruct(X[:10]).clip(0, 255)
    assert row_names(figure) == ["original", "reconstruction"]
    for i in range(10):
        np.testing.assert_array_equal(cell(figure, 0, i), X[i])
        np.testing.assert_array_equal(cell(figure, 1, i), restored[i])
    assert figure.axes[0].images[0].get_clim() == (0, 255)
    flat = plots.reconstructions(system("flat"), EXAMPLES["flat"], image_shape=(28, 28))
    np.testing.assert_array_equal(cell(flat, 0, 3), X[3])


def test_each_image_pixel_is_drawn_as_whole_screen_pixels(ae: Autoencoder) -> None:
    figure = plots.reconstructions(ae, X)
    box = figure.axes[0].get_window_extent()
    rows, columns = figure.axes[0].images[0].get_array().shape
    assert box.width / columns == pytest.approx(round(box.width / columns), abs=1e-3)
    assert box.height / rows == pytest.approx(box.width / columns, abs=1e-3)
    assert box.x0 == pytest.approx(round(box.x0), abs=0.02)


def test_denoising_shows_the_corrupted_and_the_denoised_examples(ae: Autoencoder) -> None:
    figure = plots.denoising(ae, X, n=4, random_state=3)
    corrupted = ae.corrupt(X[:4], random_state=3)
    assert row_names(figure) == ["corrupted", "denoised", "clean"]
    np.testing.assert_array_equal(cell(figure, 0, 2), corrupted[2].clip(0, 255))
    np.testing.assert_array_equal(cell(figure, 1, 2), ae.reconstruct(corrupted)[2].clip(0, 255))
    np.testing.assert_array_equal(cell(figure, 2, 2), X[2])
    np.testing.assert_array_equal(cell(plots.noisy(ae, X, random_state=3), 0, 2), ae.corrupt(X[:10], 3)[2].clip(0, 255))


def test_completion_shows_only_the_visible_part() -> None:
    ae = train(X, Identity(4), corruption=Occlusion(1 / 4))
    figure = plots.completion(ae, X)
    assert row_names(figure) == ["visible part", "completed", "original"]
    np.testing.assert_array_equal(cell(figure, 0, 5)[:7], X[5, :7])
    assert not cell(figure, 0, 5)[7:].any()


@pytest.mark.parametrize("kind", ["denoising", "completion", "noisy"])
def test_figures_of_corruption_are_refused_without_corruption(kind: str) -> None:
    clean = Autoencoder(Identity(2), epochs=1, random_state=0).fit(EXAMPLES["table"])
    with pytest.raises(NotPossibleError, match="noise_levels"):
        getattr(plots, kind)(clean, EXAMPLES["table"])


def test_noise_levels_adds_each_level_in_model_units(ae: Autoencoder) -> None:
    figure = plots.noise_levels(ae, X, levels=(0.1, 0.8), n=3)
    corrupted = ae.corrupt(X[:3], random_state=0, corruption=GaussianNoise(0.8))
    assert row_names(figure) == ["noise 0.1", "denoised from 0.1", "noise 0.8", "denoised from 0.8"]
    np.testing.assert_array_equal(cell(figure, 2, 0, extra=(4, 0)), corrupted[0].clip(0, 255))


def test_the_sheet_has_each_reconstruction_next_to_its_original(ae: Autoencoder) -> None:
    figure = plots.sheet(ae, X)
    np.testing.assert_array_equal(cell(figure, 1, 2, extra=(4, 4)), X[11])
    np.testing.assert_array_equal(cell(figure, 1, 3, extra=(4, 4)), ae.reconstruct(X[:100])[11].clip(0, 255))
    assert "3 pairs" in title(plots.sheet(ae, X[:3]))


def test_pca_has_the_size_of_the_code_and_names_its_training_examples(ae: Autoencoder) -> None:
    figure = figure_function("pca")(ae, X[:40], train=X[40:])
    linear = PCA(2).fit(X[40:].reshape(80, -1))
    by_pca = linear.inverse_transform(linear.transform(X[:40].reshape(40, -1))).reshape(40, 28, 28)
    np.testing.assert_allclose(cell(figure, 1, 4), by_pca[4].clip(0, 255), atol=0.05)
    assert f"MSE {np.mean((by_pca - X[:40]) ** 2):.4g}" in row_names(figure)[1]
    assert f"MSE {ae.reconstruction_error(X[:40]).mean():.4g}" in row_names(figure)[2]
    assert "fitted on 80 training examples" in title(figure)
    assert "fitted on the same examples" in title(figure_function("pca")(ae, X))


def test_the_points_of_latent_are_the_codes(ae: Autoencoder) -> None:
    labels = np.array(["cat", "dog", "owl"])[THREE]
    figure = plots.latent(ae, X, labels)
    drawn = figure.axes[0].collections[0]
    np.testing.assert_allclose(drawn.get_offsets(), ae.transform(X))
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["cat", "dog", "owl"]
    figure.canvas.draw()
    colors = drawn.get_facecolors()
    assert len(np.unique(colors, axis=0)) == 3
    np.testing.assert_array_equal(colors[0], colors[3])


def test_the_figure_of_pca_has_the_errors_of_evaluate() -> None:
    X = load_iris().data * [1, 10, 100, 1000]
    ae = Autoencoder(Identity(2), epochs=2, random_state=0).fit(X)
    figures, picture = evaluate(ae, X[:50], train=X[50:]), pca_reconstructions(ae, X[:50], train=X[50:]).plot()
    said = " ".join(text.get_text() for text in picture.findobj(Text))
    assert f"PCA, 2 components\nMSE {figures.pca.mse:.4g}" in said
    assert f"autoencoder, 2 dimensions\nMSE {figures.errors.mse:.4g}" in said


def test_longer_codes_are_projected_on_principal_components_named_at_the_axes() -> None:
    axes = plots.latent(system("flat"), EXAMPLES["flat"]).axes[0]
    points = axes.collections[0].get_offsets()
    expected = PCA(2).fit_transform(system("flat").transform(EXAMPLES["flat"]))
    np.testing.assert_allclose(np.abs(points), np.abs(expected), rtol=1e-3, atol=1e-4)
    assert "principal component 1" in axes.get_xlabel()


def test_labels_of_another_length_are_an_error_that_counts_them(ae: Autoencoder) -> None:
    with pytest.raises(DataError, match=r"\(5,\), but there are 120 examples"):
        plots.latent(ae, X, np.arange(5))


def test_tsne_states_its_limit(ae: Autoencoder) -> None:
    figure = plots.tsne(ae, X, THREE, limit=30)
    assert "30 of 120 examples (limit=30)" in title(figure)
    assert len(figure.axes[0].collections[0].get_offsets()) == 30


@pytest.mark.parametrize(("by", "end"), [("quantiles", norm.ppf(0.95)), ("linear", 1.0)])
def test_the_corners_of_the_manifold_are_the_decoded_corners_of_the_prior(by: Any, end: float, ae: Autoencoder) -> None:
    figure = plots.manifold(ae, X, by=by)
    corners = {(0, 0): (-end, end), (0, 14): (end, end), (14, 0): (-end, -end), (14, 14): (end, -end)}
    decoded = ae.decode(np.array(list(corners.values()), np.float32)).clip(0, 255)
    for (row, column), expected in zip(corners, decoded, strict=True):
        np.testing.assert_allclose(cell(figure, row, column), expected, atol=1e-3)


def test_without_a_prior_the_manifold_spans_the_codes_of_the_examples() -> None:
    ae = train(X, Identity(2))
    corner = np.quantile(ae.transform(X), 0.05, axis=0)
    lower_left = ae.decode(corner[None].astype(np.float32))[0].clip(0, 255)
    np.testing.assert_allclose(cell(plots.manifold(ae, X), 14, 0), lower_left, atol=1e-3)
    with pytest.raises(DataError, match="pass X"):
        plots.manifold(ae)


def test_samples_are_those_of_the_prior(ae: Autoencoder) -> None:
    figure = plots.samples(ae, X, random_state=5)
    np.testing.assert_array_equal(cell(figure, 1, 2), ae.sample(64, random_state=5)[10].clip(0, 255))


def test_a_map_of_codes_is_transposed_as_a_strip() -> None:
    ae = train(X, Identity(8), architecture=Conv((2, 2), code="map"))
    figure = plots.codes(ae, X)
    strip = part(figure, "code 1").images[0].get_array()
    assert strip.shape == (32 * 4, 4 * 4)  # each number drawn as 4 x 4
    np.testing.assert_array_equal(strip[::4, ::4], ae.encode(X[:10])[1].reshape(4, 32).T)


def test_flat_codes_are_bars(ae: Autoencoder) -> None:
    bars = part(plots.codes(ae, X), "code 2").patches[0]
    np.testing.assert_array_equal(bars.get_data().values, ae.encode(X[:10])[2])


def test_feature_maps_are_the_maps_of_one_example() -> None:
    ae, colors = system("color"), EXAMPLES["color"]
    figure = plots.feature_maps(ae, colors, index=6)
    maps = part(figure, "maps").images[0].get_array()
    larger = 8  # maps of 3 x 2 are drawn with 8 x 8 pixels a number
    np.testing.assert_array_equal(
        maps[: 3 * larger : larger, : 2 * larger : larger], ae.encode(colors[6:7])[0, :, :, 0]
    )
    with pytest.raises(DataError, match="invalid index=60"):
        plots.feature_maps(ae, colors, index=60)
    with pytest.raises(NotPossibleError, match="draw codes, latent or filters"):
        plots.feature_maps(system("digits"), X)


def test_filters_are_the_first_weights_with_zero_in_the_middle_of_the_colors(ae: Autoencoder) -> None:
    figure = plots.filters(ae)
    weights = ae.model_.encoder[1].weight.detach().numpy().reshape(-1, 28, 28)
    np.testing.assert_array_equal(cell(figure, 1, 3), weights[11])
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high


def test_losses_are_the_history_with_its_parts(ae: Autoencoder) -> None:
    lines = {line.get_label(): line for line in plots.losses(ae).axes[0].lines}
    assert lines["training"].get_ydata() == [report.loss for report in ae.history_]
    assert lines["penalty"].get_ydata() == [report.penalty for report in ae.history_]
    assert "penalty" not in {line.get_label() for line in plots.losses(system("flat")).axes[0].lines}


def test_the_error_for_no_examples_says_what_to_pass(ae: Autoencoder) -> None:
    with pytest.raises(DataError, match="pass X"):
        plots.reconstructions(ae, None)
    with pytest.raises(DataError):
        plots.reconstructions(ae, X[:0])


def test_the_error_for_an_unknown_grid_spacing_lists_the_choices(ae: Autoencoder) -> None:
    with pytest.raises(DataError, match="'quantiles' or 'linear'"):
        plots.manifold(ae, X, by="log")


@pytest.mark.parametrize("name", ["latent", "codes", "manifold"])
def test_examples_that_are_all_alike_are_drawn_without_a_warning(name: str) -> None:
    """Codes without variance have no shares of it: a label said nan%."""
    X = np.full((60, 3), [0.5, 2.0, 14.62])
    fitted = Autoencoder(Identity(3), architecture=MLP(()), epochs=1).fit(X)
    texts = [text.get_text() for text in getattr(plots, name)(fitted, X).findobj(Text)]
    assert not any("nan" in text for text in texts)


def test_texts_of_the_figure_of_pca_are_complete() -> None:
    """Long texts lose their middle in figures: this one has room for the largest counts."""
    few = np.zeros((2, 3))
    found = PCAReconstructions(10_000_000, 10_000_000, 10_000, 10_000, 1.0, 1.0, few, few, few)
    figure = found.plot()
    figure.canvas.draw()
    said = "PCA fitted on 10,000,000 training examples; MSE over 10,000,000 examples, in squared units of the data"
    assert title(figure) == said
    assert row_names(figure)[1:] == ["PCA, 10000 components\nMSE 1", "autoencoder, 10000 dimensions\nMSE 1"]
