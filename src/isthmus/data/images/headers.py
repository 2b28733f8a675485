"""The header of an image, read before it is decoded, and limits of its size in proportion to the file."""

from __future__ import annotations

import os
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from isthmus.data.images.cut import gif_is_cut, is_cut
from isthmus.data.images.formats import format_names
from isthmus.errors import DataError
from isthmus.io.files import open_regular, shown

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DAMAGED", "Header", "Kind", "has_alpha", "header", "headers", "opened"]

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
_ORIENTATION, _WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 0x0112, 256, 257, 322, 323
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # per pixel in memory; others have 4
_GRAY = {"1", "L", "LA", "La"}
_COLOR = {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}


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
    """

    format: str
    size: tuple[int, int]
    kind: Kind
    orientation: int
    more: bool
    cut: bool
    rewritten: frozenset[str]


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
def opened(path: Path) -> Iterator[tuple[Image, int]]:
    """A context with a Pillow image whose header has been read, and the file size in bytes.

    Damage that is found inside the context becomes a `DataError` that names the file.
    """
    from PIL import Image, UnidentifiedImageError

    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MAX_BYTES:
            raise DataError(f"{shown(path)} is larger than {_MAX_BYTES >> 20} MiB; make the image smaller")
        _check_webp(file, path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", UserWarning
                )  # about unimportant tags; serious damage raises an error too
                warnings.simplefilter("error", Image.DecompressionBombWarning)
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
    orientation = _orientation(image)
    if orientation is None:
        rewritten.add("exif")
    elif orientation > 1:
        rewritten.add("turned")
    if (orientation or 1) >= 5:  # rotated by 90 degrees
        width, height = height, width
    more, cut = _more(image), image.tell() == 0 and is_cut(image)
    return Header(
        str(image.format), (height, width), _kind(image, path), orientation or 1, more, cut, frozenset(rewritten)
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


def _orientation(image: Image) -> int | None:
    """The EXIF orientation, 1 to 8; None if the EXIF data cannot be read."""
    if image.format == "TIFF":
        known = getattr(image, "tag_v2", {}).get(_ORIENTATION, 1)
        return known if known in range(1, 9) else 1
    exif = image.info.get("exif")
    if exif is None and image.format == "PNG":
        exif = _late_exif(image)
    if not exif:
        return 1
    try:
        return _exif_orientation(exif.removeprefix(b"Exif\0\0"))
    except (struct.error, ValueError, TypeError, AttributeError):
        return None


def _exif_orientation(exif: bytes) -> int:
    """The orientation in EXIF data. Nothing else is read, since a few bytes can declare gigabytes of tags."""
    order = {b"II*\0": "<", b"MM\0*": ">"}[exif[:4]] if exif[:4] in (b"II*\0", b"MM\0*") else ""
    if not order:
        raise ValueError("no EXIF")
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
        if tag == _ORIENTATION:
            (value,) = struct.unpack_from(order + {1: "B", 3: "H", 4: "I"}.get(kind, "H"), exif, entry + 8)
            return value if value in range(1, 9) else 1
    return 1


def _late_exif(image: Any) -> bytes | None:
    """The EXIF data of a PNG after its pixels, where some programs write it."""
    file = image.fp
    place, at = file.tell(), 8
    try:
        while len(head := _at(file, at, 8)) == 8 and head[4:] != b"IEND":
            length = int.from_bytes(head[:4])
            if head[4:] == b"eXIf":
                return _at(file, at + 8, min(length, 1 << 16))
            at += 12 + length
    finally:
        file.seek(place)
    return None


def _at(file: Any, place: int, size: int) -> bytes:
    file.seek(place)
    found: bytes = file.read(size)
    return found
