"""Raw units and model units: what auto chooses, and that no number is lost on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from isthmus import Autoencoder
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.likelihoods import Bernoulli, Normal
from isthmus.scaling import Bytes, MinMax, Scaling, Standard, Unscaled, choose

ZERO_TO_255 = np.arange(256).reshape(32, 8)


@pytest.mark.parametrize(
    ("examples", "scaling"),
    [
        (np.linspace(0, 1, 40).reshape(8, 5), Unscaled()),
        (np.eye(4, dtype=np.uint8), Unscaled()),
        (ZERO_TO_255.astype(np.uint8), Bytes()),
        (ZERO_TO_255.astype(np.float64), Bytes()),
        (ZERO_TO_255.astype(np.uint8)[:4] + 9, Bytes()),
        (ZERO_TO_255[:31], Standard()),
        (ZERO_TO_255 + 0.5, Standard()),
        (ZERO_TO_255 - 1, Standard()),
        (np.full((4, 2, 2, 3), 7.5), Standard(per="channel")),
        (np.full((4, 2, 2), 7.5), Standard(per="all")),
    ],
)
def test_auto_looks_at_the_numbers(examples: np.ndarray, scaling: Scaling) -> None:
    assert choose(examples) == scaling


def test_per_feature_is_what_scikit_learn_computes(rng: np.random.Generator) -> None:
    X = rng.gamma(2.0, 3.0, (500, 4)).astype(np.float32)
    shift, scale = Standard().fit(X)
    np.testing.assert_allclose((X - shift) / scale, StandardScaler().fit_transform(X.astype(np.float64)), atol=1e-9)
    shift, scale = MinMax(per="feature").fit(X)
    np.testing.assert_allclose((X - shift) / scale, MinMaxScaler().fit_transform(X), atol=1e-6)


def test_channels_and_everything_are_standardized_together(rng: np.random.Generator) -> None:
    X = rng.normal(size=(50, 6, 5, 3)) * [1, 10, 100] + [5, 0, -7]
    shift, scale = Standard(per="channel").fit(X)
    np.testing.assert_allclose(shift, X.mean((0, 1, 2)))
    np.testing.assert_allclose(scale, X.std((0, 1, 2)))
    shift, scale = Standard(per="all").fit(X)
    assert (shift.item(), scale.item()) == (pytest.approx(X.mean()), pytest.approx(X.std()))


def test_a_file_is_measured_in_blocks_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(3, 5, (1000, 7))
    whole = [scaling.fit(X) for scaling in (Standard(), MinMax(), MinMax(per="feature"))]
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr("isthmus.data.examples._BLOCK", 3 * X[0].size)
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


@pytest.mark.parametrize("unit", [1e-18, 1e-6, 1.0, 1e12, 1e30])
def test_the_unit_of_a_column_does_not_matter(unit: float, rng: np.random.Generator) -> None:
    assert learned(rng.normal(size=(200, 4)) * unit) < 0.01


def test_an_automatic_likelihood_can_express_the_data(rng: np.random.Generator) -> None:
    X = rng.normal(size=(100, 4))
    assert Autoencoder(scaling=Unscaled(), epochs=1).fit(X).likelihood_ == Normal("learned")
    assert Autoencoder(scaling=Bytes(), epochs=1).fit(X).likelihood_ == Normal("learned")
    assert Autoencoder(scaling=MinMax(), epochs=1).fit(X).likelihood_ == Bernoulli()


def test_a_bernoulli_likelihood_never_sees_what_has_no_mass(rng: np.random.Generator) -> None:
    X = rng.normal(size=(100, 4))
    ae = Autoencoder(likelihood=Bernoulli(), epochs=1, random_state=0).fit(X)
    x = (X - ae.model_.shift.numpy()) / ae.model_.scale.numpy()
    assert x.min() >= -1e-6
    assert x.max() <= 1 + 1e-6


def test_small_numbers_within_zero_and_one_are_learned(rng: np.random.Generator) -> None:
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


def test_numbers_come_back_as_wide_as_they_went_in(rng: np.random.Generator) -> None:
    X = 1.7e9 + 1000 * rng.normal(size=(200, 4))
    far, near = (
        Autoencoder(Identity(3), architecture=MLP(()), epochs=2, random_state=0).fit(x) for x in (X, X - 1.7e9)
    )
    np.testing.assert_allclose(far.reconstruct(X) - 1.7e9, near.reconstruct(X - 1.7e9), atol=0.1)  # float32: 64
    assert Autoencoder(epochs=1).fit(X.astype(np.float32)).reconstruct(X).dtype == np.float32


@pytest.mark.parametrize(("most", "dtype"), [(255, np.float32), (2**24, np.float32), (2**24 + 1, np.float64)])
def test_whole_numbers_are_scaled_in_double_only_where_they_need_it(most: int, dtype: type) -> None:
    X = np.arange(40).reshape(10, 4)
    X[0, 0] = most
    assert Autoencoder(epochs=1).fit(X).reconstruct(X).dtype == dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("scaling", [Standard(), MinMax(), Bytes(), Unscaled()], ids=repr)
def test_model_units_are_what_the_scaling_says(scaling: Scaling, dtype: type, rng: np.random.Generator) -> None:
    X = rng.integers(3, 250, (50, 4)).astype(dtype)
    model = Autoencoder(Identity(2), scaling=scaling, likelihood=Normal(), epochs=1).fit(X).model_
    shift, scale = scaling.fit(X)
    x = model.inwards(torch.from_numpy(X))
    np.testing.assert_allclose(x.numpy(), (X - shift) / scale, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.outwards(x).numpy(), X, rtol=1e-5)
