"""Every likelihood, with its usual variants, and examples that it accepts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from cases import required
from torch import Tensor

from isthmus import likelihoods
from isthmus.likelihoods import (
    Categorical,
    DiscretizedLogistic,
    Laplace,
    Likelihood,
    NegativeBinomial,
    Normal,
    StudentT,
    ZeroInflated,
)

__all__ = ["EVERY_LIKELIHOOD", "outputs_for", "values_for", "variables_for"]


def _made(name: str) -> Likelihood:
    kind = getattr(likelihoods, name)
    made: Likelihood = kind(**required(kind))
    return made


EVERY_LIKELIHOOD: list[Likelihood] = [
    *(_made(name) for name in likelihoods.__all__),
    *(Normal(scale) for scale in (0.3, "learned", "predicted")),
    *(kind(scale=scale) for kind in (Laplace, StudentT) for scale in (0.3, "predicted")),
    StudentT(df=30.0),
    Categorical(2),
    DiscretizedLogistic(mixtures=1, levels=4),
    *(NegativeBinomial(dispersion) for dispersion in (0.5, "predicted")),
    *(ZeroInflated(NegativeBinomial(dispersion)) for dispersion in ("learned", "predicted")),
]


def values_for(likelihood: Likelihood, shape: tuple[int, ...], state: int = 0) -> np.ndarray[Any, Any]:
    """Random examples of a shape (n, ...) that a likelihood accepts, in model units."""
    rng, support = np.random.default_rng(state), likelihood.support
    if support.step:
        last = round((support.high - support.low) / support.step) if math.isfinite(support.high) else 9
        values = support.low + support.step * rng.integers(0, last + 1, shape)
        return values if math.isfinite(support.high) else values * (rng.random(shape) < 0.7)
    return rng.random(shape) if math.isfinite(support.high) else rng.normal(size=shape)


def outputs_for(likelihood: Likelihood, shape: tuple[int, ...], state: int = 0) -> Tensor:
    """Random outputs of a decoder for examples of a shape (n, ...), in double precision."""
    draw = torch.Generator().manual_seed(state)
    return torch.randn(shape[0], *likelihood.outputs(shape[1:]), generator=draw, dtype=torch.float64)


def variables_for(likelihood: Likelihood, shape: tuple[int, ...]) -> Any:
    """The variables of a likelihood at inference, in double precision, for examples of a shape (n, ...)."""
    return likelihood.variables(shape[1:]).double().eval()
