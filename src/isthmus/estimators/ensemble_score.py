"""The anomaly score of series: the error of the autoencoder, that of PCA, and the distances to the nearest windows and shapes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh

from isthmus.estimators.neighbors import MOST_ROWS, NeighborDistance
from isthmus.estimators.score_terms import TINY, error_weights, implausible_terms, log_scales, standardized_logs
from isthmus.nn.invariant import dense

__all__ = ["EnsembleScore", "LinearError"]

Doubles = NDArray[np.float64]
_LEAST_ERROR = 1e-12  # of a feature, in squared model units: below are rounding errors of single precision
_ROUNDING = 1e-6
_LEAST_STD = 0.1  # of a window, in standard deviations of the channel: noise has no shape
_LARGEST_EXPONENT = 700.0  # whose exponential is finite
_LARGEST_USUAL = 100  # medians: a gross error among normal examples must not set the scale


@dataclass(frozen=True, eq=False)
class LinearError:
    """The mean squared error of PCA, the best linear autoencoder, with the errors of each feature relative to their mean.

    Attributes:
        mean: of the features, (d,).
        axes: the orthonormal principal axes, (k, d).
        weights: factors of the squared errors of features, (d,).
    """

    mean: Doubles
    axes: Doubles
    weights: Doubles

    @classmethod
    def fit(cls, rows: NDArray[Any], size: int) -> Self:
        """PCA of rows (m, d) with as many axes as a code has, but at most half the features and half the rows."""
        (m, d), mean = rows.shape, rows.mean(0, dtype=np.float64)
        centered, k = rows - mean, max(1, min(size, d // 2, m // 2))
        if d <= m:
            axes = eigh(centered.T @ centered, subset_by_index=(d - k, d - 1))[1].T
        else:  # the smaller of the two products
            axes = np.linalg.qr(centered.T @ eigh(centered @ centered.T, subset_by_index=(m - k, m - 1))[1])[0].T
        fitted = cls(mean, np.ascontiguousarray(axes), np.ones(d))
        usual = fitted._squares(rows.astype(np.float64)).mean(0)
        return cls(mean, fitted.axes, error_weights(usual, _LEAST_ERROR))

    def __call__(self, x: Doubles, observed: NDArray[np.bool_]) -> Doubles:
        """The errors of examples (n, d) over their observed values, (n,); NaN without one. Missing values are imputed in x."""
        squares = np.where(observed, self._squares(x) * self.weights, 0.0)
        with np.errstate(invalid="ignore"):
            errors: Doubles = squares.sum(1) / observed.sum(1)
        return errors

    def implausible(self, references: NDArray[Any]) -> str:
        """What `fit` cannot give for these rows, for a message; "" if it can give all."""
        if not np.allclose(self.axes @ self.axes.T, np.eye(len(self.axes)), atol=_ROUNDING):
            return "axes are not orthonormal"
        mean, deviation = references.mean(0, dtype=np.float64), references.std(0, dtype=np.float64)
        if (np.abs(self.mean - mean) > _ROUNDING * (1 + np.abs(mean) + deviation)).any():
            return "mean is not that of references"
        return ""

    def _squares(self, x: Doubles) -> Doubles:
        """The squared errors of each feature, (n, d). The bits of an example do not depend on the other examples."""
        centered, axes = torch.from_numpy(x - self.mean), torch.from_numpy(self.axes)
        made = dense(dense(centered, axes), axes.T.contiguous())
        squares: Doubles = (centered - made).square().numpy()
        return squares


@dataclass(frozen=True, eq=False)
class EnsembleScore:
    """The distance to the nearest references, the mean squared error, that of PCA, and of windows the distance to the nearest shapes.

    Their standardized logarithms are averaged. Each finds what the others miss: an autoencoder reconstructs some anomalies, PCA only
    follows what is linear, distances see no single value, and shapes, of which each channel has mean 0 and standard deviation 1, see no
    change of level. Logarithms are standardized on examples that are not references, see `score_terms.log_scales`.

    Attributes:
        neighbors: the distance to the references.
        linear: the error of PCA, fitted on the references.
        window: the time steps and channels of an example; None for examples without time, whose shape is not measured.
        floors, centers, spreads: of the logarithms of distance, error, error of PCA and distance of shapes, (3,) or (4,) each.
    """

    neighbors: NeighborDistance
    linear: LinearError
    window: tuple[int, int] | None
    floors: Doubles
    centers: Doubles
    spreads: Doubles

    @classmethod
    def unscaled(cls, references: NDArray[Any], size: int, window: tuple[int, int] | None = None) -> Self:
        """The measures of references (m, d) in model units, and of a code with this size, without common scale."""
        nothing = np.empty(0)
        measures = NeighborDistance.fit(references), LinearError.fit(references, size)
        return cls(*measures, window, nothing, nothing, nothing)

    def scaled(self, measured: Doubles) -> Self:
        """The score with the scale of what was measured of normal examples, (n, terms): of each at most a hundred medians."""
        usual = [_bounded(column[np.isfinite(column)]) for column in measured.T]
        floors, centers, spreads = log_scales([column if column.size else np.zeros(1) for column in usual])
        return replace(self, floors=floors, centers=centers, spreads=spreads)

    def measures(self, x: Doubles, observed: NDArray[np.bool_], errors: Doubles) -> Doubles:
        """What `floors` names of examples (n, d), with their mean squared errors (n,): (n, terms)."""
        measured = [self.neighbors(x, observed)[0], errors, self.linear(x, observed)]
        if self.window is not None:
            measured.append(self.shapes(self._shape_of(x), observed)[0])
        return np.stack(measured, 1)

    def __call__(self, x: Doubles, observed: NDArray[np.bool_], errors: Doubles) -> Doubles:
        """The score of examples (n, d), see `measures`: (n,), higher for anomalies. NaN without observed values."""
        measured = self.measures(x, observed, errors)
        score: Doubles = standardized_logs(measured.T, self.floors, self.centers, self.spreads).mean(0)
        return score

    def magnitudes(self, scores: Doubles) -> Doubles:
        """Scores (n,) as geometric means of distances and errors, up to a constant factor.

        The magnitudes of two causes nearly add up, while of two logarithms the smaller one has too large a share.
        """
        magnitudes: Doubles = np.exp(np.minimum(scores / (1 / self.spreads).mean(), _LARGEST_EXPONENT))
        return magnitudes

    def implausible(self) -> str:
        """What no fit can produce, for a message; "" if a fit can produce all."""
        return implausible_terms(self.floors, self.centers, self.spreads, np.full(len(self.floors), MOST_ROWS))

    def __getstate__(self) -> dict[str, Any]:
        """The fields, without what is prepared from them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def shapes(self) -> NeighborDistance:
        """The distance to the shapes of the references."""
        return NeighborDistance.fit(self._shape_of(self.neighbors.references.astype(np.float64)))

    def _shape_of(self, x: Doubles) -> Doubles:
        """Windows (n, d), of which each channel has mean 0 and standard deviation 1, (n, d); quiet ones have less."""
        assert self.window is not None
        windows = x.reshape(len(x), *self.window)
        centered = windows - windows.mean(1, keepdims=True)
        shapes: Doubles = centered / np.sqrt(np.square(centered).mean(1, keepdims=True) + self.least_variances)
        return shapes.reshape(x.shape)

    @cached_property
    def least_variances(self) -> Doubles:
        """Added to the variance of each channel in a window, (channels,)."""
        assert self.window is not None
        channels = self.neighbors.references.reshape(-1, self.window[1])
        least: Doubles = np.maximum(_LEAST_STD**2 * channels.var(0, dtype=np.float64), TINY)
        return least


def _bounded(values: Doubles) -> Doubles:
    """Values (n,), at most `_LARGEST_USUAL` times the median of those above 0."""
    positive = values[values > 0]
    bounded: Doubles = np.minimum(values, _LARGEST_USUAL * np.median(positive)) if positive.size else values
    return bounded
