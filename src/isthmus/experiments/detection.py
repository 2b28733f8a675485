"""What a detector says of examples, as a table and a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.labels import plain
from isthmus.errors import DataError, RecordError
from isthmus.estimators.attribution import Attribution
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.io.atomic import check_writable
from isthmus.io.tables import cell, write_csv
from isthmus.results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DetectionResult", "csv_path", "draw", "verdicts", "write"]

_CAUSES = 3
_SHOWN = 5


@dataclass(frozen=True, eq=False, repr=False)
class DetectionResult(Result):
    """Scores (n,), conformal p-values (n,), which are anomalous (n,), the causes of each, and the threshold with what it promises.

    keys: by name what says which example each row is, beside its number from 0: its line in the file, its id.
    """

    scores: NDArray[np.float64]
    p_values: NDArray[np.float64]
    alarms: NDArray[np.bool_]
    attributions: list[list[Attribution]]
    threshold: float
    guarantee: str
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
        header += [f"{what}_{i}" for i in range(1, n + 1) for what in ("cause", "share")]
        lines = [header]
        for row in range(len(self.scores)):
            blame = [text for cause in self.attributions[row] for text in (_name(cause), f"{cause.share:.4g}")]
            lines.append([*self._first(row), *blame])
        return lines

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The most anomalous examples, for people."""
        header = ["row", *self.keys, "score", "p-value", "verdict", "causes, with their share"]
        return header, [
            [*self._first(row), ", ".join(f"{_name(c)} {c.share:.0%}" for c in self.attributions[row])]
            for row in self._top()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the most anomalous examples alone."""
        top = [
            {
                "row": row,
                **{name: plain([values[row]])[0] for name, values in self.keys.items()},
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

    def plot(self) -> Figure:
        """How many examples have which score, and the threshold."""
        from isthmus.plots.detection import score_histogram

        return score_histogram(self.scores, self.threshold)

    def _frame_rows(self) -> list[dict[str, Any]]:
        keys = {name: plain(values) for name, values in self.keys.items()}
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


def verdicts(
    detector: OutlierDetector, X: NDArray[Any], keys: Mapping[str, NDArray[Any]] | None = None
) -> DetectionResult:
    """What a detector says of examples (n, *shape), with what says which they are."""
    scores = detector.score_samples(X)
    attributions = detector.attributions(X, min(_CAUSES, detector.n_features_in_))
    threshold = detector.offset_
    guarantee = detector.guarantee()
    return DetectionResult(
        scores, detector.p_values(X), scores < threshold, attributions, threshold, guarantee, keys or {}
    )


def csv_path(out: Path | None, usual: str) -> Path:
    """Where the table is to be written; known to be possible before the work that makes it."""
    path = Path(usual) if out is None else out
    if path.suffix != ".csv":
        raise RecordError(f"--out {path}: the table is written as .csv; let the name end so")
    if not path.parent.is_dir():
        raise DataError(f"--out {path}: there is no folder {path.parent}; make it first")
    check_writable(path)
    return path


def write(path: Path, found: DetectionResult) -> None:
    """A line for each example, the whole file or the old one."""
    header, *rows = found.lines()
    write_csv(path, header, rows)


def draw(path: Path, detector: OutlierDetector, X: NDArray[Any]) -> Path | None:
    """Beside the table, the most anomalous pictures and where they are; None where examples are no pictures."""
    if len(detector.autoencoder_.shape_) not in {2, 3}:
        return None
    from isthmus import plots
    from isthmus.plots.figure import save_png

    return save_png(plots.anomalies(detector, X), path.with_suffix(".png"))


def _name(cause: Attribution) -> str:
    return " ".join(map(str, cause.feature)) if isinstance(cause.feature, tuple) else str(cause.feature)
