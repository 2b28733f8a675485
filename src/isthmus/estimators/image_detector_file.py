"""Reads and writes an `ImageOutlierDetector` in the model file of its autoencoder."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from isthmus.estimators.model_file import STRICT, Tensors

__all__ = ["MAX_SMOOTHING", "MIN_MEAN_ERROR", "ImageDetectorPart", "expected_tensors", "read_scores", "score_tensors"]

Doubles = NDArray[np.float64]
_CALIBRATION = "calibration"
MAX_SMOOTHING = 1e4  # pixels; the memory of a filter grows with it
MIN_MEAN_ERROR = float(np.finfo(np.float32).tiny)  # heat maps are divided by it


class ImageDetectorPart(BaseModel):
    """The entry of a detector of anomalous images in the header of a model file."""

    model_config = STRICT

    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)]
    smoothing: Annotated[float, Field(ge=0, le=MAX_SMOOTHING)]  # in pixels
    mean_error: Annotated[float, Field(ge=MIN_MEAN_ERROR)]  # of normal images, in squared units of the pixels
    usual_high: Annotated[float, Field(ge=0)]  # relative to the mean error
    dtype: Annotated[str, Field(pattern="^(u?int(8|16|32|64)|float(16|32|64))$")]  # of normal images


def score_tensors(scores: Doubles) -> Tensors:
    """The calibration scores as tensors of a file."""
    return {_CALIBRATION: torch.from_numpy(np.array(scores, np.float64))}


def expected_tensors(stored: Tensors) -> Tensors:
    """The tensors, on "meta", that the file of a detector requires; ValueError without calibration scores.

    Args:
        stored: the tensors in the file, for the number of calibration scores.
    """
    found = stored.get(_CALIBRATION)
    rows = 0 if found is None or found.ndim != 1 else len(found)
    if not rows:
        raise ValueError("the detector has no calibration scores")
    return {_CALIBRATION: torch.empty(rows, dtype=torch.float64, device="meta")}


def read_scores(tensors: Tensors) -> Doubles:
    """The calibration scores of a file; ValueError for scores that no images have."""
    scores = tensors[_CALIBRATION]
    if not scores.isfinite().all() or (scores > 0).any() or (scores.diff() < 0).any():
        raise ValueError(f"image_detector.{_CALIBRATION} is not finite, is above 0, or is not in ascending order")
    values: Doubles = scores.numpy()
    return values
