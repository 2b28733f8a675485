"""Noise and hidden parts: what an example looks like to the model before it is restored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, NotPossibleError
from isthmus.explorer.view import View
from isthmus.runtime.manifest import Port
from isthmus.serving import HeldOut

__all__ = ["Statistics", "disturbed", "grid_of", "statistics_of"]

Array = NDArray[Any]
_NOT_A_TIME = np.iinfo(np.int64).min
_DAY = 86_400_000_000  # microseconds
_MOST_CELLS = {"image": 14, "lines": 24}  # along an axis


class Statistics(NamedTuple):
    """What is known of the values of one input.

    Attributes:
        spread: the standard deviation, or the range of images; broadcastable to one example.
        center: the mean, or the most frequent category.
        whole: which values of an example are whole numbers in all examples.
        positive: which are never negative.
    """

    spread: Any
    center: Any
    whole: Any = False
    positive: Any = False


def statistics_of(view: View, held_out: HeldOut | None, limits: Sequence[float] | None) -> list[Statistics] | None:
    """The statistics of each input, from held-out examples, or of images from their range; None where nothing is known."""
    if view.drawn in {"image", "volume"} and limits is not None:
        return [Statistics(limits[1] - limits[0], limits[0])]
    if held_out is None:
        return None
    return [_statistics(view, port, held_out.inputs[port.name]) for port in view.ports]


def grid_of(view: View) -> tuple[int, int]:
    """The number of cells of an example that can be hidden, down and across; of a table a cell for each column."""
    if view.drawn == "image":
        height, width = view.shape[:2]
        return min(height, _MOST_CELLS["image"]), min(width, _MOST_CELLS["image"])
    if view.drawn == "lines":
        return 1, min(view.shape[0], _MOST_CELLS["lines"])
    return 1, len(view.columns)


def disturbed(
    view: View,
    inputs: dict[str, Array],
    noise: float,
    hidden: Sequence[int],
    known: list[Statistics] | None,
    missing: bool,
) -> tuple[dict[str, Array], str]:
    """An example with noise and without hidden parts.

    Args:
        view: of the model.
        inputs: of one example.
        noise: from 0 to 1: the standard deviation of the noise, as a share of `Statistics.spread`; a category is replaced by a random one
            with this probability. The noise has a fixed random state, so that more of it is the same, stronger.
        hidden: the cells of `grid_of`, or the columns of a table, that are hidden.
        known: of each input.
        missing: whether the model takes missing values. Otherwise hidden values become the mean, or the lowest value of images.

    Returns:
        The inputs, and one sentence on what hidden values became, or "".

    Raises:
        NotPossibleError: nothing is known of the values.
        DataError: there is no such cell.
    """
    if not noise and not hidden:
        return inputs, ""
    if known is None and (noise or not missing):
        raise NotPossibleError(
            "noise and hidden parts need held-out examples, to know the spread of the values, and this model has none here"
        )
    count = int(np.prod(grid_of(view)))
    if not all(0 <= cell < count for cell in hidden):
        raise DataError(f"a hidden part is not among the {count} of the example: choose others")
    rng, made, notes = np.random.default_rng(0), dict(inputs), list[str]()
    for place, port in enumerate(view.ports):
        values = inputs[port.name]
        if noise and known is not None:
            values = _noisy(port, values, noise, known[place], rng)
        mask = _mask(view, place, hidden)
        if mask.any():
            values, note = _hidden(view, port, values, mask, None if known is None else known[place], missing)
            notes.append(note)
        made[port.name] = values
    return made, notes[0] if notes else ""


def _statistics(view: View, port: Port, values: Array) -> Statistics:
    if port.dtype == "string":
        names, counts = np.unique([text for text in values.tolist() if text] or [""], return_counts=True)
        return Statistics(port.labels, names[counts.argmax()])
    if port.kind == "date":
        known = values[values != _NOT_A_TIME].astype(np.float64)
        return Statistics(known.std(), known.mean()) if len(known) else Statistics(0.0, 0.0)
    numbers = values.astype(np.float64)
    axes = tuple(range(numbers.ndim - 1)) if view.drawn == "lines" and numbers.ndim > 2 else (0,)
    axes = tuple(range(numbers.ndim)) if view.drawn == "lines" and numbers.ndim == 2 else axes
    known = np.isfinite(numbers)
    count = np.maximum(known.sum(axes), 1)
    mean = np.where(known, numbers, 0).sum(axes) / count
    spread = np.sqrt((np.where(known, numbers - mean, 0) ** 2).sum(axes) / count)
    if view.drawn != "table":
        return Statistics(spread, mean)
    whole = ~(known & (numbers != np.rint(numbers))).any(0)
    return Statistics(spread, mean, whole, ~(known & (numbers < 0)).any(0))


def _noisy(port: Port, values: Array, noise: float, known: Statistics, rng: np.random.Generator) -> Array:
    if port.dtype == "string":
        replaced = rng.random() < noise and values[0] != ""
        other = known.spread[rng.integers(len(known.spread))] if known.spread else values[0]
        return np.array([other if replaced else values[0]], dtype=object)
    draws = rng.standard_normal(values.shape)
    if port.kind == "boolean":
        swapped = rng.random() < noise / 2
        return (
            np.where(np.isnan(values.astype(np.float64)), values, 1 - values).astype(values.dtype)
            if swapped
            else values
        )
    numbers = values.astype(np.float64) + noise * known.spread * draws
    if port.kind == "date":
        step = _DAY if (values % _DAY == 0).all() else 1
        moved = (np.rint(numbers / step) * step).astype(np.int64)
        return np.where(values == _NOT_A_TIME, values, moved)
    return _as_type(port, numbers, known)


def _as_type(port: Port, numbers: Array, known: Statistics) -> Array:
    """Numbers in the dtype of an input, whole, positive and within its limits where its values are so."""
    numbers = np.where(known.whole, np.rint(numbers), numbers)
    numbers = np.where(known.positive, np.maximum(numbers, 0), numbers)
    dtype = np.dtype(port.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        numbers = np.rint(numbers).clip(limits.min, limits.max)
    elif port.kind == "integer":
        numbers = np.rint(numbers)
    return numbers.astype(dtype)


def _mask(view: View, place: int, hidden: Sequence[int]) -> Array:
    """The hidden values of an input (1, *shape)."""
    if view.by_column:
        return np.array([place in hidden])
    mask = np.zeros(view.shape, bool)
    if view.drawn == "table":
        mask.reshape(-1)[list(hidden)] = True
    elif hidden:
        rows, across = grid_of(view)
        cells = np.zeros(rows * across, bool)
        cells[list(hidden)] = True
        size = view.shape[:2] if view.drawn == "image" else (1, view.shape[0])
        down, right = (np.arange(side) * count // side for side, count in zip(size, (rows, across), strict=True))
        seen = cells.reshape(rows, across)[np.ix_(down, right)]
        seen = seen if view.drawn == "image" else seen[0]
        mask[seen] = True
    return mask[None]


def _hidden(
    view: View, port: Port, values: Array, mask: Array, known: Statistics | None, missing: bool
) -> tuple[Array, str]:
    """The values without those of the mask, and a sentence."""
    if missing and (port.dtype == "string" or port.kind == "date" or np.dtype(port.dtype).kind == "f"):
        gone: Any = "" if port.dtype == "string" else _NOT_A_TIME if port.kind == "date" else np.nan
        return np.where(mask, gone, values).astype(values.dtype), "Hidden values are missing to the model."
    assert known is not None
    became = {"image": "the lowest value of the range", "table": "the mean, or the most frequent category"}
    note = f"The model takes no missing values: hidden ones become {became.get(view.drawn, 'the mean')}."
    if port.dtype == "string":
        return np.where(mask, known.center, values).astype(object), note
    if port.kind == "date":
        return np.where(mask, int(known.center), values), note
    center = np.broadcast_to(np.asarray(known.center, np.float64), values.shape)
    return np.where(mask, _as_type(port, center, known), values).astype(values.dtype), note
