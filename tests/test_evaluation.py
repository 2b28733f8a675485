"""The figures of an evaluation are held against their definitions, computed another way."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from isthmus import Autoencoder, data, evaluation
from isthmus.architectures import MLP, Conv, Modules
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.corruptions import GaussianNoise
from isthmus.errors import DataError
from isthmus.evaluation import evaluate
from isthmus.evaluation.metrics import structural_similarities
from isthmus.likelihoods import Bernoulli, Normal
from isthmus.optimizers import SGD
from isthmus.results import flat
from isthmus.scaling import MinMax, NoScaling, Standard

Array = NDArray[Any]


def rows(n: int, seed: int = 0) -> Array:
    """A table (n, 12) of which five directions matter, far from zero."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 5)) @ np.random.default_rng(9).normal(size=(5, 12)) + 0.1 * random.normal(
        size=(n, 12)
    )


def pixels(n: int, seed: int = 0) -> Array:
    """Bytes (n, 6, 5)."""
    waves = rows(n, seed) @ np.random.default_rng(8).normal(size=(12, 30))
    return (255 / (1 + np.exp(-waves))).astype(np.uint8).reshape(n, 6, 5)


def trained(X: Array, bottleneck: Any, **choices: Any) -> Autoencoder:
    choices = {"architecture": MLP((16,)), "epochs": 2, "batch_size": 25, **choices}
    return Autoencoder(bottleneck, random_state=0, device="cpu", precision="float32", **choices).fit(X)


EXAMPLES: dict[str, Array] = {
    "bytes": pixels(400),
    "unit": (pixels(400).reshape(400, 30) / 255).astype(np.float32),
    "table": rows(400) + 1e4,
}
SYSTEMS: dict[str, Autoencoder] = {
    "bytes": trained(EXAMPLES["bytes"], Gaussian(3), corruption=GaussianNoise(0.3)),
    "unit": trained(EXAMPLES["unit"], Identity(4), kind="images"),
    "table": trained(EXAMPLES["table"], Identity(2)),
}
HELD_OUT: dict[str, Array] = {
    "bytes": pixels(150, 1),
    "unit": (pixels(150, 1).reshape(150, 30) / 255).astype(np.float32),
    "table": rows(150, 1) + 1e4,
}


@pytest.fixture(scope="module")
def figures() -> dict[str, evaluation.Evaluation]:
    return {name: evaluate(ae, HELD_OUT[name], train=EXAMPLES[name]) for name, ae in SYSTEMS.items()}


def svd_error(train: Array, test: Array, size: int, scale: Any = 1.0, shown_scale: Any = None) -> float:
    """What the first principal directions of train leave of test, by a singular value decomposition in float64.

    Directions are those of the numbers over ``scale``; the error is of the numbers as they are, or over ``shown_scale``.
    """
    train, test = (part.reshape(len(part), -1).astype(np.float64) for part in (train, test))
    mean, weights = train.mean(0), np.ones(train.shape[1]) * scale
    axes = np.linalg.svd((train - mean) / weights, full_matrices=False)[2][:size]
    left = (test - mean) / weights @ (np.eye(test.shape[1]) - axes.T @ axes) * weights
    return float(np.square(left / (1.0 if shown_scale is None else shown_scale)).mean())


def deviations(ae: Autoencoder, X: Array) -> Any:
    """The scale of each number that a standardizing autoencoder has found in X; 1 for others."""
    return X.reshape(len(X), -1).astype(np.float64).std(0) if ae.scaling_ == Standard() else 1.0


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_error_is_the_mean_of_the_examples_errors(name: str, figures: Any) -> None:
    assert figures[name].errors.mse == pytest.approx(
        SYSTEMS[name].reconstruction_error(HELD_OUT[name]).mean(), rel=1e-9
    )


@pytest.mark.parametrize("name", SYSTEMS)
def test_psnr_follows_from_the_mean_squared_error(name: str, figures: Any) -> None:
    result = figures[name]
    assert result.errors.mse * 10 ** (result.errors.psnr / 10) == pytest.approx(result.data_range**2, rel=1e-9)
    assert result.pca.mse * 10 ** (result.pca.psnr / 10) == pytest.approx(result.data_range**2, rel=1e-9)


def test_data_range_is_that_of_the_data(figures: Any) -> None:
    assert figures["bytes"].data_range == 255
    assert figures["unit"].data_range == 1
    assert figures["table"].data_range == pytest.approx(np.ptp(HELD_OUT["table"]))


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_parts_sum_to_the_loss_that_the_score_is(name: str, figures: Any) -> None:
    result = figures[name]
    assert result.nats.nll + result.nats.penalty == pytest.approx(result.nats.total)
    assert result.nats.total == pytest.approx(-SYSTEMS[name].score(HELD_OUT[name]), rel=1e-5)
    assert result.nats.per_dim == pytest.approx(result.nats.total / HELD_OUT[name][0].size)


def test_the_penalty_of_a_variational_autoencoder_is_its_kl_divergence(figures: Any) -> None:
    model = SYSTEMS["bytes"].model_
    with torch.no_grad():
        h = model.encoder(torch.from_numpy(HELD_OUT["bytes"] / np.float32(255))).numpy().astype(np.float64)
    mean, log_variance = h[:, :3], h[:, 3:]
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1).mean()
    assert figures["bytes"].nats.penalty == pytest.approx(kl, rel=1e-5)
    assert figures["bytes"].nats.penalty > 0
    assert figures["unit"].nats.penalty == 0


@pytest.mark.parametrize("name", ["bytes", "unit"])
def test_cross_entropy_is_the_reconstruction_part_per_pixel(name: str, figures: Any) -> None:
    assert figures[name].nats.bce_per_pixel == pytest.approx(
        figures[name].nats.nll / figures[name].n_features, rel=1e-4
    )


def test_cross_entropy_belongs_to_the_bernoulli_likelihood(figures: Any) -> None:
    assert figures["table"].nats.bce_per_pixel is None
    assert figures["table"].nats.bce_lower_bound is None
    assert not any("entropy" in name for name, _, _ in figures["table"].rows())


@pytest.mark.parametrize("values", ["binary", "grey"])
def test_cross_entropy_is_never_below_its_lower_bound(values: str) -> None:
    X = 1 / (1 + np.exp(-rows(200)))
    X = (X > 0.5).astype(np.float32) if values == "binary" else X
    ae = trained(X, Identity(11), likelihood=Bernoulli(), scaling=MinMax(), optimizer="auto", epochs=20)
    result = evaluate(ae, X)
    assert result.nats.bce_per_pixel is not None
    assert result.nats.bce_lower_bound is not None
    assert result.nats.bce_per_pixel >= result.nats.bce_lower_bound >= 0
    if values == "binary":
        assert result.nats.bce_lower_bound == 0


def test_values_outside_the_scaling_range_are_clipped() -> None:
    X = rows(200)
    ae = trained(X, Identity(4), likelihood=Bernoulli(), scaling=MinMax())
    low, high = X.min(), X.max()
    far = 3 * rows(100, 2)
    x = ((far - low) / (high - low)).clip(0, 1)
    p = ((ae.reconstruct(far).astype(np.float64) - low) / (high - low)).clip(1e-7, 1 - 1e-7)
    result = evaluate(ae, far)
    assert ((x == 0) | (x == 1)).mean() > 0.05
    assert result.nats.bce_per_pixel == pytest.approx(-(x * np.log(p) + (1 - x) * np.log(1 - p)).mean(), rel=1e-5)
    assert (result.nats.bce_lower_bound or 0) > 0
    assert (result.nats.bce_lower_bound or 0) <= (result.nats.bce_per_pixel or 0)


class Logit(nn.Module):
    """The identity, in a decoder that ends in a sigmoid. The parameter is there for the optimizer's sake."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.logit(z + self.bias, eps=1e-6)


def test_a_perfect_reconstruction_reaches_the_lower_bound() -> None:
    X = HELD_OUT["unit"].clip(0.01, 0.99)
    choices = {"optimizer": SGD(1e-12), "scaling": NoScaling(), "likelihood": Bernoulli()}
    ae = trained(X, Identity(30), architecture=Modules(nn.Identity(), Logit()), **choices)
    result = evaluate(ae, X)
    assert result.nats.bce_per_pixel == pytest.approx(result.nats.bce_lower_bound, rel=1e-6)
    assert result.errors.psnr is not None
    assert result.errors.psnr > 100


def test_the_lower_bound_on_mnist_is_the_known_one(mnist: data.Dataset) -> None:
    ae = trained(mnist.train[:200], Identity(2), epochs=1)
    assert evaluate(ae, mnist.test, train=mnist.train[:200]).nats.bce_lower_bound == pytest.approx(0.05808, abs=1e-5)


@pytest.mark.parametrize("name", SYSTEMS)
def test_pca_error_equals_that_of_an_independent_decomposition(name: str, figures: Any) -> None:
    size = math.prod(SYSTEMS[name].code_shape_)
    scale = deviations(SYSTEMS[name], EXAMPLES[name])
    assert figures[name].pca.mse == pytest.approx(svd_error(EXAMPLES[name], HELD_OUT[name], size, scale), rel=1e-4)
    assert figures[name].pca_fitted_on == "training examples"
    alone = evaluate(SYSTEMS[name], HELD_OUT[name])
    assert alone.pca.mse == pytest.approx(svd_error(HELD_OUT[name], HELD_OUT[name], size, scale), rel=1e-4)
    assert alone.pca_fitted_on == "the same examples"
    scaled = svd_error(HELD_OUT[name], HELD_OUT[name], size, scale, scale)
    assert (alone.pca.mse_scaled or alone.pca.mse) == pytest.approx(scaled, rel=1e-4)
    # the advantage that the field warns of
    assert scaled < svd_error(EXAMPLES[name], HELD_OUT[name], size, scale, scale)


def test_pca_keeps_the_digits_of_columns_far_from_zero() -> None:
    X = rows(300) + 1e7
    ae = trained(X, Identity(3))
    assert evaluate(ae, X).pca.mse == pytest.approx(svd_error(X, X, 3, deviations(ae, X)), rel=1e-3)


def test_errors_of_scaled_features_weight_columns_equally() -> None:
    X = rows(300) * np.geomspace(1, 1000, rows(300).shape[1])
    ae = trained(X, Identity(3))
    scale = X.std(0)
    result = evaluate(ae, X)
    assert result.errors.mse_scaled == pytest.approx(np.square((ae.reconstruct(X) - X) / scale).mean(), rel=1e-4)
    assert result.pca.mse_scaled == pytest.approx(svd_error(X, X, 3, scale, scale), rel=1e-4)


def test_pca_is_as_wide_as_a_code_of_maps() -> None:
    X = np.random.default_rng(0).random((120, 8, 8, 1), dtype=np.float32)
    ae = trained(X, Identity(2), architecture=Conv((4, 4), code="map"), epochs=1)
    width = math.prod(ae.code_shape_)
    assert len(ae.code_shape_) == 3
    assert evaluate(ae, X).pca.mse == pytest.approx(svd_error(X, X, width), rel=1e-4)


@pytest.mark.parametrize(
    ("n", "size", "reason"), [(50, 12, "examples with 12 features"), (4, 5, "there are 4"), (50, 3, "")]
)
def test_a_reason_is_given_where_pca_is_not_possible(n: int, size: int, reason: str) -> None:
    result = evaluate(trained(rows(200), Identity(size)), rows(n, 1))
    assert (result.pca is None) is bool(reason)
    assert reason in result.pca_missing
    shown = {name: (value, unit) for name, value, unit in result.rows()}["PCA's mean squared error"]
    assert (shown == ("none", result.pca_missing)) is bool(reason)


def test_pca_is_fitted_on_a_limited_number_of_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation.pca, "PCA_ROWS", 40)
    ae, X = SYSTEMS["table"], HELD_OUT["table"]
    result = evaluate(ae, X, train=EXAMPLES["table"])
    best = svd_error(X, X, 2)
    assert result.pca is not None
    assert best < result.pca.mse < 1.5 * best
    assert result.pca.mse != pytest.approx(svd_error(EXAMPLES["table"], X, 2), rel=1e-6)
    monkeypatch.setattr(evaluation.pca, "PCA_ROWS", 2)
    assert "there are 2" in evaluate(ae, X, train=EXAMPLES["table"]).pca_missing


def test_a_denoiser_is_evaluated_on_corrupted_examples(figures: Any) -> None:
    ae, X, result = SYSTEMS["bytes"], HELD_OUT["bytes"], figures["bytes"]
    assert result.denoising.mse_corrupted == pytest.approx((0.3 * 255) ** 2, rel=0.05)
    restored = ae.reconstruct(ae.corrupt(X)).astype(np.float64)
    assert result.denoising.mse_denoised == pytest.approx(np.square(restored - X).mean(), rel=1e-9)
    assert figures["unit"].denoising is None


@pytest.mark.parametrize("name", SYSTEMS)
def test_blocks_and_memory_maps_change_nothing(
    name: str, figures: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", HELD_OUT[name])
    monkeypatch.setattr("isthmus.data.validation.BLOCK", 1)  # a block of 128 and one of 22
    again = evaluate(SYSTEMS[name], np.load(tmp_path / "x.npy", mmap_mode="r"), train=EXAMPLES[name])
    apart = (
        "cost.encode_per_second",
        "cost.reconstruct_per_second",
        "denoising.",
        "codes.",
    )  # timed, or drawn by block
    once, blocked = flat(asdict(figures[name])), flat(asdict(again))
    assert once.keys() == blocked.keys()
    for field, value in once.items():
        if not field.startswith(apart):
            assert blocked[field] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), field
    assert again.columns.lost == figures[name].columns.lost
    if again.denoising is not None:
        assert again.denoising.mse_corrupted == pytest.approx(figures[name].denoising.mse_corrupted, rel=0.05)


def test_each_block_has_its_own_corruption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.data.validation.BLOCK", 1)
    X = HELD_OUT["bytes"][:128]
    once, twice = (evaluate(SYSTEMS["bytes"], part).denoising.mse_corrupted for part in (X, np.concatenate([X, X])))
    assert twice == pytest.approx(once, rel=0.05)
    assert twice != pytest.approx(once, rel=1e-9)


def test_undefined_and_infinite_metrics_are_plain_json() -> None:
    X = np.full((60, 12), 7.0)
    result = evaluate(trained(X, Identity(2), likelihood=Normal()), X)
    assert result.errors.psnr is None
    assert "examples are equal" in result.pca_missing
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()
    lossless = replace(result, errors=replace(result.errors, psnr=math.inf), data_range=1.0)
    assert lossless.to_dict()["errors"]["psnr"] is None
    assert {name: value for name, value, _ in lossless.rows()}["PSNR"] == "infinite"


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_figure_that_there_is_has_one_row(name: str, figures: Any) -> None:
    names = [row[0] for row in figures[name].rows()]
    assert len(set(names)) == len(names)
    assert all(value and unit for _, value, unit in figures[name].rows())
    assert ("MSE of denoised examples" in names) is (name == "bytes")
    assert ("Penalty" in names) is (name == "bytes")


def test_parameter_counts_and_sizes_are_those_of_the_autoencoder(figures: Any) -> None:
    ae, result = SYSTEMS["bytes"], figures["bytes"]
    assert result.cost.n_parameters == sum(p.numel() for p in ae.model_.parameters())
    assert (result.n_examples, result.n_features, result.code_size) == (150, 30, 3)
    assert result.cost.seconds == ae.history_[-1].seconds > 0
    assert result.cost.encode_per_second > 1000


def test_examples_that_do_not_fit_are_named() -> None:
    ae, X = SYSTEMS["table"], HELD_OUT["table"]
    with pytest.raises(DataError, match=r"examples of X have shape \(11,\).*fitted on shape \(12,\)"):
        evaluate(ae, X[:, 1:])
    with pytest.raises(DataError, match="examples of train"):
        evaluate(ae, X, train=X[:, 1:])
    broken = X.copy()
    broken[17, 3] = np.nan
    with pytest.raises(DataError, match="row 17, column 3"):
        evaluate(ae, broken)


@pytest.mark.parametrize("name", SYSTEMS)
def test_explained_variance_is_of_the_distance_from_the_training_mean(name: str, figures: Any) -> None:
    ae, X, train = SYSTEMS[name], HELD_OUT[name].astype(np.float64), EXAMPLES[name].astype(np.float64)
    scale = deviations(ae, EXAMPLES[name])
    apart, far = ((X - side).reshape(len(X), -1) / scale for side in (ae.reconstruct(HELD_OUT[name]), train.mean(0)))
    assert figures[name].errors.explained_variance == pytest.approx(
        1 - np.square(apart).sum() / np.square(far).sum(), rel=1e-4
    )
    assert figures[name].pca.explained_variance < 1


def test_ssim_requires_images_of_a_minimum_size(mnist: data.Dataset, figures: Any) -> None:
    X = mnist.test[:40]
    ae = trained(X.reshape(40, 784), Identity(2), epochs=1)
    result = evaluate(ae, X.reshape(40, 784))
    x, y = (
        torch.from_numpy(side.reshape(40, 28, 28).astype(np.float64))
        for side in (X, ae.reconstruct(X.reshape(40, 784)))
    )
    assert result.errors.ssim == pytest.approx(float(structural_similarities(x, y, 255.0).mean()), rel=1e-6)
    assert result.pca.ssim is not None
    assert figures["bytes"].errors.ssim is None
    assert "6 x 5 are smaller than its window of 11 x 11" in figures["bytes"].ssim_missing
    assert "not images" in figures["table"].ssim_missing
