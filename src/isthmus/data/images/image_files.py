"""Images that stay in their files: an array of examples whose rows are decoded when they are read. A bounded number stays decoded."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from isthmus.data.images.decoder import Decoder
from isthmus.data.lazy_rows import LazyRows
from isthmus.io.memory_limit import check_memory

__all__ = ["ImageFiles", "files_of"]

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]


class ImageFiles(LazyRows):
    """Images (n, h, w) or (n, h, w, 3) that are read from their files, in the place of an array.

    `isthmus.data.read` returns them for a folder whose decoded images take more memory than its option ``cache``. A slice, a mask or row
    numbers select images, without decoding them. NumPy makes an array of them, as of any array-like object. All results are the same as
    those of the array. Images are decoded by at most 8 threads, which end with the training or with the call that reads images.

    Args:
        decoder: decodes the images of the data set by their numbers.
        numbers: (n,) those of these images.
        row_shape: the shape that an image gets, with as many values; None for its own.
        context: (n, c), the context of each image for a conditional autoencoder, or None.

    Attributes:
        decoder, numbers, context: as given.
        shape, ndim, dtype, size, nbytes: those of the array.

    Examples:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> Path("photos").mkdir()
        >>> for number in range(5):
        ...     Image.new("RGB", (32, 24), (50 * number, 0, 0)).save(f"photos/{number}.png")
        >>> photos = isthmus.data.read("photos", cache=0).train
        >>> photos
        ImageFiles(5 x 24 x 32 x 3, uint8)
        >>> np.asarray(photos[3:])[:, 0, 0].tolist()
        [[150, 0, 0], [200, 0, 0]]
    """

    kind = "images"

    def __init__(
        self,
        decoder: Decoder,
        numbers: Numbers,
        row_shape: tuple[int, ...] | None = None,
        context: Array | None = None,
    ) -> None:
        self.decoder, self.numbers, self.context = decoder, numbers, context
        self._row_shape = decoder.shape if row_shape is None else row_shape

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.numbers), *self._row_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.decoder.dtype

    @property
    def storage(self) -> str:
        """Where the images are, for a summary."""
        return "read from their files"

    def __getitem__(self, key: Any) -> Any:
        """Images that stay in their files; the image with a number as an array; or some values of images."""
        if isinstance(key, tuple):
            return self._values(*key)
        selected = self.numbers[key]
        if selected.ndim == 0:
            return self.decoder(int(selected)).reshape(self._row_shape).copy()
        if selected.ndim > 1:
            return np.asarray(self)[key]
        return ImageFiles(self.decoder, selected, self._row_shape, None if self.context is None else self.context[key])

    def _values(self, rows: Any = ..., *rest: Any) -> Any:
        """Some values of some images, and the images themselves if all of their values are selected."""
        if all(part is Ellipsis for part in rest):
            return self[rows]
        if isinstance(rows, int | np.integer):
            return self[rows][rest]
        if isinstance(rows, slice):
            return np.asarray(self[rows])[(slice(None), *rest)]
        return np.asarray(self)[(rows, *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        check_memory(self.nbytes, f"an array of {len(self):,} decoded images")
        images = self.decoder.read(self.numbers).reshape(self.shape)
        return images if dtype is None else images.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"ImageFiles({' x '.join(f'{size:,}' for size in self.shape)}, {self.dtype})"

    def astype(self, dtype: Any, copy: bool = True, subok: bool = True) -> Any:
        """The images themselves if they have the dtype, else an array.

        Args:
            dtype, copy, subok: as for `numpy.ndarray.astype`.
        """
        return self if np.dtype(dtype) == self.dtype else np.asarray(self).astype(dtype)

    def reshape(self, *shape: Any) -> Any:
        """Images of another shape that stay in their files if their number is the same, such as (n, -1); else an array.

        Args:
            shape: as for `numpy.ndarray.reshape`.
        """
        sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int | np.integer) else shape
        n, known = len(self), math.prod(int(size) for size in sizes if size != -1)
        if -1 in sizes and known:
            sizes = tuple(self.size // known if size == -1 else int(size) for size in sizes)
        if n and len(sizes) > 1 and sizes[0] == n and math.prod(sizes) == self.size:
            return ImageFiles(self.decoder, self.numbers, sizes[1:], self.context)
        return np.asarray(self).reshape(*shape)

    def with_context(self, context: Array) -> Self:
        """The same images with a context.

        Args:
            context: (n, c), that of each image.
        """
        return type(self)(self.decoder, self.numbers, self._row_shape, context)


def files_of(values: Any) -> ImageFiles | None:
    """The images, if examples are images in their files; else None."""
    return values if isinstance(values, ImageFiles) else None
