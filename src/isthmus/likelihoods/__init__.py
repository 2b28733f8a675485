"""Likelihoods: the reconstruction loss, as a negative log-likelihood in nats per example.

The decoder's output ``y`` holds the parameters of a distribution over examples ``x``: one of each value, or several on a last axis
(`Likelihood.outputs`). ``nll(y, x)`` is the negative log-likelihood, summed over the values of an example; ``mean(y)`` is the
reconstruction. Both are in model units (see `scaling`). `Model.nll` converts densities to the units of the data. Read in this order:

    base          the contract
    bernoulli     binary examples, and values in [0, 1]: Bernoulli, ContinuousBernoulli
    scales        densities with a location and a scale: fixed, learned or predicted
    normal        real numbers: Normal
    heavy_tailed  real numbers with outliers: Laplace, StudentT
    categorical   classes, and gray levels: Categorical, DiscretizedLogistic
    totals        totals of counts, and shares in them
    counts        whole numbers from 0: Poisson, NegativeBinomial, ZeroInflated, Multinomial
    mixed         tables of numbers and categories: Mixed
    weighted      columns that count more than others: Weighted
"""

from isthmus.likelihoods.base import Likelihood as Likelihood  # the contract: no model file names it
from isthmus.likelihoods.base import Support as Support
from isthmus.likelihoods.bernoulli import Bernoulli, ContinuousBernoulli
from isthmus.likelihoods.categorical import Categorical, DiscretizedLogistic
from isthmus.likelihoods.counts import Multinomial, NegativeBinomial, Poisson, ZeroInflated
from isthmus.likelihoods.heavy_tailed import Laplace, StudentT
from isthmus.likelihoods.mixed import Mixed
from isthmus.likelihoods.normal import Normal
from isthmus.likelihoods.weighted import Weighted

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "Laplace",
    "Mixed",
    "Multinomial",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "StudentT",
    "Weighted",
    "ZeroInflated",
]
