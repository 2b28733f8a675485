"""The kind of data: table, images, series or windows, given by the user or the source, otherwise inferred from dtype and axes.

The range of the values is not used.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from isthmus.data.context_array import ContextArray
from isthmus.errors import DataError

__all__ = ["ImageArray", "Kind", "as_images", "check_kind", "image_shape", "kind_of", "seem_images"]

Array = npt.NDArray[Any]
Kind = Literal["table", "images", "series", "windows"]
"""Series (n, time, channels) are only ever stated, by `Windows` or the user. "windows" is inferred: the last axis is channels, and the
others may be anything."""

_MIN_SIDE, _MIN_FLAT_SIDE = 8, 16  # minimum pixels per side for a question to the user; the second for flat examples


class ImageArray(np.ndarray[Any, Any]):
    """An array of images. The class marks its kind, and survives slicing, arithmetic, reshaping, pickling and splitting.

    Otherwise it is an ordinary array.
    """

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """The result of an operation of NumPy: a scalar wherever an ordinary array gives one."""
        return array[()] if return_scalar else array.view(ImageArray)

    def __array_function__(self, function: Any, types: Any, arguments: Any, choices: Any) -> Any:
        """The result of a function of NumPy. Without this, the result of concatenate would not be an ImageArray."""
        result = super().__array_function__(function, types, arguments, choices)
        return result.view(ImageArray) if function is np.concatenate and isinstance(result, np.ndarray) else result


def as_images(values: Array) -> Array:
    """Marks an array (n, *shape) as images, without a copy. A memory map is returned unchanged."""
    return values.view(ImageArray) if type(values) in {np.ndarray, ContextArray} else values


def kind_of(values: Array) -> Kind:
    """The inferred kind: (n, d) is a table, uint8 with more axes are images, other arrays are windows (n, ..., channels)."""
    if values.ndim == 2:
        return "table"
    return "images" if values.dtype == np.uint8 else "windows"


def check_kind(kind: Kind, shape: tuple[int, ...]) -> None:
    """Raises `DataError` if examples of a shape cannot be of a kind: series have the axes (time,) or (time, channels)."""
    if kind == "series" and len(shape) > 2:
        raise DataError(
            f"kind='series' takes examples of shape (time, channels), and these have {shape}: reshape them, or leave out kind"
        )


def image_shape(shape: tuple[int, ...], kind: Kind) -> tuple[int, ...]:
    """The shape of the image in an example: (height, width) or (height, width, channels).

    A flat image is taken as square: 784 pixels are 28 x 28. Other shapes are returned unchanged.
    """
    side = math.isqrt(math.prod(shape))
    return (side, side) if kind == "images" and shape == (side**2,) else shape


def seem_images(shape: tuple[int, ...], low: float, high: float, whole: bool) -> bool:
    """Whether examples of unknown kind could be images, so that a warning asks the user.

    These are square, with at least 8 x 8 pixels (16 x 16 if flat), and have values from 0 to exactly 1, or integers from 0 to 255.
    """
    sides = image_shape(shape, "images")
    square = len(sides) in {2, 3} and sides[0] == sides[1] >= (_MIN_FLAT_SIDE if len(shape) == 1 else _MIN_SIDE)
    return square and low == 0 and (high == 1 or (whole and high == 255))
