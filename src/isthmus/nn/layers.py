"""Layers that PyTorch lacks: views between examples and convolutions, and convolutions whose ordinary form wastes most of its work."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.nn.invariant import placeless

__all__ = [
    "Crop",
    "FeaturesFirst",
    "FeaturesLast",
    "FewChannelConv2d",
    "FromChannelsFirst",
    "ToChannelsFirst",
    "UpsampleConv2d",
]


class ToChannelsFirst(nn.Module):
    """Examples as they are to the (b, colors, *sides) of convolutions: a view, whose memory is channels last."""

    def __init__(self, sides: tuple[int, ...], colors: int) -> None:
        super().__init__()
        self.shape = (*sides, colors)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, *self.shape).movedim(-1, 1)


class FromChannelsFirst(nn.Module):
    """The way back from (b, colors, *sides) to the examples' own shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, y: Tensor) -> Tensor:
        return y.movedim(1, -1).reshape(-1, *self.shape)


class FeaturesLast(nn.Module):
    """(b, features, *positions) -> (b, *positions, features), as bottlenecks want them."""

    def forward(self, h: Tensor) -> Tensor:
        return h.movedim(1, -1)


class FeaturesFirst(nn.Module):
    """(b, *positions, features) -> (b, features, *positions), as convolutions want them."""

    def forward(self, z: Tensor) -> Tensor:
        return z.movedim(-1, 1)


class Crop(nn.Module):
    """The middle of what doubling made, at the size wanted."""

    def __init__(self, sides: tuple[int, ...]) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, y: Tensor) -> Tensor:
        for axis, side in enumerate(self.sides, start=2):
            y = y.narrow(axis, (y.shape[axis] - side) // 2, side)
        return y


class FewChannelConv2d(nn.Conv2d):
    """A convolution of stride 1 to very few features: one matrix product for all places of the kernel, then a sum of shifted maps.

    oneDNN computes sixteen features where one is wanted. The sum is taken in float32 where the product is in bfloat16.
    """

    def forward(self, x: Tensor) -> Tensor:
        return placeless(thin, x, self.weight, self.bias)


def thin(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """What `FewChannelConv2d` computes: (b, c, h, w) and a kernel (o, c, k, k) -> (b, o, h, w)."""
    kind, (o, c, *sides) = x.device.type, weight.shape
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    rows = x.movedim(1, -1).reshape(-1, c).to(dtype)
    taps = weight.permute(2, 3, 0, 1).reshape(-1, c).to(dtype)
    maps: Tensor = Products.apply(taps, rows)  # type: ignore[no-untyped-call]  # PyTorch's
    y: Tensor = ShiftedSum.apply(maps.reshape(*sides, o, len(x), *x.shape[2:]))  # type: ignore[no-untyped-call]
    return (y if bias is None else y + bias[:, None, None, None]).transpose(0, 1)


class Products(torch.autograd.Function):
    """a (m, c), b (n, c) -> a b' (m, n), with the gradient of b in the order of memory that b has."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a @ b.T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        return gradient @ b, gradient.T @ a


class ShiftedSum(torch.autograd.Function):
    """Maps (k, k, o, b, h, w), one for each place of a kernel -> their sum (o, b, h, w), each shifted by its place."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.shape, ctx.dtype = maps.shape, maps.dtype
        middle = maps.shape[0] // 2
        total = maps[middle, middle].to(torch.promote_types(maps.dtype, torch.float32), copy=True)
        for u, v, here, there in _places(maps.shape):
            if (u, v) != (middle, middle):
                total[(..., *here)].add_(maps[u, v][(..., *there)])
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        maps = gradient.new_zeros(ctx.shape, dtype=ctx.dtype)
        for u, v, here, there in _places(ctx.shape):
            maps[u, v][(..., *there)] = gradient[(..., *here)]
        return maps


def _places(shape: torch.Size) -> list[tuple[int, int, tuple[slice, slice], tuple[slice, slice]]]:
    """For each place of a kernel: the part of the sum that its map reaches, and the part of the map that falls on it."""
    k, (h, w) = shape[0], shape[-2:]

    def parts(place: int, side: int) -> tuple[slice, slice]:
        shift = place - k // 2
        here = slice(max(0, -shift), max(0, side - max(0, shift)))
        return here, slice(here.start + shift, max(here.start + shift, here.stop + shift))

    return [
        (u, v, (parts(u, h)[0], parts(v, w)[0]), (parts(u, h)[1], parts(v, w)[1])) for u in range(k) for v in range(k)
    ]


class UpsampleConv2d(nn.Conv2d):
    """A convolution of each number twice along both sides, without the doubling.

    Some of a kernel's k x k places fall on the same number: in places of even and of odd index the result has a smaller kernel each, of
    sums of weights. All four kinds are one convolution of the small picture, whose maps are then interleaved; with k = 3 that is
    4 / 9 of the work (Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?").
    """

    def forward(self, x: Tensor) -> Tensor:
        return placeless(doubled, x, self.weight, self.bias, int(self.padding[0]))


def doubled(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """What `UpsampleConv2d` computes: (b, c, h, w) and a kernel (o, c, k, k) -> (b, o, 2 h, 2 w), less what is not padded."""
    o, c, k, _ = weight.shape
    even, odd = (-padding) // 2, (1 - padding) // 2  # the first number that places of even and of odd index look at
    with torch.autocast(x.device.type, enabled=False):
        sums = _sums(k, padding, weight.device, weight.dtype)
        kernels = weight.reshape(-1, k * k) @ sums.flatten(1)
    kernels = kernels.reshape(-1, *sums.shape[1:]).movedim(1, 0).reshape(4 * o, c, *sums.shape[2:])
    maps = F.conv2d(x, kernels, None if bias is None else bias.repeat(4), padding=-even).movedim(1, -1)
    y: Tensor = PixelShuffle.apply(maps.reshape(*maps.shape[:3], 2, 2, -1), odd - even)  # type: ignore[no-untyped-call]  # PyTorch's
    return y.movedim(-1, 1)


@cache
def _sums(k: int, padding: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(k k, 4, n, n): which of a kernel's places fall on which number, for even and odd rows and columns."""
    begins = [(parity - padding) // 2 for parity in (0, 1)]
    with torch.inference_mode(False):  # whoever asks first: training takes them too
        sums = torch.zeros(k, 2, (k - padding) // 2 - begins[1] + 1, device=device, dtype=dtype)
        for parity, begin in enumerate(begins):
            for place in range(k):
                sums[place, parity, (parity + place - padding) // 2 - begin] = 1
        return torch.einsum("aps,bqt->abpqst", sums, sums).reshape(k * k, 4, *[sums.shape[2]] * 2)


class PixelShuffle(torch.autograd.Function):
    """Maps (b, h, w, 2, 2, features) of even and odd places -> (b, 2 h', 2 w', features); odd ones begin ``second`` rows later."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, second: int) -> Tensor:
        ctx.shape, ctx.second = maps.shape, second
        b, h, w = maps.shape[0], maps.shape[1] - second, maps.shape[2] - second
        y = maps.new_empty(b, h, 2, w, 2, maps.shape[-1])
        for p, q in ((0, 0), (0, 1), (1, 0), (1, 1)):
            y[:, :, p, :, q] = maps[:, p * second : p * second + h, q * second : q * second + w, p, q]
        return y.reshape(b, 2 * h, 2 * w, -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        second = ctx.second
        b, h, w = ctx.shape[0], ctx.shape[1] - second, ctx.shape[2] - second
        gradient = gradient.reshape(b, h, 2, w, 2, -1)
        maps = gradient.new_zeros(ctx.shape) if second else gradient.new_empty(ctx.shape)
        for p, q in ((0, 0), (0, 1), (1, 0), (1, 1)):
            maps[:, p * second : p * second + h, q * second : q * second + w, p, q] = gradient[:, :, p, :, q]
        return maps, None
