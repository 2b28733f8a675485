"""Training that continues with another penalty, schedule or bottleneck than it began with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isthmus import Autoencoder, data
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian, ImportanceWeighted
from isthmus.errors import MemoryLimitError, RecordError
from isthmus.penalties import MMD, Adversarial, Penalty, Supervised, TotalCorrelation, TotalCorrelationCritic
from isthmus.schedules import Warmup


def begun(X: np.ndarray, y: Any = None, **choices: Any) -> Autoencoder:
    defaults = {"bottleneck": 2, "architecture": MLP((8,)), "epochs": 1, "batch_size": 32, "random_state": 0}
    return Autoencoder(**defaults | choices, warm_start=True).fit(X, y)


@pytest.fixture(name="X", scope="module")
def examples(digits: data.Dataset) -> np.ndarray:
    return digits.train[:64]


@pytest.mark.parametrize("penalty", [Adversarial(1.0) + MMD(1.0), MMD(1.0) + Adversarial(1.0), Adversarial(2.0)])
def test_a_critic_goes_on_learning_with_another_penalty_beside_it(X: np.ndarray, penalty: Penalty) -> None:
    ae = begun(X, penalty=Adversarial(1.0))
    before = ae.model_.penalty_memory[0]["weight_0"].clone()
    ae.set_params(penalty=penalty, epochs=0.5).fit(X)
    number = next(i for i, term in enumerate(penalty.terms) if isinstance(term, Adversarial))
    after = ae.model_.penalty_memory[number]["weight_0"]
    assert 0 < (after - before).abs().max() < 0.05  # a step away: neither still nor drawn anew
    known = {id(value) for value in ae._fitted.state.optimizer.parameters} if ae._fitted else set()
    assert {id(value) for value in ae.model_.parameters()} == known


def test_a_critic_of_another_kind_begins_anew(X: np.ndarray) -> None:
    ae = begun(X, penalty=Adversarial(1.0))
    before = ae.model_.penalty_memory[0]["weight_0"].clone()
    ae.set_params(penalty=TotalCorrelationCritic(1.0), epochs=0.5).fit(X)
    assert (ae.model_.penalty_memory[0]["weight_0"] - before).abs().max() > 0.1


def test_a_changed_schedule_counts(X: np.ndarray) -> None:
    ae = begun(X, bottleneck=Gaussian(2))
    ae.set_params(bottleneck=Gaussian(2, schedule=Warmup(0.5, 0.25))).fit(X)
    assert ae.model_.factors(0.0) == (0.25,)
    assert ae.set_params(bottleneck=Gaussian(2)).fit(X).model_.factors(0.0) is None


def test_a_penalty_does_not_join_a_bottleneck_that_changes_its_gradient(X: np.ndarray) -> None:
    ae = begun(X, bottleneck=ImportanceWeighted(2, gradient="dreg"))
    with pytest.raises(RecordError, match="changes the gradients of its codes"):
        ae.set_params(penalty=MMD(1.0)).fit(X)
    ae.set_params(bottleneck=ImportanceWeighted(2), penalty=MMD(1.0)).fit(X)


def test_labels_may_be_left_out_when_nothing_uses_them_anymore(X: np.ndarray) -> None:
    y = np.arange(len(X)) % 2
    ae = begun(X, y, penalty=Supervised(1.0))
    assert len(ae.set_params(penalty="auto").fit(X).history_) == 2
    with pytest.raises(RecordError, match="it began without the y that Supervised"):
        begun(X, y).set_params(penalty=Supervised(1.0)).fit(X, y)


def test_labels_that_nothing_uses_may_stand_in_the_validation_data(X: np.ndarray) -> None:
    y = np.arange(len(X)) % 2
    ae = Autoencoder(2, architecture=MLP((8,)), epochs=1, random_state=0)
    losses = [ae.fit(X, y, validation_data=held).history_[-1].val_loss for held in (X, (X, y))]
    assert losses[0] == losses[1] is not None
    both = ae.fit(X, y, target=X, validation_data=(X, y, X)).history_[-1].val_loss
    assert both == losses[0]


def test_parts_of_a_stream_have_the_whole_penalty(X: np.ndarray) -> None:
    scheduled = Autoencoder(Gaussian(2, schedule=Warmup(1.0)), architecture=MLP((8,)), batch_size=32, random_state=0)
    plain = Autoencoder(Gaussian(2), architecture=MLP((8,)), batch_size=32, random_state=0)
    for _ in range(2):
        scheduled.partial_fit(X)
        plain.partial_fit(X)
    assert [each.loss for each in scheduled.history_] == [each.loss for each in plain.history_]


@pytest.mark.parametrize("penalty", [TotalCorrelation(1.0), MMD(1.0)])
def test_the_memory_of_pairs_is_known_before_training(penalty: Penalty) -> None:
    table = np.random.default_rng(0).normal(size=(200_000, 2)).astype(np.float32)
    ae = Autoencoder(Gaussian(2), architecture=MLP((4,)), penalty=penalty, epochs=1, batch_size=200_000)
    with pytest.raises(MemoryLimitError, match="a training step on 200,000 examples"):
        ae.fit(table)
