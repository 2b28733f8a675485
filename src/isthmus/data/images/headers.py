"""The header of an image, read before it is decoded, and limits of its size in proportion to the file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from isthmus.data.images.cut import gif_is_cut, is_cut
from isthmus.data.images.formats import format_names
from isthmus.data.images.header_fields import COLOR, DEEP, GRAY, Header, Kind
from isthmus.data.images.limits import DAMAGED, MAX_PAGES, check_pixels, check_proportion, image_file, too_many_pages
from isthmus.data.images.orientation import orientation_of
from isthmus.data.images.samples import sample_headers
from isthmus.errors import DataError
from isthmus.io.files import shown

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["has_alpha", "header", "headers", "ignore_pillow_warnings", "opened"]

_WIDTH, _HEIGHT, _BITS, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 258, 322, 323
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # per pixel in memory; others have 4
_GRAY = {"1", "L", "LA", "La"}
_COLOR = {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
_PILLOW = r"PIL\."
_PILLOW_IGNORED = ("ignore", None, UserWarning, re.compile(_PILLOW), 0)  # as `warnings` stores this filter


def headers(path: Path, every_page: bool = False) -> list[Header]:
    """The header of an image, or the headers of all pages of its file.

    Raises:
        DataError: the file is not an image, is damaged, too large, or has unsupported pixels.
    """
    if sampled := sample_headers(path, every_page):
        return sampled
    with opened(path) as (image, size):
        found = [header(image, path, size)]
        if not every_page or image.format == "MPO":
            return found
        for page in range(1, MAX_PAGES + 1):
            try:
                image.seek(page)
            except EOFError:
                if image.format == "GIF" and gif_is_cut(image.fp):  # type: ignore[attr-defined]  # of image files
                    raise DataError(f"{shown(path)} is truncated; replace or remove it") from None
                return found
            found.append(header(image, path, size))
    raise too_many_pages(path)


@contextmanager
def opened(path: Path, threaded: bool = False) -> Iterator[tuple[Image, int]]:
    """A context with a Pillow image whose header has been read, and the file size in bytes.

    Damage that is found inside the context becomes a `DataError` that names the file.

    Args:
        path: the file.
        threaded: whether other threads run at the same time, so that the filters of warnings must not change; see `ignore_pillow_warnings`.
    """
    from PIL import Image

    with image_file(path) as (file, size):
        _check_webp(file, path)
        with nullcontext() if threaded else _warnings_ignored():
            yield Image.open(file, formats=format_names(path.suffix.lower())), size


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
    check_pixels(path, height, width)


def header(image: Image, path: Path, size: int) -> Header:
    """The header of the current page of the image; `DataError` if it is too large or has unsupported pixels."""
    tags: Any = getattr(image, "tag_v2", {})
    width, height = (tags[_WIDTH], tags[_HEIGHT]) if image.format == "TIFF" else image.size
    check_pixels(path, height, width)
    tile = tags.get(_TILE_HEIGHT, 0), tags.get(_TILE_WIDTH, 0)
    check_proportion(path, size, (height, width), tile, _BYTES.get(image.mode, 4))
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
        return DEEP
    if image.mode in _GRAY:
        return GRAY
    if image.mode in _COLOR:
        return COLOR
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
    bits: Any = getattr(image, "tag_v2", {}).get(_BITS, (8,)) if image.format == "TIFF" else (8,)
    deep = largest > 255 or max(bits) == 16
    if image.mode in ("P", "PA"):
        yield "palette"
    if (image.mode in ("CMYK", "YCbCr") and image.format != "JPEG") or image.mode == "CMYK":
        yield "print colors"
    if image.mode == "1":
        yield "1-bit"
    if re.match(r"(RGB\w?|LA|CMYK);16", raw) or (deep and not image.mode.startswith("I")):
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
