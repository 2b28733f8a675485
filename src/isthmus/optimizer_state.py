"""The parameters that an optimizer updates, and its buffers for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from isthmus.native import Kernels

__all__ = ["LearningRate", "OptimizerState", "Tensors", "first_nonfinite"]

Tensors: TypeAlias = list[Tensor]
LearningRate: TypeAlias = float | Tensor  # a tensor where a step is a CUDA graph
_NON_NEGATIVE = ("squares.", "deltas.", "steps.")  # running means of squares, and counts


class OptimizerState:
    """The parameters of a model, the optimizer's buffers for them and its update rule. A step allocates few tensors.

    Args:
        parameters: the parameters to update.
        buffers: the names of the buffers. Each holds a tensor per parameter, of its shape and initially zero.
        rule: (parameters, gradients, buffers, steps, learning rate) -> None, in place. ``steps`` are counts from 1, one per parameter.
        flat: pass all parameters as one flat tensor. A rule of many operations is then faster.
        native_rule: the same rule by native kernels, which are its first argument; it also counts the steps. None: there is none.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        buffers: Iterable[str],
        rule: Callable[..., None],
        flat: bool = False,
        native_rule: Callable[..., None] | None = None,
    ) -> None:
        self.parameters: Tensors = list(parameters)
        self.rule, self.flat, self.native_rule = rule, flat, native_rule
        like = [_concatenated(self.parameters)] if flat else [p.detach() for p in self.parameters]
        self.buffers = {name: [torch.zeros_like(p) for p in like] for name in buffers}
        self.steps = [p.new_zeros((), dtype=torch.float32) for p in like]

    def tensors(self) -> dict[str, Tensor]:
        """The buffers and step counts by name, not copies."""
        named = {f"{name}.{i}": tensor for name, tensors in self.buffers.items() for i, tensor in enumerate(tensors)}
        return named | {f"steps.{i}": tensor for i, tensor in enumerate(self.steps)}

    def first_nonfinite(self) -> str | None:
        """The name of the first invalid tensor (see the function of this name), or None."""
        return first_nonfinite(self.tensors())

    def zero_grad(self) -> None:
        """Sets all gradients to None."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self, lr: LearningRate, kernels: Kernels | None = None) -> None:
        """Updates every parameter that has a gradient.

        Args:
            lr: the learning rate.
            kernels: where they have computed the gradients of all parameters.
        """
        p, buffers, steps = self.parameters, self.buffers, self.steps
        if kernels is not None and self.native_rule is not None and not isinstance(lr, Tensor):
            self.native_rule(kernels, p, [parameter.grad for parameter in p], buffers, steps, lr)
            return
        if self.flat:
            torch._foreach_add_(steps, 1)
            weights = _concatenated(p)
            gradient = _concatenated([torch.zeros_like(q) if q.grad is None else q.grad for q in p])
            self.rule([weights], [gradient], buffers, steps, lr)
            moved = weights.split([q.numel() for q in p])
            torch._foreach_copy_(p, [new.reshape(q.shape) for new, q in zip(moved, p, strict=True)])
            return
        if any(parameter.grad is None for parameter in p):
            moved = [i for i, parameter in enumerate(p) if parameter.grad is not None]
            p, steps = [p[i] for i in moved], [steps[i] for i in moved]
            buffers = {name: [tensors[i] for i in moved] for name, tensors in buffers.items()}
        if p:
            torch._foreach_add_(steps, 1)
            self.rule(p, [parameter.grad for parameter in p], buffers, steps, lr)


def first_nonfinite(state: Mapping[str, Tensor]) -> str | None:
    """The name of the first invalid tensor of an optimizer state: one with a value that is not finite, or a square below 0."""
    for name, tensor in state.items():
        lower, upper = (float(end) for end in torch.aminmax(tensor))  # one pass; both are NaN if any value is
        bound = 0 if name.startswith(_NON_NEGATIVE) else -math.inf
        if not (math.isfinite(lower) and math.isfinite(upper) and lower >= bound):
            return name
    return None


def _concatenated(tensors: Iterable[Tensor]) -> Tensor:
    """All tensors as one flat tensor."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
