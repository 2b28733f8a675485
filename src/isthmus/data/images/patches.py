"""Patches of images: square parts of one size, as examples of images of any size."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "HELD",
    "corner",
    "corners",
    "count_corners",
    "cut_patches",
    "evaluation_note",
    "image_groups",
    "patch_names",
    "patches_note",
]

Array = npt.NDArray[Any]
_PATCH = re.compile(r" patch \d+,\d+\Z")
HELD = {
    "grouped": "a split keeps the patches of an image in one part",
    "mixed": "patches of one image are trained on and held out: their errors may be lower than those of new images",
    "test": "the test images are others, but patches of the one training image may be held out for validation",
}
"""How patches are split: by image; one image in both parts; or one training image and other test images."""


def corners(size: tuple[int, int], side: int) -> Iterator[tuple[int, int]]:
    """The first row and column of each patch, row by row. The last patches end with the image: they may overlap those before.

    Args:
        size: height and width of the image, both at least ``side``.
        side: of a patch, in pixels.
    """
    yield from product(*([*range(0, length - side, side), length - side] for length in size))


def count_corners(size: tuple[int, int], side: int) -> int:
    """The number of patches of an image."""
    return math.prod(-(-(length - side) // side) + 1 for length in size)


def corner(size: tuple[int, int], side: int, number: int) -> tuple[int, int]:
    """The first row and column of the patch with a number, as `corners` has them."""
    (height, width), across = size, -(-(size[1] - side) // side) + 1
    return min(number // across * side, height - side), min(number % across * side, width - side)


def cut_patches(pixels: Array, side: int) -> Array:
    """The patches (m, side, side) or (m, side, side, 3) of an image (h, w) or (h, w, 3)."""
    return np.stack(
        [pixels[row : row + side, column : column + side] for row, column in corners(pixels.shape[:2], side)]
    )


def patch_names(name: str, size: tuple[int, int], side: int) -> list[str]:
    """The name of each patch: that of its image, and its first row and column."""
    return [f"{name} patch {row},{column}" for row, column in corners(size, side)]


def image_groups(names: Array) -> Array | None:
    """The image of each patch, by the names of patches, as groups; None if all are of one image."""
    groups = np.asarray([str(name).rpartition(" patch ")[0] for name in names])
    return groups if len(np.unique(groups)) > 1 else None


def patches_note(count: int, n_images: int, side: int, held: str = "") -> str:
    """A note on patches.

    Args:
        count: of all patches.
        n_images: the number of images.
        side: of a patch, in pixels.
        held: how the patches are split, one of the sentences in `HELD`; "" where nothing is trained.
    """
    images, patches = f"{n_images:,} image{'s were' if n_images > 1 else ' was'}", "patch" if count == 1 else "patches"
    return f"{images} cut into {count:,} {patches} of {side}x{side} pixels" + (held and f"; {held}")


def evaluation_note(names: Array | None, side: int, labeled: bool, detects: bool = False) -> str:
    """A note on what is measured on patches; "" for other examples, and where there is nothing to say.

    Args:
        names: of the examples.
        side: of a patch, in pixels.
        labeled: whether the examples have labels.
        detects: whether anomalies are detected, with a guarantee on the false alarm rate.
    """
    if names is None or not len(names) or _PATCH.search(str(names[0])) is None or not (labeled or detects):
        return ""
    labels = ["labels are those of the whole images"] if labeled else []
    counts = (
        ["the guarantee counts patches and not images, and patches of one image are not independent"] if detects else []
    )
    return f"the examples are patches of {side}x{side} pixels: {', and '.join([*labels, *counts])}"
