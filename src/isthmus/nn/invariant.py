"""Products and convolutions that, in use, give an example the same bits wherever in a batch it stands.

Libraries compute the first and the last rows of a batch by other instructions, and on some processors also rows at other addresses.
So each product is tried once for its sizes and its order in memory. Where a row's bits depend on its place, rows are computed one by
one, each in memory of its own. Training, which keeps its batches, is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

__all__ = ["dense", "placeless"]

_SMALL = 2**14  # weights whose products with a batch of rows are cheaper number by number than row by row
_LINE = 64  # bytes: PyTorch's own memory begins at multiples


class Layout(NamedTuple):
    """How a tensor lies in memory: with the sizes all that decides by which instructions it is computed with."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    offset: int  # bytes from a multiple of 64

    @classmethod
    def of(cls, x: Tensor) -> Layout:
        return cls(tuple(x.shape), x.stride(), x.dtype, x.data_ptr() % _LINE)

    @property
    def extent(self) -> int:
        """How many numbers from the first to the last."""
        return 1 + sum((side - 1) * step for side, step in zip(self.shape, self.stride, strict=True))

    def drawn(self, generator: Generator, device: torch.device) -> Tensor:
        """Random numbers that lie so."""
        begin = self.offset // self.dtype.itemsize
        view = torch.empty(begin + self.extent, dtype=self.dtype, device=device)
        values = torch.randn(self.shape, generator=generator, dtype=self.dtype)
        return view.as_strided(self.shape, self.stride, begin).copy_(values)


def placeless(product: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
    """product(x, weight, bias, *settings) of rows x (b, ...). In inference mode a row's bits do not depend on where it stands."""
    if not torch.is_inference_mode_enabled() or len(x) == 1:
        return product(x, weight, bias, *settings)
    x, weight, bias = _whole(x), _whole(weight), None if bias is None else _whole(bias)
    if _steady(product, settings, x, weight, bias):
        return product(x, weight, bias, *settings)
    return torch.cat([product(row.clone(), weight, bias, *settings) for row in x.split(1)])


def dense(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Rows (b, ..., k) times weights (n, k), and a bias (n,). In inference mode a row's bits do not depend on where it stands."""
    if torch.is_inference_mode_enabled():  # a copy of a model, whose weights lie elsewhere, gives the same bits
        weight, bias = _whole(weight), None if bias is None else _whole(bias)
    small = torch.is_inference_mode_enabled() and x.ndim == 2 and len(x) > 1 and weight.numel() <= _SMALL
    if small and not _steady(F.linear, (), _whole(x), weight, bias):
        y = (x[:, None] * weight).sum(-1)
        return y if bias is None else y + bias
    return placeless(F.linear, x, weight, bias)


def _whole(x: Tensor) -> Tensor:
    """The same numbers without gaps, from the beginning of a line of memory on: what another call would find."""
    layout = Layout.of(x)
    return x if layout.offset == 0 and layout.extent == x.numel() else x.clone()


def _steady(product: Callable[..., Tensor], settings: Hashable, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    library = getattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision", "")  # see isthmus.nn.device
    layouts = Layout.of(x), Layout.of(weight), None if bias is None else Layout.of(bias)
    return _tried(product, settings, *layouts, x.device, torch.get_num_threads(), library)


@cache
def _tried(
    product: Callable[..., Tensor],
    settings: tuple[Any, ...],
    rows: Layout,
    weights: Layout,
    biases: Layout | None,
    device: torch.device,
    *_: Any,
) -> bool:
    """Whether such a product gives a row the same bits in other places."""
    generator = Generator().manual_seed(0)
    x, moved, weight = (layout.drawn(generator, device) for layout in (rows, rows, weights))
    bias = None if biases is None else biases.drawn(generator, device)
    there = product(x, weight, bias, *settings)
    return all(
        torch.equal(product(moved.copy_(x.roll(by, 0)), weight, bias, *settings), there.roll(by, 0))
        for by in {1, 3, len(x) // 2}
    )
