"""Nested codes: each prefix of a code is a code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, data
from isthmus.architectures import MLP
from isthmus.bottlenecks import Bottleneck, Identity, Nested
from isthmus.errors import RecordError
from isthmus.likelihoods import Normal
from isthmus.nn.variables import Variables
from isthmus.optimizers import Adam, Cosine
from isthmus.scaling import NoScaling


def trained(bottleneck: Bottleneck, X: np.ndarray, hidden: tuple[int, ...], epochs: int) -> Autoencoder:
    optimizer = Adam(3e-2, schedule=Cosine())
    choices = {"scaling": NoScaling(), "likelihood": Normal(1.0), "batch_size": 400, "random_state": 0}
    return Autoencoder(bottleneck, architecture=MLP(hidden), optimizer=optimizer, epochs=epochs, **choices).fit(X)


def errors(ae: Autoencoder, X: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """The mean squared error of each prefix of the codes, whose other units are zero."""
    codes = ae.encode(X)
    units = np.arange(codes.shape[-1])
    return np.array([np.square(ae.decode(np.where(units < size, codes, 0)) - X).mean() for size in sizes])


@pytest.mark.thorough
def test_the_prefixes_of_a_linear_model_are_the_leading_principal_subspaces() -> None:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    X = (rng.normal(size=(400, 6)) * [3.0, 2.0, 1.4, 0.8, 0.3, 0.1] @ axes).astype(np.float32)
    centered = X - X.mean(0)
    values = np.linalg.svd(centered, compute_uv=False) ** 2
    pca = np.array([values[size:].sum() for size in (1, 2, 3)]) / X.size
    np.testing.assert_allclose(errors(trained(Nested(3, (1, 2)), X, (), 300), X, (1, 2, 3)), pca, rtol=0.02)
    assert errors(trained(Identity(3), X, (), 150), X, (1,))[0] > 1.3 * pca[0]


def test_a_shortened_code_is_decoded_far_better_than_one_of_a_plain_autoencoder() -> None:
    X = data.digits().train[:400].reshape(400, -1)
    nested, plain = (errors(trained(each, X, (32,), 120), X, (2, 4, 8)) for each in (Nested(8), Identity(8)))
    assert (nested[:2] < 0.5 * plain[:2]).all()
    assert nested[2] < 1.5 * plain[2]


def test_training_decodes_each_prefix_and_the_whole_code() -> None:
    h = torch.randn(5, 3, 6, generator=torch.Generator().manual_seed(0))
    bottleneck = Nested(6, (1, 4), "tanh")
    code = bottleneck(h, Variables(), torch.Generator())
    assert bottleneck.draws == 3
    whole = bottleneck.deterministic(h, Variables()).z
    torch.testing.assert_close(whole, h.tanh())
    for z, size in zip(code.z.reshape(3, 5, 3, 6), (1, 4, 6), strict=True):
        assert torch.equal(z[..., :size], whole[..., :size])
        assert not z[..., size:].any()


@pytest.mark.parametrize(
    ("size", "sizes", "prefixes"),
    [(8, (), (1, 2, 4, 8)), (12, (), (1, 3, 6, 12)), (1, (), (1,)), (5, (2,), (2, 5)), (5, (2, 5), (2, 5))],
)
def test_the_whole_code_is_always_among_the_prefixes(
    size: int, sizes: tuple[int, ...], prefixes: tuple[int, ...]
) -> None:
    assert Nested(size, sizes).prefixes == prefixes


@pytest.mark.parametrize("sizes", [(3, 2), (2, 2), (2, 9)])
def test_prefixes_that_do_not_fit_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(RecordError, match=r"^Nested: sizes=.* (must increase|end above size=8)"):
        Nested(8, sizes)
