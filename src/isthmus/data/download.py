"""Files of a public data set, wherever they are: looked for on this machine first, fetched and checked if nowhere."""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import tempfile
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple

from isthmus.errors import DataError
from isthmus.io.files import read_exactly, shown
from isthmus.io.terminal import rich_console

__all__ = ["Content", "find_or_fetch"]

_BLOCK = 1 << 18  # bytes
_TIMEOUT = 30  # seconds without a byte


class Content(NamedTuple):
    """What a file holds once unpacked, so that any packing of it is welcome."""

    size: int  # bytes
    sha256: str


def find_or_fetch(
    name: str,
    contents: Mapping[str, Content],
    mirrors: tuple[str, ...],
    installed: tuple[str, ...] = (),
    download: bool = True,
) -> Iterator[bytes]:
    """The unpacked content of each file of a data set; nothing is handed out whose hash is not the published one.

    Looks in $ISTHMUS_DATA/name, $ISTHMUS_DATA, the user's cache folder and `installed`, then tries the mirrors in
    turn. What is fetched lands in the cache folder under a temporary name and is renamed only when it is right.

    Args:
        name: the folder of the data set, such as fashion-mnist.
        contents: file name without .gz -> its content.
        mirrors: addresses to which `file.gz` is appended.
        installed: folders where systems install the data set.
        download: whether what is nowhere is fetched; else it is an error.

    Raises:
        DataError: a file is nowhere and cannot be fetched; the sentence lists the places.
    """
    chosen = os.environ.get("ISTHMUS_DATA")
    cache = _cache_folder() / name
    positions = [*((Path(chosen) / name, Path(chosen)) if chosen else ()), cache, *map(Path, installed)]
    for file, content in contents.items():
        kept = (place / packed for place in positions for packed in (f"{file}.gz", file))
        here = (data for path in kept if path.is_file() and (data := _verified(path, content)))
        found = next(here, None)
        if found is None and not download:
            raise DataError(
                f"{name} is not on this machine, and is downloaded only where it is named: --data {name}, "
                f"or data.{name.replace('-', '_')}() in Python"
            )
        yield found or _fetch(f"{file}.gz", content, mirrors, cache, positions)


def _cache_folder() -> Path:
    """Where this system wants what can be fetched again."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "isthmus"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "isthmus"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "isthmus"


def _verified(path: Path, content: Content) -> bytes | None:
    """The unpacked content of a file if it is the promised one; never more than that is unpacked."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            data = read_exactly(gzip.GzipFile(fileobj=file) if zipped else file, content.size, shown(path))
        except (DataError, gzip.BadGzipFile, EOFError, zlib.error):
            return None
    return bytes(data) if hashlib.sha256(data).hexdigest() == content.sha256 else None


def _fetch(file: str, content: Content, mirrors: tuple[str, ...], cache: Path, positions: list[Path]) -> bytes:
    failures = []
    for mirror in mirrors:
        try:
            with (
                urllib.request.urlopen(mirror + file, timeout=_TIMEOUT) as answer,
                _temporary(cache) as temporary,
            ):
                _copy(answer, temporary, content.size, file)
                if data := _verified(temporary, content):
                    os.replace(temporary, cache / file)
                    return data
            failures.append(f"{mirror} (its content is not the published one)")
        except (OSError, HTTPException) as error:
            failures.append(f"{mirror} ({getattr(error, 'reason', None) or error})")
    raise DataError(
        f"{file}, as it was published, is in none of {', '.join(map(shown, positions))} and could not be fetched from "
        f"{', '.join(failures)}: connect to the network, or put the files into a folder and set ISTHMUS_DATA to it"
    )


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """A new empty file that is gone afterwards unless it was renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".fetching-")
    os.close(descriptor)
    path = Path(name)
    try:
        path.chmod(0o644)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _copy(answer: HTTPResponse, path: Path, limit: int, name: str) -> None:
    """Write an answer into a file, hardly more than `limit` bytes; shows progress on stderr where it is a terminal."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = rich_console(error=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with (
        path.open("wb") as file,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        length = answer.headers.get("Content-Length") or ""
        task = progress.add_task(name, total=int(length) if length.isdigit() else None)
        while file.tell() < limit and (block := answer.read(_BLOCK)):
            progress.update(task, advance=file.write(block))
