"""What codes know of labels is held against other implementations; labels score, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus import Autoencoder, evaluate
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.errors import DataError
from isthmus.evaluation import Labels, probes

Array = NDArray[Any]


def groups(n: int, seed: int) -> tuple[Array, Array]:
    """A table (n, 8) of three groups that overlap a little, and which is whose."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, n)
    return np.random.default_rng(5).normal(size=(3, 8))[y] * 1.5 + random.normal(size=(n, 8)), y


TRAIN, TRAIN_Y = groups(300, 0)
X, Y = groups(200, 1)
AE = Autoencoder(Identity(3), architecture=MLP((16,)), epochs=10, random_state=0, device="cpu").fit(TRAIN)


def scores(y: Any = Y, train_labels: Any = TRAIN_Y) -> Labels:
    found = evaluate(AE, X, y, train=TRAIN, train_labels=train_labels).labels
    assert found is not None
    return found


def nearest_vote(fitted: Array, y: Array, new: Array) -> Array:
    """The label that most of the five nearest have; the least of those that tie."""
    order = np.argsort(np.linalg.norm(new[:, None] - fitted, axis=2), axis=1)[:, :5]
    return np.array([np.bincount(y[five]).argmax() for five in order])


def views() -> dict[str, tuple[Array, Array]]:
    """Training and test rows of codes, of PCA codes and of the numbers, as the autoencoder scales them."""
    mean, scale = TRAIN.mean(0), AE.model_.scale.numpy(force=True)
    train, test = (TRAIN - mean) / scale, (X - mean) / scale
    axes = np.linalg.svd(train, full_matrices=False)[2][:3]
    return {
        "": (AE.transform(TRAIN), AE.transform(X)),
        "_pca": (train @ axes.T, test @ axes.T),
        "_raw": (train, test),
    }


@pytest.mark.parametrize("view", ["", "_pca", "_raw"])
def test_probes_agree_with_scikit_learn(view: str) -> None:
    train, test = views()[view]
    found = scores()
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, tol=1e-8)).fit(train, TRAIN_Y)
    assert getattr(found, f"linear_probe{view}") == pytest.approx(probe.score(test, Y), abs=0.011)
    assert getattr(found, f"knn{view}") == pytest.approx((nearest_vote(train, TRAIN_Y, test) == Y).mean())
    assert found.linear_probe > 1.5 * found.most_frequent == 1.5 * np.bincount(Y).max() / 200
    assert (found.n_fitted, found.n_scored, found.n_classes) == (300, 200, 3)


def test_clusters_are_assigned_to_classes_optimally() -> None:
    found, told = scores(), KMeans(3, n_init=20, random_state=3).fit_predict(AE.transform(X))
    best = max((np.array(order)[told] == Y).mean() for order in permutations(range(3)))
    assert found.kmeans_accuracy == pytest.approx(best, abs=0.02)
    assert found.nmi == pytest.approx(normalized_mutual_info_score(Y, told), abs=0.03)
    assert found.ari == pytest.approx(adjusted_rand_score(Y, told), abs=0.03)


def test_without_training_labels_no_example_is_its_own_neighbor() -> None:
    known, alone = scores(), scores(train_labels=None)
    assert alone.n_fitted == 0
    assert "5-fold cross-validation" in alone.how()
    assert alone.linear_probe == pytest.approx(known.linear_probe, abs=0.06)
    noise = np.random.default_rng(3).integers(0, 3, 200)
    assert scores(noise, None).knn == pytest.approx(1 / 3, abs=0.12)  # it would be far more of labels it has seen
    assert scores(noise, None).linear_probe == pytest.approx(1 / 3, abs=0.12)


def test_labels_of_any_type_give_the_same_scores() -> None:
    names = np.array(["cat", "dog", "owl"])
    plain = scores()
    assert scores(names[Y], names[TRAIN_Y]) == plain
    assert scores(list(names[Y].astype(object)), names[TRAIN_Y]) == plain
    assert scores(Y.astype(float), TRAIN_Y) == plain


def test_labels_change_nothing_but_the_scores_by_them() -> None:
    one = evaluate(AE, X, Y, train=TRAIN, train_labels=TRAIN_Y)
    other = evaluate(AE, X, Y[::-1], train=TRAIN, train_labels=TRAIN_Y[::-1])
    assert one.labels != other.labels
    rates = {"labels": None, "cost": one.cost}
    assert replace(one, **rates) == replace(other, **rates)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        (X[:, 0], "200 different values, not classes"),
        (np.zeros(200, int), "all labels are the same"),
        (np.arange(200), "200 different labels for 200 examples"),
    ],
    ids=["numbers", "one", "names"],
)
def test_unsuitable_labels_are_ignored_with_a_reason(y: Array, reason: str) -> None:
    result = evaluate(AE, X, y, train=TRAIN)
    assert result.labels is None
    assert reason in result.labels_missing
    few = evaluate(AE, X[:5], Y[:5], train=TRAIN)
    assert "too few" in few.labels_missing
    none = evaluate(AE, X)
    assert (none.labels, none.labels_missing) == (None, "")


def test_training_labels_of_one_class_predict_that_class() -> None:
    assert scores(train_labels=np.full(300, 1)).linear_probe == pytest.approx((Y == 1).mean())
    assert scores(train_labels=np.full(300, 7)).linear_probe == 0  # a label that no scored example has


def test_at_most_the_stated_number_of_examples_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MAX_FITTED", 120)
    monkeypatch.setattr(probes, "MAX_SCORED", 80)
    found = scores()
    assert (found.n_fitted, found.n_scored) == (120, 80)
    assert "fitted on 120 training examples and scored on 80 examples of 3 classes" in found.how()
    assert scores() == found
    monkeypatch.setattr(probes, "_MAX_RAW_VALUES", 100)
    assert scores().linear_probe_raw is None
    assert {row[0]: row[3] for row in scores().rows()}["Linear probe, accuracy"] == "-"


def test_labels_that_do_not_fit_are_named() -> None:
    with pytest.raises(DataError, match=r"y has shape \(3,\), but there are 200 examples"):
        evaluate(AE, X, Y[:3])
    with pytest.raises(DataError, match=r"train_labels has shape \(3,\)"):
        evaluate(AE, X, Y, train=TRAIN, train_labels=Y[:3])
    with pytest.raises(DataError, match="give both"):
        evaluate(AE, X, Y, train_labels=TRAIN_Y)
