"""The code of the plain autoencoder: no constraint, no penalty."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from isthmus.bottlenecks.base import Bottleneck, Code
from isthmus.bottlenecks.code import SlopeOfInput
from isthmus.native import Kernels
from isthmus.nn.activations import Activation, activate
from isthmus.nn.variables import Variables
from isthmus.records import record

__all__ = ["Identity"]


@record
class Identity(Bottleneck):
    """The code is the encoder's output after an activation function. There is no penalty."""

    activation: Activation = "linear"

    @property
    def thread_invariant(self) -> bool:
        return self.activation in {"linear", "relu"}  # PyTorch's sigmoid has other last bits where a thread begins

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        return Code(activate(h, self.activation), h.new_zeros(h.shape[0]))

    def with_slope(
        self,
        h: Float[Tensor, "b *positions encoder_outputs"],
        variables: Variables,
        generator: Generator,
        kernels: Kernels,
    ) -> tuple[Code, SlopeOfInput]:
        if type(self) is not Identity or self.activation not in {"linear", "relu"}:
            return super().with_slope(h, variables, generator, kernels)
        code = self.deterministic(h, variables)
        if self.activation == "linear":
            return code, lambda of_z, _: of_z
        return code, lambda of_z, _: torch.ops.aten.threshold_backward(of_z, code.z, 0)
