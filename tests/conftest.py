"""Shapes in signatures are checked while testing; the data that several tests look at."""

from __future__ import annotations

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported: scikit-learn's array checks then run too

from jaxtyping import install_import_hook

SHAPED = ["corruptions", "bottlenecks", "architectures", "likelihoods", "model"]  # where shapes stand in signatures
install_import_hook([f"isthmus.{name}" for name in SHAPED], "beartype.beartype")

import numpy as np  # noqa: E402  # the hook has to come first
import pytest  # noqa: E402

from isthmus import data  # noqa: E402


@pytest.fixture(scope="session")
def mnist() -> data.Dataset:
    """All of MNIST."""
    return data.mnist()


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    """The small digits, 8x8, in [0, 1]."""
    return data.digits()


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in each test."""
    return np.random.default_rng(0)
