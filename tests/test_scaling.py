"""Raw units and model units: what auto chooses, and that no number is lost on the way."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import thorough_where
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from isthmus import Autoencoder, OutlierDetector, data, evaluate
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.data.statistics import DataStatistics
from isthmus.data.validation import Missing
from isthmus.errors import IsthmusWarning
from isthmus.likelihoods import Bernoulli, Normal
from isthmus.scaling import MinMax, NoScaling, Scaling, Standard, UInt8, choose

ZERO_TO_255 = np.arange(256).reshape(32, 8)


@pytest.mark.parametrize(
    ("examples", "scaling"),
    [
        (np.linspace(0, 1, 40).reshape(8, 5), NoScaling()),
        (np.linspace(0, 0.01, 40).reshape(8, 5), Standard(per="all")),
        (np.eye(4, dtype=np.uint8), NoScaling()),
        (ZERO_TO_255.astype(np.uint8), UInt8()),
        (ZERO_TO_255.astype(np.float64), UInt8()),
        (ZERO_TO_255.astype(np.uint8)[:4] + 9, UInt8()),
        (ZERO_TO_255[:31], UInt8()),
        (ZERO_TO_255 % 17, Standard(per="all")),
        (ZERO_TO_255 + 0.5, Standard(per="all")),
        (ZERO_TO_255 - 1, Standard(per="all")),
        (ZERO_TO_255 * 257, Standard(per="all")),
        (np.full((4, 2, 2, 3), 7.5), Standard(per="channel")),
        (np.full((4, 2, 2), 7.5), Standard(per="all")),
    ],
)
def test_images_are_scaled_by_their_dtype_and_range(examples: np.ndarray, scaling: Scaling) -> None:
    assert choose(DataStatistics(examples), "images") == scaling


@pytest.mark.promise(28)
@pytest.mark.parametrize(
    "examples",
    [ZERO_TO_255, ZERO_TO_255.astype(np.uint8), ZERO_TO_255 / 255, ZERO_TO_255.astype(bool), ZERO_TO_255 * 1e-6],
    ids=["integers", "bytes", "shares", "bools", "small"],
)
def test_tables_are_scaled_by_column_for_every_range(examples: np.ndarray) -> None:
    ae = Autoencoder(Identity(2), epochs=1, random_state=0).fit(examples)
    assert (ae.kind_, ae.scaling_, ae.likelihood_) == ("table", Standard(), Normal("learned"))
    assert ae.model_.scale.shape == (8,)


@pytest.mark.promise(28)
@pytest.mark.parametrize("unit", [1.0, 1e-3], ids=["wide", "in [0, 1]"])
def test_windows_are_scaled_by_channel(unit: float, rng: np.random.Generator) -> None:
    X = rng.random((40, 6, 3)) * [1e5, 0.1, 3.0] * unit
    ae = Autoencoder(Identity(2), epochs=1, random_state=0).fit(X)
    assert (ae.kind_, ae.scaling_, ae.likelihood_) == ("windows", Standard(per="channel"), Normal("learned"))
    np.testing.assert_allclose(ae.model_.scale.numpy(), X.std((0, 1)))


def test_the_meaning_of_axes_comes_from_the_user_the_source_or_their_number(digits: data.Dataset) -> None:
    floats, images = np.random.default_rng(0).random((20, 8, 8)), digits.train[:20]
    assert kinds_of(floats) == ("windows", "images", "table")
    assert kinds_of((255 * floats).astype(np.uint8))[0] == "images"
    for same in (images, images[3:], images / 2, images.reshape(-1, 64), np.concatenate([images, images])):
        assert kinds_of(same)[0] == "images"
    assert kinds_of(pickle.loads(pickle.dumps(images)))[0] == "images"  # ours, of a moment ago
    assert kinds_of(train_test_split(images, random_state=0)[0])[0] == "images"
    assert type(images.mean()) is np.float32
    with pytest.warns(IsthmusWarning, match="if they are images, pass kind='images'"):
        assert Autoencoder(epochs=1).fit(np.asarray(images)).kind_ == "windows"


def kinds_of(X: np.ndarray) -> tuple[str, ...]:
    """What the axes mean to an autoencoder that nothing is said to, and to ones that are told images and table."""
    kinds = ("auto", "images", "table")
    return tuple(Autoencoder(Identity(2), kind=kind, epochs=0.1).fit(X).kind_ for kind in kinds)


@pytest.mark.promise(27)
def test_examples_that_could_be_images_warn(mnist: data.Dataset) -> None:
    plain = np.array(mnist.train[:40])
    for X, taken in (
        (plain / 255, "windows"),
        (plain.astype(float), "windows"),
        (plain.reshape(40, -1) / 255, "rows of a table"),
    ):
        with pytest.warns(
            IsthmusWarning, match=f"from 0 to [0-9]+ are treated as {taken}.*: if they are images, pass kind='images'"
        ):
            Autoencoder().initialize(X)
    Autoencoder(kind="windows").initialize(plain / 255)
    Autoencoder(kind="images").initialize(plain / 255)
    Autoencoder().initialize(mnist.train[:40] / 255)  # the data set says it


def test_examples_that_are_not_images_do_not_warn(rng: np.random.Generator) -> None:
    for shape in ((28, 28), (40, 3), (784,), (64,), (12, 12, 2)):
        Autoencoder().initialize(rng.normal(size=(30, *shape)))
    for shape in ((40, 3), (64,), (7, 7), (100,)):
        Autoencoder().initialize(
            np.concatenate([np.zeros((1, *shape)), np.ones((1, *shape)), rng.random((30, *shape))])
        )


def test_the_kind_of_data_is_printed(mnist: data.Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array(mnist.train[:40]) / 255)
    assert "28x28 float64, treated as windows, no labels" in data.load(str(tmp_path / "x.npy")).summary()
    assert "28x28 uint8, images, 10 classes" in mnist.summary()


def test_a_bernoulli_likelihood_scales_each_column_to_the_unit_interval(rng: np.random.Generator) -> None:
    X = rng.random((50, 3)) * [1, 0.01, 100]
    ae = Autoencoder(likelihood=Bernoulli(), epochs=1, random_state=0).fit(X)
    assert ae.scaling_ == MinMax(per="feature")
    zeros_and_ones = (X.mean(0) < X).astype(float)
    assert Autoencoder(likelihood=Bernoulli(), epochs=1).fit(zeros_and_ones).scaling_ == NoScaling()


def constants(n: int, dtype: type = np.float64) -> np.ndarray:
    """300 columns, each a constant of its own, of magnitudes from 1e-6 to 1e9."""
    generator = np.random.default_rng(5)
    values = np.round(generator.normal(size=300) * 10.0 ** generator.integers(-6, 10, 300), 8)
    return np.tile(values, (n, 1)).astype(dtype)


@pytest.mark.promise(28)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [500, 50_000])
@pytest.mark.parametrize(
    "scaling", [Standard(), MinMax(per="feature"), Standard(per="channel"), Standard(per="all")], ids=repr
)
def test_constant_columns_are_shifted_by_their_value(scaling: Scaling, n: int, dtype: type) -> None:
    X = constants(n, dtype)
    if isinstance(scaling, Standard) and scaling.per == "all":
        for value in X[0, :20]:
            shift, scale = scaling.fit(np.full((n, 3), value))
            assert (shift, scale >= 1) == (value, True)
        return
    shift, scale = scaling.fit(X)
    np.testing.assert_array_equal(shift, X[0])
    np.testing.assert_array_equal(scale[np.abs(X[0]) < 1e5], 1)
    assert np.abs((X[:2].astype(np.float32).astype(np.float64) - shift) / scale).max() < 0.1


@pytest.mark.promise(28)
@pytest.mark.parametrize(("fitted", "used"), [(np.float64, np.float32), (np.float32, np.float64)])
@pytest.mark.parametrize("missing", ["error", "allow"])
def test_constant_columns_are_reconstructed_exactly_and_are_not_anomalous(
    fitted: type, used: type, missing: Missing, rng: np.random.Generator
) -> None:
    X = np.concatenate([constants(300), rng.normal(size=(300, 5))], axis=1)
    ae = Autoencoder(Identity(3), missing=missing, epochs=2, random_state=0)
    detector = OutlierDetector(ae, random_state=0).fit(X.astype(fitted))
    ae = detector.autoencoder_
    np.testing.assert_array_equal(ae.reconstruct(X.astype(fitted))[:, :300], X[:, :300].astype(fitted))
    np.testing.assert_allclose(ae.encode(X.astype(used)), ae.encode(X.astype(fitted)), atol=0.02)
    alarms = [(detector.predict(X.astype(dtype)) < 0).mean() for dtype in (fitted, used)]
    assert alarms[0] < 0.15
    assert abs(alarms[0] - alarms[1]) < 0.02


@pytest.mark.promise(28)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_noise_of_a_constant_is_not_amplified(dtype: type, rng: np.random.Generator) -> None:
    c = constants(1)[0]
    X = (c * (1 + np.finfo(dtype).eps * rng.integers(-2, 3, (400, 300)))).astype(dtype)
    shift, scale = Standard().fit(X)
    assert np.abs((X - shift) / scale).max() < 0.6
    real = 1e3 + np.float64(np.finfo(dtype).eps) * 1e5 * rng.normal(size=(400, 1))
    assert Standard().fit(real.astype(dtype)).scale == pytest.approx(real.std(), rel=0.01)


def test_scaling_per_feature_equals_scikit_learn(rng: np.random.Generator) -> None:
    X = rng.gamma(2.0, 3.0, (500, 4)).astype(np.float32)
    shift, scale = Standard().fit(X)
    np.testing.assert_allclose((X - shift) / scale, StandardScaler().fit_transform(X.astype(np.float64)), atol=1e-9)
    shift, scale = MinMax(per="feature").fit(X)
    np.testing.assert_allclose((X - shift) / scale, MinMaxScaler().fit_transform(X), atol=1e-6)


def test_scaling_per_channel_and_per_all_use_common_statistics(rng: np.random.Generator) -> None:
    X = rng.normal(size=(50, 6, 5, 3)) * [1, 10, 100] + [5, 0, -7]
    shift, scale = Standard(per="channel").fit(X)
    np.testing.assert_allclose(shift, X.mean((0, 1, 2)))
    np.testing.assert_allclose(scale, X.std((0, 1, 2)))
    shift, scale = Standard(per="all").fit(X)
    assert (shift.item(), scale.item()) == (pytest.approx(X.mean()), pytest.approx(X.std()))


def test_statistics_of_a_file_in_blocks_equal_those_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.random.default_rng(0).normal(3, 5, (1000, 7))
    whole = [scaling.fit(X) for scaling in (Standard(), MinMax(), MinMax(per="feature"))]
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr("isthmus.data.validation.BLOCK", 3 * X[0].size)
    parts = [
        scaling.fit(np.load(tmp_path / "x.npy", mmap_mode="r"))
        for scaling in (Standard(), MinMax(), MinMax(per="feature"))
    ]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.shift, other.shift, rtol=1e-12)
        np.testing.assert_allclose(one.scale, other.scale, rtol=1e-12)


def learned(X: np.ndarray, **choices: object) -> float:
    """The share of the variance that a wide linear autoencoder leaves."""
    ae = Autoencoder(Identity(X.shape[1]), architecture=MLP(()), epochs=60, random_state=0, **choices).fit(X)  # type: ignore[arg-type]
    return float((ae.reconstruction_error(X) / X.var(axis=0).mean()).mean())


@pytest.mark.parametrize("unit", thorough_where([1e-18, 1e-6, 1.0, 1e12, 1e30], lambda unit: 1e-18 < unit < 1e30))
def test_the_unit_of_a_column_does_not_matter(unit: float, rng: np.random.Generator) -> None:
    assert learned(rng.normal(size=(200, 4)) * unit) < 0.01


def test_an_automatic_likelihood_can_express_the_data(rng: np.random.Generator) -> None:
    X = rng.normal(size=(100, 4))
    assert Autoencoder(scaling=NoScaling(), epochs=1).fit(X).likelihood_ == Normal("learned")
    assert Autoencoder(scaling=UInt8(), epochs=1).fit(X).likelihood_ == Normal("learned")
    assert Autoencoder(scaling=MinMax(), epochs=1).fit(X).likelihood_ == Normal("learned")
    assert Autoencoder(scaling=MinMax(), kind="images", epochs=1).fit(X).likelihood_ == Bernoulli()


def test_a_bernoulli_likelihood_receives_values_between_zero_and_one(rng: np.random.Generator) -> None:
    X = rng.normal(size=(100, 4))
    ae = Autoencoder(likelihood=Bernoulli(), epochs=1, random_state=0).fit(X)
    x = (X - ae.model_.shift.numpy()) / ae.model_.scale.numpy()
    assert x.min() >= -1e-6
    assert x.max() <= 1 + 1e-6


@pytest.mark.thorough
def test_small_values_between_zero_and_one_are_learned(rng: np.random.Generator) -> None:
    X = np.abs(rng.normal(size=(300, 2)) @ rng.normal(size=(2, 10))) * 1e-3
    ae = Autoencoder(Identity(6), random_state=0).fit(X)
    assert ae.reconstruction_error(X).mean() < 0.2 * X.var(axis=0).mean()


def test_a_small_spread_far_from_zero_is_not_lost(rng: np.random.Generator) -> None:
    X = 1.7e9 + 1000 * rng.normal(size=(200, 4))  # seconds since 1970
    Z = Autoencoder(Identity(4), architecture=MLP(()), epochs=1, random_state=0).fit(X).encode(X)
    moved = Autoencoder(Identity(4), architecture=MLP(()), epochs=1, random_state=0).fit(X - 1.7e9).encode(X - 1.7e9)
    np.testing.assert_allclose(Z, moved, atol=1e-4)


def test_double_precision_is_double_in_the_scaling_too(rng: np.random.Generator) -> None:
    X = 0.1 + rng.normal(size=(50, 3))
    ae = Autoencoder(Identity(2), precision="float64", epochs=1, random_state=0).fit(X)
    np.testing.assert_array_equal(ae.model_.shift.numpy(), Standard().fit(X).shift)
    np.testing.assert_array_equal(ae.model_.scale.numpy(), Standard().fit(X).scale)


def test_results_have_the_precision_of_the_input(rng: np.random.Generator) -> None:
    X = 1.7e9 + 1000 * rng.normal(size=(200, 4))
    far, near = (
        Autoencoder(Identity(3), architecture=MLP(()), epochs=2, random_state=0).fit(x) for x in (X, X - 1.7e9)
    )
    np.testing.assert_allclose(far.reconstruct(X) - 1.7e9, near.reconstruct(X - 1.7e9), atol=0.1)  # float32: 64
    assert Autoencoder(epochs=1).fit(X.astype(np.float32)).reconstruct(X).dtype == np.float32


@pytest.mark.parametrize(("most", "dtype"), [(255, np.float32), (2**24, np.float32), (2**24 + 1, np.float64)])
def test_integers_are_scaled_in_double_precision_only_where_necessary(most: int, dtype: type) -> None:
    X = np.arange(40).reshape(10, 4)
    X[0, 0] = most
    assert Autoencoder(epochs=1).fit(X).reconstruct(X).dtype == dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("scaling", [Standard(), MinMax(), UInt8(), NoScaling()], ids=repr)
def test_model_units_are_those_of_the_scaling(scaling: Scaling, dtype: type, rng: np.random.Generator) -> None:
    X = rng.integers(3, 250, (50, 4)).astype(dtype)
    model = Autoencoder(Identity(2), scaling=scaling, likelihood=Normal(), epochs=1).fit(X).model_
    shift, scale = scaling.fit(X)
    x = model.normalize(torch.from_numpy(X))
    np.testing.assert_allclose(x.numpy(), (X - shift) / scale, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.denormalize(x).numpy(), X, rtol=1e-5)


@pytest.mark.parametrize("tiny", [1e-60, 1e-150, 1e-170, 1e-300])
def test_tiny_values_are_scaled_and_evaluated_like_others(tiny: float) -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    assert np.allclose(Standard().fit(X * tiny).scale / tiny, Standard().fit(X).scale, rtol=1e-12)
    few = Autoencoder(Identity(1), architecture=MLP((4,)), epochs=1, random_state=0)
    usual, found = (evaluate(clone(few).fit(each), each) for each in (X, X * tiny))
    assert found.errors.column_error == pytest.approx(usual.errors.column_error, rel=1e-3)
    assert found.pca.column_error == pytest.approx(usual.pca.column_error, rel=1e-3)


def test_columns_lost_to_single_precision_are_named(rng: np.random.Generator) -> None:
    X = rng.normal(size=(200, 3)) * [1, 0.1, 1] + [0, 1e6, 3]
    ae = Autoencoder(Identity(2), architecture=MLP((4,)), epochs=1, random_state=0)
    with pytest.warns(IsthmusWarning, match="column 1 varies no more than the rounding error of float32, by 0") as said:
        ae.fit(X.astype(np.float32))
    assert len(said) == 1
    assert "around 1e+06, and is treated as constant: pass float64 data, or subtract the mean" in str(said[0].message)
    ae.fit(X)  # says nothing, and learns it
    assert (ae.model_.scale.numpy() != 1).all()
    ae.fit((X - [0, 1e6, 0]).astype(np.float32))
    X[:, 1] = 1e6
    ae.fit(X.astype(np.float32))
    windows = (10 * rng.normal(size=(40, 6, 2)) + np.array([0, 1e8])).astype(np.float32)
    with pytest.warns(IsthmusWarning, match="channel 1 varies no more"):
        ae.fit(windows)
