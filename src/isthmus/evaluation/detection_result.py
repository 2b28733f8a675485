"""Anomaly detection on examples: scores, p-values, decisions and attributions, and the examples that a figure shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isthmus.data.kinds import as_images
from isthmus.data.labels import json_labels
from isthmus.data.memmap import Rows, selected_rows
from isthmus.data.missing import count_missing
from isthmus.data.validation import BLOCK, blocks
from isthmus.errors import RecordError
from isthmus.estimators.argument_check import with_context
from isthmus.estimators.attribution import Attribution
from isthmus.estimators.conformal import conformal_p_values
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.estimators.squared_errors import bounded_reconstructions
from isthmus.estimators.table_columns import table_columns
from isthmus.estimators.unit_check import check_units_once
from isthmus.io.tables import cell
from isthmus.results import Result
from isthmus.text import quoted

__all__ = ["DetectionResult", "Extremes", "detect"]

Array = NDArray[Any]
_N_ATTRIBUTIONS = 3
_N_EXTREMES = 5
_ALL_EXPLAINED = (
    1_000  # examples: of more, only the anomalous and the most anomalous ones get attributions, which take long
)


class Extremes(NamedTuple):
    """The most anomalous examples, followed by the most normal ones, for a figure.

    Attributes:
        rows: (k,) row indices of the examples: the most anomalous one first, then the most normal one first.
        n_anomalous: number of the most anomalous examples among them.
        originals: (k, *shape) the examples, with missing features filled in by the autoencoder.
        reconstructions: (k, *shape) their reconstructions.
        contributions: (k, *shape) the standardized squared error of each feature, see `OutlierDetector.contributions`.
    """

    rows: NDArray[np.int64]
    n_anomalous: int
    originals: Array
    reconstructions: Array
    contributions: NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class DetectionResult(Result):
    """The result of `detect` for n examples.

    Attributes:
        scores: (n,) anomaly scores; a lower score is more anomalous (`OutlierDetector.score_samples`).
        p_values: (n,) conformal p-values.
        alarms: (n,) whether each example is anomalous, that is, its score is below the threshold.
        attributions: for each example the features with the largest contributions, in descending order. Of more than 1,000 examples
            only the anomalous and the most anomalous ones have some.
        threshold: threshold of the scores; -inf if there were too few calibration examples.
        guarantee: the guarantee of the threshold, in a sentence.
        extremes: the most anomalous and the most normal examples.
        keys: identifiers of the examples by name, such as line numbers in a file or IDs, (n,) each.
        values: of a table whose columns have names: for each attribution the value of its column in the example, as text; "" if it is
            missing, or unknown to the training data. Else empty.
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
    values: list[list[str]] = field(default_factory=list)

    @property
    def anomalous(self) -> int:
        """The number of anomalous examples."""
        return int(self.alarms.sum())

    @property
    def explained(self) -> int:
        """The number of examples with attributions."""
        return sum(map(bool, self.attributions))

    @property
    def decided(self) -> bool:
        """Whether there were enough calibration examples for a threshold."""
        return math.isfinite(self.threshold)

    def lines(self) -> list[list[str]]:
        """The rows of a CSV file: the names of the columns, then a row for each example."""
        n = max(map(len, self.attributions))
        header = ["row", *self.keys, "score", "p_value", "verdict"]
        parts = ["feature", *(["value"] if self.values else []), "share"]
        lines = [[*header, *(f"{what}_{i}" for i in range(1, n + 1) for what in parts)]]
        for row in range(len(self.scores)):
            described = [each | {"share": f"{each['share']:.4g}"} for each in self._described(row)]
            cells = [text for each in described for text in each.values()]
            lines.append([*self._cells(row), *cells, *[""] * (len(parts) * n - len(cells))])
        return lines

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The most anomalous examples, for display."""
        header = ["row", *self.keys, "score", "p-value", "verdict", "features (share of the error)"]
        return header, [
            [*self._cells(row), ", ".join(map(_in_words, self._described(row)))] for row in self._most_anomalous()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; of the examples, only the most anomalous ones."""
        top = [
            {
                "row": row,
                **{name: json_labels([values[row]])[0] for name, values in self.keys.items()},
                "score": float(self.scores[row]),
                "p_value": float(self.p_values[row]),
                "anomalous": bool(self.alarms[row]) if self.decided else None,
                "attributions": [
                    named | {"feature": each.feature}
                    for each, named in zip(self.attributions[row], self._described(row), strict=True)
                ],
            }
            for row in self._most_anomalous()
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
            | {f"{what}_{i}": part for i, each in enumerate(self._described(row), 1) for what, part in each.items()}
            for row in range(len(self.scores))
        ]

    def _described(self, row: int) -> list[dict[str, Any]]:
        """The attributions of an example: names of features, their values if there are any, and shares."""
        values = [{"value": each} for each in self.values[row]] if self.values else [{}] * len(self.attributions[row])
        return [
            {"feature": _name(each)} | value | {"share": float(each.share)}
            for each, value in zip(self.attributions[row], values, strict=True)
        ]

    def _verdict(self, row: int) -> str:
        """The decision on one example."""
        return ("anomalous" if self.alarms[row] else "normal") if self.decided else "undecided"

    def _cells(self, row: int) -> list[str]:
        """The cells of an example before its attributions."""
        return [
            str(row),
            *(cell(values[row]) for values in self.keys.values()),
            f"{self.scores[row]:.6g}",
            f"{self.p_values[row]:.4g}",
            self._verdict(row),
        ]

    def _most_anomalous(self) -> list[int]:
        """The row indices of the most anomalous examples, the most anomalous first."""
        order: list[int] = np.argsort(self.scores, kind="stable")[:_N_EXTREMES].tolist()
        return order


@check_units_once()
def detect(
    detector: OutlierDetector,
    X: Any,
    keys: Mapping[str, NDArray[Any]] | None = None,
    *,
    y: Any = None,
    n_shown: int = _N_EXTREMES,
) -> DetectionResult:
    """Detects anomalous examples: scores, p-values, decisions and attributions to features.

    Args:
        detector: a fitted detector.
        X: examples (n, *shape) in the units of the training data.
        keys: identifiers of the examples by name, (n,) each.
        y: labels or covariates of X for a detector with a conditional autoencoder; others ignore it.
        n_shown: number of the most anomalous examples, and of the most normal ones, that the result stores for a figure.

    Returns:
        Scores, p-values and decisions (n,), and the features with the largest contributions.

    Raises:
        DataError: the examples do not have the shape of the training examples.
        RecordError: the first argument is not a detector, or ``n_shown`` is below 1.
    """
    if not isinstance(detector, OutlierDetector):
        raise RecordError(
            f"detect expects an OutlierDetector, not a value of type {type(detector).__name__}; "
            "OutlierDetector.from_fitted(ae, X) makes a detector from an autoencoder and normal examples"
        )
    if not isinstance(n_shown, Integral) or n_shown < 1:
        raise RecordError(f"invalid n_shown={quoted(n_shown)}: expected an integer of at least 1")
    check_is_fitted(detector)
    X = with_context(detector.autoencoder_, X, y)
    scores = detector.score_samples(X)
    p_values, threshold = conformal_p_values(detector.calibration_scores_, scores), detector.offset_
    attributions = _attributions(detector, X, scores)
    extremes, values = _extremes(detector, X, scores, n_shown), _values(detector, X, attributions)
    decided = (scores, p_values, scores < threshold, attributions, threshold, detector.guarantee())
    return DetectionResult(*decided, extremes, keys or {}, values)


def _attributions(detector: OutlierDetector, X: Any, scores: NDArray[np.float64]) -> list[list[Attribution]]:
    """The attributions of each example; of many, only those of the anomalous and the most anomalous ones."""
    n = min(_N_ATTRIBUTIONS, detector.n_features_in_)
    if len(scores) <= _ALL_EXPLAINED:
        return detector.attributions(X, n)
    rows = np.union1d(np.flatnonzero(scores < detector.offset_), np.argsort(scores, kind="stable")[:_N_EXTREMES])
    values, found = detector.autoencoder_._examples(X, computable="all"), [list[Attribution]() for _ in scores]
    at_once = max(1, BLOCK // math.prod(values.shape[1:]))  # rows of a memory map, which may all be anomalous
    for some in np.split(rows, range(at_once, len(rows), at_once)):
        for row, parts in zip(some.tolist(), detector.attributions(selected_rows(values, some), n), strict=True):
            found[row] = parts
    return found


def _values(detector: OutlierDetector, X: Any, attributions: list[list[Attribution]]) -> list[list[str]]:
    """The values of the columns in attributions as text; none for other data than tables whose columns have names."""
    ae = detector.autoencoder_
    table = table_columns(ae)
    if table is None or not hasattr(detector, "feature_names_in_"):
        return []
    columns, values = {each.name: each for each in table.columns}, list[list[str]]()
    for begin, block in blocks(ae._examples(X, computable="all")):
        for row, parts in zip(block, attributions[begin : begin + len(block)], strict=True):
            named = [columns.get(str(part.feature)) for part in parts]
            values.append(["" if column is None else column.text(float(row[column.first])) for column in named])
    return values


def _extremes(detector: OutlierDetector, X: Any, scores: NDArray[np.float64], n: int) -> Extremes:
    """The n most anomalous and the n most normal examples; with fewer than 2 n examples, each only once."""
    ae = detector.autoencoder_
    order = np.argsort(scores, kind="stable")
    n = min(n, (len(order) + 1) // 2)
    rows = np.concatenate([order[:n], order[n:][::-1][:n]])
    values = Rows(ae._examples(X, computable="all", check_constant=True))
    originals = values(np.sort(rows))[np.argsort(np.argsort(rows))]  # a memory map is read fastest in order
    contributions, reconstructions = detector.contributions(originals), bounded_reconstructions(ae, originals)
    if count_missing(originals):
        originals = np.where(np.isnan(originals), reconstructions, originals).astype(originals.dtype)
    originals = as_images(originals) if ae.kind_ == "images" else originals
    return Extremes(rows, n, originals, reconstructions, contributions)


def _in_words(described: Mapping[str, Any]) -> str:
    """An attribution in words: "region=NO 61%"."""
    value = f"={described['value']}" if described.get("value") else ""
    return f"{described['feature']}{value} {described['share']:.0%}"


def _name(attribution: Attribution) -> str:
    """The name of a feature; for images, the position and channel."""
    feature = attribution.feature
    return " ".join(map(str, feature)) if isinstance(feature, tuple) else str(feature)
