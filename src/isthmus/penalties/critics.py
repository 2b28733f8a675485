"""Penalties by a critic: a net that learns, together with the model, to tell its codes from others.

Both learn in one backward pass and by one optimizer: the critic from detached codes, the encoder through the critic's detached weights.
The loss of the critic enters as ``own - own.detach()``: a gradient without a value.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from isthmus.nn.variables import Variables
from isthmus.penalties.base import Pass, Shapes, WeightedPenalty, codes, per_draw
from isthmus.penalties.nets import apply_net, net_variables
from isthmus.records import Sizes, record

__all__ = ["Adversarial", "TotalCorrelationCritic"]

_CRITIC_COPIES = 9  # three passes, each with the values before and after activations and their gradients


@record
class Critic(WeightedPenalty):
    """A penalty by a critic: a dense net with hidden layers of sizes ``hidden``, and one logit for each code.

    Its optimizer should forget quickly: Adam with ``betas=(0.5, 0.9)``, as ``optimizer="auto"`` has them where there is a critic.
    """

    hidden: Sizes = (64, 64)

    @property
    def adversarial(self) -> bool:
        return True

    def workspace(self, batch_size: int, units: int) -> int:
        return _CRITIC_COPIES * batch_size * (units + sum(self.hidden) + 1)

    def variables(self, shapes: Shapes, generator: Generator) -> Variables:
        return net_variables(math.prod(shapes.code), self.hidden, 1, generator)


@record
class Adversarial(Critic):
    """The adversarial autoencoder (Makhzani et al. 2016): a critic learns to tell codes from draws of N(0, 1); the encoder, to deceive it.

    Codes of any bottleneck then follow N(0, 1), from which they can be sampled. The penalty is ``weight`` times -log of the probability,
    for the critic, that the code is a draw from N(0, 1): log 2 where it cannot tell them apart. ``hidden`` are the sizes of the critic's
    hidden layers. Adam's ``betas=(0.5, 0.9)`` matter more than any other choice: with (0.9, 0.999) critic and encoder go round in circles.
    A ``schedule`` applies to the critic too.
    """

    @property
    def normal_codes(self) -> bool:
        return True

    def __call__(self, seen: Pass, variables: Variables, generator: Generator) -> Float[Tensor, "b"]:
        z = codes(seen).flatten(0, 1)
        prior = torch.empty_like(z).normal_(generator=generator)
        # logits that it is a draw from N(0, 1)
        own = F.softplus(apply_net(z.detach(), variables)) + F.softplus(-apply_net(prior, variables))
        deceived = F.softplus(-apply_net(z, variables, frozen=True))
        return per_draw((self.weight * deceived + own - own.detach())[:, 0], seen)


@record
class TotalCorrelationCritic(Critic):
    """The total correlation of the codes, as a critic estimates it (FactorVAE, Kim & Mnih 2018). It requires no posterior.

    The critic learns to tell codes from codes whose units are permuted over the batch, each by itself, and thus are independent. The
    logit of a code is then an estimate of log q(z) - Σ log q(z_unit); the penalty is ``weight`` times this, in nats. ``hidden`` are the
    sizes of the critic's hidden layers. Adam's ``betas=(0.5, 0.9)`` matter, as for `Adversarial`. A ``schedule`` applies to the critic too.
    """

    def __call__(self, seen: Pass, variables: Variables, generator: Generator) -> Float[Tensor, "b"]:
        z = codes(seen)
        order = torch.empty_like(z).uniform_(generator=generator).argsort(1)
        permuted = z.detach().gather(1, order).flatten(0, 1)
        z = z.flatten(0, 1)
        # logits that its units belong together
        own = F.softplus(-apply_net(z.detach(), variables)) + F.softplus(apply_net(permuted, variables))
        correlation = apply_net(z, variables, frozen=True)
        return per_draw((self.weight * correlation + own - own.detach())[:, 0], seen)
