"""Reads and writes an `OutlierDetector` in the model file of its autoencoder."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from isthmus.errors import NotPossibleError
from isthmus.estimators.ensemble_score import EnsembleScore, LinearError
from isthmus.estimators.model_file import Tensors
from isthmus.estimators.neighbors import MAX_REFERENCES, NeighborDistance, TableScore
from isthmus.estimators.outlier_scores import MAX_AXES, MAX_COMPONENTS, CodeDensity, ErrorDensity, Kind, Scorer
from isthmus.estimators.wrapper import WrapperHeader, describe_parameters

__all__ = ["DetectorPart", "expected_tensors", "read_scorer", "to_file"]

_WITH_REFERENCES = {"neighbors", "ensemble"}
_WITH_ERROR_DENSITY, _WITH_CODE_DENSITY = {"combined", "standardized"}, {"combined", "code"}
_CODE_TENSORS = {  # attributes of a `CodeDensity`, and their names in a file
    "mean": "mean",
    "axes": "axes",
    "weights": "shares",
    "means": "means",
    "precisions_cholesky": "roots",
}


class DetectorPart(WrapperHeader):
    """The entry of a detector in the header of a model file."""

    anomaly_score: Kind  # the resolved one, not "auto"
    axes: Annotated[int, Field(ge=0, le=MAX_AXES)] = 0  # of the density of codes; 0: no density
    parts: Annotated[int, Field(ge=0, le=MAX_COMPONENTS)] = 0  # components of this density


def to_file(detector: Any) -> tuple[DetectorPart, Tensors]:
    """The header entry and the tensors of a fitted detector; `NotPossibleError` if the file would be invalid."""
    code = detector._scorer.code
    axes, parts = (0, 0) if code is None else (code.axes.shape[1], len(code.weights))
    part, tensors = (
        DetectorPart(**describe_parameters(detector), anomaly_score=detector._scorer.kind, axes=axes, parts=parts),
        _tensors(detector),
    )
    try:
        read_scorer(detector, part, tensors)
    except ValueError as error:
        raise NotPossibleError(f"the detector cannot be saved: {error}; fit again after you set a parameter") from None
    return part, tensors


def _tensors(detector: Any) -> Tensors:
    scorer, values = detector._scorer, dict[str, Any]()
    values |= {"offset": detector.offset_, "calibration": detector.calibration_scores_}
    values |= {"usual": scorer.usual, "feature_errors": detector.feature_errors_}
    if scorer.error is not None:
        values |= {"weights": scorer.weights, "error": [scorer.error.mean, scorer.error.shape]}
    if scorer.code is not None:
        values |= {f"code.{name}": getattr(scorer.code, attribute) for attribute, name in _CODE_TENSORS.items()}
    tensors = {name: torch.from_numpy(np.array(value, np.float64)) for name, value in values.items()}
    if scorer.near is not None:
        tensors["weights"] = torch.from_numpy(np.array(scorer.weights))
        tensors |= _near_tensors(scorer.near)
    return tensors


def _near_tensors(near: TableScore | EnsembleScore) -> Tensors:
    """The distance to references, PCA for "ensemble", and how the terms are standardized."""
    linear = near.linear if isinstance(near, EnsembleScore) else None
    pca = {} if linear is None else {"mean": linear.mean, "axes": linear.axes, "weights": linear.weights}
    return {
        **{f"linear.{name}": torch.from_numpy(np.array(value)) for name, value in pca.items()},
        "references": torch.from_numpy(near.neighbors.references),
        "deviations": torch.from_numpy(near.neighbors.deviations),
        "near": torch.from_numpy(np.stack([near.floors, near.centers, near.spreads])),
    }


def expected_tensors(
    part: DetectorPart, stored: Tensors, shape: tuple[int, ...], code_size: int, n_features: int
) -> Tensors:
    """The tensors, on "meta", that the file of a detector requires; ValueError for an invalid header entry.

    Args:
        part: the header entry.
        stored: the tensors in the file, for the numbers of calibration scores and of references.
        shape: the shape of an example.
        code_size: the number of values of a flat code.
        n_features: the number of values of an example in model units.
    """
    calibration = stored.get("calibration")
    rows = 0 if calibration is None or calibration.ndim != 1 else len(calibration)
    if not rows:
        raise ValueError("the detector has no calibration scores")
    expected = dict[str, tuple[int, ...]](offset=(), calibration=(rows,), usual=(), feature_errors=shape)
    if part.anomaly_score in _WITH_REFERENCES:
        expected |= {"weights": (math.prod(shape),), "deviations": (n_features,), "near": (3, 3)}
    if part.anomaly_score == "ensemble":
        d = n_features
        expected |= {"linear.mean": (d,), "linear.axes": (_axes_count(stored, d), d), "linear.weights": (d,)}
        near = stored.get("near")
        expected["near"] = (3, 4) if near is not None and near.shape == (3, 4) else (3, 3)
    if part.anomaly_score == "neighbors":
        near = stored.get("near")
        expected["near"] = (3, 2) if near is not None and near.shape == (3, 2) else (3, 3)  # older files have no tails
    if part.anomaly_score in _WITH_ERROR_DENSITY:
        expected |= {"weights": (math.prod(shape),), "error": (2,)}
    a, p = part.axes, part.parts
    if (part.anomaly_score in _WITH_CODE_DENSITY) != bool(a and p) or bool(a) != bool(p):
        raise ValueError(f"anomaly_score={part.anomaly_score!r} is inconsistent with {a} axes and {p} parts")
    if a:
        expected |= {
            "code.mean": (code_size,),
            "code.axes": (code_size, a),
            "code.shares": (p,),
            "code.means": (p, a),
            "code.roots": (p, a, a),
        }
    tensors = {name: torch.empty(size, dtype=torch.float64, device="meta") for name, size in expected.items()}
    if part.anomaly_score in _WITH_REFERENCES:
        tensors["references"] = torch.empty(_reference_count(stored), n_features, dtype=torch.float32, device="meta")
    return tensors


def _reference_count(stored: Tensors) -> int:
    references = stored.get("references")
    count = 0 if references is None or references.ndim != 2 else len(references)
    if not 0 < count <= MAX_REFERENCES:
        raise ValueError(f"the detector has {count:,} references, not 1 to {MAX_REFERENCES:,}")
    return count


def _axes_count(stored: Tensors, n_features: int) -> int:
    axes = stored.get("linear.axes")
    count = 0 if axes is None or axes.ndim != 2 else len(axes)
    if not 0 < count <= n_features:
        raise ValueError(f"its PCA has {count:,} axes, not 1 to {n_features:,}")
    return count


def read_scorer(detector: Any, part: DetectorPart, tensors: Tensors) -> Scorer:
    """The anomaly score of a file; ValueError for the first value that no fit with these parameters can produce."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all() and name != "offset":
            raise ValueError(f"detector.{name} is not finite")
    for name in tensors.keys() & {"weights", "error", "code.shares", "deviations", "linear.weights"}:
        _raise_if(not (tensors[name] > 0).all(), name, "has a value that is not above 0")
    for name in {"feature_errors", *([] if part.anomaly_score in _WITH_REFERENCES else ["usual"])}:
        _raise_if(bool((tensors[name] < 0).any()), name, "has a value below 0")
    _raise_if(bool((tensors["calibration"].diff() < 0).any()), "calibration", "is not in ascending order")
    _check_threshold(detector, part, tensors["calibration"].tolist(), float(tensors["offset"]))
    code, error, near = None, None, None
    if "code.roots" in tensors:
        weights, factors = tensors["code.shares"], tensors["code.roots"]
        _raise_if(abs(float(weights.sum()) - 1) > 1e-6, "code.shares", "does not sum to 1")
        _raise_if(
            not (torch.linalg.diagonal(factors) > 0).all(), "code.roots", "has a diagonal value that is not above 0"
        )
        _raise_if(bool(factors.tril(-1).any()), "code.roots", "is not upper triangular")
        code = CodeDensity(**{attribute: _array(tensors[f"code.{name}"]) for attribute, name in _CODE_TENSORS.items()})
    if "error" in tensors:
        error = ErrorDensity(*tensors["error"].tolist())
    if "near" in tensors:
        near = _read_near(tensors)
    error_weights = None if "weights" not in tensors else _array(tensors["weights"])
    return Scorer(part.anomaly_score, error_weights, code, error, float(tensors["usual"]), near)


def _read_near(tensors: Tensors) -> TableScore | EnsembleScore:
    """The distance to references, with the other terms."""
    distance = NeighborDistance(_array(tensors["references"]), _array(tensors["deviations"]))
    fitted = NeighborDistance.fit(distance.references)
    _raise_if(not np.allclose(fitted.deviations, distance.deviations, rtol=1e-4), "deviations", "is not of references")
    near: TableScore | EnsembleScore = TableScore(distance, *_array(tensors["near"]))
    if "linear.axes" in tensors:
        linear = LinearError(*(_array(tensors[f"linear.{name}"]) for name in ("mean", "axes", "weights")))
        _raise_if(bool(problem := linear.implausible(distance.references)), "linear", problem)
        shape = tensors["feature_errors"].shape  # of windows, if their shape is a fourth term
        window = (shape[0], math.prod(shape[1:])) if len(tensors["near"].T) == 4 else None
        near = EnsembleScore(distance, linear, window, *_array(tensors["near"]))
    _raise_if(bool(problem := near.implausible()), "near", problem)
    return near


def _raise_if(invalid: bool, name: str, problem: str) -> None:
    if invalid:
        raise ValueError(f"detector.{name} {problem}")


def _array(tensor: Tensor) -> Any:
    return tensor.numpy()


def _check_threshold(detector: Any, part: DetectorPart, scores: list[float], offset: float) -> None:
    """ValueError unless score and threshold are consistent with the parameters."""
    if detector.anomaly_score not in {"auto", part.anomaly_score}:
        raise ValueError(
            f"its anomaly_score is {detector.anomaly_score!r}, but it was fitted with {part.anomaly_score!r}"
        )
    if detector.contamination is not None:
        if detector.false_alarm_rate is not None:
            raise ValueError("contamination and false_alarm_rate both set the threshold")
        _raise_if(not math.isfinite(offset), "offset", "is not finite")
        return
    k = detector._rank(len(scores))
    if offset != (scores[k - 1] if k else -math.inf):
        raise ValueError(f"its offset does not match the false-alarm rate of {detector._rate():g}")
