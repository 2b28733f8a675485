"""Sparse codes: few active units."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import NonNegativeFloat, model_validator
from torch import Tensor

from isthmus.bottlenecks.base import Bottleneck, Code, Problem, per_example
from isthmus.nn.activations import Activation, activate
from isthmus.nn.variables import Variables
from isthmus.records import Count, record

__all__ = ["L1", "TopK"]


@record
class L1(Bottleneck):
    """An L1 penalty: ``weight`` nats times the absolute value of each unit, which drives many units to zero.

    It is -log of a Laplace prior, up to a constant (Goodfellow, Bengio & Courville 2016, "Deep Learning", section 14.2.1).
    """

    weight: NonNegativeFloat = 0.1
    activation: Activation = "relu"

    @property
    def sparse(self) -> bool:
        return True

    def remedy(self, problem: Problem) -> str:
        ours = f"lower bottleneck.weight={self.weight:g} or reduce bottleneck.size"
        return ours if problem == "dead units" else super().remedy(problem)

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        z = activate(h, self.activation)
        return Code(z, self.weight * per_example(z.abs()), {"active": (z != 0).float().mean()})


@record
class TopK(Bottleneck):
    """The ``k`` largest units of a code are kept, the others set to zero (Makhzani & Frey 2013, "k-Sparse autoencoders").

    Examples:
        >>> code = Autoencoder(TopK(16, k=3), epochs=1, random_state=0).fit(X).encode(X)
        >>> code.shape, int((code != 0).sum(axis=1).max())
        ((200, 16), 3)
    """

    k: Count

    @model_validator(mode="after")
    def _k_fits(self) -> TopK:
        if self.k > self.size:
            raise ValueError(f"k={self.k} is larger than size={self.size}")
        return self

    @property
    def sparse(self) -> bool:
        return True

    def remedy(self, problem: Problem) -> str:
        ours = f"raise bottleneck.k={self.k}, lower optimizer.lr, or reduce bottleneck.size"
        return ours if problem == "dead units" else super().remedy(problem)

    def deterministic(self, h: Float[Tensor, "b *positions encoder_outputs"], variables: Variables) -> Code:
        top = h.topk(self.k, dim=-1)
        return Code(h.new_zeros(h.shape).scatter(-1, top.indices, top.values), h.new_zeros(h.shape[0]))
