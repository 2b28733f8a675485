"""Labels learned from codes: scikit-learn's manners for classifiers, and what pre-training is for."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from cases import checks_of, thorough_where
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from test_cli import run as cli

from isthmus import Autoencoder, AutoencoderClassifier, data, finetune
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Gaussian, Identity, VectorQuantized
from isthmus.corruptions import Masking
from isthmus.errors import DataError, RecordError
from isthmus.estimators.classifier_head import Head, Net
from isthmus.optimizers import AdamW, OneCycle
from isthmus.trainable import Batch

FAST = AdamW(1e-2, schedule=OneCycle())


def small(bottleneck: Any = "auto", **choices: Any) -> Autoencoder:
    return Autoencoder(bottleneck, **{"architecture": MLP((16,)), "epochs": 1, "batch_size": 128} | choices)


def quick(autoencoder: Any = None, **choices: Any) -> AutoencoderClassifier:
    return AutoencoderClassifier(autoencoder or small(), **{"epochs": 3, "random_state": 0} | choices)


CHECKS = [
    (classifier, check)
    for precision in ("float32", "float64")
    for classifier, check in checks_of(quick(small(precision=precision), epochs=25, batch_size=64, optimizer=FAST))
]


@pytest.mark.promise(14)
@pytest.mark.parametrize(
    ("estimator", "check"),
    thorough_where(CHECKS, lambda case: case[0].autoencoder.precision == "float64"),
    ids=[f"{c.autoencoder.precision}-{getattr(check, 'func', check).__name__}" for c, check in CHECKS],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_checks(estimator: AutoencoderClassifier, check: Any) -> None:
    check(estimator)


@pytest.mark.promise(14)
@pytest.mark.parametrize("name", ["check_param_validation", "check_dataframe_column_names_consistency"])
def test_scikit_learns_further_checks(name: str) -> None:
    getattr(estimator_checks, name)("AutoencoderClassifier", quick())


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    """The small digits as rows, and their labels as words."""
    digits = data.digits()
    assert digits.train_labels is not None
    return digits.train[:400].reshape(400, -1), np.array([f"digit {label}" for label in digits.train_labels[:400]])


@pytest.fixture(scope="module")
def learned(table: tuple[np.ndarray, np.ndarray]) -> Autoencoder:
    """An autoencoder that has seen the digits without their labels."""
    return small(Identity(12), epochs=20, batch_size=32, random_state=0, optimizer=FAST).fit(table[0])


def bits(ae: Autoencoder) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in ae.model_.state_dict().items()}


def same(ae: Autoencoder, before: dict[str, torch.Tensor], part: str = "") -> bool:
    now = ae.model_.state_dict()
    return all(torch.equal(now[name], value) for name, value in before.items() if name.startswith(part))


def test_parameters_within_parameters_are_set() -> None:
    classifier = quick(small(Identity(4))).set_params(autoencoder__bottleneck__size=3, autoencoder__epochs=7)
    assert (classifier.autoencoder.bottleneck, classifier.autoencoder.epochs) == (Identity(3), 7)


def test_the_frozen_classifier_is_logistic_regression_on_codes(rng: np.random.Generator) -> None:
    """Three labels that overlap, so that there is an optimum: scikit-learn finds the same one."""
    X = rng.normal(size=(240, 3))
    y = (X + rng.normal(size=X.shape)).argmax(1)
    ae = small(Identity(3), random_state=0, precision="float64").fit(X)
    choices = {"epochs": 300, "batch_size": 240, "optimizer": AdamW(0.1, weight_decay=0.0, schedule=OneCycle())}
    ours = AutoencoderClassifier(ae, frozen=True, random_state=0, **choices).fit(X, y)
    other = LogisticRegression(C=1e6, max_iter=5000, tol=1e-8).fit(ae.transform(X), y)
    np.testing.assert_allclose(ours.predict_proba(X), other.predict_proba(ae.transform(X)), atol=1e-4)


def test_a_step_is_along_the_gradient_of_the_cross_entropy() -> None:
    """Against the closed form (p - e_y) z of a linear softmax, and no gradient for the decoder."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 2])
    ae = small(Identity(2), precision="float64", random_state=0).fit(X)
    head = Head(ae.transform(X), 3, torch.float64)
    torch.nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(0))
    net = Net(ae.model_, head)
    x, target = net.normalize(torch.from_numpy(X)), torch.from_numpy(y)
    ae.model_.zero_grad()
    losses = net(Batch(x, target), torch.Generator())
    losses.total.sum().backward()
    codes = ae.transform(X)
    z = (codes - codes.mean(0)) / np.sqrt(((codes - codes.mean(0)) ** 2).mean())
    logits = z @ head.linear.weight.detach().numpy().T
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(losses.nll.detach(), -np.log(p[np.arange(6), y]), rtol=1e-9)
    np.testing.assert_allclose(head.linear.weight.grad, (p - np.eye(3)[y]).T @ z, rtol=1e-7, atol=1e-9)
    assert all(parameter.grad is not None for parameter in ae.model_.encoder.parameters())
    assert all(parameter.grad is None for parameter in ae.model_.decoder.parameters())


@pytest.mark.parametrize("frozen", [True, False])
def test_the_given_autoencoder_is_not_changed(frozen: bool, table: Any, learned: Autoencoder) -> None:
    before = bits(learned)
    classifier = quick(learned, frozen=frozen).fit(*table)
    assert same(learned, before)
    assert same(classifier.autoencoder_, before, "decoder")
    assert same(classifier.autoencoder_, before, "encoder") == frozen
    assert np.array_equal(classifier.autoencoder_.transform(table[0]), learned.transform(table[0])) == frozen


def test_probabilities_sum_to_one_and_agree(table: Any, learned: Autoencoder) -> None:
    X, y = table
    classifier = finetune(learned, X, y, epochs=5, random_state=0)
    p = classifier.predict_proba(X)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.log(p), classifier.predict_log_proba(X), rtol=1e-9, atol=1e-12)
    assert classifier.classes_.tolist() == sorted(set(y))
    np.testing.assert_array_equal(classifier.predict(X), classifier.classes_[p.argmax(1)])
    assert classifier.score(X, y) == (classifier.predict(X) == y).mean() > 0.8
    scores = classifier.decision_function(X)
    np.testing.assert_allclose(np.diff(scores, axis=1), np.diff(np.log(p), axis=1), atol=1e-4)


@pytest.mark.parametrize("labels", [["a", "b"], [-1, 1], [False, True], [3, 10**12]], ids=repr)
def test_two_labels_of_any_kind(labels: list[Any], table: Any, learned: Autoencoder) -> None:
    """-1 is a label as any other."""
    X, y = table[0], np.array(labels)[(table[1] < "digit 5").astype(int)]
    classifier = quick(learned, optimizer=FAST, epochs=10).fit(X, y)
    second = classifier.predict_proba(X)[:, 1]
    assert classifier.decision_function(X).shape == (400,)
    np.testing.assert_array_equal(classifier.decision_function(X) > 0, second > 0.5)
    assert classifier.predict(X).dtype == y.dtype
    assert classifier.score(X, y) > 0.8


def test_a_class_with_one_example_is_learned(table: Any, learned: Autoencoder) -> None:
    X, y = table[0].copy(), table[1].astype(object)  # or numpy cuts the words
    X[7], y[7] = 1 - X[7], "the only one"
    classifier = quick(learned, frozen=True, epochs=60, optimizer=FAST).fit(X, y)
    assert classifier.predict(X[7:8]).tolist() == ["the only one"]


@pytest.mark.promise(9)
def test_the_same_random_state_gives_bit_identical_weights(table: Any) -> None:
    X, y = table
    world = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    one, two, other = (
        quick(small(Gaussian(4)), corruption=Masking(0.3), random_state=seed).fit(X[:100], y[:100])
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one.predict_log_proba(X), two.predict_log_proba(X))
    assert not np.array_equal(one.predict_log_proba(X), other.predict_log_proba(X))
    assert torch.equal(torch.random.get_rng_state(), world[0])
    np.testing.assert_array_equal(np.random.get_state()[1], world[1])


@pytest.mark.promise(15)
@pytest.mark.parametrize(
    "choices",
    [
        {"architecture": Conv((4,), code="map", up="transpose"), "bottleneck": VectorQuantized(2, codebook_size=8)},
        {"architecture": Conv((4,)), "bottleneck": Gaussian(5)},
        {"architecture": MLP((64,)), "bottleneck": Identity(5)},
    ],
    ids=repr,
)
def test_predictions_are_bit_identical_for_every_grouping_of_rows(choices: dict[str, Any]) -> None:
    digits = data.digits()
    classifier = quick(small(**choices)).fit(digits.train[:64], digits.train_labels[:64])  # type: ignore[index]
    X, order = digits.train[:150], np.random.default_rng(0).permutation(150)
    for method in (classifier.predict_proba, classifier.predict_log_proba, classifier.decision_function):
        whole = method(X)
        np.testing.assert_array_equal(method(X[order]), whole[order])
        np.testing.assert_array_equal(np.concatenate([method(X[:1]), method(X[1:37]), method(X[37:])]), whole)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))], ids=["copy", "pickle"])
def test_copies_predict_the_same(again: Any, table: Any, learned: Autoencoder) -> None:
    classifier = quick(learned).fit(*table)
    other = again(classifier)
    np.testing.assert_array_equal(other.predict_log_proba(table[0]), classifier.predict_log_proba(table[0]))
    assert other.net_.model is other.autoencoder_.model_


def test_pretraining_on_unlabeled_examples_improves_accuracy_with_few_labels(table: Any) -> None:
    """Thirty labels, the same net each time: on codes of all the digits, and from drawn weights."""
    digits = data.digits()
    X, y, pool = digits.train.reshape(-1, 64), digits.train_labels, small(Identity(12), architecture=MLP((64,)))
    assert y is not None
    pool.set_params(epochs=8, batch_size=64, optimizer=FAST, random_state=0)
    few = np.concatenate([np.flatnonzero(y == label)[:3] for label in range(10)])
    Z, labels = digits.test.reshape(-1, 64), digits.test_labels
    both = AutoencoderClassifier(pool, random_state=0, epochs=30).fit(X[few], y[few], unlabeled=X)
    drawn = AutoencoderClassifier(pool, random_state=0, epochs=30, pretrain=False).fit(X[few], y[few])
    assert both.score(Z, labels) > drawn.score(Z, labels) + 0.05
    fitted = finetune(clone(pool).fit(np.concatenate([X[few], X])), X[few], y[few], epochs=30, random_state=0)
    np.testing.assert_array_equal(fitted.predict_proba(Z), both.predict_proba(Z))


def test_an_unfitted_autoencoder_is_pretrained(table: Any) -> None:
    X, y = table
    pool = small(Identity(3), random_state=5)
    classifier = quick(pool, frozen=True).fit(X, y)
    assert not hasattr(pool, "model_")
    np.testing.assert_array_equal(classifier.autoencoder_.transform(X), clone(pool).fit(X).transform(X))
    drawn = quick(pool, frozen=True, pretrain=False).fit(X, y)
    np.testing.assert_array_equal(drawn.autoencoder_.transform(X), clone(pool).initialize(X).transform(X))
    assert drawn.autoencoder_.history_ == ()


def test_clones_are_unfitted_unless_frozen(table: Any, learned: Autoencoder) -> None:
    forgetful, kept = clone(quick(learned)), clone(quick(FrozenEstimator(learned)))
    assert not hasattr(forgetful.autoencoder, "model_")
    kept.set_params(frozen=True).fit(*table)
    np.testing.assert_array_equal(kept.autoencoder_.transform(table[0]), learned.transform(table[0]))
    scores = cross_val_score(quick(FrozenEstimator(learned), epochs=20, optimizer=FAST), *table, cv=2)
    assert scores.min() > 0.7


def test_training_of_the_softmax_and_of_all_weights_is_in_the_history(
    table: Any, learned: Autoencoder, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier = quick(learned, verbose=1).fit(*table)
    assert [report.epoch for report in classifier.history_] == [1, 2, 3, 4, 5, 6]
    assert classifier.history_[0].loss < np.log(10)
    assert 0 < classifier.history_[-1].stats["accuracy"] <= 1
    said = capsys.readouterr().err
    assert "softmax: epoch 3, loss" in said
    assert "all: epoch 6, loss" in said
    assert len(quick(learned, frozen=True).fit(*table).history_) == 3


def test_grid_search_reaches_into_the_autoencoder_and_the_optimizer(table: Any) -> None:
    X, y = table
    grid = {"autoencoder__bottleneck__size": [1, 12], "optimizer__lr": [1e-2]}
    search = GridSearchCV(quick(small(Identity(1)), optimizer=FAST, epochs=15, frozen=True), grid, cv=2).fit(X, y)
    assert search.best_params_["autoencoder__bottleneck__size"] == 12


def test_codes_in_a_pipeline_are_searched_over(table: Any) -> None:
    X, y = table
    pipe = make_pipeline(small(Identity(1), epochs=10, batch_size=32, random_state=0), LogisticRegression(max_iter=500))
    search = GridSearchCV(pipe, {"autoencoder__bottleneck__size": [1, 16]}, cv=2).fit(X, y)
    assert search.best_params_ == {"autoencoder__bottleneck__size": 16}
    assert search.best_score_ > 0.7


def test_data_frames_keep_their_names(table: Any) -> None:
    frame = pd.DataFrame(table[0][:, :5], columns=list("abcde"))
    classifier = quick().fit(frame, pd.Series(table[1]), unlabeled=frame)
    assert classifier.feature_names_in_.tolist() == list("abcde")
    with pytest.raises(ValueError, match="order"):
        classifier.predict(frame[list("bacde")])
    assert not hasattr(classifier.fit(*table), "feature_names_in_")


def test_invalid_parameters_raise_one_sentence(table: Any, learned: Autoencoder) -> None:
    X, y = table
    with pytest.raises(DataError, match=r"^y has only one class, 'digit 3': give examples of at least two classes$"):
        quick().fit(X, ["digit 3"] * 400)
    with pytest.raises(ValueError, match="pass one label for each"):
        quick().fit(X, y[:7])
    with pytest.raises(RecordError, match="unlabeled examples are only for an autoencoder"):
        quick(learned).fit(X, y, unlabeled=X)
    with pytest.raises(DataError, match=r"unlabeled examples have shape \(5,\) and labeled ones \(64,\)"):
        quick().fit(X, y, unlabeled=X[:, :5])
    with pytest.raises(DataError, match=r"X has 5 features, but Autoencoder is expecting 64"):
        finetune(learned, X[:, :5], y)
    with pytest.raises(RecordError, match=r"must be an isthmus\.Autoencoder"):
        quick(FrozenEstimator(LogisticRegression())).fit(X, y)
    with pytest.raises(NotFittedError):
        finetune(Autoencoder(), X, y)
    with pytest.raises(ValueError, match="The 'epochs' parameter of AutoencoderClassifier"):
        quick(epochs=0).fit(X, y)


@pytest.mark.thorough
def test_examples_with_missing_values_are_classified(table: Any) -> None:
    X, y = table
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    ae = small(Identity(12), epochs=10, missing="allow").fit(holes)
    classifier = finetune(ae, holes, y, random_state=0)
    assert classifier.score(holes, y) > 0.8
    with pytest.raises(DataError, match="contains NaN"):
        finetune(small(Identity(12), epochs=1).fit(X), holes, y)


@pytest.mark.thorough
def test_the_command_line_trains_and_predicts_labels(tmp_path: Path) -> None:
    train = ("train", "--data", "digits", "epochs=10", "architecture.hidden=64", "bottleneck.size=16", "--out", "run")
    assert cli(*train, cwd=tmp_path).returncode == 0
    done = cli("finetune", "run", "--labeled", "200", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    right = found["accuracies"]
    assert (found["n_learned"], found["n_tested"], found["classes"]) == (200, 360, list(range(10)))
    assert right["fine-tuned"] > right["frozen codes"] > 2 * right["the most frequent label"]
    assert right["fine-tuned"] > right["from scratch"] > 2 * right["the most frequent label"]
    lines = pd.read_csv(tmp_path / "predictions.csv")
    assert list(lines.columns) == ["row", "label", "probability", "truth"]
    assert (lines["label"] == lines["truth"]).mean() == pytest.approx(right["fine-tuned"])
    assert lines["probability"].between(0.1, 1).all()
    np.save(tmp_path / "new.npy", data.digits().test[:7])
    told = cli("finetune", "run", "--labeled", "200", "--predict", "new.npy", "--out", "new.csv", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "from scratch" in told.stdout
    assert pd.read_csv(tmp_path / "new.csv")["label"].tolist() == lines["label"][:7].tolist()
    none = cli("finetune", "run", "--data", "new.npy", cwd=tmp_path)
    assert none.returncode == 1
    assert "new.npy has no labels: give labeled data" in none.stderr
    assert cli("finetune", "run", "--out", "x.txt", cwd=tmp_path).returncode == 2
