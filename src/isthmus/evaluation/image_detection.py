"""Anomaly detection in images of any size: a score for each image, and metrics where the anomalies are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, RecordError
from isthmus.estimators.image_detector import HeatMap, ImageOutlierDetector
from isthmus.evaluation.heat_map_metrics import count_regions, per_region_overlap, pixel_auroc
from isthmus.results import Result, plain
from isthmus.text import quoted

__all__ = ["ImageDetection", "ImageMetrics", "detect_images"]

Array = NDArray[Any]
_N_SHOWN = 5


@dataclass(frozen=True, repr=False)
class ImageMetrics(Result):
    """Metrics of a detection in images whose anomalies are known. All are between 0 and 1.

    Attributes:
        images, anomalous_images: their numbers.
        regions: the connected regions of anomalous pixels; None without masks.
        image_auroc: the area under the receiver operating characteristic of scores; None unless there are images of both kinds.
        pixel_auroc: that of single pixels; None without masks.
        pro: `per_region_overlap`, up to a false-positive rate of 0.3; None without masks.
    """

    images: int
    anomalous_images: int
    regions: int | None
    image_auroc: float | None
    pixel_auroc: float | None
    pro: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values: dict[str, Any] = plain(asdict(self))
        return values

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The metrics, for display."""
        regions = "" if self.regions is None else f", {self.regions:,} region{'' if self.regions == 1 else 's'}"
        named = {
            "image AUROC": self.image_auroc,
            "pixel AUROC": self.pixel_auroc,
            "PRO, false-positive rate up to 0.3": self.pro,
        }
        header = [f"{self.anomalous_images:,} of {self.images:,} images anomalous{regions}", "value"]
        return header, [[name, f"{value:.3f}"] for name, value in named.items() if value is not None]

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [self.to_dict()]


@dataclass(frozen=True, eq=False, repr=False)
class ImageDetection(Result):
    """The result of `detect_images` for n images.

    Attributes:
        names: the name of each image.
        scores: (n,), a lower score is more anomalous (`ImageOutlierDetector.score_samples`).
        p_values: (n,), conformal p-values.
        threshold: of the scores; -inf if there were too few normal images.
        guarantee: what the threshold guarantees, in a sentence.
        y_true: (n,) 1 for anomalous images and 0 for others; None if that is unknown.
        metrics: the metrics; None without y_true.
    """

    names: tuple[str, ...]
    scores: NDArray[np.float64]
    p_values: NDArray[np.float64]
    threshold: float
    guarantee: str
    y_true: NDArray[np.int64] | None = None
    metrics: ImageMetrics | None = None

    @property
    def decided(self) -> bool:
        """Whether there were enough normal images for a threshold."""
        return math.isfinite(self.threshold)

    @property
    def anomalous(self) -> int:
        """The number of images whose score is below the threshold."""
        return int((self.scores < self.threshold).sum())

    def lines(self) -> list[list[str]]:
        """The rows of a CSV file: the names of the columns, then a row for each image."""
        truth = [] if self.y_true is None else ["y_true"]
        return [["image", "score", "p_value", "verdict", *truth], *map(self._cells, range(len(self.names)))]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The most anomalous images, for display."""
        order = np.argsort(self.scores, kind="stable")[:_N_SHOWN]
        return ["image", "score", "p-value", "verdict"], [self._cells(row)[:4] for row in order.tolist()]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "images": self._frame_rows(),
            "anomalous": self.anomalous if self.decided else None,
            "threshold": plain(self.threshold),
            "guarantee": self.guarantee,
            "metrics": None if self.metrics is None else self.metrics.to_dict(),
        }

    def _frame_rows(self) -> list[dict[str, Any]]:
        rows = list[dict[str, Any]]()
        for row, name in enumerate(self.names):
            known = {} if self.y_true is None else {"y_true": int(self.y_true[row])}
            found = {
                "score": float(self.scores[row]),
                "p_value": float(self.p_values[row]),
                "verdict": self._verdict(row),
            }
            rows.append({"image": name} | found | known)
        return rows

    def _verdict(self, row: int) -> str:
        """The decision on one image."""
        return ("anomalous" if self.scores[row] < self.threshold else "normal") if self.decided else "undecided"

    def _cells(self, row: int) -> list[str]:
        known = [] if self.y_true is None else [str(int(self.y_true[row]))]
        numbers = [f"{self.scores[row]:.6g}", f"{self.p_values[row]:.4g}"]
        return [self.names[row], *numbers, self._verdict(row), *known]


def detect_images(
    detector: ImageOutlierDetector,
    images: Iterable[Any],
    names: Sequence[str] | None = None,
    *,
    y_true: Any = None,
    masks: Sequence[Any] | None = None,
    on_heat_map: Callable[[int, HeatMap], None] | None = None,
) -> ImageDetection:
    """Detects anomalous images, and measures the detection where the anomalies are known.

    Images are read one after the other. With masks all heat maps stay in memory, 4 bytes for each pixel.

    Args:
        detector: the detector.
        images: (h, w) or (h, w, channels) each, in the units of the training data, perhaps of different sizes.
        names: the name of each image; by default its number.
        y_true: (n,), 1 or True for anomalous images and 0 or False for others. It follows from the masks if they are given.
        masks: the anomalous pixels of each image, (h, w) each, or None for a normal image.
        on_heat_map: called with the number of each image and its heat map (h, w), such as to write it.

    Returns:
        Scores, p-values and decisions, and the metrics.

    Raises:
        DataError: an image cannot be used; or the number of names, labels or masks is not that of images; or a mask has another size; or
            y_true has another value.
        RecordError: the first argument is not an `ImageOutlierDetector`, or both y_true and masks are given.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> pages = [rng.random((40, 30)) for _ in range(20)]
        >>> detector = isthmus.evaluation.ImageOutlierDetector.from_fitted(ae, pages)
        >>> stained, mask = rng.random((40, 30)), np.zeros((40, 30))
        >>> stained[10:20, 10:20], mask[10:20, 10:20] = 6, 1
        >>> found = isthmus.evaluation.detect_images(detector, [stained, pages[0]], masks=[mask, None])
        >>> found.anomalous, found.metrics.pro > 0.9
        (1, True)
    """
    if not isinstance(detector, ImageOutlierDetector):
        raise RecordError(
            f"detect_images expects an ImageOutlierDetector, not a value of type {type(detector).__name__}: make one with "
            "ImageOutlierDetector.from_fitted(ae, normal_images)"
        )
    if y_true is not None and masks is not None:
        raise RecordError("masks say which images are anomalous: leave out y_true")
    _check_labels([] if y_true is None else y_true)
    scores, heat_maps, known = list[float](), list[HeatMap](), list[Any]()
    for number, image in enumerate(images):
        heat = detector.heat_map(image)
        scores.append(detector.score_heat_map(heat))
        if masks is not None and number < len(masks):
            heat_maps.append(heat)
            known.append(np.zeros(heat.shape, bool) if masks[number] is None else np.asarray(masks[number]) != 0)
        if on_heat_map is not None:
            on_heat_map(number, heat)
    n = len(scores)
    for name, given in {"names": names, "y_true": y_true, "masks": masks}.items():
        if given is not None and len(given) != n:
            raise DataError(f"there are {n:,} images and {len(given):,} {name}: give one for each image")
    truth = np.array([mask.any() for mask in known]) if masks is not None else y_true
    labels = None if truth is None else (np.asarray(truth) != 0).astype(np.int64)
    metrics = None if labels is None else _metrics(np.array(scores), labels, heat_maps, known)
    named = tuple(map(str, range(n) if names is None else names))
    values = np.array(scores, np.float64)
    return ImageDetection(
        named, values, detector.p_values(values), detector.threshold, detector.guarantee(), labels, metrics
    )


def _check_labels(y_true: Sequence[Any]) -> None:
    """`DataError` unless all labels are 0 or 1; -1 of `predict`, or a name such as good, would be taken as anomalous."""
    bad = next((each for each in y_true if not isinstance(each, Number | np.bool) or each not in {0, 1}), None)
    if bad is not None:
        raise DataError(f"y_true has the value {quoted(bad, 20)}: expected 1 for anomalous images and 0 for others")


def _metrics(scores: Array, labels: Array, heat_maps: list[HeatMap], masks: list[Array]) -> ImageMetrics:
    """The metrics: of images, and of pixels if there are masks."""
    from sklearn.metrics import roc_auc_score

    both = 0 < labels.sum() < len(labels)
    auroc = float(roc_auc_score(labels, -scores)) if both else None
    of_pixels = (
        (count_regions(masks), pixel_auroc(heat_maps, masks), per_region_overlap(heat_maps, masks)) if masks else None
    )
    regions, pixels, pro = of_pixels or (None, None, None)
    return ImageMetrics(len(labels), int(labels.sum()), regions, auroc, pixels, pro)
