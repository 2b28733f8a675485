"""Convolutional layers one after the other, which the native kernels train in part where they are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from isthmus.native import Kernels
from isthmus.native.convolutions import (
    GROUP,
    convolution_slopes,
    pooled_convolution,
    pooled_convolution_slopes,
    shuffled_convolution,
    shuffled_convolution_slopes,
)
from isthmus.nn.dense_stack import is_heard, native_kernels
from isthmus.nn.invariant_layers import Conv2d
from isthmus.nn.layers import (
    FewChannelConv2d,
    PixelShuffle,
    ToChannelsFirst,
    UpsampleConv2d,
    upsample_conv2d,
    upsampled_maps,
)

__all__ = ["ConvStack"]

_MOST_TAPS = 64  # weights of a feature, beyond which a library is faster
_MOST_WEIGHTS = 2**18  # of a layer, beyond which the sums of their slopes take too much memory


class ConvStack(nn.Sequential):
    """Layers one after the other, as `nn.Sequential`. What is large at their ends never leaves the cache in training on a CPU.

    These are a first convolution of few channels with pooling and ReLU, and upsampling with ReLU and a convolution to few channels. Of
    other convolutions of stride 1 the kernels compute the slopes by the weights.
    """

    def forward(self, x: Tensor) -> Tensor:
        kernels = native_kernels(x)
        if kernels is None or torch_module._has_any_global_hook():
            plain: Tensor = super().forward(x)  # type: ignore[no-untyped-call]  # PyTorch's
            return plain
        parts = list(self)
        if _pools_first(parts) and not x.requires_grad:
            x, parts = _pooled(parts, x, kernels)
        while parts:
            if _shuffles(parts):
                x, parts = _shuffled(parts, x, kernels)
            else:
                x = _output(parts.pop(0), x, kernels)
        return x


def _output(layer: nn.Module, x: Tensor, kernels: Kernels) -> Tensor:
    """The output of a layer. Of a convolution that nobody listens to, the kernels compute the slopes by the weights."""
    if type(layer) not in {Conv2d, UpsampleConv2d} or is_heard(layer) or not _has_slopes(layer):
        y: Tensor = layer(x)
        return y
    assert isinstance(layer, nn.Conv2d)
    padding, conv = int(layer.padding[0]), partial(_convolved, kernels=kernels)
    if type(layer) is Conv2d:
        return conv(x, layer.weight, layer.bias, padding=padding)
    return upsample_conv2d(x, layer.weight, layer.bias, padding, conv)


def _has_slopes(layer: Any) -> bool:
    """Whether the kernels compute the slopes by the weights of a convolution."""
    padding = layer.padding if isinstance(layer.padding, tuple) else (0, 1)
    return _is_usual(layer) and padding[0] == padding[1] and layer.weight.numel() <= _MOST_WEIGHTS


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, kernels: Kernels) -> Tensor:
    y: Tensor = _Convolution.apply(x, weight, bias, padding, kernels)  # type: ignore[no-untyped-call]  # PyTorch's
    return y


def _pools_first(parts: Sequence[nn.Module]) -> bool:
    """Whether layers begin with a convolution of few channels that keeps the sides, and pooling in windows of 2 x 2."""
    if len(parts) < 3 or [type(part) for part in parts[:3]] != [ToChannelsFirst, Conv2d, nn.MaxPool2d]:
        return False
    pool: Any = parts[2]
    windows = (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode, pool.return_indices)
    few = _keeps_sides(parts[1]) and parts[1].weight[0].numel() <= _MOST_TAPS  # type: ignore[index]
    return few and _in_groups(parts[1]) and windows == (2, 2, 0, 1, True, False) and not any(map(is_heard, parts[:4]))


def _shuffles(parts: Sequence[nn.Module]) -> bool:
    """Whether layers begin with upsampling, ReLU and a convolution to few channels."""
    wanted = [UpsampleConv2d, nn.ReLU, FewChannelConv2d]
    if len(parts) < 3 or [type(part) for part in parts[:3]] != wanted or any(map(is_heard, parts[:3])):
        return False
    return _keeps_sides(parts[2]) and _in_groups(parts[0]) and parts[0].bias is not None


def _keeps_sides(layer: Any) -> bool:
    """Whether a layer is a convolution that the kernels know with an odd kernel, whose output has the sides of its input."""
    k = layer.kernel_size[0]
    return _is_usual(layer) and k % 2 == 1 and layer.padding == (k // 2, k // 2)


def _is_usual(layer: Any) -> bool:
    """Whether a layer is a convolution in float32 with bias, stride 1 and a square kernel, without what the kernels do not know."""
    settings = (layer.stride, layer.dilation, layer.groups, layer.padding_mode)
    square = layer.kernel_size[0] == layer.kernel_size[1] and settings == ((1, 1), (1, 1), 1, "zeros")
    return square and layer.bias is not None and _is_plain(layer.weight) and _is_plain(layer.bias)


def _is_plain(parameter: Tensor) -> bool:
    """Whether the kernels can read a parameter."""
    plain = type(parameter) in {Tensor, nn.Parameter} and parameter.dtype is torch.float32
    return plain and parameter.device.type == "cpu" and parameter.is_contiguous()


def _in_groups(layer: Any) -> bool:
    """Whether the kernels can compute the features of a layer."""
    return bool(layer.weight.shape[0] % GROUP == 0)


def _pooled(parts: list[nn.Module], x: Tensor, kernels: Kernels) -> tuple[Tensor, list[nn.Module]]:
    """The output of the first layers, and the layers behind them."""
    first, conv = parts[0], parts[1]
    rectified = len(parts) > 3 and type(parts[3]) is nn.ReLU
    images = first(x).movedim(1, -1).contiguous()
    y: Tensor = _PooledConvolution.apply(images, conv.weight, conv.bias, rectified, kernels)  # type: ignore[no-untyped-call]  # PyTorch's
    return y.movedim(-1, 1), parts[4 if rectified else 3 :]


def _shuffled(parts: list[nn.Module], x: Tensor, kernels: Kernels) -> tuple[Tensor, list[nn.Module]]:
    """The output of the last layers, and the layers behind them."""
    up, few = parts[0], parts[2]
    assert isinstance(up, nn.Conv2d)
    conv = partial(_convolved, kernels=kernels) if _has_slopes(up) else F.conv2d
    maps, shift = upsampled_maps(x, up.weight, up.bias, int(up.padding[0]), conv)
    y: Tensor = _ShuffledConvolution.apply(maps.contiguous(), few.weight, few.bias, shift, kernels)  # type: ignore[no-untyped-call]
    return y.movedim(-1, 1), parts[3:]


class _Convolution(torch.autograd.Function):
    """Images (b, c, h, w) -> the outputs of a convolution of stride 1, (b, n, h', w')."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: int, kernels: Kernels) -> Tensor:
        ctx.kernels, ctx.padding = kernels, padding
        ctx.save_for_backward(x, weight, bias)
        return F.conv2d(x, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Any, ...]:
        x, weight, bias = ctx.saved_tensors
        if _asks_for_more(slope):
            found = _differentiable(partial(F.conv2d, padding=ctx.padding), ctx, (x, weight, bias), slope)
            return (*found, None, None)
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            settings = ((1, 1), (ctx.padding,) * 2, (1, 1), False, (0, 0), 1)
            of_x = torch.ops.aten.convolution_backward(slope, x, weight, None, *settings, (True, False, False))[0]
        if any(ctx.needs_input_grad[1:3]):
            images, slope = (each.movedim(1, -1).contiguous() for each in (x, slope))
            of_weight, of_bias = convolution_slopes(ctx.kernels, images, weight, slope, ctx.padding)
        return of_x, of_weight, of_bias, None, None


class _PooledConvolution(torch.autograd.Function):
    """Images (b, h, w, c) -> the pooled and perhaps rectified outputs of a convolution, (b, h / 2, w / 2, n)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, rectified: bool, kernels: Kernels) -> Tensor:
        y, places = pooled_convolution(kernels, x, weight, bias, rectified)
        ctx.kernels, ctx.rectified = kernels, rectified
        ctx.save_for_backward(x, weight, bias, y, places)
        return y

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Any, ...]:
        x, weight, bias, y, places = ctx.saved_tensors
        if _asks_for_more(slope):
            found = _differentiable(_PooledConvolution._plain(ctx.rectified), ctx, (x, weight, bias), slope)
            return (*found, None, None)
        slopes = pooled_convolution_slopes(ctx.kernels, x, weight, y, places, slope.contiguous(), ctx.rectified)
        return (None, *slopes, None, None)

    @staticmethod
    def _plain(rectified: bool) -> Callable[..., Tensor]:
        """The same by PyTorch."""

        def compute(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            y = F.conv2d(x.movedim(-1, 1), weight, bias, padding=weight.shape[-1] // 2)
            y = F.max_pool2d(y, 2, ceil_mode=True).movedim(1, -1)
            return F.relu(y) if rectified else y

        return compute


class _ShuffledConvolution(torch.autograd.Function):
    """Maps (b, h + shift, w + shift, 2, 2, n) -> shuffled, rectified and convolved to few channels, (b, 2 h, 2 w, o)."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, shift: int, kernels: Kernels) -> Tensor:
        y, out = shuffled_convolution(kernels, maps, weight, bias, shift)
        ctx.kernels, ctx.shift = kernels, shift
        ctx.save_for_backward(maps, weight, bias, y)
        return out

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Any, ...]:
        maps, weight, bias, y = ctx.saved_tensors
        if _asks_for_more(slope):
            found = _differentiable(_ShuffledConvolution._plain(ctx.shift), ctx, (maps, weight, bias), slope)
            return (*found, None, None)
        return (*shuffled_convolution_slopes(ctx.kernels, weight, y, slope.contiguous(), ctx.shift), None, None)

    @staticmethod
    def _plain(shift: int) -> Callable[..., Tensor]:
        """The same by PyTorch."""

        def compute(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            y: Tensor = PixelShuffle.apply(maps, shift)  # type: ignore[no-untyped-call]  # PyTorch's
            y = F.relu(y).movedim(-1, 1)
            return F.conv2d(y, weight, bias, padding=weight.shape[-1] // 2).movedim(1, -1)

        return compute


def _asks_for_more(slope: Tensor) -> bool:
    """Whether somebody wants more than one derivative, or many at once."""
    return torch.is_grad_enabled() or torch._C._functorch.is_batchedtensor(slope)


def _differentiable(
    plain: Callable[..., Tensor], ctx: Any, given: tuple[Tensor, ...], slope: Tensor
) -> tuple[Tensor | None, ...]:
    """The slopes by what was given, by operations that have derivatives. Other uses of the same tensors do not count here."""
    with torch.enable_grad():
        given = tuple(tensor.view_as(tensor) for tensor in given)
        y = plain(*given)
    needed = ctx.needs_input_grad[: len(given)]
    inputs = [tensor for tensor, need in zip(given, needed, strict=True) if need]
    found = iter(torch.autograd.grad(y, inputs, slope, create_graph=torch.is_grad_enabled()))
    return tuple(next(found) if need else None for need in needed)
