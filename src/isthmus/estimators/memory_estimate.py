"""What a model takes when it is used, memory and work: known from the sizes of its layers, before any of it is taken."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn

from isthmus.architectures.mlp import Transposed
from isthmus.model import Model
from isthmus.nn.layers import (
    Crop,
    FeaturesFirst,
    FeaturesLast,
    FewChannelConv2d,
    FromChannelsFirst,
    ToChannelsFirst,
    UpsampleConv2d,
)

__all__ = ["Footprint", "examples_at_once", "footprint"]

_ENDS = (
    6  # copies of an example beside its layers: in units of the data and of the model, its reconstruction, its costs
)
_TOGETHER = 2**29  # bytes of the examples that pass through a model at once
_MULTIPLE = 32  # of examples, so that each meets the same instructions
_INDEX = 2  # numbers of four bytes, in which it is kept where a largest number stood
_BLOCK = 16  # features that oneDNN computes together
_CODES = 5  # copies of a code: what the encoder gives, what the bottleneck makes of it, its penalty

Shape = tuple[int, ...]
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CONVOLUTIONS_BACK = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


class Footprint(NamedTuple):
    """What one example takes at the peak beside the weights, in bytes, when it is used and in a step of training; its work: the
    multiplications with what was learned on its way through the model; and the bytes that all examples of a batch take but once."""

    use: int
    training: int
    products: int
    shared: int


_KNOWN: WeakKeyDictionary[Model, Footprint] = WeakKeyDictionary()


class Layer(NamedTuple):
    """Numbers that a layer takes for an example, reads, and writes; and its multiplications with weights."""

    beside: int
    read: int
    written: int
    products: int


def footprint(model: Model) -> Footprint:
    """What an example takes in encoding, decoding and scoring, whichever takes most, and in training.

    Layers that nobody knows, those of the user's own modules, count as if they kept the shape that they are given.
    """
    if model not in _KNOWN:
        _KNOWN[model] = _measured(model)
    return _KNOWN[model]


def examples_at_once(model: Model, most: int) -> int:
    """How many examples a model takes together when it is used: ``most``, or of large ones fewer, a multiple of 32 or one."""
    within = min(most, _TOGETHER // max(1, footprint(model).use))
    return max(1, within - within % _MULTIPLE)


def _measured(model: Model) -> Footprint:
    numbers, code = math.prod(model.shape), model.bottleneck.size
    layers = list[Layer]()
    positions = (*model.architecture.positions(model.shape),) if not model.architecture.user_defined else ()
    _walk(model.encoder, model.shape, layers)
    _walk(model.decoder, (*positions, code), layers)
    codes = _CODES * math.prod(positions) * max(model.bottleneck.encoder_outputs, code)
    ends = _ENDS * numbers * max(model.dtype.itemsize, model.shift.dtype.itemsize)
    largest = max((layer.beside + layer.read + layer.written for layer in layers), default=0)
    kept = sum(layer.written for layer in layers) + 2 * largest + codes
    products = sum(layer.products for layer in layers) + math.prod(positions) * model.bottleneck.products
    size = model.dtype.itemsize
    return Footprint(ends + (largest + codes) * size, ends + kept * size, products, model.bottleneck.beside * size)


def _walk(module: nn.Module, shape: Shape, layers: list[Layer]) -> Shape:
    """The shape that comes out of a chain of layers; what each takes is added to the list."""
    if isinstance(module, nn.Sequential):
        for part in module:
            shape = _walk(part, shape, layers)
        return shape
    after = shape_after(module, shape)
    if not isinstance(module, _VIEWS):
        layers.append(
            Layer(_beside(module, shape, after), math.prod(shape), math.prod(after), _products(module, shape, after))
        )
    return after


_VIEWS = (nn.Identity, nn.Flatten, nn.Unflatten, ToChannelsFirst, FromChannelsFirst, FeaturesFirst, FeaturesLast, Crop)


def _beside(layer: nn.Module, before: Shape, after: Shape) -> int:
    """Numbers that a layer takes beside what it reads and writes."""
    if isinstance(layer, FewChannelConv2d):
        return math.prod(layer.kernel_size) * math.prod(after)
    if isinstance(layer, UpsampleConv2d):
        return math.prod(after)
    if isinstance(layer, _POOLS):
        return _INDEX * math.prod(after)
    if not isinstance(layer, (*_CONVOLUTIONS, *_CONVOLUTIONS_BACK)):
        return 0
    wide, small = (after, before) if isinstance(layer, _CONVOLUTIONS_BACK) else (before, after)
    copies = (
        math.prod(layer.kernel_size) * wide[0] * math.prod(small[1:])
    )  # what surrounds each number of the smaller map
    if layer.weight.dtype == torch.float64:  # without oneDNN
        return copies
    if len(after) == 2:  # of lines either that or, with oneDNN, both maps in blocks of features
        return max(copies, sum(-(-features // _BLOCK) * _BLOCK * positions for features, positions in (before, after)))
    return 0


def _products(layer: nn.Module, before: Shape, after: Shape) -> int:
    """How often a layer multiplies with a weight, for one example."""
    if isinstance(layer, Transposed):
        return math.prod(before) * after[-1]
    if isinstance(layer, UpsampleConv2d):  # four small kernels on the small map
        (o, c, k, _), padding = layer.weight.shape, int(layer.padding[0])
        side = (k - padding) // 2 - (1 - padding) // 2 + 1
        return (
            4 * o * c * side**2 * math.prod(positions + 2 * ((padding + 1) // 2) - side + 1 for positions in before[1:])
        )
    weights = sum(weight.numel() for weight in layer.parameters(recurse=False) if weight.ndim > 1)
    if isinstance(layer, nn.Linear):
        return weights * math.prod(before[:-1])
    return weights * math.prod((before if isinstance(layer, (*_CONVOLUTIONS_BACK, FewChannelConv2d)) else after)[1:])


def shape_after(layer: nn.Module, shape: Shape) -> Shape:
    """The shape, features first where there are maps, that a layer makes of one example's: the same, unless more is known of it."""
    return next((after(layer, shape) for kinds, after in _AFTER.items() if isinstance(layer, kinds)), shape)


def _convolved(layer: Any, shape: Shape) -> Shape:
    sides = zip(shape[1:], layer.kernel_size, layer.stride, layer.padding, strict=True)
    return (layer.out_channels, *((side + 2 * p - k) // s + 1 for side, k, s, p in sides))


def _transposed(layer: Any, shape: Shape) -> Shape:
    sides = zip(shape[1:], layer.kernel_size, layer.stride, layer.padding, layer.output_padding, strict=True)
    return (layer.out_channels, *((side - 1) * s - 2 * p + k + more for side, k, s, p, more in sides))


def _doubled(layer: Any, shape: Shape) -> Shape:
    shed = layer.kernel_size[0] - 1 - 2 * layer.padding[0]
    return (layer.out_channels, *(2 * side - shed for side in shape[1:]))


_AFTER: dict[Any, Callable[[Any, Shape], Shape]] = {  # the first that fits
    nn.Linear: lambda layer, shape: (*shape[:-1], layer.out_features),
    Transposed: lambda layer, shape: (*shape[:-1], len(layer.bias)),
    nn.Flatten: lambda _, shape: (math.prod(shape),),
    nn.Unflatten: lambda layer, _: tuple(layer.unflattened_size),
    ToChannelsFirst: lambda layer, _: (layer.shape[-1], *layer.shape[:-1]),
    FromChannelsFirst: lambda layer, _: tuple(layer.shape),
    FeaturesLast: lambda _, shape: (*shape[1:], shape[0]),
    FeaturesFirst: lambda _, shape: (shape[-1], *shape[:-1]),
    Crop: lambda layer, shape: (shape[0], *layer.sides),
    nn.Upsample: lambda layer, shape: (shape[0], *layer.size),
    UpsampleConv2d: _doubled,
    _CONVOLUTIONS: _convolved,
    _CONVOLUTIONS_BACK: _transposed,
    _POOLS: lambda _, shape: (shape[0], *(-(-side // 2) for side in shape[1:])),
}
