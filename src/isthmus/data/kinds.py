"""What the axes of examples mean: the user or the source says it, else their number does; the range of the values never does."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["ImageArray", "Kind", "as_images", "image_shape", "kind_of", "seem_images"]

Array = npt.NDArray[Any]
Kind = Literal["table", "images", "windows"]  # what the axes of examples mean; windows are (n, time, channels)

_LEAST_SIDE, _LEAST_FLAT = 8, 16  # pixels of a side that a user is asked about, the second where examples are flat


class ImageArray(np.ndarray[Any, Any]):
    """An array of images: the class alone says so, and it stays through slicing, arithmetic, reshaping, pickling and splitting.

    In everything else it is an ordinary array.
    """

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """What NumPy gives of an operation: a number where an ordinary array would give one."""
        return array[()] if return_scalar else array.view(ImageArray)

    def __array_function__(self, function: Any, types: Any, arguments: Any, choices: Any) -> Any:
        """NumPy's functions; of these, what joins images loses the class otherwise."""
        found = super().__array_function__(function, types, arguments, choices)
        return found.view(ImageArray) if function is np.concatenate and isinstance(found, np.ndarray) else found


def as_images(values: Array) -> Array:
    """The same array, which says that its examples are images; a memory map stays one."""
    return values.view(ImageArray) if type(values) is np.ndarray else values


def kind_of(values: Array) -> Kind:
    """What the axes mean where nobody says it: (n, d) is a table; bytes of more axes are images; other numbers are windows.

    The last axis of windows (n, ..., channels) holds channels.
    """
    if values.ndim == 2:
        return "table"
    return "images" if values.dtype == np.uint8 else "windows"


def image_shape(shape: tuple[int, ...], kind: Kind) -> tuple[int, ...]:
    """Height, width (and channels) of the image in an example of a shape; the shape as it is where there is none.

    A flat image is square: 784 numbers are 28 x 28.
    """
    side = math.isqrt(math.prod(shape))
    return (side, side) if kind == "images" and shape == (side**2,) else shape


def seem_images(shape: tuple[int, ...], low: float, high: float, whole: bool) -> bool:
    """Whether examples of a shape, whose kind nobody said, could be images, so that a user is asked.

    Square ones of 8 x 8 or more pixels, 16 x 16 where they are flat, from 0 to exactly 1, or whole numbers from 0 to 255.
    """
    sides = image_shape(shape, "images")
    square = len(sides) in {2, 3} and sides[0] == sides[1] >= (_LEAST_FLAT if len(shape) == 1 else _LEAST_SIDE)
    return square and low == 0 and (high == 1 or (whole and high == 255))
