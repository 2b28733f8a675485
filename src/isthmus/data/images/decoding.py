"""The files of a data set of images, and decoding their pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.images.header_fields import Header, Kind
from isthmus.data.images.headers import header, opened
from isthmus.data.images.pixels import changes_of, decoded
from isthmus.data.images.resizing import Resize
from isthmus.data.images.samples import decode_samples
from isthmus.data.options import Pages
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["SKIP_BROKEN", "ImageFile", "decode_pages", "joined_pages", "joined_shape", "stamp_of"]

Array = npt.NDArray[Any]
SKIP_BROKEN = "; or skip broken images with --skip-broken or skip_broken=True"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file with its label, the headers of its pages, and what `stamp_of` was before they were read."""

    path: Path
    label: str
    pages: tuple[Header, ...]
    stamp: int


def stamp_of(path: Path) -> int:
    """A number that changes when a file is replaced or written to, by its size and its time of modification."""
    status = os.lstat(path)
    return hash((status.st_size, status.st_mtime_ns))


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
    if file.pages[0].sampled:
        yield from _decode_sampled(file, kind, resize, only)
        return
    with opened(file.path, threaded) as (image, size):
        for number, expected in enumerate(file.pages):
            if only not in {None, number}:
                continue
            if number:
                image.seek(number)
            if header(image, file.path, size) != expected:
                raise _changed(file)
            pixels, ways = decoded(image, expected, kind or expected.kind, resize)
            if pixels.shape[:2] != (expected.size if resize is None else resize.size):
                raise DataError(f"the size of {shown(file.path)} differs from its header; replace or remove it")
            _check_stamp(file)
            yield pixels, ways


def _decode_sampled(
    file: ImageFile, kind: Kind | None, resize: Resize | None, only: int | None
) -> Iterator[tuple[Array, set[str]]]:
    """The same of a TIFF file of which all samples are read."""
    wanted = file.pages if only is None else file.pages[only : only + 1]
    for page, pixels in zip(wanted, decode_samples(file.path, file.pages, kind, resize, only), strict=True):
        _check_stamp(file)
        yield pixels, changes_of(page, kind or page.kind, resize)


def _check_stamp(file: ImageFile) -> None:
    """`DataError` if the file was replaced, also by an image with the same header."""
    if stamp_of(file.path) != file.stamp:
        raise _changed(file)


def _changed(file: ImageFile) -> DataError:
    """The error about a file that was replaced."""
    return DataError(f"{shown(file.path)} changed while the images were read; read them again")


def joined_shape(page: tuple[int, ...], n_pages: int, pages: Pages) -> tuple[int, ...]:
    """The shape of an example that consists of all pages of a file.

    Args:
        page: the shape of a page, (h, w) or (h, w, c).
        n_pages: their number.
        pages: what they are together: a "volume" (pages, h, w, c), or the "channels" of one image (h, w, pages * c).
    """
    h, w, c = *page[:2], *(page[2:] or (1,))
    return (n_pages, h, w, c) if pages == "volume" else (h, w, n_pages * c)


def joined_pages(values: Array, pages: Pages) -> Array:
    """Examples of all pages of a file, from their pages (k, pages, h, w) or (k, pages, h, w, c)."""
    shape = joined_shape(values.shape[2:], values.shape[1], pages)
    values = values[..., None] if values.ndim == 4 else values
    return (values if pages == "volume" else np.moveaxis(values, 1, 3)).reshape(-1, *shape)
