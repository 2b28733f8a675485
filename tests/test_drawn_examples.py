"""Examples drawn from the likelihood, and importance weights: their limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isthmus import Autoencoder, data, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Bottleneck, Gaussian, ImportanceWeighted
from isthmus.errors import MemoryLimitError
from isthmus.estimators import importance
from isthmus.priors import VampPrior


def test_drawn_examples_keep_constant_features(rng: np.random.Generator) -> None:
    table = np.column_stack([rng.normal(size=(60, 2)), np.full(60, 7.0)])
    ae = Autoencoder(Gaussian(2), architecture=MLP((8,)), epochs=1, random_state=0).fit(table)
    drawn = ae.sample(20, random_state=0, draw=True)
    assert (drawn[:, 2] == 7).all()
    assert drawn[:, :2].std() > 0.5


def test_a_file_may_not_require_any_amount_of_memory(digits: data.Dataset, tmp_path: Path) -> None:
    ae = Autoencoder(Gaussian(2), architecture=MLP((40_000,)), epochs=0.01, batch_size=8, random_state=0)
    ae.fit(digits.train[:8]).save(tmp_path / "a")
    loaded = load(tmp_path / "a", max_memory=100_000)
    for use in (
        lambda: loaded.score_samples(digits.train[:1]),
        lambda: loaded.log_likelihood(digits.train[:1], samples=2),
        lambda: loaded.sample(1, draw=True),
    ):
        with pytest.raises(MemoryLimitError, match="one example in this model"):
            use()


def test_the_number_of_draws_at_a_time_does_not_change_the_mean(
    digits: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ae = Autoencoder(Gaussian(2), architecture=MLP((8,)), epochs=1, random_state=0).fit(digits.train[:60])
    whole = ae.log_likelihood(digits.train[:3], samples=64)
    monkeypatch.setattr(importance, "_MAX_DRAWS", 16)
    np.testing.assert_allclose(ae.log_likelihood(digits.train[:3], samples=64), whole, rtol=1e-5)


@pytest.mark.parametrize("bottleneck", [Gaussian(3), ImportanceWeighted(3, draws=2, prior=VampPrior(4))], ids=repr)
def test_a_log_likelihood_depends_on_the_example_and_the_random_state_alone(
    bottleneck: Bottleneck, digits: data.Dataset
) -> None:
    X = digits.train[:40]
    ae = Autoencoder(bottleneck, architecture=MLP((8,)), epochs=1, random_state=0).fit(X)
    whole = ae.log_likelihood(X, samples=20)
    assert np.array_equal(ae.log_likelihood(X[::-1], samples=20)[::-1], whole)
    assert np.array_equal(np.concatenate([ae.log_likelihood(part, samples=20) for part in (X[:1], X[1:])]), whole)
    assert (ae.log_likelihood(X, samples=20, random_state=1) != whole).mean() > 0.9
    assert ae.log_likelihood(X, samples=500).mean() > whole.mean(), "the estimate rises with the number of draws"
