"""Whether kernels compute what PyTorch does: a library that does not is not used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from isthmus.native.library import Kernels

__all__ = ["is_right"]


def is_right(kernels: Kernels) -> bool:
    """Whether kernels compute what PyTorch does, for layers of some sizes."""
    generator = torch.Generator("cpu").manual_seed(0)
    with torch.no_grad(), torch.device("cpu"), torch.autocast("cpu", enabled=False):
        x, first, last, a, b = (
            torch.empty(shape, dtype=torch.float32).uniform_(-1, 1, generator=generator)
            for shape in ((17, 37), (41, 37), (37, 41), (41,), (37,))
        )
        hidden, y = kernels.forward(x, [first, last], [a, b], True)
        right = torch.relu(torch.addmm(a, x, first.T))
        nll, slope = kernels.cross_entropy(y, x)
        of_x, of_weights, of_biases = kernels.backward(slope, x, [first, last], [hidden], True, True)
        of_hidden = (slope @ last) * (right > 0)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(y, x, reduction="none").sum(1)
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
        return all(torch.allclose(f, e, 1e-4, 1e-4) for f, e in zip(found, expected, strict=True) if f is not None)


def _adam(weight: Tensor, mean: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """The third step of Adam by PyTorch, and the mean of squares after it."""
    mean, square = 0.9 * mean + 0.1 * slope, 0.99 * weight.abs() + 0.01 * slope.square()
    moved = 0.99 * weight - 0.1 / (1 - 0.9**3) * mean / ((square / (1 - 0.99**3)).sqrt() + 1e-3)
    return moved, square


def _normal(mean: Tensor, log_variance: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normal codes by PyTorch, as `Kernels.normal_codes` gives them."""
    deviation = torch.exp(0.5 * log_variance)
    return mean + deviation * noise, deviation, 0.5 * (mean**2 + deviation**2 - log_variance - 1).sum(1)
