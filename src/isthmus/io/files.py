"""Opening what a user names: regular files only, never through a link, never more bytes than were promised."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["AXES", "Readable", "open_regular", "read_exactly", "regular", "shown"]

AXES = 32  # of an array, at most
_BLOCK = 1 << 20  # bytes


class Readable(Protocol):
    """What bytes can be read from: an open file, a gzip stream, a member of an archive."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


def shown(path: str | os.PathLike[str]) -> str:
    """The path as text that any terminal can print: bytes that are not UTF-8 and control characters are escaped."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"), None)


def open_regular(path: Path) -> BinaryIO:
    """Open a file with data for reading; a link, pipe, socket or device is refused before a byte of it is read.

    Raises:
        FileNotFoundError, PermissionError: as the system says.
        DataError: the path is no regular file, or the file is empty.
    """
    file = regular(path)
    if file == "link":
        raise DataError(f"{shown(path)} is a symbolic link: give the file it points to")
    if isinstance(file, str):
        raise DataError(f"{shown(path)} is not a regular file: give a file with data")
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise DataError(f"{shown(path)} is empty: give a file with data")
    return BufferedReader(file)


def regular(path: Path) -> FileIO | Literal["link", "other"]:
    """A file opened for reading, without following a link and without waiting; or what it is instead, of which nothing was read."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if path.is_symlink():
        return "link"
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:  # a link since a moment
            return "link"
        if error.errno == errno.ENXIO:  # a socket
            return "other"
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return FileIO(descriptor, "rb")
    os.close(descriptor)
    return "other"


def read_exactly(stream: Readable, size: int, name: str) -> bytearray:
    """Read the rest of a stream, which must be `size` bytes; memory grows with what is there, not with the promise.

    Raises:
        DataError: the stream holds fewer or more bytes.
    """
    buffer = bytearray()
    while len(buffer) < size and (block := stream.read(min(_BLOCK, size - len(buffer)))):
        buffer += block
    if len(buffer) < size:
        raise DataError(f"{name} is cut short: its header promises {size:,} bytes and {len(buffer):,} are there")
    if stream.read(1):
        raise DataError(f"{name} is longer than the {size:,} bytes that its header promises: it may be damaged")
    return buffer
