"""Temporal convolutional networks: causal, with the claimed reach, mirrored, and able to learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from isthmus import Autoencoder
from isthmus.architectures import MLP, TCN
from isthmus.bottlenecks import Identity
from isthmus.data import Windows
from isthmus.errors import RecordError
from isthmus.likelihoods import Normal


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def series(length: int, channels: int) -> torch.Tensor:
    return torch.randn(3, length, channels, generator=generator(1))


@pytest.mark.parametrize("time", [0, 7, 18])
def test_no_output_depends_on_a_later_input(time: int) -> None:
    pair = TCN((5, 6, 4), code="sequence").build((20, 2), 3, 3, generator())
    x, z = series(20, 2), series(20, 3)
    for net, given in ((pair.encoder, x), (pair.decoder, z), (nn.Sequential(*pair), x)):
        changed = given.clone()
        changed[:, time + 1 :] += 10
        before, after = net(given), net(changed)
        torch.testing.assert_close(after[:, : time + 1], before[:, : time + 1], rtol=0, atol=0)
        assert not torch.allclose(after[:, time + 1], before[:, time + 1])


@pytest.mark.parametrize(("blocks", "kernel"), [(1, 3), (2, 2), (3, 3)])
def test_a_code_depends_on_exactly_the_claimed_times(blocks: int, kernel: int) -> None:
    reach = 1 + 2 * (kernel - 1) * (2**blocks - 1)
    architecture = TCN((3,) * blocks, kernel=kernel, code="sequence", activation="linear")
    encoder = architecture.build((reach + 5, 1), 2, 2, generator()).encoder.double()
    x = series(reach + 5, 1).double()
    last = reach + 4

    def moved(time: int) -> float:
        changed = x.clone()
        changed[:, time] += 1
        return float((encoder(changed) - encoder(x))[:, last].abs().max().detach())

    assert moved(last - reach) == 0
    assert moved(last - reach + 1) > 0
    assert moved(last) > 0


def test_a_block_is_the_published_formula() -> None:
    encoder = TCN((3, 3), kernel=2, code="sequence").build((6, 2), 3, 3, generator()).encoder
    block = encoder[2]  # with dilation 2
    x = torch.randn(1, 3, 6, generator=generator(2))
    first, second = (layer for layer in block.layers if isinstance(layer, nn.Conv1d))

    def causal(weight: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        shifted = torch.cat([torch.zeros(3, 2), given[:, :-2]], 1)
        return torch.relu(weight[:, :, 0] @ shifted + weight[:, :, 1] @ given)

    expected = torch.relu(causal(second.weight, causal(first.weight, x[0])) + x[0])
    torch.testing.assert_close(block(x)[0], expected)


@pytest.mark.parametrize("code", ["vector", "sequence"])
def test_the_decoder_mirrors_the_encoder(code: str) -> None:
    pair = TCN((4, 5, 6), code=code).build((16, 2), 3, 3, generator())  # type: ignore[arg-type]
    wide = [
        [(m.out_channels, m.dilation[0]) for m in net.modules() if isinstance(m, nn.Conv1d) and m.kernel_size[0] > 1]
        for net in pair
    ]
    assert wide[0] == [(4, 1), (4, 1), (5, 2), (5, 2), (6, 4), (6, 4)]
    assert wide[1] == [(6, 4), (6, 4), (5, 2), (5, 2), (4, 1), (4, 1)]


def test_codes_are_vectors_or_sequences_of_any_length_and_number_of_channels() -> None:
    for shape in ((1,), (5,), (7, 3)):
        X = np.random.default_rng(0).normal(size=(20, *shape))
        for code, expected in (("vector", (2,)), ("sequence", (shape[0], 2))):
            architecture = TCN((3, 4), code=code)  # type: ignore[arg-type]
            ae = Autoencoder(
                Identity(2),
                architecture=architecture,
                likelihood=Normal("predicted"),
                kind="series",
                epochs=1,
                random_state=0,
            )
            assert ae.fit(X).code_shape_ == expected
            assert ae.reconstruct(X).shape == X.shape
    with pytest.raises(RecordError, match="at least one"):
        TCN(())


def test_it_learns_a_series() -> None:
    time = np.arange(900)
    X = np.stack([np.sin(time / 5), np.sin(time / 9 + np.sin(time / 50))], 1)
    windows = Windows(X, 24, 3)
    ae = Autoencoder(6, architecture=TCN((8, 8)), epochs=12, random_state=0).fit(windows)
    assert ae.reconstruction_error(windows).mean() < 0.5 * X.var()
    assert isinstance(ae.architecture_, TCN)
    assert not isinstance(ae.architecture_, MLP)
