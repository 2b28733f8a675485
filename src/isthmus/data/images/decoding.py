"""The files of a data set of images, and decoding their pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.images.headers import Header, Kind, header, opened
from isthmus.data.images.pixels import decoded
from isthmus.data.images.resizing import Resize
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["SKIP_BROKEN", "ImageFile", "decode_pages", "dtype_of", "example_shape"]

Array = npt.NDArray[Any]
SKIP_BROKEN = "; or skip broken images with --skip-broken or skip_broken=True"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file with its label and the headers of its pages."""

    path: Path
    label: str
    pages: tuple[Header, ...]


def decode_pages(
    file: ImageFile,
    kind: Kind | None,
    resize: Resize | None,
    only: int | None = None,
    threaded: bool = False,
) -> Iterator[tuple[Array, set[str]]]:
    """The pixels of each page, converted to a kind unless it is None, and the conversions.

    Args:
        file: what is decoded.
        kind, resize: see `pixels.decoded`.
        only: the number of the only page that is decoded, from 0; None for all.
        threaded: whether other threads run at the same time; see `headers.opened`.

    Raises:
        DataError: the file is damaged, or has changed after its header was read.
    """
    with opened(file.path, threaded) as (image, size):
        for number, expected in enumerate(file.pages):
            if only not in {None, number}:
                continue
            if number:
                image.seek(number)
            if header(image, file.path, size) != expected:
                raise DataError(f"{shown(file.path)} changed while the images were read; read them again")
            pixels, ways = decoded(image, expected, kind or expected.kind, resize)
            if pixels.shape[:2] != (expected.size if resize is None else resize.size):
                raise DataError(f"the size of {shown(file.path)} differs from its header; replace or remove it")
            yield pixels, ways


def dtype_of(kind: Kind) -> np.dtype[Any]:
    """The dtype of the pixels of a kind."""
    return np.dtype(np.uint16 if kind == "16-bit gray" else np.uint8)


def example_shape(shape: tuple[int, ...], n_pages: int | None) -> tuple[int, ...]:
    """The shape of an example: that of a page (h, w) or (h, w, 3); of a volume with this many pages (pages, h, w, channels)."""
    return shape if n_pages is None else (n_pages, *(shape if len(shape) == 3 else (*shape, 1)))
