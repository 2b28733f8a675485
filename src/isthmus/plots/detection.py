"""Figures of anomaly detection: the most anomalous examples, and the distribution of scores."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from isthmus.evaluation.detection_result import DetectionResult
from isthmus.plots.figure import chart
from isthmus.plots.grids import Array, ImageShape, array_image_shape, as_cells, grid, limits
from isthmus.plots.result_check import requires_result

__all__ = ["anomalies", "anomaly_scores"]

_MEASURED = "isthmus.evaluation.detect(detector, X)"


@requires_result(DetectionResult, _MEASURED)
def anomalies(result: DetectionResult, *, image_shape: ImageShape = None) -> Figure:
    """The most anomalous and the most normal examples, their reconstructions and a heat map of the error.

    The heat map is the square root of the standardized squared errors (`OutlierDetector.contributions`). Each example has its own scale:
    the map shows where the error is, not how large it is. A missing feature is shown with the autoencoder's value, without heat.

    Args:
        result: the result of `isthmus.evaluation.detect`. Its ``n_shown`` is the number of examples it keeps for this figure.
        image_shape: height, width (and channels) to show a row of features as an image.
    """
    indices, n_anomalous, originals, reconstructions, contributions = result.extremes
    heat = np.sqrt(np.nan_to_num(contributions))
    peaks = heat.reshape(len(heat), -1).max(1).reshape(-1, *[1] * (heat.ndim - 1))
    heat = heat / np.where(peaks > 0, peaks, 1.0)
    image_shape = array_image_shape(originals, image_shape)
    low, high = range_ = limits(originals, image_shape)
    rows = [as_cells(part, image_shape).astype(np.float64) for part in (originals, reconstructions)]
    heat_cells = as_cells(heat, image_shape)
    if heat_cells.ndim == 2:  # curves
        rows.append(low + heat_cells * (high - low))
    else:
        rows = [_colored(np.clip((row - low) / (high - low), 0, 1), "gray") for row in rows]
        rows.append(_colored(heat_cells.max(-1) if heat_cells.ndim == 4 else heat_cells, "inferno"))
        range_ = (0.0, 1.0)
    columns = [f"row {row}\np {value:.2g}" for row, value in zip(indices, result.p_values[indices], strict=True)]
    n_normal, of = len(indices) - n_anomalous, len(result.scores)
    alt = f"The {n_anomalous} most anomalous and the {n_normal} most normal of {of} examples, reconstructions and heat maps of the error."
    names = ("original", "reconstruction", "relative error")
    title = f"the {n_anomalous} most anomalous of {of:,} examples, then the {n_normal} most normal"
    return grid(np.stack(rows), range_, alt, title=title, rows=names, columns=columns, group=(3, n_anomalous))


@requires_result(DetectionResult, _MEASURED)
def anomaly_scores(result: DetectionResult, *, bins: int = 60) -> Figure:
    """A histogram of anomaly scores. Examples above the threshold are anomalous.

    Args:
        result: the result of `isthmus.evaluation.detect`.
        bins: the number of bars.
    """
    scores, offset = -result.scores, -result.threshold
    alarms = int((scores > offset).sum())
    alt = f"A histogram of {len(scores)} anomaly scores; {alarms} are above the threshold of {offset:.4g}."
    figure, axes = chart(alt, 7.0, 4.2)
    top = max(float(np.quantile(scores, 0.99)), offset if np.isfinite(offset) else -np.inf)
    top += 0.25 * (top - float(scores.min()))
    n_beyond = int((scores > top).sum())
    edges = np.linspace(float(scores.min()), max(top, float(scores.min()) + 1e-9), bins + 1)
    for selected, color, label in (
        (scores <= offset, "C0", f"{len(scores) - alarms:,} normal"),
        (scores > offset, "C3", f"{alarms:,} anomalous"),
    ):
        axes.hist(np.minimum(scores[selected], edges[-1]), edges.tolist(), color=color, label=label)
    if np.isfinite(offset):
        axes.axvline(offset, color="0.2", linewidth=1, linestyle="--", label=f"threshold {offset:.4g}")
    if n_beyond:
        axes.set_title(f"the last bar includes {n_beyond:,} larger scores", fontsize=9, loc="left")
    axes.set(xlabel="anomaly score, -score_samples", ylabel="examples")
    axes.legend(frameon=False, fontsize=9)
    return figure


def _colored(values: Array, name: str) -> Array:
    """Values in [0, 1] as colors (n, h, w, 3); colors are returned unchanged."""
    return values if values.ndim == 4 else np.asarray(colormaps[name](values)[..., :3])
