"""The losses and gradients of a batch where native kernels compute encoder and decoder: no autograd, and few calls."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from isthmus.bottlenecks import Bottleneck
from isthmus.likelihoods import Likelihood
from isthmus.native import Kernels
from isthmus.nn.dense_stack import StackPass
from isthmus.nn.variables import Variables
from isthmus.trainable import Batch, Losses

__all__ = ["KernelPass"]


class KernelPass:
    """What a training step computes of a batch, for an autoencoder of two dense nets without penalties.

    Args:
        kernels: what computes.
        encoder, decoder: the passes of the nets.
        bottleneck, likelihood: the components; none of their variables is learned.
        variables: of the bottleneck and of the likelihood.
        log_jacobian: gives what the scaling adds to the loss of targets; None if it adds nothing.
        incomplete: whether values can be missing.
    """

    def __init__(
        self,
        kernels: Kernels,
        encoder: StackPass,
        decoder: StackPass,
        bottleneck: Bottleneck,
        likelihood: Likelihood,
        variables: tuple[Variables, Variables],
        log_jacobian: Callable[[None, Tensor], float | Tensor] | None,
        incomplete: bool,
    ) -> None:
        self.kernels, self.encoder, self.decoder = kernels, encoder, decoder
        self.bottleneck, self.likelihood = bottleneck, likelihood
        self.variables, self.log_jacobian, self.incomplete = variables, log_jacobian, incomplete

    def takes(self, batch: Batch) -> bool:
        """Whether it can compute the losses of a batch: all values are there and count, and all examples alike."""
        x, target = batch.x, batch.target
        alike = x.dtype is target.dtype is torch.float32 and x.is_contiguous() and target.is_contiguous()
        alike = alike and batch.counted is None and batch.weights is None and 0 < len(x) <= self.encoder.net.rows
        return alike and not (self.incomplete and any(bool(rows.isnan().any()) for rows in {x, target}))

    def __call__(self, batch: Batch, generator: Generator, weight: float) -> Losses:
        """The losses of a batch, without gradients. The parameters have the gradients of ``weight`` times their sum."""
        of_code, of_likelihood = self.variables
        h = self.encoder.forward(self.likelihood.encoder_input(batch.x))
        code, slope_of_h = self.bottleneck.with_slope(h, of_code, generator, self.kernels)
        y = self.decoder.forward(code.z)
        nll, of_y = self.likelihood.with_slope(y, batch.target, of_likelihood, weight, self.kernels)
        of_z = self.decoder.backward(of_y)
        assert of_z is not None
        penalty = code.penalty
        if batch.factors is not None:
            penalty, weight = penalty * batch.factors[0], weight * float(batch.factors[0])
        self.encoder.backward(slope_of_h(of_z, weight))
        return Losses(
            nll if self.log_jacobian is None else nll + self.log_jacobian(None, batch.target), penalty, code.stats
        )
