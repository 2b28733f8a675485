"""What nats mean: densities are of the data in their own units, and a learned scale is that of the errors, however it was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from safetensors.numpy import load_file
from sklearn.model_selection import GridSearchCV

from isthmus import Autoencoder, OutlierDetector, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.corruptions import Clean
from isthmus.likelihoods import Bernoulli, Normal
from isthmus.optimizers import Adam, OneCycle
from isthmus.scaling import MinMax, NoScaling, Standard

FILES = Path(__file__).parent / "files"


def plane(n: int = 1000, noise: float = 0.02) -> np.ndarray:
    """Six columns of which two numbers decide, and a little noise."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, 6)) + noise * rng.normal(size=(n, 6))


def quick(bottleneck: Any = "auto", **choices: Any) -> Autoencoder:
    fixed = {"architecture": MLP(()), "optimizer": Adam(0.02), "likelihood": Normal("learned"), "epochs": 10}
    return Autoencoder(
        Identity(2) if bottleneck == "auto" else bottleneck, **fixed | {"batch_size": 50, "random_state": 0} | choices
    )


def learned(ae: Autoencoder) -> float:
    """The scale that was learned, in model units."""
    return ae.model_.likelihood_memory["log_scale"].exp().item()


def errors(ae: Autoencoder, X: np.ndarray) -> float:
    """The root of the mean squared error in model units, of what was observed."""
    squares = ae.reconstruction_error(X, per_feature=True) / np.square(ae.model_.scale.numpy())
    return float(np.sqrt(np.nanmean(squares)))


def test_layerwise_training_accepts_missing_values() -> None:
    """The first restores the numbers observed alone; of what hides more for a layer above, nothing is left that is no number."""
    X = plane(400)
    X[np.arange(400), np.arange(400) % 6] = np.nan
    ae = quick(missing="allow", architecture=MLP((4,)))
    reports = list(ae.iter_fit(X, layerwise=True))
    assert {report.layer for report in reports} == {1, 2, None}
    for number in (1, 2, None):
        losses = [report.loss for report in reports if report.layer == number]
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("way", ["fit", "warm", "partial", "layerwise", "missing"])
def test_the_learned_scale_is_that_of_the_errors_after_ten_epochs(way: str) -> None:
    X = plane()
    ae = quick(warm_start=way == "warm", missing="allow" if way == "missing" else "error")
    if way == "missing":
        X[np.arange(1000), np.arange(1000) % 6] = np.nan
        ae.set_params(epochs=40)
    if way == "partial":
        for _ in range(10):
            ae.partial_fit(X)
    else:
        for _ in range(2 if way == "warm" else 1):
            ae.fit(X, layerwise=way == "layerwise")
    bound = 3 if way == "missing" else 1.2  # three tenths more are hidden while it learns
    assert errors(ae, X) < (0.7 if way == "missing" else 0.1)
    assert errors(ae, X) / bound < learned(ae) < errors(ae, X) * bound


def test_a_model_of_an_older_version_gives_the_same_results_and_can_be_trained(tmp_path: Path) -> None:
    """Its scale was a parameter; tests of storage show that an interrupted round goes on with that."""
    table = np.sin(np.arange(60)[:, None] * np.array([0.1, 0.7, 1.3, 2.9, 0.01, 5.1])).astype(np.float32)
    for number in (1, 2, 3):
        ae = load(FILES / f"format-{number}-table.safetensors")
        scale = learned(ae)
        assert isinstance(ae.model_.likelihood_memory["log_scale"], torch.nn.Parameter)
        nll = 0.5 * np.square(errors(ae, table) / scale) * 6 + 6 * (np.log(scale) + 0.5 * np.log(2 * np.pi))
        nll += np.log(ae.model_.scale.numpy()).sum()
        assert -ae.score(table) - nll == pytest.approx(0, abs=1e-4)
        ae.set_params(warm_start=True, epochs=20).fit(table)
        assert learned(ae) == pytest.approx(errors(ae, table), rel=0.2)
        assert not isinstance(ae.model_.likelihood_memory["log_scale"], torch.nn.Parameter)
        ae.save(tmp_path / "x")
        np.testing.assert_array_equal(load(tmp_path / "x").score_samples(table), ae.score_samples(table))


UNITS = np.array([1e-3, 1.0, 7.0, 1e4, 1.0, 0.2])


@pytest.mark.parametrize("missing", ["error", "allow"])
@pytest.mark.parametrize("scaling", [NoScaling(), Standard(), MinMax(), MinMax(per="feature")], ids=repr)
def test_a_score_is_the_logarithm_of_the_density_of_the_data(scaling: Any, missing: str) -> None:
    X = plane(200) * (1 if scaling == NoScaling() else UNITS) + 3
    if missing == "allow":
        X[np.arange(200), np.arange(200) % 7 % 6] = np.nan
    ae = quick(scaling=scaling, missing=missing, corruption=Clean(), precision="float64", epochs=2).fit(X)
    made = ae.decode(ae.encode(X))
    expected = scipy.stats.norm.logpdf(X, made, learned(ae) * ae.model_.scale.numpy())
    np.testing.assert_allclose(ae.score_samples(X), np.nansum(expected, 1), rtol=1e-9, atol=1e-9)


def test_scores_of_one_network_are_equal_for_two_scalings() -> None:
    X = plane(200) * UNITS + 3
    one = quick(scaling=Standard(per="all"), likelihood=Normal(0.3), precision="float64").fit(X)
    (a, s), start = (float(side) for side in (one.model_.shift, one.model_.scale)), MinMax(per="all").fit(X)
    b, t = float(start.shift), float(start.scale)
    other = quick(scaling=MinMax(per="all"), likelihood=Normal(0.3 * s / t), precision="float64").initialize(X)
    with torch.no_grad():
        parts = [(ae.model_.encoder, ae.model_.decoder) for ae in (one, other)]
        old, new = ([next(m for m in net if hasattr(m, "weight")) for net in nets] for nets in parts)
        new[0].weight.copy_(old[0].weight * t / s)
        new[0].bias.copy_(old[0].bias + old[0].weight.sum(1) * (b - a) / s)
        new[1].weight.copy_(old[1].weight * s / t)
        new[1].bias.copy_((old[1].bias * s + a - b) / t)
    np.testing.assert_allclose(other.reconstruct(X), one.reconstruct(X), rtol=1e-9)
    np.testing.assert_allclose(other.score_samples(X), one.score_samples(X), rtol=1e-9)


@pytest.mark.thorough
def test_grid_search_over_scalings_uses_comparable_scores() -> None:
    X = plane(400, noise=0.5) * 100 + 1000
    scalings = [Standard(), Standard(per="all"), MinMax(), MinMax(per="feature")]
    found = GridSearchCV(
        quick(epochs=40, batch_size=20, optimizer=Adam(0.02, schedule=OneCycle())),
        {"scaling": scalings},
        cv=2,
        refit=False,
    ).fit(X)
    scores = found.cv_results_["mean_test_score"]
    assert np.ptp(scores) < 0.5, "in model units they are eleven nats apart"


@pytest.mark.parametrize("layerwise", [False, True])
def test_the_log_determinant_of_the_scaling_changes_no_weight(layerwise: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """And golden curves of a normal likelihood by that alone."""
    X, net = plane(200) * UNITS, {"architecture": MLP((4,)), "early_stopping": True}
    ae, other = quick(Identity(2), **net), quick(Identity(2), **net)
    with_it = list(ae.iter_fit(X, layerwise=layerwise))
    monkeypatch.setattr(Normal, "density", False)
    without = list(other.iter_fit(X, layerwise=layerwise))
    volume = float(np.log(ae.model_.scale.numpy()).sum())
    assert abs(volume) > 1
    assert {report.layer for report in with_it} == ({None, 1, 2} if layerwise else {None})
    for now, then in zip(with_it, without, strict=True):
        added = 0 if now.layer == 2 else volume
        assert now.loss - then.loss == pytest.approx(added, abs=1e-4)
        assert now.nll - then.nll == pytest.approx(added, abs=1e-4)
        assert (
            now.val_loss is None
            or then.val_loss is None
            or now.val_loss - then.val_loss == pytest.approx(added, abs=1e-4)
        )
    for name, weight in ae.model_.state_dict().items():
        assert torch.equal(weight, other.model_.state_dict()[name])


def test_probabilities_have_no_scaling_term() -> None:
    X = (plane(50) > 0) * 255.0
    ae = quick(likelihood=Bernoulli(), scaling=MinMax(), precision="float64", epochs=1).fit(X)
    made = ae.reconstruct(X) / 255
    expected = np.where(X > 0, np.log(made), np.log(1 - made)).sum(1)
    np.testing.assert_allclose(ae.score_samples(X), expected, rtol=1e-9)


def test_a_constant_column_adds_no_nats() -> None:
    X = plane(100)
    scores = [
        quick(Identity(2), epochs=1)
        .fit(np.column_stack([X, np.full(100, constant)]))
        .score_samples(np.column_stack([X, np.full(100, constant)]))
        for constant in (0.0, 14.62, -5000.0)
    ]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-6)
    np.testing.assert_allclose(scores[2], scores[0], rtol=1e-6)


def test_detector_scores_in_nats_are_independent_of_units_with_missing_values() -> None:
    X = plane(200)
    X[np.arange(200), np.arange(200) % 7 % 6] = np.nan
    ae = quick(missing="allow", epochs=2)
    here, there = (
        OutlierDetector(ae, anomaly_score="nats", random_state=0).fit(each)
        for each in (X, X * 2.0 ** np.arange(-9, 9, 3))
    )
    np.testing.assert_allclose(here.p_values(X), there.p_values(X * 2.0 ** np.arange(-9, 9, 3)))


@pytest.mark.parametrize("number", [2, 3])
def test_the_history_of_an_older_file_is_converted_to_nats_of_the_data(number: int) -> None:
    file = FILES / f"format-{number}-table.safetensors"
    ae, then = load(file), load_file(file)["history"]
    volume = float(np.log(ae.model_.scale.numpy().astype(np.float64)).sum())
    np.testing.assert_allclose([r.loss for r in ae.history_], then[:, 4] + volume)
    np.testing.assert_allclose([r.nll for r in ae.history_], then[:, 5] + volume)


THEN = {  # loss and validation loss of each epoch, in model units, as the version that wrote the files ended the trainings
    "learned": [(9.4528, 9.81), (9.2792, 9.5448), (9.1066, 9.4142), (9.0312, 9.3884)],
    "missing": [(7.6597, 7.7663), (7.5213, 7.6682), (7.4572, 7.6223), (7.4072, 7.6129)],
}


@pytest.mark.parametrize("name", THEN)
@pytest.mark.filterwarnings("ignore:the checkpoint was written with:isthmus.errors.IsthmusWarning")
def test_an_older_checkpoint_resumes_in_nats_of_the_data(name: str) -> None:
    """What was counted before it stopped, within an epoch too, and what early stopping looks back at."""
    X = np.sin(np.arange(60)[:, None] * np.array([0.1, 0.7, 1.3, 2.9, 0.01, 5.1])).astype(np.float32)
    if name == "missing":
        X[np.arange(60), np.arange(60) * 7 % 6] = np.nan
    ae = load(FILES / f"format-3-{name}-checkpoint.safetensors").resume(X)
    volumes = np.where(np.isnan(X), 0, np.log(ae.model_.scale.numpy().astype(np.float64))).sum(1)
    held = ae._validation_split(ae._source(X))[1].positions.numpy()
    trained, validated = np.delete(volumes, held).mean(), volumes[held].mean()
    for report, (loss, valid) in zip(ae.history_, THEN[name], strict=True):
        assert report.loss - loss == pytest.approx(trained, abs=2e-3)
        assert report.val_loss is not None
        assert report.val_loss - valid == pytest.approx(validated, abs=2e-3)
