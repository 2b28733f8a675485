"""The recordings of a WAV file or a folder of WAV files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from isthmus.data.images.folders import Folder, some
from isthmus.data.images.formats import is_image
from isthmus.data.images.layout import part_of
from isthmus.data.sound.recording import Recording, read_recording
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["ENDINGS", "holds_sound", "read_recordings", "sound_files"]

ENDINGS = (".wav", ".wave")


def holds_sound(path: Any) -> bool:
    """Whether this is the path of a WAV file, perhaps a missing one, or of a folder that has WAV files and no images."""
    if not isinstance(path, str | os.PathLike):
        return False
    path = Path(path)
    if not path.is_dir():
        return path.suffix.lower() in ENDINGS
    found = False
    for file in _files(path, lambda _: None):  # the reader names a folder that cannot be read
        if is_image(file):
            return False
        found = found or file.suffix.lower() in ENDINGS
    return found


def sound_files(path: Path) -> tuple[list[Path], list[str]]:
    """The WAV files of a folder and its subfolders, sorted, or the file itself; and notes on other files and on names of folders."""
    if not path.is_dir():
        return [path], []
    files = sorted(_files(path))
    sound = [file for file in files if file.suffix.lower() in ENDINGS and not file.is_symlink()]
    others = [*(file for file in files if file not in set(sound)), *sorted(_linked_folders(path))]
    notes = _part_notes(path, sound)
    if others:
        are = "entry is no WAV file or is a link, and was"
        if len(others) > 1:
            are = "entries are no WAV files or are links, and were"
        notes.append(f"{len(others):,} other {are} ignored: {some(others)}")
    return sound, notes


def _part_notes(path: Path, sound: list[Path]) -> list[str]:
    """A note on folders whose names are those of the parts of a split, which are not separated."""
    folders = dict.fromkeys(path / file.relative_to(path).parts[0] for file in sound if file.parent != path)
    named = [folder for folder in folders if part_of(Folder(folder)) is not None]
    if not named:
        return []
    return [
        f"folders of recordings are no parts of a split: those in {some(named)} are examples like all others; give only the training "
        f"recordings, such as {shown(named[-1])}, to keep the others for evaluation"
    ]


def read_recordings(files: list[Path]) -> list[Recording]:
    """The recordings of files, of one rate and one number of channels.

    Raises:
        DataError: a file is damaged, or rates or channels differ.
    """
    found = [read_recording(file) for file in files]
    first = found[0]
    for each in found:
        if each.rate != first.rate:
            raise DataError(
                f"{shown(first.path)} has {first.rate:,} samples per second, and {shown(each.path)} {each.rate:,}: resample all to one rate"
            )
        if each.channels != first.channels:
            n, m = first.channels, each.channels
            raise DataError(
                f"{shown(first.path)} has {n} channel{'s' * (n > 1)}, and {shown(each.path)} {m}: save all as mono, or all as stereo"
            )
    return found


def _linked_folders(path: Path) -> Iterator[Path]:
    """The links to folders in a folder and its subfolders, without hidden ones. No link is followed."""
    for folder, folders, _ in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (found for name in folders if (found := Path(folder) / name).is_symlink())


def _files(path: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """The files of a folder and its subfolders, without hidden ones."""
    for folder, folders, names in os.walk(path, onerror=on_error or _raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder) / name for name in names if not name.startswith("."))


def _raise(error: OSError) -> None:
    """Raises an error: a folder that cannot be read is not left out without a word."""
    raise DataError(
        f"{shown(str(error.filename))} cannot be read ({error.strerror}): change its permissions, or move it away"
    ) from error
