"""Which examples are anomalous, where, and how far from the rest."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from isthmus.evaluation.detection_result import DetectionResult
from isthmus.plots.figure import chart
from isthmus.plots.grids import Array, ImageShape, as_pictures, grid, limits, shape_shown
from isthmus.plots.result_check import draws

__all__ = ["anomalies", "anomaly_scores"]

_MEASURED = "isthmus.evaluation.detect(detector, X)"


@draws(DetectionResult, _MEASURED)
def anomalies(result: DetectionResult, *, image_shape: ImageShape = None) -> Figure:
    """The most anomalous examples and the most normal ones, over their reconstructions and a heat map of the error.

    The heat is the square root of an example's standardized squared errors (`OutlierDetector.contributions`), each example on its
    own scale: it shows where, not how much. Where a feature is missing, the autoencoder's value is shown, without heat.

    Args:
        result: what `isthmus.evaluation.detect` measured; its ``n_shown`` says how many examples it keeps for this figure.
        image_shape: height, width (and channels) to show a row of features as an image.
    """
    picked, n, shown, back, contributions = result.extremes
    heat = np.sqrt(np.nan_to_num(contributions))
    peaks = heat.reshape(len(heat), -1).max(1).reshape(-1, *[1] * (heat.ndim - 1))
    heat = heat / np.where(peaks > 0, peaks, 1.0)
    image_shape = shape_shown(shown, image_shape)
    low, high = range_ = limits(shown, image_shape)
    rows = [as_pictures(part, image_shape).astype(np.float64) for part in (shown, back)]
    hot = as_pictures(heat, image_shape)
    if hot.ndim == 2:  # curves
        rows.append(low + hot * (high - low))
    else:
        rows = [_colored(np.clip((row - low) / (high - low), 0, 1), "gray") for row in rows]
        rows.append(_colored(hot.max(-1) if hot.ndim == 4 else hot, "inferno"))
        range_ = (0.0, 1.0)
    columns = [f"row {row}\np {value:.2g}" for row, value in zip(picked, result.p_values[picked], strict=True)]
    others, of = len(picked) - n, len(result.scores)
    alt = f"The {n} most anomalous and the {others} most normal of {of} examples, their reconstructions and errors."
    names = ("original", "reconstruction", "heat of the error")
    title = f"the {n} most anomalous of {of:,} examples, then the {others} most normal"
    return grid(np.stack(rows), range_, alt, title=title, rows=names, columns=columns, group=(3, n))


@draws(DetectionResult, _MEASURED)
def anomaly_scores(result: DetectionResult, *, bins: int = 60) -> Figure:
    """How many examples have which anomaly score, and the threshold, above which an example is anomalous.

    Args:
        result: what `isthmus.evaluation.detect` measured.
        bins: the number of bars.
    """
    scores, offset = -result.scores, -result.threshold
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


def _colored(values: Array, name: str) -> Array:
    """Numbers in [0, 1] as colors (n, h, w, 3); colors stay."""
    return values if values.ndim == 4 else np.asarray(colormaps[name](values)[..., :3])
