"""The units of a run's images: their channels, the type of their pixels, and which number stands for white."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.images.header_fields import COLOR, DEEP, GRAY, Header, Kind
from isthmus.data.images.single import check_kind
from isthmus.errors import DataError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.experiments.run_record import info_of, options_of
from isthmus.io.files import shown
from isthmus.text import command

__all__ = ["Units", "check_depth", "in_units", "units_of"]

Array = NDArray[Any]


class Units(NamedTuple):
    """The units of a run's images.

    Attributes:
        channels: of an image.
        dtype: the type of its pixels; None if numbers from 0 to 1 stand for black and white, whatever the type of the file.
        trained: the range of the training values, for messages.
        note: where the units are guessed.
    """

    channels: int
    dtype: np.dtype[Any] | None
    trained: str
    note: str

    @property
    def color(self) -> bool:
        """Whether images have three channels, so that gray ones with 8 bits are converted."""
        return self.channels == COLOR.channels

    def factor(self, pixels: np.dtype[Any]) -> np.float32:
        """By how much the numbers in a file are larger than those of the run."""
        return np.float32(1 if self.dtype is not None or pixels.kind == "f" else np.iinfo(pixels).max)


def units_of(run: Path, ae: Autoencoder, dtype: str | None = None) -> Units:
    """The units of a run's images, by the dtype in its record, else by their range.

    Args:
        run: a run folder or a model file.
        ae: its autoencoder.
        dtype: that of its images; None if only the record says it.

    Raises:
        DataError: the run does not reconstruct images, or these are in no units of image files.
    """
    channels, pixels, extent = _channels(run, ae), dtype or info_of(run).pixels, ae.model_.extent
    least, largest = (0.0, 255.0) if extent is None else (float(extent.least.min()), float(extent.largest.max()))
    trained = f"values from {least:g} to {largest:g}"
    if pixels is not None and " to " in pixels:
        raise DataError(
            f"{shown(run)} was trained on images and targets in different units ({pixels}): use ae.reconstruct_image in Python"
        )
    if pixels in {"int64", "uint64"}:  # of arrays; no image file has such pixels
        pixels = None
    if pixels in {"uint8", "uint16"} and largest > 1:
        return Units(channels, np.dtype(pixels), trained, "")
    if least >= 0 and largest <= 1:
        note = f"{shown(run)} was trained on {trained}: whole numbers of files are divided by the largest number of their bits"
        return Units(channels, None, trained, note)
    if pixels is None and least >= 0 and largest <= 65_535 and least % 1 == largest % 1 == 0:
        bits = 8 if largest <= 255 else 16
        note = f"{shown(run)} was trained on {trained}, which are taken as pixels with {bits} bits"
        return Units(channels, np.dtype(f"uint{bits}"), trained, note)
    return Units(channels, np.dtype(pixels or np.float32), trained, "")


def _channels(run: Path, ae: Autoencoder) -> int:
    """The channels of a run's images; `DataError` if it does not reconstruct images."""
    shape, data = ae.shape_, command("isthmus", "reconstruct", run, "--data", "PATH")
    if options_of(run).pages == "channels":
        raise DataError(
            f"{shown(run)} was trained on the pages of a file as channels, not on single images: use {data}"
        )
    if ae.kind_ not in {"images", "windows"} or len(shape) not in {2, 3}:
        raise DataError(
            f"{shown(run)} was trained on examples of kind {ae.kind_} and shape {shape}, not on images: use {data}"
        )
    return shape[2] if len(shape) == 3 else 1


def check_depth(run: Path, units: Units, path: Path, header: Header) -> None:
    """`DataError` unless an image has the channels and the type of the training images."""
    kind = header.kind
    _check_channels(run, units, path, kind)
    if units.color:
        check_kind(path, header, True)
    if units.dtype is None and (kind.dtype.kind == "f" or np.iinfo(kind.dtype).min == 0):
        return
    if units.dtype is not None and (kind.dtype == units.dtype or kind.dtype.kind == units.dtype.kind == "f"):
        return
    if units.dtype is None or units.dtype.kind == "f":
        raise DataError(
            f"{shown(path)} has {kind}, but {shown(run)} was trained on {units.trained}, and images have whole numbers from 0 to 255 or "
            "65,535: use ae.reconstruct_image in Python, with an image in the units of training"
        )
    remedy = f", or use ae.reconstruct_image in Python if it is in the units of {shown(run)}" if units.note else ""
    if {kind, Kind(1, str(units.dtype))} <= {GRAY, DEEP, COLOR}:
        has, other = (f"{8 * dtype.itemsize} bits" for dtype in (kind.dtype, units.dtype))
    else:
        has, other = str(kind), str(Kind(units.channels, str(units.dtype)))
    raise DataError(
        f"{shown(path)} has {has}, but {shown(run)} was trained on {units.trained}: save it with {other}{remedy}"
    )


def _check_channels(run: Path, units: Units, path: Path, kind: Kind) -> None:
    """`DataError` unless an image has the channels of the training images, or is gray or color and can be converted."""
    convertible = units.channels in {GRAY.channels, COLOR.channels} and (kind.convertible or kind == DEEP)
    if kind.channels == units.channels or convertible:
        return
    trained = f"{units.channels:,} channel{'s' * (units.channels > 1)}"
    raise DataError(
        f"{shown(path)} has {kind}, but {shown(run)} was trained on images with {trained}: give images with {trained}"
    )


def in_units(pixels: Array, units: Units, shape: tuple[int, ...]) -> Array:
    """The pixels of an image file (h, w) or (h, w, channels) in the units of a run whose examples have this shape."""
    pixels = pixels.reshape(*pixels.shape[:2], *shape[2:])
    factor = units.factor(pixels.dtype)
    return pixels if factor == 1 else np.divide(pixels, factor, dtype=np.float32)
