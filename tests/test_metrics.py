"""Figures of one number, against sums by hand and other libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss

from isthmus.metrics import bernoulli_entropy, cross_entropy, mean_squared_error, pca_error, pca_reconstruction, psnr


def test_squared_error_does_not_wrap_around_bytes() -> None:
    x, y = np.array([[0, 255]], np.uint8), np.array([[255, 250]], np.uint8)
    assert mean_squared_error(x, y) == (255**2 + 25) / 2


def test_decibels() -> None:
    assert psnr(1.0, 255) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(0, 255) == math.inf


def test_cross_entropy_of_bits_is_the_log_loss(rng: np.random.Generator) -> None:
    x, p = rng.integers(0, 2, 500), rng.uniform(0.01, 0.99, 500)
    assert cross_entropy(x, p) == pytest.approx(log_loss(x, p), rel=1e-9)
    assert cross_entropy(np.array([0.0, 1.0]), np.array([1.0, 0.0])) == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_no_prediction_beats_the_entropy(rng: np.random.Generator) -> None:
    x = np.concatenate([rng.uniform(size=300), [0.0, 1.0]])
    floor = bernoulli_entropy(x)
    assert cross_entropy(x, x) == pytest.approx(floor, abs=1e-6)
    for _ in range(20):
        assert cross_entropy(x, np.clip(x + rng.normal(scale=0.05, size=302), 0, 1)) > floor


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("shape", [(12,), (3, 4)])
def test_what_pca_leaves_is_the_sum_of_the_small_singular_values(
    shape: tuple[int, ...], offset: float, rng: np.random.Generator
) -> None:
    X = (rng.normal(size=(300, 12)) * np.arange(1, 13) + offset).reshape(300, *shape)
    flat = X.reshape(300, 12)
    values = np.linalg.svd(flat - flat.mean(0), compute_uv=False)
    assert pca_reconstruction(X, X, 5).shape == X.shape
    assert pca_error(X, X, 5) == pytest.approx((values[5:] ** 2).sum() / X.size, rel=1e-4)
    assert pca_error(X, X, 99) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("size", [3, 70])
def test_components_of_wide_examples_are_those_of_the_singular_values(size: int, rng: np.random.Generator) -> None:
    """One by one where they are few, all at once where they are many: what they leave is the same."""
    X = rng.normal(size=(80, 1200)) * np.geomspace(10, 0.1, 1200) + 5
    _, values, _ = np.linalg.svd(X - X.mean(0), full_matrices=False)
    assert pca_error(X, X, size) == pytest.approx((values[size:] ** 2).sum() / X.size, rel=1e-3)
