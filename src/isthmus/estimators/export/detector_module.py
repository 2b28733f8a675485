"""The anomaly score, the p-value and the verdict of a detector, as a module of PyTorch.

It has the formulas of `estimators.outlier_scores` and of the modules below it as operations that a graph can hold. Results are equal but
for rounding. Examples so far outside that live scores order them by their distance all have the lowest score.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from isthmus.estimators.ensemble_score import EnsembleScore, LinearError
from isthmus.estimators.export.table_ports import exact
from isthmus.estimators.neighbors import EQUAL, NEIGHBORS, TABLE_WEIGHTS, NeighborDistance, TailProbability
from isthmus.estimators.outlier_scores import CodeDensity, ErrorDensity
from isthmus.estimators.plain_module import AutoencoderModule
from isthmus.estimators.squared_errors import MOST
from isthmus.nn.places import places

if TYPE_CHECKING:
    from isthmus.estimators.outlier_detector import OutlierDetector

__all__ = ["DetectorModule"]


class DetectorModule(nn.Module):
    """Scores (b,), p-values (b,) and verdicts (b,) of raw examples.

    Args:
        detector: a fitted detector.
        module: its autoencoder.
    """

    weights: Tensor | None
    calibration: Tensor

    def __init__(self, detector: OutlierDetector, module: AutoencoderModule) -> None:
        super().__init__()
        self.module, scorer = module, detector.scorer_
        self.kind, self.usual, self.offset = scorer.kind, scorer.usual, detector.offset_
        weights = None if scorer.weights is None else torch.from_numpy(scorer.weights)
        if weights is not None and module.model.scaling.classes:
            weights = module.model.scaling.spread(weights)
        self.register_buffer("weights", weights)
        self.register_buffer("calibration", torch.from_numpy(detector.calibration_scores_.copy())[None])
        self.code = None if scorer.code is None else _CodeDensity(scorer.code)
        self.error = scorer.error
        self.near: nn.Module | None = None
        if isinstance(scorer.near, EnsembleScore):
            self.near = _EnsembleScore(scorer.near)
        elif scorer.near is not None:
            near = scorer.near
            self.near = _TableScore(near.neighbors, near.floors, near.centers, near.spreads)

    def forward(self, raw: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The score, the p-value and whether the score is below the threshold, (b,) each."""
        score = self._score(raw, y)
        n = self.calibration.shape[1]
        p_value = (1.0 + places(score[:, None], self.calibration, right=True)[:, 0].double()) / (1.0 + n)
        return score, p_value, score < exact(self.offset)

    def _score(self, raw: Tensor, y: Tensor | None) -> Tensor:
        model = self.module.model
        x = model.normalize(raw)
        if self.kind == "nats":
            score = self.module.score(raw, y).double()
            if model.fill is None or not model.likelihood.density:
                return score
            counted, by_block = ~x.isnan(), bool(model.scaling.classes) or model.likelihood.weighted
            return score + (model.log_jacobian(counted) if by_block else model.log_scale_sums(counted))
        context = self.module.context(y)
        z = model.encode(x, context)
        squares = (model.reconstruction(z, x, context).double() - x.double()).square().flatten(1)
        squares = squares if self.weights is None else squares * self.weights
        observed = ~x.flatten(1).isnan()
        errors = torch.where(observed, squares, 0).sum(1) / observed.sum(1)
        if self.near is not None:
            imputed: Tensor = self.near(model.impute(x, None, context).double().flatten(1), observed, errors)
            nll = torch.where(imputed.isnan(), exact(self.usual), imputed)
        elif self.code is None and self.error is None:
            nll = torch.where(errors.isnan(), exact(self.usual), errors)
        else:
            nll = torch.zeros_like(errors)
            if self.code is not None:
                nll = nll + self.code(z.double().flatten(1))
            if self.error is not None:
                nll = nll + _error_nll(self.error, errors)
        return -nll.nan_to_num(nan=MOST, posinf=MOST).clamp(max=MOST)


class _CodeDensity(nn.Module):
    """`outlier_scores.CodeDensity`."""

    mean: Tensor
    axes: Tensor
    means: Tensor
    factors: Tensor
    constants: Tensor

    def __init__(self, density: CodeDensity) -> None:
        super().__init__()
        factors = torch.from_numpy(density.precisions_cholesky)
        determinants = torch.linalg.diagonal(factors).log().sum(1)
        constants = torch.from_numpy(density.weights).log() + determinants
        self.register_buffer("mean", torch.from_numpy(density.mean))
        self.register_buffer("axes", torch.from_numpy(density.axes))
        self.register_buffer("means", torch.from_numpy(density.means))
        self.register_buffer("factors", factors)
        self.register_buffer("constants", constants - 0.5 * factors.shape[1] * math.log(2 * math.pi))

    def forward(self, codes: Tensor) -> Tensor:
        """The negative log-density of codes (b, k), (b,)."""
        z = (codes - self.mean) @ self.axes
        distances = ((z[:, None] - self.means).transpose(0, 1) @ self.factors).square().sum(2)  # (p, b)
        return -torch.logsumexp(self.constants[:, None] - 0.5 * distances, 0)


def _error_nll(density: ErrorDensity, errors: Tensor) -> Tensor:
    """`outlier_scores.ErrorDensity.nll`."""
    a = density.shape
    relative = torch.where(errors.isnan(), 1.0, errors / exact(density.mean)).clamp(min=1e-6)
    return exact(a) * relative - exact(a - 1) * relative.log() + exact(math.lgamma(a) - a * math.log(a))


class _Neighbors(nn.Module):
    """`neighbors.NeighborDistance`: the distances, and whether an example is a reference, (b,) each."""

    references: Tensor
    norms: Tensor
    center: Tensor
    deviations: Tensor
    varying: Tensor

    def __init__(self, distance: NeighborDistance) -> None:
        super().__init__()
        scaled = torch.from_numpy(distance.references / distance.deviations)
        center = scaled.mean(0)
        self.register_buffer("references", scaled - center)
        self.register_buffer("norms", (scaled - center).square().sum(1))
        self.register_buffer("center", center)
        self.register_buffer("deviations", torch.from_numpy(distance.deviations))
        varying = distance.references.max(0) > distance.references.min(0)
        self.register_buffer("varying", torch.from_numpy(varying))

    def forward(self, rows: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Of rows (b, d)."""
        x, count = rows / self.deviations - self.center, min(NEIGHBORS + 1, len(self.references))
        order = 2 * x @ self.references.T - self.norms
        nearest = self.references[order.topk(count).indices]
        squares = torch.where(observed[:, None], (x[:, None] - nearest).square(), 0).sum(-1)
        own = (((x[:, None] - nearest).abs() <= EQUAL) | ~(observed[:, None] & self.varying)).all(-1).any(1)
        squares = squares * (x.shape[1] / observed.sum(1)[:, None])
        found = squares.sqrt().topk(count, largest=False).values
        if count > 1:
            found = torch.where(own[:, None], found[:, 1:], found[:, :-1])
        return found.mean(1), own


class _Tails(nn.Module):
    """`neighbors.TailProbability`."""

    columns: Tensor
    varying: Tensor
    tolerances: Tensor

    def __init__(self, tails: TailProbability) -> None:
        super().__init__()
        self.register_buffer("columns", torch.from_numpy(tails.columns))
        self.register_buffer("varying", torch.from_numpy(tails.varying))
        self.register_buffer("tolerances", torch.from_numpy(tails.tolerances))

    def forward(self, x: Tensor, observed: Tensor, own: Tensor) -> Tensor:
        """One over the probabilities of examples (b, d), (b,)."""
        count, itself, seen = self.columns.shape[1], own.double()[:, None], observed[:, self.varying]
        values = x[:, self.varying]
        as_low = places((values + self.tolerances).float(), self.columns, right=True).double()
        as_high = count - places((values - self.tolerances).float(), self.columns).double()
        sides = [((count - itself + 1) / (number - itself + 0.5)).log() for number in (as_low, as_high)]
        low, high = (torch.where(seen, side, 0).sum(1) for side in sides)
        mean = torch.maximum(low, high) / seen.sum(1).clamp(min=1)
        return torch.where(observed.any(1), mean.exp(), math.nan)


class _TableScore(nn.Module):
    """`neighbors.TableScore`."""

    scale: Tensor

    def __init__(self, distance: NeighborDistance, *scale: object) -> None:
        super().__init__()
        self.neighbors = _Neighbors(distance)
        self.register_buffer("scale", torch.stack([torch.as_tensor(each) for each in scale]))
        self.tails = _Tails(TailProbability.fit(distance)) if self.scale.shape[1] == len(TABLE_WEIGHTS) else None
        self.shares = [weight / sum(TABLE_WEIGHTS[: self.scale.shape[1]]) for weight in TABLE_WEIGHTS]

    def forward(self, x: Tensor, observed: Tensor, errors: Tensor) -> Tensor:
        """The score of examples (b, d), (b,)."""
        distances, own = self.neighbors(x, observed)
        values = [distances, errors] + ([] if self.tails is None else [self.tails(x, observed, own)])
        terms = [_standardized(value, *self.scale[:, place]) for place, value in enumerate(values)]
        return sum((exact(share) * term for share, term in zip(self.shares, terms)), torch.zeros_like(errors))  # noqa: B905  # as many as terms


class _EnsembleScore(nn.Module):
    """`ensemble_score.EnsembleScore`."""

    scale: Tensor
    least: Tensor

    def __init__(self, score: EnsembleScore) -> None:
        super().__init__()
        self.neighbors, self.linear = _Neighbors(score.neighbors), _Linear(score.linear)
        self.window = score.window
        scale = torch.stack([torch.as_tensor(each) for each in (score.floors, score.centers, score.spreads)])
        self.register_buffer("scale", scale)
        self.shapes = None
        if score.window is not None:
            self.shapes = _Neighbors(score.shapes)
            self.register_buffer("least", torch.from_numpy(score.least_variances))

    def forward(self, x: Tensor, observed: Tensor, errors: Tensor) -> Tensor:
        """The score of examples (b, d), (b,)."""
        values = [self.neighbors(x, observed)[0], errors, self.linear(x, observed)]
        if self.shapes is not None:
            values.append(self.shapes(self._shape_of(x), observed)[0])
        terms = [_standardized(value, *self.scale[:, place]) for place, value in enumerate(values)]
        return torch.stack(terms).mean(0)

    def _shape_of(self, x: Tensor) -> Tensor:
        assert self.window is not None
        windows = x.reshape(-1, *self.window)
        centered = windows - windows.mean(1, keepdim=True)
        shapes = centered / (centered.square().mean(1, keepdim=True) + self.least).sqrt()
        return shapes.flatten(1)


class _Linear(nn.Module):
    """`ensemble_score.LinearError`."""

    mean: Tensor
    axes: Tensor
    weights: Tensor

    def __init__(self, error: LinearError) -> None:
        super().__init__()
        for name in ("mean", "axes", "weights"):
            self.register_buffer(name, torch.from_numpy(getattr(error, name)))

    def forward(self, x: Tensor, observed: Tensor) -> Tensor:
        """The errors of examples (b, d), (b,)."""
        centered = x - self.mean
        squares = (centered - centered @ self.axes.T @ self.axes).square() * self.weights
        return torch.where(observed, squares, 0).sum(1) / observed.sum(1)


def _standardized(values: Tensor, floor: Tensor, center: Tensor, spread: Tensor) -> Tensor:
    """`score_terms.standardized_logs` of one term."""
    return ((values + floor).log() - center) / spread
