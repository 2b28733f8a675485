"""PyTorch's dense and convolutional layers with batch-invariant results at inference (`isthmus.nn.invariant`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.nn.invariant import batch_invariant, dense

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Dense",
    "make_batch_invariant",
]


class Dense(nn.Linear):
    """A dense layer that is batch-invariant at inference."""

    def forward(self, x: Tensor) -> Tensor:
        return dense(x, self.weight, self.bias)


class _Convolution(nn.modules.conv._ConvNd):
    """A convolution that is batch-invariant at inference."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        product, padding = _CONVOLUTIONS[weight.ndim - 2], self.padding
        if self.padding_mode != "zeros":
            x, padding = (
                F.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode),
                (0,) * (weight.ndim - 2),
            )
        if x.ndim < weight.ndim:  # one example without a batch axis
            return product(x, weight, bias, self.stride, padding, self.dilation, self.groups)
        return batch_invariant(product, x, weight, bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Convolution, nn.Conv1d):
    """`_Convolution` in one dimension."""


class Conv2d(_Convolution, nn.Conv2d):
    """`_Convolution` in two dimensions."""


class Conv3d(_Convolution, nn.Conv3d):
    """`_Convolution` in three dimensions."""


class _Transposed(nn.modules.conv._ConvTransposeNd):
    """A transposed convolution that is batch-invariant at inference."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        dims = self.weight.ndim - 2
        sizes: Any = (output_size, self.stride, self.padding, self.kernel_size, dims, self.dilation)
        output_padding = tuple(self._output_padding(x, *sizes))
        product, settings = _TRANSPOSED[dims], (self.stride, self.padding, output_padding, self.groups, self.dilation)
        if x.ndim < self.weight.ndim:
            return product(x, self.weight, self.bias, *settings)
        return batch_invariant(product, x, self.weight, self.bias, *settings)


class ConvTranspose1d(_Transposed, nn.ConvTranspose1d):
    """`_Transposed` in one dimension."""


class ConvTranspose2d(_Transposed, nn.ConvTranspose2d):
    """`_Transposed` in two dimensions."""


class ConvTranspose3d(_Transposed, nn.ConvTranspose3d):
    """`_Transposed` in three dimensions."""


_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_REPLACEMENTS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: Dense,
    **{getattr(nn, kind.__name__): kind for kind in (Conv1d, Conv2d, Conv3d)},
    **{getattr(nn, kind.__name__): kind for kind in (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)},
}


def make_batch_invariant(module: nn.Module) -> None:
    """Replaces the classes of PyTorch's layers in a module by those of this file. Weights and results stay the same."""
    for layer in module.modules():
        layer.__class__ = _REPLACEMENTS.get(type(layer), type(layer))
