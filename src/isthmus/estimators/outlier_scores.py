"""Anomaly scores: densities of codes and reconstruction errors, fitted on normal examples, in nats per example."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.memmap import Rows, selected_rows
from isthmus.data.missing import count_observed
from isthmus.data.validation import blocks
from isthmus.errors import DataError
from isthmus.estimators.ensemble_score import EnsembleScore
from isthmus.estimators.inference import in_batches
from isthmus.estimators.neighbors import TableScore, choose_references
from isthmus.estimators.overflow import ComputableRange
from isthmus.estimators.score_terms import error_weights
from isthmus.estimators.squared_errors import MOST, feature_errors
from isthmus.model import Model
from isthmus.nn.invariant import dense

if TYPE_CHECKING:
    from isthmus.estimators.autoencoder import Autoencoder

__all__ = ["CodeDensity", "ErrorDensity", "Kind", "Scorer"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Kind = Literal["ensemble", "neighbors", "combined", "code", "error", "standardized", "nats"]

MAX_ROWS = 20_000  # random codes on which a mixture is fitted
MAX_AXES, MAX_COMPONENTS = 64, 20
_ROWS_PER_AXIS = 10  # and per component
_COVARIANCE_REGULARIZATION = 0.01  # added to the variances of whitened codes
_FARTHEST = 1e15  # scales: as `overflow`


@dataclass(frozen=True, eq=False)
class CodeDensity:
    """A Gaussian mixture with full covariances, fitted on whitened codes.

    Codes are centered and scaled to unit variance along their principal axes: at most 64 axes, and at most a tenth of the number of rows.
    The mixture has one component per ten rows and axis, from 1 to 20. It is fitted on at most `MAX_ROWS` codes.

    Attributes:
        mean, axes: the whitening z = (code - mean) @ axes, from codes (k,) to (a,).
        weights, means: of the components, (p,) and (p, a).
        precisions_cholesky: upper triangular factors (p, a, a) of the precisions, as in scikit-learn's GaussianMixture.
    """

    mean: Doubles
    axes: Doubles
    weights: Doubles
    means: Doubles
    precisions_cholesky: Doubles

    @classmethod
    def fit(cls, codes: Doubles, seed: int) -> Self:
        """The density of codes (n, k). The seed draws the rows and starts the mixture."""
        from sklearn import config_context
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        if len(codes) > MAX_ROWS:
            codes = codes[np.random.default_rng(seed).permutation(len(codes))[:MAX_ROWS]]
        n, mean = len(codes), codes.mean(0)
        _, lengths, directions = np.linalg.svd(codes - mean, full_matrices=False)
        deviations = lengths / math.sqrt(n)
        max_axes = min(MAX_AXES, max(1, n // _ROWS_PER_AXIS))
        varying = np.flatnonzero(deviations > 1e-6 * max(float(deviations[0]), 1e-30))[:max_axes]
        axes = (directions[varying] / deviations[varying, None]).T
        if not varying.size:  # all codes are equal: the density then decreases with the distance along one axis
            axes = directions[:1].T
        components = min(MAX_COMPONENTS, max(1, n // (_ROWS_PER_AXIS * axes.shape[1])))
        mixture = GaussianMixture(components, reg_covar=_COVARIANCE_REGULARIZATION, random_state=seed % 2**32)
        # the array API has no k-means, which starts the mixture
        with warnings.catch_warnings(), config_context(array_api_dispatch=False):
            warnings.simplefilter("ignore", ConvergenceWarning)  # a mixture that has not converged is a density too
            mixture.fit((codes - mean) @ axes)
        return cls(mean, axes, mixture.weights_, mixture.means_, mixture.precisions_cholesky_)

    def nll(self, codes: Doubles) -> Doubles:
        """The negative log-density of codes (n, k) in whitened units: (n,), in nats."""
        factors, means, weights = map(torch.from_numpy, (self.precisions_cholesky, self.means, self.weights))
        z = dense(torch.from_numpy(codes - self.mean), torch.from_numpy(self.axes).T.contiguous())
        distances = torch.stack(  # squared, (n, p); `dense` gives the same bits in any batch
            [
                dense(z - mean, factor.T.contiguous()).square().sum(1)
                for mean, factor in zip(means, factors, strict=True)
            ],
            1,
        )
        log_determinants = torch.linalg.diagonal(factors).log().sum(1)
        constants = weights.log() + log_determinants - 0.5 * z.shape[1] * math.log(2 * math.pi)
        nll: Doubles = -torch.logsumexp(constants - 0.5 * distances, 1).numpy()
        return nll


@dataclass(frozen=True)
class ErrorDensity:
    """A gamma density of the mean squared error, relative to its mean: the distribution of a sum of squared normal errors.

    The shape is mean² / variance, half the effective number of independent errors (Box 1954), and at most half the number of features.
    The error of an example without observed values is NaN, and counts as the mean error.
    """

    mean: float
    shape: float

    @classmethod
    def fit(cls, errors: Doubles, n_features: int) -> Self:
        """The density of mean squared errors (n,) of examples with this number of features."""
        errors = errors[~np.isnan(errors)]
        if not errors.size:  # no example has an observed value
            errors = np.ones(1)
        mean, variance = max(float(errors.mean()), 1e-30), float(errors.var())
        shape = mean**2 / variance if variance > 0 else math.inf
        return cls(mean, min(max(shape, 0.5), max(0.5, n_features / 2)))

    def nll(self, errors: Doubles) -> Doubles:
        """The negative log-density of errors (n,), relative to their mean: (n,), in nats."""
        a, relative = self.shape, np.maximum(np.where(np.isnan(errors), 1.0, errors / self.mean), 1e-6)
        nll: Doubles = a * relative - (a - 1) * np.log(relative) + math.lgamma(a) - a * math.log(a)
        return nll


@dataclass(frozen=True, eq=False)
class Scorer:
    """One kind of anomaly score for an autoencoder. Scores are bit-identical for any grouping of examples."""

    kind: Kind
    weights: Doubles | None = None  # of the squared errors of the features, (d,)
    code: CodeDensity | None = None
    error: ErrorDensity | None = None
    usual: float = 0.0  # the error, or the score of neighbors, of an example without observed values
    near: TableScore | EnsembleScore | None = None

    @classmethod
    def fit(
        cls,
        ae: Autoencoder,
        kind: Kind,
        examples: Array,
        held_out: Array,
        seed: int,
        *,
        training: Array | None = None,
        references: Array | None = None,
    ) -> Self:
        """Fits the score: codes, distances and weights on all examples, densities of errors on those that ``ae`` was not trained on.

        Distances of "ensemble" are to the examples ``training`` that are not held out, if there are some.
        """
        weights, error, code = None, None, None
        if kind in {"combined", "standardized", "neighbors", "ensemble"}:
            usual = feature_errors(ae, examples).reshape(-1)
            weights = error_weights(usual)
        if kind == "ensemble":
            known = [part for part in (training, references) if part is not None and len(part)]
            return cls._ensemble(ae, weights, held_out, _references(ae, known or [held_out], seed))
        if kind == "neighbors":
            rows = _references(ae, [examples] if references is None else [examples, references], seed)
            near = TableScore.fit(rows, cls(kind, weights)._errors(ae, examples))
            scores = -cls(kind, weights, near=near)(ae, held_out)
            return cls(kind, weights, near=near, usual=float(np.median(scores)))
        if kind in {"combined", "standardized"}:
            error = ErrorDensity.fit(cls(kind, weights)._errors(ae, held_out), usual.size)
        if kind in {"combined", "code"}:
            code = CodeDensity.fit(ae.transform(examples).astype(np.float64), seed)
        if kind == "error":
            errors = cls(kind)._errors(ae, held_out)
            return cls(kind, usual=float(np.nan_to_num(errors).sum() / max(1, count_observed(errors))))
        return cls(kind, weights, code, error)

    @classmethod
    def _ensemble(cls, ae: Autoencoder, weights: Doubles | None, held_out: Array, rows: Array) -> Self:
        """The sum of distances, error and error of PCA: these are fitted on references (m, d), and their scales on held-out examples."""
        window = (ae.shape_[0], math.prod(ae.shape_[1:])) if ae.kind_ == "series" else None
        near = EnsembleScore.unscaled(rows, math.prod(ae.code_shape_), window)
        measured = cls("ensemble", weights, near=near)._per_example(
            ae, held_out, lambda _, errors, x, observed: near.measures(x, observed, errors)
        )
        if np.isnan(measured).all():
            raise DataError(
                "none of the examples that are held out from training has an observed value, so that the score has no scale: leave out "
                "examples without values, or pass anomaly_score='error'"
            )
        near = near.scaled(measured)
        scores = -cls("ensemble", weights, near=near)(ae, held_out)
        return cls("ensemble", weights, near=near, usual=float(np.median(scores)))

    def __call__(self, ae: Autoencoder, values: Array) -> Doubles:
        """The scores of checked examples (n, *shape): (n,), higher for more normal ones."""
        if self.kind == "nats":
            scores = ae._scores(values, "all").astype(np.float64)
            scores = scores if ae.model_.fill is None else scores + _log_scale_sums(ae.model_, values)
        else:
            scores = -self._per_example(ae, values, self._nll)
        beyond = np.flatnonzero(scores <= -MOST)
        if beyond.size:  # their losses overflow, their distances do not
            scores[beyond] = -MOST * (1 + np.log1p(_distances(ae.model_, Rows(values)(beyond))))
        return scores

    def additive(self, scores: Doubles) -> Doubles:
        """Scores (n,) on a scale where the rises of several causes nearly add up: not as logarithms. Higher for more normal ones."""
        return -self.near.magnitudes(-scores) if isinstance(self.near, EnsembleScore) else scores

    def _nll(self, codes: Doubles, errors: Doubles, x: Doubles, observed: NDArray[np.bool_]) -> Doubles:
        """The sum of the negative log-densities, (n,); without densities the error itself, or the score of neighbors."""
        overflowed = np.isinf(errors) | ~np.isfinite(codes).all(1)
        if self.near is not None:  # logarithms hardly differ far away
            overflowed |= np.abs(x).max(1) > _FARTHEST
        codes, errors = np.where(overflowed[:, None], 0.0, codes), np.where(overflowed, 0.0, errors)
        if self.near is not None:
            nll = self.near(np.where(overflowed[:, None], 0.0, x), observed, errors)
            nll = np.where(np.isnan(nll), self.usual, nll)
        elif self.code is None and self.error is None:
            nll = np.where(np.isnan(errors), self.usual, errors)
        else:
            nll = np.zeros(len(codes))
            if self.code is not None:
                nll += self.code.nll(codes)
            if self.error is not None:
                nll += self.error.nll(errors)
        return np.where(overflowed, MOST, np.minimum(nll, MOST))

    def _errors(self, ae: Autoencoder, values: Array) -> Doubles:
        """The mean squared error of each example (n,): NaN without observed values, infinite on overflow."""
        return self._per_example(ae, values, lambda _, errors, *__: errors)

    def _per_example(self, ae: Autoencoder, values: Array, function: Callable[..., Doubles]) -> Doubles:
        """Applies a function to codes (b, k), weighted mean squared errors (b,) over the observed values, imputed examples (b, d), and
        whether each of their values is observed. All are in model units.
        """
        model = ae.model_
        weights = None if self.weights is None else torch.from_numpy(self.weights).to(model.shift.device)
        if weights is not None and model.scaling.classes:
            weights = model.scaling.spread(weights)  # of columns

        def batch(raw: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
            x = model.normalize(raw)
            z = model.encode(x, context)
            squares = (model.reconstruction(z, x, context).double() - x.double()).square().flatten(1)
            squares = squares if weights is None else squares * weights
            observed = ~x.flatten(1).isnan()
            errors = torch.where(observed, squares, 0).sum(1) / observed.sum(1)
            errors = torch.where(errors.isnan() & observed.any(1), torch.inf, errors)
            imputed = x if self.near is None else model.impute(x, None, context)
            given = (z.double().flatten(1), errors, imputed.double().flatten(1), observed)
            return torch.from_numpy(function(*(each.cpu().numpy() for each in given)))

        results: Doubles = in_batches(batch, values, model, computable="all")  # type: ignore[assignment]  # float64, as in `batch`
        return results


def _references(ae: Autoencoder, parts: Sequence[Array], seed: int) -> Array:
    """Examples (m, d) of several arrays, in model units, with imputed missing values; a random subset of many."""
    model = ae.model_
    chosen = choose_references([len(part) for part in parts], math.prod(model.shape), seed)

    def batch(raw: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        return model.impute(model.normalize(raw), None, context).flatten(1)

    rows = (selected_rows(part, positions) for part, positions in zip(parts, chosen, strict=True) if len(positions))
    return np.concatenate([in_batches(batch, each, model, computable="all") for each in rows])


def _distances(model: Model, values: Array) -> Doubles:
    """The Euclidean distance of examples from the center, (n,), in scales. It does not overflow."""
    distances = np.nan_to_num(ComputableRange.examples(model).distances(values)).reshape(len(values), -1)
    largest = np.maximum(distances.max(1), 1.0)
    norms: Doubles = largest * np.sqrt(np.square(distances / largest[:, None]).sum(1))
    return norms


def _log_scale_sums(model: Model, values: Array) -> Doubles:
    """The part of a log-density that depends on the units of the observed values, (n,). An anomaly score must not depend on it."""
    if not model.likelihood.density:
        return np.zeros(len(values))
    if model.scaling.classes or model.likelihood.weighted:
        parts = []
        for _, block in blocks(values):
            counted = ~model.normalize(torch.as_tensor(np.array(block)).to(model.device)).isnan()
            parts.append(torch.as_tensor(model.log_jacobian(counted)).numpy(force=True))
        return np.concatenate(parts)
    log_scales = model.log_scales.numpy(force=True)
    return np.concatenate(
        [np.where(np.isnan(block), 0, log_scales).reshape(len(block), -1).sum(1) for _, block in blocks(values)]
    )
