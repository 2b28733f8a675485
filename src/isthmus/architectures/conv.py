"""Convolutions over sequences, images and volumes of any size and number of channels."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import model_validator
from torch import Generator, nn

from isthmus.architectures.base import Architecture, Initialization, Pair, ReceptiveField, blank, initialize
from isthmus.data.kinds import Kind
from isthmus.errors import RecordError
from isthmus.nn.activations import Activation, activation_layers
from isthmus.nn.conv_stack import ConvStack
from isthmus.nn.invariant_layers import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Dense
from isthmus.nn.layers import (
    Crop,
    FeaturesFirst,
    FeaturesLast,
    FewChannelConv2d,
    FromChannelsFirst,
    ToChannelsFirst,
    UpsampleConv2d,
)
from isthmus.records import Count, Sizes, record

__all__ = ["Conv"]

_CONV = {1: Conv1d, 2: Conv2d, 3: Conv3d}
_TRANSPOSED = {1: ConvTranspose1d, 2: ConvTranspose2d, 3: ConvTranspose3d}
_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_LARGE = 2**13  # values of a map from which on our layers are faster than PyTorch's
_THIN = 4  # features
_TAPS, _FOLDED = (
    64,
    7,
)  # copies of a map that such a layer makes, and its largest kernel: beyond these it is slower
_RISING = {
    "linear",
    "relu",
    "elu",
    "sigmoid",
    "tanh",
}  # monotone: applied after pooling, they give the same at a quarter of the work


@record
class Conv(Architecture):
    """Convolutional stages that halve each side, and mirrored stages that double it.

    Examples are (length,), (height, width), (height, width, channels) or (depth, height, width, channels); or of series (time, channels),
    with ``axes=1``. ``axes`` is the number of axes that are convolved over; "auto": those of this list, or 1 if kind="series".

    ``code="vector"``: stages of ``channels`` features, then a dense layer to the code, (b, encoder_outputs). ``code="map"``: one more
    stage makes the code a feature map, (b, height', width', encoder_outputs); its activation is the bottleneck's.
    ``down``: "pool" (convolution, then 2 x 2 max pooling) or "stride" (convolution with stride 2).
    ``up``: "resize" (nearest-neighbor upsampling to the mirrored size, then convolution: no checkerboard artifacts, Odena, Dumoulin &
    Olah 2016), "double" (convolution, then upsampling by 2; surplus rows are removed by convolutions without padding or by cropping)
    or "transpose" (transposed convolution). ``output`` is the activation after the last layer.

    Examples:
        >>> Autoencoder(4, architecture=Conv((8, 16)), epochs=1, random_state=0).fit(X).code_shape_
        (4,)
    """

    channels: Sizes = (32, 64)
    kernel: Count = 3
    code: Literal["vector", "map"] = "vector"
    down: Literal["pool", "stride"] = "pool"
    up: Literal["resize", "double", "transpose"] = "resize"
    activation: Activation = "relu"
    output: Activation = "linear"
    initialization: Initialization = "glorot"
    axes: Literal["auto", 1, 2, 3] = "auto"

    @model_validator(mode="after")
    def _kernel_is_odd(self) -> Conv:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} is even; use an odd kernel size")
        return self

    def positions(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return _halved(self._sides(shape), len(self.channels) + 1)[-1] if self.code == "map" else ()

    def receptive_field(self, shape: tuple[int, ...]) -> ReceptiveField | None:
        """That of images and series with ``code="map"`` whose sides are multiples of the stride: they are fully convolutional.

        None for other sides: their mirrored stages enlarge by less than 2, so that the weights compute something else at multiples.

        Args:
            shape: of one example.
        """
        stride = 2 ** (len(self.channels) + 1)
        sides = self._sides(shape)
        if self.code != "map" or len(sides) > 2 or any(side % stride for side in sides):
            return None
        seen = [(pixel, *self._seen_by(pixel)) for pixel in range(stride)]
        return ReceptiveField(stride, max(max(pixel - first, last - pixel) for pixel, first, last in seen), len(sides))

    def _seen_by(self, pixel: int) -> tuple[int, int]:
        """The first and the last pixel along an axis on which a pixel of the reconstruction depends: layer by layer backwards."""
        first, last, half, stages = pixel, pixel, self.kernel // 2, len(self.channels) + 1
        if self.up == "resize":
            first, last = first - half, last + half  # the last convolution
        for _ in range(stages):
            first, last = first - half, last + half
            first, last = (-(-first // 2) if self.up == "transpose" else first // 2), last // 2
        if self.up == "double":
            first, last = first - half, last + half  # the first convolution
        for _ in range(stages):
            first, last = 2 * first, 2 * last + (self.down == "pool")
            first, last = first - half, last + half
        return first, last

    def for_kind(self, kind: Kind) -> Conv:
        """That of series convolves over time alone.

        Args:
            kind: of the examples.
        """
        return self.replace(axes=1) if kind == "series" and self.axes == "auto" else self

    def prefers_bfloat16(self, shape: tuple[int, ...]) -> bool:
        return True

    def supports_bfloat16(self, shape: tuple[int, ...]) -> bool:
        """Not for volumes, and not if the last side of a stage is 1: there oneDNN's weight gradients are not reproducible.

        Args:
            shape: of one example.
        """
        sides = self._sides(shape)
        return len(sides) <= 2 and sides[-1] > 2 ** (len(self.channels) + (self.code == "map") - 1)

    @property
    def inference_batch_size(self) -> int:
        return 32

    def build(
        self,
        shape: tuple[int, ...],
        encoder_outputs: int,
        size: int,
        generator: Generator,
        outputs: tuple[int, ...] | None = None,
    ) -> Pair:
        sides = self._sides(shape)
        outputs = shape if outputs is None else outputs
        colors, features = math.prod(shape[len(sides) :]), math.prod(outputs[len(sides) :])
        if len(sides) > 3:
            raise RecordError(f"Conv takes sequences, images and volumes, not examples of shape {shape}; use MLP")
        maps = self.code == "map"
        down = (colors, *self.channels, *([encoder_outputs] if maps else []))
        stages = (*self.channels, *([size] if maps else []))
        if not stages:
            raise RecordError("Conv: channels=() has no stage; give at least one")
        sizes = _halved(sides, len(stages))
        back = {"resize": self._resized, "double": self._doubled, "transpose": self._transposed}[self.up]
        encoder: list[nn.Module] = [ToChannelsFirst(sides, colors), *self._down(down, len(sides))]
        decoder: list[nn.Module] = [
            *back(stages[::-1], features, sizes[::-1]),
            *activation_layers(self.output),
            FromChannelsFirst(outputs),
        ]
        if maps:
            encoder, decoder = [*encoder, FeaturesLast()], [FeaturesFirst(), *decoder]
        else:
            inner = torch.Size((stages[-1], *sizes[-1]))
            encoder = [*encoder, nn.Flatten(), blank(Dense, inner.numel(), encoder_outputs)]
            decoder = [
                blank(Dense, size, inner.numel()),
                *activation_layers(self.activation),
                nn.Unflatten(1, inner),
                *decoder,
            ]
        pair = Pair(ConvStack(*encoder), ConvStack(*decoder))
        initialize(pair.encoder, self.initialization, generator)
        initialize(pair.decoder, self.initialization, generator)
        return pair

    def _sides(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The sides of examples of a shape, whose last axis may be channels."""
        if self.axes != "auto":
            if len(shape) not in {self.axes, self.axes + 1}:
                raise RecordError(f"Conv: axes={self.axes} does not fit examples of shape {shape}; leave it out")
            return shape[: self.axes]
        return shape if len(shape) <= 2 else shape[:-1]

    def _down(self, channels: tuple[int, ...], dims: int) -> list[nn.Module]:
        """One halving stage for each pair of channels. The bottleneck applies the activation of a code map."""
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(channels)):
            makes_code = self.code == "map" and i == len(channels) - 2
            layers.append(self._convolution(a, b, dims, stride=2 if self.down == "stride" else 1))
            activation = [] if makes_code else activation_layers(self.activation)
            pool = [_POOL[dims](2, ceil_mode=True)] if self.down == "pool" else []
            layers += [*pool, *activation] if self.activation in _RISING else [*activation, *pool]
        return layers

    def _resized(self, stages: tuple[int, ...], colors: int, sizes: list[tuple[int, ...]]) -> list[nn.Module]:
        layers, padding = list[nn.Module](), self.kernel // 2
        for a, b, small, large in zip((stages[0], *stages), stages, sizes, sizes[1:], strict=False):
            exact = large == tuple(2 * side for side in small)
            layers += [*self._enlarged(a, b, large, exact, padding), *activation_layers(self.activation)]
        return [*layers, self._same(stages[-1], colors, sizes[-1], padding)]

    def _doubled(self, stages: tuple[int, ...], colors: int, sizes: list[tuple[int, ...]]) -> list[nn.Module]:
        here, layers, half = sizes[0], list[nn.Module](), self.kernel // 2
        for i, (a, b, mirrored) in enumerate(zip((stages[0], *stages), stages, sizes, strict=False)):
            shed = self.kernel - 1 if all(h - self.kernel + 1 >= m for h, m in zip(here, mirrored, strict=True)) else 0
            padding = 0 if shed else half
            layers += (
                [self._same(a, b, here, padding)] if i == 0 else self._enlarged(a, b, here, exact=True, padding=padding)
            )
            layers += activation_layers(self.activation)
            here = tuple(2 * (side - shed) for side in here)
        if here == sizes[-1]:
            double, last = self._enlarged(stages[-1], colors, here, exact=True, padding=half)
            return [*layers, double, nn.Identity(), last]
        double, last = nn.Upsample(here, mode="nearest"), self._same(stages[-1], colors, sizes[-1], half)
        return [*layers, double, Crop(sizes[-1]), last]

    def _transposed(self, stages: tuple[int, ...], colors: int, sizes: list[tuple[int, ...]]) -> list[nn.Module]:
        dims, layers = len(sizes[0]), list[nn.Module]()
        for a, b, small, large in zip(stages, (*stages[1:], colors), sizes, sizes[1:], strict=False):
            over = tuple(
                1 - (2 * s - to) for s, to in zip(small, large, strict=True)
            )  # an odd side needs no output padding
            layer = blank(_TRANSPOSED[dims], a, b, self.kernel, stride=2, padding=self.kernel // 2, output_padding=over)
            layers += [layer, *activation_layers(self.activation)]
        return layers[: len(layers) - len(activation_layers(self.activation))]

    def _enlarged(self, a: int, b: int, large: tuple[int, ...], exact: bool, padding: int) -> list[nn.Module]:
        """A convolution after upsampling; ``exact``: by exactly 2 along each side."""
        if exact and len(large) == 2 and a * math.prod(large) >= _LARGE and self.kernel <= _FOLDED:
            return [
                nn.Identity(),
                blank(UpsampleConv2d, a, b, self.kernel, padding=padding),
            ]  # the same names in a model file
        return [nn.Upsample(large, mode="nearest"), self._same(a, b, large, padding)]

    def _same(self, a: int, b: int, sides: tuple[int, ...], padding: int) -> nn.Module:
        """A convolution of stride 1; to very few features by a faster layer."""
        thin = b <= _THIN and b * self.kernel**2 <= _TAPS
        if len(sides) == 2 and padding == self.kernel // 2 and thin and a * math.prod(sides) >= _LARGE:
            return blank(FewChannelConv2d, a, b, self.kernel, padding=padding)
        return self._convolution(a, b, len(sides), padding=padding)

    def _convolution(self, a: int, b: int, dims: int, stride: int = 1, padding: int | None = None) -> nn.Module:
        """A convolution with uninitialized weights; by default it keeps the size."""
        padding = self.kernel // 2 if padding is None else padding
        return blank(_CONV[dims], a, b, self.kernel, stride=stride, padding=padding)


def _halved(sides: tuple[int, ...], times: int) -> list[tuple[int, ...]]:
    """The sides before and after each halving."""
    sizes = [sides]
    for _ in range(times):
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return sizes
