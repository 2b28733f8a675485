"""Anomalies: ranks against scikit-learn's, the promised rate by simulation, planted causes, signs, and untouched autoencoders."""

from __future__ import annotations

import copy
import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from cases import checks_of, thorough_where
from numpy.typing import NDArray
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import LocalOutlierFactor
from test_cli import run

from isthmus import Autoencoder, OutlierDetector, load, plots, recipes
from isthmus.architectures import MLP, Conv, LinearSkip
from isthmus.bottlenecks import Identity
from isthmus.errors import DataError, IsthmusWarning, RecordError
from isthmus.estimators.attribution import attribute_by_replacement
from isthmus.estimators.outlier_scores import CodeDensity, ErrorDensity, Scorer
from isthmus.estimators.squared_errors import squared_errors
from isthmus.evaluation import detect, detection_result
from isthmus.likelihoods import Normal
from isthmus.plots.figure import png
from isthmus.scaling import Columns, Standard

Array = NDArray[Any]
NAMES = ["left", "right", "=up", "down", "in", "out"]


def rows(n: int, seed: int = 0) -> Array:
    """A table (n, 6): two numbers say all six, but for some noise."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 2)) @ np.random.default_rng(9).normal(size=(2, 6)) + 0.1 * random.normal(size=(n, 6))


def quick(**choices: Any) -> Autoencoder:
    return Autoencoder(Identity(2), **{"architecture": MLP((16,)), "epochs": 20, "random_state": 0} | choices)


@pytest.fixture(scope="module")
def linear() -> Autoencoder:
    """A cheap one, trained on other rows than any test looks at."""
    return recipes.linear(2).set_params(epochs=30, random_state=0).fit(rows(400, 100))


CHECKS = [
    (precision, detector, check)
    for precision in ("float32", "float64")
    for detector, check in checks_of(
        OutlierDetector(Autoencoder(architecture=MLP((16,)), epochs=5, precision=precision), random_state=0)
    )
]


@pytest.mark.promise(14)
@pytest.mark.parametrize(
    ("precision", "detector", "check"),
    thorough_where(CHECKS, lambda case: case[0] == "float64"),
    ids=[f"{precision}-{getattr(check, 'func', check).__name__}" for precision, _, check in CHECKS],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning", "ignore::isthmus.errors.IsthmusWarning")
def test_scikit_learns_checks(precision: str, detector: OutlierDetector, check: Any) -> None:
    check(detector)


def test_planted_anomalies_are_detected_as_well_as_by_scikit_learn() -> None:
    train, normal, wrong = rows(400), rows(200, 1), rows(200, 2)
    wrong[np.arange(200), np.random.default_rng(3).integers(0, 6, 200)] += 2.0
    test, anomalous = np.concatenate([normal, wrong]), np.arange(400) >= 200
    ours = roc_auc_score(~anomalous, OutlierDetector(quick(), random_state=0).fit(train).score_samples(test))
    theirs = roc_auc_score(~anomalous, LocalOutlierFactor(novelty=True).fit(train).score_samples(test))
    assert ours > max(theirs, 0.95)


@pytest.mark.parametrize("rate", [0.05, pytest.param(0.2, marks=pytest.mark.thorough)])
def test_the_false_alarm_rate_is_at_most_the_requested_one(linear: Autoencoder, rate: float) -> None:
    """Over 300 draws of the calibrating rows; n = 29 of them make k / (n + 1) = 1/30 and 6/30."""
    alarms, least = [], []
    for seed in range(300):
        draw = rows(78, 1000 + seed)
        scorer = OutlierDetector(FrozenEstimator(linear), anomaly_score="error", random_state=seed)
        scorer.set_params(false_alarm_rate=rate, calibration_fraction=29 / 58)
        detector = scorer.fit(draw[:58])
        assert len(detector.calibration_scores_) == 29
        alarms.append((detector.predict(draw[58:]) == -1).mean())
        least.append((detector.p_values(draw[58:]) <= rate).mean())
    assert alarms == least
    exact, error = np.floor(rate * 30) / 30, np.std(alarms) / np.sqrt(300)
    assert abs(np.mean(alarms) - exact) < 4 * error
    assert exact <= rate


def test_p_values_count_the_calibration_examples(linear: Autoencoder) -> None:
    detector = OutlierDetector.from_fitted(linear, rows(100, 5), random_state=0)
    X = rows(40, 6) * 1.3
    scores, known = detector.score_samples(X), detector.calibration_scores_
    assert len(known) == 20
    np.testing.assert_allclose(detector.p_values(X), [(1 + sum(k <= s for k in known)) / 21 for s in scores])


def test_contamination_is_the_fraction_of_training_examples_that_are_outliers() -> None:
    X = rows(200)
    assert (OutlierDetector(quick(), contamination=0.1, random_state=0).fit_predict(X) == -1).sum() == 20


def test_signs_of_scores_follow_scikit_learn(linear: Autoencoder) -> None:
    detector = OutlierDetector.from_fitted(linear, rows(300, 5), random_state=0)
    X = np.concatenate([rows(50, 6), rows(5, 7) + 9 * np.eye(5, 6)])
    np.testing.assert_array_equal(detector.decision_function(X), detector.score_samples(X) - detector.offset_)
    np.testing.assert_array_equal(detector.predict(X), np.where(detector.score_samples(X) < detector.offset_, -1, 1))
    assert (detector.predict(X[-5:]) == -1).all()
    assert detector.score_samples(X[-5:]).max() < detector.score_samples(X[:50]).min()


def test_a_corrupted_column_has_the_largest_attribution() -> None:
    table = pd.DataFrame(rows(400), columns=NAMES)
    detector = OutlierDetector(quick(epochs=25), random_state=0).fit(table)
    for column, name in enumerate(NAMES):
        wrong = table[:20].copy()
        wrong.iloc[:, column] += 6 * wrong.iloc[:, column].std()
        first = [attributions[0].feature for attributions in detector.attributions(wrong)]
        assert first.count(name) >= 14, (name, first)
    (attributions,) = detector.attributions(table[:1], n=6)
    assert sum(cause.share for cause in attributions) == pytest.approx(1)
    assert [c.share for c in attributions] == sorted((c.share for c in attributions), reverse=True)


def test_attributions_of_a_linear_network_equal_the_gain_of_the_best_replacement() -> None:
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.normal(size=(6, 3)))[0]
    rows, left = random.normal(size=(20, 6)).astype(np.float32), np.eye(6) - axes @ axes.T
    positions, shares = attribute_by_replacement(
        lambda x: -np.square(x @ left).sum(1), lambda x: x @ axes @ axes.T, rows, np.square(rows @ left), 6
    )
    best = np.square(rows @ left) / np.diag(left)  # how much less the least squares leave without a number
    assert np.array_equal(positions, np.argsort(-best, axis=1))
    np.testing.assert_allclose(shares, -np.sort(-best / best.sum(1, keepdims=True), axis=1), rtol=1e-4)


def test_an_extreme_value_has_the_attribution_and_not_its_neighbors() -> None:
    """It spoils the reconstruction of those that go with it, whose errors may be larger than its own."""
    X = load_breast_cancer().data
    linear = recipes.linear(12).set_params(epochs=40)
    detector = OutlierDetector(linear, random_state=0).fit(X[:340])
    wrong, columns = X[340:].copy(), np.random.default_rng(3).integers(0, X.shape[1], len(X) - 340)
    wrong[np.arange(len(wrong)), columns] += 10 * X.std(0)[columns]
    by_error = detector.contributions(wrong).argmax(1) == columns
    blamed = np.array([found[0].feature for found in detector.attributions(wrong)]) == columns
    assert blamed.mean() > 0.97 > by_error.mean()


def test_a_network_that_copies_blames_the_extreme_value_too() -> None:
    """It expects every value that it is given, so that nothing changes if a value is replaced by the expected one."""
    table = pd.DataFrame(rows(300), columns=NAMES).assign(kind=np.where(rows(300)[:, 0] > 0, "one", "two"))
    copying = recipes.linear(8).set_params(kinds={"kind": "category"}, likelihood="auto", epochs=30, random_state=0)
    detector = OutlierDetector(copying, random_state=0).fit(table[:250])
    for name in NAMES:
        wrong = table[250:].copy()
        wrong[name] = wrong[name] + 12 * wrong[name].std()
        blamed = [found[0].feature for found in detector.attributions(wrong, n=1)]
        assert blamed.count(name) >= 45, (name, blamed)


def test_missing_values_have_no_attribution() -> None:
    table = pd.DataFrame(rows(500), columns=NAMES).mask(np.random.default_rng(4).random((500, 6)) < 0.1)
    detector = OutlierDetector(quick(epochs=25, missing="allow"), random_state=0).fit(table[:400])
    assert detector.__sklearn_tags__().input_tags.allow_nan
    new = table[400:].copy()
    rate = (detector.predict(new) == -1).mean()
    assert rate <= 0.05 + 3 * np.sqrt(0.05 * 0.95 * (1 / 80 + 1 / 100)), rate
    new.iloc[:, 2] = new.iloc[:, 2] + 8 * new.iloc[:, 2].std()
    seen = new.iloc[:, 2].notna().to_numpy()
    assert (detector.predict(new)[seen] == -1).mean() > 0.9
    blamed = np.array([found[0].feature for found in detector.attributions(new)]) == NAMES[2]
    assert blamed[seen].mean() > 0.8
    assert not blamed[~seen].any()
    new.iloc[0] = np.nan  # of which nothing is known
    assert np.isfinite(detector.score_samples(new)).all()


def test_missing_values_require_an_autoencoder_that_allows_them() -> None:
    X = rows(100)
    X[3, 1] = np.nan
    with pytest.raises(DataError, match="row 3, column 1"):
        OutlierDetector(quick(), random_state=0).fit(X)


def test_contributions_are_about_one_on_held_out_examples(linear: Autoencoder) -> None:
    X = rows(100, 5)
    detector = OutlierDetector.from_fitted(linear, X, random_state=0)
    np.testing.assert_allclose(detector.contributions(X).mean(0), 1, rtol=0.01)
    scaled = (linear.reconstruct(X) - X) / linear.model_.scale.numpy()
    np.testing.assert_allclose(squared_errors(linear, X), scaled**2, rtol=1e-4, atol=1e-9)


def test_attributions_of_images_are_pixel_positions() -> None:
    random = np.random.default_rng(0)
    X = np.broadcast_to(random.random((60, 1, 1)), (60, 4, 5)) + 0.01 * random.random((60, 4, 5))
    detector = OutlierDetector(quick(), random_state=0, false_alarm_rate=0.2).fit(X)
    wrong = X[:1].copy()
    wrong[0, 2, 3] += 1
    assert detector.attributions(wrong)[0][0].feature == (2, 3)


def test_a_frozen_autoencoder_is_unchanged(linear: Autoencoder) -> None:
    before, state = copy.deepcopy(linear.model_.state_dict()), copy.deepcopy(linear.get_params())
    detector = OutlierDetector.from_fitted(linear, rows(100, 5), random_state=0)
    detector.predict(rows(20, 6)), detector.attributions(rows(3, 6))
    assert detector.autoencoder_ is linear
    assert linear.get_params() == state
    assert all(torch.equal(value, before[name]) for name, value in linear.model_.state_dict().items())
    same = OutlierDetector(FrozenEstimator(linear), random_state=0).fit(rows(100, 5))
    np.testing.assert_array_equal(same.score_samples(rows(9, 6)), detector.score_samples(rows(9, 6)))


def test_the_given_autoencoder_is_cloned_and_global_random_generators_are_unchanged() -> None:
    given, X = quick(random_state=None), rows(60)
    np.random.seed(3)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    one, two = (OutlierDetector(given, random_state=1, false_alarm_rate=0.2).fit(X) for _ in range(2))
    assert not hasattr(given, "model_")
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("measure", ["ensemble", "neighbors", "combined", "code", "error", "standardized", "nats"])
def test_each_anomaly_score_is_bit_identical_in_any_grouping(linear: Autoencoder, measure: Any) -> None:
    detector = OutlierDetector.from_fitted(linear, rows(100, 5), anomaly_score=measure, random_state=0)
    X = rows(300, 6)
    whole = detector.score_samples(X)
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(np.concatenate([detector.score_samples(part) for part in (X[:7], X[7:])]), whole)
    far = detector.score_samples(X + 30)
    assert far.max() < whole.min()


def test_the_densities_are_densities() -> None:
    random = np.random.default_rng(0)
    errors = random.gamma(3.0, 0.5, 5000)
    known = ErrorDensity.fit(errors, 100)
    u = np.array([0.3, 1.0, 2.5])
    expected = -stats.gamma(known.shape, scale=1 / known.shape).logpdf(u)
    np.testing.assert_allclose(known.nll(u * known.mean), expected, rtol=1e-9)
    assert known.shape == pytest.approx(3, rel=0.1)
    codes = random.normal(size=(5000, 2)) @ np.array([[3.0, 1.0], [0.0, 0.5]])
    density = CodeDensity.fit(codes, 0)
    positions = np.array([[0.0, 0.0], [3.0, 1.0], [-9.0, 0.0]])
    apart = density.nll(positions) - density.nll(positions[:1])
    normal = stats.multivariate_normal(np.zeros(2), np.cov(codes.T))
    np.testing.assert_allclose(apart[1], normal.logpdf(positions[0]) - normal.logpdf(positions[1]), atol=0.3)
    assert apart[2] > 10


def test_the_combined_score_is_the_sum_of_its_parts(linear: Autoencoder) -> None:
    X = rows(50, 6)
    scores = {
        m: Scorer.fit(linear, m, rows(90, 5), rows(90, 5), 0)(linear, X)  # type: ignore[arg-type]
        for m in ("combined", "code", "standardized")
    }
    np.testing.assert_allclose(scores["combined"], scores["code"] + scores["standardized"])


def test_parameters_nest_and_grid_search_works() -> None:
    detector = OutlierDetector().set_params(autoencoder__epochs=2, autoencoder__architecture=MLP((4,)))
    assert detector.autoencoder.epochs == 2
    X, y = np.concatenate([rows(80), rows(20, 1) * 5]), np.repeat([1, -1], [80, 20])
    search = GridSearchCV(
        OutlierDetector(quick(epochs=2), false_alarm_rate=0.3, random_state=0),
        {"autoencoder__bottleneck__size": [1, 2]},
        cv=StratifiedKFold(2),
        scoring="roc_auc",
    )
    assert search.fit(X, y).best_params_["autoencoder__bottleneck__size"] in {1, 2}
    assert clone(search.best_estimator_).autoencoder.bottleneck.size in {1, 2}


def test_the_default_autoencoder_begins_with_pca_for_tables_of_numbers_alone(tmp_path: Path) -> None:
    X = rows(10)
    with_categories = pd.DataFrame(X, columns=NAMES).assign(kind=pd.Categorical(list("abcbaabcba")))
    images = (9 * X).astype(np.uint8).reshape(10, 3, 2)
    given = Autoencoder(epochs=1)
    cases: Any = ("auto", X), ("auto", with_categories), ("auto", images), (given, X)
    fitted = [OutlierDetector(ae, random_state=0, false_alarm_rate=0.5).fit(examples) for ae, examples in cases]
    fitted += [OutlierDetector(anomaly_score="error", random_state=0, false_alarm_rate=0.5).fit(X)]
    found = [detector.autoencoder_.architecture_ for detector in fitted]
    assert found == [LinearSkip(), MLP(), MLP(), MLP(), MLP()]
    fitted[0].save(tmp_path / "detector")
    again = load(tmp_path / "detector")
    assert (again.autoencoder, again.autoencoder_.architecture_) == ("auto", LinearSkip())
    np.testing.assert_array_equal(again.score_samples(X), fitted[0].score_samples(X))


def test_invalid_parameters_raise_one_sentence(linear: Autoencoder) -> None:
    X = rows(60)
    with pytest.raises(RecordError, match="both set the threshold"):
        OutlierDetector(contamination=0.1, false_alarm_rate=0.1).fit(X)
    with pytest.raises(ValueError, match="'autoencoder' parameter"):
        OutlierDetector(5).fit(X)
    with pytest.raises(RecordError, match="no autoencoder"):
        OutlierDetector(FrozenEstimator(LocalOutlierFactor())).fit(X)
    with pytest.raises(DataError, match="minimum of 5"):
        OutlierDetector().fit(X[:4])
    with pytest.raises(DataError, match="expecting 6 features"):
        OutlierDetector.from_fitted(linear, X[:, :5])
    with pytest.raises(RecordError, match="expected a positive integer, the number of features"):
        OutlierDetector.from_fitted(linear, X, false_alarm_rate=0.2).attributions(X, n=0)
    with pytest.warns(IsthmusWarning, match="12 calibration examples are too few .* at least 99 are required"):
        detector = OutlierDetector.from_fitted(linear, X, false_alarm_rate=0.01)
    assert (detector.predict(X) == 1).all()


def test_unusual_data_are_scored() -> None:
    for X in (
        np.full((30, 4), 2.5),
        rows(30)[:, :1],
        np.random.default_rng(0).integers(0, 255, (30, 5, 5, 3), np.uint8),
    ):
        detector = OutlierDetector(quick(epochs=1), false_alarm_rate=0.2, random_state=0).fit(X)
        assert np.isfinite(detector.score_samples(X)).all()
        assert np.isfinite(detector.contributions(X)).all()
    maps = quick(architecture=Conv((4,), code="map"), epochs=1).fit(np.random.default_rng(0).random((30, 8, 8)))
    detector = OutlierDetector.from_fitted(
        maps, np.random.default_rng(1).random((60, 8, 8)), random_state=0, false_alarm_rate=0.2
    )
    assert np.isfinite(detector.score_samples(np.random.default_rng(2).random((1, 8, 8)))).all()


def test_the_most_anomalous_example_is_drawn_first() -> None:
    X = np.random.default_rng(0).random((60, 6, 7)) * 0.1
    detector = OutlierDetector(quick(epochs=1), random_state=0, false_alarm_rate=0.2).fit(X)
    X[17, 3, 2] = 9
    found = detect(detector, X, n_shown=3)
    figure = plots.anomalies(found)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert len(labels) == 6
    assert labels[0].startswith("row 17\n")
    assert png(figure) == png(plots.anomalies(detect(detector, X, n_shown=3)))
    scores = plots.anomaly_scores(found)
    assert f"{(detector.predict(X) == -1).sum()} are above the threshold" in scores.get_label()


@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")  # these are in other units, it says
def test_a_result_keeps_each_extreme_example_once_however_far_away_it_is() -> None:
    X = rows(60)
    detector = OutlierDetector(quick(epochs=1), random_state=0, false_alarm_rate=0.2).fit(X)
    X[7, 2] = 1e30  # the autoencoder alone refuses such an example
    found = detect(detector, X[5:10])
    assert found.extremes.rows[0] == 2
    assert sorted(found.extremes.rows) == [0, 1, 2, 3, 4]
    assert found.extremes.n_anomalous == 3
    assert np.isfinite(found.extremes.reconstructions).all()
    np.testing.assert_array_equal(found.extremes.originals, X[5:10][found.extremes.rows])
    with pytest.raises(RecordError, match=r"OutlierDetector\.from_fitted"):
        detect(detector.autoencoder_, X)  # type: ignore[arg-type]
    for wrong in (0, 2.5, "3"):
        with pytest.raises(RecordError, match=f"n_shown={wrong!r}"):
            detect(detector, X, n_shown=wrong)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detect")
    pd.DataFrame(rows(500), columns=NAMES).to_csv(folder / "x.csv", index=False)
    wrong = pd.DataFrame(rows(30, 1), columns=NAMES)
    wrong.loc[4, "=up"] += 6 * wrong["=up"].std()
    wrong.to_csv(folder / "new.csv", index=False)
    words = ("bottleneck.size=2", "architecture.hidden=16", "epochs=20", "--data", "x.csv", "--out", "r")
    done = run("train", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_of_many_examples_the_anomalous_ones_have_attributions(linear: Autoencoder) -> None:
    detector = OutlierDetector.from_fitted(linear, rows(300, 5), random_state=0)
    X = np.concatenate([rows(1_000, 6), rows(6, 7) + 9 * np.eye(6)])
    found, few = detect(detector, X), detect(detector, X[500:])
    assert few.explained == len(few.scores) == 506
    assert 6 <= found.explained == found.anomalous < 200
    assert [bool(each) for each in found.attributions] == found.alarms.tolist()
    assert found.attributions[-6:] == few.attributions[-6:]
    header, *lines = found.lines()
    assert {len(line) for line in lines} == {len(header)}
    assert [bool(line[-1]) for line in lines] == found.alarms.tolist()
    np.testing.assert_array_equal(found.p_values, detector.p_values(X))


@pytest.mark.filterwarnings("ignore:.*far outside")
def test_many_anomalous_examples_are_explained_in_parts(linear: Autoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """All examples of a memory map may be anomalous: they are never in memory at once."""
    explain, sizes = OutlierDetector.attributions, list[int]()

    def counting(self: OutlierDetector, X: Any, n: int) -> Any:
        sizes.append(len(X))
        return explain(self, X, n)

    monkeypatch.setattr(detection_result, "BLOCK", 6 * 300, raising=False)
    monkeypatch.setattr(OutlierDetector, "attributions", counting)
    detector = OutlierDetector.from_fitted(linear, rows(300, 5), random_state=0)
    X = rows(1_001, 6) + 50
    found = detect(detector, X)
    assert sizes == [300, 300, 300, 101]
    assert found.attributions == explain(detector, X, 3)


def test_columns_without_names_have_no_values_in_detections() -> None:
    X = np.c_[rows(40)[:, :2], np.arange(40) % 3]
    ae = Autoencoder(2, architecture=MLP((8,)), scaling=Columns((0, 0, 3)), epochs=1)
    found = detect(OutlierDetector(ae, random_state=0, false_alarm_rate=0.2).fit(X), X)
    assert found.values == []
    assert found.lines()[0][4:6] == ["feature_1", "share_1"]


def test_detect_names_the_row_and_the_column(table_run: Path) -> None:
    done = run("detect", "r", "--data", "new.csv", cwd=table_run)
    assert done.returncode == 0, done.stderr
    assert "probability of at most 0.03846, calibrated on 25 held-out examples" in done.stdout
    with open(table_run / "anomalies.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 30
    assert (lines[4]["verdict"], lines[4]["row"]) == ("anomalous", "4")
    assert "'=up" in {lines[4][f"feature_{i}"] for i in (1, 2, 3)}  # as text: a spreadsheet would run =up
    as_json = json.loads(run("detect", "r", "--data", "new.csv", "--json", cwd=table_run).stdout)
    top = as_json["most_anomalous"][0]
    assert (top["row"], top["anomalous"]) == (4, True)
    assert "=up" in {cause["feature"] for cause in top["attributions"]}
    assert as_json["anomalous"] == sum(line["verdict"] == "anomalous" for line in lines)


def test_detect_draws_figures(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((300, 6, 6)).astype(np.float32))
    words = ("bottleneck.size=2", "architecture.hidden=16", "epochs=1", "--data", "x.npy", "--out", "r")
    assert run("train", *words, cwd=tmp_path).returncode == 0
    done = run("detect", "r", "-d", "x.npy", "--contamination", "0.1", "--out", "a.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


WRONG = {
    ("detect", "r"): (2, "--data is missing"),
    ("detect", "r", "-d", "new.csv", "--out", "a.txt"): (2, ".csv"),
    ("detect", "r", "-d", "new.csv", "--out", "no/a.csv"): (1, "no"),
    ("detect", "r", "-d", "new.csv", "--false-alarm-rate", "2"): (2, "false_alarm_rate"),
    ("detect", "r", "-d", "new.csv", "--false-alarm-rate", "0.1", "--contamination", "0.1"): (
        2,
        "both set the threshold",
    ),
    ("detect", "r", "-d", "digits"): (1, "shape"),
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_an_invalid_detect_command_prints_one_sentence(words: tuple[str, ...], table_run: Path) -> None:
    done = run(*words, cwd=table_run)
    code, word = WRONG[words]
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert word in done.stderr


def test_the_default_standardizes_so_that_columns_count_equally() -> None:
    X = rows(300) * [1, 1, 1, 1, 1, 1e6]
    ae = quick(likelihood=Normal(), scaling=Standard()).fit(X[:200])
    wrong = X[200:220].copy()
    wrong[:, 0] += 6 * X[:, 0].std()
    attributions = OutlierDetector.from_fitted(ae, X[200:], random_state=0).attributions(wrong)
    assert sum(found[0].feature == 0 for found in attributions) >= 14


def verdicts_of(path: Path) -> list[str]:
    """What a table of detection says of each row."""
    with path.open(newline="") as file:
        return [row["verdict"] for row in csv.DictReader(file)]


def test_too_few_normal_examples_leave_it_undecided(tmp_path: Path) -> None:
    """Nine calibrating rows cannot keep a rate of 0.05: a row far out is not called normal for that."""
    X, more = np.split(np.random.default_rng(0).normal(size=(360, 4)), 2)
    far = np.vstack([X[:5], [[0, 500, 0, 0]]])
    for name, values in (("x", X), ("far", far), ("more", more)):
        np.savetxt(tmp_path / f"{name}.csv", values, delimiter=",", header="a,b,c,d", comments="")
    words = ("epochs=2", "architecture.hidden=4", "bottleneck.size=2", "-d", "x.csv", "--out", "r")
    assert run("train", "deep", *words, cwd=tmp_path).returncode == 0
    few = run("detect", "r", "-d", "far.csv", "--out", "few.csv", cwd=tmp_path)
    assert (few.returncode, "IsthmusWarning" in few.stderr) == (0, False)
    assert "note: 9 calibration examples are too few" in few.stdout
    assert set(verdicts_of(tmp_path / "few.csv")) == {"undecided"}
    told = json.loads(run("detect", "r", "-d", "far.csv", "--json", cwd=tmp_path).stdout)
    assert (told["anomalous"], told["threshold"]) == (None, None)
    enough = run("detect", "r", "-d", "far.csv", "--normal", "more.csv", "--out", "enough.csv", cwd=tmp_path)
    assert enough.returncode == 0
    assert verdicts_of(tmp_path / "enough.csv")[-1] == "anomalous"


@cache
def trained(missing: Any) -> Any:
    """An autoencoder that several detectors take as it is."""
    return FrozenEstimator(quick(missing=missing).fit(rows(300, 8)))


@pytest.mark.parametrize("measure", ["ensemble", "neighbors", "error", "combined", "standardized", "code"])
def test_examples_that_overflow_are_anomalous(measure: Any) -> None:
    table = rows(300)
    detector = OutlierDetector(trained("error"), anomaly_score=measure, random_state=0).fit(table)
    far = table[:3].astype(np.float32)
    far[1, 2] = -np.finfo(np.float32).max
    assert np.isfinite(detector.score_samples(far)).all()
    assert detector.score_samples(far).argmin() == 1
    assert detector.predict(far)[1] == -1
    assert len(detector.attributions(far)) == 3


@pytest.mark.parametrize("missing", ["error", "allow"])
@pytest.mark.parametrize("measure", ["ensemble", "neighbors", "error", "combined", "standardized", "code", "nats"])
def test_scores_of_extreme_rows_keep_their_order(measure: Any, missing: Any) -> None:
    """However far away: beyond the numbers that the net can compute with, a row ten times as far is more anomalous still."""
    table = rows(300)
    detector = OutlierDetector(trained(missing), anomaly_score=measure, random_state=0).fit(table)
    far = table[:60].copy()  # few of many, which say nothing of units
    far[:9] = far[0]
    far[1:9, 2] = [1e3, 1e9, 1e15, 1e18, 1e30, 1e35, 1e36, 3e38]
    scores = detector.score_samples(far)
    assert np.isfinite(scores).all()
    assert (np.diff(scores[:9]) < 0).all()
    assert detector.predict(far)[1:9].tolist() == [-1] * 8
    np.testing.assert_array_equal(detector.score_samples(far[6:40]), scores[6:40])
    far[7, 3] = -1e35
    assert scores[8] < detector.score_samples(far)[7] < scores[7]
    assert measure == "code" or detector.attributions(far)[6][0].feature == 2


def test_rows_without_any_value_are_not_anomalous() -> None:
    table = rows(300)
    detector = OutlierDetector(trained("allow"), random_state=0).fit(table)
    empty = np.full((1, 6), np.nan)
    assert np.median(detector.score_samples(table)) > detector.score_samples(empty)[0] > detector.offset_
