"""The contract of an architecture, and the initialization of weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from torch import Generator, Tensor, nn

from isthmus.data.kinds import Kind
from isthmus.records import Record

__all__ = ["Architecture", "Initialization", "Pair", "ReceptiveField", "StartExamples", "blank", "initialize"]

Initialization = Literal["glorot", "he", "lecun", "normal", "truncated"]
"""The scheme of the initial weights; `initialize` defines the distributions."""


class Pair(NamedTuple):
    """encoder: (b, *shape) -> (b, ..., encoder_outputs), features last; decoder: (b, ..., size) -> (b, *outputs)."""

    encoder: nn.Module
    decoder: nn.Module


class StartExamples(NamedTuple):
    """Training examples that `Architecture.start` receives.

    Attributes:
        x: examples (b, *shape) as the encoder receives them.
        target: what the decoder is to give (b, *example), in model units.
        weights: of the losses of the examples, (b,), above 0, with mean 1.
        importance: how much the values that the encoder receives count in the loss, (*shape).
        linear: whether the likelihood takes an output as it is for the mean of a value, (*example).
        counted: (b, d), False for missing values of targets that are other examples, flat; None if all values count.
    """

    x: Tensor
    target: Tensor
    weights: Tensor
    importance: Tensor
    linear: Tensor
    counted: Tensor | None = None


class ReceptiveField(NamedTuple):
    """What a pixel of a reconstruction, or a time step of a series, depends on in a fully convolutional architecture.

    Attributes:
        stride: the sides of an image must be multiples of this for encoder and decoder to treat all positions alike.
        radius: a pixel depends on no pixel of the image that is further away than this along an axis.
        axes: the number of axes that are convolved over: 2 for images, 1 for series.
    """

    stride: int
    radius: int
    axes: int = 2


class Architecture(Record):
    """The contract of an architecture: it builds encoder and decoder for examples of a shape."""

    def build(
        self,
        shape: tuple[int, ...],
        encoder_outputs: int,
        size: int,
        generator: Generator,
        outputs: tuple[int, ...] | None = None,
    ) -> Pair:
        """Encoder and decoder, with weights drawn from the generator.

        Args:
            shape: of one example.
            encoder_outputs: features that the bottleneck expects from the encoder, at each position.
            size: features of the code, which the decoder receives.
            generator: for the initial weights.
            outputs: the shape of the decoder's output: that of an example, then perhaps an axis of parameters. None: ``shape``. It is
                passed only where it differs from ``shape``.

        Raises:
            RecordError: it cannot be built for this shape.
        """
        raise NotImplementedError

    @property
    def context(self) -> int | Literal["auto"] | None:
        """The number of context features that encoder and decoder receive as second argument, (b, context); None without context.

        "auto": as many as the labels or covariates have. ``replace(context=...)`` sets it before `build`.
        """
        return None

    def for_kind(self, kind: Kind) -> Architecture:
        """The architecture for examples of a kind, where it depends on what the axes mean; by default itself.

        Args:
            kind: of the examples.
        """
        return self

    def start_examples(self, shape: tuple[int, ...]) -> int:
        """The number of training examples that `start` receives at most; 0 if it needs none.

        Args:
            shape: of one example.
        """
        return 0

    def start(self, pair: Pair, shown: StartExamples, size: int, code: Callable[[Tensor], Tensor]) -> None:
        """Sets weights from training examples before the first step, in place; by default none.

        Args:
            pair: what `build` gave.
            shown: random training examples.
            size: features of the code, without a context.
            code: the codes (b, size) of the encoder's outputs (b, encoder_outputs).
        """

    @property
    def user_defined(self) -> bool:
        """Whether its layers are user code, about which nothing is known."""
        return False

    @property
    def fixed(self) -> tuple[str, ...]:
        """The names of the buffers of encoder and decoder that `start` sets and training does not change; by default none."""
        return ()

    def positions(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes of a code before its features, for examples of a shape; () if the code is a vector.

        Args:
            shape: of one example.
        """
        return ()

    def receptive_field(self, shape: tuple[int, ...]) -> ReceptiveField | None:
        """The receptive field if it is fully convolutional on images or series: weights for this shape then compute the same at any
        size; else None.

        Args:
            shape: of one example.
        """
        return None

    def prefers_bfloat16(self, shape: tuple[int, ...]) -> bool:
        """Whether ``precision="auto"`` may select bfloat16: it was measured to be faster and equally accurate.

        Args:
            shape: of one example.
        """
        return False

    def supports_bfloat16(self, shape: tuple[int, ...]) -> bool:
        """Whether PyTorch computes correct gradients in bfloat16 for examples of a shape.

        Args:
            shape: of one example.
        """
        return True

    @property
    def inference_batch_size(self) -> int:
        """The batch size of inference: large enough for high throughput, small enough for a low latency of one example.

        A multiple of 32. Fewer examples are taken at once if they need much memory.
        """
        return 128

    @property
    def stochastic(self) -> bool:
        """Whether its layers may draw random numbers in training, as dropout does."""
        return False


def blank(kind: type[nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    """A layer with uninitialized weights, in float32, on the default device; on "meta" it takes no memory.

    PyTorch's `skip_init` would do the same, but imports half a second of further modules.

    Args:
        kind: the class of the layer.
        args, kwargs: its arguments.
    """
    layer: nn.Module = _undrawn(kind)(*args, dtype=torch.float32, **kwargs)  # type: ignore[arg-type]  # mypy looks at the instances' __hash__
    layer.__class__ = kind
    return layer


@cache
def _undrawn(kind: Any) -> Any:
    """The layer class without the initialization of its weights."""

    class Undrawn(kind):  # type: ignore[misc]
        def reset_parameters(self) -> None: ...

    return Undrawn


@torch.no_grad()
def initialize(module: nn.Module, scheme: Initialization, generator: Generator) -> None:
    """Draws all weights of a module's layers; biases become 0 (0.1 with "truncated").

    "glorot": uniform of variance 2 / (fan in + fan out), as Keras draws (Glorot & Bengio 2010). "he": uniform of variance
    2 / fan in (He et al. 2015). "lecun": uniform of variance 1 / fan in. "normal": N(0, 1).
    "truncated": normal of standard deviation 0.1, redrawn beyond two of them.

    Args:
        module: whose layers get new weights, in place.
        scheme: the distribution of the weights.
        generator: for the random numbers.
    """
    for layer in module.modules():
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.ndim < 2 or weight.is_meta:
            continue
        field = math.prod(weight.shape[2:])
        fans = weight.shape[1] * field, weight.shape[0] * field
        transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
        fan_in, fan_out = fans[::-1] if transposed else fans
        if scheme == "normal":
            weight.normal_(generator=generator)
        elif scheme == "truncated":
            nn.init.trunc_normal_(weight, 0.0, 0.1, -0.2, 0.2, generator=generator)
        else:
            variance = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in}[scheme]
            weight.uniform_(-math.sqrt(3 * variance), math.sqrt(3 * variance), generator=generator)
    for layer in module.modules():
        bias = getattr(layer, "bias", None)
        if isinstance(bias, nn.Parameter) and not isinstance(layer, nn.LayerNorm):
            bias.fill_(0.1 if scheme == "truncated" else 0.0)
