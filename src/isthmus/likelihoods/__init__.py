"""Likelihoods: the reconstruction loss, as a negative log-likelihood in nats per example.

The decoder's output ``y`` is the parameter of a distribution over examples ``x``. ``nll(y, x)`` is the negative log-likelihood, summed
over the values of an example; ``mean(y)`` is the reconstruction. Both are in model units (see `scaling`). `Model.nll` converts
densities to the units of the data. Read in this order:

    base        the contract
    bernoulli   binary examples, and gray levels in [0, 1]
    normal      real numbers: Normal
"""

from isthmus.likelihoods.base import Likelihood as Likelihood  # the contract: no model file names it
from isthmus.likelihoods.base import Support as Support
from isthmus.likelihoods.bernoulli import Bernoulli
from isthmus.likelihoods.normal import Normal

__all__ = ["Bernoulli", "Normal"]
