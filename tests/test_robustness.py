"""Figures of restoring are held against closed forms, other implementations, and what the corruptions claim."""

from __future__ import annotations

import csv
import json
import re
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
from sklearn.linear_model import Ridge
from test_cli import run

from isthmus import Autoencoder, data, plots
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.corruptions import Clean, Corruption, GaussianNoise, Masking, Occlusion, SaltAndPepper
from isthmus.errors import DataError, RecordError
from isthmus.evaluation import denoising_baselines, evaluate
from isthmus.evaluation.corruption_levels import corruption_levels
from isthmus.evaluation.denoising_baselines import Pairs, applicable_baselines, best_setting, ridge, ridge_regression
from isthmus.evaluation.robustness_curve import robustness
from isthmus.evaluation.robustness_result import AUTOENCODER, IDENTITY, DenoisingScore, Robustness
from isthmus.experiments.measured_figures import figure_function
from isthmus.likelihoods import Normal

Array = NDArray[Any]
PLAIN = ("training mean", "ridge regression")  # the quick ones


def trained(X: Array, corruption: Any = "auto", epochs: int = 1, **choices: Any) -> Autoencoder:
    choices = {"architecture": MLP((64,)), "precision": "float32", "device": "cpu", "random_state": 0, **choices}
    return Autoencoder(Identity(16), corruption=corruption, epochs=epochs, **choices).fit(X)


@pytest.fixture(scope="module")
def ae(digits: data.Dataset) -> Autoencoder:
    """A denoising autoencoder that has learned something."""
    return trained(digits.train, GaussianNoise(0.4), 12)


@pytest.fixture(scope="module")
def result(ae: Autoencoder, digits: data.Dataset) -> Robustness:
    """A sweep with all baselines."""
    return robustness(ae, digits.test, train=digits.train[:400], levels=(0.2, 0.4), n=40, draws=2)


def one(result: Robustness, method: str, level: float | None = None) -> DenoisingScore:
    return next(each for each in result.figures if each.method == method and level in {None, each.level})


@pytest.mark.parametrize("shape", [(40, 6), (5, 9)])
def test_ridge_regression_equals_its_closed_form(shape: tuple[int, int], rng: np.random.Generator) -> None:
    x, y, strength = rng.normal(size=shape) + 3, rng.normal(size=(shape[0], 4)) - 1, 0.7
    (mapped,) = ridge(x, y, [strength])
    a, b = x - x.mean(0), y - y.mean(0)
    weights = np.linalg.inv(a.T @ a + strength * np.eye(shape[1])) @ a.T @ b
    np.testing.assert_allclose(mapped(x + np.eye(*shape)) - mapped(x), np.eye(*shape) @ weights, atol=1e-10)
    new = rng.normal(size=(7, shape[1]))
    np.testing.assert_allclose(mapped(new), Ridge(strength).fit(x, y).predict(new), atol=1e-10)


def test_ridge_regression_of_many_columns_takes_memory_proportional_to_the_examples(rng: np.random.Generator) -> None:
    """Its weights alone would be 5,000² numbers, 200 MB for each of the settings; of a large picture terabytes."""
    x = rng.random((6, 5_000), np.float32)
    tracemalloc.start()
    try:
        best_setting("ridge regression", "images", Pairs(x + 0.1, x), Pairs(x[:2] + 0.1, x[:2]))
        assert tracemalloc.get_traced_memory()[1] < 60 * x.nbytes
    finally:
        tracemalloc.stop()


def test_ridge_regression_reaches_the_error_of_the_wiener_filter(rng: np.random.Generator) -> None:
    """For normal numbers of known covariance C the least error under noise s is tr(C - C (C + s²)⁻¹ C), of any map."""
    axes, s = rng.normal(size=(8, 8)), 0.5
    covariance = axes @ axes.T / 8
    X = rng.multivariate_normal(np.full(8, 2.0), covariance, 40_000)
    pairs = [Pairs(part + s * rng.normal(size=part.shape), part) for part in (X[:20_000], X[20_000:30_000], X[30_000:])]
    _, restore = best_setting("ridge regression", "images", pairs[0], pairs[1])
    least = np.trace(covariance - covariance @ np.linalg.inv(covariance + s**2 * np.eye(8)) @ covariance) / 8
    assert np.square(restore(pairs[2].corrupted) - pairs[2].clean).mean() == pytest.approx(least, rel=0.02)


def test_ridge_regression_of_empty_input_is_the_mean(rng: np.random.Generator) -> None:
    clean = rng.normal(size=(30, 2, 3))
    for restore in ridge_regression(Pairs(np.zeros_like(clean), clean)).values():
        np.testing.assert_allclose(restore(np.zeros((4, 2, 3))), np.broadcast_to(clean.mean(0), (4, 2, 3)))


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3), (2, 3)])
def test_filters_are_those_of_the_libraries(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.random((4, *shape))
    pairs, channel = Pairs(x, x), -1 if len(shape) == 3 else None
    size = (3, 3, 1)[: len(shape)]
    for made, expected in (
        (denoising_baselines.median_filter(pairs)["3 x 3"], lambda p: ndimage.median_filter(p, size=size)),
        (
            denoising_baselines.non_local_means(pairs)["h 0.2"],
            lambda p: denoise_nl_means(p, patch_size=5, patch_distance=6, h=0.2, channel_axis=channel),
        ),
        (
            denoising_baselines.total_variation(pairs)["weight 0.1"],
            lambda p: denoise_tv_chambolle(p, weight=0.1, channel_axis=channel),
        ),
    ):
        np.testing.assert_array_equal(made(x), [expected(p) for p in x])


def test_the_setting_is_the_best_on_the_other_training_examples(rng: np.random.Generator) -> None:
    flat = np.broadcast_to(np.linspace(0, 1, 6)[:, None, None], (6, 12, 12))
    noisy = Pairs(flat + 0.3 * rng.normal(size=flat.shape), flat)
    assert best_setting("median filter", "images", noisy, noisy)[0] == "7 x 7"  # nothing to lose: the widest
    fine = rng.integers(0, 2, (6, 12, 12)).astype(float)
    assert (
        best_setting("median filter", "images", noisy, Pairs(fine, fine))[0] == "3 x 3"
    )  # everything to lose: the narrowest
    far = best_setting("ridge regression", "images", noisy, noisy)[1](9 * noisy.corrupted)
    assert (far.min(), far.max()) == (0, 1)  # within the range of the training pictures


def test_the_error_of_the_identity_is_the_noise_variance(ae: Autoencoder, digits: data.Dataset) -> None:
    result = robustness(ae, digits.train, levels=(0.0, 0.3, 0.9), n=1000)
    assert one(result, IDENTITY, 0.0).mse == pytest.approx(0, abs=1e-12)
    for level in (0.3, 0.9):
        figure = one(result, IDENTITY, level)
        assert figure.mse == pytest.approx(level**2, rel=0.02)  # 192,000 numbers
        assert figure.psnr == pytest.approx(-20 * np.log10(level), abs=0.1)
        assert figure.std is not None
        assert 0 < figure.std < 0.02 * figure.mse
    clean = ae.reconstruction_error(digits.train[np.sort(np.random.default_rng(0).permutation(1437)[:1000])]).mean()
    assert one(result, AUTOENCODER, 0.0).mse == pytest.approx(clean, rel=1e-4)


def test_figures_are_those_of_the_evaluation(ae: Autoencoder, digits: data.Dataset) -> None:
    result = robustness(ae, digits.test, levels=0.4, draws=1)
    figures = evaluate(ae, digits.test)
    assert one(result, IDENTITY).mse == pytest.approx(figures.denoising.mse_corrupted, rel=1e-6)
    assert one(result, AUTOENCODER).mse == pytest.approx(figures.denoising.mse_denoised, rel=1e-6)
    assert one(result, AUTOENCODER).trained
    assert one(result, AUTOENCODER).std is None


def test_a_denoising_autoencoder_denoises(result: Robustness) -> None:
    here = result.at("GaussianNoise", 0.4)
    assert here[AUTOENCODER].mse < 0.3 * here[IDENTITY].mse
    assert here[AUTOENCODER].mse < 0.6 * here["training mean"].mse
    assert here["ridge regression"].mse < here["median filter"].mse < here[IDENTITY].mse
    assert set(here) == {IDENTITY, AUTOENCODER, *denoising_baselines.BASELINES}


def test_a_linear_autoencoder_is_not_better_than_ridge_regression(digits: data.Dataset) -> None:
    ae = trained(digits.train, GaussianNoise(0.4), 15, architecture=MLP(()), likelihood=Normal())
    result = robustness(ae, digits.test, train=digits.train, levels=0.4, baselines=["ridge regression"])
    assert (
        0.98 * one(result, "ridge regression").mse
        < one(result, AUTOENCODER).mse
        < 2 * one(result, "ridge regression").mse
    )


@pytest.mark.thorough
def test_the_same_random_state_gives_the_same_figures(
    ae: Autoencoder, digits: data.Dataset, result: Robustness
) -> None:
    np.random.seed(1)
    before = np.random.get_state()[1][:5].tolist()  # type: ignore[index]
    again = robustness(ae, digits.test, train=digits.train[:400], levels=(0.2, 0.4), n=40, draws=2)
    assert again == result
    assert np.random.get_state()[1][:5].tolist() == before  # type: ignore[index]
    assert robustness(ae, digits.test, levels=(0.2, 0.4), n=40, draws=2, random_state=1) != again


def test_baselines_are_not_fitted_on_evaluated_examples(ae: Autoencoder, digits: data.Dataset) -> None:
    sweep: dict[str, Any] = {"train": digits.train, "levels": 0.4, "baselines": PLAIN, "draws": 1}
    whole, half = robustness(ae, digits.test, **sweep), robustness(ae, digits.test[:180], **sweep)
    k = len(half.originals)
    np.testing.assert_array_equal(whole.originals, half.originals)
    for method in PLAIN:  # products of other sizes are rounded otherwise
        np.testing.assert_allclose(one(whole, method).sample[:k], one(half, method).sample, atol=1e-5)
    none = robustness(ae, digits.test, levels=0.4)
    assert none.methods == (IDENTITY, AUTOENCODER)
    assert set(none.left_out.values()) == {"no training examples were given"}


@pytest.mark.parametrize(
    ("corruption", "kind", "levels"),
    [
        (Clean(), "GaussianNoise", [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]),
        (GaussianNoise(0.3, clip=True), "GaussianNoise(clip=True)", [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]),
        (GaussianNoise(3.0), "GaussianNoise", [0.6, 1.8, 3.0, 4.2, 5.4, 6.0]),
        (Masking(0.6), "Masking", [0.1, 0.3, 0.5, 0.6, 0.7, 0.9]),
        (SaltAndPepper(), "SaltAndPepper", [0.1, 0.3, 0.5, 0.7, 0.9]),
        (Occlusion(0.4, keep="around"), "Occlusion(keep='around')", [0.75, 0.5, 0.4, 1 / 3, 0.25, 0.1]),
    ],
)
def test_without_levels_the_one_in_training_is_among_the_usual(
    corruption: Corruption, kind: str, levels: list[float]
) -> None:
    ways = corruption_levels(corruption)
    assert {way.kind for way in ways} == {kind}
    assert [way.level for way in ways] == pytest.approx(levels)
    assert [way.corruption for way in ways if way.trained] == [corruption] * (corruption != Clean())


def test_kinds_are_named_or_given() -> None:
    assert [way.corruption for way in corruption_levels(GaussianNoise(0.3), ("masking", "salt_and_pepper"), 0.2)] == [
        Masking(0.2),
        SaltAndPepper(0.2),
    ]
    ways = corruption_levels(Occlusion(keep="left"), [Occlusion(keep="window"), "occlusion"], (0.5, 0.25))
    assert [way.kind for way in ways] == ["Occlusion(keep='window')"] * 2 + ["Occlusion(keep='left')"] * 2
    assert [way.level for way in ways] == [0.5, 0.25] * 2


def test_tables_are_compared_in_scaled_features(rng: np.random.Generator) -> None:
    X = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4)) * [1, 10, 1000, 0] + 5  # the last column is constant
    ae = trained(X, GaussianNoise(0.5))
    result = robustness(ae, X[:90], train=X[90:], levels=0.5, baselines=None)
    assert result.methods == (IDENTITY, AUTOENCODER, *PLAIN)
    assert "are not images" in result.left_out["median filter"]
    nothing, mean = one(result, IDENTITY), one(result, "training mean")
    assert nothing.mse_scaled == pytest.approx(0.25, rel=0.1)
    deviations = np.array([*X.std(0)[:3], 1.0])
    assert nothing.mse == pytest.approx(0.25 * np.square(deviations).mean(), rel=0.2)
    others = np.random.default_rng(0).permutation(210)[42:]  # the rest is what settings are chosen on
    middle = X[90:][others].mean(0)
    assert mean.mse_scaled == pytest.approx(np.square((X[:90] - middle) / deviations).mean(), rel=0.01)
    assert "scaled features" in result.notes()[0]


def test_few_examples_suffice(ae: Autoencoder, digits: data.Dataset) -> None:
    result = robustness(ae, digits.test[:1], train=digits.train[:3], levels=0.4, draws=1)
    assert len(result.methods) == 7
    assert (result.n_examples, result.n_fitted, result.n_chosen) == (1, 2, 1)
    few = robustness(ae, digits.test[:1], train=digits.train[:2], levels=0.4)
    assert "2 training examples are too few" in few.left_out["ridge regression"]


def test_memory_maps_stay_and_many_examples_are_sampled(ae: Autoencoder, digits: data.Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", digits.train)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    sweep: dict[str, Any] = {"levels": 0.4, "baselines": PLAIN, "draws": 1}
    from_map, result = (robustness(ae, X, train=X, **sweep) for X in (mapped, digits.train))
    assert from_map == result
    assert (result.n_examples, result.n_given) == (500, 1437)
    assert any("500 of 1,437 examples, drawn with random state 0" in note for note in result.notes())


def test_a_missing_library_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoising_baselines, "find_spec", lambda _: None)
    names, missing = applicable_baselines("images", (8, 8), 100)
    assert names == ["training mean", "ridge regression", "median filter"]
    assert set(missing) == {"non-local means", "total variation"}
    assert "pip install 'isthmus[image]'" in missing["total variation"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kinds": "nois"}, "did you mean GaussianNoise"),
    ({"kinds": Clean()}, "no corruption that has a level"),
    ({"kinds": 5}, "no corruption that has a level"),
    ({"kinds": ()}, "kinds is empty"),
    ({"levels": "high"}, "invalid levels='high': expected numbers"),
    ({"levels": ()}, r"invalid levels=\(\): expected numbers"),
    ({"levels": -1.0}, "greater than or equal to 0"),
    ({"levels": float("nan")}, "std"),
    ({"kinds": "masking", "levels": 1.5}, "less than or equal to 1"),
    ({"draws": 0}, "draws=0"),
    ({"n": 2.5}, "n=2.5"),
    ({"random_state": -1}, "random_state=-1"),
    ({"baselines": ["median"]}, "median filter"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=[str(arguments) for arguments, _ in WRONG])
def test_wrong_arguments_are_one_sentence(
    arguments: dict[str, Any], said: str, ae: Autoencoder, digits: data.Dataset
) -> None:
    with pytest.raises(RecordError, match=said) as error:
        robustness(ae, digits.test, train=digits.train, **arguments)
    assert "\n" not in str(error.value)


def test_examples_that_do_not_fit_are_named(ae: Autoencoder, digits: data.Dataset) -> None:
    with pytest.raises(DataError, match="examples of train"):
        robustness(ae, digits.test, train=digits.train[:, 1:])


def test_figures_are_plain_json_and_rows_are_complete(result: Robustness) -> None:
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain == result.to_dict()
    assert not [key for key in plain if key.startswith("_")]
    assert len(plain["figures"]) == 2 * 7
    rows = result.rows()
    assert all(len(row) == 1 + len(result.methods) for row in rows)
    assert "as trained" in rows[1][0]
    assert [sum(cell.startswith("* ") for cell in row) for row in rows] == [1, 1]


def test_the_curves_are_the_errors(result: Robustness) -> None:
    (axes,) = plots.robustness(result).axes
    for method, line in zip(result.methods, axes.lines, strict=False):
        assert list(line.get_ydata()) == [one(result, method, level).mse for level in (0.2, 0.4)]
    said = {text.get_text(): text for text in axes.texts}
    assert {*result.methods, "as trained"} == set(said)
    figure = plots.robustness(result)
    figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts if text.get_text() != "as trained"]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_figure_shows_the_evaluated_examples(result: Robustness, ae: Autoencoder, digits: data.Dataset) -> None:
    figure = plots.restorations(result, kind="GaussianNoise")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["original", "corrupted", *result.methods[1:]]
    with pytest.raises(DataError, match=r"invalid kind=.*: expected one of GaussianNoise"):
        plots.restorations(result, kind="Masking")
    corrupted = one(result, IDENTITY, 0.4).sample
    np.testing.assert_allclose(one(result, AUTOENCODER, 0.4).sample, ae.reconstruct(corrupted), atol=1e-6)
    shown = figure_function("restorations")(ae, digits.test, levels=0.4, n=2)
    assert "2 examples corrupted by GaussianNoise at 1 level" in str(shown.get_label())


def test_the_command_writes_the_stated_files(tmp_path: Path) -> None:
    train = (
        "train",
        "epochs=1",
        "corruption=GaussianNoise",
        "corruption.std=0.3",
        "architecture.hidden=16",
        "-d",
        "digits",
    )
    assert run(*train, "--out", "r", cwd=tmp_path).returncode == 0
    words = (
        "robustness",
        "r",
        "kinds=GaussianNoise,Masking",
        "levels=0.3,0.5",
        "n=20",
        "draws=1",
        "baselines=median filter",
    )
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "20 of 360 examples" in done.stdout
    assert re.search(r"(?m)^ +(as trained)? +[\d.]+ dB", done.stdout), "a cell has several lines"
    assert "\\n" not in done.stdout
    with open(tmp_path / "r/robustness.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["level"], row["method"]) for row in rows[:3]] == [
        ("GaussianNoise", "0.3", IDENTITY),
        ("GaussianNoise", "0.3", AUTOENCODER),
        ("GaussianNoise", "0.3", "median filter"),
    ]
    assert len(rows) == 12
    for name in ("robustness", "restorations-gaussiannoise", "restorations-masking"):
        assert (tmp_path / f"r/figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    elsewhere = json.loads(run(*words, "--json", "--out", "o", cwd=tmp_path).stdout)
    assert [str(each["mse"]) for each in elsewhere["figures"]] == [row["mse"] for row in rows]
    assert (tmp_path / "o/robustness.csv").is_file()
    for wrong in ("kinds=nois", "noise", "level=3"):
        done = run("robustness", "r", wrong, "--out", "p", cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "p").exists()


def test_filters_of_the_extra_are_left_out_without_it(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(denoising_baselines, "find_spec", lambda _: None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "skimage"]:
        monkeypatch.setitem(sys.modules, name, None)
    X = rng.random((30, 6, 6), dtype=np.float32)
    result = robustness(trained(X, GaussianNoise(0.2)), X[:10], train=X[10:], levels=0.2)
    assert result.methods == (IDENTITY, AUTOENCODER, "training mean", "ridge regression", "median filter")


def test_the_error_for_an_old_baseline_name_gives_the_new_one(ae: Autoencoder, digits: data.Dataset) -> None:
    for old, new in (("linear map", "ridge regression"), ("mean example", "training mean")):
        with pytest.raises(RecordError, match=f"no baseline '{old}'; did you mean {new}\\?"):
            robustness(ae, digits.test, train=digits.train, baselines=[old])


def test_windows_of_series_get_no_filters_of_images() -> None:
    """A window of a recording has the shape of an image in gray with an axis of channels."""
    X = np.sin(np.arange(40 * 16).reshape(40, 16, 1) / 5) + np.random.default_rng(0).normal(0, 0.1, (40, 16, 1))
    ae = Autoencoder(2, kind="series", architecture=MLP((8,)), epochs=1, random_state=0).fit(X)
    result = robustness(ae, X[:10], train=X[10:], levels=(0.1,), n=10)
    assert result.left_out["median filter"] == "windows of series are not images"
    assert {"identity", "ridge regression"} & {each.method for each in result.figures}
