"""Rate against distortion: the bits that examples take, and how well they come back, for an autoencoder and its rivals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isthmus.compression import baseline_codecs, file_format
from isthmus.compression.codec import with_step
from isthmus.compression.frequency_tables import MOST
from isthmus.compression.quantizers import Steps
from isthmus.data import as_examples
from isthmus.data.memmap import some_rows
from isthmus.errors import RecordError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation import data_range_of, principal
from isthmus.evaluation.metrics import psnr
from isthmus.results import Result, Table, plain
from isthmus.text import quoted

__all__ = ["LIMIT", "Point", "RateDistortion", "at_bits", "at_psnr", "rate_distortion"]

Array = NDArray[Any]
LIMIT = 10_000  # examples that are compressed
ONE_BY_ONE = 200  # of them each in a file of its own
STEPS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0)  # shares of what an example loses by the code alone


@dataclass(frozen=True)
class Point:
    """One way to store some examples.

    Attributes:
        method: such as "autoencoder" or "JPEG, in a sheet".
        setting: its step or quality.
        n_examples: measured on so many.
        bits: for each number of the examples (for gray pictures: each pixel).
        mse: mean squared error, in squared units of the examples; in model units where columns have scales of their own.
        psnr: in decibels; infinite where nothing is lost, None where all numbers are equal.
    """

    method: str
    setting: float | None
    n_examples: int
    bits: float
    mse: float
    psnr: float | None


@dataclass(frozen=True, repr=False)
class RateDistortion(Result):
    """What `rate_distortion` measures; iterating over it gives its points.

    Attributes:
        points: the ways to store the examples.
        n_given: how many examples there were; each point says on how many of them it was measured.
    """

    _figure: ClassVar[str] = "rate_distortion"

    points: tuple[Point, ...]
    n_given: int

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; an infinite PSNR is None."""
        found: dict[str, Any] = plain({"n_given": self.n_given, "points": [asdict(point) for point in self.points]})
        return found

    def table(self) -> Table:
        """A line for each point."""
        lines = [
            [
                point.method,
                *(
                    "-" if value is None else f"{value:.4g}"
                    for value in (point.setting, point.bits, point.mse, point.psnr)
                ),
            ]
            for point in self.points
        ]
        return ["method", "setting", "bits per dimension", "mean squared error", "PSNR in dB"], lines

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [asdict(point) for point in self.points]


@takes_autoencoder
@check_units_once()
def rate_distortion(
    ae: Autoencoder, X: Any, steps: Sequence[float] | None = None, *, train: Any = None, limit: int = LIMIT
) -> RateDistortion:
    """The autoencoder, and PCA of equal width, at several steps; and what picture formats make of the same examples.

    The autoencoder is there twice: its files alone, and with the bytes of its model. Of pictures (bytes) PNG, JPEG and WebP are there twice
    too: each example in a file of its own (measured on 200), whose header is most of a small one, and all of them in a large sheet.

    Args:
        ae: a fitted autoencoder.
        limit: how many examples are measured at most.
        X: (n, *shape); of more than ``limit`` examples as many are drawn at random, always the same ones.
        steps: as for `isthmus.compression.compress`; by default nine, after what the autoencoder loses by itself.
        train: examples that PCA is fitted on; without them X itself, which is to PCA's advantage.

    Returns:
        A point for each method and step: bits per dimension and PSNR in decibels.

    Raises:
        RecordError: a step or the limit is not above 0.
    """
    if limit < 1 or (steps is not None and not all(0 < step < math.inf for step in steps)):
        raise RecordError(f"invalid steps={quoted(steps)}, limit={quoted(limit)}: expected numbers greater than 0")
    given = as_examples(X, shape=ae.shape_).values
    values, n_given = some_rows(given, limit), len(given)
    scale = ae.model_.scale.cpu().numpy().astype(np.float64)
    even = bool((scale == scale.flat[0]).all())
    data_range = data_range_of(ae, values) if even else float(np.ptp((values - ae.model_.shift.cpu().numpy()) / scale))
    points = [*_autoencoder(ae, values, steps), *_components(ae, values, train), *_pictures(values)]
    known = tuple(replace(point, psnr=None if data_range == 0 else psnr(point.mse, data_range)) for point in points)
    return RateDistortion(known, n_given)


def at_bits(points: Iterable[Point], method: str, bits: float) -> float | None:
    """The PSNR of a method at a number of bits, between its points as their logarithms go; None beyond them.

    Args:
        points: measured points of all methods.
        method: the name of one method.
        bits: bits per dimension.

    Returns:
        The PSNR in decibels.
    """
    known = sorted((point.bits, point.psnr) for point in points if point.method == method and point.psnr is not None)
    if not known or not known[0][0] <= bits <= known[-1][0]:
        return None
    return float(np.interp(math.log(bits), [math.log(rate) for rate, _ in known], [quality for _, quality in known]))


def at_psnr(points: Iterable[Point], method: str, quality: float) -> float | None:
    """The bits at which a method reaches a PSNR, between its points as their logarithms go; None beyond them.

    Args:
        points: measured points of all methods.
        method: the name of one method.
        quality: the PSNR in decibels.

    Returns:
        Bits per dimension.
    """
    known = sorted((p.psnr, math.log(p.bits)) for p in points if p.method == method and p.psnr is not None)
    if not known or not known[0][0] <= quality <= known[-1][0]:
        return None
    return math.exp(np.interp(quality, [reached for reached, _ in known], [rate for _, rate in known]))


def _autoencoder(ae: Autoencoder, values: Array, steps: Sequence[float] | None) -> Iterator[Point]:
    compressed = with_step(ae, values)
    if steps is None:
        scale = ae.model_.scale.cpu().numpy()
        own = np.square((ae.reconstruct(values) - values) / scale, dtype=np.float64).sum() / len(values)
        steps = [share * math.sqrt(own / math.prod(ae.code_shape_) * 12 or 1) for share in STEPS]
    for step in steps:
        found = compressed(step)
        error = found.mse if found.mse_scaled is None else found.mse_scaled
        point = Point("autoencoder", found.step, len(values), found.bits_per_dim, error, None)
        yield point
        yield replace(point, method="autoencoder and its model", bits=point.bits + 8 * found.model_bytes / values.size)
        if found.step is None:  # entries of a codebook: there is one way
            return


def _components(ae: Autoencoder, values: Array, train: Any) -> Iterator[Point]:
    """As many principal components as the code has numbers, in equal steps, through the same coder."""
    fitted = values if train is None else as_examples(train, shape=ae.shape_).values
    scale = np.broadcast_to(ae.model_.scale.cpu().numpy().astype(np.float64), ae.shape_).ravel()
    subspace, _ = principal(fitted, scale, math.prod(ae.code_shape_))
    if not len(subspace.axes):
        return
    mean, unit, axes = (part.numpy() for part in subspace)
    flat = values.reshape(len(values), -1)
    scores = ((flat - mean) / unit) @ axes.T
    lost = np.square((flat - mean) / unit).sum() - np.square(scores).sum()
    for share in STEPS:
        step = share * math.sqrt(12 * lost / scores.size)
        if step == 0 or np.abs(scores).max() / step > MOST:
            continue
        quantizer = Steps(np.full(scores.shape[1], step, np.float32), scores.shape[1:], np.dtype(np.float64))
        integers = quantizer.integers(scores)
        size = len(file_format.packed(file_format.Contents(bytes(16), "f4", integers, quantizer.steps)))
        back = (quantizer.codes(integers) @ axes) * unit + mean
        back = back.round().clip(0, 255) if values.dtype == np.uint8 else back
        apart = (back - flat) / (unit if (unit != unit[0]).any() else 1)
        yield Point("PCA", step, len(values), 8 * size / values.size, float(np.square(apart).mean()), None)


def _pictures(values: Array) -> Iterator[Point]:
    if not baseline_codecs.are_pictures(values):
        return
    few = some_rows(values, ONE_BY_ONE)
    for manner, chosen, ways in (
        ("one by one", few, baseline_codecs.pictures),
        ("in a sheet", values, baseline_codecs.sheets),
    ):
        size = sum(map(baseline_codecs.png, ways(chosen)))
        yield Point(f"PNG, {manner}", None, len(chosen), 8 * size / chosen.size, 0.0, None)
        for kind in ("JPEG", "WebP"):
            for quality in baseline_codecs.QUALITIES:
                coded = baseline_codecs.pictures_coded(ways(chosen), kind, quality)
                bits, error = 8 * coded.bytes / chosen.size, coded.squares / chosen.size
                yield Point(f"{kind}, {manner}", quality, len(chosen), bits, error, None)
