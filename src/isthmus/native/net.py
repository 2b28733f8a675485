"""Dense layers in training: their forward and backward passes, in memory that every step uses again."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from isthmus.native.library import Kernels, addresses, check_memory

__all__ = ["Net"]


class Net:
    """Dense layers one after the other. What it computes stays until the next call of the same method.

    Args:
        kernels: what computes.
        weights: (n, k) of each layer. Their memory must stay theirs, and they must be as `Kernels` demands.
        biases: (n,) of each layer, likewise.
        rectified: whether all outputs but the last are rectified.
        rows: how many examples a batch has at most.
        needs_x: whether `backward` gives the slope by x.

    Attributes:
        of_weights: the slopes of a loss by the weights, which `backward` sets.
        of_biases: those by the biases.
    """

    def __init__(
        self,
        kernels: Kernels,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        rectified: bool,
        rows: int,
        needs_x: bool,
    ) -> None:
        self.library, self.rows = kernels.library, rows
        self.of_weights, self.of_biases = ([torch.empty_like(each) for each in part] for part in (weights, biases))
        outputs, slopes = ([weights[0].new_empty(rows, len(weight)) for weight in weights] for _ in range(2))
        self.x, self.y = outputs[0], outputs[-1]
        self.of_x = weights[0].new_empty(rows, weights[0].shape[1]) if needs_x else None
        self.held = (*weights, *biases, *outputs, *slopes)  # whose addresses are below
        sizes = (ctypes.c_int64 * (len(weights) + 1))(weights[0].shape[1], *[len(weight) for weight in weights])
        self.layers = (len(weights), sizes, addresses(weights))
        self.biases, self.rectified, self.outputs = addresses(biases), int(rectified), addresses(outputs)
        self.slopes = addresses(slopes)
        self.found = (
            addresses(self.of_weights),
            addresses(self.of_biases),
            None if self.of_x is None else self.of_x.data_ptr(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The outputs (b, n) of x (b, k), contiguous, which must not change before `backward`."""
        rows, self.x = len(x), x
        check_memory(
            self.library.isthmus_forward(
                rows, *self.layers, self.biases, self.rectified, x.data_ptr(), self.outputs, torch.get_num_threads()
            )
        )
        return self.y if rows == self.rows else self.y[:rows]

    def backward(self, slope: Tensor) -> Tensor | None:
        """The slope by x (b, k), None if it was not needed. The slopes by weights and biases are in `of_weights` and `of_biases`.

        Args:
            slope: (b, n), contiguous, that by the last output.
        """
        rows = len(slope)
        self.slopes[self.layers[0] - 1] = slope.data_ptr()
        check_memory(
            self.library.isthmus_backward(
                rows,
                *self.layers,
                self.rectified,
                self.x.data_ptr(),
                self.outputs,
                self.slopes,
                *self.found,
                torch.get_num_threads(),
            )
        )
        return self.of_x if self.of_x is None or rows == self.rows else self.of_x[:rows]
