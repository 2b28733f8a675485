"""The rate-distortion figure of compressed examples."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from isthmus.compression import Point, RateDistortion
from isthmus.errors import NotPossibleError
from isthmus.plots.figure import chart
from isthmus.plots.result_check import requires_result

__all__ = ["rate_distortion"]

_STYLES: dict[str, dict[str, Any]] = {
    "autoencoder": {"color": "C0", "linewidth": 2, "marker": "o"},
    "autoencoder and its model": {"color": "C0", "linestyle": "--", "marker": "o", "markerfacecolor": "white"},
    "PCA": {"color": "C2", "marker": "s"},
    "JPEG, in a sheet": {"color": "C1", "marker": "^"},
    "JPEG, one by one": {"color": "C1", "linestyle": ":", "marker": "^", "markerfacecolor": "white"},
    "WebP, in a sheet": {"color": "C4", "marker": "v"},
    "WebP, one by one": {"color": "C4", "linestyle": ":", "marker": "v", "markerfacecolor": "white"},
    "PNG, in a sheet": {"color": "0.45"},
    "PNG, one by one": {"color": "0.45", "linestyle": ":"},
}
_MAX_PSNR = 45  # decibels; higher ones show no visible loss


@requires_result(RateDistortion, "isthmus.compression.rate_distortion(ae, X)")
def rate_distortion(result: RateDistortion) -> Figure:
    """Bits per dimension against PSNR for compressed codes, PCA with the same coder and, for images, PNG, JPEG and WebP.

    Args:
        result: the result of `isthmus.compression.rate_distortion`. The title says how many of the examples were used.

    Raises:
        NotPossibleError: all values of the examples are equal, so there is no PSNR.
    """
    drawn = [point for point in result if point.psnr is not None]
    if not drawn:
        raise NotPossibleError("no PSNR: all values of the examples are equal; pass examples that differ")
    count, own = result.n_given, next(point for point in drawn if point.method == "autoencoder")
    of = f"{own.n_examples:,}" if own.n_examples == count else f"{own.n_examples:,} of {count:,}"
    present = {point.method for point in drawn}
    methods = [method for method in _STYLES if method in present]
    ends = sorted(point.bits for point in drawn if point.method == "autoencoder")
    alt = f"Bits per dimension against PSNR of {of} examples for {', '.join(methods)}; autoencoder: {ends[0]:.3g} to {ends[-1]:.3g}."
    figure, axes = chart(alt, 8.0, 5.4)
    for method in methods:
        _line(axes, method, [point for point in drawn if point.method == method])
    _scale_axes(axes, drawn)
    axes.set_title(f"rate and distortion of {of} examples", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.14, 1))
    return figure


def _line(axes: Axes, method: str, points: list[Point]) -> None:
    look = {"linewidth": 1.2, "markersize": 4} | _STYLES[method]
    if all(point.mse == 0 for point in points):
        axes.axvline(points[0].bits, label=f"{method}: lossless", zorder=0, **look)
        return
    finite = sorted((point.bits, point.psnr) for point in points if point.psnr is not None and point.psnr < math.inf)
    axes.plot(*zip(*finite, strict=True), label=method, **look)


def _scale_axes(axes: Axes, points: list[Point]) -> None:
    finite = [point.psnr for point in points if point.psnr is not None and point.psnr < math.inf]
    least = min(point.psnr or 0 for point in points if point.method.startswith(("autoencoder", "PCA")))
    axes.set_ylim(least - 1, max(min(max(finite), _MAX_PSNR), least + 1) + 1)
    axes.set(xscale="log", xlabel="bits per dimension, from the size of the whole file", ylabel="PSNR, dB")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="0.92")
    known = next(point for point in points if point.mse > 0)
    _add_mse_axis(axes, known.mse * 10 ** ((known.psnr or 0) / 10))


def _add_mse_axis(axes: Axes, peak: float) -> None:
    """Adds an axis of mean squared errors on the right; ``peak`` is the error at 0 dB."""
    right = axes.secondary_yaxis("right", functions=(lambda decibels: decibels, lambda decibels: decibels))
    low, high = (peak / 10 ** (end / 10) for end in axes.get_ylim()[::-1])
    ticks = [digit * 10.0**power for power in range(-12, 13) for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    right.set_yticks([-10 * math.log10(tick / peak) for tick in ticks], [f"{tick:,g}" for tick in ticks])
    right.set_ylabel("mean squared error")
