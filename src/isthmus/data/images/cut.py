"""Detection of truncated files with several pages or frames. The first page of such a file can be intact."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from isthmus.data.images.tiff_tags import tiff_pages

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["gif_is_cut", "is_cut"]


def is_cut(image: Image) -> bool:
    """Whether the file ends before its last page, by its block structure; nothing is decoded.

    In other formats, a truncated file always causes an error when it is decoded. The current page of the image does not change.
    """
    file: Any = image.fp  # type: ignore[attr-defined]  # of image files
    place = file.tell()
    try:
        if image.format == "GIF":
            return gif_is_cut(file)
        if image.format == "PNG":
            return bool(getattr(image, "is_animated", False)) and _png_is_cut(file)
        return image.format == "TIFF" and tiff_pages(file)[1]
    finally:
        file.seek(place)


def gif_is_cut(gif: Any) -> bool:
    """Whether a GIF ends before its last block. Pillow would take this for the regular end."""
    gif.seek(0)
    _skip_colors(gif, gif.read(13)[10])
    while (block := gif.read(1)) not in {b"", b";"}:
        if block == b"!":
            gif.seek(1, os.SEEK_CUR)
        elif block == b"," and len(image := gif.read(9)) == 9:
            _skip_colors(gif, image[8])
            gif.seek(1, os.SEEK_CUR)
        else:  # skip unknown bytes between blocks
            continue
        while length := gif.read(1)[:1].strip(b"\0"):
            gif.seek(length[0], os.SEEK_CUR)
    return bool(block != b";")


def _skip_colors(gif: Any, flags: int) -> None:
    if flags & 0x80:
        gif.seek(3 << ((flags & 7) + 1), os.SEEK_CUR)


def _png_is_cut(png: Any) -> bool:
    png.seek(8)
    while len(head := png.read(8)) == 8 and head[4:] != b"IEND":
        png.seek(int.from_bytes(head[:4]) + 4, os.SEEK_CUR)
    return len(head) < 8 or len(png.read(4)) < 4
