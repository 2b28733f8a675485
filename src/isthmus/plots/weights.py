# ruff: noqa: ARG001  (every picture takes ae, X and y, so that one command draws any of them)
"""What the encoder looks at first."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from isthmus.errors import NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.plots.grids import ImageShape, as_pictures, first, grid, pictured

__all__ = ["filters"]


@takes_autoencoder
def filters(ae: Autoencoder, X: Any = None, y: Any = None, *, n: int = 64, image_shape: ImageShape = None) -> Figure:
    """The first n filters of the encoder's first layer: red weights excite, blue ones inhibit, white is zero.

    A dense layer: the weights from the example's numbers to each unit, shaped as an example; for a table, a column each. A
    convolution: its kernels. Filters of three channels are drawn in color around middle grey, other channels side by side. X and y are
    not needed.
    Raises `NotPossibleError` where the encoder has no such layer.
    """
    kernels = _first_layer(ae)
    count, reach = len(kernels), float(np.abs(kernels[:n]).max()) or 1.0
    title = f"first layer: {count} filters of {' x '.join(map(str, kernels.shape[1:]))}"
    title += f", the first {n}" if count > n else ""
    pictures = as_pictures(first(kernels, n), pictured(ae, image_shape) if kernels.shape[1:] == ae.shape_ else None)
    if pictures.ndim == 2:
        cells, title = pictures.T[None, None], f"{title}: one in each column"
    else:
        columns = min(len(pictures), 8)
        blanks = np.full((-len(pictures) % columns, *pictures.shape[1:]), np.nan, dtype=pictures.dtype)
        cells = np.concatenate([pictures, blanks]).reshape(-1, columns, *pictures.shape[1:])
    title += "; middle grey is zero" if pictures.ndim == 4 else ""
    bar = "" if pictures.ndim == 4 else "weight"
    return grid(cells, (-reach, reach), f"{title[0].upper()}{title[1:]}.", title=title, cmap="RdBu_r", bar=bar)


def _first_layer(ae: Autoencoder) -> Any:
    """The weights of the encoder's first layer, one filter (numbers, or a kernel with channels last) per row."""
    for layer in ae.model_.encoder.modules():
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().float().cpu().numpy()
            return weight.reshape(-1, *ae.shape_) if weight.shape[1] == np.prod(ae.shape_) else weight
        if isinstance(layer, nn.Conv3d):
            break
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            weight = layer.weight.detach().float().cpu().numpy()
            return np.moveaxis(weight, 1, -1) if weight.shape[1] > 1 else weight[:, 0]
    raise NotPossibleError("filters needs an encoder with a dense layer or a convolution of one or two dimensions")
