"""What lies in a folder: images, other files, links; nothing of it is opened, and no link is followed."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.data.images.formats import OTHER_KINDS, is_image
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["Folder", "LeftOut", "some", "walk"]

_DEEPEST = 100  # folders in one another
_LISTED = 3  # names in a note
_OF_SYSTEMS = {
    "__macosx",
    "thumbs.db",
    "desktop.ini",
    "lost+found",
    "$recycle.bin",
    "system volume information",
    "@eadir",
    "#recycle",
}


@dataclass
class Folder:
    """A folder with its images and those of its folders that hold any, by name."""

    path: Path
    images: list[Path] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)

    def all_images(self) -> Iterator[Path]:
        """The images in it and below it: its own first."""
        yield from self.images
        for folder in self.folders:
            yield from folder.all_images()


@dataclass
class LeftOut:
    """What lies in a folder and is no example."""

    others: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    other_kinds: list[Path] = field(default_factory=list)  # images that are not read

    def sentences(self) -> list[str]:
        """One for each sort of thing."""
        notes = []
        for paths, one, many in (
            (self.others, "entry is no image and was left out", "entries are no images and were left out"),
            (self.links, "entry is a link and was not followed", "entries are links and were not followed"),
        ):
            if paths:
                notes.append(f"{len(paths):,} other {one if len(paths) == 1 else many}: {some(paths)}")
        return notes + ([f"{self.of_other_kinds()} were left out: convert them to PNG"] if self.other_kinds else [])

    def of_other_kinds(self) -> str:
        """Images that are not read, counted by their ending."""
        counts = Counter(path.suffix.lower() for path in self.other_kinds).most_common(5)
        return f"images of another kind ({', '.join(f'{count:,} {ending}' for ending, count in counts)})"


def some(paths: list[Path]) -> str:
    """The names of the first few."""
    return ", ".join(shown(path.name) for path in paths[:_LISTED]) + (", ..." if paths[_LISTED:] else "")


def walk(path: Path, left_out: LeftOut, depth: int = 0) -> Folder:
    """A folder with all images below it; hidden entries and those that systems leave behind are no images.

    Raises:
        DataError: folders lie too deep in one another.
        OSError: a folder may not be read.
    """
    try:
        if depth > _DEEPEST:
            raise OSError(errno.ENAMETOOLONG, "too deep")
        with os.scandir(path) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise DataError(
            f"{shown(path)[:200]} ... lies too deep in other folders: at most {_DEEPEST} are read; move its images up"
        ) from None
    found = Folder(path)
    for entry in listed:
        here = Path(entry)
        if entry.is_symlink() or (hasattr(entry, "is_junction") and entry.is_junction()):
            left_out.links.append(here)
        elif entry.name.startswith(".") or entry.name.lower() in _OF_SYSTEMS:
            left_out.others.append(here)
        elif entry.is_dir(follow_symlinks=False):
            inner = walk(here, left_out, depth + 1)
            if inner.images or inner.folders:
                found.folders.append(inner)
        elif not entry.is_file(follow_symlinks=False):
            left_out.others.append(here)
        elif is_image(here):
            found.images.append(here)
        elif here.suffix.lower() in OTHER_KINDS or here.suffix.lower() in {".avif", ".avifs"}:
            left_out.other_kinds.append(here)
        else:
            left_out.others.append(here)
    return found
