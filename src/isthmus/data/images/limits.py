"""Opening an image file: limits of its size, also in proportion to the file, and damage that names the file."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from isthmus.errors import DataError
from isthmus.io.files import open_regular, shown

__all__ = ["DAMAGED", "MAX_PAGES", "check_pixels", "check_proportion", "image_file", "too_many_pages"]

DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
)
MAX_PAGES = 10_000
_MAX_PIXELS = 64_000_000
_MAX_BYTES = 512 << 20  # of one file: 64 megapixels of four 16-bit channels
_ALWAYS_ALLOWED = 32 << 20  # bytes of a decoded image that are allowed for every file
_MAX_RATIO = 5_000  # decoded bytes per byte of the file, for larger images


@contextmanager
def image_file(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A context with an open file and its size in bytes. Damage that is found inside becomes a `DataError` that names the file.

    Raises:
        DataError: the file is too large, damaged, or no image.
        OSError: the file cannot be opened.
    """
    from PIL import Image, UnidentifiedImageError

    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MAX_BYTES:
            raise DataError(f"{shown(path)} is larger than {_MAX_BYTES >> 20} MiB; make the image smaller")
        try:
            yield file, size
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise DataError(_too_many_pixels(path)) from None
        except DataError:
            raise
        except MemoryError:
            raise DataError(f"{shown(path)} needs more memory than is available; make the image smaller") from None
        except DAMAGED as error:
            reason = "unknown format" if isinstance(error, UnidentifiedImageError) else str(error)[:200]
            raise DataError(f"{shown(path)} is damaged or not an image ({reason}); replace or remove it") from error


def check_pixels(path: Path, height: int, width: int) -> None:
    """`DataError` if an image has too many pixels."""
    if width * height > _MAX_PIXELS:
        raise DataError(_too_many_pixels(path))


def check_proportion(path: Path, size: int, image: tuple[int, int], tile: tuple[int, int], pixel: int) -> None:
    """`DataError` if a decoded image is too large in proportion to its file.

    Args:
        path: the file.
        size: its bytes.
        image, tile: height and width of the image and of a tile in pixels; zeros without tiles.
        pixel: the bytes of a pixel.
    """
    (height, width), (tile_height, tile_width) = image, tile
    pixels = max(width * height, width * tile_height, height * tile_width, tile_width * tile_height)
    if pixels * pixel > max(_ALWAYS_ALLOWED, _MAX_RATIO * size):
        raise DataError(
            f"{shown(path)} is out of proportion: {size:,} bytes declare an image of {height}x{width} pixels; "
            "replace or remove it"
        )


def too_many_pages(path: Path) -> DataError:
    """The error about a file with too many pages."""
    return DataError(f"{shown(path)} has more than {MAX_PAGES:,} pages; split the file")


def _too_many_pixels(path: Path) -> str:
    return f"{shown(path)} has more than {_MAX_PIXELS // 10**6} megapixels; make the image smaller"
