"""Encoders and decoders: mirrored, counted, drawn from their own generator, and tied where they say so."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus import Autoencoder, data, load
from isthmus.architectures import MLP, Conv, Modules
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.errors import RecordError
from isthmus.nn.activations import Activation, activate
from isthmus.nn.device import onednn_matmul
from isthmus.nn.invariant import dense
from isthmus.nn.layers import FewChannelConv2d, UpsampleConv2d


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_known_numbers_of_parameters() -> None:
    deep = MLP((256, 128)).build((28, 28), 20, 20, generator())
    assert (count(deep.encoder), count(deep.decoder)) == (236_436, 237_200)
    conv = Conv((16, 8), code="map", up="double").build((28, 28), 8, 8, generator())
    assert count(conv.encoder) + count(conv.decoder) == 4385
    tied = MLP((64,), tied=True).build((100,), 10, 10, generator())
    assert count(tied.encoder) == 100 * 64 + 64 + 64 * 10 + 10
    assert count(tied.decoder) == 64 + 100


def test_the_decoder_mirrors_the_encoder() -> None:
    pair = MLP((8, 5)).build((12,), 6, 3, generator())
    sizes = [[(m.in_features, m.out_features) for m in net if isinstance(m, nn.Linear)] for net in pair]
    assert sizes == [[(12, 8), (8, 5), (5, 6)], [(3, 5), (5, 8), (8, 12)]]


def test_tied_weights_are_shared_through_training_copies_and_files(digits: data.Dataset, tmp_path: Path) -> None:
    ae = Autoencoder(Identity(4), architecture=MLP((16,), tied=True), epochs=1, random_state=0).fit(digits.train[:100])
    ae.save(tmp_path / "model.safetensors")
    for model in (ae.model_, copy.deepcopy(ae.model_), load(tmp_path).model_):
        encoder = [m.weight for m in model.encoder if isinstance(m, nn.Linear)]
        with torch.no_grad():
            z = torch.randn(3, 4, generator=generator())
            by_hand = torch.relu(z @ encoder[1] + model.decoder[0].bias) @ encoder[0] + model.decoder[2].bias
            torch.testing.assert_close(model.decoder(z).flatten(1), by_hand)
            encoder[0].zero_()
            torch.testing.assert_close(model.decoder(z).flatten(1), model.decoder[2].bias.expand(3, -1))


def test_tied_weights_require_a_mirrored_decoder() -> None:
    for pair in (MLP((8,), tied=True, decoder_hidden=(4,)), MLP((8,), tied=True)):
        with pytest.raises(RecordError, match="tied weights need a mirrored pair"):
            pair.build((12,), 4, 3, generator())


@pytest.mark.parametrize("architecture", [MLP((9, 4)), Conv((3,)), Conv((3,), up="transpose")], ids=repr)
@pytest.mark.parametrize("scheme", ["glorot", "he", "lecun", "normal", "truncated"])
def test_initialization_uses_only_its_own_generator(architecture: MLP | Conv, scheme: str) -> None:
    before = torch.get_rng_state()
    architecture = architecture.replace(initialization=scheme)
    one, same, other = (architecture.build((6, 6), 4, 4, generator(state)) for state in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for net in (0, 1):
        a, b, c = (torch.cat([p.detach().flatten() for p in pair[net].parameters()]) for pair in (one, same, other))
        assert torch.isfinite(a).all()
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.mark.parametrize("up", ["double", "transpose", "resize"])
def test_a_convolutions_weights_have_the_variance_of_its_fans(up: str) -> None:
    pair = Conv((64,), kernel=5, up=up, code="map").build((16, 16), 96, 96, generator())
    for net in pair:
        for layer in net:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.weight.numel() > 20_000:
                variance = 2 / (25 * (layer.in_channels + layer.out_channels))
                assert layer.weight.var().item() == pytest.approx(variance, rel=0.03)


def test_he_counts_what_enters_a_transposed_convolution() -> None:
    pair = Conv((32,), kernel=5, up="transpose", code="map", initialization="he").build((16, 16), 128, 128, generator())
    layer = next(m for m in pair.decoder if isinstance(m, nn.ConvTranspose2d))
    assert (layer.in_channels, layer.out_channels) == (128, 32)
    assert layer.weight.var().item() == pytest.approx(2 / (25 * 128), rel=0.03)


def test_truncated_weights_stay_within_two_deviations() -> None:
    for architecture in (MLP((), initialization="truncated"), MLP((), initialization="truncated", tied=True)):
        pair = architecture.build((300,), 200, 200, generator())
        weight = pair.encoder[1].weight
        assert weight.abs().max().item() <= 0.2
        assert weight.std().item() == pytest.approx(0.088, rel=0.02)  # what cutting at two deviations leaves of 0.1
        for net in pair:
            (bias,) = [p for name, p in net.named_parameters() if name.endswith("bias")]
            assert (bias == 0.1).all()


class Backwards(nn.Module):
    """A linear layer's weights, transposed."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z @ self.layer.weight


def test_custom_modules_are_not_modified(digits: data.Dataset) -> None:
    X = digits.train[:50].reshape(50, -1)
    given = Modules(nn.Linear(64, 4), nn.Linear(4, 64))
    before = copy.deepcopy(given.encoder.state_dict())
    one, two = (Autoencoder(Identity(4), architecture=given, epochs=2, random_state=0).fit(X) for _ in range(2))
    assert all(torch.equal(before[name], value) for name, value in given.encoder.state_dict().items())
    assert not torch.equal(one.model_.encoder.weight, given.encoder.weight)
    np.testing.assert_array_equal(one.encode(X), two.encode(X))


@pytest.mark.parametrize(
    ("encoder", "decoder", "sentence"),
    [
        (
            nn.Linear(64, 5),
            nn.Linear(4, 64),
            r"the encoder outputs \(3, 5\) for 3 examples, but the bottleneck expects \(3, ..., 4\)",
        ),
        (
            nn.Linear(64, 4),
            nn.Linear(4, 63),
            r"the decoder outputs \(3, 63\) for 3 codes, but the examples are \(3, 64\)",
        ),
        (nn.Linear(60, 4), nn.Linear(4, 64), r"the encoder does not take a batch of shape \(3, 64\)"),
        (nn.Linear(64, 4), nn.Linear(5, 64), r"the decoder does not take a batch of shape \(3, 4\)"),
    ],
)
def test_custom_modules_that_do_not_fit_are_refused(encoder: nn.Module, decoder: nn.Module, sentence: str) -> None:
    with pytest.raises(RecordError, match=sentence):
        Modules(encoder, decoder).build((64,), 4, 4, generator())


def test_invalid_convolutions_are_refused() -> None:
    with pytest.raises(RecordError, match="use MLP"):
        Conv().build((2, 3, 4, 5, 6), 4, 4, generator())
    with pytest.raises(RecordError, match="give at least one"):
        Conv(()).build((8, 8), 4, 4, generator())


def test_a_code_map_has_a_code_at_each_position(digits: data.Dataset) -> None:
    ae = Autoencoder(Gaussian(3), architecture=Conv((4,), code="map"), epochs=1, random_state=0).fit(digits.train[:40])
    assert ae.code_shape_ == (2, 2, 3)
    Z = ae.encode(digits.test[:5])
    np.testing.assert_array_equal(ae.decode(Z), ae.decode(Z.reshape(5, -1)))
    assert ae.sample(3, random_state=0).shape == (3, 8, 8)


def test_shared_weights_of_custom_modules_stay_shared(digits: data.Dataset, tmp_path: Path) -> None:
    X = digits.train[:50].reshape(50, -1)
    layer = nn.Linear(64, 4, bias=False)
    given = Modules(layer, Backwards(layer))
    ae = Autoencoder(Identity(4), architecture=given, epochs=1).fit(X)
    assert ae.model_.decoder.layer.weight is ae.model_.encoder.weight
    ae.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load(tmp_path, architecture=given).encode(X), ae.encode(X))


def test_stochastic_custom_modules_are_repeatable_and_leave_global_random_generators_unchanged(
    digits: data.Dataset,
) -> None:
    X = digits.train[:64].reshape(64, -1)
    given = Modules(nn.Sequential(nn.Linear(64, 16), nn.Dropout(0.5), nn.Linear(16, 4)), nn.Linear(4, 64))
    before = torch.get_rng_state()
    ae, again = (Autoencoder(Identity(4), architecture=given, epochs=2, random_state=0) for _ in range(2))
    for _ in ae.iter_fit(X):
        np.testing.assert_array_equal(ae.transform(X), ae.transform(X))  # between reports too, nothing is dropped
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(ae.encode(X), again.fit(X).encode(X))


class Masked(nn.Module):
    """A layer with a buffer that is not finite, as the mask of an attention has."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 4)
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)
        return y


def test_buffers_of_custom_modules_may_have_any_dtype(digits: data.Dataset, tmp_path: Path) -> None:
    X, given = digits.train[:50].reshape(50, -1), Modules(Masked(), nn.Linear(4, 64))
    ae = Autoencoder(Identity(4), architecture=given, epochs=1).fit(X)
    ae.save(tmp_path / "x")
    np.testing.assert_array_equal(load(tmp_path / "x", architecture=given).encode(X), ae.encode(X))


def test_custom_modules_may_have_double_precision(digits: data.Dataset) -> None:
    X = digits.train[:50].reshape(50, -1)
    given = Modules(nn.Linear(64, 4).double(), nn.Linear(4, 64).double())
    ae = Autoencoder(Identity(4), architecture=given, precision="float64", epochs=1).fit(X)
    assert ae.encode(X).dtype == np.float64
    assert Autoencoder(Identity(4), architecture=given, epochs=1).fit(X).encode(X).dtype == np.float32


@pytest.mark.parametrize("result", [(torch.zeros(3, 4), None), torch.zeros(3)], ids=["tuple", "flat"])
def test_outputs_of_custom_modules_are_checked(result: object, digits: data.Dataset) -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> object:
            return result

    with pytest.raises(RecordError, match=r"the encoder (outputs|returns)"):
        Autoencoder(Identity(3), architecture=Modules(Odd(), nn.Linear(3, 64)), epochs=1).fit(digits.train[:50])


@pytest.mark.parametrize("sides", [(4, 4), (5, 8), (14, 14)], ids=str)
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1), (3, 0), (5, 2), (5, 0), (7, 3)], ids=str)
def test_upsample_convolution_equals_upsampling_and_convolution(
    kernel: int, padding: int, sides: tuple[int, int]
) -> None:
    layer = UpsampleConv2d(3, 2, kernel, padding=padding).double()
    x = torch.randn(2, 3, *sides, dtype=torch.float64, generator=generator()).requires_grad_()
    doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
    _same(layer(x), F.conv2d(doubled, layer.weight, layer.bias, padding=padding), x, *layer.parameters())


@pytest.mark.parametrize("sides", [(1, 2), (5, 8), (28, 28)], ids=str)
@pytest.mark.parametrize("features", [1, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_few_channel_convolution_equals_a_convolution(kernel: int, features: int, sides: tuple[int, int]) -> None:
    layer = FewChannelConv2d(6, features, kernel, padding=kernel // 2).double()
    x = torch.randn(2, 6, *sides, dtype=torch.float64, generator=generator()).requires_grad_()
    _same(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=kernel // 2), x, *layer.parameters())


def _same(ours: Tensor, theirs: Tensor, *variables: Tensor) -> None:
    torch.testing.assert_close(ours, theirs)
    slope = torch.randn(theirs.shape, dtype=theirs.dtype, generator=generator(1))
    mine, reference = (torch.autograd.grad(y, variables, slope) for y in (ours, theirs))
    for a, b in zip(mine, reference, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("up", ["resize", "double"])
def test_large_maps_take_the_faster_layers_with_the_same_result(up: str, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = Conv((16, 8), code="map", up=up)
    ours = architecture.build((28, 28), 4, 4, generator())
    assert any(isinstance(layer, UpsampleConv2d | FewChannelConv2d) for layer in ours.decoder)
    monkeypatch.setattr("isthmus.architectures.conv._LARGE", 2**40)
    plain = architecture.build((28, 28), 4, 4, generator())
    assert not any(isinstance(layer, UpsampleConv2d | FewChannelConv2d) for layer in plain.decoder)
    x = torch.rand(5, 28, 28, generator=generator())
    for a, b in zip(ours.decoder.parameters(), plain.decoder.parameters(), strict=True):
        assert torch.equal(a, b)
    torch.testing.assert_close(ours.decoder(ours.encoder(x)), plain.decoder(plain.encoder(x)))
    with torch.autocast("cpu", torch.bfloat16):
        coarse = ours.decoder(ours.encoder(x))
    assert (coarse - plain.decoder(plain.encoder(x))).abs().mean() < 0.02 * coarse.abs().mean()


@pytest.mark.parametrize("activation", get_args(Activation))
def test_pooling_takes_the_maximum_after_the_activation(activation: Activation) -> None:
    """Whichever of the two is computed first: GELU and SiLU fall before they rise, and have to be the first."""
    encoder = Conv((3,), activation=activation).build((6, 6), 4, 4, generator()).encoder
    x = torch.randn(5, 6, 6, generator=generator(1))
    convolution, dense = (layer for layer in encoder if isinstance(layer, nn.Conv2d | nn.Linear))
    wanted = F.max_pool2d(activate(convolution(x[:, None]), activation), 2)
    torch.testing.assert_close(encoder(x), dense(wanted.flatten(1)))


@pytest.mark.promise(15)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_row_is_bit_identical_at_every_position(dtype: torch.dtype) -> None:
    """PyTorch's own product of 128 rows of 5 to 15 numbers gives the last rows other bits than the first ones."""
    order = torch.randperm(128, generator=torch.Generator().manual_seed(0))
    for inner, outer in itertools.product((1, 5, 7, 9, 10, 15, 30), (1, 2, 4, 6, 11)):
        generator = torch.Generator().manual_seed(inner)
        x, weight, bias = (
            torch.randn(sides, generator=generator, dtype=dtype) for sides in ((128, inner), (outer, inner), (outer,))
        )
        for weights in (weight, weight.T.contiguous().T):
            with torch.inference_mode(), onednn_matmul():
                there, moved = dense(x, weights, bias), dense(x[order], weights, bias)
            assert torch.equal(moved, there[order]), (inner, outer)
            torch.testing.assert_close(there, x @ weight.T + bias)
