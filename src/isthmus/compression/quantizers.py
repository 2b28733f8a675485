"""Quantizers: codes <-> integers, by a step for each channel or by codebook indices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.bottlenecks.quantized import nearest
from isthmus.compression.frequency_tables import MAX_INTEGER
from isthmus.data.validation import blocks
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.nn.device import no_autocast

__all__ = [
    "CodebookQuantizer",
    "Quantizer",
    "UniformQuantizer",
    "channel_steps",
    "integers_shape",
    "largest_step",
    "sensitivities",
    "step_range",
]

Array = NDArray[Any]
_MAX_EXAMPLES = 256  # that sensitivities are measured on
_MAX_DECODED_VALUES = 1 << 15  # values of codes that are decoded for each channel, roughly
_PERTURBATION = 0.25  # of a channel, in its standard deviations


class Quantizer(Protocol):
    """Converts codes (n, *code_shape) to integers (n, positions, channels), and back."""

    def quantize(self, codes: Array) -> NDArray[np.int32]: ...

    def dequantize(self, integers: Array) -> Array: ...


@dataclass(frozen=True, eq=False)
class UniformQuantizer:
    """Rounds each value of a code to the nearest multiple of its channel's step. Zeros stay zeros.

    Attributes:
        steps: (channels,) step of each channel, the last axis of the code.
        shape: shape of one code.
        dtype: of the codes.
    """

    steps: NDArray[np.float32]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def quantize(self, codes: Array) -> NDArray[np.int32]:
        scaled = codes.reshape(len(codes), -1, len(self.steps)) / self.steps.astype(np.float64)
        if np.abs(scaled).max() > MAX_INTEGER:
            raise RecordError(
                f"the step is too small: a value of the code is more than {MAX_INTEGER:,} steps from zero"
            )
        return np.rint(scaled).astype(np.int32)

    def dequantize(self, integers: Array) -> Array:
        exact = integers * self.steps.astype(np.float64)  # the product is exact; only the next line rounds
        return exact.astype(self.dtype).reshape(-1, *self.shape)


@dataclass(frozen=True, eq=False)
class CodebookQuantizer:
    """Replaces the entries of a codebook by their indices, without loss.

    Attributes:
        codebook: (entries, size).
        shape: shape of one code.
    """

    codebook: Array
    shape: tuple[int, ...]

    @no_autocast()
    def quantize(self, codes: Array) -> NDArray[np.int32]:
        codebook = torch.from_numpy(self.codebook)
        rows = codes.reshape(-1, self.codebook.shape[1])
        indices = [nearest(torch.from_numpy(block), codebook).numpy() for _, block in blocks(rows)]
        return np.concatenate(indices).astype(np.int32).reshape(len(codes), -1, 1)

    def dequantize(self, integers: Array) -> Array:
        if integers.min() < 0 or integers.max() >= len(self.codebook):
            raise DataError(f"the codebook has {len(self.codebook):,} entries, and the file has indices of others")
        return self.codebook[integers].reshape(-1, *self.shape)


def integers_shape(ae: Autoencoder) -> tuple[int, int]:
    """Positions and channels of the integers of one code."""
    positions, size = math.prod(ae.code_shape_[:-1]), ae.code_shape_[-1]
    return (positions, 1) if ae.bottleneck_.discrete else (positions, size)


def sensitivities(ae: Autoencoder, codes: Array) -> NDArray[np.float64]:
    """How far reconstructions move per unit of each channel of the code.

    All values of a channel are perturbed by a quarter of their standard deviation, with random signs. With several positions, the
    result is per position. It is 0 for a channel that is always 0 or does not change reconstructions.

    Args:
        ae: a fitted autoencoder.
        codes: codes (n, *code_shape_).

    Returns:
        (channels,) Euclidean distances in model units, per unit of the code.
    """
    channels = codes.shape[-1]
    random = np.random.default_rng(0)
    count = min(len(codes), _MAX_EXAMPLES, max(16, _MAX_DECODED_VALUES // channels))
    codes = codes[np.sort(random.permutation(len(codes))[:count])]
    scale, reconstructed = ae.model_.scale.cpu().numpy(), ae._decode(codes)
    positions, result = codes[0].size // channels, np.zeros(channels)
    for channel in range(channels):
        size = _PERTURBATION * float(codes[..., channel].std() or np.abs(codes[..., channel]).max())
        if size == 0:
            continue
        perturbed = codes.copy()
        perturbed[..., channel] += size * random.choice([-1, 1], perturbed.shape[:-1])
        change = (ae._decode(perturbed) - reconstructed) / scale
        result[channel] = math.sqrt(np.square(change, dtype=np.float64).sum() / (count * positions)) / size
    return result


def channel_steps(step: float, sensitivity: NDArray[np.float64], max_abs: NDArray[np.float64]) -> NDArray[np.float32]:
    """The steps of channels, so that each moves reconstructions by ``step``.

    Args:
        step: Euclidean distance in model units.
        sensitivity: (channels,) see `sensitivities`. A channel with 0 gets a step that quantizes it to 0.
        max_abs: (channels,) largest absolute value of each channel.
    """
    with np.errstate(divide="ignore"):
        steps = np.minimum(step / sensitivity, np.where(max_abs > 0, 2.5 * max_abs, 1.0))
    return np.maximum(steps, np.finfo(np.float32).tiny).astype(np.float32)


def step_range(sensitivity: NDArray[np.float64], max_abs: NDArray[np.float64]) -> tuple[float, float]:
    """The smallest and largest useful step: from a negligible error to all codes quantized to 0."""
    largest = float((sensitivity * max_abs).max())
    if largest == 0:
        raise NotPossibleError(
            "all codes are equal, or do not change reconstructions: a step cannot be found; give step=1"
        )
    return largest / (MAX_INTEGER // 64), 2.5 * largest


def largest_step(fits: Callable[[float], bool], low: float, high: float, ratio: float = 1.003) -> float | None:
    """The largest step in a range that fits, by bisection of its logarithm; None if ``low`` does not fit."""
    if fits(high):
        return high
    if not fits(low):
        return None
    while high / low > ratio:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
