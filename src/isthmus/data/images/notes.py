"""Notes on files that were skipped, are misnamed or truncated, have several pages, or were cut into patches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from isthmus.data.images.header_fields import Header
from isthmus.data.options import ReadOptions
from isthmus.io.files import shown

__all__ = ["broken_note", "notes_on_files"]

_LISTED = 10  # names of broken images in a note


class _File(Protocol):
    @property
    def path(self) -> Path: ...
    @property
    def pages(self) -> tuple[Header, ...]: ...


def notes_on_files(
    root: Path, files: Sequence[_File], options: ReadOptions, broken: list[Path], misnamed: list[str]
) -> list[str]:
    """A note for each of these.

    Args:
        root: the path that was read.
        files: those that were read.
        options: the options of reading.
        broken: the files that were skipped.
        misnamed: the files whose extension is that of another format, with their format.
    """
    notes = broken_note(root, broken)
    if misnamed:
        what = "file is" if len(misnamed) == 1 else "files are"
        more = ", ..." if misnamed[3:] else ""
        notes.append(f"{len(misnamed):,} {what} read by content, not by extension: {', '.join(misnamed[:3])}{more}")
    cut = [file for file in files if file.pages[0].cut]
    if cut and options.pages == "first":
        what = "file is" if len(cut) == 1 else "files are"
        notes.append(
            f"{len(cut):,} {what} truncated after the first page or frame, which is used ({shown(cut[0].path.name)}); "
            "replace or remove damaged files"
        )
    return [*notes, *_on_pages(files, options)]


def broken_note(root: Path, broken: Sequence[Path]) -> list[str]:
    """A note on skipped files; none if there are none.

    Args:
        root: the path that was read.
        broken: the files that were skipped.
    """
    if not broken:
        return []
    names = ", ".join(shown(os.path.relpath(path, root))[:100] for path in broken[:_LISTED])
    more = ", ..." if broken[_LISTED:] else ""
    what = "image that is damaged or too large was" if len(broken) == 1 else "images that are damaged or too large were"
    return [f"{len(broken):,} {what} skipped: {names}{more}"]


def _on_pages(files: Sequence[_File], options: ReadOptions) -> list[str]:
    """Notes on files with several pages."""
    several = [file for file in files if file.pages[0].more]
    if several and options.pages == "first":
        what = "file has more pages or frames" if len(several) == 1 else "files have more pages or frames"
        return [
            f"{len(several):,} {what} ({shown(several[0].path.name)}): only the first is used; "
            "use --pages examples, --pages volume or --pages channels to read all"
        ]
    if options.pages == "first":
        return []
    count = sum(len(file.pages) for file in files)
    return [
        f"{count:,} {'page' if count == 1 else 'pages'} of {len(files):,} {'file' if len(files) == 1 else 'files'} read "
        f"as {'volumes' if options.pages == 'volume' else options.pages}"
    ]
