"""Bottlenecks: the form of the code and its penalty. h -> Code(z, penalty in nats per example, stats).

Read in this order:

    code          the code, and its slopes
    base          the contract
    identity      no constraint: the plain autoencoder
    sparse        few active units: L1, TopK
    nested        each prefix of a code is a code: Nested
    variational   a distribution over codes, with a prior: Gaussian, ImportanceWeighted
    quantized     vectors of a learned codebook: VectorQuantized
"""

from isthmus.bottlenecks.base import Bottleneck as Bottleneck  # the contract: no model file names it
from isthmus.bottlenecks.base import Code as Code
from isthmus.bottlenecks.base import Posterior as Posterior
from isthmus.bottlenecks.base import per_example as per_example
from isthmus.bottlenecks.identity import Identity
from isthmus.bottlenecks.nested import Nested
from isthmus.bottlenecks.quantized import VectorQuantized
from isthmus.bottlenecks.sparse import L1, TopK
from isthmus.bottlenecks.variational import Gaussian, ImportanceWeighted

__all__ = ["L1", "Gaussian", "Identity", "ImportanceWeighted", "Nested", "TopK", "VectorQuantized"]
