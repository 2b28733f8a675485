"""What a training is given besides the examples: targets of their own, and what is known of each example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from isthmus import Autoencoder, data, load
from isthmus.architectures import MLP, Conditional
from isthmus.bottlenecks import Gaussian
from isthmus.errors import DataError, IsthmusWarning
from isthmus.estimators.context import ContextEncoding
from isthmus.likelihoods import Normal
from isthmus.nn.variables import Variables
from isthmus.penalties import ActivationKL, Pass, Penalty, Shapes, Sum, Supervised
from isthmus.priors import VampPrior
from isthmus.records import record
from isthmus.training.batches import InMemorySource, PairedSource, SubsetSource


@record
class Labels(Penalty):
    """Remembers the contexts that it saw."""

    weight: float = 0.0

    @property
    def needs_context(self) -> bool:
        return True

    def variables(self, shapes: Shapes, generator: Generator) -> Variables:
        assert shapes.context is not None
        return Variables(buffers={"seen": torch.zeros(shapes.context)})

    def __call__(self, seen: Pass, variables: Variables, generator: Generator) -> Tensor:
        assert seen.context is not None
        with torch.no_grad():
            variables["seen"].add_(seen.context.nan_to_num().sum(0))
        return 0.0 * seen.h.flatten(1).sum(1)


def quick(**choices: Any) -> Autoencoder:
    return Autoencoder(3, **{"architecture": MLP((16,)), "epochs": 2, "random_state": 0} | choices)


@pytest.fixture(scope="module")
def noisy(digits: data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    clean = digits.train[:300].reshape(300, 64).astype(np.float32)
    return clean + 0.5 * np.random.default_rng(0).normal(size=clean.shape).astype(np.float32), clean


def test_a_target_is_what_is_reconstructed(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    X, clean = noisy
    flipped = X.max() - clean
    ae = quick(epochs=60, likelihood=Normal()).fit(X, target=flipped)
    made = ae.reconstruct(X)
    assert np.square(made - flipped).mean() < 0.5 * np.square(made - clean).mean()
    assert np.square(made - flipped).mean() < np.square(flipped - flipped.mean(0)).mean()


def test_a_target_equal_to_the_examples_changes_no_bit(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    X, _ = noisy
    assert np.array_equal(quick().fit(X).encode(X), quick().fit(X, target=X.copy()).encode(X))


def test_a_target_resumes_to_the_last_bit(noisy: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    X, clean = noisy
    whole = quick().fit(X, target=clean, validation_data=(X[:50], clean[:50]))
    reports = quick().iter_fit(X, target=clean, validation_data=(X[:50], clean[:50]), every=5)
    unfinished = quick()
    for report in unfinished.iter_fit(X, target=clean, validation_data=(X[:50], clean[:50]), every=5):
        if report.step == 15:
            unfinished.checkpoint(tmp_path / "c")
            break
    reports.close()
    again = load(tmp_path / "c")
    with pytest.raises(DataError, match="resuming requires the examples"):
        again.resume(X, target=X, validation_data=(X[:50], clean[:50]))
    again.resume(X, target=clean, validation_data=(X[:50], clean[:50]))
    assert np.array_equal(again.encode(X), whole.encode(X))


def test_a_training_is_resumed_with_its_labels_only(noisy: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    X, y = noisy[0], np.arange(300) % 3
    unfinished = quick(penalty=Supervised(1.0))
    for report in unfinished.iter_fit(X, y, every=5):
        if report.step == 15:
            unfinished.checkpoint(tmp_path / "c")
            break
    with pytest.raises(DataError, match="resuming requires the examples"):
        load(tmp_path / "c").resume(X, y[::-1].copy())
    resumed = load(tmp_path / "c").resume(X, y)
    assert np.array_equal(resumed.encode(X), quick(penalty=Supervised(1.0)).fit(X, y).encode(X))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"target": np.zeros((299, 64))}, "target has shape"),
        ({"target": np.zeros((300, 63))}, "63 features"),
        ({"target": np.zeros((300, 64)), "validation_data": np.zeros((9, 64))}, r"pass the tuple \(X, target\)"),
    ],
)
def test_a_wrong_target_is_one_sentence(
    given: dict[str, Any], sentence: str, noisy: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(DataError, match=sentence):
        quick().fit(noisy[0], **given)


def test_a_penalty_sees_each_label_once_an_epoch(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    y = np.array(["a", "b", "c"])[np.arange(300) % 3]
    ae = quick(penalty=Labels(0.0)).fit(noisy[0], y)
    assert ae.classes_.tolist() == ["a", "b", "c"]
    assert ae.model_.penalty_memory[0]["seen"].tolist() == [200, 200, 200]
    with pytest.raises(DataError, match="requires y"):
        quick(penalty=Labels(0.0)).fit(noisy[0])
    assert np.isfinite(ae.score(noisy[0])), "the penalty is for training alone"


def test_a_sum_of_more_penalties_than_tensors_is_reloaded(noisy: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    ae = quick(penalty=Sum((ActivationKL(0.1),) * 40), epochs=1).fit(noisy[0])
    ae.save(tmp_path / "a")
    assert load(tmp_path / "a").penalty_ == ae.penalty_


def test_pseudo_inputs_have_no_labels(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    y = np.arange(300) % 3
    ae = (
        quick(architecture=Conditional(MLP((8,))))
        .set_params(bottleneck=Gaussian(2, prior=VampPrior(5)))
        .fit(noisy[0], y)
    )
    scores = ae.score_samples(noisy[0], y)
    assert np.isfinite(scores).all()
    assert np.array_equal(ae.score_samples(noisy[0][5:7], y[5:7]), scores[5:7])
    assert not np.array_equal(ae.sample(3, random_state=0, y=0), ae.sample(3, random_state=0, y=1))


def test_y_is_ignored_where_no_component_uses_it(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    X, _ = noisy
    assert np.array_equal(quick().fit(X, np.arange(300)).encode(X), quick().fit(X).encode(X))
    assert not hasattr(quick().fit(X, np.arange(300)), "classes_")


def test_classes_are_columns_in_sorted_order() -> None:
    encoding = ContextEncoding.fit(np.array(["no", "yes", None, "no"], object), 4)
    rows = encoding.encode(["yes", "no", None], 3, complete=False)
    np.testing.assert_array_equal(rows, [[0, 1], [1, 0], [np.nan, np.nan]])
    np.testing.assert_array_equal(encoding.encode("yes", 2), [[0, 1], [0, 1]])
    with pytest.raises(
        DataError, match="has the label 'maybe', which the training data did not have: use one of 'no', 'yes'"
    ):
        encoding.encode(["maybe"], 1)
    with pytest.raises(DataError, match="no value in row 1"):
        encoding.encode(["yes", None], 2)


def test_covariates_are_standardized() -> None:
    values = np.array([[1.0, 10.0], [3.0, 10.0], [2.0, 10.0]])
    encoding = ContextEncoding.fit(values, 3)
    rows = encoding.encode(values, 3)
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-7)
    np.testing.assert_allclose(rows[:, 0].std(), 1, rtol=1e-6)
    assert (rows[:, 1] == 0).all()
    np.testing.assert_array_equal(encoding.encode(values[0], 2), encoding.encode(values[[0, 0]], 2))
    with pytest.raises(DataError, match="3 covariates, and the training data had 2"):
        encoding.encode(np.zeros((2, 3)), 2)
    with pytest.raises(DataError, match="infinity"):
        ContextEncoding.fit(np.array([1.0, np.inf]), 2)


def test_classes_given_as_floats_are_named() -> None:
    with pytest.warns(IsthmusWarning, match="whole numbers as floats"):
        assert ContextEncoding.fit(np.array([0.0, 1.0, 1.0]), 3).classes is None


def test_a_constant_covariate_says_nothing() -> None:
    encoding = ContextEncoding.fit(np.column_stack([np.full(1000, 1 / 3), np.arange(1000.0)]), 1000)
    assert encoding.spread[0] == 1
    assert np.abs(encoding.encode([4 / 3, 0.0], 2)[:, 0] - 1).max() < 1e-6


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (np.full(5, np.nan), "without any value"),
        (np.array([[1.0, np.nan]] * 5), "without any value"),
        (np.array([1e300, -1e300, 1e308, 0.5, 1.5]), "too large to compute with"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_covariates_that_have_no_scale_are_refused(y: np.ndarray, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        ContextEncoding.fit(y, 5)


@pytest.mark.parametrize(("y", "sentence"), [(["a", "b"], "other values than numbers"), ([1e300, 0.0], "too far from")])
@pytest.mark.filterwarnings("error")
def test_covariates_that_cannot_be_used_are_refused(y: Any, sentence: str) -> None:
    encoding = ContextEncoding.fit(np.array([0.5, 1.5, 2.5]), 3)
    with pytest.raises(DataError, match=sentence):
        encoding.encode(y, 2)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_whole_numbers_of_a_table_with_missing_ones_are_classes(library: str) -> None:
    made = pytest.importorskip(library)
    kind = {"pandas": "Int64", "polars": getattr(made, "Int64", None)}[library]
    y = made.Series([3, None, 5, 3], dtype=kind)
    encoding = ContextEncoding.fit(y, 4)
    assert encoding.classes is not None
    assert encoding.classes.tolist() == [3, 5]
    assert np.isnan(encoding.encode(y, 4, complete=False)).any(axis=1).tolist() == [False, True, False, False]


@pytest.mark.parametrize("how", ["new", "warm"])
def test_classification_refuses_covariates(digits: data.Dataset, how: str) -> None:
    X, y = digits.train[:30].reshape(30, 64), np.eye(3, dtype=int)[np.arange(30) % 3]
    ae = quick(warm_start=True, penalty=Supervised(1.0, task="regression")).fit(X, y)
    if how == "new":
        ae = quick()
    with pytest.raises(
        DataError, match=r"Supervised\(weight=1.0\) classifies, and y holds covariates: pass a class for"
    ):
        ae.set_params(penalty=Supervised(1.0)).fit(X, y)


def test_a_part_of_paired_examples_is_paired() -> None:
    """A step that augments pairs cannot be recorded as a graph; early stopping trains on a part."""
    source = InMemorySource(np.zeros((4, 2), np.float32), torch.device("cpu"))
    pairs = PairedSource(source, source, lambda x: x)
    assert SubsetSource(pairs, torch.arange(2)).paired
    assert not SubsetSource(source, torch.arange(2)).paired
