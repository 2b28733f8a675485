"""Raw units and model units: what auto chooses, and that no number is lost on the way."""

from __future__ import annotations

import numpy as np

from isthmus import Autoencoder
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.scaling import Standard

ZERO_TO_255 = np.arange(256).reshape(32, 8)


def learned(X: np.ndarray, **choices: object) -> float:
    """The share of the variance that a wide linear autoencoder leaves."""
    ae = Autoencoder(Identity(X.shape[1]), architecture=MLP(()), epochs=60, random_state=0, **choices).fit(X)  # type: ignore[arg-type]
    return float((ae.reconstruction_error(X) / X.var(axis=0).mean()).mean())


def test_a_small_spread_far_from_zero_is_not_lost(rng: np.random.Generator) -> None:
    X = 1.7e9 + 1000 * rng.normal(size=(200, 4))  # seconds since 1970
    Z = Autoencoder(Identity(4), architecture=MLP(()), epochs=1, random_state=0).fit(X).encode(X)
    moved = Autoencoder(Identity(4), architecture=MLP(()), epochs=1, random_state=0).fit(X - 1.7e9).encode(X - 1.7e9)
    np.testing.assert_allclose(Z, moved, atol=1e-4)


def test_double_precision_is_double_in_the_scaling_too(rng: np.random.Generator) -> None:
    X = 0.1 + rng.normal(size=(50, 3))
    ae = Autoencoder(Identity(2), precision="float64", epochs=1, random_state=0).fit(X)
    np.testing.assert_array_equal(ae.model_.shift.numpy(), Standard().fit(X).shift)
    np.testing.assert_array_equal(ae.model_.scale.numpy(), Standard().fit(X).scale)
