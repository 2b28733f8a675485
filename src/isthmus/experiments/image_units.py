"""The units of a run's images: whether they are gray or color, and which number stands for white."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.images.header_fields import DEEP, Header
from isthmus.data.images.single import check_kind
from isthmus.errors import DataError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.experiments.run_record import info_of, options_of
from isthmus.io.files import shown
from isthmus.text import command

__all__ = ["Units", "check_depth", "in_units", "is_color", "units_of"]

Array = NDArray[Any]


class Units(NamedTuple):
    """The units of a run's images: `top` stands for white, 1, 255 or 65,535; and a note where they are guessed."""

    top: int
    trained: str
    note: str


def is_color(run: Path, ae: Autoencoder) -> bool:
    """Whether a run reconstructs color images; `DataError` if it does not reconstruct gray or color images."""
    shape = ae.shape_
    if options_of(run).pages == "channels":
        raise DataError(
            f"{shown(run)} was trained on the pages of a file as channels, not on gray or color images: use "
            f"{command('isthmus', 'reconstruct', run, '--data', 'PATH')}"
        )
    if ae.kind_ not in {"images", "windows"} or len(shape) not in {2, 3} or shape[2:] not in {(), (1,), (3,)}:
        data = command("isthmus", "reconstruct", run, "--data", "PATH")
        raise DataError(
            f"{shown(run)} was trained on examples of kind {ae.kind_} and shape {shape}, not on gray or color images: use {data}"
        )
    return shape[2:] == (3,)


def units_of(run: Path, ae: Autoencoder) -> Units:
    """The units of a run's images, by the dtype in its record, else by their range; `DataError` if these are no units of image files."""
    pixels, extent = info_of(run).pixels, ae.model_.extent
    least, largest = (0.0, 255.0) if extent is None else (float(extent.least.min()), float(extent.largest.max()))
    trained = f"values from {least:g} to {largest:g}"
    if pixels is not None and " to " in pixels:
        raise DataError(
            f"{shown(run)} was trained on images and targets in different units ({pixels}): use ae.reconstruct_image in Python"
        )
    if least >= 0 and largest <= 1:
        note = f"{shown(run)} was trained on {trained}: pixels are divided by the largest number of their bits"
        return Units(1, trained, note)
    if pixels in {"uint8", "uint16"}:
        return Units(255 if pixels == "uint8" else 65_535, trained, "")
    if pixels is None and least >= 0 and largest <= 65_535 and least % 1 == largest % 1 == 0:
        bits = 8 if largest <= 255 else 16
        note = f"{shown(run)} was trained on {trained}, which are taken as pixels with {bits} bits"
        return Units(2**bits - 1, trained, note)
    raise DataError(
        f"{shown(run)} was trained on {trained}, and images have whole numbers from 0 to 255 or 65,535: use ae.reconstruct_image in "
        "Python, with an image in the units of training"
    )


def check_depth(run: Path, units: Units, path: Path, header: Header, color: bool) -> None:
    """`DataError` unless an image has the depth of the training images."""
    check_kind(path, header, color)
    deep = header.kind == DEEP
    if units.top > 1 and deep != (units.top > 255):
        remedy = f", or use ae.reconstruct_image in Python if it is in the units of {shown(run)}" if units.note else ""
        raise DataError(
            f"{shown(path)} has {16 if deep else 8} bits, but {shown(run)} was trained on {units.trained}: save it with "
            f"{8 if deep else 16} bits{remedy}"
        )


def in_units(pixels: Array, units: Units, shape: tuple[int, ...]) -> Array:
    """The pixels of an image file (h, w) or (h, w, 3) in the units of a run whose examples have this shape."""
    pixels = pixels.reshape(*pixels.shape[:2], *shape[2:])
    if units.top > 1:
        return pixels
    return np.divide(pixels, np.iinfo(pixels.dtype).max, dtype=np.float32)
