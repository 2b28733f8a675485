"""PyTorch's layers, but that in use an example gets the same bits wherever in a batch it stands (`isthmus.nn.invariant`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.nn.invariant import dense, placeless

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Dense",
    "placeless_layers",
]


class Dense(nn.Linear):
    """A dense layer which, when it is used, gives a row the same bits wherever in a batch it stands."""

    def forward(self, x: Tensor) -> Tensor:
        return dense(x, self.weight, self.bias)


class _Convolution(nn.modules.conv._ConvNd):
    """A convolution which, when it is used, gives an example the same bits wherever in a batch it stands."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        product, padding = _CONVOLUTIONS[weight.ndim - 2], self.padding
        if self.padding_mode != "zeros":
            x, padding = (
                F.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode),
                (0,) * (weight.ndim - 2),
            )
        if x.ndim < weight.ndim:  # one example without a batch
            return product(x, weight, bias, self.stride, padding, self.dilation, self.groups)
        return placeless(product, x, weight, bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Convolution, nn.Conv1d):
    """`_Convolution` of lines."""


class Conv2d(_Convolution, nn.Conv2d):
    """`_Convolution` of pictures."""


class Conv3d(_Convolution, nn.Conv3d):
    """`_Convolution` of volumes."""


class _Transposed(nn.modules.conv._ConvTransposeNd):
    """A transposed convolution which, when it is used, gives an example the same bits wherever in a batch it stands."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        dims = self.weight.ndim - 2
        sizes: Any = (
            output_size,
            self.stride,
            self.padding,
            self.kernel_size,
            dims,
            self.dilation,
        )  # as PyTorch calls it
        over = tuple(self._output_padding(x, *sizes))
        product, settings = _TRANSPOSED[dims], (self.stride, self.padding, over, self.groups, self.dilation)
        if x.ndim < self.weight.ndim:
            return product(x, self.weight, self.bias, *settings)
        return placeless(product, x, self.weight, self.bias, *settings)


class ConvTranspose1d(_Transposed, nn.ConvTranspose1d):
    """`_Transposed` of lines."""


class ConvTranspose2d(_Transposed, nn.ConvTranspose2d):
    """`_Transposed` of pictures."""


class ConvTranspose3d(_Transposed, nn.ConvTranspose3d):
    """`_Transposed` of volumes."""


_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_OURS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: Dense,
    **{getattr(nn, kind.__name__): kind for kind in (Conv1d, Conv2d, Conv3d)},
    **{getattr(nn, kind.__name__): kind for kind in (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)},
}


def placeless_layers(module: nn.Module) -> None:
    """Makes PyTorch's layers within a module those of this one, which compute the same and hold the same weights."""
    for layer in module.modules():
        layer.__class__ = _OURS.get(type(layer), type(layer))
