"""The distance to the nearest normal examples, and the score that joins it with the error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hostile_files import Header, Tensors, edited, parts
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from test_cli import run
from torch.utils._python_dispatch import TorchDispatchMode

from isthmus import Autoencoder, OutlierDetector, data, load
from isthmus.architectures import MLP, Conditional
from isthmus.bottlenecks import Identity
from isthmus.errors import DataError
from isthmus.estimators.neighbors import (
    MAX_REFERENCES,
    NeighborDistance,
    TableScore,
    TailProbability,
    choose_references,
)

Array = NDArray[Any]


def standard(n: int, d: int = 4, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(n, d))


def everything(x: Array) -> Array:
    return np.ones(x.shape, bool)


def quick(**choices: Any) -> Autoencoder:
    return Autoencoder(Identity(2), architecture=MLP((16,)), epochs=10, random_state=0, **choices)


def test_the_distance_is_that_of_scikit_learn() -> None:
    rows, x = standard(60).astype(np.float32), standard(40, seed=1)
    distance = NeighborDistance.fit(rows)
    scale = rows.std(0, dtype=np.float64)
    expected = NearestNeighbors(n_neighbors=5).fit(rows / scale).kneighbors(x / scale)[0].mean(1)
    np.testing.assert_allclose(distance(x, everything(x))[0], expected, rtol=1e-6)
    others, mine = NearestNeighbors(n_neighbors=6).fit(rows / scale).kneighbors(rows / scale)[0][:, 1:].mean(1), rows
    np.testing.assert_allclose(distance(mine.astype(np.float64), everything(mine))[0], others, rtol=1e-6)


def test_rows_have_the_same_bits_in_any_batch() -> None:
    distance, x = NeighborDistance.fit(standard(300, 33).astype(np.float32)), standard(64, 33, 1)
    whole = distance(x, everything(x))[0]
    np.testing.assert_array_equal(whole[5:], distance(x[5:], everything(x[5:]))[0])


class Largest(TorchDispatchMode):
    """Keeps the number of bytes of the largest new tensor."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **kwargs or {})
        if isinstance(made, torch.Tensor) and made.untyped_storage().nbytes() == made.nbytes:
            self.largest = max(self.largest, made.nbytes)
        return made


@pytest.mark.thorough  # the mode imports a part of PyTorch that takes seconds
def test_many_features_take_bounded_memory() -> None:
    distance, x = NeighborDistance.fit(standard(8, 40_000).astype(np.float32)), standard(20, 40_000, 1)
    with Largest() as seen:
        whole = distance(x, everything(x))[0]
    assert seen.largest <= 2**25  # bytes; 20 rows with 6 neighbors have 38 million
    np.testing.assert_array_equal(whole[18:], distance(x[18:], everything(x[18:]))[0])


def test_missing_values_do_not_count_and_the_rest_is_scaled() -> None:
    rows, x = np.zeros((8, 4), np.float32), np.full((1, 4), 3.0)
    distance = NeighborDistance(rows, np.ones(4))
    observed = np.array([[True, True, True, False]])
    assert distance(x, everything(x))[0][0] == pytest.approx(6.0)
    assert distance(x, observed)[0][0] == pytest.approx(6.0), "as if the missing value were as far as the others"
    assert np.isnan(distance(x, ~everything(x))[0][0])


def test_an_example_is_not_its_own_neighbor() -> None:
    rows = standard(60).astype(np.float32)
    distance, x = NeighborDistance.fit(rows), rows.astype(np.float64)
    assert distance(x, everything(x))[1].all()
    assert not distance(x + 1e-2, everything(x))[1].any()
    twice = NeighborDistance.fit(np.concatenate([rows, rows[:1]]))
    assert twice(x[:1], everything(x[:1]))[0][0] < distance(x[:1], everything(x[:1]))[0][0], "but that of an equal one"


def test_a_contamination_flags_fitted_and_new_examples_alike() -> None:
    X, new = standard(600), standard(600, seed=1)
    detector = OutlierDetector(quick(), contamination=0.1, random_state=0)
    assert (detector.fit_predict(X) < 0).mean() == pytest.approx(0.1, abs=0.01)
    assert (detector.predict(new) < 0).mean() == pytest.approx(0.1, abs=0.05)


def test_a_common_offset_does_not_hide_the_nearest() -> None:
    rows, x = ((standard(200, 6, seed) + 2.0**20).astype(np.float32) for seed in (0, 1))
    distance, moved = NeighborDistance(rows, np.ones(6)), x.astype(np.float64) + 0.03  # equal to none
    expected = NearestNeighbors(n_neighbors=5, algorithm="kd_tree").fit(rows.astype(np.float64)).kneighbors(moved)[0]
    np.testing.assert_allclose(distance(moved, everything(moved))[0], expected.mean(1), rtol=1e-7)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_references_are_enough(n: int) -> None:
    distance = NeighborDistance.fit(standard(n).astype(np.float32))
    assert np.isfinite(distance(standard(3), everything(standard(3)))[0]).all()
    score = TableScore.fit(distance.references, np.ones(n))
    assert np.isfinite(score(standard(3), everything(standard(3)), np.ones(3))).all()


def test_references_are_bounded_and_of_all_rows() -> None:
    first, second = choose_references([MAX_REFERENCES, 2 * MAX_REFERENCES], 3, 0)
    assert len(first) + len(second) == MAX_REFERENCES
    assert abs(len(first) / MAX_REFERENCES - 1 / 3) < 0.02
    assert (len(np.unique(first)), len(np.unique(second))) == (len(first), len(second))
    assert abs(second.mean() / MAX_REFERENCES - 1) < 0.03
    assert [each.tolist() for each in choose_references([2, 3], 3, 0)] == [[0, 1], [0, 1, 2]]
    (wide,) = choose_references([3000], 2**20, 0)
    assert 0 < len(wide) < 20, "examples of a million values"


def test_references_of_a_frozen_autoencoder() -> None:
    train, normal, far = standard(300), standard(60, seed=1), standard(20, seed=2) + 1
    ae = quick().fit(train)
    few = OutlierDetector.from_fitted(ae, normal, random_state=0, calibration_fraction=0.5)
    many = OutlierDetector.from_fitted(ae, normal, references=train, random_state=0, calibration_fraction=0.5)
    assert (few.n_references_, many.n_references_) == (30, 330)
    assert many.calibration_scores_.shape == few.calibration_scores_.shape == (30,)
    assert (many.score_samples(train) > many.score_samples(train + 3)).all()
    assert not np.array_equal(few.score_samples(far), many.score_samples(far))
    error = {"anomaly_score": "error", "random_state": 0, "calibration_fraction": 0.5}
    one, other = (OutlierDetector.from_fitted(ae, normal, references=each, **error) for each in (None, train))
    np.testing.assert_array_equal(one.score_samples(far), other.score_samples(far))
    with pytest.raises(DataError, match="references has the examples of X"):
        OutlierDetector.from_fitted(ae, normal, references=np.concatenate([train, normal]), random_state=0)


def test_a_rare_category_is_farther_than_a_frequent_one() -> None:
    """Indicators of 99 and of 50 %: the other value of the first is the more unusual one, up to a bound."""
    rows = np.stack([np.arange(100) == 0, np.arange(100) % 2 == 0], 1).astype(np.float32)
    distance = NeighborDistance.fit(rows)
    assert distance.deviations[0] < distance.deviations[1]
    assert distance.deviations.min() >= 0.2 * np.sqrt(rows.var(0).mean()) * (1 - 1e-12)


def test_a_constant_feature_keeps_its_unit() -> None:
    rows = np.concatenate([np.full((50, 90), 3.0), standard(50)], 1).astype(np.float32)
    deviations = NeighborDistance.fit(rows).deviations
    np.testing.assert_array_equal(deviations[:90], 1)
    np.testing.assert_allclose(deviations[90:], rows[:, 90:].std(0, dtype=np.float64))


def test_an_equal_example_in_double_precision_is_its_own_neighbor() -> None:
    x = standard(60)
    distance = NeighborDistance.fit(x.astype(np.float32))
    assert distance(x, everything(x))[1].all(), "references are in single precision"


def test_tail_probabilities_are_shares_of_references() -> None:
    rows, x = np.round(standard(30, 3), 1).astype(np.float32), np.round(standard(20, 3, 1), 1).astype(np.float32)
    own, tails = np.arange(20) % 2 == 0, TailProbability.fit(NeighborDistance.fit(rows))
    x[own] = rows[:10]
    observed = np.random.default_rng(2).random(x.shape) < 0.7
    observed[:, 0] = True
    for number in range(20):
        n, seen = 30 - own[number], observed[number]
        as_low, as_high = ((rows <= x[number]).sum(0) - own[number], (rows >= x[number]).sum(0) - own[number])
        means = [np.log((n + 1) / (count[seen] + 0.5)).mean() for count in (as_low, as_high)]
        assert tails(x, observed, own)[number] == pytest.approx(np.exp(max(means)))


def test_rounding_moves_no_value_into_a_tail() -> None:
    """A value that most references have, and a constant, in single and in double precision."""
    rows = np.concatenate([np.full((200, 5), 0.1), np.round(standard(200, 5)), np.full((200, 1), 1e3)], 1)
    rows[:20, :5] += 1
    tails = TailProbability.fit(NeighborDistance.fit(rows.astype(np.float32)))
    other = np.concatenate([rows[:, :10] + 1e-7, rows[:, 10:] + 0.05], 1)
    one, two = (tails(each, everything(rows), np.zeros(200, bool)) for each in (rows, other))
    np.testing.assert_array_equal(one, two)


def test_values_that_are_all_a_little_low_are_found() -> None:
    """The class that was learned surrounds the other one, whose distances are those of the usual."""
    rows = standard(400, 10).astype(np.float32)
    x = np.concatenate([standard(100, 10, 1), 0.3 * standard(100, 10, 2) - 0.8])
    anomalous, score = np.arange(200) >= 100, TableScore.fit(rows, np.ones(400))
    assert roc_auc_score(anomalous, score.neighbors(x, everything(x))[0]) < 0.2
    tails = TailProbability.fit(score.neighbors)(x, everything(x), np.zeros(200, bool))
    assert roc_auc_score(anomalous, tails) > 0.9
    without = replace(score, floors=score.floors[:2], centers=score.centers[:2], spreads=score.spreads[:2])
    ranks = [roc_auc_score(anomalous, each(x, everything(x), np.ones(200))) for each in (without, score)]
    assert ranks[1] > ranks[0] + 0.2


def test_the_units_of_distance_and_error_are_irrelevant() -> None:
    rows, errors = standard(200).astype(np.float32), np.random.default_rng(1).gamma(2, size=200)
    x, mine = standard(50, seed=2), np.random.default_rng(3).gamma(2, size=50)
    one = TableScore.fit(rows, errors)(x, everything(x), mine)
    other = TableScore.fit(7 * rows, 1e4 * errors)(7 * x, everything(x), 1e4 * mine)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_the_score_grows_with_distance_and_with_error() -> None:
    score = TableScore.fit(standard(200).astype(np.float32), np.random.default_rng(1).gamma(2, size=200))
    x = np.linspace(0, 9, 10)[:, None] * np.ones((10, 4))
    assert (np.diff(score(x, everything(x), np.ones(10))) > 0).all()
    assert (np.diff(score(np.zeros((10, 4)), everything(x), np.linspace(0, 9, 10))) > 0).all()
    assert np.isnan(score(x[:1], ~everything(x[:1]), np.full(1, np.nan))[0]), "nothing is observed"


def test_what_auto_stands_for() -> None:
    X, labels = standard(100), np.arange(100) % 2
    assert OutlierDetector(quick(), random_state=0).fit(X).anomaly_score_ == "neighbors"
    conditional = OutlierDetector(Autoencoder(2, architecture=Conditional(MLP(())), epochs=1), random_state=0)
    assert conditional.fit(X, labels).anomaly_score_ == "error", "a neighbor may have another label"
    images = data.digits().train[:100]
    assert OutlierDetector(quick(), random_state=0).fit(images).anomaly_score_ == "combined"


def test_far_examples_and_broken_dependencies_are_found() -> None:
    """The center of a ring has no neighbor; a row of a plane with a value of another row has a large error."""
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 200)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    inside = np.concatenate([ring[:100], np.zeros((100, 2))])
    random = np.random.default_rng(1)
    plane = random.normal(size=(200, 2)) @ random.normal(size=(2, 12))
    broken = plane[:200].copy()
    broken[100:, 0] = random.permutation(plane[:100, 0])
    anomalous = np.arange(200) >= 100
    for train, test, size in ((ring, inside, 2), (plane, broken, 2)):
        ae = Autoencoder(Identity(size), architecture=MLP((32,)), epochs=25, random_state=0)
        detector = OutlierDetector(ae, random_state=0).fit(train)
        assert roc_auc_score(anomalous, -detector.score_samples(test)) > 0.9


def test_frames_with_categories_and_gaps() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": random.normal(size=120), "b": random.choice(["x", "y", "z"], 120), "n": random.integers(0, 9, 120)}
    )
    frame.loc[::9, "a"] = np.nan
    detector = OutlierDetector(quick(missing="allow", kinds={"b": "category", "n": "number"}), random_state=0).fit(
        frame
    )
    scores = detector.score_samples(frame)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(detector.score_samples(frame.iloc[7:9]), scores[7:9])


def test_a_file_keeps_the_references(tmp_path: Path) -> None:
    X = standard(100)
    detector = OutlierDetector(quick(), random_state=0).fit(X)
    assert detector.n_references_ == 80, "all but the calibration set"
    assert OutlierDetector(quick(), anomaly_score="error", random_state=0).fit(X).n_references_ == 0
    detector.save(tmp_path / "d")
    np.testing.assert_array_equal(load(tmp_path / "d").score_samples(X), detector.score_samples(X))


def test_a_file_without_tail_probabilities_has_the_scores_of_its_version(tmp_path: Path) -> None:
    X = standard(100)
    detector = OutlierDetector(quick(), contamination=0.1, random_state=0).fit(X)
    detector.save(tmp_path / "d")

    def older(_: Header, tensors: Tensors) -> None:
        tensors["detector.near"] = tensors["detector.near"][:, :2].clone()

    old = load(edited(tmp_path / "d", tmp_path / "old", older))
    near = parts(tmp_path / "d")[1]
    x = old.autoencoder_.model_.normalize(torch.from_numpy(X)).numpy().astype(np.float32)
    references = near["detector.references"].numpy()
    own = (x[:, None] == references).all(-1).any(1)
    floor, center, spread = near["detector.near"][:, 2].tolist()
    term = (
        np.log(TailProbability.fit(NeighborDistance.fit(references))(x, everything(x), own) + floor) - center
    ) / spread
    np.testing.assert_allclose(-3 * old.score_samples(X) + term, -4 * detector.score_samples(X), rtol=1e-5, atol=1e-5)


def test_a_detector_of_a_run_has_its_training_examples_as_references(tmp_path: Path) -> None:
    table = pd.DataFrame(standard(200), columns=list("abcd"))
    table.to_csv(tmp_path / "t.csv", index=False)
    table[:150].to_csv(tmp_path / "other.csv", index=False)
    trained = run("train", "-d", "t.csv", "epochs=2", "--out", "r", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    held_out = 20
    for words in ((), ("--normal", "new.csv")):
        pd.DataFrame(standard(held_out, seed=3), columns=list("abcd")).to_csv(tmp_path / "new.csv", index=False)
        done = run("detect", "r", "-d", "other.csv", "--save", "d", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert load(tmp_path / "d").n_references_ == 180 + held_out // 2
        assert "with its threshold and 190 normal examples" in done.stdout
    (tmp_path / "t.csv").unlink()
    done = run("detect", "r", "-d", "other.csv", "--save", "d", "--normal", "new.csv", cwd=tmp_path)
    assert "scores by distance use the normal examples alone, since those that r was trained on are gone" in done.stdout
    assert load(tmp_path / "d").n_references_ == held_out // 2
