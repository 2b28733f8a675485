"""Examples with a target of their own: evaluation against the target, with its baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isthmus import Autoencoder, data, evaluate
from isthmus.architectures import MLP, Conditional
from isthmus.corruptions import GaussianNoise
from isthmus.errors import DataError
from isthmus.evaluation.denoising_baselines import ridge
from isthmus.likelihoods import Categorical, Normal

Array = NDArray[Any]
N_TRAIN = 240


def quick(**choices: Any) -> Autoencoder:
    return Autoencoder(**{"bottleneck": 6, "architecture": MLP((32,)), "epochs": 3, "random_state": 0} | choices)


@pytest.fixture(scope="module")
def pairs(digits: data.Dataset) -> tuple[Array, Array]:
    """Noisy digits, one of whose sides is dark, and clean ones: (300, 8, 8)."""
    clean = digits.train[:300].astype(np.float32)
    noise = np.random.default_rng(0).normal(size=clean.shape).astype(np.float32)
    return 0.8 * clean + 0.4 * noise + 0.1, clean


@pytest.fixture(scope="module")
def restoring(pairs: tuple[Array, Array]) -> Autoencoder:
    noisy, clean = pairs
    return quick(epochs=20, likelihood=Normal()).fit(noisy[:N_TRAIN], target=clean[:N_TRAIN])


@pytest.fixture(scope="module")
def found(pairs: tuple[Array, Array], restoring: Autoencoder) -> Any:
    noisy, clean = pairs
    held = {"target": clean[N_TRAIN:], "train": noisy[:N_TRAIN], "train_target": clean[:N_TRAIN]}
    return evaluate(restoring, noisy[N_TRAIN:], **held)


def squared(a: Array, b: Array) -> float:
    return float(np.square(a.astype(np.float64) - b).mean())


def test_errors_are_those_against_the_target(pairs: tuple[Array, Array], restoring: Autoencoder, found: Any) -> None:
    noisy, clean = (side[N_TRAIN:] for side in pairs)
    restored = restoring.reconstruct(noisy)
    assert found.value("mse") == pytest.approx(squared(restored, clean), rel=1e-9)
    assert found.value("input_mse") == pytest.approx(squared(noisy, clean), rel=1e-9)
    assert found.value("mse") < found.value("input_mse")
    trained = restoring.reconstruct(pairs[0][:N_TRAIN])
    assert found.value("mse_train") == pytest.approx(squared(trained, pairs[1][:N_TRAIN]), rel=1e-9)
    spread = squared(clean, pairs[1][:N_TRAIN].mean(0, dtype=np.float64))
    assert found.value("explained_variance") == pytest.approx(1 - squared(restored, clean) / spread, rel=1e-6)
    assert found.data_range == clean.max() - clean.min()


def test_the_loss_is_that_of_the_target(pairs: tuple[Array, Array], restoring: Autoencoder, found: Any) -> None:
    """The validation loss of the same pairs in training, in nats per example."""
    noisy, clean = pairs
    again = quick(epochs=20, likelihood=Normal())
    held = (noisy[N_TRAIN:], clean[N_TRAIN:])
    again.fit(noisy[:N_TRAIN], target=clean[:N_TRAIN], validation_data=held)
    assert found.value("nats") == pytest.approx(again.history_[-1].val_loss, rel=1e-5)


def test_the_linear_baseline_leads_from_input_to_target(pairs: tuple[Array, Array], found: Any) -> None:
    """Ridge regression in closed form on the same pairs, with the regularization that the result names."""
    noisy, clean = (side.reshape(len(side), -1).astype(np.float64) for side in pairs)
    weights = [
        ridge(
            noisy[:N_TRAIN],
            clean[:N_TRAIN],
            [strength * np.square(noisy[:N_TRAIN] - noisy[:N_TRAIN].mean(0)).sum() / 64],
        )
        for strength in (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    ]
    errors = [squared(np.clip(apply(noisy[N_TRAIN:]), 0, 1), clean[N_TRAIN:]) for (apply,) in weights]
    assert found.restoration.n_fitted == 192  # the others select the setting
    assert min(errors) * 0.8 < found.value("ridge_mse") < min(errors) * 1.3
    assert found.value("ridge_mse") < found.value("input_mse")


def test_pca_reconstructs_the_input(pairs: tuple[Array, Array], found: Any) -> None:
    noisy, clean = (side.reshape(len(side), -1).astype(np.float64) for side in pairs)
    mean = noisy[:N_TRAIN].mean(0)
    axes = np.linalg.svd(noisy[:N_TRAIN] - mean, full_matrices=False)[2][:6]
    by_pca = mean + (noisy[N_TRAIN:] - mean) @ axes.T @ axes
    assert found.value("pca_mse") == pytest.approx(squared(by_pca, clean[N_TRAIN:]), rel=1e-4)


def test_the_input_as_target_gives_the_same_figures(pairs: tuple[Array, Array], restoring: Autoencoder) -> None:
    X = pairs[0]
    plain = evaluate(restoring, X[N_TRAIN:], train=X[:N_TRAIN])
    same = evaluate(restoring, X[N_TRAIN:], target=X[N_TRAIN:], train=X[:N_TRAIN], train_target=X[:N_TRAIN])
    for name in ("errors", "pca", "training", "nats"):
        a, b = getattr(plain, name), getattr(same, name)
        assert {k: pytest.approx(v, rel=1e-9) if isinstance(v, float) else v for k, v in vars(a).items()} == vars(b)
    assert same.value("input_mse") == 0
    assert plain.restoration is None


def test_columns_are_compared_with_those_of_the_target() -> None:
    rng = np.random.default_rng(1)
    clean = rng.normal(size=(200, 3)) * [1, 100, 1]
    noisy = clean + rng.normal(size=clean.shape) * [0.1, 10, 3]
    ae = quick(bottleneck=2, architecture=MLP((16,))).fit(noisy, target=clean)
    found = evaluate(ae, noisy, target=clean, train=noisy, train_target=clean)
    spread = np.square(clean - clean.mean(0)).sum(0)
    error = np.square(ae.reconstruct(noisy) - clean).sum(0)
    assert found.errors.column_error == pytest.approx((error / spread).mean(), rel=1e-6)
    assert found.restoration.input.column_error == pytest.approx(
        (np.square(noisy - clean).sum(0) / spread).mean(), rel=1e-6
    )
    assert found.restoration.ridge.column_error < found.restoration.input.column_error


def test_the_printed_result_says_what_is_compared(found: Any) -> None:
    rows = {name: (value, unit) for name, value, unit in found.rows()}
    assert rows["Compared with"] == (
        "target",
        "all errors, those of PCA of the inputs and the loss are against the target",
    )
    assert "itself against the target" in rows["Input's mean squared error"][1]
    assert "192 training pairs" in rows["Ridge regression's mean squared error"][1]
    assert "Compared with" in str(found)
    assert found.to_frame()["input_mse"][0] == found.value("input_mse")


def test_without_training_pairs_there_is_no_linear_baseline(pairs: tuple[Array, Array], restoring: Autoencoder) -> None:
    found = evaluate(restoring, pairs[0], target=pairs[1])
    assert found.restoration is not None
    assert found.restoration.ridge is None
    assert found.value("ridge_mse") is None
    assert found.restoration.ridge_missing == "no training pairs were given"
    assert {"ridge_mse", "ridge_psnr", "input_mse"} <= set(found.to_frame().columns)


def test_corruption_comes_on_top_of_the_input(pairs: tuple[Array, Array]) -> None:
    noisy, clean = pairs
    ae = quick(corruption=GaussianNoise(0.2)).fit(noisy, target=clean)
    found = evaluate(ae, noisy[:100], target=clean[:100])
    corrupted = np.concatenate([ae.corrupt(noisy[:100], random_state=0)])
    assert found.denoising is not None
    assert found.denoising.mse_corrupted == pytest.approx(squared(corrupted, clean[:100]), rel=1e-6)
    assert found.denoising.mse_denoised == pytest.approx(squared(ae.reconstruct(corrupted), clean[:100]), rel=1e-6)


def test_classes_are_counted_against_the_target() -> None:
    rng = np.random.default_rng(2)
    clean = rng.integers(0, 3, (150, 4))
    noisy = np.where(rng.random(clean.shape) < 0.2, (clean + 1) % 3, clean)
    ae = quick(likelihood=Categorical(3)).fit(noisy, target=clean)
    found = evaluate(ae, noisy, target=clean, train=noisy, train_target=clean)
    assert found.error_rate == pytest.approx((ae.reconstruct(noisy) != clean).mean())
    assert found.restoration is not None
    assert found.restoration.input_error_rate == pytest.approx((noisy != clean).mean())
    assert "classes" in found.restoration.ridge_missing


def test_a_conditional_autoencoder_has_targets_too(pairs: tuple[Array, Array], digits: data.Dataset) -> None:
    noisy, clean = pairs
    assert digits.train_labels is not None
    labels = digits.train_labels[:300]
    ae = quick(architecture=Conditional(of=MLP((16,)), context=10)).fit(noisy, labels, target=clean)
    found = evaluate(ae, noisy, labels, target=clean)
    assert found.value("mse") == pytest.approx(squared(ae.reconstruct(noisy, labels), clean), rel=1e-9)


def test_advice_names_a_restoration_that_does_worse_than_its_baselines(pairs: tuple[Array, Array], found: Any) -> None:
    noisy, clean = pairs
    weak = quick(epochs=1).fit(noisy[:N_TRAIN], target=clean[:N_TRAIN])
    mild = 0.95 * clean + 0.05 * noisy
    result = evaluate(weak, mild[N_TRAIN:], target=clean[N_TRAIN:], train=mild[:N_TRAIN], train_target=clean[:N_TRAIN])
    texts = {each.rule: each.text for each in result.advice}
    assert "the input itself is closer to the target" in texts["worse than the input"]
    assert "a linear map restores better" in texts["worse than ridge regression"]
    assert "worse than the input" not in {each.rule for each in found.advice}


def test_targets_that_do_not_fit_are_refused(pairs: tuple[Array, Array], restoring: Autoencoder) -> None:
    noisy, clean = pairs
    with pytest.raises(DataError, match="target has 299 examples, but X has 300: pass a target for each example"):
        evaluate(restoring, noisy, target=clean[1:])
    with pytest.raises(DataError, match="train is given without train_target"):
        evaluate(restoring, noisy, target=clean, train=noisy)
    with pytest.raises(DataError, match="train_target is given without target"):
        evaluate(restoring, noisy, train=noisy, train_target=clean)
    with pytest.raises(DataError, match="shape"):
        evaluate(restoring, noisy, target=clean[:, :4])
    with pytest.raises(DataError, match="NaN"):
        evaluate(restoring, noisy, target=np.where(clean == 0, np.nan, clean))
