"""The EXIF orientation of an image, read without a parser of EXIF data: a few bytes can declare gigabytes of tags."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["orientation_of"]

_ORIENTATION = 0x0112


def orientation_of(image: Image) -> int | None:
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
