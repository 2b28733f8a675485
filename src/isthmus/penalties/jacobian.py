"""Penalties on derivatives: of the code by the example, and of the reconstruction by the code."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from isthmus.errors import NotPossibleError
from isthmus.nn.variables import Variables
from isthmus.penalties.base import Pass, WeightedPenalty, per_draw
from isthmus.records import record

__all__ = ["Contractive", "SmoothDecoder"]


@record
class Contractive(WeightedPenalty):
    """The contractive autoencoder (Rifai et al. 2011): ``weight`` times the squared Frobenius norm of the Jacobian of the code.

    The Jacobian is that of the code used at inference by the encoder's input, both in model units; a codebook is skipped, as in training.
    ``exact`` computes one backward pass for each unit of the code. Otherwise a single random direction gives an unbiased estimate
    (Hutchinson 1990), which is faster for large codes. Layers that mix examples, such as batch normalization, are not supported.
    """

    exact: bool = True

    @property
    def stochastic(self) -> bool:
        return not self.exact

    def passes(self, units: int) -> int:
        return 1 + (units if self.exact else 1)  # forward, and backward for each unit

    def __call__(self, seen: Pass, variables: Variables, generator: Generator) -> Float[Tensor, "b"]:
        x = seen.x.detach().requires_grad_()
        z = seen.deterministic(seen.encode(x)).z.flatten(1)
        if not z.requires_grad:
            raise NotPossibleError("Contractive requires a code with a derivative: choose another bottleneck")
        if self.exact:
            return self.weight * sum((_squares(unit.sum(), x) for unit in z.unbind(1)), z.new_zeros(len(z)))
        return self.weight * _squares((z * torch.empty_like(z).normal_(generator=generator)).sum(), x)


@record
class SmoothDecoder(WeightedPenalty):
    """A smooth decoder: ``weight`` times the squared Frobenius norm of the Jacobian of the reconstruction by the code.

    It is the gradient penalty of regularized autoencoders (RAE-GP, Ghosh et al. 2020), in model units: the mean of the likelihood at
    the codes of training. Only the decoder gets its gradient. ``exact`` computes two derivatives for each unit of the code. Otherwise
    a single random direction gives an unbiased estimate (Hutchinson 1990), which is faster for large codes.
    """

    exact: bool = True

    @property
    def stochastic(self) -> bool:
        return not self.exact

    def passes(self, units: int) -> int:
        return 2 + (units if self.exact else 0)  # forward, backward, and backward again for each unit

    def __call__(self, seen: Pass, variables: Variables, generator: Generator) -> Float[Tensor, "b"]:
        z = seen.code.z.detach().requires_grad_()
        mean = seen.mean(seen.decode(z))
        if not mean.requires_grad:
            raise NotPossibleError("SmoothDecoder requires a mean with a derivative: choose another likelihood")
        if not self.exact:
            probe = torch.empty_like(mean).normal_(generator=generator)
            return self.weight * per_draw(_squares((mean * probe).sum(), z), seen)
        # J'u is linear in u, so its derivative by u is J: a column for each unit, where rows would be one for each value of an example
        u = torch.zeros_like(mean).requires_grad_()
        (slopes,) = torch.autograd.grad(mean, z, u, create_graph=True)
        columns = (_squares(unit.sum(), u) for unit in slopes.flatten(1).unbind(1))
        return self.weight * per_draw(sum(columns, z.new_zeros(len(z))), seen)


def _squares(value: Float[Tensor, ""], by: Float[Tensor, "n *rest"]) -> Float[Tensor, "n"]:
    """The squared norm of the derivative of a value by each row, which can be differentiated again."""
    slope: Any = torch.autograd.grad(value, by, create_graph=True, allow_unused=True)[0]
    if slope is None:  # such as classes, which become one-hot vectors
        raise NotPossibleError(
            "Contractive requires examples of real numbers, and the likelihood takes them for classes: choose another likelihood or penalty"
        )
    norm: Tensor = slope.square().flatten(1).sum(1)
    return norm
