"""Estimates of the memory and the work that a model requires, from the sizes of its layers, before any memory is allocated."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn

from isthmus.architectures.conditional import ContextAdded, ContextJoined
from isthmus.architectures.mlp import Transposed
from isthmus.architectures.tcn import CausalBlock
from isthmus.model import Model
from isthmus.nn.layers import (
    Crop,
    FeaturesFirst,
    FeaturesLast,
    FewChannelConv2d,
    FromChannelsFirst,
    SizedLayer,
    ToChannelsFirst,
    UpsampleConv2d,
)

__all__ = ["Footprint", "bounded_batch_size", "footprint", "training_bytes"]

_EXAMPLE_COPIES = 6  # outside the layers: an example in raw and in model units, its reconstruction, its losses
_MAX_BATCH_BYTES = 2**29  # of the examples of one inference batch
_MULTIPLE = 32  # batch sizes are multiples of this, so that the same instructions compute each example
_INDEX_VALUES = 2  # values of four bytes: pooling stores the position of each maximum in eight bytes
_ONEDNN_BLOCK = 16  # channels that oneDNN computes together
_CODE_COPIES = 5  # the encoder's output, the bottleneck's intermediate results, the penalty

Shape = tuple[int, ...]
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED_CONVOLUTIONS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


class Footprint(NamedTuple):
    """The peak memory and the work of one example, without the weights."""

    inference_bytes: int
    training_bytes: int
    multiplications: int  # with weights, in one forward pass
    shared_bytes: int  # needed once for all examples of a batch
    pass_bytes: int  # of the outputs of all layers of the encoder or of the decoder, the larger of both


_CACHE: WeakKeyDictionary[Model, Footprint] = WeakKeyDictionary()


class Layer(NamedTuple):
    """The number of values that a layer handles for one example, and its multiplications with weights."""

    workspace: int  # besides input and output
    inputs: int
    outputs: int
    multiplications: int


def footprint(model: Model) -> Footprint:
    """The footprint of one example of a model, cached per model.

    Inference counts the largest of encoding, decoding and scoring. Unknown layers, such as those of user modules, count as if their output
    had the shape of their input.
    """
    if model not in _CACHE:
        _CACHE[model] = _estimate(model)
    return _CACHE[model]


def bounded_batch_size(model: Model, maximum: int) -> int:
    """The batch size of inference: ``maximum``, or smaller if examples are large. It is a multiple of 32, or 1."""
    size = min(maximum, _MAX_BATCH_BYTES // max(1, footprint(model).inference_bytes))
    return max(1, size - size % _MULTIPLE)


def training_bytes(model: Model, batch_size: int, units: int) -> int:
    """About the peak memory of a training step, without the weights: also what penalties allocate, such as derivatives and critics.

    Args:
        model: the model.
        batch_size: the number of examples of a batch.
        units: the number of units of a code, at all positions together.
    """
    needed, terms = footprint(model), model.penalty.terms
    example = needed.training_bytes + needed.pass_bytes * sum(term.passes(units) for term in terms)
    values = sum(term.workspace(batch_size, units) for term in terms) * model.bottleneck.draws
    return example * batch_size + needed.shared_bytes + values * model.dtype.itemsize


def _estimate(model: Model) -> Footprint:
    seen, outputs = model.likelihood.encoder_shape(model.shape), model.likelihood.outputs(model.shape)
    n_features, code_size = max(map(math.prod, (model.shape, seen, outputs))), model.bottleneck.size
    layers = list[Layer]()
    positions = (*model.architecture.positions(seen),) if not model.architecture.user_defined else ()
    _add_layers(model.encoder, seen, layers)
    middle = len(layers)
    _add_layers(model.decoder, (*positions, code_size), layers)
    half = max(sum(layer.outputs for layer in part) for part in (layers[:middle], layers[middle:]))
    values_per_position = max(model.bottleneck.encoder_outputs, code_size) + model.bottleneck.workspace
    codes = _CODE_COPIES * math.prod(positions) * values_per_position
    copies = _EXAMPLE_COPIES * n_features * max(model.dtype.itemsize, model.shift.dtype.itemsize)
    largest = max((layer.workspace + layer.inputs + layer.outputs for layer in layers), default=0)
    stored = sum(layer.outputs for layer in layers) + 2 * largest + codes
    multiplications = (
        sum(layer.multiplications for layer in layers) + math.prod(positions) * model.bottleneck.multiplications
    )
    size = model.dtype.itemsize
    return Footprint(
        inference_bytes=copies + (largest + codes) * size,
        training_bytes=model.bottleneck.draws * (copies + stored * size),
        multiplications=multiplications,
        pass_bytes=model.bottleneck.draws * half * size,
        shared_bytes=(model.bottleneck.shared_values + model.bottleneck.anchors * (largest + codes)) * size,
    )


def _add_layers(module: nn.Module, shape: Shape, layers: list[Layer]) -> Shape:
    """Appends the layers of a chain to the list; returns the shape of its output."""
    if isinstance(module, nn.Sequential):
        for part in module:
            shape = _add_layers(part, shape, layers)
        return shape
    if isinstance(module, ContextAdded | ContextJoined):
        before = _with_context(module, shape, layers)
        return _add_layers(module.inner, before, layers)
    if isinstance(module, CausalBlock):
        _add_layers(module.skip, shape, layers)
        return _add_layers(module.layers, shape, layers)
    if isinstance(module, SizedLayer):
        size = module.size_for(shape)
        layers.append(Layer(0, math.prod(shape), size.values, size.multiplications))
        return size.shape
    try:
        after = shape_after(module, shape)
        if not isinstance(module, _VIEWS):
            work = _workspace(module, shape, after), _multiplications(module, shape, after)
            layers.append(Layer(work[0], math.prod(shape), math.prod(after), work[1]))
    except (ValueError, IndexError):  # a module of the user has reshaped its input
        after = shape
        layers.append(Layer(0, math.prod(shape), math.prod(shape), 0))
    return after


def _with_context(module: ContextAdded | ContextJoined, shape: Shape, layers: list[Layer]) -> Shape:
    """Appends what joins an input with its context; returns the shape of what the inner network receives."""
    if isinstance(module, ContextAdded):
        d = math.prod(shape)
        layers.append(Layer(d, d + module.context, d, d * module.context))
        return shape
    joined = (*shape[:-1], shape[-1] + module.context)
    layers.append(Layer(0, math.prod(shape), math.prod(joined), 0))
    return joined


_VIEWS = (nn.Identity, nn.Flatten, nn.Unflatten, ToChannelsFirst, FromChannelsFirst, FeaturesFirst, FeaturesLast, Crop)


def _workspace(layer: nn.Module, before: Shape, after: Shape) -> int:
    """The number of values that a layer allocates besides its input and output."""
    if isinstance(layer, FewChannelConv2d):
        return math.prod(layer.kernel_size) * math.prod(after)
    if isinstance(layer, UpsampleConv2d):
        return math.prod(after)
    if isinstance(layer, _POOLS):
        return _INDEX_VALUES * math.prod(after)
    if not isinstance(layer, (*_CONVOLUTIONS, *_TRANSPOSED_CONVOLUTIONS)):
        return 0
    large, small = (after, before) if isinstance(layer, _TRANSPOSED_CONVOLUTIONS) else (before, after)
    patches = math.prod(layer.kernel_size) * large[0] * math.prod(small[1:])  # one per position of the smaller map
    if layer.weight.dtype == torch.float64:  # without oneDNN
        return patches
    if len(after) == 2:  # in one dimension PyTorch makes patches, or oneDNN both maps in blocks of channels
        blocks = (-(-channels // _ONEDNN_BLOCK) * _ONEDNN_BLOCK * length for channels, length in (before, after))
        return max(patches, sum(blocks))
    return 0


def _multiplications(layer: nn.Module, before: Shape, after: Shape) -> int:
    """The number of multiplications of a layer with its weights, for one example."""
    if isinstance(layer, Transposed):
        return math.prod(before) * after[-1]
    if isinstance(layer, UpsampleConv2d):  # four small kernels on the input's map
        (o, c, k, _), padding = layer.weight.shape, int(layer.padding[0])
        side = (k - padding) // 2 - (1 - padding) // 2 + 1
        return 4 * o * c * side**2 * math.prod(length + 2 * ((padding + 1) // 2) - side + 1 for length in before[1:])
    weights = sum(weight.numel() for weight in layer.parameters(recurse=False) if weight.ndim > 1)
    if isinstance(layer, nn.Linear):
        return weights * math.prod(before[:-1])
    return weights * math.prod(
        (before if isinstance(layer, (*_TRANSPOSED_CONVOLUTIONS, FewChannelConv2d)) else after)[1:]
    )


def shape_after(layer: nn.Module, shape: Shape) -> Shape:
    """The shape of a layer's output for one example, channels first for maps. Unknown layers keep the shape."""
    return next((after(layer, shape) for kinds, after in _SHAPES_AFTER.items() if isinstance(layer, kinds)), shape)


def _after_convolution(layer: Any, shape: Shape) -> Shape:
    sides = zip(shape[1:], layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True)
    return (layer.out_channels, *((side + 2 * p - d * (k - 1) - 1) // s + 1 for side, k, s, p, d in sides))


def _after_transposed(layer: Any, shape: Shape) -> Shape:
    sides = zip(shape[1:], layer.kernel_size, layer.stride, layer.padding, layer.output_padding, strict=True)
    return (layer.out_channels, *((side - 1) * s - 2 * p + k + extra for side, k, s, p, extra in sides))


def _after_upsampling(layer: Any, shape: Shape) -> Shape:
    cropped = layer.kernel_size[0] - 1 - 2 * layer.padding[0]
    return (layer.out_channels, *(2 * side - cropped for side in shape[1:]))


_SHAPES_AFTER: dict[Any, Callable[[Any, Shape], Shape]] = {  # the first matching entry applies
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
    UpsampleConv2d: _after_upsampling,
    _CONVOLUTIONS: _after_convolution,
    _TRANSPOSED_CONVOLUTIONS: _after_transposed,
    nn.ConstantPad1d: lambda layer, shape: (shape[0], shape[1] + sum(layer.padding)),
    _POOLS: lambda _, shape: (shape[0], *(-(-side // 2) for side in shape[1:])),
}
