"""The images, other files and links in a folder, recursively. No link is followed."""

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

_MAX_DEPTH = 100  # nested folders
_LISTED = 3  # names in a note
_SYSTEM_FILES = {
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
    """A folder with its images, and its subfolders that contain images, sorted by name."""

    path: Path
    images: list[Path] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)

    def all_images(self) -> Iterator[Path]:
        """All images in the folder and its subfolders; its own come first."""
        yield from self.images
        for folder in self.folders:
            yield from folder.all_images()


@dataclass
class LeftOut:
    """Entries of a folder that are not examples."""

    others: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    other_kinds: list[Path] = field(default_factory=list)  # images of unsupported formats

    def sentences(self) -> list[str]:
        """One note per kind of entry."""
        notes = []
        for paths, one, many in (
            (self.others, "entry is not an image and was ignored", "entries are not images and were ignored"),
            (self.links, "entry is a link and was not followed", "entries are links and were not followed"),
        ):
            if paths:
                notes.append(f"{len(paths):,} other {one if len(paths) == 1 else many}: {some(paths)}")
        return notes + ([f"{self.of_other_kinds()} were ignored; convert them to PNG"] if self.other_kinds else [])

    def of_other_kinds(self) -> str:
        """The unsupported images, counted by file name extension."""
        counts = Counter(path.suffix.lower() for path in self.other_kinds).most_common(5)
        return f"images of unsupported formats ({', '.join(f'{count:,} {ending}' for ending, count in counts)})"


def some(paths: list[Path]) -> str:
    """The names of the first few paths."""
    return ", ".join(shown(path.name) for path in paths[:_LISTED]) + (", ..." if paths[_LISTED:] else "")


def walk(path: Path, left_out: LeftOut, depth: int = 0) -> Folder:
    """A folder with all images in it and its subfolders. Hidden entries and files of operating systems are not images.

    Raises:
        DataError: folders are nested too deeply.
        OSError: a folder cannot be read.
    """
    try:
        if depth > _MAX_DEPTH:
            raise OSError(errno.ENAMETOOLONG, "too deep")
        with os.scandir(path) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise DataError(
            f"{shown(path)[:200]} ... is nested too deeply: expected at most {_MAX_DEPTH} folders; move its images up"
        ) from None
    found = Folder(path)
    for entry in listed:
        here = Path(entry)
        if entry.is_symlink() or (hasattr(entry, "is_junction") and entry.is_junction()):
            left_out.links.append(here)
        elif entry.name.startswith(".") or entry.name.lower() in _SYSTEM_FILES:
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
