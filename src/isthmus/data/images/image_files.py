"""Images that stay in their files: an array of examples whose rows are decoded when they are read. A bounded number stays decoded."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from isthmus.data.images.decoding import ImageFile, decode_pages, joined_pages, joined_shape
from isthmus.data.images.header_fields import Kind
from isthmus.data.images.headers import ignore_pillow_warnings
from isthmus.data.images.resizing import Resize
from isthmus.data.lazy_rows import LazyRows
from isthmus.data.options import ReadOptions
from isthmus.errors import DataError
from isthmus.io.files import shown
from isthmus.io.memory_limit import check_memory

__all__ = ["Decoder", "ImageFiles", "files_of", "n_threads"]

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]
_MAX_THREADS = 8
_FEW_VALUES = 1 << 17  # that are decoded faster without further threads


class Decoder:
    """Decodes the images of a data set by their numbers, from any thread, and keeps as many decoded images as fit into a given memory.

    Args:
        files: the files of all images. Each is one example, or with the option ``pages="examples"`` each of its pages.
        options: how they are read.
        kind, shape: of the pixels of a page.
        cache: the bytes of the decoded images that are kept.
        advice: the end of the message about a damaged image.
    """

    def __init__(
        self,
        files: Sequence[ImageFile],
        options: ReadOptions,
        kind: Kind,
        shape: tuple[int, ...],
        cache: int,
        advice: str = "",
    ) -> None:
        self.files, self.kind, self.resize, self.advice = files, kind, Resize.of(options), advice
        counts = np.array([len(file.pages) for file in files]) if options.pages == "examples" else None
        self.of_file = None if counts is None else np.repeat(np.arange(len(files)), counts)
        self.first = None if counts is None else np.cumsum(counts) - counts
        self.pages, self.joins = options.pages, options.joins_pages
        self.shape = joined_shape(shape, len(files[0].pages), self.pages) if self.joins else shape
        self.dtype = kind.dtype
        self.room = cache // (math.prod(self.shape) * self.dtype.itemsize)
        self.kept: dict[int, Array] = {}

    def __len__(self) -> int:
        return len(self.files if self.of_file is None else self.of_file)

    def __call__(self, number: int) -> Array:
        """One image, which nobody may change.

        Raises:
            DataError: its file is damaged, was changed or removed.
        """
        image = self.kept.get(number)
        if image is None:
            image = self._decode(number)
            if len(self.kept) < self.room:
                self.kept[number] = image
        return image

    def read(self, numbers: Numbers) -> Array:
        """Some images (k, *shape). Several threads decode them, unless this is one of several threads already."""
        images = np.empty((len(numbers), *self.shape), self.dtype)

        def decode(place: int) -> None:
            images[place] = self(int(numbers[place]))

        count = min(n_threads(), len(numbers))
        ignore_pillow_warnings()
        if count > 1 and images.size > _FEW_VALUES and threading.current_thread() is threading.main_thread():
            with ThreadPoolExecutor(count) as pool:
                for _ in pool.map(decode, range(len(numbers))):
                    pass
        else:
            for place in range(len(numbers)):
                decode(place)
        return images

    def _decode(self, number: int) -> Array:
        file, page = self._place(number)
        try:
            pages = [pixels for pixels, _ in decode_pages(file, self.kind, self.resize, page, threaded=True)]
        except OSError as error:
            raise DataError(
                f"{shown(file.path)} can no longer be read ({error.strerror or error}), and images are read from their files in each "
                "epoch: restore it"
            ) from error
        except DataError as error:
            raise DataError(f"{error}{self.advice}") from error
        image = joined_pages(np.stack(pages)[None], self.pages)[0] if self.joins else pages[0]
        return image.astype(self.dtype, copy=False)

    def _place(self, number: int) -> tuple[ImageFile, int | None]:
        """The file of an image and its page; None for all pages."""
        if self.of_file is None or self.first is None:
            return self.files[number], None if self.joins else 0
        file = int(self.of_file[number])
        return self.files[file], number - int(self.first[file])

    def __getstate__(self) -> dict[str, Any]:
        """The state without the decoded images."""
        return self.__dict__ | {"kept": {}}


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


def n_threads() -> int:
    """The number of threads that decode images: one for each processor that this process may use, at most 8."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MAX_THREADS, count))
