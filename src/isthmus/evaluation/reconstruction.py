"""Examples beside what is made of them, looked at in blocks: squared errors, nats, and the likeness of pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.kinds import Kind, image_shape
from isthmus.data.statistics import DataStatistics
from isthmus.data.validation import blocks
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.inference import in_batches
from isthmus.evaluation.column_errors import units
from isthmus.evaluation.metrics import WINDOW, cross_entropies, entropies, structural_similarities
from isthmus.evaluation.pca import Subspace
from isthmus.scaling import range_of

__all__ = ["TOGETHER", "data_range_of", "error_of", "image_ssim", "means", "rate", "why_no_ssim"]

Array = NDArray[Any]

TOGETHER = 128  # examples, of which blocks hold whole numbers
_CACHED = 2**18  # numbers compared together
_LONG = 0.2  # seconds that a rate is measured for, or longer


def means(ae: Autoencoder, values: Array, subspace: Subspace, data_range: float) -> dict[str, Any]:
    """What `_measured` gives, for each number of the examples on average; of what it gives by column, an array."""
    sums: dict[str, Any] = {}
    for begin, block in blocks(values, TOGETHER):
        for name, value in _measured(ae, block, begin, subspace, data_range).items():
            sums[name] = sums.get(name, 0.0) + value
    return {name: value / values.size for name, value in sums.items()}


def error_of(ae: Autoencoder, values: Array) -> tuple[float, float]:
    """The mean squared error of examples: in squared units of theirs, and in squared model units."""
    scale, plain, scaled = ae.model_.scale.cpu().double(), 0.0, 0.0
    for _, block in blocks(values, TOGETHER):
        for raw, made in zip(_cached(block), _cached(ae.reconstruct(block)), strict=True):
            apart = made - raw
            plain, scaled = plain + float(apart.square().sum()), scaled + float((apart / scale).square().sum())
    return plain / values.size, scaled / values.size


def _measured(ae: Autoencoder, block: Array, begin: int, subspace: Subspace, data_range: float) -> dict[str, Any]:
    """Sums over the numbers of some examples: of squared errors, cross-entropies and nats."""
    model, back = ae.model_, ae.reconstruct(block)

    def cost(raw: torch.Tensor) -> torch.Tensor:
        x = model.normalize(raw)
        losses = model.score(x, x)
        return torch.stack([losses.nll, losses.penalty], dim=1)

    nll, penalty = in_batches(cost, block, model).sum(0, dtype=np.float64).tolist()
    sums = {"nll": nll, "penalty": penalty} | _compared(ae, block, back, subspace, data_range)
    if ae.corruption_.corrupts:
        corrupted = ae.corrupt(block, random_state=begin)
        restored = ae.reconstruct(corrupted)
        sums["restored"] = _squares(block, restored)
        if axes := units(ae):
            sums["restored left"] = _left(block, restored, ae.model_.scale.cpu().double(), axes)
        if not ae.corruption_.makes_missing:  # numbers that are not there have no error
            sums["corrupted"] = _squares(block, corrupted)
    return sums


def _left(x: Array, y: Array, scale: torch.Tensor, axes: tuple[int, ...]) -> Array:
    """The sums of squared errors in model units, for each column."""
    parts = [((b - a) / scale).square().sum(axes) for a, b in zip(_cached(x), _cached(y), strict=True)]
    return torch.stack(parts).sum(0).numpy()


def _compared(ae: Autoencoder, block: Array, back: Array, subspace: Subspace, data_range: float) -> dict[str, Any]:
    """Sums over the numbers of examples and their reconstructions, in double precision, a cache full at a time."""
    shift, scale = (side.cpu().double() for side in (ae.model_.shift, ae.model_.scale))
    pictures, by_pca = not why_no_ssim(ae.shape_, ae.kind_, data_range), len(subspace.axes) > 0
    sums: dict[str, Any] = {}
    axes = units(ae)

    def add(name: str, values: torch.Tensor, own: str = "") -> None:
        sums[name] = sums.get(name, 0.0) + float(values.sum())
        if axes and own:
            sums[own] = sums.get(own, 0.0) + values.reshape(-1, *ae.shape_).sum(axes).numpy()

    for raw, made in zip(_cached(block), _cached(back), strict=True):
        apart = made - raw
        add("mse", apart.square())
        add("scaled", (apart / scale).square(), "left")
        if ae.likelihood_.expects_unit_interval:
            x = ((raw - shift) / scale).clamp_(0, 1)
            add("bce", cross_entropies(x, (made - shift) / scale))
            add("floor", entropies(x))
        centered = subspace.centered(raw)
        add("variance", centered.square(), "spread")
        add("raw variance", (centered * subspace.scale).square())
        if pictures:
            add("ssim", image_ssim(raw, made, data_range, ae.kind_) * raw[0].numel())
        if by_pca:
            errors = subspace.errors(centered)
            add("pca scaled", errors.square(), "pca left")
            errors = errors.mul_(subspace.scale).reshape(raw.shape)
            add("pca", errors.square())
            if pictures:
                add("pca ssim", image_ssim(raw, raw - errors, data_range, ae.kind_) * raw[0].numel())
    return sums


def image_ssim(x: torch.Tensor, y: torch.Tensor, data_range: float, kind: Kind = "images") -> torch.Tensor:
    """The structural similarity of examples that are pictures, or rows that hold one: (n,).

    Args:
        x: examples (n, *shape).
        y: their reconstructions (n, *shape).
        data_range: the range of the data, in the same unit.
        kind: what the axes of examples mean.
    """
    shape = (len(x), *image_shape(tuple(x.shape[1:]), kind))
    return structural_similarities(x.reshape(shape), y.reshape(shape), data_range)


def why_no_ssim(shape: tuple[int, ...], kind: Kind, data_range: float) -> str:
    """Why examples of a shape and kind have no structural similarity, or "".

    Args:
        shape: of one example.
        kind: what the axes of examples mean.
        data_range: the range of the data.
    """
    sides = image_shape(shape, kind)
    if kind != "images" or len(sides) not in {2, 3}:
        return "the examples are no images (kind=images says that they are)"
    if min(sides[:2]) < WINDOW:
        return f"pictures of {sides[0]} x {sides[1]} are smaller than its window of {WINDOW} x {WINDOW}"
    return "" if data_range else "the numbers of the examples are all equal"


def _cached(values: Array) -> Iterator[torch.Tensor]:
    """Examples in double precision, so many at a time that passes over them stay in the processor's cache."""
    rows = max(1, _CACHED // values[0].size)
    for begin in range(0, len(values), rows):
        yield torch.from_numpy(np.require(values[begin : begin + rows], np.float64, ["C", "W"]))


def _squares(x: Array, y: Array) -> float:
    return sum(float((b - a).square().sum()) for a, b in zip(_cached(x), _cached(y), strict=True))


def data_range_of(ae: Autoencoder, values: Array) -> float:
    """The range that a peak signal-to-noise ratio refers to.

    Args:
        ae: a fitted autoencoder.
        values: examples (n, *shape_).
    """
    low, high, _ = range_of(DataStatistics(values))
    known = ae.scaling_.range(low, high)
    if known is not None:
        return known
    return 255.0 if ae.kind_ == "images" and values.dtype == np.uint8 else high - low


def rate(function: Callable[[Array], Array], values: Array) -> float:
    """Examples per second that a function takes, over a fifth of a second or longer."""
    _, block = next(blocks(values, TOGETHER))
    function(block[:TOGETHER])  # the first call is slower than those that follow
    began, elapsed, count = time.perf_counter(), 0.0, 0
    while elapsed < _LONG:
        function(block)
        count, elapsed = count + len(block), time.perf_counter() - began
    return count / elapsed
