"""Penalties on what codes say of labels."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from isthmus.errors import NotPossibleError, RecordError
from isthmus.nn.variables import Variables
from isthmus.penalties.base import Pass, Shapes, WeightedPenalty, codes
from isthmus.penalties.nets import apply_net, net_variables
from isthmus.records import Sizes, record

__all__ = ["Supervised"]


@record
class Supervised(WeightedPenalty):
    """A head on the code predicts the labels, so that codes separate them (supervised autoencoder, Le, Patterson & White 2018).

    Labels come with ``fit(X, y)``; floats are values, for ``task="regression"``. The penalty is ``weight`` times the cross-entropy of the
    classes, or half the squared error of the values, in nats. ``hidden`` are the sizes of the head's hidden layers; without any it is
    linear. An example whose label is missing (NaN) costs nothing: with few labels, a larger ``weight`` makes up for them.
    """

    hidden: Sizes = ()
    task: Literal["classification", "regression"] = "classification"

    @property
    def stochastic(self) -> bool:
        return False

    @property
    def needs_context(self) -> bool:
        return True

    @property
    def needs_classes(self) -> bool:
        return self.task == "classification"

    def variables(self, shapes: Shapes, generator: Generator) -> Variables:
        if shapes.context is None:
            raise RecordError("Supervised requires labels: fit(X, y)")
        if shapes.context == 1 and self.task == "classification":
            raise RecordError('Supervised classifies labels, and y is one number: use task="regression"')
        return net_variables(math.prod(shapes.code), self.hidden, shapes.context, generator)

    def __call__(self, seen: Pass, variables: Variables, generator: Generator) -> Float[Tensor, "b"]:
        if seen.context is None:
            raise NotPossibleError("Supervised requires labels: fit(X, y)")
        known = ~seen.context.isnan()
        labels, output = torch.where(known, seen.context, 0), apply_net(codes(seen), variables)
        if self.task == "classification":
            cost = -labels * torch.log_softmax(output, -1)
        else:
            cost = torch.where(known, 0.5 * (output - labels).square(), 0)
        return self.weight * cost.sum(-1).mean(0)
