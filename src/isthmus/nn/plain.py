"""PyTorch's own layers in place of those of this package, with the same weights: for other programs that read a network."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.nn import invariant_layers
from isthmus.nn.layers import FewChannelConv2d, UpsampleConv2d

__all__ = ["UpsampledConv2d", "make_plain"]


class UpsampledConv2d(nn.Conv2d):
    """Nearest-neighbor upsampling by 2, then a convolution: `UpsampleConv2d` as two operations."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))


_PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    invariant_layers.Dense: nn.Linear,
    invariant_layers.Conv1d: nn.Conv1d,
    invariant_layers.Conv2d: nn.Conv2d,
    invariant_layers.Conv3d: nn.Conv3d,
    invariant_layers.ConvTranspose1d: nn.ConvTranspose1d,
    invariant_layers.ConvTranspose2d: nn.ConvTranspose2d,
    invariant_layers.ConvTranspose3d: nn.ConvTranspose3d,
    FewChannelConv2d: nn.Conv2d,
    UpsampleConv2d: UpsampledConv2d,
}


def make_plain(module: nn.Module) -> None:
    """Replaces the classes of the layers of this package in a module by those of PyTorch. Weights stay; results differ by rounding.

    Args:
        module: is changed.
    """
    for layer in module.modules():
        layer.__class__ = _PLAIN.get(type(layer), type(layer))
