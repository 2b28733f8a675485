"""The kernels of convolutional nets compute what PyTorch does, on any number of threads, and only where nobody listens."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus import Autoencoder, native
from isthmus.architectures import Conv
from isthmus.likelihoods import Bernoulli
from isthmus.native.convolutions import (
    convolution_slopes,
    pooled_convolution,
    pooled_convolution_slopes,
    shuffled_convolution,
    shuffled_convolution_slopes,
)
from isthmus.nn.conv_stack import ConvStack
from isthmus.nn.layers import PixelShuffle

pytestmark = pytest.mark.skipif(native.load() is None, reason="no compiler has built the kernels for this processor")


@pytest.fixture
def kernels() -> native.Kernels:
    found = native.load()
    assert found is not None
    return found


@pytest.fixture
def threads() -> Iterator[None]:
    """Restores the number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def drawn(*shape: int, state: int = 0) -> Tensor:
    return torch.empty(shape, dtype=torch.float32).normal_(generator=torch.Generator().manual_seed(state))


POOLED = [  # images, sides, channels, features, kernel
    (3, (28, 28), 1, 32, 3),
    (2, (7, 9), 3, 16, 5),
    (2, (5, 4), 1, 8, 1),
    (1, (1, 1), 2, 8, 3),
    (4, (6, 7), 1, 24, 7),
]
SHUFFLED = [  # images, sides, features, shift, outputs, kernel
    (3, (14, 14), 32, 1, 1, 3),
    (2, (5, 6), 8, 1, 3, 5),
    (2, (3, 3), 24, 0, 2, 3),
    (1, (1, 1), 8, 1, 1, 7),
    (2, (4, 4), 16, 1, 4, 1),
]


CONVOLVED = [  # images, sides, channels, features, kernel, padding
    (20, (14, 14), 32, 32, 3, 1),
    (33, (7, 9), 5, 19, 3, 0),
    (3, (30, 25), 1, 8, 5, 3),
    (2, (3, 700), 2, 33, 2, 1),
    (1, (1, 1), 3, 1, 1, 0),
]


@pytest.mark.parametrize(("rows", "sides", "c", "n", "k", "padding"), CONVOLVED)
def test_the_slopes_of_a_convolution(
    kernels: native.Kernels, threads: None, rows: int, sides: tuple[int, int], c: int, n: int, k: int, padding: int
) -> None:
    x, weight, bias = drawn(rows, *sides, c), drawn(n, c, k, k, state=1), drawn(n, state=2)
    exact = [t.double().requires_grad_() for t in (weight, bias)]
    y = F.conv2d(x.double().movedim(-1, 1), exact[0], exact[1], padding=padding).movedim(1, -1)
    slope, found = drawn(*y.shape, state=3), list[Any]()
    expected = torch.autograd.grad(y, exact, slope.double())
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(convolution_slopes(kernels, x, weight, slope, padding))
    assert all(torch.equal(*pair) for each in found[1:] for pair in zip(found[0], each, strict=True))
    for ours, theirs in zip(found[0], expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize(("rows", "sides", "c", "n", "k"), POOLED)
@pytest.mark.parametrize("rectified", [True, False])
def test_the_pooled_convolution_and_its_slopes(
    kernels: native.Kernels, threads: None, rows: int, sides: tuple[int, int], c: int, n: int, k: int, rectified: bool
) -> None:
    x, weight, bias = drawn(rows, *sides, c), drawn(n, c, k, k, state=1), drawn(n, state=2)
    exact = [t.double().requires_grad_() for t in (weight, bias)]
    y = F.max_pool2d(
        F.conv2d(x.double().movedim(-1, 1), exact[0], exact[1], padding=k // 2), 2, ceil_mode=True
    ).movedim(1, -1)
    y = F.relu(y) if rectified else y
    slope, found = drawn(*y.shape, state=3), list[Any]()
    expected = torch.autograd.grad(y, exact, slope.double())
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        ours, places = pooled_convolution(kernels, x, weight, bias, rectified)
        found.append((ours, *pooled_convolution_slopes(kernels, x, weight, ours, places, slope, rectified)))
    assert all(torch.equal(*pair) for each in found[1:] for pair in zip(found[0], each, strict=True))
    for ours, theirs in zip(found[0], (y.detach(), *expected), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("rows", "sides", "n", "shift", "o", "k"), SHUFFLED)
def test_the_shuffled_convolution_and_its_slopes(
    kernels: native.Kernels, threads: None, rows: int, sides: tuple[int, int], n: int, shift: int, o: int, k: int
) -> None:
    maps = drawn(rows, *(side + shift for side in sides), 2, 2, n)
    weight, bias = drawn(o, n, k, k, state=1), drawn(o, state=2)
    exact = [t.double().requires_grad_() for t in (maps, weight, bias)]
    y = F.relu(PixelShuffle.apply(exact[0], shift))  # type: ignore[no-untyped-call]  # PyTorch's
    out = F.conv2d(y.movedim(-1, 1), exact[1], exact[2], padding=k // 2).movedim(1, -1)
    slope, found = drawn(*out.shape, state=3), list[Any]()
    expected = torch.autograd.grad(out, exact, slope.double())
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        ours, made = shuffled_convolution(kernels, maps, weight, bias, shift)
        found.append((ours, made, *shuffled_convolution_slopes(kernels, weight, ours, slope, shift)))
    assert all(torch.equal(*pair) for each in found[1:] for pair in zip(found[0], each, strict=True))
    for ours, theirs in zip(found[0], (y.detach(), out.detach(), *expected), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4)


def test_what_is_not_a_number_stays(kernels: native.Kernels) -> None:
    x, weight, bias = drawn(1, 6, 6, 1), drawn(8, 1, 3, 3, state=1), drawn(8, state=2)
    x[0, 0, 0] = torch.nan
    y, places = pooled_convolution(kernels, x, weight, bias, True)
    assert y[0].isnan().all(-1).tolist() == [[i == j == 0 for j in range(3)] for i in range(3)]
    of_weight, _ = pooled_convolution_slopes(kernels, x, weight, y, places, torch.ones_like(y), True)
    assert of_weight.isnan().any()
    maps = drawn(1, 3, 3, 2, 2, 8)
    maps[0, 0, 0, 0, 0, 3] = torch.nan
    shuffled, out = shuffled_convolution(kernels, maps, drawn(1, 8, 3, 3), drawn(1), 1)
    assert shuffled[0, 0, 0].isnan().tolist() == [i == 3 for i in range(8)]
    assert out[0, :, :, 0].isnan().tolist() == [[i < 2 and j < 2 for j in range(4)] for i in range(4)]
    of_maps, *_ = shuffled_convolution_slopes(kernels, drawn(1, 8, 3, 3), shuffled, torch.ones_like(out), 1)
    assert not of_maps.isnan().any()
    assert of_maps[0, 0, 0, 0, 0, 3]  # as for PyTorch's ReLU


NETS: dict[str, dict[str, Any]] = {
    "vector": {"architecture": Conv((16, 16))},
    "map": {"architecture": Conv((16,), code="map")},
    "double": {"architecture": Conv((8, 8), code="map", up="double")},
    "linear": {"architecture": Conv((8, 16), activation="linear")},
    "kernel": {"architecture": Conv((8, 8), kernel=5)},
    "transpose": {"architecture": Conv((8, 12), up="transpose", down="stride")},
    "narrow": {"architecture": Conv((5, 9))},
}


def nets(name: str, shape: tuple[int, ...] = (28, 28)) -> Any:
    X = np.random.default_rng(0).random((20, *shape))
    return Autoencoder(4, likelihood=Bernoulli(), random_state=0, **NETS[name]).initialize(X).model_.train()


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (21, 25)])
@pytest.mark.parametrize("name", NETS)
def test_nets_have_the_slopes_of_their_layers_and_slopes_of_slopes(name: str, shape: tuple[int, ...]) -> None:
    of = nets(name, shape)
    for part, x in ((of.encoder, drawn(5, *shape)), (of.decoder, of.encoder(drawn(5, *shape)).detach())):
        assert isinstance(part, ConvStack)
        z, slope, found = x.requires_grad_(part is of.decoder), None, list[Any]()
        for forward in (part, nn.Sequential(*part)):
            y = forward(z)
            slope = drawn(*y.shape, state=4)
            inputs = [*part.parameters(), *([z] if part is of.decoder else [])]
            first = torch.autograd.grad(y, inputs, slope, create_graph=True)
            second = torch.autograd.grad(sum(s.square().sum() for s in first), inputs, allow_unused=True)  # type: ignore[arg-type]
            found.append([y, *torch.autograd.grad(forward(z), inputs, slope), *first, *second])
        for ours, theirs in zip(*found, strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-3 * float(theirs.detach().abs().max() + 1))


def used(part: nn.Module, x: Tensor) -> set[str]:
    """The names of the operations of the kernels in the graph of an output."""
    seen, left = set[Any](), [part(x).grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [following for following, _ in node.next_functions]
    return {node.name() for node in seen if "Convolution" in node.name() and node.name().startswith("_")}


def test_the_kernels_are_used_where_nobody_listens() -> None:
    of, x = nets("vector"), drawn(5, 28, 28)
    z = of.encoder(x).detach().requires_grad_()
    every = {"_ConvolutionBackward"}
    pooled, shuffled = every | {"_PooledConvolutionBackward"}, every | {"_ShuffledConvolutionBackward"}
    assert used(of.encoder, x) == pooled
    assert used(of.decoder, z) == shuffled
    assert (
        used(of.encoder, x.clone().requires_grad_()) == every
    )  # the kernels compute no slope by the first layer's input
    for part, given in ((of.encoder, x), (of.decoder, z)):
        for layer in list(part)[1:4] if part is of.encoder else list(part)[-4:-1]:
            other, heard = copy.deepcopy(part), list[Any]()
            twin = list(other)[list(part).index(layer)]
            handle = twin.register_forward_hook(lambda *given, heard=heard: heard.append(given))
            assert used(other, given) <= every
            assert len(heard) == 1
            handle.remove()
            assert used(other, given) > every
        frozen = copy.deepcopy(part).requires_grad_(False)
        list(frozen.parameters())[-1].requires_grad_()
        assert [p.grad is None for p in frozen.parameters()][-1]
        frozen(given).sum().backward()
        assert [p.grad is not None for p in frozen.parameters()][-1]
        assert sum(p.grad is not None for p in frozen.parameters()) == 1
    with torch.autocast("cpu", torch.bfloat16):
        assert of.encoder(x).dtype is torch.bfloat16
    with torch.inference_mode():
        assert torch.equal(of.encoder(x), nn.Sequential(*of.encoder)(x))
    assert of.double().encoder(x.double()).dtype is torch.float64


@pytest.mark.parametrize("name", NETS)
def test_training_is_the_same_but_for_rounding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, losses = np.random.default_rng(0).random((60, 28, 28)), list[Any]()
    for by in (native.load(), None):
        monkeypatch.setattr("isthmus.nn.dense_stack.load", lambda by=by: by)
        ae = Autoencoder(4, likelihood=Bernoulli(), epochs=2, batch_size=20, random_state=0, **NETS[name]).fit(X)
        losses.append([report.loss for report in ae.history_])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
