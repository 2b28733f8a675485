"""Errors of reconstructions, computed block by block: squared errors, nats, and structural similarity of images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.kinds import Kind, image_shape
from isthmus.data.statistics import DataStatistics
from isthmus.data.validation import blocks
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.inference import in_batches
from isthmus.evaluation.column_errors import column_axes
from isthmus.evaluation.metrics import WINDOW, cross_entropies, entropies, structural_similarities
from isthmus.evaluation.pca import Subspace
from isthmus.evaluation.restoration import Reference
from isthmus.scaling import range_of
from isthmus.trainable import Batch
from isthmus.training.batches import to_tensor

__all__ = ["BLOCK_ROWS", "data_range_of", "image_ssim", "mean_errors", "squared_errors", "throughput", "why_no_ssim"]

Array = NDArray[Any]

BLOCK_ROWS = 128  # the number of examples in a block is a multiple of it
_CACHE_VALUES = 2**18  # values compared at a time
_MIN_SECONDS = 0.2  # duration of a throughput measurement


def mean_errors(
    ae: Autoencoder, values: Array, subspace: Subspace, data_range: float, reference: Reference | None = None
) -> dict[str, Any]:
    """The sums of `_error_sums` over all examples, divided by the number of values; those by column are arrays.

    Args:
        ae: a fitted autoencoder.
        values: examples (n, *shape).
        subspace: PCA of equal width.
        data_range: range of the data, for the structural similarity.
        reference: what reconstructions are compared with; None for the examples themselves.
    """
    sums: dict[str, Any] = {}
    for begin, block in blocks(values, BLOCK_ROWS):
        some = None if reference is None else reference.rows(begin, len(block))
        for name, value in _error_sums(ae, block, begin, subspace, data_range, some).items():
            sums[name] = sums.get(name, 0.0) + value
    return {name: value / values.size for name, value in sums.items()}


def squared_errors(ae: Autoencoder, values: Array, targets: Array | None = None) -> tuple[float, float]:
    """The mean squared error of examples (n, *shape), in squared units of the data and in squared model units."""
    scale, plain, scaled = ae.model_.scale.cpu().double(), 0.0, 0.0
    for begin, block in blocks(values, BLOCK_ROWS):
        expected = block if targets is None else targets[begin : begin + len(block)]
        for true, output in zip(_cache_blocks(expected), _cache_blocks(ae.reconstruct(block)), strict=True):
            error = ae.scaling_.differences(output, true)
            plain, scaled = plain + float(error.square().sum()), scaled + float((error / scale).square().sum())
    return plain / values.size, scaled / values.size


def _error_sums(
    ae: Autoencoder, block: Array, begin: int, subspace: Subspace, data_range: float, reference: Reference | None
) -> dict[str, Any]:
    """Sums over the values of some examples: squared errors, cross-entropies and nats."""
    truth, reconstructed = block if reference is None else reference.targets, ae.reconstruct(block)
    differences = ae.scaling_.differences
    nll, penalty = _losses(ae, block, reference)
    sums: dict[str, Any] = {"nll": nll, "penalty": penalty}
    sums |= _reconstruction_sums(ae, block, reconstructed, subspace, data_range, reference)
    if ae.corruption_.corrupts:
        corrupted = ae.corrupt(block, random_state=begin)
        denoised = ae.reconstruct(corrupted)
        sums["denoised"] = _squared_error_sum(truth, denoised, differences)
        if axes := column_axes(ae):
            sums["denoised residual"] = _residuals_by_column(ae, truth, denoised, axes)
        if not ae.corruption_.makes_missing:  # missing features have no error
            sums["corrupted"] = _squared_error_sum(truth, corrupted, differences)
    return sums


def _losses(ae: Autoencoder, block: Array, reference: Reference | None) -> tuple[float, float]:
    """The sums of the negative log-likelihoods and of the penalties of some examples, in nats."""
    model = ae.model_

    def losses_of(raw: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        both = raw.unbind(1) if reference is not None else (raw, raw)
        x = model.normalize(both[0])
        losses = model.score(Batch(x, x if reference is None else model.normalize(both[1]), None, context))
        return torch.stack([losses.nll, losses.penalty], dim=1)

    rows = block if reference is None else reference.beside(block)
    computable: Literal["all"] | None = None if reference is None else "all"  # both sides are checked
    nll, penalty = in_batches(losses_of, rows, model, computable=computable).sum(0, dtype=np.float64).tolist()
    return nll, penalty


def _residuals_by_column(ae: Autoencoder, x: Array, y: Array, axes: tuple[int, ...]) -> Array:
    """The sums of squared errors in model units, for each column."""
    scale, differences = ae.model_.scale.cpu().double(), ae.scaling_.differences
    both = zip(_cache_blocks(x), _cache_blocks(y), strict=True)
    parts = [(differences(b, a) / scale).square().sum(axes) for a, b in both]
    return torch.stack(parts).sum(0).numpy()


def _reconstruction_sums(
    ae: Autoencoder,
    block: Array,
    reconstructed: Array,
    subspace: Subspace,
    data_range: float,
    reference: Reference | None,
) -> dict[str, Any]:
    """Sums over the values of examples and their reconstructions, in double precision, by blocks that fit in the cache."""
    shift, scale = (side.cpu().double() for side in (ae.model_.shift, ae.model_.scale))
    sums = _Sums(ae, data_range)
    targets = block if reference is None else reference.targets
    for raw, output, true in zip(*map(_cache_blocks, (block, reconstructed, targets)), strict=True):
        sums.add_errors("", true, output)
        if ae.likelihood_.nominal:
            sums.add("wrong", (output != true).double())
        if ae.likelihood_.support.unit_interval:
            x = ((true - shift) / scale).clamp_(0, 1)
            sums.add("bce", cross_entropies(x, (output - shift) / scale))
            sums.add("bce lower bound", entropies(x))
        inputs = centered = subspace.centered(raw)
        if any(ae.scaling_.classes):  # about the most frequent category
            centered = ae.scaling_.differences(raw.flatten(1), subspace.mean) / subspace.scale
        if reference is not None:
            centered = reference.centered(true, subspace.scale)
            sums.add_errors("input", true, raw)
            if ae.likelihood_.nominal:
                sums.add("input wrong", (raw != true).double())
            if reference.ridge.restore is not None:
                sums.add_errors("ridge", true, torch.from_numpy(reference.ridge.restore(raw.numpy())))
        sums.add("variance", centered.square(), "total")
        sums.add("raw variance", (centered * subspace.scale).square())
        if len(subspace.axes):
            projected = (inputs @ subspace.axes.T) @ subspace.axes
            errors = (inputs if reference is None else subspace.centered(true)) - projected
            sums.add_scaled_errors("pca", true, errors, subspace.scale)
    return sums.values


class _Sums:
    """Named sums over the values of examples; those by column are arrays."""

    def __init__(self, ae: Autoencoder, data_range: float) -> None:
        self.ae, self.data_range, self.axes = ae, data_range, column_axes(ae)
        self.scale = ae.model_.scale.cpu().double()
        self.has_ssim = not why_no_ssim(ae.shape_, ae.kind_, data_range)
        self.values: dict[str, Any] = {}

    def add(self, name: str, values: torch.Tensor, name_by_column: str = "") -> None:
        """Adds values (n, *shape) to the sum of a name, and to that of each column."""
        self.values[name] = self.values.get(name, 0.0) + float(values.sum())
        if self.axes and name_by_column:
            by_column = values.reshape(-1, *self.ae.shape_).sum(self.axes).numpy()
            self.values[name_by_column] = self.values.get(name_by_column, 0.0) + by_column

    def add_errors(self, method: str, true: torch.Tensor, output: torch.Tensor) -> None:
        """Adds the errors of the output of a method; "" is the autoencoder."""
        error = self.ae.scaling_.differences(output, true)
        self.add(method or "mse", error.square())
        self.add(f"{method} scaled".strip(), (error / self.scale).square(), f"{method} residual".strip())
        self._add_ssim(method, true, output)

    def add_scaled_errors(self, method: str, true: torch.Tensor, errors: torch.Tensor, scale: torch.Tensor) -> None:
        """Adds errors (n, d) in model units."""
        self.add(f"{method} scaled", errors.square(), f"{method} residual")
        errors = errors.mul_(scale).reshape(true.shape)
        self.add(method, errors.square())
        self._add_ssim(method, true, true - errors)

    def _add_ssim(self, method: str, true: torch.Tensor, output: torch.Tensor) -> None:
        if self.has_ssim:
            similarity = image_ssim(true, output, self.data_range, self.ae.kind_) * true[0].numel()
            self.add(f"{method} ssim".strip(), similarity)


def image_ssim(x: torch.Tensor, y: torch.Tensor, data_range: float, kind: Kind = "images") -> torch.Tensor:
    """The structural similarity of examples that are images, or flat rows of an image.

    Args:
        x: examples (n, *shape).
        y: their reconstructions (n, *shape).
        data_range: the range of the data, in the same unit.
        kind: what the axes of examples mean.

    Returns:
        (n,), at most 1, without unit.
    """
    shape = (len(x), *image_shape(tuple(x.shape[1:]), kind))
    return structural_similarities(x.reshape(shape), y.reshape(shape), data_range)


def why_no_ssim(shape: tuple[int, ...], kind: Kind, data_range: float) -> str:
    """The reason why examples have no structural similarity, or "" if they have one.

    Args:
        shape: of one example.
        kind: what the axes of examples mean.
        data_range: the range of the data.
    """
    sides = image_shape(shape, kind)
    if kind != "images" or len(sides) not in {2, 3}:
        return "the examples are not images (kind=images declares them as such)"
    if min(sides[:2]) < WINDOW:
        return f"images of {sides[0]} x {sides[1]} are smaller than its window of {WINDOW} x {WINDOW}"
    return "" if data_range else "all values of the examples are equal"


def _cache_blocks(values: Array) -> Iterator[torch.Tensor]:
    """Blocks of examples in double precision, small enough for the processor's cache."""
    rows = max(1, _CACHE_VALUES // values[0].size)
    for begin in range(0, len(values), rows):
        yield to_tensor(np.asarray(values[begin : begin + rows], np.float64))


def _squared_error_sum(x: Array, y: Array, differences: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> float:
    """The sum of the squared differences of x and y."""
    both = zip(_cache_blocks(x), _cache_blocks(y), strict=True)
    return sum(float(differences(b, a).square().sum()) for a, b in both)


def data_range_of(ae: Autoencoder, values: Array) -> float:
    """The range that PSNR and SSIM refer to: that of the scaling, 255 for images of bytes, or else largest - smallest value.

    Args:
        ae: a fitted autoencoder.
        values: examples (n, *shape_).

    Returns:
        The range, in the unit of the data.
    """
    low, high, _ = range_of(DataStatistics(values))
    known = ae.scaling_.range(low, high)
    if known is not None:
        return known
    return 255.0 if ae.kind_ == "images" and values.dtype == np.uint8 else high - low


def throughput(function: Callable[[Array], Array], values: Array) -> float:
    """Examples per second that a function processes, measured for at least 0.2 s."""
    _, block = next(blocks(values, BLOCK_ROWS))
    function(block[:BLOCK_ROWS])  # warm-up: the first call is slower
    began, elapsed, count = time.perf_counter(), 0.0, 0
    while elapsed < _MIN_SECONDS:
        function(block)
        count, elapsed = count + len(block), time.perf_counter() - began
    return count / elapsed
