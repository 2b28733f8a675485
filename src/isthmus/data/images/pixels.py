"""One image as an array. Conversions are counted for the notes of a data set."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isthmus.data.images.header_fields import COLOR, DEEP, Header, Kind
from isthmus.data.images.headers import has_alpha
from isthmus.data.images.resizing import Resize, resized

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["REWRITTEN", "changes_of", "decoded", "rewritten"]

Array = npt.NDArray[Any]
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a tag of TIFF, and its value where black is the largest

REWRITTEN = {  # in the order of the notes
    "turned": "rotated to upright by the EXIF orientation",
    "exif": "not rotated, because the EXIF data is damaged",
    "palette": "converted from a palette to {kind}",
    "print colors": "converted from CMYK or YCbCr to {kind}",
    "1-bit": "converted from 1 bit to 0 and 255",
    "stretched": "scaled to the full range of 8 or 16 bits, from 2 to 7 bits or from another maximum value",
    "extra": "read with all samples, of which at least one is neither a color nor declared as alpha",
    "16-bit floats": "converted from 16-bit to 32-bit floating-point numbers",
    "16-bit color": "converted from 16 to 8 bits, because of color or an alpha channel",
    "white": "put on a white background where transparent",
    "opaque": "read without the alpha channel, which is opaque everywhere",
    "ignored transparency": "read without the transparent color, because of 16 bits",
    "resized": "resized to {size}",
    "letterboxed": "resized to {size} with the aspect ratio kept and a border that repeats the pixels at the edge",
    "cropped": "resized to {size} with the aspect ratio kept and two sides cut off",
    "colored": "converted from gray to color",
    "grayed": "converted from color to gray",
    "metadata": "written without the resolution and the descriptions of its file",
    "profile": "written without its color profile, which does not describe {kind} pixels",
}


def rewritten(counts: Counter[str], kind: Kind, size: tuple[int, int] | None) -> list[str]:
    """A note per kind of conversion."""
    height, width = size or (0, 0)
    target = "RGB" if kind == COLOR else "gray"
    return [
        f"{counts[what]:,} {'image was' if counts[what] == 1 else 'images were'} {text.format(kind=target, size=f'{height}x{width}')}"
        for what, text in REWRITTEN.items()
        if counts[what]
    ]


def changes_of(header: Header, kind: Kind, resize: Resize | None) -> set[str]:
    """The conversions of an image that its header determines, names in `REWRITTEN`: all but those of pixels that can be transparent."""
    changed = set(header.rewritten)
    if resize is not None and (change := resize.change(header.size)) is not None:
        changed.add(change)
    if header.kind != kind:
        changed.add("colored" if kind == COLOR else "grayed")
    return changed


def decoded(image: Image, header: Header, kind: Kind, resize: Resize | None) -> tuple[Array, set[str]]:
    """The pixels of an image, upright, and the conversions.

    Returns:
        Pixels (h, w) or (h, w, 3) of uint8 or uint16, and names in `REWRITTEN`.

    Raises:
        ValueError: a pixel value does not fit into 16 bits.
    """
    from PIL import Image

    changed = changes_of(header, kind, resize)
    image.load()
    if kind == DEEP:
        return _decode_16_bit(image, header, resize), changed
    if has_alpha(image):
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] == 255:
            changed.add("opaque")
        else:
            changed.add("white")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if kind == COLOR else "L")
    turn = _turn(header)
    if turn is not None:
        image = image.transpose(turn)
    return np.asarray(image) if resize is None else resized(image, resize), changed


def _turn(header: Header) -> Any:
    """Pillow's rotation or reflection that makes an image upright; None if it is. Pillow itself rotates TIFF images."""
    from PIL.Image import Transpose

    if header.format == "TIFF" or header.orientation == 1:
        return None
    ways = (
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )
    return ways[header.orientation - 2]


def _decode_16_bit(image: Image, header: Header, resize: Resize | None) -> Array:
    from PIL import Image

    values: Array = np.asarray(image)
    tags: Any = getattr(image, "tag_v2", {})
    if header.format == "TIFF" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow inverts 8-bit images only
        values = np.iinfo(np.uint16).max - values
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ValueError("its pixel values do not fit into 16 bits")
    turn = _turn(header)
    if turn is None and (resize is None or resize.size == values.shape):
        return values
    scaled = Image.fromarray(values.astype(np.float32))
    if turn is not None:
        scaled = scaled.transpose(turn)
    return np.asarray(np.rint(np.asarray(scaled) if resize is None else resized(scaled, resize)), np.uint16)
