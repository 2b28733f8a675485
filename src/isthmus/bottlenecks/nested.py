"""Nested codes: each prefix of a code is a code."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import model_validator
from torch import Generator, Tensor

from isthmus.bottlenecks.base import Bottleneck, Code
from isthmus.nn.activations import Activation, activate
from isthmus.nn.variables import Variables
from isthmus.records import Sizes, record

__all__ = ["Nested"]


@record
class Nested(Bottleneck):
    """A code whose first units are a code too (Kusupati et al. 2022, "Matryoshka representation learning"; Rippel, Gelbart & Adams 2014).

    Training decodes the prefixes of the ``sizes`` and the whole code, each with the other units at zero. The loss is the mean over them.
    Without sizes they are size, size / 2, size / 4, ..., 1. To decode a shorter code, set its last units to zero.

    Examples:
        >>> ae = Autoencoder(Nested(8, sizes=(1, 2, 4)), epochs=1, random_state=0).fit(X)
        >>> Z = ae.encode(X)
        >>> Z[:, 2:] = 0
        >>> ae.decode(Z).shape
        (200, 8, 8)
    """

    sizes: Sizes = ()
    activation: Activation = "linear"

    @model_validator(mode="after")
    def _sizes_fit(self) -> Nested:
        if any(after <= before for before, after in zip(self.sizes, self.sizes[1:], strict=False)):
            raise ValueError(f"sizes={self.sizes} must increase")
        if self.sizes and self.sizes[-1] > self.size:
            raise ValueError(f"sizes={self.sizes} end above size={self.size}")
        return self

    @property
    def prefixes(self) -> tuple[int, ...]:
        """The numbers of first units that training decodes, in ascending order."""
        if not self.sizes:
            return tuple(self.size >> halvings for halvings in reversed(range(self.size.bit_length())))
        return self.sizes if self.sizes[-1] == self.size else (*self.sizes, self.size)

    @property
    def draws(self) -> int:
        return len(self.prefixes)

    @property
    def stochastic(self) -> bool:
        return False

    def __call__(
        self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables, generator: Generator
    ) -> Code:
        z, units = activate(h, self.activation), torch.arange(self.size, device=h.device)
        return Code(
            torch.cat([torch.where(units < each, z, 0) for each in self.prefixes]), h.new_zeros(h.shape[0] * self.draws)
        )

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        return Code(activate(h, self.activation), h.new_zeros(h.shape[0]))
