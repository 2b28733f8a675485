"""Optimizers and learning rate schedules.

``loss_reduction`` sets how the optimizer's loss is averaged: over "example" (nats per example, the default), over "feature" (also
divided by the number of values in an example: the per-pixel means of many tutorials), or summed over the "batch". Optimizers that
divide by the size of the gradient depend on it only through their epsilon; for Adadelta this effect is large.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY
from typing import Literal, TypeAlias

import torch
from pydantic import InstanceOf, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from isthmus.native import Kernels
from isthmus.optimizer_state import LearningRate, OptimizerState, Tensors
from isthmus.records import Fraction, Record, Share, record
from isthmus.schedules import Constant, Cosine, OneCycle, Schedule

__all__ = ["SGD", "Adadelta", "Adam", "AdamW", "Constant", "Cosine", "OneCycle", "RMSprop"]

Buffers: TypeAlias = Mapping[str, Tensors]
_TINY = 1e-30  # far below the square of any epsilon; the square root of a denormal number takes thirty times as long
_MANY_STEPS = 1e9  # steps, after which the bias correction of a running mean is 1


@record
class Optimizer(Record):
    """The contract of an optimizer. ``clip`` is the maximum norm of the whole gradient; None does not clip."""

    lr: PositiveFloat = 1e-3
    _: KW_ONLY
    schedule: InstanceOf[Schedule] = Constant()
    loss_reduction: Literal["example", "feature", "batch"] = "example"
    clip: PositiveFloat | None = None

    def build(self, parameters: Iterable[nn.Parameter]) -> OptimizerState:
        """The optimizer of these parameters, with its state.

        Args:
            parameters: the tensors to train.
        """
        raise NotImplementedError


@record
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015).

    Examples:
        >>> Autoencoder(4, optimizer=Adam(1e-3), epochs=1, random_state=0).fit(X).optimizer_.lr
        0.001
    """

    _: KW_ONLY
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8

    def build(self, parameters: Iterable[nn.Parameter]) -> OptimizerState:
        return OptimizerState(parameters, ("means", "squares"), self._step, native_rule=self._native_step)

    def _step(self, p: Tensors, g: Tensors, buffers: Buffers, steps: Tensors, lr: LearningRate) -> None:
        _adam(p, g, buffers["means"], buffers["squares"], steps, lr, self.betas, self.eps, self._decay)

    def _native_step(
        self, kernels: Kernels, p: Tensors, g: Tensors, buffers: Buffers, steps: Tensors, lr: float
    ) -> None:
        kernels.adam(p, g, buffers["means"], buffers["squares"], steps, lr, self.betas, self.eps, self._decay)

    @property
    def _decay(self) -> float:
        """The decay of the weights."""
        return 0.0


@record
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    _: KW_ONLY
    weight_decay: NonNegativeFloat = 0.01

    @property
    def _decay(self) -> float:
        return self.weight_decay


@record
class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012), with the learning rate that Keras adds."""

    lr: PositiveFloat = 1.0
    _: KW_ONLY
    rho: Fraction = 0.95
    eps: PositiveFloat = 1e-7

    def build(self, parameters: Iterable[nn.Parameter]) -> OptimizerState:
        return OptimizerState(parameters, ("squares", "deltas", "scratch", "change"), self._step, flat=True)

    def _step(self, p: Tensors, g: Tensors, buffers: Buffers, steps: Tensors, lr: LearningRate) -> None:
        squares, deltas, scratch, change = buffers.values()
        torch._foreach_mul_(squares, self.rho)
        torch._foreach_addcmul_(squares, g, g, 1 - self.rho)
        torch._foreach_copy_(change, deltas)
        torch._foreach_copy_(scratch, squares)
        for root in (change, scratch):
            torch._foreach_add_(root, self.eps)
            torch._foreach_sqrt_(root)
        torch._foreach_div_(change, scratch)
        torch._foreach_mul_(change, g)
        torch._foreach_mul_(deltas, self.rho)
        torch._foreach_addcmul_(deltas, change, change, 1 - self.rho)
        _descend(p, change, lr)


@record
class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012)."""

    _: KW_ONLY
    rho: Fraction = 0.9
    eps: PositiveFloat = 1e-7
    momentum: Fraction = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> OptimizerState:
        buffers = ("squares", "scratch", *(["velocity"] if self.momentum else []))
        native = None if self.momentum else self._native_step
        return OptimizerState(parameters, buffers, self._step, self.momentum > 0, native)

    def _native_step(
        self, kernels: Kernels, p: Tensors, g: Tensors, buffers: Buffers, steps: Tensors, lr: float
    ) -> None:
        kernels.adam(p, g, None, buffers["squares"], steps, lr, (0.0, self.rho), self.eps, least=_TINY)

    def _step(self, p: Tensors, g: Tensors, buffers: Buffers, steps: Tensors, lr: LearningRate) -> None:
        squares, scratch = buffers["squares"], buffers["scratch"]
        if not self.momentum:  # then it is Adam with beta1=0 and no bias correction: one pass instead of seven
            many_steps = [torch.full_like(steps[0], _MANY_STEPS)] * len(steps)
            torch._foreach_clamp_min_(squares, _TINY)
            _adam(p, g, scratch, squares, many_steps, lr, (0.0, self.rho), self.eps, 0.0)
            return
        torch._foreach_mul_(squares, self.rho)
        torch._foreach_addcmul_(squares, g, g, 1 - self.rho)
        torch._foreach_copy_(scratch, squares)
        torch._foreach_clamp_min_(scratch, _TINY)
        torch._foreach_sqrt_(scratch)
        torch._foreach_add_(scratch, self.eps)
        torch._foreach_mul_(buffers["velocity"], self.momentum)
        torch._foreach_addcdiv_(buffers["velocity"], g, scratch)
        _descend(p, buffers["velocity"], lr)


@record
class SGD(Optimizer):
    """Stochastic gradient descent, with Nesterov momentum unless ``momentum`` is 0."""

    lr: PositiveFloat = 0.01
    _: KW_ONLY
    momentum: Fraction = 0.9
    weight_decay: NonNegativeFloat = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> OptimizerState:
        return OptimizerState(parameters, ["velocity"] if self.momentum else [], self._step)

    def _step(self, p: Tensors, g: Tensors, buffers: Buffers, steps: Tensors, lr: LearningRate) -> None:
        torch._fused_sgd_(
            p,
            g,
            buffers.get("velocity", []),
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=lr,
            dampening=0.0,
            nesterov=self.momentum > 0,
            maximize=False,
            is_first_step=False,
        )


def _descend(p: Tensors, change: Tensors, lr: LearningRate) -> None:
    """p -= lr * change, in place."""
    if isinstance(lr, Tensor):
        torch._foreach_sub_(p, torch._foreach_mul(change, lr))
    else:
        torch._foreach_add_(p, change, alpha=-lr)


def _adam(
    p: Tensors,
    g: Tensors,
    means: Tensors,
    squares: Tensors,
    steps: Tensors,
    lr: LearningRate,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """PyTorch's fused step of Adam with decoupled weight decay."""
    torch._fused_adamw_(
        p,
        g,
        means,
        squares,
        [],
        steps,
        lr=lr,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=weight_decay,
        eps=eps,
        amsgrad=False,
        maximize=False,
    )
