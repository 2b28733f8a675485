# ruff: noqa: ARG001  (every figure takes ae, X and y, so that one command draws any of them)
"""The figure of the filters of the first layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from isthmus.errors import NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.plots.grids import ImageShape, as_cells, first_examples, grid, model_image_shape

__all__ = ["filters"]


@takes_autoencoder
def filters(ae: Autoencoder, X: Any = None, y: Any = None, *, n: int = 64, image_shape: ImageShape = None) -> Figure:
    """The first n filters of the encoder's first layer: red weights are positive, blue ones negative, white is zero.

    The filters of a dense layer are the weights of each unit, in the shape of an example; for a table, one column each. The filters of a
    convolution are its kernels. Filters with three channels are drawn in color around middle gray, other channels side by side.

    Args:
        ae: a fitted autoencoder.
        X: not used.
        y: not used.
        n: the number of filters.
        image_shape: height, width (and channels) to show the filters of a dense layer as images.

    Raises:
        NotPossibleError: the encoder has neither a dense layer nor a convolution of one or two dimensions.
        DataError: n is below 1, or image_shape does not fit.
    """
    kernels = _first_layer(ae)
    count, reach = len(kernels), float(np.abs(kernels[:n]).max()) or 1.0
    title = f"first layer: {count} filters of {' x '.join(map(str, kernels.shape[1:]))}"
    title += f", the first {n} shown" if count > n else ""
    images = as_cells(
        first_examples(kernels, n), model_image_shape(ae, image_shape) if kernels.shape[1:] == ae.shape_ else None
    )
    if images.ndim == 2:
        cells, title = images.T[None, None], f"{title}, one in each column"
    else:
        columns = min(len(images), 8)
        blanks = np.full((-len(images) % columns, *images.shape[1:]), np.nan, dtype=images.dtype)
        cells = np.concatenate([images, blanks]).reshape(-1, columns, *images.shape[1:])
    title += "; middle gray is zero" if images.ndim == 4 else ""
    bar = "" if images.ndim == 4 else "weight"
    return grid(cells, (-reach, reach), f"{title[0].upper()}{title[1:]}.", title=title, cmap="RdBu_r", bar=bar)


def _first_layer(ae: Autoencoder) -> Any:
    """The weights of the encoder's first layer: one filter per row, kernels with channels last."""
    for layer in ae.model_.encoder.modules():
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().float().cpu().numpy()
            return weight.reshape(-1, *ae.shape_) if weight.shape[1] == np.prod(ae.shape_) else weight
        if isinstance(layer, nn.Conv3d):
            break
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            weight = layer.weight.detach().float().cpu().numpy()
            return np.moveaxis(weight, 1, -1) if weight.shape[1] > 1 else weight[:, 0]
    raise NotPossibleError(
        "no filters: expected an encoder with a dense layer or a convolution of one or two dimensions"
    )
