"""Images in one folder that differ only in their ending: a photograph and its mask, or one image twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from isthmus.data.images.folders import Folder, some
from isthmus.data.images.headers import header, opened
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["look_at_twins"]

_FEW = 32  # values or colors that a mask may have
_LOOKED_AT = 50  # names, spread over all
_LOSSY = {"JPEG", "MPO"}  # nobody saves masks so


def look_at_twins(tree: Folder) -> list[str]:
    """Takes masks out of a folder of images, and says what was found.

    Beside an image, one of the same name that has few values is its mask; it is one for all names or for none, so that a mask
    with many values, or one that cannot be read, is not the only example among them.
    """
    twins = list(_twins(tree))
    if not twins:
        return []
    step = -(-len(twins) // _LOOKED_AT)
    seen = [_mask_endings(paths) for _, paths in twins[::step]]
    endings = next((found for found in seen if found), frozenset[str]())
    if not endings or any(found is not None and found != endings for found in seen):
        first = twins[0][1]
        return [
            f"{len(twins):,} {'name is that' if len(twins) == 1 else 'names are those'} of several images "
            f"({', '.join(shown(path.name) for path in first[:3])}): each is an example; "
            "if some are masks or copies, move them away"
        ]
    masks = list[Path]()
    for folder, paths in twins:
        aside = [path for path in paths if path.suffix.lower() in endings]
        if len(aside) < len(paths):
            masks += aside
            folder.images = [path for path in folder.images if path not in set(aside)]
    what = "mask was" if len(masks) == 1 else "masks were"
    return [
        f"{len(masks):,} {what} set aside ({some(masks)}), because they have few values and stand beside images of the same "
        "name; with --split none every image is an example"
    ]


def _twins(folder: Folder) -> Iterator[tuple[Folder, list[Path]]]:
    """The images of one folder that differ only in their ending."""
    named = defaultdict[str, list[Path]](list)
    for path in folder.images:
        named[path.stem].append(path)
    yield from ((folder, paths) for paths in named.values() if len(paths) > 1)
    for inner in folder.folders:
        yield from _twins(inner)


def _mask_endings(paths: list[Path]) -> frozenset[str] | None:
    """The endings of masks among images of one name; none where no image has many values; None where one cannot be read."""
    try:
        few = {path: _has_few_values(path) for path in paths}
    except (DataError, OSError):
        return None
    return frozenset(path.suffix.lower() for path in paths if few[path]) if not all(few.values()) else frozenset()


def _has_few_values(path: Path) -> bool:
    with opened(path) as (image, size):
        if image.format in _LOSSY:
            return False
        header(image, path, size)  # refuses what is out of proportion
        if image.mode.startswith(("I", "F")):
            return len(np.unique(np.asarray(image))) <= _FEW
        return image.getcolors(_FEW) is not None
