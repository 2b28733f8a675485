"""Reconstruction of an image of any size part by part, in memory that does not grow with the image.

A fully convolutional model reconstructs tiles, each with a margin of its receptive field: the result is that of the whole image in one
go. Other models reconstruct patches of the size of their examples, which overlap by half and are blended.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.architectures.base import ReceptiveField
from isthmus.data.containers import unwrapped
from isthmus.data.locations import Positions
from isthmus.errors import DataError, MemoryLimitError, RecordError
from isthmus.estimators.inference import in_batches
from isthmus.estimators.overflow import ComputableRange
from isthmus.model import Model
from isthmus.text import quoted

__all__ = ["CheckMemory", "check_image", "check_out", "receptive_field", "reconstruct_parts", "write_part"]

Array = NDArray[Any]
_MAX_BYTES = 2**26  # of the windows that are computed together
CheckMemory = Callable[[Model, Array], None]  # of a model, and of rows of which one is computed at a time


class Part(NamedTuple):
    """The reconstruction of the pixels of an image at a place: some rows and columns."""

    place: tuple[slice, ...]
    values: Array


def check_image(image: Any, shape: tuple[int, ...]) -> Array:
    """The image as an array; `DataError` unless it has the channels of examples of this shape, and finite numbers."""
    tensor = isinstance(image, torch.Tensor)
    if isinstance(image, np.ma.MaskedArray) or not (tensor or isinstance(image, np.ndarray)):
        name = f"{type(image).__module__.partition('.')[0]}.{type(image).__name__}".removeprefix("builtins.")
        why = "whose mask would be lost" if isinstance(image, np.ma.MaskedArray) else "and not an array"
        raise DataError(f"the image is a {name}, {why}: give a NumPy array (height, width) or a tensor")
    values = np.asarray(unwrapped(image).values if tensor else image)
    if values.dtype.kind not in "buif":
        raise DataError(f"an image of dtype {values.dtype} has no numbers: give integers or floats")
    if values.ndim != len(shape) or values.shape[2:] != shape[2:] or not values.size:
        sides = ("height", "width", *map(str, shape[2:]))
        raise DataError(
            f"the image has shape {values.shape}, but this autoencoder reconstructs images of shape ({', '.join(sides)})"
        )
    for begin in range(0, len(values) if values.dtype.kind == "f" else 0, 512):
        bad = np.argwhere(~np.isfinite(values[begin : begin + 512]))
        if len(bad):
            row, column = begin + int(bad[0][0]), int(bad[0][1])
            value = values[(row, *map(int, bad[0][1:]))]
            raise DataError(f"the pixel in row {row}, column {column} is {value:g}: replace it by a number")
    return values.view(np.uint8) if values.dtype.kind == "b" else values


def check_out(out: Any, image: Any, values: Array) -> None:
    """`RecordError` unless the reconstruction of an image, whose values are given, can be written into an array part by part."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise RecordError(f"invalid out={quoted(out, 20)}: expected a NumPy array of the image's shape {values.shape}")
    if out.shape != values.shape or out.dtype.kind not in "uif":
        raise RecordError(f"invalid out: expected numbers of the image's shape {values.shape}")
    if not out.flags.writeable:
        raise RecordError("invalid out: it is read-only; open a memory map with mode 'r+' or 'w+'")
    if np.may_share_memory(out, values) or _same_file(out, image):
        raise RecordError(
            "invalid out: it shares its memory or file with the image, whose next parts would be read from the result; give another array"
        )


def _same_file(one: Any, other: Any) -> bool:
    """Whether both arrays are parts of different memory maps of one file."""
    if not (isinstance(one, np.memmap) and isinstance(other, np.memmap)) or one._mmap is other._mmap:  # type: ignore[attr-defined]
        return False
    files = [os.path.realpath(str(each.filename)) for each in (one, other) if each.filename is not None]
    return len(files) == 2 and files[0] == files[1]


def receptive_field(model: Model) -> ReceptiveField | None:
    """The receptive field of a model whose reconstructions of a large image and of its parts are the same; else None."""
    field = model.architecture.receptive_field(model.shape)
    units = [model.shift, model.scale, *([] if model.least is None else [model.least])]
    one_unit = all(each.ndim < 2 and each.shape in {(), (1,), model.shape[2:]} for each in units)
    return field if one_unit and not model.likelihood.given_total else None


def reconstruct_parts(model: Model, image: Array, tile: int, check_memory: CheckMemory) -> Iterator[Part]:
    """The reconstruction of an image (h, w) or (h, w, channels) in raw units, part by part.

    Args:
        model: of images of any height and width, without context.
        image: checked by `check_image`.
        tile: about the height and width of a part, in pixels; less if the memory does not suffice.
        check_memory: called before the first part.
    """
    field = receptive_field(model)
    if field is None:
        return _from_patches(model, image, tile, check_memory)
    return _from_tiles(model, field, image, tile, check_memory)


def write_part(part: Part, out: Array) -> None:
    """Writes a part into an image. Integers are rounded, and limited to the range of their dtype."""
    values = part.values
    if out.dtype.kind != "f":
        ends = np.iinfo(out.dtype)
        values = np.rint(values.astype(np.float64)).clip(ends.min, ends.max)
    out[part.place] = values


@dataclass(frozen=True, eq=False)
class _Pixels(Positions):
    """The locations of the values of windows in the image. Beyond its end its last pixels are repeated."""

    row_name: str = "image"
    starts: Sequence[Sequence[int]] = ()
    sides: tuple[int, ...] = ()

    def __call__(self, index: tuple[int, ...]) -> str:
        start, place = self.starts[index[0]], index[1:3]
        row, column = (min(sum(each), side - 1) for *each, side in zip(start, place, self.sides, strict=True))
        return f"the pixel in row {row}, column {column}"


def _reconstructed(
    model: Model, image: Array, starts: Sequence[Sequence[int]], batch_size: Literal[1] | None = None
) -> Array:
    """The reconstructions of windows of an image, of the size of the model's examples, that start at these rows and columns."""
    rows = np.stack([_window(image, start, model.shape[:2]) for start in starts])
    computable = ComputableRange.examples(model, positions=_Pixels(starts=starts, sides=image.shape[:2]))
    return in_batches(model.reconstruct_raw, rows, model, computable=computable, batch_size=batch_size)


def _from_tiles(
    model: Model, field: ReceptiveField, image: Array, tile: int, check_memory: CheckMemory
) -> Iterator[Part]:
    """Tiles of a fully convolutional model. Windows begin at multiples of the stride and contain all that their tile depends on."""
    whole, margin = [_multiple(side, field.stride) for side in image.shape[:2]], _multiple(field.radius, field.stride)
    step, at_once = _fitting(model, field, image, tile, check_memory)
    window = list(at_once.shape[:2])
    corners = list(product(*(range(0, side, step) for side in image.shape[:2])))
    count = max(1, min(4 * torch.get_num_threads(), _MAX_BYTES // (4 * math.prod(at_once.shape))))
    for begin in range(0, len(corners), count):
        some = corners[begin : begin + count]
        starts = [
            [min(max(at - margin, 0), side - length) for at, side, length in zip(corner, whole, window, strict=True)]
            for corner in some
        ]
        made = _reconstructed(at_once, image, starts, batch_size=1)
        for corner, start, values in zip(some, starts, made, strict=True):
            ends = [min(at + step, side) for at, side in zip(corner, image.shape[:2], strict=True)]
            inner = (slice(at - first, end - first) for at, end, first in zip(corner, ends, start, strict=True))
            yield Part(tuple(map(slice, corner, ends)), values[tuple(inner)])


def _fitting(
    model: Model, field: ReceptiveField, image: Array, tile: int, check_memory: CheckMemory
) -> tuple[int, Model]:
    """The tile, halved until the memory suffices, and the model for its windows. `MemoryLimitError` if it does not for the least."""
    whole, margin = [_multiple(side, field.stride) for side in image.shape[:2]], _multiple(field.radius, field.stride)
    step = min(_multiple(tile, field.stride), max(whole))
    while True:
        window = [min(step + 2 * margin, side) for side in whole]
        at_once = model.at_shape((*window, *image.shape[2:]))
        try:
            check_memory(at_once, _window(image, (0, 0), window)[None])
        except MemoryLimitError:
            if step == field.stride:
                raise
            step = _multiple(step // 2, field.stride)
        else:
            return step, at_once


def _from_patches(model: Model, image: Array, tile: int, check_memory: CheckMemory) -> Iterator[Part]:
    """Blended patches, at the same positions for any tile: every pixel is a mean, weighted by its distances from the patches' borders."""
    sides, shape = model.raw_shape[:2], image.shape[:2]
    step = max(tile, *sides)
    for number, corner in enumerate(product(*(range(0, side, step) for side in shape))):
        ends = [min(at + step, side) for at, side in zip(corner, shape, strict=True)]
        starts = [_patches_at(*each) for each in zip(shape, sides, corner, ends, strict=True)]
        if not number:
            check_memory(model, _window(image, (0, 0), sides)[None])
        made = _reconstructed(model, image, list(product(*starts)))
        total, covered = _blended(made, starts, sides)
        inner = tuple(slice(at - first[0], end - first[0]) for at, end, first in zip(corner, ends, starts, strict=True))
        weights = covered[0][inner[0], None] * covered[1][inner[1]]
        yield Part(
            tuple(map(slice, corner, ends)), total[inner] / weights.reshape(*weights.shape, *[1] * (image.ndim - 2))
        )


def _blended(made: Array, starts: list[list[int]], sides: tuple[int, ...]) -> tuple[Array, list[Array]]:
    """The weighted sum of patches at the starts of both axes, and the sums of their weights along each axis."""
    ramps = [np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)).astype(made.dtype) for side in sides]
    covered = [np.zeros(each[-1] - each[0] + side, made.dtype) for each, side in zip(starts, sides, strict=True)]
    for each, ramp, sums in zip(starts, ramps, covered, strict=True):
        for start in each:
            sums[start - each[0] :][: len(ramp)] += ramp
    weights = (ramps[0][:, None] * ramps[1]).reshape(*sides, *[1] * (made.ndim - 3))
    total = np.zeros((*map(len, covered), *made.shape[3:]), made.dtype)
    for (row, column), patch in zip(product(*starts), made, strict=True):
        place = (
            slice(at - each[0], at - each[0] + side)
            for at, each, side in zip((row, column), starts, sides, strict=True)
        )
        total[tuple(place)] += weights * patch
    return total, covered


def _patches_at(length: int, side: int, begin: int, end: int) -> list[int]:
    """Where patches begin that overlap the pixels from begin to end along an axis: every half side, and at the end of the image."""
    last = max(length - side, 0)
    every = [*range(0, last, max(side // 2, 1)), last]
    return [start for start in every if start < end and start + side > begin]


def _window(image: Array, start: Sequence[int], sides: Sequence[int]) -> Array:
    """A window of an image, beyond whose end the last pixel is repeated."""
    (row, column), (height, width) = start, sides
    part = image[row : row + height, column : column + width]
    beyond = [(0, height - part.shape[0]), (0, width - part.shape[1]), *[(0, 0)] * (part.ndim - 2)]
    return np.pad(part, beyond, "edge")


def _multiple(length: int, of: int) -> int:
    """The least multiple that is not smaller than the length."""
    return -(-length // of) * of
