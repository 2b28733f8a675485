"""Rate-distortion curves of an autoencoder and of baseline codecs: bits per dimension against error and PSNR."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isthmus.compression import baseline_codecs, file_format
from isthmus.compression.codec import compression_by_step
from isthmus.compression.frequency_tables import MAX_INTEGER
from isthmus.compression.quantizers import UniformQuantizer
from isthmus.data import as_examples
from isthmus.data.memmap import some_rows
from isthmus.errors import RecordError
from isthmus.estimators.argument_check import refuse_conditional, refuse_table, takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation import data_range_of, principal
from isthmus.evaluation.metrics import psnr
from isthmus.results import Result, Table, plain
from isthmus.text import quoted

__all__ = ["LIMIT", "Point", "RateDistortion", "at_bits", "at_psnr", "rate_distortion"]

Array = NDArray[Any]
LIMIT = 10_000  # examples that are compressed
ONE_BY_ONE = 200  # images that are also stored in a file each
STEPS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0)  # relative to the error without quantization


@dataclass(frozen=True)
class Point:
    """A point of a rate-distortion curve.

    Attributes:
        method: such as "autoencoder" or "JPEG, in a sheet".
        setting: step or quality; None for a method without a setting.
        n_examples: number of examples that were measured.
        bits: bits per feature of an example; for gray images, bits per pixel.
        mse: mean squared error, in squared units of the examples; in squared model units where columns have different scales.
        psnr: peak signal-to-noise ratio in dB; infinite for a lossless method. None where all values are equal.
    """

    method: str
    setting: float | None
    n_examples: int
    bits: float
    mse: float
    psnr: float | None


@dataclass(frozen=True, repr=False)
class RateDistortion(Result):
    """The result of `rate_distortion`. Iteration yields its points.

    Attributes:
        points: the points of all methods.
        n_given: number of examples that were given; each point has the number that was measured.
    """

    _figure: ClassVar[str] = "rate_distortion"

    points: tuple[Point, ...]
    n_given: int

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    def to_dict(self) -> dict[str, Any]:
        """The whole result as plain JSON values; an infinite PSNR is None."""
        values: dict[str, Any] = plain({"n_given": self.n_given, "points": [asdict(point) for point in self.points]})
        return values

    def table(self) -> Table:
        """A row for each point."""
        rows = [
            [
                point.method,
                *(
                    "-" if value is None else f"{value:.4g}"
                    for value in (point.setting, point.bits, point.mse, point.psnr)
                ),
            ]
            for point in self.points
        ]
        return ["method", "setting", "bits per dimension", "mean squared error", "PSNR in dB"], rows

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [asdict(point) for point in self.points]


@takes_autoencoder
@check_units_once()
def rate_distortion(
    ae: Autoencoder, X: Any, steps: Sequence[float] | None = None, *, train: Any = None, limit: int = LIMIT
) -> RateDistortion:
    """Measures rate-distortion curves of the autoencoder, of PCA of equal width, and of image formats on the same examples.

    The autoencoder has two curves: one of the file alone, and one with the bytes of its model. For images of bytes, PNG, JPEG and WebP
    have two curves too: each image in a file of its own (measured on 200), where the header is most of a small file, and all images
    in large contact sheets.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape), in the units of the training data. Of more than ``limit``, this number is drawn at random with a
            fixed seed.
        steps: steps as for `isthmus.compression.compress`; None for nine steps in proportion to the error of the autoencoder.
        train: training examples that PCA is fitted on; None for X itself, which favors PCA.
        limit: the largest number of examples to measure.

    Returns:
        A point for each method and step: bits per dimension and PSNR in dB.

    Raises:
        NotPossibleError: the autoencoder is conditional, or one of a table with other columns than numbers.
        RecordError: a step or the limit is not above 0.
    """
    if limit < 1 or (steps is not None and not all(0 < step < math.inf for step in steps)):
        raise RecordError(f"invalid steps={quoted(steps)}, limit={quoted(limit)}: expected numbers greater than 0")
    refuse_conditional(ae, "a compressed file")
    refuse_table(ae, "a compressed file")
    given = as_examples(X, shape=ae.shape_).values
    values, n_given = some_rows(given, limit), len(given)
    scale = ae.model_.scale.cpu().numpy().astype(np.float64)
    even = bool((scale == scale.flat[0]).all())
    data_range = data_range_of(ae, values) if even else float(np.ptp((values - ae.model_.shift.cpu().numpy()) / scale))
    points = [*_autoencoder_points(ae, values, steps), *_pca_points(ae, values, train), *_image_format_points(values)]
    with_psnr = tuple(replace(point, psnr=None if data_range == 0 else psnr(point.mse, data_range)) for point in points)
    return RateDistortion(with_psnr, n_given)


def at_bits(points: Iterable[Point], method: str, bits: float) -> float | None:
    """The PSNR of a method at a number of bits, interpolated linearly in the logarithm of the bits.

    Args:
        points: measured points of all methods.
        method: name of the method.
        bits: bits per dimension.

    Returns:
        The PSNR in dB; None outside the range of the points.
    """
    curve = sorted((point.bits, point.psnr) for point in points if point.method == method and point.psnr is not None)
    if not curve or not curve[0][0] <= bits <= curve[-1][0]:
        return None
    return float(np.interp(math.log(bits), [math.log(rate) for rate, _ in curve], [quality for _, quality in curve]))


def at_psnr(points: Iterable[Point], method: str, quality: float) -> float | None:
    """The bits at which a method reaches a PSNR, interpolated linearly in the logarithm of the bits.

    Args:
        points: measured points of all methods.
        method: name of the method.
        quality: PSNR in dB.

    Returns:
        Bits per dimension; None outside the range of the points.
    """
    curve = sorted((p.psnr, math.log(p.bits)) for p in points if p.method == method and p.psnr is not None)
    if not curve or not curve[0][0] <= quality <= curve[-1][0]:
        return None
    return math.exp(np.interp(quality, [psnr_of_point for psnr_of_point, _ in curve], [rate for _, rate in curve]))


def _autoencoder_points(ae: Autoencoder, values: Array, steps: Sequence[float] | None) -> Iterator[Point]:
    """The points of the autoencoder, without and with the bytes of its model."""
    compressed = compression_by_step(ae, values)
    if steps is None:
        scale = ae.model_.scale.cpu().numpy()
        error = np.square((ae.reconstruct(values) - values) / scale, dtype=np.float64).sum() / len(values)
        steps = [factor * math.sqrt(error / math.prod(ae.code_shape_) * 12 or 1) for factor in STEPS]
    for step in steps:
        result = compressed(step)
        error = result.mse if result.mse_scaled is None else result.mse_scaled
        point = Point("autoencoder", result.step, len(values), result.bits_per_dim, error, None)
        yield point
        yield replace(point, method="autoencoder and its model", bits=point.bits + 8 * result.model_bytes / values.size)
        if result.step is None:  # codebook indices have no step: there is only one point
            return


def _pca_points(ae: Autoencoder, values: Array, train: Any) -> Iterator[Point]:
    """The points of PCA of equal width, with equal steps and the same entropy coder."""
    fitted = values if train is None else as_examples(train, shape=ae.shape_).values
    scale = np.broadcast_to(ae.model_.scale.cpu().numpy().astype(np.float64), ae.shape_).ravel()
    subspace, _ = principal(fitted, scale, math.prod(ae.code_shape_))
    if not len(subspace.axes):
        return
    mean, unit, axes = (part.numpy() for part in subspace)
    flat = values.reshape(len(values), -1)
    scores = ((flat - mean) / unit) @ axes.T
    residual = np.square((flat - mean) / unit).sum() - np.square(scores).sum()
    for factor in STEPS:
        step = factor * math.sqrt(12 * residual / scores.size)
        if step == 0 or np.abs(scores).max() / step > MAX_INTEGER:
            continue
        quantizer = UniformQuantizer(np.full(scores.shape[1], step, np.float32), scores.shape[1:], np.dtype(np.float64))
        integers = quantizer.quantize(scores)
        size = len(file_format.pack(file_format.FileContents(bytes(16), "f4", integers, quantizer.steps)))
        decoded = (quantizer.dequantize(integers) @ axes) * unit + mean
        decoded = decoded.round().clip(0, 255) if values.dtype == np.uint8 else decoded
        error = (decoded - flat) / (unit if (unit != unit[0]).any() else 1)
        yield Point("PCA", step, len(values), 8 * size / values.size, float(np.square(error).mean()), None)


def _image_format_points(values: Array) -> Iterator[Point]:
    """The points of PNG, JPEG and WebP, for single images and contact sheets; none if examples are not images."""
    if not baseline_codecs.are_images(values):
        return
    few = some_rows(values, ONE_BY_ONE)
    for arrangement, chosen, arranged in (
        ("one by one", few, baseline_codecs.single_images),
        ("in a sheet", values, baseline_codecs.contact_sheets),
    ):
        size = sum(map(baseline_codecs.png_bytes, arranged(chosen)))
        yield Point(f"PNG, {arrangement}", None, len(chosen), 8 * size / chosen.size, 0.0, None)
        for kind in ("JPEG", "WebP"):
            for quality in baseline_codecs.QUALITIES:
                lossy = baseline_codecs.encode_images(arranged(chosen), kind, quality)
                bits, error = 8 * lossy.bytes / chosen.size, lossy.squared_error / chosen.size
                yield Point(f"{kind}, {arrangement}", quality, len(chosen), bits, error, None)
