"""Missing values: what is not there costs nothing, moves nothing, and is completed; what is there stays as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from cases import checks_of, thorough_where
from sklearn.exceptions import NotFittedError
from suitable import EVERY_LIKELIHOOD, outputs_for, values_for, variables_for
from test_cli import run
from test_storage import parts, put, refused

from isthmus import Autoencoder, OutlierDetector, compare, corruptions, data, load, plots, sweep
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Gaussian, Identity, VectorQuantized
from isthmus.compression import compress
from isthmus.corruptions import Clean, GaussianNoise, Masking
from isthmus.data import as_examples
from isthmus.data.statistics import DataStatistics
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.outlier_scores import ErrorDensity
from isthmus.evaluation import detect, evaluate
from isthmus.evaluation.robustness_curve import robustness
from isthmus.experiments.measured_figures import figure_function
from isthmus.likelihoods import Bernoulli, Likelihood, Normal
from isthmus.likelihoods.base import NO_VARIABLES
from isthmus.nn.variables import Variables
from isthmus.optimizers import AdamW, OneCycle
from isthmus.scaling import MinMax, NoScaling, Standard, UInt8, choose, range_of, within


def quick(bottleneck: Any = "auto", **choices: Any) -> Autoencoder:
    usual = {"architecture": MLP((16,)), "epochs": 2, "random_state": 0, "missing": "allow"}
    return Autoencoder(bottleneck, **usual | choices)


def holes(X: np.ndarray, share: float, state: int = 0) -> np.ndarray:
    """The same with NaN in a share of the places."""
    return np.where(np.random.default_rng(state).random(X.shape) < share, np.nan, X).astype(X.dtype)


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    return holes(np.random.default_rng(1).normal(5, 3, (60, 5)).astype(np.float32), 0.3)


@pytest.fixture(scope="module")
def fitted(table: np.ndarray) -> Autoencoder:
    return quick(Identity(3)).fit(table)


@pytest.mark.parametrize("likelihood", EVERY_LIKELIHOOD, ids=repr)
def test_missing_values_have_no_loss_and_no_gradient(likelihood: Likelihood) -> None:
    rng = torch.Generator().manual_seed(0)
    y, x = outputs_for(likelihood, (4, 3, 5)), torch.from_numpy(values_for(likelihood, (4, 3, 5))).double()
    observed = torch.rand(4, 3, 5, generator=rng) < 0.6
    observed[3] = False
    found, variables = y.clone().requires_grad_(), variables_for(likelihood, (4, 3, 5))
    nll = likelihood.nll(found, x, variables, observed)
    nll.sum().backward()
    assert found.grad is not None
    assert (found.grad[~observed] == 0).all()
    elsewhere = likelihood.nll(y, torch.where(observed, x, 1e6), variables, observed)
    assert torch.equal(nll, elsewhere)
    for row in range(3):  # the same with those numbers dropped
        few = y[row][observed[row]][None].clone().requires_grad_()
        variables = variables_for(likelihood, tuple(few.shape[:2]))
        alone = likelihood.nll(few, x[row][observed[row]][None], variables)
        alone.sum().backward()
        assert few.grad is not None
        torch.testing.assert_close(nll[row], alone[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.grad[row][observed[row]], few.grad[0], rtol=1e-12, atol=1e-12)
    assert nll[3] == 0


@pytest.mark.parametrize(
    ("likelihood", "architecture"),
    [(Bernoulli(), MLP((8,))), (Normal("learned"), MLP((8,))), (Normal(), Conv((4,)))],
    ids=repr,
)
def test_without_missing_values_results_are_unchanged(likelihood: Likelihood, architecture: Any) -> None:
    X = np.random.default_rng(0).random((40, 6, 5), np.float32)
    choices = {"likelihood": likelihood, "architecture": architecture, "scaling": NoScaling(), "corruption": Clean()}
    one, two = (quick(Gaussian(2), missing=missing, **choices).fit(X) for missing in ("error", "allow"))
    np.testing.assert_allclose([r.loss for r in one.history_], [r.loss for r in two.history_], rtol=1e-6)
    for name, weight in one.model_.state_dict().items():
        assert torch.equal(weight, two.model_.state_dict()[name])
    np.testing.assert_allclose(one.score_samples(X), two.score_samples(X), rtol=1e-6)


def test_imputation_requires_a_fitted_autoencoder() -> None:
    with pytest.raises(NotFittedError):
        Autoencoder(missing="allow").impute(np.ones((3, 2)))


def test_the_likelihood_gets_no_mask_without_missing_values(table: np.ndarray) -> None:
    """The likelihood of an autoencoder that refuses NaN is not told what was observed: one of the user's need not know."""
    seen = []

    class Spy(Normal):
        def nll(self, y: Any, x: Any, variables: Variables = NO_VARIABLES) -> Any:  # type: ignore[override]
            seen.append(len(y))
            return super().nll(y, x, variables)

    quick(likelihood=Spy(), missing="error").fit(np.nan_to_num(table))
    assert seen


def low_rank(n: int = 400) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, 12))


@pytest.mark.thorough
def test_a_linear_autoencoder_imputes_low_rank_data() -> None:
    X = low_rank()
    given = X.copy()
    given[np.arange(400), np.random.default_rng(0).integers(0, 12, 400)] = np.nan
    optimizer = AdamW(1e-2, weight_decay=0, schedule=OneCycle())
    linear = {"architecture": MLP(()), "corruption": Clean(), "optimizer": optimizer, "epochs": 80}
    ae = quick(Identity(2), **linear).fit(given[:300])
    gone = np.isnan(given[300:])
    left = ((ae.impute(given[300:]) - X[300:]) / X.std(0))[gone]
    assert np.sqrt(np.square(left).mean()) < 0.03
    filled = (np.broadcast_to(np.nanmean(given[:300], axis=0), gone.shape) - X[300:]) / X.std(0)
    assert np.sqrt(np.square(filled[gone]).mean()) > 0.9


def test_the_default_imputes_better_than_the_mean_and_masks_in_training() -> None:
    X = low_rank(300)
    given = holes(X, 0.3)
    ae = Autoencoder(missing="allow", random_state=0, epochs=30).fit(given[:200])
    assert isinstance(ae.corruption_, Masking)
    assert ae.corruption_.makes_missing
    gone = np.isnan(given[200:])
    error = np.square((ae.impute(given[200:]) - X[200:]) / X.std(0))[gone].mean()
    assert error < 0.25


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_observed_values_are_returned_bit_identically(kind: Any, fitted: Autoencoder, table: np.ndarray) -> None:
    X = table.astype(kind)
    X[0, 0] = -0.0
    kept = X.copy()
    whole, there = fitted.impute(X), ~np.isnan(X)
    assert whole.dtype == kind
    assert whole[there].tobytes() == X[there].tobytes()
    assert np.isfinite(whole).all()
    assert X.tobytes() == kept.tobytes()
    if kind != np.float16:
        np.testing.assert_array_equal(whole[~there], fitted.reconstruct(X)[~there].astype(kind))
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(fitted.impute(X[order]), whole[order])
    assert fitted.impute(np.arange(10).reshape(2, 5)).tolist() == np.arange(10).reshape(2, 5).tolist()


def test_data_frames_are_returned_with_index_and_columns(table: np.ndarray) -> None:
    frame = pd.DataFrame(table, columns=list("abcde"), index=[f"row {i % 50}" for i in range(60)])
    frame["a"] = np.arange(60, dtype=np.int16)
    frame["b"] = pd.array([None, *range(59)], dtype="Int64")
    ae = quick(Identity(3)).fit(frame)
    whole = ae.impute(frame)
    assert not whole.isna().any().any()
    assert whole.index.equals(frame.index)
    assert list(whole.columns) == list("abcde")
    assert (whole["a"].dtype, whole["b"].dtype, whole["c"].dtype) == (np.int16, np.float64, np.float32)
    known = frame.notna()
    pd.testing.assert_frame_equal(whole.where(known).astype(float), frame.where(known).astype(float))
    with pytest.raises(ValueError, match="order"):
        ae.impute(frame[list("bacde")])
    odd = pl.DataFrame({name: pl.Series(name, frame[name].astype(float).tolist()) for name in "abcde"})
    odd = odd.with_columns(pl.col("a").cast(pl.Int16), pl.col("c").fill_nan(None))
    back = ae.impute(odd)
    assert back.columns == list("abcde")
    assert back["a"].dtype == pl.Int16
    np.testing.assert_allclose(back.to_numpy(), whole.to_numpy(), rtol=1e-6)
    names = ae.set_output(transform="pandas").transform(frame)
    assert names.index.equals(frame.index)
    assert names.notna().all().all()


def test_nan_is_allowed_on_request_and_infinity_never(fitted: Autoencoder, table: np.ndarray) -> None:
    where = r"row \d+, column \d"
    with pytest.raises(DataError, match=rf"NaN: {where}; impute it, drop the row, or pass missing='allow'$"):
        quick(missing="error").fit(table)
    whole = np.nan_to_num(table)
    plain = quick(missing="error").fit(whole)
    with pytest.raises(DataError, match="missing='allow'"):
        plain.transform(table)
    with pytest.raises(NotPossibleError, match="impute requires an autoencoder that was fitted with missing='allow'"):
        plain.impute(whole)
    far = table.copy()
    far[7, 2] = np.inf
    for use in (fitted.transform, fitted.impute, quick().fit):
        with pytest.raises(DataError, match="infinity: row 7, column 2"):
            use(far)
    far[7, 2] = -1e300 if far.dtype == np.float64 else -np.inf
    with pytest.raises(DataError, match="row 7, column 2"):
        fitted.score_samples(far)
    with pytest.raises(DataError, match="NaN"):
        fitted.decode(np.full((2, 3), np.nan))
    with pytest.raises(DataError, match="Input X contains NaN: row"):
        evaluate(plain, table)
    with pytest.raises(RecordError, match="missing='error' does not fit"):
        fitted.set_params(missing="error").partial_fit(whole)
    fitted.set_params(missing="allow")
    with pytest.raises(RecordError, match="makes values missing, which requires missing='allow'"):
        quick(missing="error", corruption=Masking(0.1, value="missing")).fit(whole)
    with pytest.raises(ValueError, match="The 'missing' parameter of Autoencoder"):
        quick(missing="drop").fit(table)


def test_a_column_without_any_value_is_named(table: np.ndarray) -> None:
    X = table.copy()
    X[:, 3] = np.nan
    with pytest.raises(DataError, match=r"^column 3 of X is missing in every row: drop it$"):
        quick().fit(X)
    with pytest.raises(DataError, match=r"^column 3 \(feature 'd'\) of X is missing in every row"):
        quick().fit(pd.DataFrame(X, columns=list("abcde")))
    pictures = np.random.default_rng(0).random((20, 4, 4))
    pictures[:, 2, 1] = np.nan
    with pytest.raises(DataError, match=r"^position \(2, 1\) of X is missing in every row"):
        quick().fit(pictures)


def test_a_row_without_any_value_is_imputed_from_the_mean(fitted: Autoencoder, table: np.ndarray) -> None:
    nothing, middle = np.full((1, 5), np.nan, np.float32), np.nanmean(table, axis=0, keepdims=True)
    assert fitted.score_samples(nothing)[0] == 0
    assert np.isnan(fitted.reconstruction_error(nothing)).all()
    assert np.isfinite(fitted.impute(nothing)).all()
    first = fitted.model_.normalize(torch.from_numpy(middle))
    with torch.no_grad():  # the mean, and then what is made of what was made
        for _ in range(3):
            first = fitted.model_.decode(fitted.model_.encode(first))
    np.testing.assert_allclose(fitted.impute(nothing), fitted.model_.denormalize(first), rtol=1e-4)
    X = np.vstack([table, nothing])
    assert np.isfinite(quick().fit(X).score_samples(X)).all()


def test_scores_and_errors_use_observed_values_only(table: np.ndarray) -> None:
    ae = quick(Identity(2), likelihood=Normal(0.7)).fit(table)
    there, back = ~np.isnan(table), ae.reconstruct(table)
    middle, spread = np.nanmean(table, axis=0), np.nanstd(table, axis=0)
    x, y = (torch.from_numpy((part - middle) / spread) for part in (np.nan_to_num(table), back))
    density = torch.distributions.Normal(y, 0.7).log_prob(x) - torch.log(torch.from_numpy(spread))
    expected = (density * torch.from_numpy(there)).sum(1)
    np.testing.assert_allclose(ae.score_samples(table), expected, rtol=1e-4)
    errors = ae.reconstruction_error(table, per_feature=True)
    np.testing.assert_array_equal(np.isnan(errors), ~there)
    np.testing.assert_allclose(ae.reconstruction_error(table), np.nanmean(errors, axis=1), rtol=1e-6)


def test_masked_and_missing_values_have_the_same_input(fitted: Autoencoder, table: np.ndarray) -> None:
    x = fitted.model_.normalize(torch.from_numpy(np.nan_to_num(table)))
    corrupted = Masking(0.4, value="missing")(x, torch.Generator().manual_seed(0))
    given = np.where(corrupted.isnan(), np.nan, np.nan_to_num(table)).astype(np.float32)
    with torch.inference_mode():
        np.testing.assert_allclose(fitted.model_.encode(corrupted), fitted.encode(given), rtol=1e-4, atol=1e-5)
    assert np.isnan(fitted.corrupt(table, corruption=Masking(1.0, value="missing"))).all()


@pytest.mark.parametrize("name", corruptions.__all__)
@pytest.mark.parametrize("fixed", [False, True])
def test_every_corruption_accepts_missing_values(name: str, fixed: bool, table: np.ndarray) -> None:
    several = {"corruptions": (Masking(), corruptions.Patches(2))} if name == "CorruptionChain" else {}
    corruption = getattr(corruptions, name)(fixed=fixed, **several)
    ae = quick(VectorQuantized(2, codebook_size=4), corruption=corruption, epochs=1).fit(table)
    assert np.isfinite([report.loss for report in ae.history_]).all()


@pytest.mark.parametrize("seen", [np.random.default_rng(3).normal(40, 9, (50, 4)), np.full((50, 4), 7.0)])
def test_scaling_uses_observed_values_only(seen: np.ndarray) -> None:
    X = holes(seen, 0.4)
    for found, middle, spread in (
        (Standard().fit(X), np.nanmean(X, axis=0), np.nanstd(X, axis=0)),
        (MinMax("feature").fit(X), np.nanmin(X, axis=0), np.nanmax(X, axis=0) - np.nanmin(X, axis=0)),
        (MinMax().fit(X), np.nanmin(X), np.nanmax(X) - np.nanmin(X)),
        (Standard("all").fit(X), np.nanmean(X), np.nanstd(X)),
    ):
        np.testing.assert_allclose(found.shift, middle, rtol=1e-12)
        np.testing.assert_allclose(found.scale, np.where(spread > 1e-9, spread, 1), rtol=1e-12)
    np.testing.assert_allclose(
        DataStatistics(X).means(as_examples(X, missing="allow")), np.nanmean(X, axis=0), rtol=1e-14
    )
    assert range_of(DataStatistics(X))[:2] == (np.nanmin(X), np.nanmax(X))


def test_automatic_choices_use_observed_values_only() -> None:
    rng = np.random.default_rng(0)
    pictures = holes(rng.integers(0, 256, (30, 4, 4)).astype(np.float32), 0.2)
    pictures[0, 0, :2] = 0, 255
    assert choose(DataStatistics(pictures), "images") == UInt8()
    assert range_of(DataStatistics(pictures)).all_integers
    assert not range_of(DataStatistics(pictures + 0.5)).all_integers
    shares = holes(rng.random((30, 4)), 0.2)
    assert choose(DataStatistics(shares), "images") == NoScaling()
    assert choose(DataStatistics(shares), "table") == Standard()
    assert within(DataStatistics(shares), NoScaling().fit(shares), 0, 1)
    assert not within(DataStatistics(shares + 0.9), NoScaling().fit(shares), 0, 1)
    ae = quick(epochs=1, kind="images").fit(shares)
    assert isinstance(ae.likelihood_, Bernoulli)
    assert ae.model_.fill is not None
    np.testing.assert_allclose(ae.model_.fill, np.nanmean(shares, axis=0), rtol=1e-6)


CHECKS = [
    (ae, check)
    for precision in ("float32", "float64")
    for ae, check in checks_of(
        Autoencoder(epochs=2, random_state=0, precision=precision, missing="allow", architecture=MLP((16,)))
    )
]


@pytest.mark.promise(14)
@pytest.mark.parametrize(
    ("estimator", "check"),
    thorough_where(CHECKS, lambda case: case[0].precision == "float64"),
    ids=[f"{ae.precision}-{getattr(check, 'func', check).__name__}" for ae, check in CHECKS],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_checks_with_missing_values(estimator: Autoencoder, check: Any) -> None:
    assert estimator.__sklearn_tags__().input_tags.allow_nan
    check(estimator)


def test_a_memory_map_with_missing_values_trains_bit_identically(table: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", table)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    held, from_file = (quick(Gaussian(2), corruption=GaussianNoise(0.1)).fit(X) for X in (table, mapped))
    np.testing.assert_array_equal(held.impute(table), from_file.impute(mapped))


def test_interrupted_training_with_missing_values_resumes_bit_identically(table: np.ndarray, tmp_path: Path) -> None:
    whole = quick(Gaussian(2), early_stopping=True, epochs=4)
    for report in whole.iter_fit(table, every=1):
        if report.step == 7:
            whole.checkpoint(tmp_path / "c")
    again = load(tmp_path / "c")
    assert again.missing == "allow"
    again.resume(table)
    for name, value in whole.model_.state_dict().items():
        assert torch.equal(value, again.model_.state_dict()[name]), name
    moved = holes(np.nan_to_num(table), 0.3, state=5)
    with pytest.raises(DataError, match="requires the examples of the interrupted training: these differ"):
        load(tmp_path / "c").resume(moved)


def test_the_fill_is_the_mean_as_the_model_normalizes_it(table: np.ndarray) -> None:
    """With the rounded shift and scale of the model, to the last bit: a feature at its mean is no news to the encoder."""
    model = quick(scaling=MinMax("feature")).initialize(table).model_
    shift, scale = model.shift.double(), model.scale.double()
    means = torch.from_numpy(np.nanmean(table.astype(np.float64), axis=0))
    assert model.shift.dtype == torch.float32
    assert torch.equal(model.fill, ((means - shift) / scale).float())


def test_the_fill_values_in_a_model_file_are_checked(fitted: Autoencoder, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    X = np.full((3, 5), np.nan, np.float32)
    np.testing.assert_array_equal(load(path).impute(X), fitted.impute(X))
    header, mapped = parts(path)
    tensors = {name: tensor.clone() for name, tensor in mapped.items()}
    assert tensors["fill"].shape == (5,)
    for wrong, says in (
        (torch.full((5,), torch.nan), "fill is not finite"),
        (torch.zeros(4), r"fill of shape \(4,\) does not fit \(5,\)"),
        (torch.zeros(()), "does not fit"),
        (torch.zeros(5, dtype=torch.float64), "fill is float64"),
        (torch.zeros(5, dtype=torch.int32), "does not fit"),
    ):
        put(path, header, tensors | {"fill": wrong})
        assert re.search(says, refused(path))
    bare = {name: tensor for name, tensor in tensors.items() if name != "fill"}
    put(path, header, bare)
    with pytest.raises(NotPossibleError):
        load(path).impute(X)
    silent = json.loads(json.dumps(header))
    del silent["parameters"]["missing"]
    put(path, silent, tensors)
    assert "but its parameters have no missing=" in refused(path)
    put(path, header | {"format": 2}, tensors)
    assert "format 2 has no parameter missing" in refused(path)


@pytest.mark.thorough
def test_evaluation_comparison_sweep_and_detection_accept_missing_values(
    fitted: Autoencoder, table: np.ndarray, tmp_path: Path
) -> None:
    figures = evaluate(fitted, table, train=table)
    whole = fitted.impute(table)
    assert figures.errors.mse == evaluate(fitted, whole, train=whole).errors.mse
    both = compare({"one": fitted, "other": quick(Identity(2)).fit(table)}, table, table)
    assert both.evaluations[0].errors.mse == figures.errors.mse
    assert np.array_equal(both.examples, whole)
    assert "imputes the missing values itself" in both.notes[-1]
    assert np.isfinite([each.mse for each in robustness(fitted, table, train=table).figures]).all()
    found = sweep(quick(Identity(2), epochs=1), table, {"bottleneck__size": [1, 2, 3]}, test=table)
    assert all(np.isfinite(each.figures["errors"]["mse"]) for each in found.trials)
    chosen = sweep(quick(Identity(2), epochs=1, missing="error"), table, {"missing": ["allow"], "random_state": [0, 1]})
    assert chosen.autoencoder.missing == "allow"
    with pytest.raises(
        DataError,
        match=f"plain does not accept missing values, and {np.isnan(table).sum()} values of the examples are missing: leave",
    ):
        compare({"fitted": fitted, "plain": quick(missing="error").fit(whole)}, table)
    detector = OutlierDetector.from_fitted(fitted, table, calibration_fraction=0.5, random_state=0)
    assert np.isnan(detector.contributions(table)).sum() == np.isnan(table).sum()
    for figure in (plots.anomalies(detect(detector, table)), figure_function("anomaly_scores")(fitted, table)):
        assert figure.axes
    with pytest.raises(DataError, match=r"contains NaN.*impute it"):
        compress(fitted, table, tmp_path / "codes.isthmus")
    assert not list(tmp_path.iterdir())


def test_evaluation_checks_the_fitted_columns() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
    ae = quick(Identity(2)).fit(frame)
    assert evaluate(ae, frame).errors.mse > 0
    with pytest.raises(
        DataError,
        match="the columns of the examples of X differ from those that this autoencoder was fitted on: column 'c' is in the place of 'a'",
    ):
        evaluate(ae, frame[list("cba")])


def test_baselines_receive_the_mean_for_missing_values(fitted: Autoencoder) -> None:
    X = np.random.default_rng(2).normal(5, 3, (400, 5)).astype(np.float32)
    ae = quick(Identity(3), corruption=Masking(0.3, value="missing")).fit(X)
    found = robustness(ae, X, train=X, levels=[0.5], baselines=["training mean"])
    assert "in place of a missing feature" in " ".join(found.notes())
    (here,) = (found.at(each.kind, each.level) for each in found.figures[:1])
    assert here["identity"].error == pytest.approx(0.5 * here["training mean"].error, rel=0.05)


def test_error_densities_without_known_errors_are_finite() -> None:
    density = ErrorDensity.fit(np.full(3, np.nan), 5)
    assert np.isfinite(density.nll(np.array([np.nan, 0.5, 2.0]))).all()


def test_the_command_line_trains_on_missing_values_and_imputes_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(1e5, 3, (50, 2)) @ rng.normal(size=(2, 4))
    rows = [[*map(repr, row), ["oak", "elm"][i % 2]] for i, row in enumerate(values.tolist())]
    for i, word in ((0, ""), (3, "NA"), (7, "null"), (9, "nan")):
        rows[i][i % 4] = word
    lines = ["a,b,c,d,tree", *(",".join(row) for row in rows)]
    (tmp_path / "holes.csv").write_text("\n".join(lines), encoding="utf-8")
    given = ("--data", "holes.csv", "--labels", "tree")
    refusal = run("train", "epochs=1", *given, cwd=tmp_path)
    assert refusal.returncode == 1
    assert "line 2 of holes.csv, column 'a'" in refusal.stderr
    assert "missing='allow'" in refusal.stderr
    small = ("missing=allow", "epochs=1", "architecture.hidden=8", "bottleneck.size=2")
    done = run("train", *small, *given, "--out", "run", cwd=tmp_path, every_figure=True)
    assert done.returncode == 0, done.stderr
    assert "imputed by the autoencoder" in done.stdout
    assert " nan " not in done.stdout
    for words in (
        ("encode", "run", *given),
        ("reconstruct", "run", *given),
        ("evaluate", "run"),
        ("detect", "run", *given, "--false-alarm-rate", "0.4"),
        ("compare", "run", "run/model.safetensors"),
        ("robustness", "run"),
        ("sample", "run", "-n", "2", "--method", "gmm"),
        ("sweep", *small[:3], "bottleneck.size=1,2", *given),
    ):
        done = run(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert np.isfinite(np.load(tmp_path / "codes.npy")).all()
    done = run("impute", "run", *given, "--out", "whole.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "imputed: 4 missing values of 200" in done.stdout
    back = pd.read_csv(tmp_path / "whole.csv")
    assert list(back.columns) == ["a", "b", "c", "d", "tree"]
    assert back["tree"].tolist() == ["oak", "elm"] * 25
    there = np.array([[word not in {"", "NA", "null", "nan"} for word in row[:4]] for row in rows])
    whole = data.read(tmp_path / "whole.csv", labels="tree")
    assert (whole.train[there] == values[there]).all()
    assert back.notna().all().all()
    done = run("impute", "run", *given, "--out", "whole.npy", cwd=tmp_path)
    assert np.load(tmp_path / "whole.npy").shape == (50, 4), done.stderr
    assert run("impute", "run", "--out", "whole.txt", cwd=tmp_path).returncode == 2
