"""Penalties: what else the loss requires in training, in nats. They add up with ``+``, and never enter scores.

Read in this order:

    base              the contract; sums
    activations       codes of a given distribution: MMD, ActivationKL
    disentanglement   independent units: TotalCorrelation, DIP
    nets              small nets of learned tensors
    critics           nets that learn to tell codes from others: Adversarial, TotalCorrelationCritic
    jacobian          codes and reconstructions that change little: Contractive, SmoothDecoder
    supervised        codes that predict labels: Supervised
"""

from isthmus.penalties.activations import MMD, ActivationKL
from isthmus.penalties.base import NoPenalty, Sum
from isthmus.penalties.base import Pass as Pass
from isthmus.penalties.base import Penalty as Penalty  # the contract: no model file names it
from isthmus.penalties.base import Shapes as Shapes
from isthmus.penalties.base import WeightedPenalty as WeightedPenalty
from isthmus.penalties.critics import Adversarial, TotalCorrelationCritic
from isthmus.penalties.disentanglement import DIP, TotalCorrelation
from isthmus.penalties.jacobian import Contractive, SmoothDecoder
from isthmus.penalties.supervised import Supervised

__all__ = [
    "DIP",
    "MMD",
    "ActivationKL",
    "Adversarial",
    "Contractive",
    "NoPenalty",
    "SmoothDecoder",
    "Sum",
    "Supervised",
    "TotalCorrelation",
    "TotalCorrelationCritic",
]
