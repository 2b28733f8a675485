"""Images in one folder whose names differ only in the extension: a photograph and its mask, or one image twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from isthmus.data.images.folders import Folder, some
from isthmus.data.images.headers import header, opened
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["set_masks_aside"]

_MAX_MASK_VALUES = 32  # distinct values or colors of a mask
_SAMPLE = 50  # names that are checked, evenly spread
_LOSSY = {"JPEG", "MPO"}  # formats that are unsuitable for masks


def set_masks_aside(tree: Folder) -> list[str]:
    """Removes masks from a folder of images, and returns notes.

    Of images with the same name, one with few distinct values is a mask. The decision is the same for all names, by extension, so that
    a mask with many values, or one that cannot be read, does not become an example.
    """
    twins = list(_twins(tree))
    if not twins:
        return []
    step = -(-len(twins) // _SAMPLE)
    seen = [_mask_endings(paths) for _, paths in twins[::step]]
    endings = next((found for found in seen if found), frozenset[str]())
    if not endings or any(found is not None and found != endings for found in seen):
        first = twins[0][1]
        return [
            f"{len(twins):,} {'name belongs' if len(twins) == 1 else 'names belong'} to several images "
            f"({', '.join(shown(path.name) for path in first[:3])}): each is an example; "
            "if some are masks or copies, remove them"
        ]
    masks = list[Path]()
    for folder, paths in twins:
        aside = [path for path in paths if path.suffix.lower() in endings]
        if len(aside) < len(paths):
            masks += aside
            folder.images = [path for path in folder.images if path not in set(aside)]
    what, why = "masks were", "they have few values and the same names as other images"
    if len(masks) == 1:
        what, why = "mask was", "it has few values and the same name as another image"
    return [
        f"{len(masks):,} {what} set aside ({some(masks)}), because {why}; with --split none every image is an example"
    ]


def _twins(folder: Folder) -> Iterator[tuple[Folder, list[Path]]]:
    """The groups of images in one folder whose names differ only in the extension."""
    named = defaultdict[str, list[Path]](list)
    for path in folder.images:
        named[path.stem].append(path)
    yield from ((folder, paths) for paths in named.values() if len(paths) > 1)
    for inner in folder.folders:
        yield from _twins(inner)


def _mask_endings(paths: list[Path]) -> frozenset[str] | None:
    """The extensions of masks among images of one name; empty if all images have few values; None if one cannot be read."""
    try:
        few = {path: _has_few_values(path) for path in paths}
    except (DataError, OSError):
        return None
    return frozenset(path.suffix.lower() for path in paths if few[path]) if not all(few.values()) else frozenset()


def _has_few_values(path: Path) -> bool:
    with opened(path) as (image, size):
        if image.format in _LOSSY:
            return False
        header(image, path, size)  # raises for images that are too large
        if image.mode.startswith(("I", "F")):
            return len(np.unique(np.asarray(image))) <= _MAX_MASK_VALUES
        return image.getcolors(_MAX_MASK_VALUES) is not None
