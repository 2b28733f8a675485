"""Calls the kernels of a library with tensors. Their threads are those of PyTorch, whose OpenMP library they use."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["Kernels", "addresses", "check_memory"]

_VERSION = 4  # of kernels.c
_SIZE, _ADDRESS, _INT, _FLOAT, _DOUBLE = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int, ctypes.c_float, ctypes.c_double
_ARGUMENTS = {
    "isthmus_forward": [_SIZE, _INT, _ADDRESS, _ADDRESS, _ADDRESS, _INT, _ADDRESS, _ADDRESS, _INT],
    "isthmus_backward": [_SIZE, _INT, *[_ADDRESS] * 2, _INT, *[_ADDRESS] * 6, _INT],
    "isthmus_cross_entropy": [_SIZE, _SIZE, _ADDRESS, _ADDRESS, _FLOAT, _ADDRESS, _ADDRESS, _INT],
    "isthmus_normal": [*[_SIZE] * 2, *[_ADDRESS] * 2, _FLOAT, *[_ADDRESS] * 3, *[_FLOAT] * 2, *[_ADDRESS] * 2, _INT],
    "isthmus_scale_rows": [_SIZE, _SIZE, *[_ADDRESS] * 3, _INT],
    "isthmus_pooled_convolution": [*[_SIZE] * 6, *[_ADDRESS] * 3, _INT, *[_ADDRESS] * 2, _INT],
    "isthmus_pooled_convolution_slopes": [*[_SIZE] * 6, *[_ADDRESS] * 4, _INT, *[_ADDRESS] * 2, _INT],
    "isthmus_shuffled_convolution": [*[_SIZE] * 7, *[_ADDRESS] * 5, _INT],
    "isthmus_shuffled_convolution_slopes": [*[_SIZE] * 7, *[_ADDRESS] * 6, _INT],
    "isthmus_convolution_slopes": [*[_SIZE] * 7, *[_ADDRESS] * 4, _INT],
    "isthmus_normal_codes": [_SIZE, _SIZE, *[_ADDRESS] * 5, _INT],
    "isthmus_normal_slopes": [_SIZE, _SIZE, *[_ADDRESS] * 4, _FLOAT, _ADDRESS, _INT],
    "isthmus_adam": [_INT, *[_ADDRESS] * 6, *[_DOUBLE] * 6, _INT],
}


class Kernels:
    """The functions of a library. Tensors must be contiguous, in float32, and on the CPU.

    Args:
        path: of the library.

    Attributes:
        name: of the kind of processor it is for, such as "avx2".

    Raises:
        OSError: it cannot be loaded, or is of another version.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem.removeprefix("kernels_")
        self.library = ctypes.CDLL(str(path))
        if not hasattr(self.library, "isthmus_kernels_version") or self.library.isthmus_kernels_version() != _VERSION:
            raise OSError(f"{path} is of another version of isthmus")
        for function, arguments in _ARGUMENTS.items():
            getattr(self.library, function).argtypes = arguments

    def forward(
        self, x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], rectified: bool
    ) -> tuple[Tensor, ...]:
        """The outputs (b, n) of dense layers one after the other, of x (b, k). All but the last are rectified if so wanted.

        Args:
            x: (b, k).
            weights: (n, k) of each layer.
            biases: (n,) of each layer.
            rectified: whether max(0, output) is the input of the next layer.
        """
        rows = x.shape[0]
        outputs = [x.new_empty(rows, weight.shape[0]) for weight in weights]
        sizes = (_SIZE * (len(weights) + 1))(x.shape[1], *[weight.shape[0] for weight in weights])
        failed = self.library.isthmus_forward(
            rows,
            len(weights),
            sizes,
            addresses(weights),
            addresses(biases),
            rectified,
            x.data_ptr(),
            addresses(outputs),
            torch.get_num_threads(),
        )
        check_memory(failed)
        return tuple(outputs)

    def backward(
        self,
        slope: Tensor,
        x: Tensor,
        weights: Sequence[Tensor],
        outputs: Sequence[Tensor],
        rectified: bool,
        needs_x: bool,
    ) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
        """The slopes of a loss by x, by each weight and by each bias.

        Args:
            slope: (b, n), the slope by the last output.
            x: (b, k), the input of `forward`.
            weights: (n, k) of each layer.
            outputs: (b, n) of each layer but the last.
            rectified: as in `forward`.
            needs_x: whether the slope by x is computed; None otherwise.
        """
        rows, count = x.shape[0], len(weights)
        sizes = (_SIZE * (count + 1))(x.shape[1], *[weight.shape[0] for weight in weights])
        slopes = [*(torch.empty_like(output) for output in outputs), slope]
        of_weights = [torch.empty_like(weight) for weight in weights]
        of_biases = [weight.new_empty(weight.shape[0]) for weight in weights]
        of_x = torch.empty_like(x) if needs_x else None
        failed = self.library.isthmus_backward(
            rows,
            count,
            sizes,
            addresses(weights),
            rectified,
            x.data_ptr(),
            addresses(outputs),
            addresses(slopes),
            addresses(of_weights),
            addresses(of_biases),
            None if of_x is None else of_x.data_ptr(),
            torch.get_num_threads(),
        )
        check_memory(failed)
        return of_x, of_weights, of_biases

    def cross_entropy(self, y: Tensor, x: Tensor, factor: float = 1.0) -> tuple[Tensor, Tensor]:
        """The cross-entropy of logits y and targets x, both (b, ...), summed over each example: (b,), and its slope by y (b, ...).

        Args:
            y: the logits.
            x: the targets.
            factor: on the slope.
        """
        nll, slope, rows = y.new_empty(y.shape[0]), torch.empty_like(y), y.shape[0]
        self.library.isthmus_cross_entropy(
            rows,
            y.numel() // max(rows, 1),
            y.data_ptr(),
            x.data_ptr(),
            factor,
            slope.data_ptr(),
            nll.data_ptr(),
            torch.get_num_threads(),
        )
        return nll, slope

    def normal(
        self,
        y: Tensor,
        x: Tensor,
        log_scale: Tensor,
        running: tuple[Tensor, Tensor] | None,
        kept: float,
        least: float,
        factor: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """-log of the normal density of x around y, both (b, ...), summed over each example: (b,), and its slope by y (b, ...).

        Args:
            y: the means.
            x: the values.
            log_scale: the logarithm of the standard deviation of all, (). With ``running`` it changes before it is used.
            running: the sum of squared errors and their number, (), which change too.
            kept: what remains of both.
            least: what the standard deviation is at least.
            factor: on the slope.
        """
        nll, slope, rows = y.new_empty(y.shape[0]), torch.empty_like(y), y.shape[0]
        self.library.isthmus_normal(
            rows,
            y.numel() // max(rows, 1),
            y.data_ptr(),
            x.data_ptr(),
            factor,
            log_scale.data_ptr(),
            *((None, None) if running is None else (each.data_ptr() for each in running)),
            kept,
            least,
            slope.data_ptr(),
            nll.data_ptr(),
            torch.get_num_threads(),
        )
        return nll, slope

    def scale_rows(self, slope: Tensor, factors: Tensor) -> Tensor:
        """Each row of slope (b, ...) times its factor (b,).

        Args:
            slope: the rows.
            factors: one for each row.
        """
        to, rows = torch.empty_like(slope), slope.shape[0]
        self.library.isthmus_scale_rows(
            rows,
            slope.numel() // max(rows, 1),
            slope.data_ptr(),
            factors.data_ptr(),
            to.data_ptr(),
            torch.get_num_threads(),
        )
        return to

    def normal_codes(self, h: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normal codes (b, n), their standard deviations (b, n), and the divergence of each example from N(0, 1) in nats, (b,).

        Args:
            h: (b, 2 n), means and then logarithms of variances.
            noise: (b, n), of N(0, 1).
        """
        z, deviation, divergence = torch.empty_like(noise), torch.empty_like(noise), h.new_empty(len(h))
        self.library.isthmus_normal_codes(
            *noise.shape,
            h.data_ptr(),
            noise.data_ptr(),
            z.data_ptr(),
            deviation.data_ptr(),
            divergence.data_ptr(),
            torch.get_num_threads(),
        )
        return z, deviation, divergence

    def normal_slopes(self, h: Tensor, noise: Tensor, deviation: Tensor, of_z: Tensor, factor: float) -> Tensor:
        """The slope by h (b, 2 n) of a loss, from that by the codes.

        Args:
            h: as for `normal_codes`.
            noise: likewise.
            deviation: what it returned.
            of_z: (b, n), the slope by the codes.
            factor: of the divergences in the loss.
        """
        of_h = torch.empty_like(h)
        self.library.isthmus_normal_slopes(
            *noise.shape,
            h.data_ptr(),
            noise.data_ptr(),
            deviation.data_ptr(),
            of_z.data_ptr(),
            factor,
            of_h.data_ptr(),
            torch.get_num_threads(),
        )
        return of_h

    def adam(
        self,
        weights: Sequence[Tensor],
        slopes: Sequence[Tensor],
        means: Sequence[Tensor] | None,
        squares: Sequence[Tensor],
        steps: Sequence[Tensor],
        rate: float,
        shares: tuple[float, float],
        eps: float,
        decay: float = 0.0,
        least: float = 0.0,
    ) -> None:
        """A step of Adam in place (Kingma & Ba 2015), or of RMSprop.

        Args:
            weights: the tensors to change.
            slopes: of the loss by each of them.
            means: the running means of the slopes, which change; None for RMSprop.
            squares: the running means of their squares, which change.
            steps: how many each has seen, (); they are raised by 1.
            rate: the learning rate.
            shares: what remains of means and of squares.
            eps: is added to the roots of squares.
            decay: of the weights, decoupled (Loshchilov & Hutter 2019).
            least: what squares are at least, for RMSprop.
        """
        self.library.isthmus_adam(
            len(weights),
            (_SIZE * len(weights))(*[weight.numel() for weight in weights]),
            addresses(weights),
            addresses(slopes),
            None if means is None else addresses(means),
            addresses(squares),
            addresses(steps),
            rate,
            *shares,
            eps,
            decay,
            least,
            torch.get_num_threads(),
        )


def addresses(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (_ADDRESS * len(tensors))(*[tensor.data_ptr() for tensor in tensors])


def check_memory(failed: int) -> None:
    if failed:
        raise MemoryError("there is no memory for a matrix product: use a smaller batch or smaller layers")
