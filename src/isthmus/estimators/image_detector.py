"""Detection of anomalous images of any size, with an autoencoder that was trained on smaller images or patches."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from isthmus.errors import DataError, IsthmusWarning, NotPossibleError, RecordError
from isthmus.estimators.argument_check import check_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.conformal import conformal_p_values, conformal_rank, required_examples
from isthmus.estimators.image_detector_file import (
    MAX_SMOOTHING,
    MIN_MEAN_ERROR,
    ImageDetectorPart,
    read_scores,
    score_tensors,
)
from isthmus.estimators.model_file import Tensors
from isthmus.estimators.wrapper import write_wrapper
from isthmus.text import quoted

__all__ = ["ImageOutlierDetector"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
HeatMap = NDArray[np.float32]

_TOP = 1000  # one in so many pixels counts for the score of an image
_HIGH = 99  # the percentile of a heat map that stands for its high values


@dataclass(frozen=True, eq=False)
class ImageOutlierDetector:
    """Detects anomalous images of any size, and where they are anomalous. `from_fitted` makes it from normal images.

    The heat map of an image is the squared error of `Autoencoder.reconstruct_image`, averaged over channels, smoothed by a Gaussian
    filter, and divided by the mean error of normal images. The score of an image is minus the mean of the highest thousandth of its
    heat map: a robust maximum. The threshold is that of `OutlierDetector`, with images as examples.

    Attributes:
        autoencoder: the fitted autoencoder, of images or patches.
        false_alarm_rate: the allowed fraction of normal images flagged as anomalous.
        smoothing: the standard deviation of the Gaussian filter, in pixels; 0 for none.
        mean_error: the mean squared error of the normal images, in squared units of the pixels.
        usual_high: a high value in the heat maps of normal images, which one pixel in a hundred exceeds.
        calibration_scores: (n,), the scores of the normal images, ascending.
        dtype: that of the normal images. Images of ``isthmus detect`` get these units.
        threshold: of the scores; -inf if there are too few normal images for the false-alarm rate.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> pages = [rng.random((40, 30)) for _ in range(20)]
        >>> detector = isthmus.evaluation.ImageOutlierDetector.from_fitted(ae, pages)
        >>> stained = pages[0].copy()
        >>> stained[10:14, 10:14] = 6
        >>> detector.predict([stained]).tolist(), detector.heat_map(stained).shape
        ([-1], (40, 30))
    """

    autoencoder: Autoencoder
    false_alarm_rate: float
    smoothing: float
    mean_error: float
    usual_high: float
    calibration_scores: Doubles
    dtype: str

    @property
    def threshold(self) -> float:
        """The threshold of the scores."""
        k = conformal_rank(self.false_alarm_rate, len(self.calibration_scores))
        return float(self.calibration_scores[k - 1]) if k else -math.inf

    @classmethod
    def from_fitted(
        cls, ae: Autoencoder, X_normal: Iterable[Any], *, false_alarm_rate: float = 0.05, smoothing: float = 4.0
    ) -> Self:
        """A detector with a fitted autoencoder, which does not change.

        Args:
            ae: a fitted autoencoder of images, or of patches of images.
            X_normal: normal images, (h, w) or (h, w, channels) each and perhaps of different sizes, on which ``ae`` was not trained.
                They are read once, one after the other.
            false_alarm_rate: the allowed fraction of normal images flagged as anomalous, in (0, 1).
            smoothing: the standard deviation of the Gaussian filter, in pixels: about half the width of the smallest anomaly.

        Returns:
            The detector.

        Raises:
            DataError: there is no image, or one cannot be used.
            RecordError: an argument is invalid.
            NotPossibleError: the autoencoder is conditional, or not one of images.
        """
        check_autoencoder(ae, f"{cls.__name__}.from_fitted")
        if not (isinstance(false_alarm_rate, Real) and 0 < false_alarm_rate < 1):
            raise RecordError(f"invalid false_alarm_rate={quoted(false_alarm_rate, 20)}: expected a number in (0, 1)")
        if not (isinstance(smoothing, Real) and 0 <= smoothing <= MAX_SMOOTHING):
            raise RecordError(
                f"invalid smoothing={quoted(smoothing, 20)}: expected a number of pixels, from 0 to {MAX_SMOOTHING:,.0f}"
            )
        errors, pixels, highs, peaks, dtypes = 0.0, 0, list[float](), list[float](), set[np.dtype[Any]]()
        for image in X_normal:
            error = _smoothed_error(ae, image, smoothing)
            dtypes.add(_numbers(image))
            errors, pixels = errors + float(error.sum(dtype=np.float64)), pixels + error.size
            highs.append(float(np.percentile(error, _HIGH)))
            peaks.append(_peak(error))
        if not peaks:
            raise DataError(f"{cls.__name__} requires normal images, and there is none: give images without anomalies")
        mean = errors / pixels or 1.0  # all reconstructions are perfect
        if mean < MIN_MEAN_ERROR:
            raise DataError(
                "the squared errors of the images are below the range of 32-bit floats: multiply the training images and all others by a "
                "constant"
            )
        scores = np.sort(-np.array(peaks) / mean)
        _warn_of_few(len(scores), float(false_alarm_rate))
        high, dtype = sum(highs) / len(highs) / mean, str(np.result_type(*dtypes))
        return cls(ae, float(false_alarm_rate), float(smoothing), mean, high, scores, dtype)

    def heat_map(self, image: Any) -> HeatMap:
        """How large the error of each pixel is, relative to the mean error of normal images.

        Args:
            image: (h, w) or (h, w, channels), in the units of the training data.

        Returns:
            (h, w), without unit; about 1 where the image is normal.

        Raises:
            DataError: the image has other channels than the training examples, or a value is not finite.
        """
        return _smoothed_error(self.autoencoder, image, self.smoothing) / np.float32(self.mean_error)

    def score_heat_map(self, heat: Any) -> float:
        """The score of an image from its heat map.

        Args:
            heat: (h, w), of `heat_map`.

        Returns:
            The score; higher means more normal.
        """
        return -_peak(np.asarray(heat))

    def score_samples(self, X: Iterable[Any]) -> Doubles:
        """The negative anomaly score of each image: higher means more normal.

        Args:
            X: images (h, w) or (h, w, channels), perhaps of different sizes.

        Returns:
            Scores (n,), relative to the mean error of normal images.
        """
        return np.array([self.score_heat_map(self.heat_map(image)) for image in X], np.float64)

    def predict(self, X: Iterable[Any]) -> NDArray[np.int64]:
        """Whether images are anomalous.

        Args:
            X: images (h, w) or (h, w, channels), perhaps of different sizes.

        Returns:
            (n,): -1 for anomalous images and 1 for normal ones.
        """
        return np.where(self.score_samples(X) < self.threshold, -1, 1)

    def p_values(self, scores: Any) -> Doubles:
        """Conformal p-values of images, from their scores. A normal image has one of α or less with a probability of at most α.

        Args:
            scores: (n,), of `score_samples`.

        Returns:
            p-values (n,), above 0 and at most 1.
        """
        return conformal_p_values(self.calibration_scores, scores)

    def guarantee(self) -> str:
        """One sentence that says what the threshold guarantees."""
        n = len(self.calibration_scores)
        images, k = "normal image is" if n == 1 else "normal images are", conformal_rank(self.false_alarm_rate, n)
        if not k:
            return f"no image is flagged as anomalous: {n:,} {images} too few for a false-alarm rate of {self.false_alarm_rate:g}"
        return (
            f"a normal image is flagged as anomalous with a probability of at most {k / (n + 1):.4g}, calibrated on {n:,} "
            "normal images"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the detector, with its autoencoder and threshold, to a model file, for `isthmus.load` and ``isthmus detect``.

        The file contains no image. It is written atomically.

        Args:
            path: the file, which is replaced if it exists.

        Raises:
            NotPossibleError: a component of the autoencoder is a record of the user.

        Examples:
            >>> pages = [np.random.default_rng(n).random((40, 30)) for n in range(20)]
            >>> isthmus.evaluation.ImageOutlierDetector.from_fitted(ae, pages).save("pages.safetensors")
            >>> isthmus.load("pages.safetensors").heat_map(pages[0]).shape
            (40, 30)
        """
        values = {name: getattr(self, name) for name in ImageDetectorPart.model_fields}
        part = ImageDetectorPart(**values)
        write_wrapper(path, self.autoencoder, "image_detector", part, score_tensors(self.calibration_scores))

    @classmethod
    def _loaded(cls, ae: Autoencoder, part: ImageDetectorPart, tensors: Tensors, _: Any) -> Self:
        """The detector of a file; ValueError or similar if the file describes none."""
        try:
            ae._check_whole_possible("image_detector", "images")
        except NotPossibleError as error:
            raise ValueError(f"its autoencoder cannot be that of a detector of images: {error}") from error
        return cls(ae, **part.model_dump(), calibration_scores=read_scores(tensors))


def _numbers(image: Any) -> np.dtype[Any]:
    """The dtype of an image, an array or a tensor; uint8 for booleans."""
    dtype = np.asarray(image).dtype
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


def _smoothed_error(ae: Autoencoder, image: Any, smoothing: float) -> HeatMap:
    """The squared error of each pixel of an image, averaged over channels and smoothed: (h, w), in squared units of the pixels."""
    made = ae.reconstruct_image(image)
    with np.errstate(over="ignore"):
        squares = np.square(made.astype(np.float32) - np.asarray(image, np.float32))
        error = squares if squares.ndim == 2 else squares.mean(2)
    if not np.isfinite(error.sum()):
        raise DataError(
            "the squared errors of an image exceed the range of 32-bit floats: divide the training images and all others by a constant"
        )
    smooth: HeatMap = ndimage.gaussian_filter(error, smoothing, mode="nearest") if smoothing else error
    return smooth


def _peak(error: Array) -> float:
    """The mean of the highest thousandth of a map, at least of one pixel."""
    count = max(1, round(error.size / _TOP))
    return float(np.partition(error, -count, None)[-count:].mean(dtype=np.float64))


def _warn_of_few(n: int, rate: float) -> None:
    """A warning if there are too few calibration scores for a threshold."""
    if conformal_rank(rate, n):
        return
    warnings.warn(
        f"{n} normal image{'s are' if n > 1 else ' is'} too few for a false-alarm rate of {rate:g}: no image will be "
        f"flagged; at least {required_examples(rate):,} are required: give more, or a larger rate",
        IsthmusWarning,
        stacklevel=3,
    )
