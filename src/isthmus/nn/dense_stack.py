"""Dense layers one after the other, which the native kernels train as one operation where they are there."""

from __future__ import annotations

import math
from itertools import chain, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from isthmus.native import Kernels, Net, load
from isthmus.nn.invariant_layers import Dense

__all__ = ["DenseStack", "StackPass", "is_heard", "native_kernels", "trains_natively"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class DenseStack(nn.Sequential):
    """Layers one after the other, as `nn.Sequential`. Dense layers with ReLU between them are one operation in training on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        kernels = native_kernels(x)
        layers = None if kernels is None else _dense_layers(self)
        if layers is None or not layers.take(x):
            plain: Tensor = super().forward(x)  # type: ignore[no-untyped-call]  # PyTorch's
            return plain
        if layers.flatten is not None:
            x = layers.flatten(x)
        y: Tensor = _Stack.apply(x.contiguous(), kernels, layers.rectified, *layers.parameters)  # type: ignore[no-untyped-call]  # PyTorch's
        return y if layers.unflatten is None else layers.unflatten(y)


def native_kernels(x: Tensor) -> Kernels | None:
    """The native kernels if they can train on x: in float32 on the CPU, where gradients are computed and nothing else listens."""
    plain = (
        torch.is_grad_enabled()
        and x.dtype is torch.float32
        and type(x) in {Tensor, nn.Parameter}
        and x.numel() > 0
        and x.layout is torch.strided
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch._C._get_tracing_state()
        and torch._C._len_torch_dispatch_stack() == 0  # such as of a counter of operations
        and torch._C._functorch.peek_interpreter_stack() is None
        and forward_ad._current_level < 0
    )
    return load() if plain and x.device.type == "cpu" else None


def trains_natively(part: nn.Module) -> bool:
    """Whether the native kernels train encoder or decoder, so that its bits do not depend on the number of threads."""
    return isinstance(part, DenseStack) and load() is not None and _dense_layers(part) is not None


class StackPass:
    """The forward and backward passes of a stack in training, without autograd, in memory that every step uses again.

    Args:
        kernels: what computes.
        layers: of the stack, whose parameters stay where they are as long as this is used.
        rows: how many examples a batch has at most.
        needs_x: whether `backward` gives the slope by the input.
    """

    def __init__(self, kernels: Kernels, layers: _Layers, rows: int, needs_x: bool) -> None:
        weights, biases = layers.parameters[::2], layers.parameters[1::2]
        w, b = ([each.detach() for each in part] for part in (weights, biases))
        self.kernels, self.layers, self.net = kernels, layers, Net(kernels, w, b, layers.rectified, rows, needs_x)
        self.gradients = [
            *zip(weights, self.net.of_weights, strict=True),
            *zip(biases, self.net.of_biases, strict=True),
        ]

    @classmethod
    def of(cls, stack: nn.Module, rows: int, needs_x: bool) -> StackPass | None:
        """Those of a stack, None if the native kernels cannot train it as it is."""
        if not isinstance(stack, DenseStack) or is_heard(stack) or any(map(_is_heard_in, stack.parameters())):
            return None
        layers = _dense_layers(stack)
        kernels = None if layers is None else native_kernels(layers.parameters[0])
        if layers is None or kernels is None or not all(p.requires_grad for p in layers.parameters):
            return None
        return cls(kernels, layers, rows, needs_x)

    def forward(self, x: Tensor) -> Tensor:
        """The outputs (b, *shape) of x, which must not change before `backward`. What does not fit is said by PyTorch."""
        x, weight = x if x.ndim == 2 else x.reshape(len(x), -1), self.layers.parameters[0]
        if x.dtype is not weight.dtype or x.shape[1] != weight.shape[1]:
            F.linear(x, weight)
        y = self.net.forward(x.contiguous())
        return y if self.layers.unflatten is None else self.layers.unflatten(y)

    def backward(self, slope: Tensor) -> Tensor | None:
        """The slope of a loss by x (b, k), None if it was not needed. Parameters then have gradients.

        Args:
            slope: that by the outputs, (b, *shape).
        """
        rows, size = len(self.net.x), self.layers.parameters[-1].shape[0]
        if slope.dtype is not torch.float32 or slope.numel() != rows * size:
            raise ValueError(
                f"a slope of shape {tuple(slope.shape)} in {slope.dtype}: expected ({rows}, {size}) in float32"
            )
        of_x = self.net.backward(slope.contiguous())
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        return of_x


def is_heard(module: nn.Module) -> bool:
    """Whether somebody listens to a module, or has put another forward pass in its place."""
    return "forward" in vars(module) or any(getattr(module, hooks) for hooks in _HOOKS)


def _is_heard_in(parameter: Tensor) -> bool:
    """Whether somebody listens to a gradient."""
    return bool(parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None))


class _Layers(NamedTuple):
    flatten: nn.Module | None
    parameters: list[Tensor]  # weight and bias of each layer
    rectified: bool
    unflatten: nn.Module | None

    def take(self, x: Tensor) -> bool:
        """Whether examples have the right size; PyTorch says it of others."""
        flat = (
            math.prod(x.shape[1:])
            if type(self.flatten) is nn.Flatten and x.ndim > 1
            else x.shape[-1]
            if x.ndim == 2
            else -1
        )
        return flat == self.parameters[0].shape[1]


def _dense_layers(stack: nn.Sequential) -> _Layers | None:
    """The dense layers of a stack if there are no others but ReLU between them, and nobody listens to a single one."""
    parts = list(stack)
    if len(parts) < 3 and not any(type(part) is Dense for part in parts):
        return None
    flatten = parts.pop(0) if type(parts[0]) is nn.Flatten else None
    unflatten = parts.pop() if type(parts[-1]) is nn.Unflatten else None
    dense, between = parts[::2], parts[1::2]
    if torch_module._has_any_global_hook() or any(type(part) is not Dense for part in dense):
        return None
    if len(between) != len(dense) - 1 or any(type(part) is not nn.ReLU for part in between):
        return None
    if any(map(is_heard, parts)):
        return None
    parameters: list[Any] = [*chain.from_iterable((part.weight, part.bias) for part in dense)]
    if not all(
        type(p) in {Tensor, nn.Parameter} and p.dtype is torch.float32 and p.is_contiguous() for p in parameters
    ):
        return None
    if any(p.device.type != "cpu" or p.layout is not torch.strided for p in parameters):
        return None
    weights, biases = parameters[::2], parameters[1::2]
    if any(bias.shape != weight.shape[:1] for weight, bias in zip(weights, biases, strict=True)):
        return None
    if any(after.shape[1] != before.shape[0] for before, after in pairwise(weights)):
        return None
    return _Layers(flatten, parameters, bool(between), unflatten)


class _Stack(torch.autograd.Function):
    """Dense layers with ReLU between them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Kernels, rectified: bool, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[::2], parameters[1::2]
        *hidden, y = kernels.forward(x, weights, biases, rectified)
        ctx.kernels, ctx.rectified = kernels, rectified
        ctx.save_for_backward(x, *parameters, *hidden)
        return y

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Any, ...]:
        x, *saved = ctx.saved_tensors
        count = (len(saved) + 1) // 3
        parameters, hidden = saved[: 2 * count], saved[2 * count :]
        if torch.is_grad_enabled() or torch._C._functorch.is_batchedtensor(
            slope
        ):  # somebody wants more than one derivative
            return _differentiable(x, parameters, slope, ctx)
        of_x, of_weights, of_biases = ctx.kernels.backward(
            slope.contiguous(), x, parameters[::2], hidden, ctx.rectified, ctx.needs_input_grad[0]
        )
        found = chain.from_iterable(zip(of_weights, of_biases, strict=True))
        return (of_x, None, None, *found)


def _differentiable(x: Tensor, parameters: list[Tensor], slope: Tensor, ctx: Any) -> tuple[Any, ...]:
    """The slopes by x and the parameters, by operations that have derivatives. Other uses of the same tensors do not count here."""
    with torch.enable_grad():
        x, *parameters = (tensor.view_as(tensor) for tensor in (x, *parameters))
        y = x
        for i in range(0, len(parameters), 2):
            y = F.linear(F.relu(y) if i and ctx.rectified else y, parameters[i], parameters[i + 1])
    needed = (ctx.needs_input_grad[0], *ctx.needs_input_grad[3:])
    inputs = [p for p, need in zip((x, *parameters), needed, strict=True) if need]
    found = iter(torch.autograd.grad(y, inputs, slope, create_graph=torch.is_grad_enabled()))
    of_x, *of_parameters = (next(found) if need else None for need in needed)
    return (of_x, None, None, *of_parameters)
