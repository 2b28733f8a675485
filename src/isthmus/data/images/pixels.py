"""One image as an array; what was rewritten on the way is counted, and becomes a sentence."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isthmus.data.images.headers import Header, Kind, has_alpha

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["REWRITTEN", "decoded", "rewritten"]

Array = npt.NDArray[Any]

REWRITTEN = {  # in the order in which it is said
    "turned": "turned upright, as EXIF says",
    "exif": "read as they lie, because their EXIF is damaged",
    "palette": "turned from a palette into {kind}",
    "print colors": "turned from CMYK or YCbCr into {kind}",
    "1-bit": "turned from 1 bit into 0 and 255",
    "stretched": "stretched to the full range from 2 to 7 bits, or from a largest number of their own",
    "16-bit color": "turned from 16 into 8 bits, because they have colors or an alpha channel",
    "white": "laid on white where they are transparent",
    "opaque": "read without their alpha channel, which is opaque everywhere",
    "ignored transparency": "read without their transparent color, because they have 16 bits",
    "resized": "resized to {size}",
    "colored": "turned from gray into color",
    "grayed": "turned from color into gray",
}


def rewritten(counts: Counter[str], kind: Kind, size: tuple[int, int] | None) -> list[str]:
    """A sentence for each way in which images were changed."""
    height, width = size or (0, 0)
    target = "RGB" if kind == "color" else "gray"
    return [
        f"{counts[what]:,} {'image was' if counts[what] == 1 else 'images were'} {text.format(kind=target, size=f'{height}x{width}')}"
        for what, text in REWRITTEN.items()
        if counts[what]
    ]


def decoded(image: Image, header: Header, kind: Kind, resize: tuple[int, int] | None) -> tuple[Array, set[str]]:
    """The pixels of an image of which the header is known, upright, and what was rewritten.

    Returns:
        (h, w) or (h, w, 3), uint8 or uint16; names in `REWRITTEN`.

    Raises:
        ValueError: numbers that do not fit into 16 bits.
    """
    from PIL import Image

    changed = set(header.rewritten)
    image.load()
    if resize is not None and resize != header.size:
        changed.add("resized")
    if kind == "16-bit gray":
        return _deep(image, header, resize), changed
    if has_alpha(image):
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] == 255:
            changed.add("opaque")
        else:
            changed.add("white")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if (header.kind == "color") != (kind == "color"):
        changed.add("colored" if kind == "color" else "grayed")
    image = image.convert("RGB" if kind == "color" else "L")
    turn = _turn(header)
    if turn is not None:
        image = image.transpose(turn)
    if resize is not None and resize != image.size[::-1]:
        image = image.resize(resize[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image), changed


def _turn(header: Header) -> Any:
    """What Pillow calls the way to turn an image; None where it is upright, as TIFF is once it is loaded."""
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


def _deep(image: Image, header: Header, resize: tuple[int, int] | None) -> Array:
    from PIL import Image

    values: Array = np.asarray(image)
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ValueError("its numbers do not fit into 16 bits")
    turn = _turn(header)
    if turn is None and (resize is None or resize == values.shape):
        return values
    smooth = Image.fromarray(values.astype(np.float32))
    if turn is not None:
        smooth = smooth.transpose(turn)
    if resize is not None:
        smooth = smooth.resize(resize[::-1], Image.Resampling.BILINEAR)
    return np.asarray(np.rint(np.asarray(smooth)), np.uint16)
