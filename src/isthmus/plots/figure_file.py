"""Figures that were written, read again. Matplotlib, which takes half a second to import, is not needed for it."""

from __future__ import annotations

import io
import struct
from pathlib import Path

from PIL import Image

from isthmus.errors import DataError
from isthmus.io.files import open_regular, shown
from isthmus.text import sentence

__all__ = ["read_png"]

_MAX_BYTES, _MAX_PIXELS = 16 << 20, 1 << 24


def read_png(path: Path) -> tuple[bytes, str]:
    """The bytes of a PNG file, and its description. Links are not followed, and pixels are not decoded.

    Raises:
        DataError: the file is not a PNG file, or it is too large.
    """
    with open_regular(path) as file:
        content = file.read(_MAX_BYTES + 1)
    try:
        width, height = struct.unpack(">8x4x4xII", content[:24])
        if len(content) > _MAX_BYTES or width * height > _MAX_PIXELS:
            raise DataError(f"{shown(path)} is too large for a figure: remove it")
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            return content, sentence(image.info.get("Description", path.stem))
    except DataError:
        raise
    except (struct.error, OSError, SyntaxError, ValueError, LookupError, Image.DecompressionBombError) as error:
        raise DataError(f"{shown(path)} is damaged or not a PNG file ({error}): remove it") from None
