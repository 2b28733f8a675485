"""The engine: what a report says is true, whoever draws, stops or asks in between."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, data
from isthmus.architectures import MLP
from isthmus.corruptions import Noise
from isthmus.errors import DivergenceError
from isthmus.likelihoods import Normal
from isthmus.optimizers import SGD, Adam


def small(**choices: object) -> Autoencoder:
    return Autoencoder(**{"architecture": MLP((16,)), "epochs": 3, "random_state": 0} | choices)  # type: ignore[arg-type]


def weights(ae: Autoencoder) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in ae.model_.parameters()]).numpy()


def test_divergence_in_the_last_step_is_not_silent(rng: np.random.Generator) -> None:
    X = rng.normal(size=(20, 6))
    with pytest.raises(DivergenceError):
        small(optimizer=SGD(1e30), epochs=1, batch_size=20).fit(X)


def test_divergence_of_more_examples_leaves_the_model_at_rest(digits: data.Dataset) -> None:
    ae = small(optimizer=SGD(1e12), likelihood=Normal(), batch_size=16)
    with pytest.raises(DivergenceError):
        ae.partial_fit(digits.train[:100])
    assert not ae.model_.training


def test_a_warm_start_sees_other_noise_and_counts_on(digits: data.Dataset) -> None:
    X = digits.train[:64]
    frozen = {"optimizer": SGD(1e-30, momentum=0), "corruption": Noise(1.0), "likelihood": Normal()}
    ae = small(**frozen, warm_start=True, epochs=1)
    first = ae.fit(X).history_[-1]
    second = ae.fit(X).history_[-1]
    assert second.epoch == 2
    assert second.loss != first.loss  # the weights are the same: only the noise can differ
    assert len(ae.history_) == 2


def test_a_warm_start_heeds_a_new_optimizer(digits: data.Dataset) -> None:
    X = digits.train[:64]
    ae = small(optimizer=Adam(1e-3), warm_start=True).fit(X)
    before = weights(ae)
    ae.set_params(optimizer__lr=1e-30).fit(X)
    np.testing.assert_allclose(weights(ae), before, atol=1e-12)
