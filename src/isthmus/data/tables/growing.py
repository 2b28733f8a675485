"""A text file that another program appends to, read in parts of complete lines."""

from __future__ import annotations

import os
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from isthmus.data.tables.dialect import Dialect
from isthmus.data.tables.text_columns import ReadAs
from isthmus.data.tables.textfile import LONGEST, TextFile
from isthmus.errors import DataError
from isthmus.io.files import regular, shown

__all__ = ["FilePart", "GrowingFile", "read_as"]

_PART = 1 << 24  # bytes of a part, at most
_TAIL = 256  # bytes before a part that are compared, to notice that the file was replaced


class FilePart(NamedTuple):
    """Some lines of a text file, and its first ones, which say what its columns are.

    Attributes:
        head: the lines before the first row of the file.
        lines: the lines to read.
        left_out: the number of lines between them.
    """

    head: bytes
    lines: bytes
    left_out: int

    def content(self) -> BytesIO:
        """The text as a file."""
        return BytesIO(self.head + self.lines)


def read_as(file: TextFile, dialect: Dialect) -> ReadAs:
    """The format in which a file was read."""
    options_of = dict[str, Any](comment=file.comment or "none", encoding=file.encoding)
    options_of["delimiter"] = "blanks" if file.blanks else dialect.delimiter
    if dialect.line or dialect.names is None:  # names in a comment are found there again
        options_of["header"] = bool(dialect.line)
    return ReadAs(dialect.line or dialect.skipped, options_of)


class GrowingFile:
    """A text file that another program appends to.

    Args:
        path: the file.

    Raises:
        DataError: the path is no regular file.
        FileNotFoundError: there is no file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._identity = path, (0, 0)
        self._offset, self._lines = 0, 0  # bytes and lines that were read
        self._tail, self._head, self._head_lines = b"", b"", 0
        with self._open() as file:
            self._identity = _identity(file)

    def begin(self, part: FilePart, lines: int) -> None:
        """Says how many lines of the first part are before the first row. They precede each later part."""
        self._head = b"".join(part.lines.splitlines(keepends=True)[:lines])
        self._head_lines = lines

    def read(self, end: bool = False) -> FilePart | None:
        """The next complete lines; None if there are none yet.

        Args:
            end: whether the file has ended, so that a last line without a line feed is complete.

        Raises:
            DataError: the file is shorter than before, or another one.
        """
        with self._open() as file:
            self._check(file)
            block = file.read(_PART)
            while len(block) >= _PART and b"\n" not in block and len(block) < LONGEST and (more := file.read(_PART)):
                block += more
        whole = end and len(block) < _PART
        lines = block if whole else block[: block.rfind(b"\n") + 1]
        if lines.count(b'"') % 2 and not whole:  # a cell of several lines that is not complete
            lines = b"" if len(block) < _PART else block
        if not lines.strip() or (
            not self._offset and not whole and lines.count(b"\n") < 2
        ):  # names alone say nothing yet
            return None
        if not self._offset and b"\0" in lines:
            raise DataError(f"{shown(self._path)} is compressed, or no text in UTF-8: follow a plain text file")
        part = FilePart(self._head, lines, max(0, self._lines - self._head_lines))
        self._offset, self._lines = self._offset + len(lines), self._lines + lines.count(b"\n")
        self._tail = (self._tail + lines)[-_TAIL:]
        return part

    @property
    def rest(self) -> int:
        """The number of bytes that were not read, of a line that is not complete."""
        return self._path.stat().st_size - self._offset

    def _open(self) -> BinaryIO:
        """The file. It is open while it is read only, so that others can rename it."""
        try:
            file = regular(self._path)
        except FileNotFoundError:
            if self._identity == (0, 0):
                raise
            raise DataError(
                f"{shown(self._path)} was removed while it was followed: start again with the new file"
            ) from None
        if isinstance(file, str):
            raise DataError(f"{shown(self._path)} is not a regular file: give a text file to follow")
        return BufferedReader(file)

    def _check(self, file: BinaryIO) -> None:
        """`DataError` unless the file is the same as before, or longer. The next byte is then that after the lines that were read."""
        what = ""
        if _identity(file) != self._identity:
            what = "was replaced by another file"
        elif os.fstat(file.fileno()).st_size < self._offset:
            what = "has become shorter"
        else:
            file.seek(self._offset - len(self._tail))
            what = "" if file.read(len(self._tail)) == self._tail else "was overwritten"
        if what:
            raise DataError(f"{shown(self._path)} {what} while it was followed: start again with the new file")


def _identity(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino
