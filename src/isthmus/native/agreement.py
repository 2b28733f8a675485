"""Whether kernels compute what PyTorch does: a library that does not is not used."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from isthmus.native import convolutions
from isthmus.native.library import Kernels

__all__ = ["is_right"]


def is_right(kernels: Kernels) -> bool:
    """Whether kernels compute what PyTorch does, for sizes that are not round."""
    generator = torch.Generator("cpu").manual_seed(0)
    with torch.no_grad(), torch.device("cpu"), torch.autocast("cpu", enabled=False):
        x, first, last, a, b = _drawn(generator, (17, 37), (41, 37), (37, 41), (41,), (37,))
        hidden, y = kernels.forward(x, [first, last], [a, b], True)
        right = torch.relu(torch.addmm(a, x, first.T))
        nll, slope = kernels.cross_entropy(y, x)
        of_x, of_weights, of_biases = kernels.backward(slope, x, [first, last], [hidden], True, True)
        of_hidden = (slope @ last) * (right > 0)
        losses = F.binary_cross_entropy_with_logits(y, x, reduction="none").sum(1)
        weight, mean, square, steps = a.clone(), b[:1].expand(41).clone(), a.abs(), torch.full((), 2.0)
        kernels.adam([weight], [of_biases[0]], [mean], [square], [steps], 0.1, (0.9, 0.99), 1e-3, 0.1)
        z, deviation, divergence = kernels.normal_codes(y[:, :36].contiguous(), noise := hidden[:, :18].contiguous())
        found = (hidden, y, nll, slope, of_x, *of_weights, *of_biases, weight, square, z, deviation, divergence)
        expected = (
            *(right, torch.addmm(b, right, last.T), losses, torch.sigmoid(y) - x, of_hidden @ first),
            *(of_hidden.T @ x, slope.T @ right, of_hidden.sum(0), slope.sum(0)),
            *_adam(a, b[0], of_hidden.sum(0)),
            *_normal(y[:, :18], y[:, 18:36], noise),
        )
        pairs = [*zip(found, expected, strict=True), *_errors(kernels, y, x), *_convolved(kernels, generator)]
        pairs += [*_pooled(kernels, generator), *_shuffled(kernels, generator)]
        return all(torch.allclose(f, e, 1e-4, 1e-4) for f, e in pairs if f is not None)


def _adam(weight: Tensor, mean: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """The third step of Adam by PyTorch, and the mean of squares after it."""
    mean, square = 0.9 * mean + 0.1 * slope, 0.99 * weight.abs() + 0.01 * slope.square()
    moved = 0.99 * weight - 0.1 / (1 - 0.9**3) * mean / ((square / (1 - 0.99**3)).sqrt() + 1e-3)
    return moved, square


def _normal(mean: Tensor, log_variance: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normal codes by PyTorch, as `Kernels.normal_codes` gives them."""
    deviation = torch.exp(0.5 * log_variance)
    return mean + deviation * noise, deviation, 0.5 * (mean**2 + deviation**2 - log_variance - 1).sum(1)


def _errors(kernels: Kernels, y: Tensor, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What the kernels make of normal errors, with a running scale, and what PyTorch does."""
    log_scale, squares, count = (torch.full((), value) for value in (0.5, 2.0, 3.0))
    found = kernels.normal(y, x, log_scale, (squares, count), 0.5, 1e-3, 0.25)
    variance = (1 + (x - y).square().sum()) / (1.5 + x.numel())
    costs = 0.5 * ((x - y).square() / variance + torch.log(2 * torch.pi * variance))
    expected = (costs.sum(1), 0.25 * (y - x) / variance, 0.5 * variance.log(), 1.5 + x.numel())
    of = [torch.as_tensor(each, dtype=torch.float32) for each in expected]
    return [*zip((*found, log_scale, count), of, strict=True)]


def _convolved(kernels: Kernels, generator: Generator) -> list[tuple[Tensor, Tensor]]:
    """What the kernels make of the slopes of a convolution, and what PyTorch does."""
    x, slope, weight, bias = _drawn(generator, (3, 9, 8, 5), (3, 8, 7, 19), (19, 5, 2, 2), (19,))
    found = convolutions.convolution_slopes(kernels, x, weight, slope, 0)
    with torch.enable_grad():
        weight, bias = weight.requires_grad_(), bias.requires_grad_()
        total = (F.conv2d(x.movedim(-1, 1), weight, bias).movedim(1, -1) * slope).sum()
    return [*zip(found, torch.autograd.grad(total, (weight, bias)), strict=True)]


def _pooled(kernels: Kernels, generator: Generator) -> list[tuple[Tensor, Tensor]]:
    """What the kernels make of a pooled convolution, and what PyTorch does."""
    x, weight, bias = _drawn(generator, (3, 9, 8, 2), (16, 2, 3, 3), (16,))
    y, places = convolutions.pooled_convolution(kernels, x, weight, bias, True)
    found = convolutions.pooled_convolution_slopes(kernels, x, weight, y, places, y, True)
    with torch.enable_grad():
        weight, bias = weight.requires_grad_(), bias.requires_grad_()
        pooled = F.max_pool2d(F.conv2d(x.movedim(-1, 1), weight, bias, padding=1), 2, ceil_mode=True).movedim(1, -1)
        expected = F.relu(pooled)
        total = (expected * y).sum()  # a scalar: for slopes of others PyTorch imports sympy
    slopes = torch.autograd.grad(total, (weight, bias))
    return [(y, expected), *zip(found, slopes, strict=True)]


def _shuffled(kernels: Kernels, generator: Generator) -> list[tuple[Tensor, Tensor]]:
    """The same of shuffled maps and their convolution, without a shift."""
    maps, weight, bias = _drawn(generator, (3, 4, 5, 2, 2, 24), (2, 24, 3, 3), (2,))
    y, out = convolutions.shuffled_convolution(kernels, maps, weight, bias, 0)
    found = convolutions.shuffled_convolution_slopes(kernels, weight, y, out, 0)
    with torch.enable_grad():
        maps, weight, bias = maps.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()
        shuffled = F.relu(maps.permute(0, 5, 1, 3, 2, 4).reshape(3, 24, 8, 10))
        expected = F.conv2d(shuffled, weight, bias, padding=1).movedim(1, -1)
        total = (expected * out).sum()
    slopes = torch.autograd.grad(total, (maps, weight, bias))
    return [(out, expected), *zip(found, slopes, strict=True)]


def _drawn(generator: Generator, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.empty(shape, dtype=torch.float32).uniform_(-1, 1, generator=generator) for shape in shapes)
