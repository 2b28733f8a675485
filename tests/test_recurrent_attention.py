"""Recurrent networks and attention over time: PyTorch's own layers as the truth, what a time depends on, and that they learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from isthmus import Autoencoder
from isthmus.architectures import Attention, Recurrent
from isthmus.bottlenecks import Identity
from isthmus.data import Windows
from isthmus.errors import RecordError
from isthmus.estimators.memory_estimate import footprint
from isthmus.likelihoods import Normal
from isthmus.optimizers import AdamW

SERIES = torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(1))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def of_torch(cell: str, layer: Any, features: int, units: int) -> nn.Module:
    """PyTorch's layer with the weights of one of ours."""
    theirs = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](features, units, batch_first=True)
    ours = (layer.inputs.weight, layer.states.weight, layer.inputs.bias, layer.states.bias)
    with torch.no_grad():
        for own, weight in zip(theirs.parameters(), ours, strict=True):
            own.copy_(weight.copy_(torch.randn(weight.shape, generator=generator())))
    return theirs


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_recurrent_layer_is_that_of_pytorch(cell: Any) -> None:
    layer = Recurrent(5, cell).build((9, 2), 3, 3, generator()).encoder[2]
    expected = of_torch(cell, layer, 2, 5)(SERIES)[0]
    torch.testing.assert_close(layer(SERIES), expected)


def test_the_code_is_of_the_last_state_and_the_decoder_begins_with_the_last_time() -> None:
    pair = Recurrent(5).build((9, 2), 3, 3, generator())
    states = of_torch("gru", pair.encoder[2], 2, 5)(SERIES)[0]
    code = pair.encoder(SERIES)
    torch.testing.assert_close(code, pair.encoder[-1](states[:, -1]))
    back = of_torch("gru", pair.decoder[1], 3, 5)(code[:, None].expand(-1, 9, -1))[0]
    torch.testing.assert_close(pair.decoder(code), pair.decoder[2](back).flip(1))


def test_forget_gates_are_open_at_first() -> None:
    layer = Recurrent(5, "lstm").build((9, 2), 3, 3, generator()).encoder[2]
    assert layer.inputs.bias.tolist() == [0] * 5 + [1] * 5 + [0] * 10


def test_recurrent_sequences_are_causal() -> None:
    net = nn.Sequential(*Recurrent((5, 4), code="sequence").build((9, 2), 3, 3, generator()))
    changed = SERIES.clone()
    changed[:, 5:] += 10
    before, after = net(SERIES), net(changed)
    torch.testing.assert_close(after[:, :5], before[:, :5], rtol=0, atol=0)
    assert not torch.allclose(after[:, 5], before[:, 5])


def test_a_block_is_that_of_pytorch() -> None:
    """`torch.nn.TransformerEncoderLayer` with the same weights."""
    block = Attention(8, 2, 1, 6).build((9, 2), 3, 3, generator()).encoder[4]
    theirs = nn.TransformerEncoderLayer(8, 2, 6, 0.0, "gelu", batch_first=True, norm_first=True)
    norm, qkv, out = block.attention
    second, wide, _, narrow = block.dense
    pairs = ((theirs.self_attn.out_proj, out), (theirs.linear1, wide), (theirs.linear2, narrow))
    with torch.no_grad():
        for weight in block.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator()))
        theirs.self_attn.in_proj_weight.copy_(qkv.weight)
        theirs.self_attn.in_proj_bias.copy_(qkv.bias)
        for layer, own in (*pairs, (theirs.norm1, norm), (theirs.norm2, second)):
            layer.load_state_dict(own.state_dict())
    x = torch.randn(3, 9, 8, generator=generator())
    torch.testing.assert_close(block(x), theirs.train()(x), rtol=1e-4, atol=1e-4)


def test_positions_alone_tell_times_apart() -> None:
    """Without them the order of the times is irrelevant."""
    encoder = Attention(8, 2, code="sequence").build((9, 2), 3, 3, generator()).encoder
    mixed = torch.randperm(9, generator=generator())
    assert not torch.allclose(encoder(SERIES[:, mixed]), encoder(SERIES)[:, mixed], atol=1e-3)
    with torch.no_grad():
        encoder[3].weight.zero_()
    torch.testing.assert_close(encoder(SERIES[:, mixed]), encoder(SERIES)[:, mixed])


@pytest.mark.parametrize("kind", [Recurrent, Attention])
def test_codes_are_vectors_or_sequences_of_any_length_and_number_of_channels(kind: Any) -> None:
    for shape in ((1,), (5,), (4, 3)):
        X = np.random.default_rng(0).normal(size=(20, *shape))
        for code, expected in (("vector", (2,)), ("sequence", (shape[0], 2))):
            given = {"likelihood": Normal("predicted"), "kind": "series", "epochs": 1, "random_state": 0}
            ae = Autoencoder(Identity(2), architecture=kind(8, code=code), **given).fit(X)
            assert ae.code_shape_ == expected
            assert ae.reconstruct(X).shape == X.shape


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(RecordError, match="features=10 cannot be divided among heads=4"):
        Attention(10)
    with pytest.raises(RecordError, match="at least one"):
        Recurrent(())


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        (Recurrent(5), 9 * 15 * (2 + 5) + 5 * 3 + 9 * 15 * (3 + 5) + 9 * 5 * 2),
        (Recurrent(5, "lstm"), 9 * 20 * (2 + 5) + 5 * 3 + 9 * 20 * (3 + 5) + 9 * 5 * 2),
        (
            Attention(8, 2, 1, 6),
            2 * (9 * (4 * 64 + 2 * 8 * 6) + 2 * 2 * 4 * 9 * 9) + 2 * (9 * 2 * 8 + 9 * 8 * 3),
        ),
    ],
    ids=["gru", "lstm", "attention"],
)
def test_the_work_is_counted(architecture: Any, expected: int) -> None:
    ae = Autoencoder(3, architecture=architecture, random_state=0, kind="series").initialize(SERIES.numpy())
    assert footprint(ae.model_).multiplications == expected


@pytest.mark.parametrize("architecture", [Recurrent(16), Attention(16, 2, 1, 32)], ids=repr)
def test_they_learn_a_series(architecture: Any) -> None:
    time = np.arange(300)
    X = np.stack([np.sin(time / 3), np.sin(time / 5 + np.sin(time / 50))], 1)
    windows = Windows(X, 8, 2)
    ae = Autoencoder(6, architecture=architecture, optimizer=AdamW(1e-2), epochs=12, random_state=0).fit(windows)
    assert ae.reconstruction_error(windows).mean() < 0.15 * X.var()
