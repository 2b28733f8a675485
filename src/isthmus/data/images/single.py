"""One image of any size and number of channels: its pixels with the depth of the file, and writing pixels as an image."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.images.header_fields import COLOR, DEEP, GRAY, Header, Kind
from isthmus.data.images.headers import header, headers, opened
from isthmus.data.images.pixels import changes_of, decoded
from isthmus.data.images.samples import decode_samples
from isthmus.errors import DataError
from isthmus.io.atomic import replace_file
from isthmus.io.files import shown

__all__ = ["WRITTEN", "Single", "check_kind", "check_writable", "read_image", "read_image_header", "write_image"]

Array = npt.NDArray[Any]
WRITTEN = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}
"""The lossless formats in which images are written, by file name extension."""
_BY_PILLOW = {GRAY, DEEP, COLOR}  # what Pillow writes; the rest is written by tifffile
_PRINT_COLORS = {"CMYK", "YCbCr", "LAB"}  # modes whose ICC profile does not describe RGB
_MAX_DPI = 1e6


class Single(NamedTuple):
    """One image.

    Attributes:
        pixels: (h, w) or (h, w, 3) uint8, or uint16 of gray images with 16 bits; of a TIFF file whose samples are no usual gray or
            color, (h, w) or (h, w, channels) with the type of the file. Upright.
        header: of its file.
        changes: the conversions, by the names in `pixels.REWRITTEN`.
        dpi: the resolution in pixels per inch (horizontal, vertical), after rotation to upright; None if it is unknown.
        profile: the ICC profile of the colors, if the pixels still have these colors; else None.
    """

    pixels: Array
    header: Header
    changes: set[str]
    dpi: tuple[float, float] | None = None
    profile: bytes | None = None


def read_image_header(path: Path) -> Header:
    """The header of the first page of an image file; nothing is decoded.

    Raises:
        DataError: the file is not an image, is damaged, too large, or has unsupported pixels.
    """
    return headers(path)[0]


def check_kind(path: Path, found: Header, color: bool) -> None:
    """`DataError` if an image cannot be read in color: it is gray with 16 bits."""
    if color and found.kind == DEEP:
        raise DataError(f"{shown(path)} is gray with 16 bits, and color requires 8: save it with 8 bits")


def read_image(path: Path, color: bool) -> Single:
    """The first page of an image file, in gray or in color. A color image with 16 bits is read with 8.

    Args:
        path: the file.
        color: whether the pixels of gray and color images with 8 bits are RGB, else they are gray. Others stay as they are.

    Raises:
        DataError: the file is not an image, is damaged, too large, or has unsupported pixels, or one that is not finite.
    """
    found = read_image_header(path)
    check_kind(path, found, color)
    if found.sampled:
        kind = (COLOR if color else GRAY) if found.kind.convertible else found.kind
        (pixels,) = decode_samples(path, [found], kind, None)
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            raise DataError(f"{shown(path)} has a pixel that is not a finite number: replace it by a number")
        return Single(pixels, found, changes_of(found, kind, None) | {"metadata"})
    with opened(path) as (image, size):
        if header(image, path, size) != found:
            raise DataError(f"{shown(path)} changed while it was read; read it again")
        kind = COLOR if color else DEEP if found.kind == DEEP else GRAY
        dpi, profile, mode = _dpi(image, found), image.info.get("icc_profile"), image.mode
        pixels, changes = decoded(image, found, kind, None)
        if pixels.shape[:2] != found.size:
            raise DataError(f"the size of {shown(path)} differs from its header; replace or remove it")
        if profile and (not isinstance(profile, bytes) or mode in _PRINT_COLORS or color != (found.kind == COLOR)):
            profile, changes = None, changes | {"profile"}
        if kind == DEEP:
            pixels = pixels.astype(np.uint16)
        return Single(pixels, found, changes, dpi, profile or None)


def _dpi(image: Any, found: Header) -> tuple[float, float] | None:
    """The resolution of an image, after rotation to upright; None if it is unknown or invalid."""
    try:
        across, down = (float(each) for each in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None
    if not (0 < across < _MAX_DPI and 0 < down < _MAX_DPI):
        return None
    return (down, across) if found.orientation >= 5 else (across, down)


def check_writable(path: Path, kind: Kind) -> None:
    """`DataError` if a file of this name cannot have pixels of this kind."""
    if kind not in _BY_PILLOW and WRITTEN[path.suffix.lower()] != "TIFF":
        raise DataError(f"{shown(path)}: PNG has no images with {kind}: give a name that ends in .tif")


def write_image(
    path: Path, pixels: Array, dpi: tuple[float, float] | None = None, profile: bytes | None = None
) -> None:
    """Writes an image as PNG or TIFF, atomically and without loss.

    Args:
        path: the file, whose extension is in `WRITTEN`.
        pixels: (h, w) uint8 or uint16, or (h, w, 3) uint8; as TIFF also (h, w) and (h, w, channels) of other types.
        dpi: the resolution in pixels per inch (horizontal, vertical), if it is known.
        profile: the ICC profile of the colors, if there is one.
    """
    from PIL import Image

    content, kind = io.BytesIO(), Kind(1 if pixels.ndim == 2 else pixels.shape[2], str(pixels.dtype))
    if kind not in _BY_PILLOW:
        check_writable(path, kind)
        from tifffile import imwrite

        layout = {} if pixels.ndim == 2 else {"planarconfig": "contig"}
        imwrite(content, pixels, photometric="minisblack", compression="zlib", metadata=None, **layout)
        replace_file(path, content.getbuffer())
        return
    options: dict[str, Any] = {"compression": "tiff_deflate"} if WRITTEN[path.suffix.lower()] == "TIFF" else {}
    options |= ({} if dpi is None else {"dpi": dpi}) | ({} if profile is None else {"icc_profile": profile})
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, WRITTEN[path.suffix.lower()], **options)
    replace_file(path, content.getbuffer())
