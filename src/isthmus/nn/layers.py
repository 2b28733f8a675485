"""Layers that PyTorch does not have: changes of axis order, sized layers, and two convolutions that are faster than PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.nn.invariant import batch_invariant

__all__ = [
    "Crop",
    "FeaturesFirst",
    "FeaturesLast",
    "FewChannelConv2d",
    "FromChannelsFirst",
    "LayerSize",
    "SizedLayer",
    "ToChannelsFirst",
    "UpsampleConv2d",
]


class LayerSize(NamedTuple):
    """What a layer makes of one example: the shape of its output, the number of values that it keeps for the backward pass, its output
    among them, and its multiplications.
    """

    shape: tuple[int, ...]
    values: int
    multiplications: int


class SizedLayer(nn.Module):
    """A layer that states its size, for the estimate of memory and work. Others are known by their class."""

    def size_for(self, shape: tuple[int, ...]) -> LayerSize:
        """The size for one example of a shape."""
        raise NotImplementedError


class ToChannelsFirst(nn.Module):
    """Examples (b, *shape) -> (b, channels, *sides), as convolutions expect them: a view with channels last in memory."""

    def __init__(self, sides: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.shape = (*sides, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, *self.shape).movedim(-1, 1)


class FromChannelsFirst(nn.Module):
    """The inverse: (b, channels, *sides) -> examples (b, *shape)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, y: Tensor) -> Tensor:
        return y.movedim(1, -1).reshape(-1, *self.shape)


class FeaturesLast(nn.Module):
    """(b, features, *positions) -> (b, *positions, features), as bottlenecks expect them."""

    def forward(self, h: Tensor) -> Tensor:
        return h.movedim(1, -1)


class FeaturesFirst(nn.Module):
    """(b, *positions, features) -> (b, features, *positions), as convolutions expect them."""

    def forward(self, z: Tensor) -> Tensor:
        return z.movedim(-1, 1)


class Crop(nn.Module):
    """A center crop to the given sides: the decoder's upsampling may produce more pixels than an example has."""

    def __init__(self, sides: tuple[int, ...]) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, y: Tensor) -> Tensor:
        for axis, side in enumerate(self.sides, start=2):
            y = y.narrow(axis, (y.shape[axis] - side) // 2, side)
        return y


class FewChannelConv2d(nn.Conv2d):
    """A convolution of stride 1 with very few output channels: one matrix product for all kernel positions, then a sum of shifted maps.

    It is faster, since oneDNN pads the output to 16 channels. A bfloat16 product is summed in float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        return batch_invariant(few_channel_conv2d, x, self.weight, self.bias)


def few_channel_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The forward pass of `FewChannelConv2d`: x (b, c, h, w) and a kernel (o, c, k, k) -> (b, o, h, w)."""
    kind, (o, c, *sides) = x.device.type, weight.shape
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    rows = x.movedim(1, -1).reshape(-1, c).to(dtype)
    taps = weight.permute(2, 3, 0, 1).reshape(-1, c).to(dtype)
    maps: Tensor = MatmulTransposed.apply(taps, rows)  # type: ignore[no-untyped-call]  # PyTorch's
    y: Tensor = ShiftedSum.apply(maps.reshape(*sides, o, x.shape[0], *x.shape[2:]))  # type: ignore[no-untyped-call]
    return (y if bias is None else y + bias[:, None, None, None]).transpose(0, 1)


class MatmulTransposed(torch.autograd.Function):
    """a (m, c), b (n, c) -> a b' (m, n). The gradient of b has the memory layout of b."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a @ b.T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        return gradient @ b, gradient.T @ a


class ShiftedSum(torch.autograd.Function):
    """Maps (k, k, o, b, h, w), one per kernel position -> their sum (o, b, h, w), each shifted by its position."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.shape, ctx.dtype = maps.shape, maps.dtype
        middle = maps.shape[0] // 2
        total = maps[middle, middle].to(torch.promote_types(maps.dtype, torch.float32), copy=True)
        for u, v, target, source in _kernel_offsets(maps.shape):
            if (u, v) != (middle, middle):
                total[(..., *target)].add_(maps[u, v][(..., *source)])
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        maps = gradient.new_zeros(ctx.shape, dtype=ctx.dtype)
        for u, v, target, source in _kernel_offsets(ctx.shape):
            maps[u, v][(..., *source)] = gradient[(..., *target)]
        return maps


def _kernel_offsets(shape: torch.Size) -> list[tuple[int, int, tuple[slice, slice], tuple[slice, slice]]]:
    """For each kernel position: its two indices, the slices of the sum that its map covers, and the slices of the map."""
    k, (h, w) = shape[0], shape[-2:]

    def parts(tap: int, side: int) -> tuple[slice, slice]:
        shift = tap - k // 2
        target = slice(max(0, -shift), max(0, side - max(0, shift)))
        return target, slice(target.start + shift, max(target.start + shift, target.stop + shift))

    return [
        (u, v, (parts(u, h)[0], parts(v, w)[0]), (parts(u, h)[1], parts(v, w)[1])) for u in range(k) for v in range(k)
    ]


class UpsampleConv2d(nn.Conv2d):
    """Nearest-neighbor upsampling by 2 and a convolution in one operation.

    Several of the k x k kernel positions cover the same input pixel, so output rows and columns of even and odd index have smaller
    kernels, made of sums of weights. All four combinations are one convolution of the input, followed by a pixel shuffle. With k = 3
    this needs 4 / 9 of the operations (Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?").
    """

    def forward(self, x: Tensor) -> Tensor:
        return batch_invariant(upsample_conv2d, x, self.weight, self.bias, int(self.padding[0]))


def upsample_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, conv: Callable[..., Tensor] = F.conv2d
) -> Tensor:
    """The forward pass of `UpsampleConv2d`: x (b, c, h, w) and a kernel (o, c, k, k) -> (b, o, 2 h, 2 w), smaller without padding.

    ``conv`` computes the convolution, as `torch.nn.functional.conv2d`.
    """
    y: Tensor = PixelShuffle.apply(*upsampled_maps(x, weight, bias, padding, conv))  # type: ignore[no-untyped-call]  # PyTorch's
    return y.movedim(-1, 1)


def upsampled_maps(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, conv: Callable[..., Tensor] = F.conv2d
) -> tuple[Tensor, int]:
    """What `PixelShuffle` takes: the maps of even and odd positions, and how many rows later the odd ones start."""
    o, c, k, _ = weight.shape
    # the first input pixel under the kernel at even and odd output positions
    even, odd = (-padding) // 2, (1 - padding) // 2
    with torch.autocast(x.device.type, enabled=False):
        sums = _weight_sums(k, padding, weight.device, weight.dtype)
        kernels = weight.reshape(-1, k * k) @ sums.flatten(1)
    kernels = kernels.reshape(-1, *sums.shape[1:]).movedim(1, 0).reshape(4 * o, c, *sums.shape[2:])
    maps = conv(x, kernels, None if bias is None else bias.repeat(4), padding=-even).movedim(1, -1)
    return maps.reshape(*maps.shape[:3], 2, 2, -1), odd - even


@cache
def _weight_sums(k: int, padding: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(k k, 4, n, n): 1 where a kernel position covers an input pixel, for even and odd output rows and columns; else 0."""
    begins = [(parity - padding) // 2 for parity in (0, 1)]
    with torch.inference_mode(False):  # training needs normal tensors, also if inference fills the cache first
        sums = torch.zeros(k, 2, (k - padding) // 2 - begins[1] + 1, device=device, dtype=dtype)
        for parity, begin in enumerate(begins):
            for tap in range(k):
                sums[tap, parity, (parity + tap - padding) // 2 - begin] = 1
        return torch.einsum("aps,bqt->abpqst", sums, sums).reshape(k * k, 4, *[sums.shape[2]] * 2)


class PixelShuffle(torch.autograd.Function):
    """Maps (b, h, w, 2, 2, features) of even and odd positions -> (b, 2 h', 2 w', features). Odd ones start ``second`` rows later."""

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
