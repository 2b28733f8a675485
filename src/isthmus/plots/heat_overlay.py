"""A heat map on its image, at full size."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

__all__ = ["heat_overlay"]

Array = NDArray[Any]
_COLORS = "inferno"  # its lightness rises with the value, also for color-blind readers
_BEGIN = 0.25  # of the color map: darker colors are not seen on dark images
_OPAQUE = 0.75  # the largest share of the color in a pixel
_STEPS = 256
_CLIPPED = 1  # percent of the pixels at each end that are black or white where no number stands for white


def heat_overlay(pixels: Array, heat: Array, low: float, high: float) -> NDArray[np.uint8]:
    """An image in gray, colored where its heat map is above a value.

    Args:
        pixels: (h, w) or (h, w, 3), uint8 or uint16; or (h, w) or (h, w, channels) of any numbers, whose mean over channels is shown
            from its lowest to its highest hundredth.
        heat: (h, w).
        low, high: the values of the heat map at which the color begins, and at which it is the lightest.

    Returns:
        (h, w, 3) RGB.
    """
    gray = _gray(pixels)
    share = ((heat - low) / max(high - low, 1e-9)).clip(0, 1)
    table = colormaps[_COLORS](np.linspace(_BEGIN, 1, _STEPS))[:, :3].astype(np.float32) * 255
    color = table[np.rint(share * (_STEPS - 1)).astype(np.int64)]
    weight = _OPAQUE * np.minimum(1, 4 * share)[..., None]
    blended: NDArray[np.uint8] = np.rint((1 - weight) * gray[..., None] + weight * color).astype(np.uint8)
    return blended


def _gray(pixels: Array) -> NDArray[np.float32]:
    """The lightness of an image (h, w), from 0 to 255."""
    values = np.asarray(pixels, np.float32)
    if pixels.dtype in {np.dtype(np.uint8), np.dtype(np.uint16)} and pixels.shape[2:] in {(), (3,)}:
        values = values / np.float32(np.iinfo(pixels.dtype).max / 255)
        lightness: NDArray[np.float32] = (
            values if values.ndim == 2 else values @ np.array([0.299, 0.587, 0.114], np.float32)
        )
        return lightness
    mean = values.astype(np.float64) if values.ndim == 2 else values.mean(2, dtype=np.float64)
    low, high = np.percentile(mean, [_CLIPPED, 100 - _CLIPPED])
    if low == high:  # few pixels differ from all others
        low, high = mean.min(), mean.max()
    shown: NDArray[np.float32] = (255 * ((mean - low) / ((high - low) or 1.0)).clip(0, 1)).astype(np.float32)
    return shown
