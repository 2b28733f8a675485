"""Figures of one number, against sums by hand and other libraries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from isthmus.evaluation.metrics import (
    bernoulli_entropy,
    cross_entropy,
    mean_squared_error,
    pca_error,
    pca_reconstruction,
    psnr,
    structural_similarities,
)


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
def test_the_error_of_pca_is_the_sum_of_the_small_squared_singular_values(
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


def windowed_similarity(x: NDArray[Any], y: NDArray[Any], span: float) -> float:
    """SSIM of two grey pictures as its paper writes it, window by window."""
    ramp = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(ramp, ramp) / np.outer(ramp, ramp).sum()
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (side[top : top + 11, left : left + 11] for side in (x, y))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
            low, high = (0.01 * span) ** 2, (0.03 * span) ** 2
            light = (2 * mean_a * mean_b + low) / (mean_a**2 + mean_b**2 + low)
            values.append(light * (2 * covariance + high) / (var_a + var_b + high))
    return float(np.mean(values))


@pytest.mark.parametrize("shape", [(3, 28, 28), (2, 11, 14), (2, 13, 12, 3)], ids=str)
def test_ssim_equals_the_formula_of_the_paper(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.random(shape) * 255
    y = (x + rng.normal(size=shape) * 40).clip(0, 255)
    ours = structural_similarities(torch.from_numpy(x), torch.from_numpy(y), 255.0).numpy()
    for value, a, b in zip(ours, x, y, strict=True):
        channels = [(a, b)] if a.ndim == 2 else [(a[..., c], b[..., c]) for c in range(a.shape[-1])]
        assert value == pytest.approx(np.mean([windowed_similarity(*pair, 255.0) for pair in channels]), rel=1e-9)
    assert structural_similarities(torch.from_numpy(x), torch.from_numpy(x), 255.0).numpy() == pytest.approx(1)


def test_ssim_equals_that_of_scikit_image(rng: np.random.Generator) -> None:
    theirs = pytest.importorskip("skimage.metrics").structural_similarity
    x = rng.random((2, 20, 17, 3))
    y = x**2
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    wanted = [theirs(a, b, channel_axis=-1, **options) for a, b in zip(x, y, strict=True)]
    ours = structural_similarities(torch.from_numpy(x), torch.from_numpy(y), 1.0).numpy()
    np.testing.assert_allclose(ours, wanted, rtol=1e-12)
