"""Calls the kernels of convolutional nets with tensors, which are contiguous, in float32 and on the CPU.

Images are (b, height, width, channels), weights (outputs, channels, k, k) with an odd k. Features are a multiple of `GROUP`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.native.library import Kernels, check_memory

__all__ = [
    "GROUP",
    "convolution_slopes",
    "pooled_convolution",
    "pooled_convolution_slopes",
    "shuffled_convolution",
    "shuffled_convolution_slopes",
]

GROUP = 8  # features that are computed together


def pooled_convolution(
    kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor, rectified: bool
) -> tuple[Tensor, Tensor]:
    """The largest output of a convolution in each window of 2 x 2, (b, h / 2, w / 2, n), sides rounded up, and which of the four it is.

    Args:
        kernels: what computes.
        x: the images, (b, h, w, c).
        weight: (n, c, k, k), of a convolution that keeps the sides.
        bias: (n,).
        rectified: whether what would be below 0 is 0.
    """
    (rows, h, w, c), (n, _, k, _) = x.shape, weight.shape
    y = x.new_empty(rows, -(-h // 2), -(-w // 2), n)
    places = torch.empty_like(y, dtype=torch.uint8)
    sizes, given = (rows, h, w, c, n, k), (x.data_ptr(), weight.data_ptr(), bias.data_ptr())
    check_memory(
        kernels.library.isthmus_pooled_convolution(
            *sizes, *given, rectified, y.data_ptr(), places.data_ptr(), torch.get_num_threads()
        )
    )
    return y, places


def pooled_convolution_slopes(
    kernels: Kernels, x: Tensor, weight: Tensor, y: Tensor, places: Tensor, slope: Tensor, rectified: bool
) -> tuple[Tensor, Tensor]:
    """The slopes of a loss by weight and bias.

    Args:
        kernels: what computes.
        x: as for `pooled_convolution`.
        weight: likewise.
        y: what it returned.
        places: likewise.
        slope: that by y.
        rectified: as before.
    """
    (rows, h, w, c), (n, _, k, _) = x.shape, weight.shape
    of_weight, of_bias = torch.empty_like(weight), weight.new_empty(n)
    given = (x.data_ptr(), y.data_ptr(), places.data_ptr(), slope.data_ptr())
    check_memory(
        kernels.library.isthmus_pooled_convolution_slopes(
            *(rows, h, w, c, n, k),
            *given,
            rectified,
            of_weight.data_ptr(),
            of_bias.data_ptr(),
            torch.get_num_threads(),
        )
    )
    return of_weight, of_bias


def shuffled_convolution(
    kernels: Kernels, maps: Tensor, weight: Tensor, bias: Tensor, shift: int
) -> tuple[Tensor, Tensor]:
    """Shuffled and rectified maps, (b, 2 h, 2 w, n), and a convolution of them that keeps the sides, (b, 2 h, 2 w, o).

    Args:
        kernels: what computes.
        maps: of even and odd positions, (b, h + shift, w + shift, 2, 2, n).
        weight: (o, n, k, k), with few outputs o.
        bias: (o,).
        shift: how many rows later the maps of odd positions begin.
    """
    (rows, h, w, _, _, n), (o, _, k, _) = maps.shape, weight.shape
    h, w = h - shift, w - shift
    y, out = maps.new_empty(rows, 2 * h, 2 * w, n), maps.new_empty(rows, 2 * h, 2 * w, o)
    check_memory(
        kernels.library.isthmus_shuffled_convolution(
            *(rows, h, w, n, shift, o, k),
            *(maps.data_ptr(), weight.data_ptr(), bias.data_ptr(), y.data_ptr(), out.data_ptr()),
            torch.get_num_threads(),
        )
    )
    return y, out


def shuffled_convolution_slopes(
    kernels: Kernels, weight: Tensor, y: Tensor, slope: Tensor, shift: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The slopes of a loss by maps, weight and bias.

    Args:
        kernels: what computes.
        weight: as for `shuffled_convolution`.
        y: what it returned.
        slope: (b, 2 h, 2 w, o), that by its output.
        shift: as before.
    """
    (rows, height, width, n), (o, _, k, _) = y.shape, weight.shape
    h, w = height // 2, width // 2
    of_maps = y.new_empty(rows, h + shift, w + shift, 2, 2, n)
    of_weight, of_bias = torch.empty_like(weight), weight.new_empty(o)
    check_memory(
        kernels.library.isthmus_shuffled_convolution_slopes(
            *(rows, h, w, n, shift, o, k),
            *(weight.data_ptr(), y.data_ptr(), slope.data_ptr()),
            *(of_maps.data_ptr(), of_weight.data_ptr(), of_bias.data_ptr()),
            torch.get_num_threads(),
        )
    )
    return of_maps, of_weight, of_bias


def convolution_slopes(
    kernels: Kernels, x: Tensor, weight: Tensor, slope: Tensor, padding: int
) -> tuple[Tensor, Tensor]:
    """The slopes of a loss by weight and bias of a convolution of stride 1, of any number of features and with any k.

    Args:
        kernels: what computes.
        x: the images, (b, h, w, c).
        weight: (n, c, k, k).
        slope: (b, h + 2 padding - k + 1, w + 2 padding - k + 1, n), that by the convolution's output.
        padding: the zeros on each side.
    """
    (rows, h, w, c), (n, _, k, _) = x.shape, weight.shape
    of_weight, of_bias = torch.empty_like(weight, memory_format=torch.contiguous_format), weight.new_empty(n)
    check_memory(
        kernels.library.isthmus_convolution_slopes(
            *(rows, h, w, c, n, k, padding),
            *(x.data_ptr(), slope.data_ptr(), of_weight.data_ptr(), of_bias.data_ptr()),
            torch.get_num_threads(),
        )
    )
    return of_weight, of_bias
