"""Every figure from an autoencoder and examples: what a figure shows of a measurement is measured first, then drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Signature, signature
from typing import TYPE_CHECKING, Any

from isthmus.compression import RateDistortion
from isthmus.compression.rate_distortion_curve import rate_distortion
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.evaluation.corruption_levels import Kinds, Levels
from isthmus.evaluation.detection_result import DetectionResult, detect
from isthmus.evaluation.pca_reconstructions import pca_reconstructions
from isthmus.evaluation.robustness_curve import Robustness, robustness

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MEASURES", "drawing"]


def _few_restored(
    ae: Autoencoder,
    X: Any,
    *,
    train: Any = None,
    kinds: Kinds = None,
    levels: Levels = None,
    baselines: Sequence[str] | None = None,
    n: int = 3,
    random_state: int = 0,
) -> Robustness:
    """The robustness of a few examples, which are drawn and not averaged."""
    swept: dict[str, Any] = {"kinds": kinds, "levels": levels, "baselines": baselines}
    return robustness(ae, X, train=train, draws=1, n=n, random_state=random_state, **swept)


def _fewer_compressed(
    ae: Autoencoder, X: Any, *, train: Any = None, steps: Sequence[float] | None = None, limit: int = 2000
) -> RateDistortion:
    """Rate and distortion of fewer examples than `rate_distortion` takes: enough for a figure."""
    return rate_distortion(ae, X, steps, train=train, limit=limit)


def _detected(ae: Autoencoder, X: Any, *, n: int = 5) -> DetectionResult:
    """What a detector that is calibrated on half of the examples says of all; n of each end are shown."""
    detector = OutlierDetector.from_fitted(ae, X, calibration_fraction=0.5, random_state=0)
    return detect(detector, X, n_shown=n)


MEASURES: dict[str, Callable[..., Any]] = {
    "anomalies": _detected,
    "anomaly_scores": _detected,
    "pca": pca_reconstructions,
    "rate_distortion": _fewer_compressed,
    "restorations": _few_restored,
    "robustness": robustness,
}  # of each kind that draws a result, the function (ae, X, ...) that measures it


def drawing(kind: str) -> Callable[..., Figure]:
    """The function (ae, X, y=None, ...) -> Figure of a kind, with the arguments of its measurement and of its figure."""
    from isthmus import plots

    draw: Callable[..., Figure] = getattr(plots, kind)
    if kind not in MEASURES:
        return draw
    measure, own = MEASURES[kind], list(signature(draw).parameters.values())[1:]

    def measured(ae: Autoencoder, X: Any, _y: Any = None, **choices: Any) -> Figure:
        drawn = {each.name: choices.pop(each.name) for each in own if each.name in choices}
        return draw(measure(ae, X, **choices), **drawn)

    takes = Signature([*signature(measure).parameters.values(), *own])
    measured.__signature__ = takes  # type: ignore[attr-defined]  # what the command line reads
    return measured
