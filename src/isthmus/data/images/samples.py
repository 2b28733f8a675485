"""TIFF pages of which Pillow would lose samples or bits: all of their samples as they are, decoded by tifffile."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isthmus.data.images.header_fields import COLOR, GRAY, Header, Kind
from isthmus.data.images.limits import MAX_PAGES, check_pixels, check_proportion, image_file, too_many_pages
from isthmus.data.images.resizing import Resize, resized
from isthmus.data.images.tiff_tags import TiffPage, tiff_pages
from isthmus.errors import DataError
from isthmus.io.files import shown

if TYPE_CHECKING:
    from tifffile import TiffPage as Decoder

__all__ = ["decode_samples", "sample_headers"]

Array = npt.NDArray[Any]
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # errors are raised; its remarks are for developers
_TYPES = {
    (1, 8): "uint8",
    (2, 8): "int8",
    (1, 16): "uint16",
    (2, 16): "int16",
    (1, 32): "uint32",
    (2, 32): "int32",
    (3, 16): "float32",
    (3, 32): "float32",
    (3, 64): "float64",
}  # by sample format and bits; float16 becomes float32
_COMPRESSIONS = {1, 8, 32773, 32946}  # none, Deflate, PackBits and its old number: those that tifffile decodes itself


def sample_headers(path: Path, every_page: bool = False) -> list[Header]:
    """The headers of the pages of a TIFF file, if all samples of one of them must be read as they are.

    Args:
        path: a file.
        every_page: whether all pages are read, and not only the first.

    Returns:
        The headers; none if the file is no TIFF file, or has usual images.

    Raises:
        DataError: the file has samples that are not supported, or is too large; or tifffile is not installed.
    """
    with image_file(path) as (file, size):
        pages, cut = tiff_pages(file)
    several = len(pages) > 1
    if len(pages) >= MAX_PAGES and every_page:
        raise too_many_pages(path)
    pages = pages if every_page else pages[:1]
    deep = find_spec("tifffile") is not None
    if all(page.plain and not (deep and page.deep_color) for page in pages):
        return []
    return [_header(path, size, page, several, cut and page is pages[0]) for page in pages]


def _header(path: Path, size: int, page: TiffPage, several: bool, cut: bool) -> Header:
    bits, formats = page.bits, page.formats
    name = _TYPES.get((min(formats), min(bits))) if len(bits) == len(formats) == 1 else None
    if page.depth > 1:
        raise DataError(
            f"{shown(path)} has {page.depth:,} slices in one page, which are not supported; save each slice as a page"
        )
    if name is None or not page.numeric:
        raise DataError(
            f"{shown(path)} has TIFF samples that are not supported ({page.samples} of {' and '.join(map(str, sorted(bits)))} bits); "
            "save it as .npy"
        )
    kind, (height, width) = Kind(page.samples, name), page.size
    check_pixels(path, height, width)
    check_proportion(path, size, page.size, page.tile, page.samples * kind.dtype.itemsize)
    _check_installed(path, page, kind)
    rewritten = {"extra"} if page.has_extra else set[str]()
    rewritten |= {"turned"} if page.orientation > 1 else set()
    rewritten |= {"16-bit floats"} if formats == {3} and bits == {16} else set()
    upright = (width, height) if page.orientation >= 5 else (height, width)
    return Header("TIFF", upright, kind, page.orientation, several, cut, frozenset(rewritten), False, sampled=True)


def _check_installed(path: Path, page: TiffPage, kind: Kind) -> None:
    """`DataError` if a package is missing that decodes a page."""
    wanted = ["tifffile", *([] if page.compression in _COMPRESSIONS else ["imagecodecs"])]
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        raise DataError(
            f"{shown(path)} has {kind}, which needs the package {missing[0]}: run pip install 'isthmus[tiff]'"
        )


def decode_samples(
    path: Path, pages: Sequence[Header], kind: Kind | None, resize: Resize | None, only: int | None = None
) -> Iterator[Array]:
    """The pixels of each page, (h, w) or (h, w, channels), upright.

    Args:
        path: the file.
        pages: the headers of its pages.
        kind: what gray or color pages become; None for their own kind.
        resize: how pages are resized.
        only: the number of the only page that is decoded, from 0; None for all.

    Raises:
        DataError: the file is damaged, or tifffile is not installed.
    """
    from tifffile import TiffFile

    with image_file(path) as (file, size), TiffFile(file, name=path.name) as tiff:
        for number, header in enumerate(pages):
            if only not in {None, number}:
                continue
            page = tiff.pages[number].aspage()
            _check_complete(path, page, size)
            pixels = _upright(_channels_last(page), header)
            if pixels.shape != header.kind.shape(header.size) or not np.can_cast(pixels.dtype, header.kind.dtype):
                raise DataError(f"the pixels of {shown(path)} differ from its header; replace or remove it")
            pixels = pixels if resize is None or resize.size == header.size else _resized(pixels, resize)
            pixels = pixels.astype(header.kind.dtype, copy=False)
            yield pixels if kind in {None, header.kind} else _converted(pixels, kind)


def _check_complete(path: Path, page: Decoder, size: int) -> None:
    """`DataError` if a part of the pixels is missing, which tifffile would fill."""
    ends = [begin + length for begin, length in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not ends or max(ends) > size or min(page.databytecounts) == 0:
        raise DataError(f"{shown(path)} is truncated or has missing tiles; replace or remove it")


def _channels_last(page: Decoder) -> Array:
    """The pixels (h, w) or (h, w, channels) as they are in the file."""
    pixels: Array = page.asarray(maxworkers=1)
    return np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels


def _upright(pixels: Array, header: Header) -> Array:
    ways = {
        2: lambda: pixels[:, ::-1],
        3: lambda: pixels[::-1, ::-1],
        4: lambda: pixels[::-1],
        5: lambda: pixels.swapaxes(0, 1),
        6: lambda: np.rot90(pixels, -1),
        7: lambda: pixels[::-1, ::-1].swapaxes(0, 1),
        8: lambda: np.rot90(pixels),
    }
    return np.ascontiguousarray(ways.get(header.orientation, lambda: pixels)())


def _resized(pixels: Array, resize: Resize) -> Array:
    """The pixels in their new size, resized channel by channel."""
    from PIL import Image

    channels = pixels.reshape(*pixels.shape[:2], -1).astype(np.float32)
    made = [resized(Image.fromarray(np.ascontiguousarray(each)), resize) for each in np.moveaxis(channels, -1, 0)]
    joined = np.stack(made, axis=-1).reshape(*resize.size, *pixels.shape[2:])
    if np.issubdtype(pixels.dtype, np.floating):
        return joined
    limits = np.iinfo(pixels.dtype)
    return np.rint(joined.astype(np.float64)).clip(limits.min, limits.max)


def _converted(pixels: Array, kind: Kind | None) -> Array:
    """Gray pixels in color, or color ones in gray."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).convert({GRAY: "L", COLOR: "RGB"}[kind or GRAY]))
