"""Batch-invariant products and convolutions: at inference, the result of an example is bit-identical in every batch.

Libraries compute the first and last rows of a batch with other instructions than the rest, on some processors also rows at other
addresses. Each product is therefore tested once for its shapes and memory layouts. If the bits of a row depend on its position, rows
are computed one by one, each in its own memory. Training has fixed batches and does not need this.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

__all__ = ["batch_invariant", "dense"]

_SMALL_WEIGHT = 2**14  # elements; up to this size, an elementwise product and a sum are faster than row by row
_CACHE_LINE = 64  # bytes; PyTorch allocates memory at multiples of this
_KNOWN: dict[Hashable, bool] = {}  # whether a product is invariant, by its shapes, memory layouts and settings


class Layout(NamedTuple):
    """The shape and memory layout of a tensor, which determine the instructions that compute with it."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    offset: int  # bytes after a multiple of 64

    @classmethod
    def of(cls, x: Tensor) -> Layout:
        return cls(tuple(x.shape), x.stride(), x.dtype, x.data_ptr() % _CACHE_LINE)

    @property
    def extent(self) -> int:
        """The number of elements in memory from the first to the last."""
        return 1 + sum((side - 1) * step for side, step in zip(self.shape, self.stride, strict=True))

    def random_tensor(self, generator: Generator, device: torch.device) -> Tensor:
        """A tensor of random numbers with this layout."""
        begin = self.offset // self.dtype.itemsize
        view = torch.empty(begin + self.extent, dtype=self.dtype, device=device)
        values = torch.randn(self.shape, generator=generator, dtype=self.dtype)
        return view.as_strided(self.shape, self.stride, begin).copy_(values)


def batch_invariant(
    product: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any
) -> Tensor:
    """product(x, weight, bias, *settings) of rows x (b, ...). In inference mode the bits of a row do not depend on its position."""
    if not torch.is_inference_mode_enabled() or x.shape[0] == 1:
        return product(x, weight, bias, *settings)
    x, weight, bias = _aligned(x), _aligned(weight), None if bias is None else _aligned(bias)
    if _is_invariant(product, settings, x, weight, bias):
        return product(x, weight, bias, *settings)
    return _row_by_row(product, x, weight, bias, *settings)


def dense(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A dense layer: x (b, ..., k), weight (n, k), bias (n,) -> (b, ..., n). In inference mode it is batch-invariant."""
    if not torch.is_inference_mode_enabled():
        return F.linear(x, weight, bias)
    # a copy of a model has weights at other addresses, and must give the same bits
    weight, bias = _aligned(weight), None if bias is None else _aligned(bias)
    if x.shape[0] == 1:
        return F.linear(x, weight, bias)
    aligned = _aligned(x)
    if _is_invariant(F.linear, (), aligned, weight, bias):
        return F.linear(aligned, weight, bias)
    if x.ndim > 2 or weight.numel() > _SMALL_WEIGHT:
        return _row_by_row(F.linear, aligned, weight, bias)
    y = (x[:, None] * weight).sum(-1)
    return y if bias is None else y + bias


def _row_by_row(product: Callable[..., Tensor], x: Tensor, *parameters: Any) -> Tensor:
    """The product of each row, in memory of its own."""
    return torch.cat([product(row.clone(), *parameters) for row in x.split(1)])


def _aligned(x: Tensor) -> Tensor:
    """The same values contiguous and aligned to a cache line, so that every call has the same layout."""
    if x.data_ptr() % _CACHE_LINE == 0 and (x.is_contiguous() or Layout.of(x).extent == x.numel()):
        return x
    return x.clone()


def _is_invariant(
    product: Callable[..., Tensor], settings: tuple[Any, ...], x: Tensor, weight: Tensor, bias: Tensor | None
) -> bool:
    """Whether a product of aligned tensors is invariant. `_measure_invariance` is called once for each layout."""
    # the precision setting chooses the library, see isthmus.nn.device
    library = getattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision", "")
    shapes = x.shape, x.stride(), weight.shape, weight.stride(), x.dtype, bias is None
    key = (product, settings, shapes, x.device, torch.get_num_threads(), library)
    known = _KNOWN.get(key)
    if known is None:
        layouts = Layout.of(x), Layout.of(weight), None if bias is None else Layout.of(bias)
        known = _KNOWN[key] = _measure_invariance(product, settings, *layouts, x.device)
    return known


def _measure_invariance(
    product: Callable[..., Tensor],
    settings: tuple[Any, ...],
    rows: Layout,
    weights: Layout,
    biases: Layout | None,
    device: torch.device,
) -> bool:
    """Whether a product with these layouts gives each row the same bits at other positions, tested with random numbers."""
    generator = Generator().manual_seed(0)
    x, moved, weight = (layout.random_tensor(generator, device) for layout in (rows, rows, weights))
    bias = None if biases is None else biases.random_tensor(generator, device)
    expected = product(x, weight, bias, *settings)
    return all(
        torch.equal(product(moved.copy_(x.roll(shift, 0)), weight, bias, *settings), expected.roll(shift, 0))
        for shift in {1, 3, len(x) // 2}
    )
