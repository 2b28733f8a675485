"""The header of an image, read before it is decoded, and limits of its size in proportion to the file."""

from __future__ import annotations

import os
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from isthmus.data.images.cut import gif_is_cut, is_cut
from isthmus.data.images.formats import format_names
from isthmus.data.images.orientation import orientation_of
from isthmus.errors import DataError
from isthmus.io.files import open_regular, shown

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DAMAGED", "Header", "Kind", "has_alpha", "header", "headers", "ignore_pillow_warnings", "opened"]

Kind = Literal["8-bit gray", "16-bit gray", "color"]
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
)
_MAX_PIXELS = 64_000_000
_MAX_BYTES = 512 << 20  # of one file: 64 megapixels of four 16-bit channels
_MAX_PAGES = 10_000
_ALWAYS_ALLOWED = 32 << 20  # bytes of a decoded image that are allowed for every file
_MAX_RATIO = 5_000  # decoded bytes per byte of the file, for larger images
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # per pixel in memory; others have 4
_GRAY = {"1", "L", "LA", "La"}
_COLOR = {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
_PILLOW = r"PIL\."
_PILLOW_IGNORED = ("ignore", None, UserWarning, re.compile(_PILLOW), 0)  # as `warnings` stores this filter


@dataclass(frozen=True)
class Header:
    """The header of one image, or of one page of a file.

    Attributes:
        format: Pillow's name of the format.
        size: (height, width) in pixels, after rotation to upright.
        kind: the kind of its pixels.
        orientation: the EXIF orientation, 1 to 8; 1 is upright.
        more: whether the file has several pages.
        cut: whether the file ends before its last page; checked with the first page only.
        rewritten: the conversions that decoding makes, by the names in `pixels.REWRITTEN`.
        alpha: whether pixels can be transparent; decoding shows whether some are.
    """

    format: str
    size: tuple[int, int]
    kind: Kind
    orientation: int
    more: bool
    cut: bool
    rewritten: frozenset[str]
    alpha: bool


def headers(path: Path, every_page: bool = False) -> list[Header]:
    """The header of an image, or the headers of all pages of its file.

    Raises:
        DataError: the file is not an image, is damaged, too large, or has unsupported pixels.
    """
    with opened(path) as (image, size):
        found = [header(image, path, size)]
        if not every_page or image.format == "MPO":
            return found
        for page in range(1, _MAX_PAGES + 1):
            try:
                image.seek(page)
            except EOFError:
                if image.format == "GIF" and gif_is_cut(image.fp):  # type: ignore[attr-defined]  # of image files
                    raise DataError(f"{shown(path)} is truncated; replace or remove it") from None
                return found
            found.append(header(image, path, size))
    raise DataError(f"{shown(path)} has more than {_MAX_PAGES:,} pages; split the file")


@contextmanager
def opened(path: Path, threaded: bool = False) -> Iterator[tuple[Image, int]]:
    """A context with a Pillow image whose header has been read, and the file size in bytes.

    Damage that is found inside the context becomes a `DataError` that names the file.

    Args:
        path: the file.
        threaded: whether other threads run at the same time, so that the filters of warnings must not change; see `ignore_pillow_warnings`.
    """
    from PIL import Image, UnidentifiedImageError

    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MAX_BYTES:
            raise DataError(f"{shown(path)} is larger than {_MAX_BYTES >> 20} MiB; make the image smaller")
        _check_webp(file, path)
        try:
            with nullcontext() if threaded else _warnings_ignored():
                yield Image.open(file, formats=format_names(path.suffix.lower())), size
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise DataError(_too_many_pixels(path)) from None
        except DataError:
            raise
        except MemoryError:
            raise DataError(f"{shown(path)} needs more memory than is available; make the image smaller") from None
        except DAMAGED as error:
            reason = "unknown format" if isinstance(error, UnidentifiedImageError) else str(error)[:200]
            raise DataError(f"{shown(path)} is damaged or not an image ({reason}); replace or remove it") from error


@contextmanager
def _warnings_ignored() -> Iterator[None]:
    """A context without Pillow's warnings about unimportant tags; serious damage raises an error too. For the main thread alone."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def ignore_pillow_warnings() -> None:
    """Ignores Pillow's warnings about unimportant tags in all threads, from now on; warnings of other modules are as before.

    A context (`warnings.catch_warnings`) would change the filters of other threads, and could restore them in the wrong order.
    """
    if _PILLOW_IGNORED not in warnings.filters:
        warnings.filterwarnings("ignore", category=UserWarning, module=_PILLOW)


def _too_many_pixels(path: Path) -> str:
    return f"{shown(path)} has more than {_MAX_PIXELS // 10**6} megapixels; make the image smaller"


def _check_webp(file: BinaryIO, path: Path) -> None:
    """Checks the size that a WebP file declares, before the WebP library allocates memory for it."""
    head = file.read(30)
    file.seek(0)
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return
    if head[12:16] == b"VP8X":
        width, height = (1 + int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
    elif head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    if width * height > _MAX_PIXELS:
        raise DataError(_too_many_pixels(path))


def header(image: Image, path: Path, size: int) -> Header:
    """The header of the current page of the image; `DataError` if it is too large or has unsupported pixels."""
    tags: Any = getattr(image, "tag_v2", {})
    width, height = (tags[_WIDTH], tags[_HEIGHT]) if image.format == "TIFF" else image.size
    if width * height > _MAX_PIXELS:
        raise DataError(_too_many_pixels(path))
    pixels = max(width * height, width * tags.get(_TILE_HEIGHT, 0), height * tags.get(_TILE_WIDTH, 0))
    pixels = max(pixels, tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_HEIGHT, 0))
    if pixels * _BYTES.get(image.mode, 4) > max(_ALWAYS_ALLOWED, _MAX_RATIO * size):
        raise DataError(
            f"{shown(path)} is out of proportion: {size:,} bytes declare an image of {height}x{width} pixels; "
            "replace or remove it"
        )
    rewritten = set(_rewritten(image))
    orientation = orientation_of(image)
    if orientation is None:
        rewritten.add("exif")
    elif orientation > 1:
        rewritten.add("turned")
    if (orientation or 1) >= 5:  # rotated by 90 degrees
        width, height = height, width
    more, cut = _more(image), image.tell() == 0 and is_cut(image)
    return Header(
        str(image.format),
        (height, width),
        _kind(image, path),
        orientation or 1,
        more,
        cut,
        frozenset(rewritten),
        has_alpha(image),
    )


def _kind(image: Image, path: Path) -> Kind:
    if image.mode == "F":
        raise DataError(f"{shown(path)} has floating-point pixels; save it as .npy")
    if image.mode.startswith("I"):
        return "16-bit gray"
    if image.mode in _GRAY:
        return "8-bit gray"
    if image.mode in _COLOR:
        return "color"
    raise DataError(f"{shown(path)} has {image.mode} pixels, which are not supported; convert it to RGB")


def _more(image: Image) -> bool:
    """Whether the file has several pages. The preview in a photograph (MPO) is not a page."""
    with suppress(*DAMAGED):
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    return False


def has_alpha(image: Image) -> bool:
    """Whether pixels can be transparent."""
    return "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")


def _rewritten(image: Image) -> Iterator[str]:
    """The conversions by Pillow and isthmus that follow from the header."""
    raw, largest = _raw(image)
    if image.mode in ("P", "PA"):
        yield "palette"
    if (image.mode in ("CMYK", "YCbCr") and image.format != "JPEG") or image.mode == "CMYK":
        yield "print colors"
    if image.mode == "1":
        yield "1-bit"
    if re.match(r"(RGB\w?|LA|CMYK);16", raw) or (largest > 255 and not image.mode.startswith("I")):
        yield "16-bit color"
    elif re.match(r"L;I?[24]|BGR;1[56]", raw) or largest not in (0, 255, 65535):
        yield "stretched"
    if image.mode.startswith("I") and "transparency" in image.info:
        yield "ignored transparency"


def _raw(image: Image) -> tuple[str, int]:
    """Pillow's name of the pixel layout in the file, and the maximum value of a PGM or PPM file, or 0."""
    tiles: Any = getattr(image, "tile", None)
    found = tiles[0][3] if tiles else ""
    parts = found if isinstance(found, tuple) else (found,)
    raw = parts[0] if parts and isinstance(parts[0], str) else ""
    largest = parts[1] if image.format == "PPM" and len(parts) == 2 and isinstance(parts[1], int) else 0
    return raw, max(largest, 0)
