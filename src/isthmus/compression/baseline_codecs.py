"""Sizes of the same examples with other codecs: gzip, LZMA and PNG without loss, JPEG and WebP with loss."""

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

__all__ = [
    "QUALITIES",
    "LossySize",
    "are_images",
    "contact_sheets",
    "encode_images",
    "lossless",
    "png_bytes",
    "single_images",
]

Array = NDArray[Any]
QUALITIES = (1, 5, 10, 20, 40, 60, 80, 95)
_MAX_BYTES = 1 << 23  # of examples that gzip and LZMA are measured on
_MAX_SIDE = 8192  # pixels; the limits of JPEG and WebP are 65,500 and 16,383


class LossySize(NamedTuple):
    """Size of images in a lossy format.

    Attributes:
        bytes: of all images.
        squared_error: sum of squared errors over all pixels.
    """

    bytes: int
    squared_error: float


def are_images(values: Array) -> bool:
    """Whether image formats can store examples: bytes (n, h, w) or (n, h, w, c) with one or three channels."""
    shape_fits = values.ndim == 3 or (values.ndim == 4 and values.shape[3] in {1, 3})
    return bool(values.dtype == np.uint8 and shape_fits and max(values.shape[1:3]) <= _MAX_SIDE)


def lossless(values: Array) -> dict[str, int]:
    """Sizes of examples as an array with gzip and LZMA, and of images as PNG, one by one and in large contact sheets.

    Of more than 8 MiB, a random sample of 8 MiB is measured, and the size is extrapolated.

    Args:
        values: examples (n, *shape).

    Returns:
        Bytes by the name of the codec.
    """
    chosen = some_rows(values, max(1, _MAX_BYTES // max(1, values[:1].nbytes)))
    raw, factor = chosen.tobytes(), len(values) / len(chosen)
    sizes = {"gzip": len(gzip.compress(raw, 9)), "LZMA": len(lzma.compress(raw, preset=6))}
    if are_images(values):
        sizes["PNG, one by one"] = sum(map(png_bytes, single_images(chosen)))
        sizes["PNG, in a sheet"] = sum(map(png_bytes, contact_sheets(chosen)))
    return {name: round(size * factor) for name, size in sizes.items()}


def png_bytes(image: Array) -> int:
    """The size of an image as PNG."""
    return len(_encoded(image, "PNG", optimize=True))


def single_images(values: Array) -> Iterator[Array]:
    """Each image (h, w) or (h, w, 3)."""
    yield from (values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values)


def contact_sheets(values: Array) -> Iterator[Array]:
    """All images in a few large ones, so that the headers of formats do not matter. Empty positions are black."""
    n, height, width = values.shape[:3]
    columns = max(1, min(_MAX_SIDE // width, math.ceil(math.sqrt(n * height / width))))
    rows = max(1, min(_MAX_SIDE // height, math.ceil(n / columns)))
    for begin in range(0, n, rows * columns):
        part = values[begin : begin + rows * columns]
        used_rows = math.ceil(len(part) / columns)
        sheet = np.zeros((used_rows * columns, *values.shape[1:]), np.uint8)
        sheet[: len(part)] = part
        sheet = sheet.reshape(used_rows, columns, *values.shape[1:]).swapaxes(1, 2)
        yield from single_images(sheet.reshape(1, used_rows * height, columns * width, *values.shape[3:]))


def encode_images(images: Iterator[Array], kind: str, quality: int) -> LossySize:
    """The size and error of images as JPEG or WebP of a quality."""
    total, squared_error = 0, 0.0
    for image in images:
        options: dict[str, Any] = {"optimize": True} if kind == "JPEG" else {"method": 4}
        content = _encoded(image, kind, quality=quality, **options)
        with Image.open(io.BytesIO(content)) as opened:
            decoded = np.asarray(opened.convert("L" if image.ndim == 2 else "RGB"), np.float64)
        total += len(content)
        squared_error += float(np.square(decoded - image).sum())
    return LossySize(total, squared_error)


def _encoded(image: Array, kind: str, **options: Any) -> bytes:
    """The bytes of an image in a format."""
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(content, kind, **options)
    return content.getvalue()
