"""Optimizer and schedule: how the weights move, and how the step size changes over training.

``per`` says what one unit of the loss handed to the optimizer is counted per: the mean over "example"s (nats per example, the
default), over "feature"s (divided by the numbers in an example too: the per-pixel means of many tutorials) or the sum over the "batch".
For optimizers that divide by the gradient's size only their epsilon notices, which for Adadelta is a great deal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY
from typing import Any, Literal

import torch
from pydantic import InstanceOf, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from isthmus.records import Fraction, Record, Share, record

__all__ = ["SGD", "Adadelta", "Adam", "AdamW", "Constant", "Cosine", "OneCycle", "RMSprop"]


Tensors = list[Tensor]
_TINY = 1e-30


class Schedule(Record):
    """The step size over training, as a share of the optimizer's ``lr``."""

    def __call__(self, progress: float) -> float:
        """The factor on lr when this share of training, in [0, 1), is done."""
        raise NotImplementedError


@record
class Constant(Schedule):
    """The same step size throughout."""

    def __call__(self, progress: float) -> float:
        return 1.0


@record
class Cosine(Schedule):
    """Half a cosine from 1 down to ``final`` (Loshchilov & Hutter 2017, without restarts)."""

    final: Fraction = 0.0

    def __call__(self, progress: float) -> float:
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@record
class OneCycle(Schedule):
    """A cosine up from ``start`` during the ``warmup`` share of training, then a cosine down to ``final`` (Smith & Topin 2018)."""

    warmup: Fraction = 0.2
    start: Fraction = 0.04
    final: Fraction = 0.0

    def __call__(self, progress: float) -> float:
        if progress < self.warmup:
            return 1 + (self.start - 1) * 0.5 * (1 + math.cos(math.pi * progress / self.warmup))
        share = (progress - self.warmup) / (1 - self.warmup)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))


class InPlace(torch.optim.Optimizer):
    """A rule of ours as PyTorch's optimizers are used: all parameters in one call each, nothing allocated in a step.

    Args:
        held: the names of the tensors like the parameters that the rule keeps, zero at first.
        rule: (parameters, gradients, held tensors, step size) -> None, in place.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, held: Iterable[str], rule: Callable[..., None]):
        super().__init__(parameters, {"lr": lr})
        self.rule = rule
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {name: torch.zeros_like(p) for name in held}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closure is used here
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            states = [self.state[p] for p in moved]
            memory = {name: [state[name] for state in states] for name in (states[0] if states else {})}
            if moved:
                self.rule(moved, [p.grad for p in moved], memory, group["lr"])


@record
class Optimizer(Record):
    """A rule that moves weights along gradients."""

    lr: PositiveFloat = 1e-3
    _: KW_ONLY
    schedule: InstanceOf[Schedule] = Constant()
    per: Literal["example", "feature", "batch"] = "example"
    clip: PositiveFloat | None = None  # the largest norm of the whole gradient

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """PyTorch's optimizer of this kind over the parameters."""
        raise NotImplementedError


@record
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015)."""

    _: KW_ONLY
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas, eps=self.eps, fused=True)


@record
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    _: KW_ONLY
    weight_decay: NonNegativeFloat = 0.01

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        decay = self.weight_decay
        return torch.optim.AdamW(parameters, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=decay, fused=True)


@record
class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012), with the step size that Keras gives it."""

    lr: PositiveFloat = 1.0
    _: KW_ONLY
    rho: Fraction = 0.95
    eps: PositiveFloat = 1e-7

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return InPlace(parameters, self.lr, ("squares", "deltas", "scratch", "change"), self._step)

    def _step(self, p: Tensors, g: Tensors, memory: Mapping[str, Tensors], lr: float) -> None:
        squares, deltas, scratch, change = memory.values()
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
        torch._foreach_add_(p, change, alpha=-lr)


@record
class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012)."""

    _: KW_ONLY
    rho: Fraction = 0.9
    eps: PositiveFloat = 1e-7
    momentum: Fraction = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        held = ("squares", "scratch", *(["velocity"] if self.momentum else []))
        return InPlace(parameters, self.lr, held, self._step)

    def _step(self, p: Tensors, g: Tensors, memory: Mapping[str, Tensors], lr: float) -> None:
        squares, scratch = memory["squares"], memory["scratch"]
        torch._foreach_mul_(squares, self.rho)
        torch._foreach_addcmul_(squares, g, g, 1 - self.rho)
        torch._foreach_copy_(scratch, squares)
        torch._foreach_clamp_min_(
            scratch, _TINY
        )  # far below eps**2; the root of a denormal number takes thirty times as long
        torch._foreach_sqrt_(scratch)
        torch._foreach_add_(scratch, self.eps)
        if self.momentum:
            torch._foreach_mul_(memory["velocity"], self.momentum)
            torch._foreach_addcdiv_(memory["velocity"], g, scratch)
            torch._foreach_add_(p, memory["velocity"], alpha=-lr)
        else:
            torch._foreach_addcdiv_(p, g, scratch, -lr)


@record
class SGD(Optimizer):
    """Stochastic gradient descent, with Nesterov's momentum unless it is 0."""

    lr: PositiveFloat = 0.01
    _: KW_ONLY
    momentum: Fraction = 0.9
    weight_decay: NonNegativeFloat = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        nesterov = self.momentum > 0
        decay, momentum = self.weight_decay, self.momentum
        return torch.optim.SGD(
            parameters, lr=self.lr, momentum=momentum, nesterov=nesterov, weight_decay=decay, fused=True
        )
