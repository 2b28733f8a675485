"""The score of series: the distances to the nearest normal windows and shapes, the error of the autoencoder and that of PCA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile_files import Edit, Header, Tensors, edited, parts
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from isthmus import Autoencoder, OutlierDetector, load
from isthmus.architectures import MLP, Conditional
from isthmus.data import Windows
from isthmus.data.series.split_in_time import split_in_time
from isthmus.errors import DataError, IsthmusWarning, ModelFileError
from isthmus.estimators.ensemble_score import EnsembleScore, LinearError

Array = NDArray[Any]
LENGTH = 8


def standard(n: int, d: int = 4, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(n, d))


def everything(x: Array) -> Array:
    return np.ones(x.shape, bool)


def series(seed: int, n: int = 600) -> Array:
    time, noise = np.arange(n), np.random.default_rng(seed).normal(size=(n, 2))
    return np.stack([np.sin(time / 3), 5 + np.cos(time / 5)], 1) + 0.1 * noise


def cut(rows: Array, step: int = 2) -> Windows:
    return Windows(rows, LENGTH, step)


def small(**choices: Any) -> Autoencoder:
    return Autoencoder(4, **{"architecture": MLP((8,)), "epochs": 5, "random_state": 0} | choices)


@pytest.fixture(scope="module")
def detector() -> OutlierDetector:
    return OutlierDetector(small(), false_alarm_rate=0.1, random_state=0).fit(cut(series(0)))


@pytest.mark.parametrize("shape", [(200, 6), (12, 30)], ids=["more rows", "more features"])
def test_the_linear_error_is_that_of_scikit_learn(shape: tuple[int, int]) -> None:
    mixed = np.random.default_rng(9).normal(size=(shape[1], shape[1]))
    rows, x = (standard(*shape) @ mixed).astype(np.float32), standard(20, shape[1], 1) @ mixed
    pca, linear = PCA(3).fit(rows.astype(np.float64)), LinearError.fit(rows, 3)
    errors = [np.square(each - pca.inverse_transform(pca.transform(each))) for each in (rows.astype(np.float64), x)]
    usual = errors[0].mean(0)
    expected = (errors[1] / (usual + 0.1 * usual.mean())).mean(1)
    np.testing.assert_allclose(linear(x, everything(x)), expected, rtol=1e-6)


def test_the_linear_error_leaves_half_the_features_and_half_the_rows() -> None:
    rows = standard(100, 8).astype(np.float32)
    assert [len(LinearError.fit(rows[:m], size).axes) for m, size in ((100, 3), (100, 32), (6, 32))] == [3, 4, 3]


def test_missing_values_do_not_count_in_the_linear_error() -> None:
    rows = standard(60).astype(np.float32)
    linear, x, observed = LinearError.fit(rows, 2), standard(3, seed=1), np.ones((3, 4), bool)
    observed[0, 1], observed[2] = False, False
    errors, whole = linear(x, observed), linear(x, everything(x))
    centered = x - linear.mean
    squares = np.square(centered - centered @ linear.axes.T @ linear.axes) * linear.weights
    np.testing.assert_allclose(errors[0], squares[0, [0, 2, 3]].mean())
    assert errors[1] == whole[1]
    assert np.isnan(errors[2])


def test_each_of_the_three_raises_the_score() -> None:
    """Along an axis of PCA only the distance grows; off the axes the linear error too."""
    rows = (standard(300) * [3, 3, 0.1, 0.1]).astype(np.float32)
    near = EnsembleScore.unscaled(rows, 2)
    near = near.scaled(np.abs(standard(100, 3)) + 0.5)
    along, off = np.array([[50.0, 0, 0, 0]]), np.array([[0, 0, 50.0, 0]])
    here, one = np.zeros((1, 4)), np.ones(1)
    measured = [near.measures(x, everything(x), one)[0] for x in (here, along, off)]
    assert measured[1][0] > 10 * measured[0][0]
    assert measured[1][2] < 1e-2 * measured[2][2]
    scores = [near(x, everything(x), error)[0] for x, error in ((here, one), (here, 9 * one), (along, one), (off, one))]
    assert scores[0] < min(scores[1:])


def test_the_score_is_the_mean_of_standardized_logarithms() -> None:
    rows, x, errors = standard(200).astype(np.float32), standard(30, seed=1), standard(30, 1, 2)[:, 0] ** 2
    usual = standard(500, 3, 4) ** 2
    near = EnsembleScore.unscaled(rows, 2).scaled(usual)
    logs = np.log(usual + 0.01 * usual.mean(0))
    spread = np.sqrt((500 * logs.var(0) + 5 * 0.25) / 505)
    terms = (np.log(near.measures(x, everything(x), errors) + 0.01 * usual.mean(0)) - logs.mean(0)) / spread
    np.testing.assert_allclose(near(x, everything(x), errors), terms.mean(1))


def test_magnitudes_are_geometric_means() -> None:
    """Of distance, error and error of PCA, with weights that do not add up to more than one."""
    rows = standard(200).astype(np.float32)
    near = EnsembleScore.unscaled(rows, 2).scaled(standard(500, 3, 4) ** 2)
    x, one = np.full((1, 4), 1e3), np.full(1, 1e6)
    scores = [near(size * x, everything(x), size**2 * one) for size in (1, 2)]
    ratio = near.magnitudes(scores[1]) / near.magnitudes(scores[0])
    weights = 1 / near.spreads
    assert ratio[0] == pytest.approx(np.exp(np.average(np.log([2, 4, 4]), weights=weights)), rel=0.01)
    assert np.isfinite(near.magnitudes(np.array([1e38, -1e38]))).all()


def test_a_gross_error_among_normal_examples_does_not_set_the_scale() -> None:
    usual = np.exp(0.3 * standard(200, 3))
    near, spoiled = (EnsembleScore.unscaled(standard(50).astype(np.float32), 2) for _ in range(2))
    near = near.scaled(usual)
    usual[7] = 1e6
    spoiled = spoiled.scaled(usual)
    for ours, expected in ((spoiled.floors, near.floors), (spoiled.spreads, near.spreads)):
        assert (ours < 2 * expected).all(), "one in 200"
    assert (np.abs(spoiled.centers - near.centers) < 0.1).all()
    assert (EnsembleScore.unscaled(standard(50).astype(np.float32), 2).scaled(0 * usual).floors > 0).all()


def test_shapes_have_no_level_and_no_amplitude() -> None:
    windows = np.random.default_rng(0).normal(size=(100, 6, 2)) * [1, 30]
    rows = windows.reshape(100, 12).astype(np.float32)
    near, other = EnsembleScore.unscaled(rows, 2, (6, 2)), EnsembleScore.unscaled(7 * rows + 5, 2, (6, 2))
    x = np.random.default_rng(1).normal(size=(20, 6, 2)) * [1, 30]
    moved = (10 * x + [3, -40]).reshape(20, 12)
    found = [each.measures(y, everything(y), np.ones(20))[:, 3] for each, y in ((near, moved), (other, 7 * moved + 5))]
    np.testing.assert_allclose(*found, rtol=1e-5)
    shapes = [(each - each.mean(1, keepdims=True)) / each.std(1, keepdims=True) for each in (windows, x)]
    flat = [each.reshape(len(each), -1) / shapes[0].reshape(100, -1).std(0) for each in shapes]
    expected = NearestNeighbors(n_neighbors=5).fit(flat[0]).kneighbors(flat[1])[0].mean(1)
    np.testing.assert_allclose(found[0], expected, rtol=0.02)
    quiet = 1e-3 * x.reshape(20, 12)
    shape = near.measures(quiet, everything(quiet), np.ones(20))[:, 3]
    flat = near.measures(0 * quiet, everything(quiet), np.ones(20))[:, 3]
    np.testing.assert_allclose(shape, flat, rtol=0.05)  # noise has no shape


def test_distances_are_to_training_windows_and_scales_from_later_ones(
    detector: OutlierDetector, tmp_path: Path
) -> None:
    """Windows overlap: the nearest of training windows to each other are too near."""
    detector.save(tmp_path / "d")
    stored, windows = parts(tmp_path / "d")[1], cut(series(0))
    training, held_out, _ = split_in_time(windows.cut, [0.05, 0.2])
    flat = [
        detector.autoencoder_.model_.normalize(torch.tensor(np.asarray(windows.cut[rows]))).flatten(1).numpy()
        for rows in (training, held_out)
    ]
    np.testing.assert_allclose(stored["detector.references"].numpy(), flat[0], atol=1e-6)
    x, new = (each / stored["detector.deviations"].numpy() for each in flat)
    distances = NearestNeighbors(n_neighbors=5).fit(x).kneighbors(new)[0].mean(1)
    floor, center = stored["detector.near"][:2, 0].tolist()
    assert stored["detector.near"].shape == (3, 4)
    assert floor == pytest.approx(0.01 * distances.mean(), rel=1e-4)
    assert center == pytest.approx(np.log(distances + floor).mean(), abs=1e-4)


def test_a_spike_is_found_although_the_net_reconstructs_too_little(detector: OutlierDetector) -> None:
    """An untrained net has large errors everywhere; PCA and distance find the spike."""
    weak = OutlierDetector(small(epochs=1, architecture=MLP((2,))), random_state=0)
    new = series(1)
    new[300, 0] += 1.5
    inside = np.arange(147, 151)  # windows that begin at rows 294 to 300
    for measure, found in (("ensemble", True), ("standardized", False)):
        scores = weak.set_params(anomaly_score=measure).fit(cut(series(0))).score_samples(cut(new))
        others = np.delete(scores, inside)
        assert (scores[inside].max() < np.quantile(others, 0.005)) == found, measure
    assert detector.score_samples(cut(new))[inside].max() < detector.offset_


def test_what_auto_stands_for_in_series(detector: OutlierDetector) -> None:
    assert detector.anomaly_score_ == "ensemble"
    X, labels = np.asarray(cut(series(0, 200), LENGTH).values), np.arange(25) % 2
    conditional = Autoencoder(2, architecture=Conditional(MLP(())), epochs=1, kind="series")
    fitted = OutlierDetector(conditional, false_alarm_rate=0.3, random_state=0).fit(X, labels)
    assert fitted.anomaly_score_ == "combined", "a neighbor may have another label"


def test_windows_without_channels_have_a_shape_too(tmp_path: Path) -> None:
    X = np.asarray(cut(series(0)[:, :1], LENGTH).values)[..., 0]
    fitted = OutlierDetector(small(kind="series"), false_alarm_rate=0.2, random_state=0).fit(X)
    fitted.save(tmp_path / "d")
    assert parts(tmp_path / "d")[1]["detector.near"].shape == (3, 4)
    np.testing.assert_array_equal(load(tmp_path / "d").score_samples(X), fitted.score_samples(X))


def test_a_series_that_ends_without_values_gives_no_scale() -> None:
    rows = series(0)
    rows[440:] = np.nan
    with pytest.raises(DataError, match="held out from training has an observed value"):
        OutlierDetector(small(missing="allow"), random_state=0).fit(cut(rows))


def test_overlapping_windows_in_an_array_are_named() -> None:
    X = np.asarray(cut(series(0)).values)
    choices = {"autoencoder": small(kind="series", epochs=1), "false_alarm_rate": 0.1, "random_state": 0}
    with pytest.warns(IsthmusWarning, match="each example shares 6 of 8 time steps with the next one"):
        OutlierDetector(**choices).fit(X)
    OutlierDetector(**choices).fit(X[::4])  # which share none
    OutlierDetector(**choices).fit(np.repeat(X[::4][:25], 2, 0))  # nor do equal ones


def test_references_of_a_frozen_autoencoder(detector: OutlierDetector) -> None:
    ae, train, normal, new = detector.autoencoder_, cut(series(0)), cut(series(2)), cut(series(3))
    few, many = (OutlierDetector.from_fitted(ae, normal, references=each, random_state=0) for each in (None, train))
    assert few.n_references_ < len(normal)
    assert many.n_references_ == len(train), "windows that calibrate or give the scale are no references"
    assert not np.array_equal(few.score_samples(new), many.score_samples(new))
    with pytest.raises(DataError, match="references has the examples of X"):
        OutlierDetector.from_fitted(ae, normal, references=normal, random_state=0)


def test_references_of_the_same_rows_cut_elsewhere_are_refused(detector: OutlierDetector) -> None:
    ae, rows = detector.autoencoder_, series(3)
    with pytest.raises(DataError, match="references has the examples of X"):
        OutlierDetector.from_fitted(ae, cut(rows[303:], 4), references=cut(rows, 4), random_state=0)
    later, earlier = cut(rows)[150:], cut(rows)[:140]  # of the same array of rows
    assert OutlierDetector.from_fitted(ae, later, references=earlier, random_state=0).n_references_ == 140


def test_windows_of_a_periodic_series_may_be_equal() -> None:
    rows = np.tile(series(0, 30), (12, 1))
    train, normal, new = (cut(part, 1) for part in (rows[:300], rows[:44], rows + np.eye(360)[:, [50, 50]]))
    ae = small().fit(train)
    fitted = OutlierDetector.from_fitted(ae, normal, references=train, false_alarm_rate=0.3, random_state=0)
    scores = fitted.score_samples(new)
    assert np.isfinite(scores).all()
    assert scores[43:51].max() < np.delete(scores, np.r_[43:51]).min(), "the only ones that differ"


def test_a_file_keeps_the_score_bit_by_bit(detector: OutlierDetector, tmp_path: Path) -> None:
    detector.save(tmp_path / "d")
    again, new = load(tmp_path / "d"), cut(series(4))
    np.testing.assert_array_equal(again.score_samples(new), detector.score_samples(new))
    np.testing.assert_array_equal(detector.score_samples(np.asarray(new.values)[5:9]), again.score_samples(new)[5:9])


def changed(name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Edit:
    def edit(_: Header, tensors: Tensors) -> None:
        new = change(tensors.pop(f"detector.{name}"))
        if new is not None:
            tensors[f"detector.{name}"] = new.contiguous()

    return edit


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("linear.axes", lambda axes: 2 * axes, "detector.linear axes are not orthonormal"),
        ("linear.axes", lambda axes: axes[:0], "PCA has 0 axes, not 1 to 16"),
        ("linear.axes", lambda _: None, "PCA has 0 axes"),
        ("linear.mean", lambda mean: mean + 1, "detector.linear mean is not that of references"),
        ("linear.weights", lambda weights: -weights, "detector.linear.weights has a value that is not above 0"),
        ("near", lambda near: near[:, :2], "near"),
        ("near", lambda near: near[:, :3], "detector.near has 3 terms, for examples of another kind"),
        ("near", lambda near: -near, "detector.near has a floor or spread that is not above 0"),
        ("references", lambda _: None, "0 references"),
    ],
)
def test_a_file_that_no_fit_writes_is_refused(
    name: str, change: Any, problem: str, detector: OutlierDetector, tmp_path: Path
) -> None:
    detector.save(tmp_path / "d")
    assert f"detector.{name}" in parts(tmp_path / "d")[1]
    with pytest.raises(ModelFileError, match=problem):
        load(edited(tmp_path / "d", tmp_path / "e", changed(name, change)))
