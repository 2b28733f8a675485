"""What others make of the same examples: gzip, LZMA and PNG without loss, JPEG and WebP with one, and principal components in steps."""

from __future__ import annotations

import gzip
import io
import lzma
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isthmus.data.memmap import some_rows

__all__ = ["QUALITIES", "Coded", "are_pictures", "lossless", "pictures_coded", "png", "sheets"]

Array = NDArray[Any]
QUALITIES = (1, 5, 10, 20, 40, 60, 80, 95)
_PACKED = 1 << 23  # bytes that the general packers are tried on
_SIDE = 8192  # pixels; JPEG takes 65,500 and WebP 16,383


class Coded(NamedTuple):
    """Bytes that pictures take, and the sum of the squared errors that they come back with."""

    bytes: int
    squares: float


def are_pictures(values: Array) -> bool:
    """Whether examples are what picture formats hold: bytes (n, h, w), or (n, h, w, c) of one color or three."""
    flat = values.ndim == 3 or (values.ndim == 4 and values.shape[3] in {1, 3})
    return bool(values.dtype == np.uint8 and flat and max(values.shape[1:3]) <= _SIDE)


def lossless(values: Array) -> dict[str, int]:
    """Bytes of examples (n, *shape) as an array through gzip and LZMA, and of pictures as PNG, each by itself and in large sheets.

    Of more than 8 MiB, as many as that are drawn at random, and what they take is multiplied.

    Args:
        values: examples (n, *shape).

    Returns:
        Bytes by the name of the codec.
    """
    chosen = some_rows(values, max(1, _PACKED // max(1, values[:1].nbytes)))
    raw, share = chosen.tobytes(), len(values) / len(chosen)
    found = {"gzip": len(gzip.compress(raw, 9)), "LZMA": len(lzma.compress(raw, preset=6))}
    if are_pictures(values):
        found["PNG, one by one"] = sum(map(png, pictures(chosen)))
        found["PNG, in a sheet"] = sum(map(png, sheets(chosen)))
    return {name: round(size * share) for name, size in found.items()}


def png(picture: Array) -> int:
    """Bytes of a picture as PNG."""
    return len(_saved(picture, "PNG", optimize=True))


def pictures(values: Array) -> Iterator[Array]:
    """Each picture (h, w) or (h, w, 3)."""
    yield from (values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values)


def sheets(values: Array) -> Iterator[Array]:
    """All pictures side by side in few large ones: no format's header counts there. Empty places are black."""
    n, height, width = values.shape[:3]
    columns = max(1, min(_SIDE // width, math.ceil(math.sqrt(n * height / width))))
    rows = max(1, min(_SIDE // height, math.ceil(n / columns)))
    for begin in range(0, n, rows * columns):
        part = values[begin : begin + rows * columns]
        held = math.ceil(len(part) / columns)
        sheet = np.zeros((held * columns, *values.shape[1:]), np.uint8)
        sheet[: len(part)] = part
        sheet = sheet.reshape(held, columns, *values.shape[1:]).swapaxes(1, 2)
        yield from pictures(sheet.reshape(1, held * height, columns * width, *values.shape[3:]))


def pictures_coded(pictures: Iterator[Array], kind: str, quality: int) -> Coded:
    """Pictures as JPEG or WebP of a quality."""
    total, squares = 0, 0.0
    for picture in pictures:
        choices: dict[str, Any] = {"optimize": True} if kind == "JPEG" else {"method": 4}
        content = _saved(picture, kind, quality=quality, **choices)
        with Image.open(io.BytesIO(content)) as image:
            back = np.asarray(image.convert("L" if picture.ndim == 2 else "RGB"), np.float64)
        total += len(content)
        squares += float(np.square(back - picture).sum())
    return Coded(total, squares)


def _saved(picture: Array, kind: str, **choices: Any) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(content, kind, **choices)
    return content.getvalue()
