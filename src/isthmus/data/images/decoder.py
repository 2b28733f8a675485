"""Decoding the examples of a data set by their numbers: images in their files, their pages or their patches."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from isthmus.data.images.decoding import ImageFile, decode_pages, joined_pages, joined_shape
from isthmus.data.images.header_fields import Kind
from isthmus.data.images.headers import ignore_pillow_warnings
from isthmus.data.images.patches import corner, count_corners
from isthmus.data.images.resizing import Resize
from isthmus.data.options import ReadOptions
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["Decoder", "n_threads"]

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]
_MAX_THREADS = 8
_FEW_VALUES = 1 << 17  # that are decoded faster without further threads


class Decoder:
    """Decodes the examples of a data set by their numbers, from any thread, and keeps as many decoded images as fit into a given memory.

    An example is an image, or with the option ``patches`` a patch of one. An image is a file, or
    with ``pages="examples"`` one of its pages.

    Args:
        files: the files of all images.
        options: how they are read.
        kind, shape: of the pixels of a page, or of a patch.
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
        self.pages, self.joins = options.pages, options.joins_pages
        self.of_file = _Parts.of([len(file.pages) for file in files]) if options.pages == "examples" else None
        self.side, self.of_image = options.patches, None
        if self.side is not None:
            sizes = [self._size(number) for number in range(len(files if self.of_file is None else self.of_file.whole))]
            self.of_image = _Parts.of([count_corners(size, self.side) for size in sizes])
        self.shape = joined_shape(shape, len(files[0].pages), self.pages) if self.joins else shape
        self.dtype, self.free = kind.dtype, cache
        self.kept: dict[int, Array] = {}
        self.latest: tuple[int, Array] | None = None  # an image whose next patches may be read

    def __call__(self, number: int) -> Array:
        """One example, which nobody may change.

        Raises:
            DataError: its file is damaged, was changed or removed.
        """
        image, part = (number, 0) if self.of_image is None else self.of_image.place(number)
        return self._example(self._image(image), part)

    def read(self, numbers: Numbers) -> Array:
        """Some examples (k, *shape). Several threads decode them, unless this is one of several threads already."""
        examples = np.empty((len(numbers), *self.shape), self.dtype)
        of_image = numbers if self.of_image is None else self.of_image.whole[numbers]
        order = np.argsort(of_image, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(of_image[order])) + 1) if len(order) else []

        def decode(places: Numbers) -> None:
            image = self._image(int(of_image[places[0]]))
            for place in places:
                part = 0 if self.of_image is None else self.of_image.place(int(numbers[place]))[1]
                examples[place] = self._example(image, part)
            if self.of_image is not None and places is groups[-1]:
                self.latest = int(of_image[places[0]]), image

        count = min(n_threads(), len(groups))
        ignore_pillow_warnings()
        if count > 1 and examples.size > _FEW_VALUES and threading.current_thread() is threading.main_thread():
            with ThreadPoolExecutor(count) as pool:
                for _ in pool.map(decode, groups):
                    pass
        else:
            for places in groups:
                decode(places)
        return examples

    def _image(self, number: int) -> Array:
        """One decoded image; it is kept if there is memory for it."""
        image, latest = self.kept.get(number), self.latest
        if image is None and latest is not None and latest[0] == number:
            image = latest[1]
        if image is None:
            image = self._decode(number)
            if image.nbytes <= self.free:
                self.free -= image.nbytes
                self.kept[number] = image
        return image

    def _example(self, image: Array, part: int) -> Array:
        """The patch of an image with a number; the image itself without patches."""
        if self.side is None:
            return image
        row, column = corner((image.shape[0], image.shape[1]), self.side, part)
        return image[row : row + self.side, column : column + self.side]

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
        if self.of_file is None:
            return self.files[number], None if self.joins else 0
        file, page = self.of_file.place(number)
        return self.files[file], page

    def _size(self, number: int) -> tuple[int, int]:
        """Height and width of an image before it is cut into patches."""
        file, page = self._place(number)
        return file.pages[page or 0].size if self.resize is None else self.resize.size

    def __getstate__(self) -> dict[str, Any]:
        """The state without the decoded images."""
        held = sum(image.nbytes for image in self.kept.values())
        return self.__dict__ | {"kept": {}, "latest": None, "free": self.free + held}


class _Parts(NamedTuple):
    """Parts that are numbered through, such as the pages of files: the whole to which each belongs, and the first part of each whole."""

    whole: Numbers
    first: Numbers

    @classmethod
    def of(cls, counts: Sequence[int]) -> Self:
        """By the number of parts of each whole."""
        return cls(np.repeat(np.arange(len(counts)), counts), np.cumsum(counts) - np.asarray(counts))

    def place(self, number: int) -> tuple[int, int]:
        """The number of the whole to which a part belongs, and the number of the part in it."""
        whole = int(self.whole[number])
        return whole, number - int(self.first[whole])


def n_threads() -> int:
    """The number of threads that decode images: one for each processor that this process may use, at most 8."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MAX_THREADS, count))
