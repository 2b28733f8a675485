"""A detector as a part of the model file of its autoencoder, and back."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from isthmus.errors import NotPossibleError
from isthmus.estimators.model_file import Tensors
from isthmus.estimators.outlier_scores import MOST_AXES, MOST_PARTS, CodeDensity, ErrorDensity, Kind, Scorer
from isthmus.estimators.wrapper import Surrounding, describe_parameters

__all__ = ["DetectorPart", "asked", "kept", "scorer_of"]

_WEIGHTED, _CODED = {"combined", "standardized"}, {"combined", "code"}


class DetectorPart(Surrounding):
    """What a header says of a detector.

    anomaly_score: what makes an example anomalous, as it was decided. axes, parts: of the density of codes, 0 where there is none.
    """

    anomaly_score: Kind
    axes: Annotated[int, Field(ge=0, le=MOST_AXES)] = 0
    parts: Annotated[int, Field(ge=0, le=MOST_PARTS)] = 0


def kept(detector: Any) -> tuple[DetectorPart, Tensors]:
    """What a header says of a fitted detector, and what it has learned: float64; `NotPossibleError` where it could not be read again."""
    code = detector._scorer.code
    axes, parts = (0, 0) if code is None else (code.axes.shape[1], len(code.shares))
    part, tensors = (
        DetectorPart(**describe_parameters(detector), anomaly_score=detector._scorer.kind, axes=axes, parts=parts),
        _tensors(detector),
    )
    try:
        scorer_of(detector, part, tensors)
    except ValueError as error:
        raise NotPossibleError(
            f"such a detector is not written: {error}; a parameter that is set after fit needs another fit before save"
        ) from None
    return part, tensors


def _tensors(detector: Any) -> Tensors:
    scorer, held = detector._scorer, dict[str, Any]()
    held |= {"offset": detector.offset_, "calibration": detector.calibration_scores_}
    held |= {"usual": scorer.usual, "feature_errors": detector.feature_errors_}
    if scorer.error is not None:
        held |= {"weights": scorer.weights, "error": [scorer.error.mean, scorer.error.shape]}
    if scorer.code is not None:
        held |= {f"code.{name}": getattr(scorer.code, name) for name in ("mean", "axes", "shares", "means", "roots")}
    return {name: torch.from_numpy(np.array(value, np.float64)) for name, value in held.items()}


def asked(part: DetectorPart, there: Tensors, shape: tuple[int, ...], code: int) -> Tensors:
    """Sketches of the tensors that a detector has to have, for examples of a shape and codes of so many numbers."""
    calibration = there.get("calibration")
    rows = 0 if calibration is None or calibration.ndim != 1 else len(calibration)
    if not rows:
        raise ValueError("the detector has no calibrating scores")
    wanted = dict[str, tuple[int, ...]](offset=(), calibration=(rows,), usual=(), feature_errors=shape)
    if part.anomaly_score in _WEIGHTED:
        wanted |= {"weights": (math.prod(shape),), "error": (2,)}
    a, p = part.axes, part.parts
    if (part.anomaly_score in _CODED) != bool(a and p) or bool(a) != bool(p):
        raise ValueError(f"a detector with anomaly_score={part.anomaly_score!r} has no {a} axes and {p} parts")
    if a:
        wanted |= {
            "code.mean": (code,),
            "code.axes": (code, a),
            "code.shares": (p,),
            "code.means": (p, a),
            "code.roots": (p, a, a),
        }
    return {name: torch.empty(size, dtype=torch.float64, device="meta") for name, size in wanted.items()}


def scorer_of(detector: Any, part: DetectorPart, tensors: Tensors) -> Scorer:
    """The measure; ValueError that names what no fit of a detector with such parameters leads to."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all() and name != "offset":
            raise ValueError(f"detector.{name} is not finite")
    for name in tensors.keys() & {"weights", "error", "code.shares"}:
        _refuse(name, not (tensors[name] > 0).all(), "has a number that is not above 0")
    for name in tensors.keys() & {"feature_errors", "usual"}:
        _refuse(name, bool((tensors[name] < 0).any()), "has a number below 0")
    _refuse("calibration", bool((tensors["calibration"].diff() < 0).any()), "is not in ascending order")
    _check_threshold(detector, part, tensors["calibration"].tolist(), float(tensors["offset"]))
    code, error = None, None
    if "code.roots" in tensors:
        shares, roots = tensors["code.shares"], tensors["code.roots"]
        _refuse("code.shares", abs(float(shares.sum()) - 1) > 1e-6, "has another sum than 1")
        _refuse("code.roots", not (torch.linalg.diagonal(roots) > 0).all(), "has a diagonal that is not above 0")
        _refuse("code.roots", bool(roots.tril(-1).any()), "is not upper triangular")
        code = CodeDensity(*(_array(tensors[f"code.{name}"]) for name in ("mean", "axes", "shares", "means", "roots")))
    if "error" in tensors:
        error = ErrorDensity(*tensors["error"].tolist())
    weights = None if "weights" not in tensors else _array(tensors["weights"])
    return Scorer(part.anomaly_score, weights, code, error, float(tensors["usual"]))


def _refuse(name: str, wrong: bool, how: str) -> None:
    if wrong:
        raise ValueError(f"detector.{name} {how}")


def _array(tensor: Tensor) -> Any:
    return tensor.numpy()


def _check_threshold(detector: Any, part: DetectorPart, scores: list[float], offset: float) -> None:
    """ValueError unless measure and threshold are what the parameters lead to."""
    if detector.anomaly_score not in {"auto", part.anomaly_score}:
        raise ValueError(
            f"anomaly_score={detector.anomaly_score!r} is asked for, and it was fitted with {part.anomaly_score!r}"
        )
    if detector.contamination is not None:
        if detector.false_alarm_rate is not None:
            raise ValueError("contamination and false_alarm_rate both set the threshold")
        _refuse("offset", not math.isfinite(offset), "is not finite")
        return
    k = detector._rank(len(scores))
    if offset != (scores[k - 1] if k else -math.inf):
        raise ValueError(f"its offset is not the threshold of a false-alarm rate of {detector._rate():g}")
