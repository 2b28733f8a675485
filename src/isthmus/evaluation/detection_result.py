"""What a detector says of examples: scores, p-values, which are anomalous and why, and the few that a figure shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.kinds import as_images
from isthmus.data.labels import json_labels
from isthmus.data.memmap import Rows
from isthmus.data.missing import count_missing
from isthmus.errors import RecordError
from isthmus.estimators.attribution import Attribution
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.estimators.outlier_scores import bounded_reconstructions
from isthmus.estimators.unit_check import check_units_once
from isthmus.io.tables import cell
from isthmus.results import Result
from isthmus.text import quoted

__all__ = ["DetectionResult", "Extremes", "detect"]

Array = NDArray[Any]
_CAUSES = 3
_SHOWN = 5


class Extremes(NamedTuple):
    """The most anomalous examples, and behind them the most normal ones, as a figure shows them.

    Attributes:
        rows: (k,) which examples they are, the most anomalous first, then the most normal one first.
        n_anomalous: how many of them are the most anomalous ones.
        originals: (k, *shape) the examples; where a feature is missing, what the autoencoder puts there.
        reconstructions: (k, *shape) by the autoencoder.
        contributions: (k, *shape) the standardized squared error of each feature, see `OutlierDetector.contributions`.
    """

    rows: NDArray[np.int64]
    n_anomalous: int
    originals: Array
    reconstructions: Array
    contributions: NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class DetectionResult(Result):
    """What `detect` measures of n examples.

    Attributes:
        scores: (n,) the lower, the more anomalous (`OutlierDetector.score_samples`).
        p_values: (n,) conformal p-values.
        alarms: (n,) whether each is anomalous: its score is below the threshold.
        attributions: for each example the features that raise its error most, the first one most.
        threshold: of the scores; -inf where there were too few calibration examples for one.
        guarantee: what the threshold promises, in words.
        extremes: the most anomalous and the most normal examples.
        keys: by name what says which example each row is, besides its number from 0: its line in the file, its id.
    """

    _figure: ClassVar[str] = "anomaly_scores"

    scores: NDArray[np.float64]
    p_values: NDArray[np.float64]
    alarms: NDArray[np.bool_]
    attributions: list[list[Attribution]]
    threshold: float
    guarantee: str
    extremes: Extremes
    keys: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def anomalous(self) -> int:
        """How many."""
        return int(self.alarms.sum())

    @property
    def decided(self) -> bool:
        """Whether there were calibrating examples enough to call any example anomalous."""
        return math.isfinite(self.threshold)

    def lines(self) -> list[list[str]]:
        """A line for each example, after the names of the columns."""
        n = max(map(len, self.attributions))
        header = ["row", *self.keys, "score", "p_value", "verdict"]
        header += [f"{what}_{i}" for i in range(1, n + 1) for what in ("feature", "share")]
        lines = [header]
        for row in range(len(self.scores)):
            blame = [text for cause in self.attributions[row] for text in (_name(cause), f"{cause.share:.4g}")]
            lines.append([*self._first(row), *blame])
        return lines

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The most anomalous examples, for people."""
        header = ["row", *self.keys, "score", "p-value", "verdict", "features, with their share"]
        return header, [
            [*self._first(row), ", ".join(f"{_name(c)} {c.share:.0%}" for c in self.attributions[row])]
            for row in self._top()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the most anomalous examples alone."""
        top = [
            {
                "row": row,
                **{name: json_labels([values[row]])[0] for name, values in self.keys.items()},
                "score": float(self.scores[row]),
                "p_value": float(self.p_values[row]),
                "anomalous": bool(self.alarms[row]) if self.decided else None,
                "attributions": [{"feature": c.feature, "share": c.share} for c in self.attributions[row]],
            }
            for row in self._top()
        ]
        threshold = self.threshold if math.isfinite(self.threshold) else None
        return {
            "examples": len(self.scores),
            "anomalous": self.anomalous if self.decided else None,
            "threshold": threshold,
            "guarantee": self.guarantee,
            "most_anomalous": top,
        }

    def _frame_rows(self) -> list[dict[str, Any]]:
        keys = {name: json_labels(values) for name, values in self.keys.items()}
        return [
            {"row": row}
            | {name: values[row] for name, values in keys.items()}
            | {"score": float(self.scores[row]), "p_value": float(self.p_values[row]), "verdict": self._verdict(row)}
            | {f"feature_{i}": _name(cause) for i, cause in enumerate(self.attributions[row], 1)}
            | {f"share_{i}": float(cause.share) for i, cause in enumerate(self.attributions[row], 1)}
            for row in range(len(self.scores))
        ]

    def _verdict(self, row: int) -> str:
        return ("anomalous" if self.alarms[row] else "normal") if self.decided else "undecided"

    def _first(self, row: int) -> list[str]:
        return [
            str(row),
            *(cell(values[row]) for values in self.keys.values()),
            f"{self.scores[row]:.6g}",
            f"{self.p_values[row]:.4g}",
            self._verdict(row),
        ]

    def _top(self) -> list[int]:
        order: list[int] = np.argsort(self.scores, kind="stable")[:_SHOWN].tolist()
        return order


@check_units_once()
def detect(
    detector: OutlierDetector, X: Any, keys: Mapping[str, NDArray[Any]] | None = None, *, n_shown: int = _SHOWN
) -> DetectionResult:
    """Measures which examples are anomalous, how sure that is, and which features are the reason.

    Args:
        detector: a fitted detector.
        X: examples (n, *shape) in the units of the training data.
        keys: by name what says which example each row is, (n,) each.
        n_shown: how many of the most anomalous examples, and of the most normal ones, the result keeps for a figure.

    Returns:
        Scores, p-values and verdicts (n,), and the features with the largest contributions.

    Raises:
        DataError: the examples do not have the shape of the training examples.
        RecordError: the first argument is no detector, or ``n_shown`` is below 1.
    """
    if not isinstance(detector, OutlierDetector):
        raise RecordError(
            f"detect takes an OutlierDetector and was given a value of type {type(detector).__name__}; "
            "OutlierDetector.from_fitted(ae, X) makes one of an autoencoder and normal examples"
        )
    if not isinstance(n_shown, Integral) or n_shown < 1:
        raise RecordError(f"invalid n_shown={quoted(n_shown)}: expected a whole number from 1 on")
    scores = detector.score_samples(X)
    attributions = detector.attributions(X, min(_CAUSES, detector.n_features_in_))
    p_values, threshold = detector.p_values(X), detector.offset_
    found = _extremes(detector, X, scores, n_shown)
    return DetectionResult(
        scores, p_values, scores < threshold, attributions, threshold, detector.guarantee(), found, keys or {}
    )


def _extremes(detector: OutlierDetector, X: Any, scores: NDArray[np.float64], n: int) -> Extremes:
    """The n most anomalous and the n most normal examples; of fewer than 2 n, each once."""
    ae = detector.autoencoder_
    order = np.argsort(scores, kind="stable")
    n = min(n, (len(order) + 1) // 2)
    picked = np.concatenate([order[:n], order[n:][::-1][:n]])
    values = Rows(ae._examples(X, computable="all", check_constant=True))
    originals = values(np.sort(picked))[np.argsort(np.argsort(picked))]  # read in order, as a memory map wants it
    contributions, reconstructions = detector.contributions(originals), bounded_reconstructions(ae, originals)
    if count_missing(originals):
        originals = np.where(np.isnan(originals), reconstructions, originals).astype(originals.dtype)
    originals = as_images(originals) if ae.kind_ == "images" else originals
    return Extremes(picked, n, originals, reconstructions, contributions)


def _name(cause: Attribution) -> str:
    return " ".join(map(str, cause.feature)) if isinstance(cause.feature, tuple) else str(cause.feature)
