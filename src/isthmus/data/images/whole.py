"""Whole images of any size in a folder, one by one, and the masks of their anomalies."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.images.folders import LeftOut, some, walk
from isthmus.data.images.layout import read_layout
from isthmus.data.images.single import read_image, read_image_header
from isthmus.data.images.twins import set_masks_aside
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["WholeImage", "find_masks", "is_normal_label", "list_images", "read_mask"]

Array = npt.NDArray[Any]
_MASK_NAME = re.compile(r"(.+?)[_-](mask|gt|ground_?truth)", re.IGNORECASE)
_NORMAL_NAMES = {"good", "normal", "ok"}


class WholeImage(NamedTuple):
    """An image file: its path, its name in the folder, as the ids of a data set have it, and its label by its folder, or ""."""

    path: Path
    name: str
    label: str


def list_images(path: Path, split: Literal["auto", "none"] = "auto") -> list[WholeImage]:
    """The images of the test part of a folder; without one, all. A path of an image is this image.

    Args:
        path: an image, or a folder.
        split: "none": no folder is a part of a split or has masks.
    """
    if not path.is_dir():
        return [WholeImage(path, shown(path.name), "")]
    tree = walk(path, LeftOut())
    if split != "none":
        set_masks_aside(tree)
    layout = read_layout(tree, split)
    return [WholeImage(each, shown(os.path.relpath(each, path)), label) for each, label in layout.test or layout.train]


def is_normal_label(label: str) -> bool:
    """Whether a folder of this name has normal images by convention: good, normal or ok."""
    return label.rpartition("/")[2].casefold() in _NORMAL_NAMES


def find_masks(images: Sequence[WholeImage], folder: Path) -> tuple[list[Path | None], list[str]]:
    """The mask of each image by folder and file name, None for normal images without one; and notes.

    Args:
        images: of `list_images`.
        folder: with a folder for each kind of anomaly, or with the masks themselves if the images have no labels. The mask of
            scratch/3.png is scratch/3.png or scratch/3_mask.png, in any format.

    Raises:
        DataError: an anomalous image has no mask, a mask could be of two images, or the other way round.
    """
    if not folder.is_dir():
        raise DataError(f"--masks {shown(folder)} is no folder: give the folder with the masks, such as ground_truth")
    masks, result, seen = _masks_by_name(folder), list[Path | None](), dict[tuple[str, str], WholeImage]()
    for image in images:
        key = (image.label.rpartition("/")[2], image.path.stem)
        if key in seen:
            raise DataError(f"{seen[key].name} and {image.name} would have the same mask: rename one of them")
        seen[key], own = image, masks.get(key, [])
        if len(own) > 1:
            raise DataError(f"{shown(own[0])} and {shown(own[1])} are both masks of {image.name}: remove one of them")
        if not own and not is_normal_label(image.label):
            raise DataError(
                f"{image.name} has no mask in {shown(folder)}: add {image.path.stem}_mask.png, or move the image into a folder named "
                "good if it is normal"
            )
        result.append(own[0] if own else None)
    return result, _mask_notes(result, [path for key, paths in masks.items() if key not in seen for path in paths])


def _masks_by_name(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """The masks by their label, the folder in this one, and the name of their image without extension."""
    tree, masks = walk(folder, LeftOut()), defaultdict[tuple[str, str], list[Path]](list)
    loose = [("", path) for path in tree.images]
    for label, path in [
        *loose,
        *((shown(each.path.name), path) for each in tree.folders for path in each.all_images()),
    ]:
        found = _MASK_NAME.fullmatch(path.stem)
        masks[label, found[1] if found else path.stem].append(path)
    return dict(masks)


def _mask_notes(found: list[Path | None], unused: list[Path]) -> list[str]:
    """What is said of images without masks, and of masks without images."""
    notes, normal = list[str](), found.count(None)
    if normal:
        what = "image is" if normal == 1 else "images are"
        notes.append(f"{normal:,} {what} normal by the name of the folder, and without a mask")
    if unused:
        what, verb = ("mask belongs", "is") if len(unused) == 1 else ("masks belong", "are")
        notes.append(f"{len(unused):,} {what} to no image, and {verb} ignored: {some(unused)}")
    return notes


def read_mask(path: Path, size: tuple[int, int], of: str) -> Array:
    """A mask (h, w), True at anomalous pixels.

    Args:
        path: the file, with 0 for normal pixels and one other value for anomalous ones.
        size: height and width of the image.
        of: the name of the image, for messages.

    Raises:
        DataError: the mask has another size, more than two values, or transparent pixels.
    """
    found = read_image_header(path)
    if found.kind.channels > 1 and not found.kind.convertible:
        raise DataError(f"the mask {shown(path)} has {found.kind}: save it in gray")
    if found.size != size:
        (a, b), (c, d) = found.size, size
        raise DataError(
            f"the mask {shown(path)} has {a}x{b} pixels, and {of} has {c}x{d}: give a mask of the same size"
        )
    values, _, changes, *_ = read_image(path, color=False)
    if "white" in changes:
        raise DataError(
            f"the mask {shown(path)} has transparent pixels, which can mean normal or anomalous: save it without transparency"
        )
    present = np.unique(values)
    if len(present) > 2 or (len(present) == 2 and present[0] != 0):
        listed = ", ".join(map(str, present[:3].tolist())) + (", ..." if len(present) > 3 else "")
        raise DataError(
            f"the mask {shown(path)} is not binary, it has the values {listed}: expected 0 for normal pixels and one other value"
        )
    mask: Array = values > 0
    return mask
