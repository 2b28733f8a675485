"""Opening the user's files: regular files only, never through a symbolic link, and never more bytes than the header states."""

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

AXES = 32  # the maximum number of axes of an array
_BLOCK = 1 << 20  # bytes


class Readable(Protocol):
    """A source of bytes: an open file, a gzip stream or a member of an archive."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""


def shown(path: str | os.PathLike[str]) -> str:
    """The path as printable text: bytes that are not UTF-8 and control characters are escaped."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"), None)


def open_regular(path: Path) -> BinaryIO:
    """Opens a data file for reading. A symbolic link, pipe, socket or device is rejected before it is read.

    Raises:
        FileNotFoundError, PermissionError: from the system.
        DataError: the path is not a regular file, or the file is empty.
    """
    file = regular(path)
    if file == "link":
        raise DataError(f"{shown(path)} is a symbolic link; give the path of the file itself")
    if isinstance(file, str):
        raise DataError(f"{shown(path)} is not a regular file; give a data file")
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise DataError(f"{shown(path)} is empty; give a data file")
    return BufferedReader(file)


def regular(path: Path) -> FileIO | Literal["link", "other"]:
    """Opens a regular file for reading, without following a symbolic link and without blocking; otherwise returns the kind of path."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if path.is_symlink():
        return "link"
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:  # it became a link after the check
            return "link"
        if error.errno == errno.ENXIO:  # a socket
            return "other"
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return FileIO(descriptor, "rb")
    os.close(descriptor)
    return "other"


def read_exactly(stream: Readable, size: int, name: str) -> bytearray:
    """Reads the rest of a stream, which must have `size` bytes. Memory grows with the bytes that are read, not with `size`.

    Raises:
        DataError: the stream has fewer or more bytes.
    """
    buffer = bytearray()
    while len(buffer) < size and (block := stream.read(min(_BLOCK, size - len(buffer)))):
        buffer += block
    if len(buffer) < size:
        raise DataError(
            f"{name} is truncated: its header states {size:,} bytes, and it has {len(buffer):,}; replace the file"
        )
    if stream.read(1):
        raise DataError(
            f"{name} has more than the {size:,} bytes that its header states; replace the file, it may be damaged"
        )
    return buffer
