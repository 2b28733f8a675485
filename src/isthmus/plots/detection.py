# ruff: noqa: ARG001  (every picture takes ae, X and y, so that one command draws any of them)
"""Which examples are anomalous, where, and how far from the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from isthmus.data.missing import gaps
from isthmus.estimators.argument_check import check_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.plots.figure import chart
from isthmus.plots.grids import Array, ImageShape, as_pictures, first, grid, limits, pictured

__all__ = ["anomalies", "anomaly_scores", "score_histogram"]


def anomalies(
    ae: Autoencoder | OutlierDetector, X: Any, y: Any = None, *, n: int = 5, image_shape: ImageShape = None
) -> Figure:
    """The n most anomalous examples and the n most normal ones, over their reconstructions and a heat map of the error.

    ae: a detector; or an autoencoder, around which one is put that is calibrated on half of X. The heat is the root of an example's
    standardized squared errors (`OutlierDetector.contributions`), each example on its own scale: it shows where, not how much.
    Where numbers are missing, as missing="allow" allows, the autoencoder's are shown, without heat.
    """
    detector, examples = _detected(ae, X)
    order = np.argsort(detector.score_samples(examples), kind="stable")
    n = min(max(1, n), (len(order) + 1) // 2)
    picked = np.concatenate([order[:n], order[n:][::-1][:n]])
    shown = examples[np.sort(picked)][np.argsort(np.argsort(picked))]  # read in order, as a memory map wants it
    heat, p = np.sqrt(np.nan_to_num(detector.contributions(shown))), detector.p_values(shown)
    peaks = heat.reshape(len(heat), -1).max(1).reshape(-1, *[1] * (heat.ndim - 1))
    heat = heat / np.where(peaks > 0, peaks, 1.0)
    back = detector.autoencoder_.reconstruct(shown)
    if gaps(shown):
        shown = detector.autoencoder_.impute(shown)
    image_shape = pictured(detector.autoencoder_, image_shape)
    low, high = range_ = limits(shown, image_shape)
    rows = [as_pictures(part, image_shape).astype(np.float64) for part in (shown, back)]
    hot = as_pictures(heat, image_shape)
    if hot.ndim == 2:  # curves
        rows.append(low + hot * (high - low))
    else:
        rows = [_colored(np.clip((row - low) / (high - low), 0, 1), "gray") for row in rows]
        rows.append(_colored(hot.max(-1) if hot.ndim == 4 else hot, "inferno"))
        range_ = (0.0, 1.0)
    columns = [f"row {row}\np {value:.2g}" for row, value in zip(picked, p, strict=True)]
    alt = f"The {n} most anomalous and the {len(picked) - n} most normal of {len(examples)} examples, their reconstructions and errors."
    names = ("original", "reconstruction", "heat of the error")
    title = f"the {n} most anomalous of {len(examples):,} examples, then the {len(picked) - n} most normal"
    return grid(np.stack(rows), range_, alt, title=title, rows=names, columns=columns, group=(3, n))


def anomaly_scores(ae: Autoencoder | OutlierDetector, X: Any, y: Any = None, *, bins: int = 60) -> Figure:
    """How many examples have which anomaly score, and the threshold; ae as for `anomalies`."""
    detector, examples = _detected(ae, X)
    return score_histogram(detector.score_samples(examples), detector.offset_, bins)


def score_histogram(scores: NDArray[np.float64], offset: float, bins: int = 60) -> Figure:
    """How many examples have which score (n,), as `OutlierDetector.score_samples` gives it, and the threshold; below it is anomalous."""
    scores, offset = -scores, -offset
    alarms = int((scores > offset).sum())
    alt = f"A histogram of {len(scores)} anomaly scores; {alarms} lie above the threshold of {offset:.4g}."
    figure, axes = chart(alt, 7.0, 4.2)
    top = max(float(np.quantile(scores, 0.99)), offset if np.isfinite(offset) else -np.inf)
    top += 0.25 * (top - float(scores.min()))
    beyond = int((scores > top).sum())
    edges = np.linspace(float(scores.min()), max(top, float(scores.min()) + 1e-9), bins + 1)
    for kept, color, label in (
        (scores <= offset, "C0", f"{len(scores) - alarms:,} normal"),
        (scores > offset, "C3", f"{alarms:,} anomalous"),
    ):
        axes.hist(np.minimum(scores[kept], edges[-1]), edges.tolist(), color=color, label=label)
    if np.isfinite(offset):
        axes.axvline(offset, color="0.2", linewidth=1, linestyle="--", label=f"threshold {offset:.4g}")
    if beyond:
        axes.set_title(
            f"what lies beyond the right end, {beyond:,}, is counted in the last bar", fontsize=9, loc="left"
        )
    axes.set(xlabel="anomaly score, -score_samples", ylabel="examples")
    axes.legend(frameon=False, fontsize=9)
    return figure


def _detected(ae: Autoencoder | OutlierDetector, X: Any) -> tuple[OutlierDetector, Array]:
    """The detector, or one around the autoencoder, and the checked examples."""
    if isinstance(ae, OutlierDetector):
        return ae, first(X, missing=ae.autoencoder_.missing)
    check_autoencoder(ae, "a picture of anomalies")
    examples = first(X, missing=ae.missing)
    return OutlierDetector.from_fitted(ae, examples, calibration_fraction=0.5, random_state=0), examples


def _colored(values: Array, name: str) -> Array:
    """Numbers in [0, 1] as colors (n, h, w, 3); colors stay."""
    return values if values.ndim == 4 else np.asarray(colormaps[name](values)[..., :3])
