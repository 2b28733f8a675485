"""Autoencoders of counts, classes, gray levels and values with outliers: training, scores, files, evaluation and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from suitable import EVERY_LIKELIHOOD, values_for
from test_cli import run

from isthmus import Autoencoder, OutlierDetector, evaluate, load
from isthmus.architectures import MLP, Conv
from isthmus.augmentations import AugmentationChain, Binarize, Dequantize, Shift
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.corruptions import GaussianNoise, Masking
from isthmus.errors import DataError, IsthmusWarning, NotPossibleError, RecordError
from isthmus.evaluation.robustness_curve import robustness
from isthmus.experiments.comparison import compare
from isthmus.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Laplace,
    Likelihood,
    Mixed,
    Multinomial,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    ZeroInflated,
)
from isthmus.optimizers import Adam
from isthmus.records import describe
from isthmus.scaling import Columns, MinMax, NoScaling, Standard, UInt8


def quick(likelihood: Any, bottleneck: Any = None, **choices: Any) -> Autoencoder:
    usual = {"architecture": MLP((16,)), "epochs": 2, "batch_size": 16, "random_state": 0}
    return Autoencoder(bottleneck or Identity(2), likelihood=likelihood, **usual | choices)


def true_rates(n: int = 300) -> np.ndarray:
    """Rates of twelve features that depend on two numbers."""
    rng = np.random.default_rng(0)
    return np.exp(1 + rng.normal(size=(n, 2)) @ rng.normal(size=(2, 12)) * 0.5)


def counts(n: int = 300) -> np.ndarray:
    """Counts with these rates."""
    return np.random.default_rng(1).poisson(true_rates(n)).astype(np.float64)


def classes(n: int = 300) -> np.ndarray:
    """Ten columns of five classes, which depend on one hidden class of six."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 5, (6, 10))
    noise = rng.random((n, 10)) < 0.05
    return np.where(noise, rng.integers(0, 5, (n, 10)), kinds[rng.integers(0, 6, n)]).astype(np.float64)


@pytest.mark.thorough
@pytest.mark.parametrize("likelihood", [Poisson(), NegativeBinomial(), ZeroInflated(), Multinomial()], ids=repr)
def test_a_count_autoencoder_finds_the_rates(likelihood: Likelihood) -> None:
    X = counts()
    ae = quick(likelihood, epochs=30, optimizer=Adam(2e-2)).fit(X)
    assert ae.scaling_ == NoScaling()
    made = ae.reconstruct(X)
    rates, means = true_rates(), np.broadcast_to(X.mean(0), X.shape)
    errors = [np.square(np.log1p(each) - np.log1p(rates)).mean() for each in (made, means)]
    assert errors[0] < 0.35 * errors[1]
    if isinstance(likelihood, Poisson):
        expected = scipy.stats.poisson(made).logpmf(X).sum(1)
        np.testing.assert_allclose(ae.score_samples(X), expected, rtol=1e-4, atol=1e-3)
        whole = quick(likelihood, epochs=30, optimizer=Adam(2e-2)).fit(X.astype(np.int16))
        np.testing.assert_array_equal(whole.score_samples(X), ae.score_samples(X))
    if isinstance(likelihood, Multinomial):
        np.testing.assert_allclose(made.sum(1), X.sum(1), rtol=1e-4)
        np.testing.assert_allclose(ae.decode(ae.encode(X)).sum(1), 1, rtol=1e-4)


@pytest.mark.thorough
def test_class_columns_are_reconstructed_as_classes() -> None:
    X = classes()
    ae = quick(Categorical(5), Identity(6), epochs=60, optimizer=Adam(1e-2)).fit(X)
    made = ae.reconstruct(X)
    assert set(np.unique(made)) <= set(range(5))
    assert (made != X).mean() < 0.1
    result = evaluate(ae, X)
    assert result.error_rate == pytest.approx((made != X).mean())
    assert (result.pca, result.errors.explained_variance, result.columns.n_lost) == (None, None, 0)
    assert result.pca_missing == "the values are classes, whose differences mean nothing"
    assert not any("PCA" in advice.text for advice in result.advice)
    assert ("Misclassified values" in str(result)) == ("Misclassified values" in {row[0] for row in result.rows()})


WRONG = [
    (Poisson(), 2.5, r"row 3, column 1 is 2\.5, but the Poisson likelihood requires whole numbers of at least 0: "),
    (NegativeBinomial(), -1.0, r"row 3, column 1 is -1, but the NegativeBinomial likelihood requires whole numbers"),
    (Categorical(5), 7.0, r"row 3, column 1 is 7, but the Categorical likelihood requires the whole numbers 0 to 4: "),
    (
        DiscretizedLogistic(levels=4),
        0.5,
        r"row 3, column 1 is 0\.5, but the DiscretizedLogistic likelihood requires values on 4",
    ),
]


@pytest.mark.parametrize(("likelihood", "value", "message"), WRONG, ids=[repr(case[0]) for case in WRONG])
def test_a_value_that_is_no_count_class_or_level_is_named(likelihood: Likelihood, value: float, message: str) -> None:
    X = values_for(likelihood, (40, 6))
    ae = quick(likelihood).fit(X)
    Y = X.copy()
    Y[3, 1] = value
    for wrong in (
        lambda: quick(likelihood).fit(Y),
        lambda: ae.score_samples(Y),
        lambda: quick(likelihood).fit(X).partial_fit(Y),
        lambda: evaluate(ae, Y),
    ):
        with pytest.raises(DataError, match=f"^{message}"):
            wrong()
    with pytest.raises(DataError, match=f"^validation_data: {message}"):
        quick(likelihood).fit(X, validation_data=Y)
    with pytest.raises(DataError, match=f"^target: {message}"):
        quick(likelihood).fit(X, target=Y)
    assert np.isfinite(ae.reconstruct(Y)).all(), "an encoder sees corrupted values too"


def test_counts_are_never_scaled() -> None:
    with pytest.raises(DataError, match=r"and the scaling would change them: use scaling=NoScaling\(\)$"):
        quick(Poisson(), scaling=Standard()).fit(counts())


def test_the_advice_for_counts_names_the_scaling_of_the_numbers_of_a_table_with_categories() -> None:
    X = np.stack([counts()[:, 0], np.arange(len(counts())) % 3], 1)
    likelihood = Mixed((0, 3), numbers=Poisson())
    with pytest.raises(DataError, match=r"change them: use scaling=Columns\(\.\.\., numbers=NoScaling\(\)\)$"):
        quick(likelihood, scaling=Columns((0, 3))).fit(X)
    assert quick(likelihood, scaling=Columns((0, 3), numbers=NoScaling())).fit(X).reconstruct(X).shape == X.shape


@pytest.mark.parametrize(
    ("augmentation", "likelihood", "message"),
    [
        (Dequantize(), Poisson(), r"^Dequantize\(\) makes values between -0\.00196 and 1, and the Poisson likelihood"),
        (
            Dequantize(17),
            Bernoulli(),
            r"makes values between -0\.0312 and 1\.03, and the Bernoulli .* in \[0, 1\] after scaling: ",
        ),
        (
            Binarize() >> Shift(fill=0.5),
            Categorical(2),
            r"makes the value 0\.5, and the Categorical .* the whole numbers 0 to 1: ",
        ),
        (
            Shift(fill=-1),
            NegativeBinomial(),
            r"makes the value -1, and the NegativeBinomial .* whole numbers of at least 0: ",
        ),
    ],
    ids=repr,
)
def test_what_an_augmentation_makes_must_be_accepted(augmentation: Any, likelihood: Any, message: str) -> None:
    X = values_for(Categorical(2) if isinstance(augmentation, AugmentationChain) else Poisson(), (40, 4, 4))
    with pytest.raises(RecordError, match=message):
        quick(likelihood, augmentation=augmentation, kind="images").fit(X)


def test_the_likelihood_sees_what_the_augmentation_makes_and_not_the_examples() -> None:
    """Examples and validation examples may be what the likelihood does not accept, if the augmentation makes other values of them."""
    X = np.random.default_rng(0).uniform(size=(40, 4, 4))
    for given in (X, 255 * X):
        ae = quick(Categorical(2), augmentation=Binarize(), kind="images").fit(given, validation_data=given)
        assert all(np.isfinite(each.loss) and np.isfinite(each.val_loss) for each in ae.history_)
        made = np.unique(ae.reconstruct(given))
        assert set(made.round(3)) <= {0.0, np.ceil(given.max()).round(3), given.max().round(3), given.min().round(3)}
        with pytest.raises(DataError, match=r"is .*, but the Categorical likelihood requires the whole numbers 0 to 1"):
            ae.score_samples(given)
    kept = quick("auto", augmentation=Dequantize(17), kind="images").fit(np.round(16 * X))
    assert kept.likelihood_ == Normal("learned")


def test_the_likelihood_sees_the_target_and_not_the_examples() -> None:
    clean = counts()
    noisy = clean * np.random.default_rng(0).uniform(0.5, 1.5, clean.shape)
    ae = quick(Poisson()).fit(noisy, target=clean, validation_data=(noisy, clean))
    assert np.isfinite(ae.history_[-1].val_loss)
    again = quick(Poisson(), warm_start=True).fit(noisy, target=clean).fit(noisy, target=clean)
    assert np.isfinite(again.reconstruct(noisy)).all()
    for wrong, message in (
        (lambda: quick(Poisson()).fit(clean, target=noisy), "^target: row 0"),
        (lambda: quick(Poisson()).fit(noisy, target=clean, validation_data=(clean, noisy)), "^validation_data: row 0"),
        (lambda: quick(Poisson()).fit(noisy), "^row 0"),
    ):
        with pytest.raises(DataError, match=f"{message}, column 0 is .*, but the Poisson likelihood"):
            wrong()


def test_validation_data_outside_of_the_support_are_refused_or_named() -> None:
    X = np.random.default_rng(0).uniform(size=(40, 4, 4))
    sentence = (
        r"the Bernoulli likelihood requires examples in \[0, 1\] after scaling, and these are not; use likelihood="
    )
    with pytest.raises(DataError, match=f"^{sentence}"):
        quick(Bernoulli(), scaling=NoScaling()).fit(2 * X)
    with pytest.raises(DataError, match=f"^validation_data: {sentence}"):
        quick(Bernoulli(), scaling=NoScaling()).fit(X, validation_data=2 * X)
    with pytest.warns(IsthmusWarning, match=f"^validation_data: {sentence}"):  # the scaling is that of X
        quick(Bernoulli(), scaling=MinMax()).fit(X, validation_data=1.1 * X)
    quick(Bernoulli(), scaling=MinMax()).fit(X, validation_data=0.9 * X + 0.05)


def test_gray_levels_are_scaled_to_the_grid() -> None:
    X = np.random.default_rng(0).integers(0, 256, (40, 8, 8))
    ae = quick(DiscretizedLogistic(), kind="images").fit(X.astype(np.uint8))
    assert ae.scaling_ == UInt8()
    assert quick(DiscretizedLogistic(levels=17), kind="images").fit(X % 17).scaling_ == MinMax()
    assert quick(DiscretizedLogistic(), kind="images").fit(X / 255).scaling_ == NoScaling()
    assert ae.score_samples(X.astype(np.uint8)).mean() < -64 * 4, "nats of one of 256 levels, not of a density"


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)], ids=str)
@pytest.mark.parametrize("likelihood", [Normal("predicted"), DiscretizedLogistic(2), Categorical(3)], ids=repr)
def test_convolutions_output_several_parameters_of_each_pixel(likelihood: Likelihood, shape: tuple[int, ...]) -> None:
    X = values_for(likelihood, (40, *shape))
    for code in ("vector", "map"):
        ae = quick(likelihood, architecture=Conv((4,), code=code), kind="images").fit(X)
        assert ae.reconstruct(X).shape == X.shape
        assert ae.encode(X).shape[1:] == ae.code_shape_
        parts = np.concatenate([ae.score_samples(part) for part in np.split(X, [1, 17])])
        np.testing.assert_array_equal(parts, ae.score_samples(X))


def test_what_mirrors_the_encoder_refuses_several_parameters() -> None:
    X = values_for(Normal(), (40, 6))
    with pytest.raises(RecordError, match=r"since the likelihood asks for outputs of shape \(6, 2\); use tied=False$"):
        quick(Normal("predicted"), architecture=MLP((4,), tied=True)).fit(X)
    with pytest.raises(NotPossibleError, match=r"^Normal\(scale='predicted'\) cannot be trained layer by layer: "):
        quick(Normal("predicted")).fit(X, layerwise=True)


def test_layers_of_a_count_autoencoder_are_pretrained_on_what_the_encoder_sees() -> None:
    ae = quick(Poisson(), architecture=MLP((8,)), epochs=4)
    reports = list(ae.iter_fit(1000 * counts(), layerwise=True))
    first = [report.loss for report in reports if report.layer == 1]
    assert first[-1] < first[0]
    assert np.isfinite([report.loss for report in reports]).all()


@pytest.mark.parametrize("likelihood", EVERY_LIKELIHOOD, ids=repr)
def test_missing_values_are_imputed(likelihood: Likelihood) -> None:
    X = values_for(likelihood, (60, 6)).astype(np.float32)
    holes = np.random.default_rng(2).random(X.shape) < 0.2
    ae = quick(likelihood, missing="allow").fit(np.where(holes, np.nan, X))
    imputed = ae.impute(np.where(holes, np.nan, X))
    assert np.isfinite(imputed).all()
    np.testing.assert_array_equal(imputed[~holes], X[~holes])
    assert np.isfinite(ae.score_samples(np.where(holes, np.nan, X))).all()


def test_a_multinomial_likelihood_imputes_in_the_size_of_the_example() -> None:
    X = np.tile([10.0, 20.0, 30.0, 40.0], (200, 1)) * np.random.default_rng(0).integers(1, 50, (200, 1))
    Y = X.copy()
    Y[::2, 3] = np.nan
    ae = quick(Multinomial(), epochs=40, optimizer=Adam(1e-2), missing="allow").fit(Y)
    np.testing.assert_allclose(ae.impute(Y)[:, 3], X[:, 3], rtol=0.1)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    X = counts()
    for likelihood in (NegativeBinomial(), StudentT(), Laplace()):
        whole = quick(likelihood, epochs=3).fit(X)
        part = quick(likelihood, epochs=3)
        reports = part.iter_fit(X, every=7)
        next(reports)
        part.checkpoint(tmp_path / "part")
        again = load(tmp_path / "part").resume(X)
        np.testing.assert_array_equal(again.score_samples(X), whole.score_samples(X))
        memory = whole.model_.likelihood_memory.state_dict()
        assert memory
        for name, value in again.model_.likelihood_memory.state_dict().items():
            assert bool((value == memory[name]).all())


@pytest.mark.thorough
def test_detectors_robustness_and_comparisons_take_counts(tmp_path: Path) -> None:
    X = counts()
    ae, other = (quick(likelihood, Gaussian(2), epochs=10).fit(X) for likelihood in (Poisson(), NegativeBinomial()))
    far = X.copy()
    far[:5] = far[:5] * 30 + 100
    scores = OutlierDetector(ae, anomaly_score="nats", random_state=0).fit(X).score_samples(far)
    assert scores[:5].max() < np.quantile(scores[5:], 0.05)
    denoiser = quick(Poisson(), epochs=10, corruption=Masking(0.3)).fit(X)
    assert len(robustness(denoiser, X).to_frame())
    noisy = quick(Poisson(), epochs=2, corruption=GaussianNoise(1.0)).fit(X)
    assert np.isfinite(noisy.reconstruct(noisy.corrupt(X))).all(), "counts with noise are no counts"
    found = compare({"poisson": ae, "negative binomial": other}, X)
    assert len(found.to_frame()) == 2
    assert ae.likelihood_.measure == other.likelihood_.measure != Multinomial().measure


def test_the_command_line_trains_on_counts(tmp_path: Path) -> None:
    header = ",".join(f"gene{i}" for i in range(12))
    np.savetxt(tmp_path / "counts.csv", counts(60), fmt="%d", delimiter=",", header=header, comments="")
    command = ("train", "--data", "counts.csv", "--out", "run", "bottleneck=2", "architecture.hidden=8", "epochs=1")
    done = run(*command, "likelihood=Categorical", "likelihood.classes=5", cwd=tmp_path)
    assert (done.returncode, "requires the whole numbers 0 to 4" in done.stderr) == (1, True)
    done = run(*command, "likelihood=Poisson", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Poisson" in (tmp_path / "run" / "report.html").read_text()
    assert load(tmp_path / "run").likelihood_ == Poisson()


@pytest.mark.thorough
@pytest.mark.parametrize("likelihood", EVERY_LIKELIHOOD, ids=repr)
def test_the_command_line_trains_evaluates_and_plots_with_every_likelihood(
    likelihood: Likelihood, tmp_path: Path
) -> None:
    X = values_for(likelihood, (80, 6))
    header = ",".join(f"column{i}" for i in range(6))
    np.savetxt(tmp_path / "table.csv", X, fmt="%.17g", delimiter=",", header=header, comments="")
    fields = [f"likelihood={type(likelihood).__name__}"]
    for name, value in describe(likelihood).items():
        if name != "type":
            fields += [f"likelihood.{name}={value['type'] if isinstance(value, dict) else value}"]
    done = run(
        "train",
        "--data",
        "table.csv",
        "--out",
        "run",
        "epochs=1",
        "bottleneck=2",
        *fields,
        cwd=tmp_path,
        every_figure=True,
    )
    assert done.returncode == 0, done.stderr
    for command in (["evaluate", "run"], ["robustness", "run"], ["plot", "run", "reconstructions"], ["detect", "run"]):
        done = run(*command, cwd=tmp_path)
        assert "Traceback" not in done.stderr
    assert likelihood.nominal == ("Misclassified values" in run("evaluate", "run", cwd=tmp_path).stdout)


def test_advice_on_hidden_columns_of_counts_does_not_scale_them() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.poisson(np.exp(rng.normal(3, 1, 400))), rng.poisson(1.0, (400, 3))])
    given = {"epochs": 20, "random_state": 0, "architecture": MLP((16,))}
    counts, numbers = (
        " ".join(
            each.text
            for each in evaluate(Autoencoder(1, likelihood=likelihood, scaling=NoScaling(), **given).fit(X), X).advice
        )
        for likelihood in (Poisson(), Normal())
    )
    assert "hides columns" in counts
    assert "scaling=Standard" not in counts
    assert "scaling=Standard" in numbers
