"""What theory says of autoencoders, and what is known of the data: each figure here is computed by other means than ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

from isthmus import Autoencoder, data
from isthmus.architectures import MLP, Conv
from isthmus.architectures.base import Architecture
from isthmus.bottlenecks import L1, Gaussian, Identity, TopK, VectorQuantized
from isthmus.bottlenecks.base import Bottleneck
from isthmus.corruptions import GaussianNoise
from isthmus.evaluation.metrics import bernoulli_entropy, pca_error
from isthmus.likelihoods import Normal
from isthmus.optimizers import Adam, AdamW, OneCycle
from isthmus.scaling import NoScaling

ONE_CYCLE = OneCycle()
GOLDEN = Path(__file__).parent / "golden" / "losses.json"


def correlated(rng: np.random.Generator, n: int = 2000, d: int = 5) -> np.ndarray:
    """Centered normal examples: two strong directions, of variance 5 and 3, in noise of 0.5."""
    axes = np.linalg.qr(rng.normal(size=(d, 2)))[0] * np.sqrt([5, 3])
    X = rng.normal(size=(n, 2)) @ axes.T + 0.5 * rng.normal(size=(n, d))
    return (X - X.mean(0)).astype(np.float32)


def test_known_errors_on_mnist(mnist: data.Dataset) -> None:
    assert mnist.test is not None
    assert pca_error(mnist.train, mnist.test, 30) * 784 / 255**2 == pytest.approx(13.866, abs=5e-4)
    assert bernoulli_entropy(mnist.test / 255) == pytest.approx(0.05808, abs=5e-6)


def linear(bottleneck: Bottleneck, lr: float, epochs: int, batch_size: int, **choices: Any) -> Autoencoder:
    """A linear autoencoder of numbers as they are."""
    fixed = {"architecture": MLP(()), "likelihood": Normal(), "scaling": NoScaling(), "random_state": 0}
    optimizer = Adam(lr, schedule=ONE_CYCLE)
    return Autoencoder(bottleneck, optimizer=optimizer, epochs=epochs, batch_size=batch_size, **fixed | choices)


def test_a_linear_autoencoder_finds_the_principal_subspace(digits: data.Dataset) -> None:
    X = digits.train.reshape(len(digits.train), -1)
    ae = linear(Identity(4), 0.1, 60, 128, architecture=MLP((), tied=True)).fit(X)
    pca = PCA(4).fit(X)
    best = np.square(X - pca.inverse_transform(pca.transform(X))).mean()
    assert best <= ae.reconstruction_error(X).mean() * (1 + 1e-6)
    assert ae.reconstruction_error(X).mean() == pytest.approx(best, rel=2e-3)
    weights = ae.model_.encoder[1].weight.detach().numpy()
    cosines = np.linalg.svd(np.linalg.qr(weights.T)[0].T @ pca.components_.T, compute_uv=False)
    assert cosines.min() > 0.99


def test_a_linear_denoiser_is_the_ridge_map(rng: np.random.Generator) -> None:
    X, s = correlated(rng), 0.7
    ae = linear(Identity(5), 0.01, 60, 50, corruption=GaussianNoise(s)).fit(X)
    covariance = X.T @ X / len(X)
    ridge = np.linalg.solve(covariance + s**2 * np.eye(5), covariance)
    np.testing.assert_allclose(ae.reconstruct(X), X @ ridge, atol=0.12)
    ours = np.square(ae.reconstruct(X) - X @ ridge).mean() / np.square(X @ ridge - X).mean()
    assert ours < 0.02


def test_a_linear_variational_autoencoder_is_probabilistic_pca(rng: np.random.Generator) -> None:
    X = correlated(rng)
    ae = linear(Gaussian(2), 0.1, 60, 200, likelihood=Normal("learned")).fit(X)
    likelihood = PCA(2).fit(X).score(X)  # Tipping & Bishop 1999, in nats per example
    elbo = -np.mean([report.loss for report in ae.history_[-5:]])  # each is a Monte-Carlo estimate
    assert elbo == pytest.approx(likelihood, abs=0.05)


CASES: dict[str, tuple[Bottleneck, Architecture]] = {
    "dense": (Identity(8, "relu"), MLP((32,))),
    "sparse": (L1(16), MLP((32,))),
    "topk": (TopK(16, k=4), MLP((32,))),
    "variational": (Gaussian(2), MLP((32,))),
    "quantized": (VectorQuantized(4, codebook_size=16), MLP((32,))),
    "convolutional": (Identity(4), Conv((4, 8))),
    "map": (Identity(2, "relu"), Conv((4,), code="map", up="double")),
    "strided": (Identity(2, "relu"), Conv((4,), kernel=5, code="map", down="stride", up="transpose")),
}


def curve(name: str, digits: data.Dataset) -> list[float]:
    """The losses of 100 steps, every tenth, in full precision and on one thread."""
    bottleneck, architecture = CASES[name]
    ae = Autoencoder(
        bottleneck,
        architecture=architecture,
        corruption=GaussianNoise(0.1),
        optimizer=AdamW(2e-3),
        epochs=100 * 32 / 1024,
        batch_size=32,
        precision="float32",
        random_state=0,
    )
    reports = [report for report in ae.iter_fit(digits.train[:1024], every=10) if report.step % 10 == 0]
    return [report.loss for report in reports]


@pytest.mark.parametrize("name", CASES)
def test_the_golden_curves_are_unchanged(name: str, digits: data.Dataset) -> None:
    # ISTHMUS_GOLDEN=write pytest tests/test_truths.py writes them anew: only when a change is meant to move them
    losses = curve(name, digits)
    if os.environ.get("ISTHMUS_GOLDEN") == "write":
        known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(known | {name: losses}, indent=1, sort_keys=True) + "\n")
    golden = json.loads(GOLDEN.read_text())[name]
    assert len(losses) >= 10
    np.testing.assert_allclose(losses, golden, rtol=2e-4)


ALONE = """
import random
import numpy as np, torch
from isthmus import Autoencoder, data
from isthmus.bottlenecks import Gaussian
from isthmus.corruptions import GaussianNoise

X = data.digits().train[:300]

def weights(state, disturb=False):
    ae = Autoencoder(Gaussian(4), corruption=GaussianNoise(0.2), epochs=2, random_state=state)
    for _ in ae.iter_fit(X, every=3):
        if disturb:
            torch.randn(5), np.random.rand(3), random.random()
    ae.sample(3), ae.transform(X), ae.corrupt(X)
    return torch.cat([p.flatten() for p in ae.model_.parameters()])

def world():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

before = world()
first = weights(1)
assert torch.equal(first, weights(1)), "the same random state gave other weights"
assert not torch.equal(first, weights(2)), "another random state gave the same weights"
weights(None)
assert before == world(), "a global generator was touched"
assert torch.equal(first, weights(1, disturb=True)), "somebody else's drawing changed the weights"
"""


@pytest.mark.promise(9)
def test_the_same_random_state_gives_bit_identical_weights_and_global_random_generators_are_unchanged() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
