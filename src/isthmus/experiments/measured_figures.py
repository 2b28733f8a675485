"""Figures from an autoencoder and examples. Kinds that draw the result of a measurement are measured first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Signature, signature
from typing import TYPE_CHECKING, Any

from isthmus.compression import RateDistortion
from isthmus.compression.rate_distortion_curve import rate_distortion
from isthmus.data.series.windows import Windows
from isthmus.errors import NotPossibleError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.evaluation.by_column import column_figures
from isthmus.evaluation.corruption_levels import Kinds, Levels
from isthmus.evaluation.detection_result import DetectionResult, detect
from isthmus.evaluation.pca_reconstructions import pca_reconstructions
from isthmus.evaluation.robustness_curve import robustness
from isthmus.evaluation.robustness_result import Robustness
from isthmus.evaluation.series_detection import SeriesDetection, detect_series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MEASUREMENTS", "figure_function"]


def _robustness_of_few(
    ae: Autoencoder,
    X: Any,
    y: Any = None,
    *,
    train: Any = None,
    train_labels: Any = None,
    kinds: Kinds = None,
    levels: Levels = None,
    baselines: Sequence[str] | None = None,
    n: int = 3,
    random_state: int = 0,
) -> Robustness:
    """The robustness on `n` examples with one draw of the corruption each: they are drawn, not averaged."""
    options: dict[str, Any] = {"kinds": kinds, "levels": levels, "baselines": baselines, "train_labels": train_labels}
    return robustness(ae, X, y, train=train, draws=1, n=n, random_state=random_state, **options)


def _rate_distortion_of_few(
    ae: Autoencoder, X: Any, *, train: Any = None, steps: Sequence[float] | None = None, limit: int = 2000
) -> RateDistortion:
    """Rate and distortion on fewer examples than `rate_distortion` uses, which suffice for a figure."""
    return rate_distortion(ae, X, steps, train=train, limit=limit)


def _detection(ae: Autoencoder, X: Any, y: Any = None, *, n: int = 5) -> DetectionResult:
    """The result of a detector on all examples, half of which calibrate it; `n` examples of each extreme are drawn."""
    detector = OutlierDetector.from_fitted(ae, X, y, calibration_fraction=0.5, random_state=0)
    return detect(detector, X, y=y, n_shown=n)


def _series_detection(ae: Autoencoder, X: Any) -> SeriesDetection:
    """The alarms of a detector in the windows of a series, the second half of which calibrates it."""
    if not isinstance(X, Windows):
        raise NotPossibleError(
            "the figure series_alarms requires windows of a series: pass isthmus.data.Windows(series, length=...)"
        )
    return detect_series(OutlierDetector.from_fitted(ae, X, calibration_fraction=0.5, random_state=0), X)


MEASUREMENTS: dict[str, Callable[..., Any]] = {
    "anomalies": _detection,
    "anomaly_scores": _detection,
    "column_errors": column_figures,
    "pca": pca_reconstructions,
    "rate_distortion": _rate_distortion_of_few,
    "restorations": _robustness_of_few,
    "robustness": robustness,
    "series_alarms": _series_detection,
}  # the function (ae, X, ...) that computes the result which a kind of figure draws


def figure_function(kind: str) -> Callable[..., Figure]:
    """The function (ae, X, y=None, ...) -> Figure of a kind. It accepts the arguments of the measurement and of the figure."""
    from isthmus import plots

    draw: Callable[..., Figure] = getattr(plots, kind)
    if kind not in MEASUREMENTS:
        return draw
    measure, drawing = MEASUREMENTS[kind], list(signature(draw).parameters.values())[1:]

    def measure_and_draw(ae: Autoencoder, X: Any, y: Any = None, **arguments: Any) -> Figure:
        if "y" in signature(measure).parameters:
            arguments["y"] = y
        drawing_arguments = {each.name: arguments.pop(each.name) for each in drawing if each.name in arguments}
        return draw(measure(ae, X, **arguments), **drawing_arguments)

    accepted = Signature([*signature(measure).parameters.values(), *drawing])
    measure_and_draw.__signature__ = accepted  # type: ignore[attr-defined]  # the command line reads it
    return measure_and_draw
