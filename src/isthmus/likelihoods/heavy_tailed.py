"""Densities for errors with outliers, which a normal density would follow."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Generator, Tensor

from isthmus.likelihoods.scales import LocationScale
from isthmus.records import record

__all__ = ["Laplace", "StudentT"]


@record
class Laplace(LocationScale):
    """A Laplace density around the decoder's output, its median: the loss is the absolute error divided by ``scale``, in model units.

    With ``scale="learned"`` it is the mean absolute error of the last training steps, the maximum-likelihood scale; with a corruption that
    marks what counts, that of hidden values, as for `Normal`. With
    ``scale="predicted"`` the decoder outputs median and log scale of each value (Kendall & Gal 2017, "What uncertainties do we need in
    Bayesian deep learning for computer vision?"). Both are at least 1e-3.
    """

    scale: PositiveFloat | Literal["learned", "predicted"] = "learned"

    power = 1

    def _standard_costs(self, errors: Tensor) -> Tensor:
        return errors.abs() + math.log(2)

    def _standard_draw(self, like: Tensor, generator: Generator) -> Tensor:
        one, other = (torch.empty_like(like).exponential_(generator=generator) for _ in range(2))
        return one - other

    def _scale_terms(self, errors: Tensor, log_scale: Tensor) -> Tensor:
        return errors.abs()


@record
class StudentT(LocationScale):
    """Student's t density around the decoder's output, with ``df`` degrees of freedom: an error far out has little weight.

    ``scale`` is in model units; the standard deviation is scale · sqrt(df / (df - 2)) for df > 2. With ``scale="learned"`` each training
    step is one of the EM algorithm for the maximum-likelihood scale (Lange, Little & Taylor 1989, "Robust statistical modeling using the t
    distribution") of the values that count, as for `Normal`. With ``scale="predicted"`` the decoder outputs location and log scale of each
    value (Takahashi et al. 2018, "Student-t variational autoencoder for robust density estimation"). Both are at least 1e-3. Up to
    ``df`` = 1 there is no mean; the reconstruction is the median.
    """

    df: PositiveFloat = 4.0
    scale: PositiveFloat | Literal["learned", "predicted"] = "learned"

    def _standard_costs(self, errors: Tensor) -> Tensor:
        half = 0.5 * (self.df + 1)
        normalizer = math.lgamma(0.5 * self.df) - math.lgamma(half) + 0.5 * math.log(math.pi * self.df)
        return half * torch.log1p(errors**2 / self.df) + normalizer

    def _standard_draw(self, like: Tensor, generator: Generator) -> Tensor:
        normal = torch.empty_like(like).normal_(generator=generator)
        chi_square = 2 * torch._standard_gamma(torch.full_like(like, 0.5 * self.df), generator=generator)
        return normal * torch.rsqrt(chi_square / self.df)

    def _scale_terms(self, errors: Tensor, log_scale: Tensor) -> Tensor:
        squares = errors.square()
        return (self.df + 1) * squares / (self.df + squares * torch.exp(-2 * log_scale))
