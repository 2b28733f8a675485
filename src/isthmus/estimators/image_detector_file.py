"""Reads and writes an `ImageOutlierDetector` in the model file of its autoencoder."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from isthmus.estimators.model_file import STRICT, Tensors

__all__ = ["ImageDetectorPart", "expected_tensors", "read_scores", "score_tensors"]

Doubles = NDArray[np.float64]
_CALIBRATION = "calibration"


class ImageDetectorPart(BaseModel):
    """The entry of a detector of anomalous images in the header of a model file."""

    model_config = STRICT

    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)]
    smoothing: Annotated[float, Field(ge=0)]  # in pixels
    mean_error: Annotated[float, Field(gt=0)]  # of normal images, in squared units of the pixels
    usual_high: Annotated[float, Field(ge=0)]  # relative to the mean error
    dtype: Annotated[str, Field(pattern="^(u?int|float)(8|16|32|64)$")]  # of normal images


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
