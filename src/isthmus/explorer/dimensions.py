"""The dimensions of a code, most important first: those over whose range the reconstruction moves most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.explorer.view import View

__all__ = ["Dimension", "dimensions_of", "range_around", "ranges_of"]

Array = NDArray[Any]
_STARTS = 8  # codes from which a dimension is moved
_MOST_VALUES = 2**22  # values that are decoded at once
_LEAST = 3.0  # half the range of a code of which nothing is known


class Dimension(NamedTuple):
    """A dimension of a code.

    Attributes:
        place: its position in the flattened code.
        name: code[3], or code[2, 0, 1].
        importance: how far the reconstruction moves, as a share of the dimension that moves it farthest.
        low, high: its range.
    """

    place: int
    name: str
    importance: float
    low: float
    high: float


def ranges_of(codes: Array) -> tuple[Array, Array]:
    """From the 1st to the 99th percentile of each dimension of codes (n, d): (d,), (d,); a little wider where they are equal."""
    low, high = np.percentile(codes.astype(np.float64), [1, 99], axis=0)
    narrow = high - low < 1e-6 * (1 + np.abs(low))
    return np.where(narrow, low - 1, low), np.where(narrow, high + 1, high)


def range_around(code: Array) -> tuple[Array, Array]:
    """The range that one code (d,) suggests, where no others are known: symmetric, one and a half times its largest value."""
    most = np.full(code.shape, max(_LEAST, 1.5 * float(np.abs(code).max(initial=0))))
    return -most, most


def dimensions_of(
    view: View,
    code_shape: Sequence[int],
    starts: Array,
    ranges: tuple[Array, Array],
    decode: Callable[[Array, Array], list[Array]],
) -> list[Dimension]:
    """The dimensions of a code, most important first.

    Args:
        view: of the model.
        code_shape: of one code.
        starts: codes (n, d) from which each dimension is moved, others being kept.
        ranges: the lowest and highest value of each dimension, (d,) each.
        decode: the outputs of codes (m, d); its second argument (m,) tells from which start each comes.
    """
    size, (low, high) = starts.shape[1], ranges
    count = max(1, min(_STARTS, len(starts), _MOST_VALUES // max(1, 2 * math.prod(view.shape))))
    chosen = np.linspace(0, len(starts) - 1, count).astype(np.int64)
    step = max(1, _MOST_VALUES // max(1, 2 * count * math.prod(view.shape)))
    moved = np.zeros(size)
    for first in range(0, size, step):
        dims = np.arange(first, min(size, first + step))
        ends = np.tile(starts[chosen], (2 * len(dims), 1)).reshape(2, len(dims), count, size)
        for side, values in enumerate((low, high)):
            ends[side, np.arange(len(dims)), :, dims] = values[dims, None]
        outputs = decode(ends.reshape(-1, size), np.tile(chosen, 2 * len(dims)))
        moved[dims] = _distances(outputs, (2, len(dims), count)).mean(1)
    share = moved / max(float(moved.max(initial=0)), 1e-300)
    order = np.argsort(-share, kind="stable").tolist()
    return [Dimension(i, _name(i, code_shape), float(share[i]), float(low[i]), float(high[i])) for i in order]


def _distances(outputs: list[Array], shape: tuple[int, int, int]) -> Array:
    """How far outputs at both ends are apart (dimensions, starts): the root of the mean square, columns in standard deviations."""
    total, features = np.zeros(shape[1:]), 0
    for values in outputs:
        if values.dtype == object:
            ends = values.reshape(shape)
            total += (ends[0] != ends[1]).astype(np.float64)
            features += 1
            continue
        numbers = np.nan_to_num(values.astype(np.float64).reshape(*shape, -1))
        spread = numbers.std() if len(outputs) > 1 else 1.0
        total += (((numbers[1] - numbers[0]) / max(float(spread), 1e-300)) ** 2).sum(-1)
        features += numbers.shape[-1]
    return np.sqrt(total / max(features, 1))


def _name(index: int, code_shape: Sequence[int]) -> str:
    return f"code[{', '.join(str(int(place)) for place in np.unravel_index(index, tuple(code_shape) or (1,)))}]"
