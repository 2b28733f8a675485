"""Reconstruction of an image or a series of any size part by part, in memory that does not grow with it.

A fully convolutional model reconstructs tiles, each with a margin of its receptive field: the result is that of the whole in one go.
Other models reconstruct patches of the size of their examples, which overlap by half and are blended. An image has two axes along
which it is cut, a series one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
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

__all__ = ["CheckMemory", "check_out", "check_whole", "receptive_field", "reconstruct_parts", "write_part"]

Array = NDArray[Any]
_MAX_BYTES = 2**26  # of the windows that are computed together
CheckMemory = Callable[[Model, Array], None]  # of a model, and of rows of which one is computed at a time
_SIDES = {1: ("rows",), 2: ("height", "width")}  # what a series and an image are cut along


class Part(NamedTuple):
    """The reconstruction of the values at a place: some rows, and of an image some columns."""

    place: tuple[slice, ...]
    values: Array


def check_whole(given: Any, shape: tuple[int, ...], axes: int) -> Array:
    """The image (2 axes) or series (1 axis) as an array; `DataError` unless it has the channels of these examples, and finite numbers."""
    name, sides = {1: "series", 2: "image"}[axes], _SIDES[axes]
    tensor = isinstance(given, torch.Tensor)
    if isinstance(given, np.ma.MaskedArray) or not (tensor or isinstance(given, np.ndarray)):
        kind = f"{type(given).__module__.partition('.')[0]}.{type(given).__name__}".removeprefix("builtins.")
        why = "whose mask would be lost" if isinstance(given, np.ma.MaskedArray) else "and not an array"
        raise DataError(
            f"the {name} is a {kind}, {why}: give a NumPy array ({', '.join((*sides, *['channels'] * (axes == 1)))}) or a tensor"
        )
    values = np.asarray(unwrapped(given).values if tensor else given)
    if values.dtype.kind not in "buif":
        article = "an image" if axes == 2 else "a series"
        raise DataError(f"{article} of dtype {values.dtype} has no numbers: give integers or floats")
    if values.ndim != len(shape) or values.shape[axes:] != shape[axes:] or not values.size:
        expected = ", ".join((*sides, *map(str, shape[axes:]))) + "," * (len(shape) == 1)
        many = "images" if axes == 2 else "series"
        raise DataError(
            f"the {name} has shape {values.shape}, but this autoencoder reconstructs {many} of shape ({expected})"
        )
    for begin in range(0, len(values) if values.dtype.kind == "f" else 0, 512):
        bad = np.argwhere(~np.isfinite(values[begin : begin + 512]))
        if len(bad):
            at = (begin + int(bad[0][0]), *map(int, bad[0][1:]))
            raise DataError(f"{_named(at[:axes])} is {values[at]:g}: replace it by a number")
    return values.view(np.uint8) if values.dtype.kind == "b" else values


def _named(at: Sequence[int]) -> str:
    """The place of a value in a message."""
    return f"the pixel in row {at[0]}, column {at[1]}" if len(at) == 2 else f"the value in row {at[0]}"


def check_out(out: Any, given: Any, values: Array, what: str) -> None:
    """`RecordError` unless the reconstruction of an image or series, whose values are given, can be written into an array part by part."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise RecordError(f"invalid out={quoted(out, 20)}: expected a NumPy array of the {what}'s shape {values.shape}")
    if out.shape != values.shape or out.dtype.kind not in "uif":
        raise RecordError(f"invalid out: expected numbers of the {what}'s shape {values.shape}")
    if not out.flags.writeable:
        raise RecordError("invalid out: it is read-only; open a memory map with mode 'r+' or 'w+'")
    if np.may_share_memory(out, values) or _same_file(out, given):
        raise RecordError(
            f"invalid out: it shares its memory or file with the {what}, whose next parts would be read from the result; give another array"
        )


def _same_file(one: Any, other: Any) -> bool:
    """Whether both arrays are parts of different memory maps of one file."""
    if not (isinstance(one, np.memmap) and isinstance(other, np.memmap)) or one._mmap is other._mmap:  # type: ignore[attr-defined]
        return False
    files = [os.path.realpath(str(each.filename)) for each in (one, other) if each.filename is not None]
    return len(files) == 2 and files[0] == files[1]


def receptive_field(model: Model, axes: int) -> ReceptiveField | None:
    """The receptive field of a model whose reconstructions of a large image or series and of its parts are the same; else None."""
    field = model.architecture.receptive_field(model.shape)
    units = [model.shift, model.scale, *([] if model.least is None else [model.least])]
    channels = model.shape[axes:]
    one_unit = all(each.ndim < 2 and each.shape in {(), (1,), channels} for each in units)
    fits = field is not None and field.axes == axes
    return field if fits and one_unit and not model.likelihood.given_total else None


def reconstruct_parts(model: Model, whole: Array, axes: int, tile: int, check_memory: CheckMemory) -> Iterator[Part]:
    """The reconstruction of an image (h, w) or (h, w, channels), or series (rows,) or (rows, channels), in raw units, part by part.

    Args:
        model: of images of any height and width, or of series, without context.
        whole: checked by `check_whole`.
        axes: 2 for an image, 1 for a series.
        tile: about the sides of a part, in pixels or rows; less if the memory does not suffice.
        check_memory: called before the first part.
    """
    field = receptive_field(model, axes)
    if field is None:
        return _from_patches(model, whole, axes, tile, check_memory)
    return _from_tiles(model, field, whole, tile, check_memory)


def write_part(part: Part, out: Array) -> None:
    """Writes a part into an image or series. Integers are rounded, and limited to the range of their dtype."""
    values = part.values
    if out.dtype.kind != "f":
        ends = np.iinfo(out.dtype)
        values = np.rint(values.astype(np.float64)).clip(ends.min, ends.max)
    out[part.place] = values


@dataclass(frozen=True, eq=False)
class _Places(Positions):
    """The locations of the values of windows in the whole. Beyond its end its last values are repeated."""

    row_name: str = "image"
    starts: Sequence[Sequence[int]] = ()
    sides: tuple[int, ...] = ()

    def __call__(self, index: tuple[int, ...]) -> str:
        start, place = self.starts[index[0]], index[1 : 1 + len(self.sides)]
        return _named([min(sum(each), side - 1) for *each, side in zip(start, place, self.sides, strict=True)])


def _reconstructed(
    model: Model, whole: Array, starts: Sequence[Sequence[int]], batch_size: Literal[1] | None = None
) -> Array:
    """The reconstructions of windows, of the size of the model's examples, that start at these rows (and columns)."""
    axes = len(starts[0])
    rows = np.stack([_window(whole, start, model.shape[:axes]) for start in starts])
    places = _Places(row_name="image" if axes == 2 else "series", starts=starts, sides=whole.shape[:axes])
    computable = ComputableRange.examples(model, positions=places)
    return in_batches(model.reconstruct_raw, rows, model, computable=computable, batch_size=batch_size)


def _from_tiles(
    model: Model, field: ReceptiveField, whole: Array, tile: int, check_memory: CheckMemory
) -> Iterator[Part]:
    """Tiles of a fully convolutional model. Windows begin at multiples of the stride and contain all that their tile depends on."""
    sides = whole.shape[: field.axes]
    padded, margin = [_multiple(side, field.stride) for side in sides], _multiple(field.radius, field.stride)
    step, at_once = _fitting(model, field, whole, tile, check_memory)
    window = list(at_once.shape[: field.axes])
    corners = list(product(*(range(0, side, step) for side in sides)))
    count = max(1, min(4 * torch.get_num_threads(), _MAX_BYTES // (4 * math.prod(at_once.shape))))
    for begin in range(0, len(corners), count):
        some = corners[begin : begin + count]
        starts = [
            [min(max(at - margin, 0), side - length) for at, side, length in zip(corner, padded, window, strict=True)]
            for corner in some
        ]
        made = _reconstructed(at_once, whole, starts, batch_size=1)
        for corner, start, values in zip(some, starts, made, strict=True):
            ends = [min(at + step, side) for at, side in zip(corner, sides, strict=True)]
            inner = (slice(at - first, end - first) for at, end, first in zip(corner, ends, start, strict=True))
            yield Part(tuple(map(slice, corner, ends)), values[tuple(inner)])


def _fitting(
    model: Model, field: ReceptiveField, whole: Array, tile: int, check_memory: CheckMemory
) -> tuple[int, Model]:
    """The tile, halved until the memory suffices, and the model for its windows. `MemoryLimitError` if it does not for the least."""
    padded = [_multiple(side, field.stride) for side in whole.shape[: field.axes]]
    margin = _multiple(field.radius, field.stride)
    step = min(_multiple(tile, field.stride), max(padded))
    while True:
        window = [min(step + 2 * margin, side) for side in padded]
        at_once = model.at_shape((*window, *whole.shape[field.axes :]))
        try:
            check_memory(at_once, _window(whole, [0] * field.axes, window)[None])
        except MemoryLimitError:
            if step == field.stride:
                raise
            step = _multiple(step // 2, field.stride)
        else:
            return step, at_once


def _from_patches(model: Model, whole: Array, axes: int, tile: int, check_memory: CheckMemory) -> Iterator[Part]:
    """Blended patches, at the same positions for any tile: every value is a mean, weighted by its distances from the patches' borders."""
    sides, shape = model.raw_shape[:axes], whole.shape[:axes]
    step = max(tile, *sides)
    for number, corner in enumerate(product(*(range(0, side, step) for side in shape))):
        ends = [min(at + step, side) for at, side in zip(corner, shape, strict=True)]
        starts = [_patches_at(*each) for each in zip(shape, sides, corner, ends, strict=True)]
        if not number:
            check_memory(model, _window(whole, [0] * axes, sides)[None])
        made = _reconstructed(model, whole, list(product(*starts)))
        total, covered = _blended(made, starts, sides)
        inner = tuple(slice(at - first[0], end - first[0]) for at, end, first in zip(corner, ends, starts, strict=True))
        weights = _outer([sums[each] for sums, each in zip(covered, inner, strict=True)])
        channels = [1] * (whole.ndim - axes)
        yield Part(tuple(map(slice, corner, ends)), total[inner] / weights.reshape(*weights.shape, *channels))


def _blended(made: Array, starts: list[list[int]], sides: tuple[int, ...]) -> tuple[Array, list[Array]]:
    """The weighted sum of patches at the starts of all axes, and the sums of their weights along each axis."""
    ramps = [np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)).astype(made.dtype) for side in sides]
    covered = [np.zeros(each[-1] - each[0] + side, made.dtype) for each, side in zip(starts, sides, strict=True)]
    for each, ramp, sums in zip(starts, ramps, covered, strict=True):
        for start in each:
            sums[start - each[0] :][: len(ramp)] += ramp
    weights = _outer(ramps).reshape(*sides, *[1] * (made.ndim - 1 - len(sides)))
    total = np.zeros((*map(len, covered), *made.shape[1 + len(sides) :]), made.dtype)
    for corner, patch in zip(product(*starts), made, strict=True):
        place = (slice(at - each[0], at - each[0] + side) for at, each, side in zip(corner, starts, sides, strict=True))
        total[tuple(place)] += weights * patch
    return total, covered


def _outer(vectors: Sequence[Array]) -> Array:
    """The product of vectors along one axis each."""
    return reduce(np.multiply.outer, vectors)


def _patches_at(length: int, side: int, begin: int, end: int) -> list[int]:
    """Where patches begin that overlap the values from begin to end along an axis: every half side, and at the end of the whole."""
    last = max(length - side, 0)
    every = [*range(0, last, max(side // 2, 1)), last]
    return [start for start in every if start < end and start + side > begin]


def _window(whole: Array, start: Sequence[int], sides: Sequence[int]) -> Array:
    """A window, which repeats the last values beyond the end."""
    part = whole[tuple(slice(at, at + side) for at, side in zip(start, sides, strict=True))]
    beyond = [(0, side - found) for side, found in zip(sides, part.shape, strict=False)]
    return np.pad(part, [*beyond, *[(0, 0)] * (part.ndim - len(beyond))], "edge")


def _multiple(length: int, of: int) -> int:
    """The least multiple that is not smaller than the length."""
    return -(-length // of) * of
