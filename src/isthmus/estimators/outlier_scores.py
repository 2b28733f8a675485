"""How likely the codes and the errors of examples are, in nats: densities learned from normal examples, and the score they add up to."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.memmap import Rows
from isthmus.data.missing import count_observed, nansum
from isthmus.data.validation import blocks
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.inference import in_batches
from isthmus.estimators.overflow import ComputableRange
from isthmus.model import Model
from isthmus.nn.invariant import dense

__all__ = ["CodeDensity", "ErrorDensity", "Kind", "Scorer", "feature_errors", "restored", "squares"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Kind = Literal["combined", "code", "error", "standardized", "nats"]

MOST_ROWS = 20_000  # codes that a mixture is fitted on, drawn at random
MOST_AXES, MOST_PARTS = 64, 20
_ROWS = 10  # for each number that is learned of an axis
_RIDGE = 0.01  # added to every variance of whitened codes
_FARTHEST = float(np.finfo(np.float32).max)  # from here on examples are as anomalous as they are far away
_FLOOR = 0.1  # of the mean error, added to that of each number: one that is nearly always right must not drown the rest


@dataclass(frozen=True, eq=False)
class CodeDensity:
    """A mixture of normal densities of whitened codes, each with a covariance of its own.

    Codes are centered and brought to unit variance along their principal axes, at most 64 and no more than a tenth of the rows.
    The mixture has a part for each ten rows per axis, within 1 ... 20. It sees at most `MOST_ROWS` codes.

    Attributes:
        mean, axes: z = (code - mean) @ axes, codes (k,) whitened (a,).
        shares, means, roots: of each part, (p,), (p, a) and (p, a, a): its precision is root @ root.T, the root upper triangular.
    """

    mean: Doubles
    axes: Doubles
    shares: Doubles
    means: Doubles
    roots: Doubles

    @classmethod
    def fit(cls, codes: Doubles, seed: int) -> Self:
        """The density of codes (n, k)."""
        from sklearn import config_context
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        if len(codes) > MOST_ROWS:
            codes = codes[np.random.default_rng(seed).permutation(len(codes))[:MOST_ROWS]]
        n, mean = len(codes), codes.mean(0)
        _, lengths, directions = np.linalg.svd(codes - mean, full_matrices=False)
        deviations = lengths / math.sqrt(n)
        most = min(MOST_AXES, max(1, n // _ROWS))
        kept = np.flatnonzero(deviations > 1e-6 * max(float(deviations[0]), 1e-30))[:most]
        axes = (directions[kept] / deviations[kept, None]).T
        if not kept.size:  # all alike: how far from that is all there is to say
            axes = directions[:1].T
        parts = min(MOST_PARTS, max(1, n // (_ROWS * axes.shape[1])))
        mixture = GaussianMixture(parts, reg_covar=_RIDGE, random_state=seed % 2**32)
        with warnings.catch_warnings(), config_context(array_api_dispatch=False):  # under which there is no k-means
            warnings.simplefilter("ignore", ConvergenceWarning)  # one that has not come to rest is a density too
            mixture.fit((codes - mean) @ axes)
        return cls(mean, axes, mixture.weights_, mixture.means_, mixture.precisions_cholesky_)

    def nats(self, codes: Doubles) -> Doubles:
        """Minus the logarithm of the density of codes (n, k), whitened: (n,)."""
        roots, means, shares = map(torch.from_numpy, (self.roots, self.means, self.shares))
        z = dense(torch.from_numpy(codes - self.mean), torch.from_numpy(self.axes).T.contiguous())
        apart = torch.stack(  # (n, parts): products as the net's are, the same bits in any place
            [dense(z - mean, root.T.contiguous()).square().sum(1) for mean, root in zip(means, roots, strict=True)], 1
        )
        constants = shares.log() + torch.linalg.diagonal(roots).log().sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)
        nats: Doubles = -torch.logsumexp(constants - 0.5 * apart, 1).numpy()
        return nats


@dataclass(frozen=True)
class ErrorDensity:
    """A gamma density of errors over their mean: what a sum of squares of so many independent normal errors has.

    Its shape is half their number, mean² / variance (Box 1954), and at most half of the numbers that an example has.
    The error of an example of which nothing is known is NaN, and as likely as the mean.
    """

    mean: float
    shape: float

    @classmethod
    def fit(cls, errors: Doubles, numbers: int) -> Self:
        """The density of squared errors (n,) of examples of so many numbers."""
        errors = errors[~np.isnan(errors)]
        if not errors.size:  # nothing is known of any: all are as likely
            errors = np.ones(1)
        mean, variance = max(float(errors.mean()), 1e-30), float(errors.var())
        shape = mean**2 / variance if variance > 0 else math.inf
        return cls(mean, min(max(shape, 0.5), max(0.5, numbers / 2)))

    def nats(self, errors: Doubles) -> Doubles:
        """Minus the logarithm of the density of errors (n,) over their mean."""
        a, relative = self.shape, np.maximum(np.where(np.isnan(errors), 1.0, errors / self.mean), 1e-6)
        nats: Doubles = a * relative - (a - 1) * np.log(relative) + math.lgamma(a) - a * math.log(a)
        return nats


@dataclass(frozen=True, eq=False)
class Scorer:
    """How normal examples are, by one measure, for an autoencoder: the same bits however they are grouped."""

    kind: Kind
    weights: Doubles | None = None
    code: CodeDensity | None = None
    error: ErrorDensity | None = None
    usual: float = 0.0  # mean squared error of an example of which nothing is known

    @classmethod
    def fit(cls, ae: Autoencoder, kind: Kind, known: Array, unseen: Array, seed: int) -> Self:
        """What is usual for examples: for known ones, and the size of the error for those that ``ae`` was not trained on."""
        weights, error, code = None, None, None
        if kind in {"combined", "standardized"}:
            usual = feature_errors(ae, known).reshape(-1)
            weights = 1 / np.maximum(usual + _FLOOR * usual.mean(), 1e-30)
            error = ErrorDensity.fit(cls(kind, weights)._errors(ae, unseen), usual.size)
        if kind in {"combined", "code"}:
            code = CodeDensity.fit(ae.transform(known).astype(np.float64), seed)
        if kind == "error":
            errors = cls(kind)._errors(ae, unseen)
            return cls(kind, usual=float(np.nan_to_num(errors).sum() / max(1, count_observed(errors))))
        return cls(kind, weights, code, error)

    def __call__(self, ae: Autoencoder, values: Array) -> Doubles:
        """The scores of checked examples (n, *shape), higher is more normal: (n,)."""
        if self.kind == "nats":
            scores = ae._scores(values, "all").astype(np.float64)
            scores = scores if ae.model_.fill is None else scores + _log_volumes(ae.model_, values)
        else:
            scores = -self._each(ae, values, self._surprise)
        beyond = np.flatnonzero(scores <= -_FARTHEST)
        if beyond.size:  # their losses have no order any more, their distances do
            scores[beyond] = -_FARTHEST * (1 + np.log1p(_distances(ae.model_, Rows(values)(beyond))))
        return scores

    def _surprise(self, codes: Doubles, errors: Doubles) -> Doubles:
        out = np.isinf(errors) | ~np.isfinite(codes).all(1)
        codes, errors = np.where(out[:, None], 0.0, codes), np.where(out, 0.0, errors)
        if self.code is None and self.error is None:
            surprise = np.where(np.isnan(errors), self.usual, errors)
        else:
            surprise = np.zeros(len(codes))
            if self.code is not None:
                surprise += self.code.nats(codes)
            if self.error is not None:
                surprise += self.error.nats(errors)
        return np.where(out, _FARTHEST, np.minimum(surprise, _FARTHEST))

    def _errors(self, ae: Autoencoder, values: Array) -> Doubles:
        """The mean squared error of each example (n,), NaN where nothing of it is known, infinite where it is no finite number."""
        return self._each(ae, values, lambda _, errors: errors)

    def _each(self, ae: Autoencoder, values: Array, function: Callable[[Doubles, Doubles], Doubles]) -> Doubles:
        """A function of codes (b, k) and mean squared errors (b,), the latter weighted, in model units, and of the numbers observed."""
        model = ae.model_
        weights = None if self.weights is None else torch.from_numpy(self.weights).to(model.shift.device)

        def batch(raw: torch.Tensor) -> torch.Tensor:
            x = model.normalize(raw)
            z = model.encode(x)
            apart = (model.decode(z).double() - x.double()).square().flatten(1)
            apart = apart if weights is None else apart * weights
            known = ~x.flatten(1).isnan()  # all are, unless numbers may be missing
            errors = torch.where(known, apart, 0).sum(1) / known.sum(1)
            errors = torch.where(errors.isnan() & known.any(1), torch.inf, errors)
            return torch.from_numpy(function(z.double().flatten(1).cpu().numpy(), errors.cpu().numpy()))

        found: Doubles = in_batches(batch, values, model, computable="all")  # type: ignore[assignment]  # doubles, as made above
        return found


def _distances(model: Model, values: Array) -> Doubles:
    """How far examples are from the middle, (n,), in scales: the root of the sum of squares, of numbers however large."""
    apart = np.nan_to_num(ComputableRange.examples(model).distances(values)).reshape(len(values), -1)
    most = np.maximum(apart.max(1), 1.0)
    found: Doubles = most * np.sqrt(np.square(apart / most[:, None]).sum(1))
    return found


def _log_volumes(model: Model, values: Array) -> Doubles:
    """What a score owes to the units of the numbers observed, (n,): whether an example is normal depends on no unit."""
    if not model.likelihood.density:
        return np.zeros(len(values))
    logs = model.logs.numpy(force=True)
    return np.concatenate(
        [np.where(np.isnan(block), 0, logs).reshape(len(block), -1).sum(1) for _, block in blocks(values)]
    )


def restored(ae: Autoencoder, values: Array) -> Array:
    """Reconstructions in raw units, (n, *shape); of what is too large to compute with, what is usual stands in their place."""
    made, middle = ae._reconstructed(values, "all"), ae.model_.shift.numpy(force=True)
    far = ComputableRange.examples(ae.model_).outside(values).reshape(len(values), -1).any(1)
    borne = np.isfinite(made) & ~far.reshape(-1, *[1] * (made.ndim - 1))
    return np.where(borne, made, middle)


def squares(ae: Autoencoder, values: Array) -> Doubles:
    """Squared errors of each number in squared model units, (n, *shape): at most `_FARTHEST`, and NaN where a number is missing."""
    scale = ae.model_.scale.numpy(force=True).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.square((restored(ae, values) - values.astype(np.float64)) / scale)
        bounded: Doubles = np.where(found <= _FARTHEST, found, np.where(np.isnan(values), np.nan, _FARTHEST))
    return bounded


def feature_errors(ae: Autoencoder, values: Array) -> Doubles:
    """The mean of `squares` over the examples that have a number: (*shape); 0 where none has."""
    sums, counts = np.zeros(ae.shape_), np.zeros(ae.shape_)
    for _, block in blocks(values):
        here = squares(ae, block)
        sums, counts = sums + nansum(here, 0), counts + count_observed(here, 0)
    return sums / np.maximum(counts, 1)
