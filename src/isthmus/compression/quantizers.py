"""Codes <-> whole numbers: steps for each unit, or entries of a codebook."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.bottlenecks.quantized import nearest
from isthmus.compression.frequency_tables import MOST
from isthmus.data.validation import blocks
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.nn.device import no_autocast

__all__ = [
    "Entries",
    "Quantizer",
    "Steps",
    "finest_and_coarsest",
    "integers_shape",
    "largest",
    "sensitivities",
    "steps_of",
]

Array = NDArray[Any]
_LOOKS = 256  # examples that sensitivities are measured on
_DECODED = 1 << 15  # examples decoded for that, about
_NUDGE = 0.25  # of a unit's standard deviation


class Quantizer(Protocol):
    """A way from codes (n, *code_shape) to whole numbers (n, places, channels), and back."""

    def integers(self, codes: Array) -> NDArray[np.int32]: ...

    def codes(self, integers: Array) -> Array: ...


@dataclass(frozen=True, eq=False)
class Steps:
    """Each number of a code to the nearest multiple of its channel's step: zeros stay zeros.

    Attributes:
        steps: (channels,), of the code's last axis.
        shape, dtype: of one code.
    """

    steps: NDArray[np.float32]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def integers(self, codes: Array) -> NDArray[np.int32]:
        scaled = codes.reshape(len(codes), -1, len(self.steps)) / self.steps.astype(np.float64)
        if np.abs(scaled).max() > MOST:
            raise RecordError(f"the step is too small: a number of the code is more than {MOST:,} steps from zero")
        return np.rint(scaled).astype(np.int32)

    def codes(self, integers: Array) -> Array:
        exact = integers * self.steps.astype(np.float64)  # 21 and 24 digits: rounded once, in the next line
        return exact.astype(self.dtype).reshape(-1, *self.shape)


@dataclass(frozen=True, eq=False)
class Entries:
    """The places of a codebook's entries: nothing is lost that the bottleneck has not lost already.

    Attributes:
        codebook: (entries, size).
        shape: of one code.
    """

    codebook: Array
    shape: tuple[int, ...]

    @no_autocast()
    def integers(self, codes: Array) -> NDArray[np.int32]:
        book = torch.from_numpy(self.codebook)
        rows = codes.reshape(-1, self.codebook.shape[1])
        found = [nearest(torch.from_numpy(block), book).numpy() for _, block in blocks(rows)]
        return np.concatenate(found).astype(np.int32).reshape(len(codes), -1, 1)

    def codes(self, integers: Array) -> Array:
        if integers.min() < 0 or integers.max() >= len(self.codebook):
            raise DataError(f"the codebook has {len(self.codebook):,} entries, and the file asks for others")
        return self.codebook[integers].reshape(-1, *self.shape)


def integers_shape(ae: Autoencoder) -> tuple[int, int]:
    """Places and channels of a code's whole numbers."""
    positions, size = math.prod(ae.code_shape_[:-1]), ae.code_shape_[-1]
    return (positions, 1) if ae.bottleneck_.discrete else (positions, size)


def sensitivities(ae: Autoencoder, codes: Array) -> NDArray[np.float64]:
    """How far reconstructions move per unit of a code's number: (channels,), in model units, root of summed squares.

    Measured by moving all numbers of a channel, each up or down, by a quarter of their standard deviation. In codes of many places
    each moves a part of the example. A channel that moves nothing, or is always 0, has 0.
    """
    channels = codes.shape[-1]
    random = np.random.default_rng(0)
    count = min(len(codes), _LOOKS, max(16, _DECODED // channels))
    codes = codes[np.sort(random.permutation(len(codes))[:count])]
    scale, still = ae.model_.scale.cpu().numpy(), ae.decode(codes)
    positions, found = codes[0].size // channels, np.zeros(channels)
    for channel in range(channels):
        nudge = _NUDGE * float(codes[..., channel].std() or np.abs(codes[..., channel]).max())
        if nudge == 0:
            continue
        moved = codes.copy()
        moved[..., channel] += nudge * random.choice([-1, 1], moved.shape[:-1])
        apart = (ae.decode(moved) - still) / scale
        found[channel] = math.sqrt(np.square(apart, dtype=np.float64).sum() / (count * positions)) / nudge
    return found


def steps_of(step: float, moves: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Steps (channels,) that move reconstructions by ``step`` each; where nothing moves them, one in which the code is 0."""
    with np.errstate(divide="ignore"):
        wanted = np.minimum(step / moves, np.where(sizes > 0, 2.5 * sizes, 1.0))
    return np.maximum(wanted, np.finfo(np.float32).tiny).astype(np.float32)


def finest_and_coarsest(moves: NDArray[np.float64], sizes: NDArray[np.float64]) -> tuple[float, float]:
    """The steps between which a choice is: from some thousands of times finer than anything is lost by to all codes alike."""
    most = float((moves * sizes).max())
    if most == 0:
        raise NotPossibleError("all codes are the same, or change nothing: there is no step to choose; give step=1")
    return most / (MOST // 64), 2.5 * most


def largest(fits: Callable[[float], bool], low: float, high: float, ratio: float = 1.003) -> float | None:
    """The largest step that fits, between two, by bisection of its logarithm; none where the finest does not fit."""
    if fits(high):
        return high
    if not fits(low):
        return None
    while high / low > ratio:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
