"""Files of a public data set: found on this machine, or downloaded and checked by their hash."""

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

BLOCK = 1 << 18  # bytes
_TIMEOUT = 30  # seconds without data


class Content(NamedTuple):
    """The size and hash of a file after decompression, so that its compression does not matter."""

    size: int  # bytes
    sha256: str


def find_or_fetch(
    name: str,
    contents: Mapping[str, Content],
    mirrors: tuple[str, ...],
    installed: tuple[str, ...] = (),
    download: bool = True,
) -> Iterator[bytes]:
    """Yields the decompressed content of each file of a data set. A file whose hash differs from the published one is not used.

    Searches $ISTHMUS_DATA/name, $ISTHMUS_DATA, the user's cache folder and `installed`, then the mirrors in order. A download goes to
    a temporary file in the cache folder, and is renamed after its hash is checked.

    Args:
        name: the folder name of the data set, such as fashion-mnist.
        contents: file name without .gz -> size and hash of its content.
        mirrors: base URLs, to which `file.gz` is appended.
        installed: folders where operating systems install the data set.
        download: whether to download missing files; False: they are an error.

    Raises:
        DataError: a file is not on this machine and cannot be downloaded. The message lists the folders and URLs.
    """
    user_folder = os.environ.get("ISTHMUS_DATA")
    cache = cache_folder() / name
    folders = [*((Path(user_folder) / name, Path(user_folder)) if user_folder else ()), cache, *map(Path, installed)]
    for file, content in contents.items():
        candidates = (folder / packed for folder in folders for packed in (f"{file}.gz", file))
        matching = (data for path in candidates if path.is_file() and (data := _verified(path, content)))
        found = next(matching, None)
        if found is None and not download:
            raise DataError(
                f"{name} is not on this machine; download it with --data {name} on the command line, "
                f"or with data.{name.replace('-', '_')}() in Python"
            )
        yield found or _fetch(f"{file}.gz", content, mirrors, cache, folders)


def cache_folder() -> Path:
    """The cache folder of isthmus, by the convention of this operating system."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "isthmus"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "isthmus"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "isthmus"


def _verified(path: Path, content: Content) -> bytes | None:
    """The decompressed content of a file if its size and hash match, else None. At most this size is decompressed."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            data = read_exactly(gzip.GzipFile(fileobj=file) if zipped else file, content.size, shown(path))
        except (DataError, gzip.BadGzipFile, EOFError, zlib.error):
            return None
    return bytes(data) if hashlib.sha256(data).hexdigest() == content.sha256 else None


def _fetch(file: str, content: Content, mirrors: tuple[str, ...], cache: Path, folders: list[Path]) -> bytes:
    failures = []
    for mirror in mirrors:
        try:
            with (
                urllib.request.urlopen(mirror + file, timeout=_TIMEOUT) as response,
                _temporary(cache) as temporary,
            ):
                _copy(response, temporary, content.size, file)
                if data := _verified(temporary, content):
                    os.replace(temporary, cache / file)
                    return data
            failures.append(f"{mirror} (its hash differs from the published one)")
        except (OSError, HTTPException) as error:
            failures.append(f"{mirror} ({getattr(error, 'reason', None) or error})")
    raise DataError(
        f"{file} with its published hash is not in {', '.join(map(shown, folders))}, and could not be downloaded from "
        f"{', '.join(failures)}; connect to the network, or set ISTHMUS_DATA to a folder with the files"
    )


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """A context with a new empty file, which is deleted at the end unless it was renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".fetching-")
    os.close(descriptor)
    path = Path(name)
    try:
        path.chmod(0o644)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _copy(response: HTTPResponse, path: Path, limit: int, name: str) -> None:
    """Writes a response to a file, up to about `limit` bytes, with a progress bar if standard error is a terminal."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = rich_console(error=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with (
        path.open("wb") as file,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        length = response.headers.get("Content-Length") or ""
        task = progress.add_task(name, total=int(length) if length.isdigit() else None)
        while file.tell() < limit and (block := response.read(BLOCK)):
            progress.update(task, advance=file.write(block))
