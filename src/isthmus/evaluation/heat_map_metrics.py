"""Metrics of heat maps of images whose anomalous pixels are known: pixel AUROC and per-region overlap."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from isthmus.errors import DataError, RecordError
from isthmus.text import quoted

__all__ = ["count_regions", "per_region_overlap", "pixel_auroc"]

Array = NDArray[Any]
_DIAGONAL = np.ones((3, 3), int)  # pixels that touch at a corner are of one region


def pixel_auroc(heat_maps: Sequence[Any], masks: Sequence[Any]) -> float:
    """The area under the receiver operating characteristic of single pixels: large regions count more than small ones.

    Args:
        heat_maps: (h, w) each, higher where an image is more anomalous.
        masks: (h, w) each, not 0 at anomalous pixels.

    Returns:
        The area: 1 if all anomalous pixels are higher than all others, 0.5 for heat maps without information.

    Raises:
        DataError: shapes differ, a value is not finite, or no pixel is anomalous, or none is normal.

    Examples:
        >>> isthmus.evaluation.pixel_auroc([np.array([[0.1, 0.4, 0.2]])], [np.array([[0, 1, 0]])])
        1.0
    """
    from sklearn.metrics import roc_auc_score

    heat, regions = _pixels(heat_maps, masks)
    return float(roc_auc_score(np.concatenate(regions) > 0, heat))


def per_region_overlap(heat_maps: Sequence[Any], masks: Sequence[Any], *, max_fpr: float = 0.3) -> float:
    """PRO: the share of an anomalous region that is above a threshold, averaged over regions: small ones count as much as large ones.

    It is averaged over thresholds with a false-positive rate of pixels up to ``max_fpr``, of all images together (Bergmann, Batzner,
    Fauser, Sattlegger & Steger 2021, "The MVTec anomaly detection dataset"). A region is a connected component of a mask; pixels that
    touch at a corner are connected.

    Args:
        heat_maps: (h, w) each, higher where an image is more anomalous.
        masks: (h, w) each, not 0 at anomalous pixels.
        max_fpr: the largest false-positive rate, in (0, 1].

    Returns:
        The area under the overlap as a function of the false-positive rate, divided by ``max_fpr``: 1 for perfect heat maps, and
        max_fpr / 2 for heat maps without information.

    Raises:
        DataError: shapes differ, a value is not finite, or no pixel is anomalous, or none is normal.
        RecordError: max_fpr is invalid.

    Examples:
        >>> isthmus.evaluation.per_region_overlap([np.array([[0.1, 0.4, 0.2]])], [np.array([[0, 1, 0]])])
        1.0
    """
    from sklearn.metrics import auc, roc_curve

    if not (isinstance(max_fpr, Real) and 0 < max_fpr <= 1):
        raise RecordError(f"invalid max_fpr={quoted(max_fpr, 20)}: expected a number in (0, 1]")
    heat, regions = _pixels(heat_maps, masks)
    weights = np.concatenate([1 / np.bincount(numbers)[numbers] for numbers in regions])
    anomalous = np.concatenate(regions) > 0
    weights[~anomalous] = 1
    # a pixel counts by the inverse of the area of its region: the true-positive rate is then the mean overlap of regions
    rates, overlaps, _ = roc_curve(anomalous, heat, sample_weight=weights)
    inside = rates <= max_fpr
    end = float(np.interp(max_fpr, rates, overlaps))
    area = auc(np.append(rates[inside], max_fpr), np.append(overlaps[inside], end))
    return float(area / max_fpr)


def count_regions(masks: Sequence[Any]) -> int:
    """The number of connected regions of anomalous pixels in all masks.

    Args:
        masks: (h, w) each, not 0 at anomalous pixels.
    """
    return sum(ndimage.label(np.asarray(mask), _DIAGONAL)[1] for mask in masks)


def _pixels(heat_maps: Sequence[Any], masks: Sequence[Any]) -> tuple[Array, list[Array]]:
    """All pixels of the heat maps, and for each image the number of the region of each of its pixels, 0 for normal ones."""
    if len(heat_maps) != len(masks):
        raise DataError(
            f"there are {len(heat_maps):,} heat maps and {len(masks):,} masks: give one mask for each heat map"
        )
    values, regions = list[Array](), list[Array]()
    for number, (heat, mask) in enumerate(zip(map(np.asarray, heat_maps), map(np.asarray, masks), strict=True)):
        if heat.ndim != 2 or heat.shape != mask.shape:
            raise DataError(
                f"heat map {number} has shape {heat.shape} and its mask {mask.shape}: expected the same height and width"
            )
        if not np.isfinite(heat).all():
            raise DataError(f"heat map {number} has a value that is not finite: replace it by a number")
        values.append(heat.reshape(-1))
        regions.append(ndimage.label(mask, _DIAGONAL)[0].reshape(-1))
    n_anomalous, n = sum(np.count_nonzero(each) for each in regions), sum(map(len, regions))
    if n_anomalous in {0, n}:
        which = "anomalous" if not n_anomalous else "normal"
        raise DataError(f"the masks have no {which} pixel, and the metrics require both: give other images too")
    return np.concatenate(values), regions
